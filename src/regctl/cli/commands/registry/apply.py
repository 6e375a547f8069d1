"""`regctl library`: a whole registry in a namespace of its own."""

from operator import attrgetter
from typing import TYPE_CHECKING, Any

import click

from regctl.cli.app import App, old_cluster, pass_app
from regctl.cli.completers import (
    cluster_issuers,
    gateways,
    libraries,
    namespaces,
    storage_classes,
    tls_secrets,
)
from regctl.cli.listings import Column
from regctl.cli.old.credential_options import PasswordOptions, new_password, password_options
from regctl.cli.old.option_groups import (
    ClusterOptions,
    TargetOptions,
    cluster_options,
    dry_run_option,
    output_option,
    target_options,
    yes_option,
)
from regctl.cli.old.params import Bundle, Command, bundle, option
from regctl.cli.output import Result
from regctl.cli.pull_secrets import raise_if_unreadable
from regctl.errors import InvalidInputError, ObjectNotFoundError
from regctl.outcome import DryRun

if TYPE_CHECKING:
    from collections.abc import Sequence

    from regctl.cluster.client import Cluster
    from regctl.provisioning.install import Access, Admission, Change, Outcome, Plan
    from regctl.provisioning.listing import Item
    from regctl.provisioning.objects import Auth, Controller, RegistrySpec

# The arguments of every example.
_WANTED = "team-a --host registry.foo.com -n team-a"

namespace_option = option(
    "-n",
    "--namespace",
    metavar="NS",
    shell_complete=namespaces,
    help="The namespace of the library.  [default: the context's]",
)
secret_option = option(
    "--secret",
    metavar="NAME",
    default="registry-basic-auth",
    show_default=True,
    heading="Access",
    help="The auth Secret, as `auth push` writes it.",
)


class LibraryOptions(Bundle):
    """What a library shall be, as asked for."""

    heading = "The registry"

    host: str
    image: str
    replicas: int
    storage: str | None
    storage_class: str | None
    delete_enabled: bool
    maintenance: bool
    ingress_class: "Controller"
    class_name: str | None
    cluster_issuer: str | None
    tls_secret: str | None
    gateway: str | None
    auth: "Auth | None"
    secret: str

    def library(self, name: str, namespace: str) -> "RegistrySpec":
        """Return the library *name*; raises InvalidInputError and its kind."""
        from regctl.provisioning.objects import Gateway, Ingress, RegistrySpec

        entry: Gateway | Ingress
        if self.gateway is not None:
            if self.cluster_issuer or self.tls_secret or self.class_name:
                raise InvalidInputError(
                    "a Gateway has its certificate itself, and no Ingress beside it",
                    hint="leave out --cluster-issuer, --tls-secret and --class-name",
                )
            entry = Gateway.parse(self.gateway)
        else:
            entry = Ingress(
                self.ingress_class, self.class_name, self.cluster_issuer, self.tls_secret
            )
        return RegistrySpec(
            name,
            self.host,
            namespace,
            entry,
            self.secret,
            self.auth,
            self.image,
            self.replicas,
            self.storage,
            self.storage_class,
            self.delete_enabled,
            self.maintenance,
        )


library_options = bundle(
    "wanted",
    LibraryOptions,
    option(
        "--host", required=True, metavar="HOST", help="The registry's name, as it stands in images."
    ),
    option(
        "--image",
        metavar="IMAGE",
        default="registry:3",
        show_default=True,
        help="By tag, or by digest.",
    ),
    option(
        "--replicas",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        metavar="N",
        help="More than one need a volume that is ReadWriteMany.",
    ),
    option(
        "--storage", metavar="SIZE", help="The size of the volume.  [default: what it has, or 10Gi]"
    ),
    option(
        "--storage-class",
        shell_complete=storage_classes,
        metavar="NAME",
        help="The class of the volume.  [default: the cluster's]",
    ),
    option("--delete-enabled", is_flag=True, help="Let users delete images."),
    option("--maintenance", is_flag=True, help="Read-only: for garbage collection or a backup."),
    option(
        "--ingress-class",
        type=click.Choice(["nginx", "traefik"]),
        default="nginx",
        show_default=True,
        heading="Access",
        help="The ingress controller.",
    ),
    option(
        "--class-name",
        metavar="NAME",
        heading="Access",
        help="The IngressClass, where it has another name than its controller.",
    ),
    option(
        "--cluster-issuer",
        shell_complete=cluster_issuers,
        metavar="NAME",
        heading="Access",
        help="Let this issuer of cert-manager make the certificate.",
    ),
    option(
        "--tls-secret",
        shell_complete=tls_secrets,
        metavar="NAME",
        heading="Access",
        help="The Secret that has the certificate.",
    ),
    option(
        "--gateway",
        shell_complete=gateways,
        metavar="NS/NAME",
        heading="Access",
        help="An HTTPRoute of this Gateway in place of an Ingress.",
    ),
    option(
        "--auth",
        type=click.Choice(["ingress", "registry"]),
        heading="Access",
        help="Who asks for passwords.  [default: ingress; registry with --gateway]",
    ),
    secret_option,
)


@click.command(
    cls=Command,
    examples=[
        f"regctl library render {_WANTED} --cluster-issuer letsencrypt",
        f"regctl library render {_WANTED} --gateway infra/public",
        f"regctl library render {_WANTED} --tls-secret foo-tls | kubectl diff -f -",
    ],
)
@click.argument("name", shell_complete=libraries)
@namespace_option
@library_options
@output_option("json", "yaml")
@pass_app
def render(app: App, *, name: str, namespace: str | None, wanted: LibraryOptions) -> None:
    """
    Print the objects that a registry is made of.

    No Secret is among them: `auth push` brings the users. It asks no cluster.
    """
    if namespace is None:
        raise InvalidInputError("which namespace?", hint="name it with -n")
    library = wanted.library(name, namespace)
    if app.output.format is None:
        app.output.format = "yaml"
    app.output.manifests(library.manifests())
    _advise(app, library)
    if library.http_secret is not None:
        app.output.note(
            f"the Secret {library.http_secret} must be there, with a long random text under the "
            "key `secret`, the same for all replicas; `regctl library apply` makes it"
        )


def _advise(app: App, library: "RegistrySpec") -> None:
    """Tell what no object can say."""
    if library.auth is None and library.checked_by == "registry":
        app.output.note("a Gateway cannot ask for passwords: the registry does it itself")
    if library.behind_traefik:
        app.output.note(
            "Traefik ends an upload after 60 s, unless its entry point says "
            "transport.respondingTimeouts.readTimeout=0"
        )


@click.command(
    cls=Command,
    examples=[
        f"regctl library apply {_WANTED} --cluster-issuer letsencrypt",
        f"PW=$(regctl library apply {_WANTED} --tls-secret foo-tls --user ci --generate)",
        f"regctl library apply {_WANTED} --gateway infra/public --dry-run=server",
    ],
)
@click.argument("name", shell_complete=libraries)
@namespace_option
@option("--create-namespace", is_flag=True, help="Make the namespace where there is none.")
@library_options
@option(
    "--user",
    metavar="NAME",
    heading="The first user",
    help="Let this user in, beside those in the Secret.",
)
@option(
    "--generate",
    is_flag=True,
    heading="The first user",
    help="Make a password and print it to standard output.",
)
@password_options
@option("--adopt", is_flag=True, help="Take over objects that somebody made by hand.")
@dry_run_option
@output_option("json", "yaml", "name")
@cluster_options
@pass_app
def apply(
    app: App,
    *,
    name: str,
    namespace: str | None,
    create_namespace: bool,
    wanted: LibraryOptions,
    user: str | None,
    generate: bool,
    password_options: PasswordOptions,
    adopt: bool,
    dry_run: DryRun | None,
    cluster_options: ClusterOptions,
) -> None:
    """
    Bring a registry about, or change it to what is asked for now.

    What is left out goes back to its default, but for the volume, which stays as it is. Users who
    are in the auth Secret stay, with the passwords they have: --user only adds one.
    """
    from regctl.provisioning import install as installation

    if user is None and generate:
        raise InvalidInputError("a password, and no user", hint="pass --user NAME")
    cluster = old_cluster(app, cluster_options)
    library = wanted.library(name, namespace or cluster.context_namespace)
    access = installation.access(cluster, library)
    password, admission = None, None
    if user is not None and not _is_in(app, access, user):
        password = _password(app, user, password_options, generate=generate, dry_run=dry_run)
        admission = _admission(access, user, password, adopt=adopt)
    else:
        access.check()
    plan = installation.observe(
        cluster, library, admission, adopt=adopt, create_namespace=create_namespace
    )
    printed = password if generate and dry_run is None else None
    _carry_out(app, cluster, plan, printed, dry_run=dry_run)
    _advise(app, library)
    if access.secret is None and admission is None:
        app.output.warning(
            f"nobody gets in: there is no secret {library.auth_secret} in namespace "
            f"{library.namespace}; --user NAME makes it, or `regctl auth push`"
        )


def _is_in(app: App, access: "Access", user: str) -> bool:
    from regctl.authfile import htpasswd

    htpasswd.check_name(user)
    there = user in access.users
    if there:
        app.output.note(f"{user} is let in already, and keeps its password")
    return there


def _password(
    app: App, user: str, options: PasswordOptions, *, generate: bool, dry_run: DryRun | None
) -> str:
    """Return the new user's password; a dry run asks nobody for one that it throws away."""
    from regctl.authfile import hashes

    if dry_run is not None and not (options.password_stdin or options.password_file):
        return hashes.generate_password()
    return new_password(app, user, None, options, generate=generate)


def _admission(access: "Access", user: str, password: str, *, adopt: bool) -> "Admission":
    from regctl.authfile import hashes

    return access.admit(user, hashes.make(password), adopt=adopt)


def _carry_out(
    app: App, cluster: "Cluster", plan: "Plan", password: str | None, *, dry_run: DryRun | None
) -> None:
    """Carry the plan out; print *password* as soon as it is the user's."""
    if plan.refused:
        app.output.results(map(_result, plan.refused), dry_run=dry_run)
    outcomes: list[Outcome] = []
    structured = app.output.structured
    details: dict[str, Any] = {}
    for outcome in plan.run(cluster, dry_run):
        outcomes.append(outcome)
        if password is not None and _lets_in(outcome, plan):
            if structured:
                details["password"] = password
            else:
                app.output.line(password)
                app.output.flush()
    app.output.results(
        [_result(one, details if _lets_in(one, plan) else {}) for one in outcomes],
        dry_run=dry_run,
        aside=password is not None,
    )


def _lets_in(outcome: "Outcome", plan: "Plan") -> bool:
    named = (outcome.resource.kind, outcome.name) == ("Secret", plan.library.auth_secret)
    return named and outcome.error is None


def _result(outcome: "Outcome", details: "dict[str, Any] | None" = None) -> Result:
    return Result(
        outcome.resource.noun,
        outcome.name,
        outcome.result,
        namespace=None if outcome.resource.kind == "Namespace" else outcome.namespace,
        note=outcome.note,
        error=outcome.error,
        details=details or {},
    )


@click.command(
    "list",
    cls=Command,
    examples=["regctl library list -A", "regctl library list -n team-a -o wide"],
)
@target_options
@output_option("table", "wide", "json", "yaml", "name")
@cluster_options
@pass_app
def list_(app: App, *, target_options: TargetOptions, cluster_options: ClusterOptions) -> None:
    """List the registries that regctl made: hosts, users, and the pull secrets for them."""
    from regctl.provisioning.listing import libraries as look

    cluster = old_cluster(app, cluster_options)
    targets = target_options.targets()
    # Who may list all may not be allowed to list namespaces.
    all_of_them = targets.everywhere and not targets.exclude and targets.selector is None
    spaces = None if all_of_them else targets.resolve(cluster)
    found = look(cluster, spaces, everywhere=targets.listed)
    app.output.listing(
        found.items,
        [
            Column("NAMESPACE", attrgetter("namespace")),
            Column("NAME", attrgetter("name")),
            Column("HOST", attrgetter("host")),
            Column("READY", lambda i: f"{i.ready}/{i.replicas}", style=_ready_style),
            Column("USERS", lambda i: _counted(i.users), right=True),
            Column("PULL SECRETS", lambda i: _counted(i.pull_secrets), right=True),
            Column("AUTH", attrgetter("auth"), wide=True),
            Column("IMAGE", attrgetter("image"), wide=True),
            Column("NAMES OF USERS", lambda i: ",".join(i.users or ()), wide=True),
            Column("THEIR PULL SECRETS", lambda i: ",".join(i.pull_secrets or ()), wide=True),
        ],
        key="libraries",
        name=lambda i: f"{i.namespace}/library/{i.name}",
        record=_record,
    )
    if not found.items and not found.errors:
        app.output.note("there are no such libraries")
    raise_if_unreadable(app, found)


def _counted(names: "Sequence[str] | None") -> str:
    return "?" if names is None else str(len(names))


def _ready_style(item: "Item") -> str:
    return "" if item.ready >= item.replicas else "yellow"


def _record(item: "Item") -> dict[str, Any]:
    return {
        "namespace": item.namespace,
        "name": item.name,
        "host": item.host,
        "image": item.image,
        "auth": item.auth,
        "auth_secret": item.auth_secret,
        "ready": item.ready,
        "replicas": item.replicas,
        "users": None if item.users is None else list(item.users),
        "pull_secrets": None if item.pull_secrets is None else list(item.pull_secrets),
    }


@click.command(
    cls=Command,
    examples=[
        "regctl library delete team-a -n team-a",
        "regctl library delete team-a -n team-a --with-data --yes",
    ],
)
@click.argument("name", shell_complete=libraries)
@namespace_option
@option(
    "--with-data", is_flag=True, help="Delete the volume, with all images, and the users as well."
)
@option("--adopt", is_flag=True, help="Delete what somebody made by hand, too.")
@dry_run_option
@yes_option
@output_option("json", "yaml", "name")
@cluster_options
@pass_app
def delete(
    app: App,
    *,
    name: str,
    namespace: str | None,
    with_data: bool,
    adopt: bool,
    dry_run: DryRun | None,
    yes: bool,
    cluster_options: ClusterOptions,
) -> None:
    """
    Delete a registry; its volume and its users stay, unless --with-data.

    `library apply` with the same name finds both again. Pull secrets are not touched.
    """
    from regctl.provisioning import install as installation
    from regctl.provisioning.objects import check_name

    check_name(name)
    cluster = old_cluster(app, cluster_options)
    space = namespace or cluster.context_namespace
    changes = installation.observe_removal(cluster, space, name, with_data=with_data, adopt=adopt)
    if not changes:
        raise ObjectNotFoundError(
            f"there is no library {name} in namespace {space}",
            hint="`regctl library list -A` shows all there are",
        )
    refused = [one for one in changes if one.error is not None]
    doomed = [one for one in changes if one.action == "delete"]
    if doomed and not refused and dry_run is None:
        app.confirm(_question(name, space, doomed), yes=yes)
    # Half a removal would leave a registry that nobody reaches.
    outcomes = installation.remove(cluster, refused or changes, dry_run=dry_run)
    app.output.results(map(_result, outcomes), dry_run=dry_run)


def _question(name: str, namespace: str, doomed: "Sequence[Change]") -> str:
    kinds = {one.resource.kind for one in doomed}
    data = [
        words
        for kind, words in (("PersistentVolumeClaim", "all its images"), ("Secret", "its users"))
        if kind in kinds
    ]
    lost = f", with {' and '.join(data)}" if data else " (its images and users stay)"
    return f"delete library {name} in namespace {namespace}{lost}?"

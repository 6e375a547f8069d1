"""`regctl registry apply`: create or update a registry in a namespace."""

import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command, Decorator, option, option_group
from regctl.cli.completers import (
    cluster_issuers,
    gateways,
    installed_registries,
    namespaces,
    storage_classes,
    tls_secrets,
)
from regctl.cli.options import ChangeFlags, NamespacedName, PasswordFlags
from regctl.cli.params import (
    NAMESPACED_NAME,
    change_options,
    cluster_options,
    namespace_option,
    new_password_options,
    output_option,
)
from regctl.errors import InvalidInputError

if TYPE_CHECKING:
    from regctl.cli.app import Run
    from regctl.credentials.credential import Credential
    from regctl.outcome import DryRun, Outcome
    from regctl.provisioning.plan import Plan
    from regctl.provisioning.spec import Auth, Controller, Gateway, Ingress, RegistrySpec
    from regctl.provisioning.users import AuthUsers

# The arguments of every example.
_ARGUMENTS = "team-a --host registry.foo.com -n team-a"


class EntryFlags(NamedTuple):
    """How clients reach a registry, and who checks their passwords."""

    ingress_class: "Controller"
    class_name: str | None
    cluster_issuer: str | None
    tls_secret: str | None
    gateway: NamespacedName | None
    auth: "Auth | None"

    def entry(self) -> "Gateway | Ingress":
        """Return the Gateway or the Ingress. Raises InvalidInputError."""
        from regctl.provisioning.spec import Gateway, Ingress

        if self.gateway is None:
            return Ingress(
                self.ingress_class, self.class_name, self.cluster_issuer, self.tls_secret
            )
        if self.class_name or self.cluster_issuer or self.tls_secret:
            raise InvalidInputError(
                "a Gateway has its own certificate and needs no Ingress",
                hint="leave out --cluster-issuer, --tls-secret and --class-name",
            )
        return Gateway(*self.gateway)


def _option(heading: str, flag: str, metavar: str | None, text: str, **more: Any) -> Decorator:
    return option(flag, heading=heading, metavar=metavar, help=text, show_default=True, **more)


_registry = functools.partial(_option, "Registry")
_access = functools.partial(_option, "Access")

_entry_options = option_group(
    "entry",
    EntryFlags,
    _access(
        "--ingress-class",
        None,
        "The ingress controller.",
        type=click.Choice(["nginx", "traefik"]),
        default="nginx",
    ),
    _access("--class-name", "NAME", "The IngressClass, if it is not named after its controller."),
    _access(
        "--cluster-issuer",
        "NAME",
        "The cert-manager ClusterIssuer that issues the certificate.",
        shell_complete=cluster_issuers,
    ),
    _access("--tls-secret", "NAME", "The Secret with the certificate.", shell_complete=tls_secrets),
    _access(
        "--gateway",
        "NS/NAME",
        "Create an HTTPRoute for this Gateway instead of an Ingress.",
        type=NAMESPACED_NAME,
        shell_complete=gateways,
    ),
    _access(
        "--auth",
        None,
        "Who checks passwords.  [default: ingress, or registry with --gateway]",
        type=click.Choice(["ingress", "registry"]),
    ),
)


@click.command(
    cls=Command,
    examples=[
        f"regctl registry apply {_ARGUMENTS} --cluster-issuer letsencrypt",
        f"PW=$(regctl registry apply {_ARGUMENTS} --tls-secret foo-tls --user ci --generate)",
        f"regctl registry apply {_ARGUMENTS} --tls-secret foo-tls --check",
        f"regctl registry apply {_ARGUMENTS} --tls-secret foo-tls --adopt --dry-run=server",
        f"regctl registry apply {_ARGUMENTS} --gateway infra/public --dry-run=client -o yaml",
    ],
)
@click.argument("name", shell_complete=installed_registries)
@namespace_option
@option("--create-namespace", is_flag=True, help="Create the namespace if it does not exist.")
@_registry("--host", "HOST", "The registry's name in image references.", required=True)
@_registry("--image", "IMAGE", "The registry's image, by tag or digest.", default="registry:3")
@_registry(
    "--replicas",
    "N",
    "The number of Pods. Several need a ReadWriteMany volume.",
    type=click.IntRange(1),
    default=1,
)
@_registry("--storage", "SIZE", "The size of the volume.  [default: its present size, or 10Gi]")
@_registry(
    "--storage-class",
    "NAME",
    "The storage class of the volume.  [default: the cluster's]",
    shell_complete=storage_classes,
)
@_registry(
    "--claim",
    "NAME",
    "Use this existing volume claim.  [default: the registry's, or a new one]",
)
@_registry("--delete-enabled", None, "Allow users to delete images.", is_flag=True)
@_registry(
    "--maintenance",
    None,
    "Make the registry read-only, for garbage collection or a backup.",
    is_flag=True,
)
@_entry_options
@_access(
    "--auth-secret",
    "NS/NAME",
    "The Secret that the registry's users are read from.  "
    "[default: registry-basic-auth in the registry's namespace]",
    type=NAMESPACED_NAME,
)
@_access(
    "--network-policy",
    "NS[,NS...]",
    "Admit only Pods of these namespaces, that of the ingress controller among them.  "
    "[default: no NetworkPolicy]",
    multiple=True,
    shell_complete=namespaces,
)
@option("--user", metavar="NAME", heading="Credentials", help="Add this user to the auth Secret.")
@new_password_options
@change_options("check", "adopt", server=True)
@output_option("json", "yaml", "name")
@cluster_options
@pass_app
def apply(
    app: App,
    /,
    *,
    name: str,
    namespace: str | None,
    create_namespace: bool,
    entry: EntryFlags,
    auth_secret: NamespacedName | None,
    network_policy: tuple[str, ...],
    user: str | None,
    password_flags: PasswordFlags,
    change: ChangeFlags,
    **wanted: Any,
) -> None:
    """
    Create a registry in a namespace, or update it.

    An option that you leave out returns to its default, but the volume stays as it is. Users who
    are in the auth Secret keep their passwords; --user adds one. With --adopt, a registry that was
    installed without regctl keeps its selectors, its container and its volume claim. If the API
    server rejects one object, nothing is changed. With --dry-run=client and -o yaml
    or json, regctl prints the manifests, without the Secrets, and sends no request.
    """
    from regctl.provisioning import install
    from regctl.provisioning.users import read_users

    if user is None and (password_flags.generate or password_flags.given):
        raise InvalidInputError("a password needs --user", hint="pass --user NAME")
    # The other options have the names of RegistrySpec's fields.
    wanted["network_policy"] = tuple(one for text in network_policy for one in text.split(","))
    spec = _spec(
        namespace or app.cluster.context_namespace, entry, auth_secret, name=name, **wanted
    )
    if change.dry_run == "client" and app.output.structured and not change.check:
        _print_manifests(app, spec)
        return
    users = read_users(app.cluster, spec)
    first_user = _first_user(app, users, user, password_flags, change)
    plan = install.prepare(
        app.cluster, users, first_user, adopt=change.adopt, create_namespace=create_namespace
    )
    app.carry_out(_run(app, plan, first_user if password_flags.generate else None), change)
    _advise(app, spec)
    if first_user is None:
        _warn_of_users(app, users)


def _warn_of_users(app: App, users: "AuthUsers") -> None:
    from regctl.errors import UnsuitableAuthFileError

    spec = users.spec
    try:
        users.check()
    except UnsuitableAuthFileError as error:
        app.output.warning(error.message)
    if users.secret is None:
        app.output.warning(
            f"nobody can log in: secret {spec.auth_secret} does not exist in namespace "
            f"{spec.namespace}; pass --user NAME, or create it with `regctl auth push "
            f"--auth-secret {spec.namespace}/{spec.auth_secret}`"
        )


def _spec(
    namespace: str, entry: EntryFlags, auth_secret: NamespacedName | None, **fields: Any
) -> "RegistrySpec":
    """Return the registry that the flags describe. Raises InvalidInputError and its subclasses."""
    from regctl.authsecret import DEFAULT_NAME
    from regctl.provisioning.spec import RegistrySpec

    secret = auth_secret or NamespacedName(namespace, DEFAULT_NAME)
    if secret.namespace != namespace:
        raise InvalidInputError(
            f"secret {secret} is not in the registry's namespace {namespace}, so neither the "
            "ingress nor the registry can read it",
            hint=f"pass `--auth-secret {namespace}/{secret.name}`",
        )
    return RegistrySpec(
        namespace=namespace,
        entry=entry.entry(),
        auth=entry.auth,
        auth_secret=secret.name,
        **fields,
    )


def _first_user(
    app: App, users: "AuthUsers", name: str | None, flags: PasswordFlags, change: ChangeFlags
) -> "Credential | None":
    """Return the user to add, or None; a dry run asks for no password."""
    from regctl.authfile import hashes, htpasswd
    from regctl.credentials.credential import Credential

    if name is None:
        return None
    htpasswd.check_name(name)
    if users.file.user(name) is not None:
        app.output.note(f"user {name} exists and keeps its password")
        return None
    if (change.check or change.dry_run) and not flags.given:
        return Credential(name, hashes.generate_password())
    return Credential(name, app.new_password(flags, name))


def _run(app: App, plan: "Plan", generated: "Credential | None") -> "Run":
    """Return a function that carries out *plan* and prints a *generated* password when it works."""

    def run(dry_run: "DryRun | None") -> "Iterator[Sequence[Outcome]]":
        for outcome in plan.run(dry_run):
            # The only outcome with users is that of the auth Secret.
            if generated and dry_run is None and "users" in outcome.details and not outcome.error:
                app.output.generated(generated.username, generated.password)
            yield [outcome]

    return run


def _print_manifests(app: App, spec: "RegistrySpec") -> None:
    from regctl.provisioning.objects import manifests

    # An existing claim is used as it is.
    left_out = "PersistentVolumeClaim" if spec.claim else None
    app.output.manifests([one for one in manifests(spec) if one["kind"] != left_out])
    _advise(app, spec)
    if spec.http_secret is not None:
        app.output.note(
            f"create secret {spec.http_secret}, with a long random text under the key `secret`, "
            "before these manifests: all replicas share it; without --dry-run regctl creates it"
        )


def _advise(app: App, spec: "RegistrySpec") -> None:
    """Print what the manifests cannot express."""
    if spec.auth is None and spec.checked_by == "registry":
        app.output.note("the registry checks passwords itself, because a Gateway cannot")
    if spec.behind_traefik:
        app.output.note(
            "Traefik ends an upload after 60 s, unless its entry point has "
            "transport.respondingTimeouts.readTimeout=0"
        )

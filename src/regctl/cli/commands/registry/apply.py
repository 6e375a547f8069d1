"""`regctl registry apply`: create or update a registry in a namespace."""

import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command, option, option_group
from regctl.cli.completers import (
    cluster_issuers,
    gateways,
    installed_registries,
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
    from regctl.outcome import DryRun, Outcome
    from regctl.provisioning.plan import Plan
    from regctl.provisioning.spec import Auth, Controller, Gateway, Ingress, RegistrySpec
    from regctl.provisioning.users import AuthUsers, FirstUser

# The arguments of every example.
_ARGUMENTS = "team-a --host registry.foo.com -n team-a"


class RegistryFlags(NamedTuple):
    """What a registry should be, as typed."""

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
    gateway: NamespacedName | None
    auth: "Auth | None"
    auth_secret: NamespacedName | None

    def spec(self, name: str, namespace: str) -> "RegistrySpec":
        """Return the registry *name*. Raises InvalidInputError and its subclasses."""
        from regctl.authsecret import DEFAULT_NAME
        from regctl.provisioning.spec import RegistrySpec

        if self.auth_secret is not None and self.auth_secret.namespace != namespace:
            raise InvalidInputError(
                f"the auth Secret {self.auth_secret} is not in the registry's namespace "
                f"{namespace}, so the ingress and the registry cannot read it",
                hint=f"pass `--auth-secret {namespace}/{self.auth_secret.name}`",
            )
        return RegistrySpec(
            name=name,
            host=self.host,
            namespace=namespace,
            entry=self._entry(),
            auth_secret=self.auth_secret.name if self.auth_secret else DEFAULT_NAME,
            auth=self.auth,
            image=self.image,
            replicas=self.replicas,
            storage=self.storage,
            storage_class=self.storage_class,
            delete_enabled=self.delete_enabled,
            maintenance=self.maintenance,
        )

    def _entry(self) -> "Gateway | Ingress":
        from regctl.provisioning.spec import Gateway, Ingress

        if self.gateway is None:
            return Ingress(
                self.ingress_class, self.class_name, self.cluster_issuer, self.tls_secret
            )
        if self.cluster_issuer or self.tls_secret or self.class_name:
            raise InvalidInputError(
                "a Gateway has its own certificate and needs no Ingress",
                hint="leave out --cluster-issuer, --tls-secret and --class-name",
            )
        return Gateway(*self.gateway)


_registry = functools.partial(option, heading="Registry")
_access = functools.partial(option, heading="Access")

_registry_options = option_group(
    "wanted",
    RegistryFlags,
    _registry(
        "--host",
        required=True,
        metavar="HOST",
        help="The registry's name in image references.",
    ),
    _registry(
        "--image",
        metavar="IMAGE",
        default="registry:3",
        show_default=True,
        help="The image of the registry, by tag or digest.",
    ),
    _registry(
        "--replicas",
        type=click.IntRange(1),
        default=1,
        show_default=True,
        metavar="N",
        help="The number of Pods. Several need a ReadWriteMany volume.",
    ),
    _registry(
        "--storage",
        metavar="SIZE",
        help="The size of the volume.  [default: its present size, or 10Gi]",
    ),
    _registry(
        "--storage-class",
        shell_complete=storage_classes,
        metavar="NAME",
        help="The storage class of the volume.  [default: the cluster's]",
    ),
    _registry("--delete-enabled", is_flag=True, help="Allow users to delete images."),
    _registry(
        "--maintenance",
        is_flag=True,
        help="Make the registry read-only, for garbage collection or a backup.",
    ),
    _access(
        "--ingress-class",
        type=click.Choice(["nginx", "traefik"]),
        default="nginx",
        show_default=True,
        help="The ingress controller.",
    ),
    _access(
        "--class-name",
        metavar="NAME",
        help="The IngressClass, if it is not named after its controller.",
    ),
    _access(
        "--cluster-issuer",
        shell_complete=cluster_issuers,
        metavar="NAME",
        help="The cert-manager ClusterIssuer that issues the certificate.",
    ),
    _access(
        "--tls-secret",
        shell_complete=tls_secrets,
        metavar="NAME",
        help="The Secret with the certificate.",
    ),
    _access(
        "--gateway",
        type=NAMESPACED_NAME,
        shell_complete=gateways,
        metavar="NS/NAME",
        help="Create an HTTPRoute for this Gateway instead of an Ingress.",
    ),
    _access(
        "--auth",
        type=click.Choice(["ingress", "registry"]),
        help="Who checks passwords.  [default: ingress, or registry with --gateway]",
    ),
    _access(
        "--auth-secret",
        type=NAMESPACED_NAME,
        metavar="NS/NAME",
        help="The Secret that the registry's users are read from.  "
        "[default: registry-basic-auth in the registry's namespace]",
    ),
)


@click.command(
    cls=Command,
    examples=[
        f"regctl registry apply {_ARGUMENTS} --cluster-issuer letsencrypt",
        f"PW=$(regctl registry apply {_ARGUMENTS} --tls-secret foo-tls --user ci --generate)",
        f"regctl registry apply {_ARGUMENTS} --tls-secret foo-tls --check",
        f"regctl registry apply {_ARGUMENTS} --gateway infra/public --dry-run=client -o yaml",
    ],
)
@click.argument("name", shell_complete=installed_registries)
@namespace_option
@option("--create-namespace", is_flag=True, help="Create the namespace if it does not exist.")
@_registry_options
@option("--user", metavar="NAME", heading="Credentials", help="Add this user to the auth Secret.")
@new_password_options
@change_options("check", "adopt", server=True)
@output_option("json", "yaml", "name")
@cluster_options
@pass_app
def apply(
    app: App,
    *,
    name: str,
    namespace: str | None,
    create_namespace: bool,
    wanted: RegistryFlags,
    user: str | None,
    password_flags: PasswordFlags,
    change: ChangeFlags,
) -> None:
    """
    Create a registry in a namespace, or update it.

    Options that you leave out return to their defaults, but the volume is kept as it is. The users
    in the auth Secret keep their passwords. --user only adds one. With --dry-run=client and -o yaml
    or json it prints the manifests, without the Secrets, and sends no request.
    """
    from regctl.provisioning import install
    from regctl.provisioning.users import read_users

    if user is None and (password_flags.generate or password_flags.given):
        raise InvalidInputError("a password needs --user", hint="pass --user NAME")
    spec = wanted.spec(name, namespace or app.cluster.context_namespace)
    if change.dry_run == "client" and app.output.structured:
        _print_manifests(app, spec)
        return
    users = read_users(app.cluster, spec)
    first_user = _first_user(app, users, user, password_flags, change)
    plan = install.prepare(
        app.cluster, users, first_user, adopt=change.adopt, create_namespace=create_namespace
    )
    app.carry_out(_run(app, plan, first_user if password_flags.generate else None), change)
    _advise(app, spec)
    if users.secret is None and first_user is None:
        app.output.warning(
            f"nobody can log in: secret {spec.auth_secret} does not exist in namespace "
            f"{spec.namespace}; `--user NAME` or `regctl auth push` creates it"
        )


def _first_user(
    app: App, users: "AuthUsers", name: str | None, flags: PasswordFlags, change: ChangeFlags
) -> "FirstUser | None":
    """Return the user to add, or None; a dry run asks for no password."""
    from regctl.authfile import hashes, htpasswd
    from regctl.provisioning.users import FirstUser

    if name is None:
        return None
    htpasswd.check_name(name)
    if name in users.names:
        app.output.note(f"user {name} exists and keeps its password")
        return None
    dry = change.check or change.dry_run is not None
    if dry and not flags.given:
        return FirstUser(name, hashes.generate_password())
    return FirstUser(name, app.new_password(flags, name))


def _run(app: App, plan: "Plan", generated: "FirstUser | None") -> "Run":
    """Return a function that carries out *plan* and prints a *generated* password when it works."""

    def run(dry_run: "DryRun | None") -> "Iterator[Sequence[Outcome]]":
        for outcome in plan.run(dry_run):
            if generated is not None and dry_run is None and plan.added_users(outcome):
                app.output.generated(*generated)
            yield [outcome]

    return run


def _print_manifests(app: App, spec: "RegistrySpec") -> None:
    from regctl.provisioning.objects import manifests

    app.output.manifests(manifests(spec))
    _advise(app, spec)
    if spec.http_secret is not None:
        app.output.note(
            f"secret {spec.http_secret} must exist, with a long random text under the key `secret` "
            "that all replicas share; without --dry-run regctl creates it"
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

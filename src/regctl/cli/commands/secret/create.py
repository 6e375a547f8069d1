"""`regctl secret create`: create or update a pull secret."""

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command, option, option_group
from regctl.cli.completers import (
    namespaced_pull_secrets,
    pull_secrets,
    registries,
    service_accounts,
)
from regctl.cli.options import (
    ChangeFlags,
    CredentialFlags,
    NamespacedName,
    TargetFlags,
    VerificationFlags,
)
from regctl.cli.params import (
    NAMESPACED_NAME,
    change_options,
    cluster_options,
    credential_options,
    output_option,
    target_options,
    verification_options,
    workers_option,
)
from regctl.cli.verification import verification
from regctl.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from regctl.outcome import DryRun, Outcome
    from regctl.pullsecrets.plan import PullSecret

# More namespaces than this are shown to a person first.
_MANY = 20
_KUBECTL = "docker-registry"


class PullSecretFlags(NamedTuple):
    """What the pull secret holds, and who uses it."""

    server: str | None
    email: str | None
    from_secret: NamespacedName | None
    merge: bool
    append_hash: bool
    attach: tuple[str, ...]


pull_secret_options = option_group(
    "wanted",
    PullSecretFlags,
    option(
        "--server",
        "--docker-server",
        "server",
        metavar="REGISTRY",
        shell_complete=registries,
        help="The registry.  [default: $REGCTL_REGISTRY]",
    ),
    option("--email", "--docker-email", "email", help="The user's e-mail; few registries need it."),
    option(
        "--from-secret",
        type=NAMESPACED_NAME,
        metavar="NS/NAME",
        shell_complete=namespaced_pull_secrets,
        help="Copy the credential from this Secret.",
    ),
    option("--merge", is_flag=True, help="Keep the Secret's entries for other registries."),
    option("--append-hash", is_flag=True, help="Append a hash of the content to the name."),
    option(
        "--attach",
        multiple=True,
        metavar="NAME[,NAME]|all",
        shell_complete=service_accounts,
        help="Add the Secret to these service accounts; their new Pods then use it.",
    ),
)


@click.command(
    cls=Command,
    examples=[
        "regctl secret create --server registry.foo.com --username alice -n team-a,team-b",
        "regctl secret create --server registry.foo.com -A --attach default",
        "regctl secret create --from-secret infra/registry.foo.com -l pulls=yes --check",
        "regctl secret create regcred --server registry.foo.com -n web --dry-run=client -o yaml",
    ],
)
@click.argument("names", metavar="[NAME]", nargs=-1, shell_complete=pull_secrets)
@pull_secret_options
@credential_options
@target_options
@change_options("check", "yes", "adopt", "replace", server=True)
@output_option("json", "yaml", "name")
@workers_option
@cluster_options
@verification_options
@pass_app
def create(
    app: App,
    *,
    names: tuple[str, ...],
    wanted: PullSecretFlags,
    credential: CredentialFlags,
    targets: TargetFlags,
    change: ChangeFlags,
    trial: VerificationFlags,
) -> None:
    """
    Create or update a pull secret in one, several or all namespaces.

    Without NAME the Secret gets the name of the registry's host. If something is to be written, the
    registry must accept the password first. A registry that cannot be reached, or that does not
    answer within 10 seconds, is a warning.

    With --replace pulls fail between deletion and creation. If regctl is killed there, the same
    command creates the Secret. What the command itself reads from that Secret, by --merge or
    --from-secret, is then lost.
    """
    from regctl.cluster.serviceaccounts import Accounts
    from regctl.pullsecrets.plan import TakeoverPolicy
    from regctl.pullsecrets.rollout import prepare

    desired = _desired(app, _name(names), wanted, credential)
    accounts = Accounts.parse(word for text in wanted.attach for word in text.split(","))
    selected = app.targets(targets)
    as_manifests = app.output.structured and change.dry_run == "client" and not change.check
    spaces = (selected.known if as_manifests else None) or selected.resolve(app.cluster)
    if as_manifests:
        app.output.manifests([desired.manifest(space.name) for space in spaces])
        return
    policy = TakeoverPolicy(change.adopt, change.replace)
    rollout = prepare(app.cluster, desired, spaces, policy=policy, accounts=accounts)
    verify = verification(app, trial)

    def run(dry_run: "DryRun | None") -> "Iterator[Sequence[Outcome]]":
        if dry_run != "client":
            verify(desired.name, rollout.credentials)
        return rollout.run(dry_run)

    many = len(spaces) > _MANY
    app.carry_out(
        run,
        change,
        question=f"Change {len(spaces)} namespaces?" if many and app.interactive else None,
        preview=True,
        progress=(f"secret {desired.name}", len(spaces)),
    )


def _name(words: tuple[str, ...]) -> str | None:
    """Return the name of the Secret; a line of kubectl has its word for the type before it."""
    if words == (_KUBECTL,):
        raise InvalidInputError(
            f"{_KUBECTL} is kubectl's word for the type, and the name is missing",
            hint=f"pass `{_KUBECTL} NAME`, or no name for that of the registry",
        )
    name, *rest = (words[1:] if words[:1] == (_KUBECTL,) else words) or (None,)
    if rest:
        raise InvalidInputError(f"one name is expected, not {len(rest) + 1}", hint="pass the first")
    return name


def _desired(
    app: App, name: str | None, wanted: PullSecretFlags, flags: CredentialFlags
) -> "PullSecret":
    """Return the pull secret that the flags describe; ask for a password last."""
    from regctl.cluster.resource import check_object_name
    from regctl.pullsecrets.content import read_credentials
    from regctl.pullsecrets.plan import PullSecret, default_name, registry_key
    from regctl.reference import Registry

    if name is not None:
        check_object_name(name, "Secret")
    server = wanted.server or app.environ.get("REGCTL_REGISTRY")
    if wanted.from_secret is not None:
        default = wanted.from_secret.name
        if flags.given:
            raise InvalidInputError(
                "cannot take the credential from --from-secret and from flags",
                hint="pass one of them",
            )
        only = registry_key(wanted.server) if wanted.server else None
        credentials = read_credentials(app.cluster, *wanted.from_secret, only)
    elif not server:
        raise InvalidInputError(
            "no registry was named", hint="pass --server or set $REGCTL_REGISTRY"
        )
    else:
        key = registry_key(server)
        app.obey_scheme(server)
        default = default_name(key)
        credentials = {key: app.require_credential(flags, Registry.parse(key.replace("*", "x")))}
    if wanted.email is not None:
        credentials = {
            key: dataclasses.replace(credential, email=wanted.email)
            for key, credential in credentials.items()
        }
    desired = PullSecret(default if name is None else name, credentials, merge=wanted.merge)
    return desired.with_hash() if wanted.append_hash else desired

"""`regctl secret list`: the pull secrets in the cluster."""

from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command, option
from regctl.cli.completers import pull_secrets, registries
from regctl.cli.humanize import age
from regctl.cli.listings import Column, Listing
from regctl.cli.options import TargetFlags, split_reference
from regctl.cli.params import cluster_options, output_option, target_options, workers_option
from regctl.cli.rendering import as_text

if TYPE_CHECKING:
    from regctl.pullsecrets.inventory import PullSecretUse


def _account_names(item: "PullSecretUse") -> "tuple[str, ...] | None":
    return None if item.accounts is None else tuple(one.name for one in item.accounts)


def _state_style(item: "PullSecretUse") -> str:
    return "red" if item.broken else "" if item.state == "regctl" else "yellow"


_SECRETS: "Listing[PullSecretUse]" = Listing(
    "secrets",
    [
        Column("NAMESPACE", lambda i: i.secret.namespace),
        Column("NAME", lambda i: i.secret.name),
        Column("REGISTRIES", lambda i: i.registries),
        Column("USER", lambda i: i.users, key="users"),
        Column("AGE", lambda i: i.secret.created, key="created", text=age, exact=as_text),
        Column("ACCOUNTS", _account_names, text=lambda n: "?" if n is None else as_text(n)),
        Column("STATE", lambda i: i.state, style=_state_style),
        Column(
            "TYPE",
            lambda i: i.secret.type,
            text=lambda kind: kind.removeprefix("kubernetes.io/"),
            wide=True,
        ),
        Column("PROBLEM", lambda i: i.broken, wide=True),
    ],
    name=lambda i: f"{i.secret.namespace}/secret/{i.secret.name}",
)


@click.command(
    "list",
    cls=Command,
    examples=[
        "regctl secret list -A",
        "regctl secret list registry.foo.com -n team-a,team-b",
        "regctl secret list -A --server registry.foo.com -o wide",
    ],
)
@click.argument("name", required=False, shell_complete=pull_secrets)
@option(
    "--server",
    metavar="REGISTRY",
    shell_complete=registries,
    help="List only Secrets with a key for this registry.",
)
@target_options
@output_option("table", "wide", "json", "yaml", "name")
@workers_option
@cluster_options
@pass_app
def list_(app: App, *, name: str | None, server: str | None, targets: TargetFlags) -> None:
    """
    List pull secrets with their registries, users, service accounts and owners.

    STATE is `regctl` for a Secret that regctl manages, `broken` for one that the kubelet cannot
    decode, else its owner.
    """
    from regctl.pullsecrets.inventory import find_pull_secrets
    from regctl.pullsecrets.plan import registry_key

    if name is not None:
        name, targets = split_reference(name, "secret", targets)
    found = find_pull_secrets(app.cluster, app.targets(targets), name)
    if server is not None:
        found = found.for_registry(registry_key(server))
    app.output.listing(found.items, _SECRETS)
    if not found.items and not found.errors:
        app.output.note("no such pull secrets")
    app.output.unreadable_namespaces(found.errors, others=bool(found.items))

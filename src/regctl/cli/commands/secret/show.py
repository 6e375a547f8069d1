"""`regctl secret show`: the entries of one pull secret."""

from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command, option
from regctl.cli.completers import namespaced_pull_secrets, registries
from regctl.cli.listings import Column, Listing
from regctl.cli.options import NamespacedName
from regctl.cli.params import NAMESPACED_NAME, cluster_options, output_option
from regctl.errors import InvalidInputError

if TYPE_CHECKING:
    from regctl.pullsecrets.content import Entry

_ENTRIES: "Listing[Entry]" = Listing(
    "entries",
    [
        Column("REGISTRY", lambda e: e.key),
        Column("USER", lambda e: e.credential.username),
        Column("EMAIL", lambda e: e.credential.email),
        Column("PROBLEM", lambda e: e.fault, style=lambda _: "red"),
    ],
    name=lambda e: e.key,
)


@click.command(
    cls=Command,
    examples=[
        "regctl secret show team-a/registry.foo.com",
        "regctl secret show team-a/regcred --server registry.foo.com --reveal",
    ],
)
@click.argument(
    "secret", metavar="NS/NAME", type=NAMESPACED_NAME, shell_complete=namespaced_pull_secrets
)
@option(
    "--server",
    metavar="REGISTRY",
    shell_complete=registries,
    help="Show only the entries for this registry.",
)
@option("--reveal", is_flag=True, help="Print the password of the only entry, and nothing else.")
@output_option("table", "json", "yaml", "name")
@cluster_options
@pass_app
def show(app: App, *, secret: NamespacedName, server: str | None, reveal: bool) -> None:
    """
    Show the registries and users in one pull secret.

    --reveal prints a password to standard output. No other option does.
    """
    from regctl.pullsecrets.content import read_entries
    from regctl.pullsecrets.plan import registry_key

    only = registry_key(server) if server is not None else None
    entries = read_entries(app.cluster, *secret, only)
    if not reveal:
        app.output.listing(entries, _ENTRIES)
        if not entries:
            app.output.note("no such entries")
        return
    if len(entries) != 1:
        keys = ", ".join(entry.key for entry in entries) or "no entry"
        raise InvalidInputError(
            f"cannot choose a password of {secret}: it has {keys}",
            hint="pass --server with the registry of one entry",
        )
    password = entries[0].credential.password
    if app.output.structured:
        app.output.document({"password": password})
    else:
        app.output.password(password)

"""`regctl catalog`: the repositories of a registry."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from regctl.cli._app import App, pass_app
from regctl.cli._command import Command
from regctl.cli._credentials import CredentialOptions, credential_options
from regctl.cli._options import (
    TransportOptions,
    output_option,
    registry_argument,
    transport_options,
)
from regctl.cli._output import Column

if TYPE_CHECKING:
    from regctl.registry import RegistryClient


@dataclass(frozen=True)
class _Row:
    name: str
    tags: tuple[str, ...] | None = None


@click.command(
    cls=Command,
    examples=[
        "regctl catalog registry.foo.com",
        "regctl catalog registry.foo.com --tags -o json",
        "regctl catalog localhost:5000 --plain-http | grep ^team/",
    ],
)
@registry_argument
@click.option("--tags", is_flag=True, help="List each repository's tags too.")
@credential_options
@transport_options
@output_option("table", "wide", "json", "yaml", "name")
@pass_app
def catalog(
    app: App,
    *,
    registry: str | None,
    tags: bool,
    credential: CredentialOptions,
    transport: TransportOptions,
) -> None:
    """List the repositories of a registry."""
    client = app.registry(registry, credential, transport)
    columns = [Column[_Row]("REPOSITORY", lambda row: row.name)]
    if tags:
        columns.append(Column("TAGS", lambda row: ",".join(row.tags or ()) or "-"))
    app.output.listing(
        _rows(client, tags=tags),
        columns,
        key="repositories",
        name=lambda row: row.name,
        record=_record,
    )


def _rows(client: "RegistryClient", *, tags: bool) -> Iterator[_Row]:
    for name in client.repositories():
        yield _Row(name, tuple(client.tags(name)) if tags else None)


def _record(row: _Row) -> dict[str, Any]:
    record: dict[str, Any] = {"name": row.name}
    if row.tags is not None:
        record["tags"] = list(row.tags)
    return record

"""`regctl catalog`: the repositories of a registry."""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from itertools import islice
from typing import TYPE_CHECKING, Any

import click

from regctl.cli.app import App, old_registry, pass_app
from regctl.cli.images import image_record, moment, short, size_cell, unread
from regctl.cli.listings import Column, error_record
from regctl.cli.old.credential_options import CredentialOptions, credential_options
from regctl.cli.old.option_groups import (
    TransportOptions,
    output_option,
    registry_argument,
    transport_options,
    workers_option,
)
from regctl.cli.old.params import Command
from regctl.errors import InvalidInputError

if TYPE_CHECKING:
    from regctl.images.reader import Repository


@click.command(
    cls=Command,
    examples=[
        "regctl catalog registry.foo.com",
        "regctl catalog registry.foo.com --long --match 'team-a/*'",
        "regctl catalog registry.foo.com --tags -o json",
        "regctl catalog localhost:5000 --plain-http | grep ^team/",
    ],
)
@registry_argument
@click.option("--tags", is_flag=True, help="List each repository's tags too.")
@click.option("--long", is_flag=True, help="Count tags and sizes, name platforms and ages too.")
@click.option("--match", metavar="GLOB", help="Only repositories whose name this matches.")
@click.option("--limit", type=click.IntRange(1), metavar="N", help="List N repositories at most.")
@click.option("--last", metavar="NAME", help="Begin after this name.")
@click.option(
    "--sort",
    type=click.Choice(["name", "none"]),
    default="none",
    show_default=True,
    help="'none' is the registry's own order, which needs no waiting.",
)
@credential_options
@transport_options
@workers_option
@output_option("table", "wide", "json", "yaml", "name")
@pass_app
def catalog(
    app: App,
    *,
    registry: str | None,
    tags: bool,
    long: bool,
    match: str | None,
    limit: int | None,
    last: str | None,
    sort: str,
    credential: CredentialOptions,
    transport: TransportOptions,
    workers: int,
) -> None:
    """
    List the repositories of a registry.

    All of them, however many pages the registry makes of its list. A repository without a tag is
    one that the registry still names after its last tag was deleted. Sizes are those of what is
    stored; layers that images share are counted once.
    """
    if tags and long:
        raise InvalidInputError("--tags and --long at once", hint="pass one of them")
    client = old_registry(app, registry, credential, transport)
    names: Iterable[str] = client.repositories(last=last)
    if match is not None:
        names = (name for name in names if fnmatchcase(name, match))
    if sort == "name":
        names = _sorted(names)
    if limit is not None:
        names = islice(names, limit)
    if not tags and not long:
        app.output.listing(
            names,
            [Column[str]("REPOSITORY", lambda name: name)],
            key="repositories",
            name=lambda name: name,
            record=lambda name: {"name": name},
        )
        return
    from regctl.images.reader import read_repositories

    columns = _long_columns(app) if long else _tag_columns()
    seen: list[Repository] = []

    def rows() -> "Iterator[Repository]":
        for found in read_repositories(client, names, images=long, workers=workers):
            seen.append(found)
            yield found

    app.output.listing(
        rows(),
        columns,
        key="repositories",
        name=lambda r: r.name,
        record=_record(long=long),
        progress=("repositories", limit),
    )
    unread(app, [(found.name, found.error) for found in seen], "repositories")


def _sorted(names: Iterable[str]) -> Iterator[str]:
    yield from sorted(names)


def _tag_columns() -> "list[Column[Repository]]":
    return [
        Column("REPOSITORY", lambda r: r.name),
        Column("TAGS", lambda r: ",".join(r.tags) or _empty(r), style=_style),
    ]


def _long_columns(app: App) -> "list[Column[Repository]]":
    return [
        Column("REPOSITORY", lambda r: r.name),
        Column("TAGS", lambda r: str(len(r.tags)) if r.tags else _empty(r), style=_style),
        Column("SIZE", lambda r: size_cell(app, r.size), right=True),
        Column("PLATFORMS", lambda r: ",".join(r.platforms)),
        Column("NEWEST", lambda r: r.newest.reference if r.newest else ""),
        Column("DIGEST", lambda r: short(app, r.newest.digest) if r.newest else ""),
        Column("CREATED", lambda r: moment(app, r.newest.created if r.newest else None)),
    ]


def _empty(repository: "Repository") -> str:
    return "(no tags)" if repository.ghost else "(failed)"


def _style(repository: "Repository") -> str:
    return "red" if repository.error is not None else "yellow" if repository.ghost else ""


def _record(*, long: bool) -> Any:
    def record(repository: "Repository") -> dict[str, Any]:
        told: dict[str, Any] = {"name": repository.name, "tags": list(repository.tags)}
        if long:
            told["size"] = repository.size
            told["platforms"] = list(repository.platforms)
            told["images"] = [image_record(image) for image in repository.images]
        if repository.error is not None:
            told["error"] = error_record(repository.error)
        return told

    return record

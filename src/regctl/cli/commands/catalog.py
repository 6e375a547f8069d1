"""`regctl catalog`: the repositories of a registry."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command, option
from regctl.cli.images import (
    created_column,
    digest_column,
    error_column,
    image_record,
    list_readable,
    size_column,
)
from regctl.cli.listings import Column, Listing
from regctl.cli.options import CredentialFlags, SelectionFlags
from regctl.cli.params import image_list_options, registry_argument
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
@option("--tags", is_flag=True, help="Show the tags of each repository, too.")
@option("--limit", type=click.IntRange(1), metavar="N", help="List at most N repositories.")
@option("--last", metavar="NAME", help="List only repositories after this name.")
@option(
    "--sort",
    type=click.Choice(["name", "none"]),
    default="none",
    show_default=True,
    help="'none' keeps the registry's order and prints each page as it arrives.",
)
@image_list_options
@pass_app
def catalog(
    app: App,
    *,
    registry: str | None,
    tags: bool,
    limit: int | None,
    last: str | None,
    sort: str,
    selection: SelectionFlags,
    credential: CredentialFlags,
) -> None:
    """
    List the repositories of a registry.

    The list is complete, however many pages the registry splits it into. A repository without
    tags is one whose last tag was deleted. Sizes are those of the stored data; layers that images
    share count once.
    """
    from regctl.images.reader import read_repositories

    if tags and selection.long:
        raise InvalidInputError("cannot combine --tags and --long", hint="pass one of them")
    where = app.named_registry(registry)
    client = app.registry(where, credential)
    names = _select(client.repositories(last=last), selection, sort=sort, limit=limit)
    if not tags and not selection.long:
        app.output.listing(names, _NAMES.below(f"{where}/"))
        return
    workers = app.connections.workers
    found = read_repositories(client, names, images=selection.long, workers=workers)
    listing = _LONG if selection.long else _TAGS
    list_readable(app, found, listing.below(f"{where}/"), limit)


def _select(
    names: Iterable[str], selection: SelectionFlags, *, sort: str, limit: int | None
) -> Iterator[str]:
    matching: Iterable[str] = filter(selection.matches, names)
    yield from islice(sorted(matching) if sort == "name" else matching, limit)


def _without_tags(repository: "Repository") -> str:
    """Return what to show for a repository without tags."""
    return "(no tags)" if repository.ghost else "(failed)"


def _style(repository: "Repository") -> str:
    return "red" if repository.error is not None else "yellow" if repository.ghost else ""


_NAMES: Listing[str] = Listing("repositories", [Column("REPOSITORY", str, "name")], name=str)

_TAGS: "Listing[Repository]" = Listing(
    "repositories",
    [
        Column("REPOSITORY", lambda r: r.name, "name"),
        Column("TAGS", lambda r: ",".join(r.tags) or _without_tags(r), "", style=_style),
        Column(None, lambda r: r.tags, "tags"),
        error_column(lambda r: r.error),
    ],
    name=lambda r: r.name,
)

_LONG: "Listing[Repository]" = Listing(
    "repositories",
    [
        Column("REPOSITORY", lambda r: r.name, "name"),
        Column("TAGS", lambda r: len(r.tags) or _without_tags(r), "", style=_style),
        Column(None, lambda r: r.tags, "tags"),
        size_column(lambda r: r.size),
        Column("PLATFORMS", lambda r: r.platforms),
        Column("NEWEST", lambda r: r.newest.reference if r.newest else None, ""),
        digest_column(lambda r: r.newest.digest if r.newest else None, key=""),
        created_column(lambda r: r.newest.created if r.newest else None, key=""),
        Column(None, lambda r: tuple(map(image_record, r.images)), "images"),
        error_column(lambda r: r.error),
    ],
    name=lambda r: r.name,
)

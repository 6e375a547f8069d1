"""`regctl tags`: the tags of a repository."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command, option
from regctl.cli.completers import repositories
from regctl.cli.images import (
    created_column,
    digest_column,
    error_column,
    list_readable,
    naming_what_is_there,
    parse_repository,
    size_column,
)
from regctl.cli.listings import Column, Listing
from regctl.cli.options import CredentialFlags, SelectionFlags
from regctl.cli.params import image_list_options
from regctl.errors import InvalidInputError

if TYPE_CHECKING:
    from regctl.images.reader import TaggedImage


@click.command(
    cls=Command,
    examples=[
        "regctl tags registry.foo.com/team/app",
        "regctl tags registry.foo.com/team/app --long --sort created",
        "regctl tags registry.foo.com/team/app --match '1.*' -o json",
    ],
)
@click.argument("image", shell_complete=repositories)
@option(
    "--sort",
    type=click.Choice(["name", "created"]),
    default="name",
    show_default=True,
    help="'created' lists the newest first, and needs --long.",
)
@image_list_options
@pass_app
def tags(
    app: App, *, image: str, sort: str, selection: SelectionFlags, credential: CredentialFlags
) -> None:
    """List the tags of a repository."""
    from regctl.images.reader import read_tags

    reference = parse_repository(app, image, command="image inspect")
    if sort == "created" and not selection.long:
        raise InvalidInputError("--sort created needs --long", hint="pass --long, too")
    client = app.registry(reference.registry, credential, reference.repository)
    prefix = f"{reference.registry}/{reference.repository}:"
    with naming_what_is_there(app, client, reference):
        names = list(filter(selection.matches, client.tags(reference.repository)))
    if not selection.long:
        app.output.listing(names, _NAMES.below(prefix))
        return
    workers = app.connections.workers
    found: Iterable[TaggedImage] = read_tags(client, reference.repository, names, workers=workers)
    if sort == "created":
        found = sorted(found, key=_newest_first)
    list_readable(app, found, _LONG.below(prefix), len(names))


def _newest_first(found: "TaggedImage") -> float:
    created = found.image.created if found.image else None
    return -created.timestamp() if created else float("inf")


_NAMES: Listing[str] = Listing("tags", [Column("TAG", str, "name")], name=str)

_LONG: "Listing[TaggedImage]" = Listing(
    "tags",
    [
        Column("TAG", lambda t: t.tag, "name"),
        digest_column(lambda t: t.image.digest if t.image else None, missing="(failed)"),
        Column(None, lambda t: t.image.media_type if t.image else None, "media_type"),
        Column(None, lambda t: t.image.artifact_type if t.image else None, "artifact_type"),
        size_column(lambda t: t.image.size if t.image else None),
        Column("PLATFORMS", lambda t: t.image.platforms if t.image else None),
        created_column(lambda t: t.image.created if t.image else None),
        error_column(lambda t: t.error),
    ],
    name=lambda t: t.tag,
)

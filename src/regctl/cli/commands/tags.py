"""`regctl tags`: the tags of a repository."""

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import click

from regctl.cli.app import App, old_registry_as, pass_app
from regctl.cli.completers import repositories
from regctl.cli.images import image_record, moment, short, size_cell, unread
from regctl.cli.listings import Column, error_record
from regctl.cli.old.credential_options import CredentialOptions, credential_options
from regctl.cli.old.option_groups import (
    TransportOptions,
    output_option,
    transport_options,
    workers_option,
)
from regctl.cli.old.params import Command
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
@click.option("--long", is_flag=True, help="Show digests, sizes, platforms and ages too.")
@click.option("--match", metavar="GLOB", help="Only tags that this matches.")
@click.option(
    "--sort",
    type=click.Choice(["name", "created"]),
    default="name",
    show_default=True,
    help="'created' is the newest first, and needs --long.",
)
@credential_options
@transport_options
@workers_option
@output_option("table", "wide", "json", "yaml", "name")
@pass_app
def tags(
    app: App,
    *,
    image: str,
    long: bool,
    match: str | None,
    sort: str,
    credential: CredentialOptions,
    transport: TransportOptions,
    workers: int,
) -> None:
    """List the tags of a repository."""
    from regctl.images.reader import TaggedImage, read_tags
    from regctl.reference import ImageReference

    asked = ImageReference.parse(image)
    if asked.tag or asked.digest:
        raise InvalidInputError(
            f"cannot list the tags of {image}: it names one",
            hint=f"`regctl image inspect {image}` shows that one",
        )
    if sort == "created" and not long:
        raise InvalidInputError("--sort created without --long", hint="pass --long too")
    client = old_registry_as(
        app, asked.registry, credential.resolve(app, asked.registry), transport
    )
    found = [t for t in client.tags(asked.repository) if match is None or fnmatchcase(t, match)]
    rows: Iterator[TaggedImage] = map(TaggedImage, found)
    seen: list[TaggedImage] = []
    if long:
        rows = read_tags(client, asked.repository, found, workers=workers)
    if sort == "created":
        rows = iter(sorted(rows, key=_newest_first))

    def told() -> "Iterator[TaggedImage]":
        for row in rows:
            seen.append(row)
            yield row

    app.output.listing(
        told(),
        _columns(app, long=long),
        key="tags",
        name=lambda r: r.tag,
        record=_record,
        progress=("tags", len(found)) if long else None,
    )
    unread(app, [(row.tag, row.error) for row in seen], "tags")


def _newest_first(row: "TaggedImage") -> float:
    created = row.image.created if row.image else None
    return -created.timestamp() if created else float("inf")


def _columns(app: App, *, long: bool) -> "list[Column[TaggedImage]]":
    columns = [Column["TaggedImage"]("TAG", lambda r: r.tag)]
    if not long:
        return columns
    return [
        *columns,
        Column("DIGEST", lambda r: short(app, r.image.digest) if r.image else "(failed)"),
        Column("SIZE", lambda r: size_cell(app, r.image.size) if r.image else "", right=True),
        Column("PLATFORMS", lambda r: ",".join(r.image.platforms) if r.image else ""),
        Column("CREATED", lambda r: moment(app, r.image.created if r.image else None)),
    ]


def _record(row: "TaggedImage") -> dict[str, Any]:
    record: dict[str, Any] = {"name": row.tag}
    if row.image is not None:
        record |= image_record(row.image)
        del record["reference"]
    if row.error is not None:
        record["error"] = error_record(row.error)
    return record

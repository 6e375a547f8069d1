"""`regctl image inspect`, `image tag` and `image delete`: one image, as its registry holds it."""

from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, old_registry_as, pass_app
from regctl.cli.command import Command
from regctl.cli.completers import images
from regctl.cli.images import image_record, moment, short, size_cell, variant_record
from regctl.cli.listings import Column
from regctl.cli.old.credential_options import CredentialOptions, credential_options
from regctl.cli.old.option_groups import (
    TransportOptions,
    output_option,
    transport_options,
    yes_option,
)
from regctl.cli.output import Result, visible
from regctl.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regctl.images.reader import Image, Variant
    from regctl.outcome import Outcome


@click.command(
    cls=Command,
    examples=[
        "regctl image inspect registry.foo.com/team/app:1.0",
        "regctl image inspect registry.foo.com/team/app --platform linux/arm64 -o json",
    ],
)
@click.argument("image", shell_complete=images)
@click.option("--platform", metavar="OS/ARCH", help="Only the image for this platform.")
@credential_options
@transport_options
@output_option("table", "json", "yaml", "name")
@pass_app
def inspect(
    app: App,
    *,
    image: str,
    platform: str | None,
    credential: CredentialOptions,
    transport: TransportOptions,
) -> None:
    """
    Show an image: its digest, size, platforms, layers, age and labels.

    The digest is that of the manifest as it is stored, which is what the registry calls it by.
    """
    from regctl.images.manifests import Platform
    from regctl.images.reader import ImageReader
    from regctl.reference import ImageReference

    asked = ImageReference.parse(image)
    wanted = Platform.parse(platform) if platform is not None else None
    client = old_registry_as(
        app, asked.registry, credential.resolve(app, asked.registry), transport
    )
    found = ImageReader(client).image(asked.repository, asked.reference, platform=wanted)
    name = f"{asked.registry}/{asked.repository}"
    if app.output.structured:
        record = {"image": name, **image_record(found)}
        record["variants"] = [variant_record(variant) for variant in found.variants]
        app.output.document(record)
        return
    if app.output.on_terminal and app.output.format != "name":
        for field, value in _rows(app, name, found):
            app.output.line(visible(f"{field:<12}{value}"))
        return
    app.output.listing(
        [("", "")] if app.output.format == "name" else list(_rows(app, name, found)),
        [Column("FIELD", lambda row: row[0]), Column("VALUE", lambda row: row[1])],
        key="fields",
        name=lambda _row: f"{name}@{found.digest}",
        record=list,
    )


def _rows(app: App, name: str, image: "Image") -> "Iterator[tuple[str, str]]":
    yield "image", f"{name}{'@' if ':' in image.reference else ':'}{image.reference}"
    yield "digest", image.digest
    yield "media type", image.media_type
    if image.artifact_type:
        yield "artifact type", image.artifact_type
    yield "size", size_cell(app, image.size)
    if image.created:
        yield "created", moment(app, image.created)
    for variant in image.variants:
        yield from _variant_rows(app, variant)


def _variant_rows(app: App, variant: "Variant") -> "Iterator[tuple[str, str]]":
    yield "platform", f"{variant.platform or 'none named'} {size_cell(app, variant.size)}"
    for layer in variant.layers:
        yield "  layer", f"{short(app, layer.digest)} {size_cell(app, layer.size)}"
    for key, value in sorted(variant.labels.items()):
        yield "  label", f"{key}={value}"


@click.command(
    cls=Command,
    examples=[
        "regctl image tag registry.foo.com/team/app:1.0 stable",
        "regctl image tag registry.foo.com/team/app@sha256:0f3c... 1.0",
    ],
)
@click.argument("image", shell_complete=images)
@click.argument("new_tag")
@credential_options
@transport_options
@output_option("table", "json", "yaml", "name")
@pass_app
def tag(
    app: App,
    *,
    image: str,
    new_tag: str,
    credential: CredentialOptions,
    transport: TransportOptions,
) -> None:
    """
    Give an image another tag, in its own repository; nothing is uploaded.

    A tag that stands for something else is moved.
    """
    from regctl.images.tags import tag_image
    from regctl.reference import ImageReference, check_tag

    asked = ImageReference.parse(image)
    check_tag(new_tag)
    client = old_registry_as(
        app, asked.registry, credential.resolve(app, asked.registry), transport
    )
    app.output.results(_results([tag_image(client, asked, new_tag)]))


@click.command(
    cls=Command,
    examples=[
        "regctl image delete registry.foo.com/team/app:1.0",
        "regctl image delete registry.foo.com/team/app:1.0 --all-tags --yes",
        "regctl image delete registry.foo.com/team/app@sha256:0f3c... --yes",
    ],
)
@click.argument("image", shell_complete=images)
@click.option("--all-tags", is_flag=True, help="Delete every tag that the digest has.")
@yes_option
@credential_options
@transport_options
@output_option("table", "json", "yaml", "name")
@pass_app
def delete(
    app: App,
    *,
    image: str,
    all_tags: bool,
    yes: bool,
    credential: CredentialOptions,
    transport: TransportOptions,
) -> None:
    """
    Delete an image, after naming every tag that goes with it.

    Of an image with several tags only the one named is deleted; a registry that can't do that
    deletes nothing unless --all-tags says so. An image named by its digest goes with all its tags.
    The registry's own garbage collection frees the disk afterwards.
    """
    from regctl.images.tags import plan_deletion
    from regctl.reference import ImageReference

    asked = ImageReference.parse(image)
    if not asked.tag and not asked.digest:
        raise InvalidInputError(
            f"cannot delete {image}: which tag?", hint=f"name it, as {image}:latest"
        )
    client = old_registry_as(
        app, asked.registry, credential.resolve(app, asked.registry), transport
    )
    deletion = plan_deletion(client, asked, all_tags=all_tags)
    name = f"{asked.registry}/{asked.repository}"
    every = [*deletion.tags, *deletion.kept_tags]
    app.output.note(f"{name}@{deletion.digest} has {_tags_in_words(sorted(every))}")
    app.confirm(f"Delete {_tags_in_words(list(deletion.tags))} of {name}?", yes=yes)
    deletion.run(client)
    app.output.results(_results(deletion.outcomes))
    app.output.note("the registry's garbage collection frees the disk")


def _results(outcomes: "list[Outcome]") -> list[Result]:
    return [Result(o.kind, o.name, o.result, note=o.note, details=o.details) for o in outcomes]


def _tags_in_words(tags: list[str]) -> str:
    if not tags:
        return "no tag"
    return f"the tag {tags[0]}" if len(tags) == 1 else f"the tags {', '.join(tags)}"

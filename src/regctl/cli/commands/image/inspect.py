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
from regctl.errors import DeletionByDigestOnlyError, InvalidInputError, NotInRegistryError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regctl.images.reader import Image, Variant
    from regctl.reference import ImageReference
    from regctl.registry.client import RegistryClient


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
    from dataclasses import replace

    from regctl.images.manifests import Platform
    from regctl.images.reader import ImageReader
    from regctl.reference import ImageReference

    asked = ImageReference.parse(image)
    wanted = Platform.parse(platform) if platform is not None else None
    client = old_registry_as(
        app, asked.registry, credential.resolve(app, asked.registry), transport
    )
    found = ImageReader(client).image(asked.repository, asked.reference)
    if wanted is not None:
        fitting = tuple(v for v in found.variants if v.platform and wanted.runs(v.platform))
        if not fitting:
            has = ", ".join(found.platforms) or "none that it names"
            raise NotInRegistryError(f"{asked} is not for {wanted}", hint=f"its platforms: {has}")
        found = replace(found, variants=fitting)
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
    from regctl.images.reader import retag
    from regctl.reference import ImageReference, check_tag

    asked = ImageReference.parse(image)
    check_tag(new_tag)
    client = old_registry_as(
        app, asked.registry, credential.resolve(app, asked.registry), transport
    )
    digest, outcome = retag(client, asked.repository, asked.reference, new_tag)
    name = f"{asked.registry}/{asked.repository}:{new_tag}"
    app.output.results([Result("image", name, outcome, note=digest, details={"digest": digest})])


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
    from regctl.images.reader import tag_digests
    from regctl.reference import ImageReference

    asked = ImageReference.parse(image)
    if not asked.tag and not asked.digest:
        raise InvalidInputError(
            f"cannot delete {image}: which tag?", hint=f"name it, as {image}:latest"
        )
    client = old_registry_as(
        app, asked.registry, credential.resolve(app, asked.registry), transport
    )
    digest = client.manifest_head(asked.repository, asked.reference).digest
    listed = tag_digests(client, asked.repository, client.tags(asked.repository))
    same = sorted(tag for tag, its in listed.items() if its == digest)
    by_digest = bool(asked.digest) or all_tags or same == [asked.tag]
    going = same if by_digest else [str(asked.tag)]
    name = f"{asked.registry}/{asked.repository}"
    app.output.note(f"{name}@{digest} has {_tags_in_words(same)}")
    app.confirm(f"Delete {_tags_in_words(going)} of {name}?", yes=yes)
    _delete(client, asked, digest if by_digest else None, same)
    app.output.results(
        [Result("image", f"{name}:{tag}", "deleted", details={"digest": digest}) for tag in going]
        or [Result("image", f"{name}@{digest}", "deleted", details={"digest": digest})]
    )
    app.output.note("the registry's garbage collection frees the disk")


def _delete(
    client: "RegistryClient", asked: "ImageReference", digest: str | None, same: list[str]
) -> None:
    try:
        client.delete_manifest(asked.repository, digest or str(asked.tag))
    except DeletionByDigestOnlyError as error:
        others = ", ".join(one for one in same if one != asked.tag)
        raise DeletionByDigestOnlyError(
            f"{error.message}, and that would delete {others} too",
            hint="pass --all-tags if they may go",
        ) from error


def _tags_in_words(tags: list[str]) -> str:
    if not tags:
        return "no tag"
    return f"the tag {tags[0]}" if len(tags) == 1 else f"the tags {', '.join(tags)}"

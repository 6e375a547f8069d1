"""`regctl image inspect`: one image, as its registry holds it."""

from typing import TYPE_CHECKING

import click

from regctl.cli._app import App, pass_app
from regctl.cli._candidates import images
from regctl.cli._command import Command
from regctl.cli._credentials import CredentialOptions, credential_options
from regctl.cli._images import image_record, moment, short, size_cell, variant_record
from regctl.cli._options import TransportOptions, output_option, transport_options
from regctl.cli._output import Column, visible
from regctl.errors import NotFoundError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regctl.images import Image, Variant


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

    from regctl.images import Reader
    from regctl.manifests import Platform
    from regctl.reference import ImageReference

    asked = ImageReference.parse(image)
    wanted = Platform.parse(platform) if platform is not None else None
    client = app.registry_as(asked.registry, credential.resolve(app, asked.registry), transport)
    found = Reader(client).image(asked.repository, asked.reference)
    if wanted is not None:
        fitting = tuple(v for v in found.variants if v.platform and wanted.runs(v.platform))
        if not fitting:
            has = ", ".join(found.platforms) or "none that it names"
            raise NotFoundError(f"{asked} is not for {wanted}", hint=f"its platforms: {has}")
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

"""`regctl image inspect`: one image in a registry."""

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command
from regctl.cli.completers import images
from regctl.cli.humanize import age
from regctl.cli.images import (
    image_record,
    naming_what_is_there,
    parse_image,
    platform_option,
    size_column,
    variant_record,
)
from regctl.cli.listings import Column, Listing
from regctl.cli.options import CredentialFlags
from regctl.cli.params import image_options
from regctl.cli.rendering import as_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regctl.images.manifests import Platform
    from regctl.images.reader import Image


class _Field(NamedTuple):
    name: str
    value: str | datetime | None = None
    size: int | None = None


_FIELDS: Listing[_Field] = Listing(
    "fields",
    [
        Column("FIELD", lambda f: f.name),
        Column(
            "VALUE",
            lambda f: f.value,
            text=lambda value: age(value) if isinstance(value, datetime) else as_text(value),
            exact=as_text,
        ),
        size_column(lambda f: f.size),
    ],
    name=lambda f: f.name,
)


@click.command(
    cls=Command,
    examples=[
        "regctl image inspect registry.foo.com/team/app:1.0",
        "regctl image inspect registry.foo.com/team/app --platform linux/arm64 -o json",
    ],
)
@click.argument("image", shell_complete=images)
@platform_option
@image_options
@pass_app
def inspect(
    app: App, *, image: str, platform: "Platform | None", credential: CredentialFlags
) -> None:
    """
    Show an image: its digest, size, platforms, layers, age and labels.

    The digest is that of the manifest as the registry stores it.
    """
    from regctl.images.reader import ImageReader

    reference = parse_image(app, image)
    client = app.registry(reference.registry, credential, reference.repository)
    with naming_what_is_there(app, client, reference):
        found = ImageReader(client).image(
            reference.repository, reference.reference, platform=platform
        )
    name = f"{reference.registry}/{reference.repository}"
    if app.output.structured:
        variants = [variant_record(variant) for variant in found.variants]
        app.output.document({"image": name, **image_record(found), "variants": variants})
    elif app.output.format == "name":
        app.output.line(f"{name}@{found.digest}")
    else:
        app.output.listing(_fields(name, found), _FIELDS)


def _fields(name: str, image: "Image") -> "Iterator[_Field]":
    yield _Field("image", f"{name}{'@' if ':' in image.reference else ':'}{image.reference}")
    yield _Field("digest", image.digest)
    yield _Field("media type", image.media_type)
    if image.artifact_type:
        yield _Field("artifact type", image.artifact_type)
    yield _Field("size", None, image.size)
    if image.created:
        yield _Field("created", image.created)
    for variant in image.variants:
        yield _Field("platform", str(variant.platform or "not named"), variant.size)
        for layer in variant.manifest.layers:
            yield _Field("  layer", layer.digest, layer.size)
        for key, value in sorted(variant.configuration.labels.items()):
            yield _Field("  label", f"{key}={value}")

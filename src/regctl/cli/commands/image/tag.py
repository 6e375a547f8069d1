"""`regctl image tag`: another tag for an image."""

from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command
from regctl.cli.completers import images, tags
from regctl.cli.images import (
    naming_what_is_there,
    parse_image,
)
from regctl.cli.options import ChangeFlags, CredentialFlags
from regctl.cli.params import change_options, image_options
from regctl.errors import InvalidInputError

if TYPE_CHECKING:
    from regctl.reference import ImageReference


@click.command(
    cls=Command,
    examples=[
        "regctl image tag registry.foo.com/team/app:1.0 stable",
        "regctl image tag registry.foo.com/team/app@sha256:0f3c... 1.0",
    ],
)
@click.argument("image", shell_complete=images)
@click.argument("new_tag", shell_complete=tags)
@change_options()
@image_options
@pass_app
def tag(
    app: App, *, image: str, new_tag: str, change: ChangeFlags, credential: CredentialFlags
) -> None:
    """
    Add a tag to an image in its repository, without uploading anything.

    NEW_TAG may be a whole name, as for docker, if it is in the same repository. A tag that refers
    to another image is moved.
    """
    from regctl.images.tags import tag_image
    from regctl.reference import check_tag

    reference = parse_image(app, image)
    if "/" in new_tag:
        new_tag = _tag_of(parse_image(app, new_tag), reference)
    check_tag(new_tag)
    client = app.registry(reference.registry, credential, reference.repository)
    with naming_what_is_there(app, client, reference):
        app.carry_out(
            lambda dry_run: [[tag_image(client, reference, new_tag, dry_run=dry_run is not None)]],
            change,
        )


def _tag_of(new: "ImageReference", image: "ImageReference") -> str:
    """Return the tag of *new*, in the repository of *image*. Raises InvalidInputError."""
    if (new.registry, new.repository) != (image.registry, image.repository) or new.digest:
        raise InvalidInputError(
            f"cannot tag {image} as {new}: a tag stays in its repository",
            hint=f"pass a tag of {image.registry}/{image.repository}, such as 1.0",
        )
    return new.tag or "latest"

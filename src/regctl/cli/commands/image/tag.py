"""`regctl image tag`: another tag for an image."""

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command
from regctl.cli.completers import images, tags
from regctl.cli.images import parse_image
from regctl.cli.options import ChangeFlags, CredentialFlags
from regctl.cli.params import change_options, image_options


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

    A tag that refers to another image is moved.
    """
    from regctl.images.tags import tag_image
    from regctl.reference import check_tag

    reference = parse_image(app, image)
    check_tag(new_tag)
    client = app.registry(reference.registry, credential, reference.repository)
    app.carry_out(
        lambda dry_run: [[tag_image(client, reference, new_tag, dry_run=dry_run is not None)]],
        change,
    )

"""`regctl image delete`: delete an image, or one of its tags."""

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command, option
from regctl.cli.completers import images
from regctl.cli.images import note_garbage_collection, parse_image
from regctl.cli.options import ChangeFlags, CredentialFlags
from regctl.cli.params import change_options, image_options
from regctl.errors import InvalidInputError


@click.command(
    cls=Command,
    examples=[
        "regctl image delete registry.foo.com/team/app:1.0",
        "regctl image delete registry.foo.com/team/app:1.0 --all-tags --yes",
        "regctl image delete registry.foo.com/team/app@sha256:0f3c... --yes",
    ],
)
@click.argument("image", shell_complete=images)
@option("--all-tags", is_flag=True, help="Delete every tag of the image.")
@change_options("yes")
@image_options
@pass_app
def delete(
    app: App, *, image: str, all_tags: bool, change: ChangeFlags, credential: CredentialFlags
) -> None:
    """
    Delete an image, or one of its tags.

    If the image has other tags, only the named tag is deleted. A registry that cannot do that
    deletes nothing without --all-tags. An image named by its digest is deleted with all its tags.
    The registry's garbage collection frees the disk afterwards.
    """
    from regctl.images.tags import plan_deletion

    reference = parse_image(app, image)
    if not reference.tag and not reference.digest:
        raise InvalidInputError(
            f"cannot delete {image}: it has no tag", hint=f"name a tag, as in {image}:latest"
        )
    client = app.registry(reference.registry, credential, reference.repository)
    deletion = plan_deletion(client, reference, all_tags=all_tags)
    planned = ", ".join(outcome.name for outcome in deletion.run(dry_run=True))
    tags = ", ".join(sorted((*deletion.tags, *deletion.kept_tags))) or "none"
    app.output.note(f"tags of {reference.repository}@{deletion.digest}: {tags}")
    outcomes = app.carry_out(
        lambda dry_run: [deletion.run(dry_run=dry_run is not None)],
        change,
        question=f"Delete {planned}?",
    )
    note_garbage_collection(app, outcomes, change)

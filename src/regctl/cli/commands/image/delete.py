"""`regctl image delete`: delete a tag, or an image by its digest."""

from functools import partial
from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command, option
from regctl.cli.completers import images
from regctl.cli.images import (
    naming_what_is_there,
    note_garbage_collection,
    parse_image,
)
from regctl.cli.options import ChangeFlags, CredentialFlags
from regctl.cli.params import (
    change_options,
    cluster_options,
    ignore_not_found_option,
    image_options,
)
from regctl.cli.usage import UsageFlags, images_in_use, usage_options
from regctl.errors import DeletionByDigestOnlyError, DeletionRefusedError, InvalidInputError
from regctl.wording import some_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from regctl.images.tags import Deletion
    from regctl.outcome import Outcome
    from regctl.workflows.usage import UsedImage


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
@option("--force", is_flag=True, help="Delete a digest even if an index needs it.")
@ignore_not_found_option
@change_options("yes")
@usage_options
@image_options
@cluster_options
@pass_app
def delete(
    app: App,
    *,
    image: str,
    all_tags: bool,
    force: bool,
    change: ChangeFlags,
    usage: UsageFlags,
    credential: CredentialFlags,
) -> None:
    """
    Delete a tag, or an image by its digest.

    IMAGE with a tag deletes only that tag. A registry may delete only whole images: then regctl
    names the other tags of the image and asks. IMAGE with a digest, or --all-tags, deletes the
    image with all its tags. An image that a tagged index needs is not deleted without --force. The
    output is 'accepted' if the registry deletes later. The registry's garbage collection frees the
    disk afterwards.

    What a workload of the cluster uses is not deleted. If the cluster of the kubeconfig cannot be
    asked, nothing is deleted.
    """
    from regctl.images.tags import plan_deletion

    reference = parse_image(app, image)
    if not reference.tag and not reference.digest:
        raise InvalidInputError(
            f"cannot delete {image}: it has no tag", hint=f"name a tag, as in {image}:latest"
        )
    client = app.registry(reference.registry, credential, reference.repository)
    plan = partial(plan_deletion, client, reference, all_tags=all_tags, force=force)
    with naming_what_is_there(app, client, reference):
        deletion = plan()
    in_use = images_in_use(app, usage)
    _refuse_used(deletion, in_use)
    planned = ", ".join(outcome.name for outcome in deletion.run(dry_run=True))
    if deletion.reference == deletion.digest:
        tags = ", ".join(deletion.tags) or "none"
        app.output.note(f"tags of {reference.repository}@{deletion.digest}: {tags}")
    question = f"Delete {planned}?"
    try:
        outcomes = _carry_out(app, plan, deletion, change, question)
    except DeletionByDigestOnlyError as error:
        plan = partial(plan, all_tags=True)
        whole = plan()
        _refuse_used(whole, in_use)
        if whole.digest != deletion.digest:
            raise DeletionRefusedError(f"cannot delete {image}: it was moved meanwhile") from error
        others = ", ".join(tag for tag in whole.tags if tag != reference.tag)
        if others and (change.yes or not app.interactive):
            raise DeletionByDigestOnlyError(
                f"{error.message}, which also deletes {others}",
                hint="pass --all-tags to delete all of them",
            ) from error
        question = f"The registry deletes by digest only. Also delete {others}?"
        outcomes = _carry_out(app, plan, whole, change, question if others else None)
    note_garbage_collection(app, outcomes, change)


def _refuse_used(deletion: "Deletion", in_use: "Sequence[UsedImage]") -> None:
    """Raise DeletionRefusedError if a workload uses what is deleted."""
    from regctl.workflows.usage import users_of

    used = users_of(in_use, deletion.image)
    deleted = [
        *deletion.tags,
        *([deletion.digest] if deletion.reference == deletion.digest else []),
    ]
    users = {used[one] for one in deleted if one in used}
    if users:
        raise DeletionRefusedError(
            f"cannot delete {deletion.image}: {some_of(sorted(users))} uses it",
            hint="--ignore-cluster deletes it anyway",
        )


def _carry_out(
    app: App,
    plan: "Callable[[], Deletion]",
    deletion: "Deletion",
    change: ChangeFlags,
    question: str | None,
) -> "list[Outcome]":
    def run(dry_run: str | None) -> "list[list[Outcome]]":
        # Much may change while somebody reads the question.
        if dry_run is None and question and not change.yes and plan() != deletion:
            raise DeletionRefusedError(
                f"cannot delete {deletion.image}: its tags have changed since",
                hint="run the command again",
            )
        return [deletion.run(dry_run=dry_run is not None)]

    return app.carry_out(run, change, question=question)

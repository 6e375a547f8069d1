"""`regctl image prune`: delete old images from repositories, by rules."""

from functools import partial
from itertools import chain
from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command, option, option_group
from regctl.cli.completers import repositories
from regctl.cli.images import note_garbage_collection, parse_repository
from regctl.cli.options import ChangeFlags, CredentialFlags
from regctl.cli.params import (
    Duration,
    change_options,
    cluster_options,
    image_options,
    workers_option,
)
from regctl.cli.usage import UsageFlags, images_in_use, usage_options
from regctl.errors import InvalidInputError
from regctl.images.retention import RetentionRules, decide
from regctl.wording import count

if TYPE_CHECKING:
    from collections.abc import Callable

    from regctl.images.prune import PrunePlan
    from regctl.images.retention import TagDecision
    from regctl.reference import ImageReference
    from regctl.registry.client import RegistryClient


rule_options = option_group(
    "rules",
    RetentionRules,
    option(
        "--keep-last",
        type=click.IntRange(min=1),
        metavar="N",
        heading="Rules",
        help="Keep the N images of each repository that were built last.",
    ),
    option(
        "--keep",
        multiple=True,
        metavar="GLOB",
        heading="Rules",
        help="Keep tags that match; repeatable.",
    ),
    option(
        "--older-than",
        type=Duration(minimum=3600),
        metavar="DURATION",
        heading="Rules",
        help="Keep images that are younger than this: 30d, 12w, 48h.",
    ),
)


@click.command(
    cls=Command,
    examples=[
        "regctl image prune registry.foo.com/team/app --keep-last 5 --dry-run",
        "regctl image prune registry.foo.com/team/app --older-than 30d --keep 'v*' --yes",
        "regctl image prune registry.foo.com/a registry.foo.com/b --keep-last 9 --check",
    ],
)
@click.argument(
    "names", metavar="REPOSITORY...", nargs=-1, required=True, shell_complete=repositories
)
@rule_options
@change_options("check", "yes")
@usage_options
@image_options
@cluster_options
@workers_option
@pass_app
def prune(
    app: App,
    *,
    names: tuple[str, ...],
    rules: RetentionRules,
    change: ChangeFlags,
    usage: UsageFlags,
    credential: CredentialFlags,
) -> None:
    """
    Delete the images of repositories that no rule keeps, and no workload of the cluster uses.

    A workload uses what its Pods run and what its template names, by tag or by digest. If the
    cluster of the kubeconfig cannot be asked, nothing is deleted.

    An image that a kept tag uses is never deleted: the platforms and attestations of an index, and
    what a signature is about. Neither is an image that cannot be read or has no build date. If an
    index cannot be read, nothing is deleted from its repository. The tags are read again during
    the deletion: all of them after each tenth, and those of an image right before it. The output
    names the rule that keeps a tag. The registry's garbage collection frees the disk afterwards.
    """
    from regctl.workflows.usage import users_of

    if not rules.select_images:
        raise InvalidInputError(
            "no rule selects images to delete", hint="pass --keep-last, --older-than or both"
        )
    parsed = [parse_repository(app, name, command="image delete") for name in names]
    clients = {one.registry: app.registry(one.registry, credential) for one in parsed}
    in_use = images_in_use(app, usage)
    plans = [
        _plan(
            app,
            clients[one.registry],
            one,
            partial(decide, rules=rules, used=users_of(in_use, one)),
        )
        for one in parsed
    ]
    tags = sum(len(plan.deletions) for plan in plans)
    outcomes = app.carry_out(
        lambda dry_run: chain.from_iterable(p.run(dry_run=dry_run is not None) for p in plans),
        change,
        question=f"Delete {count(tags, 'tag')}?" if tags else None,
        preview=True,
    )
    note_garbage_collection(app, outcomes, change)


def _plan(
    app: App,
    client: "RegistryClient",
    repository: "ImageReference",
    decide: "Callable[..., tuple[TagDecision, ...]]",
) -> "PrunePlan":
    from regctl.images.prune import PrunePlan
    from regctl.images.reader import read_tags

    workers = app.connections.workers
    tags = client.tags(repository.repository)
    found = []
    with app.output.progress(str(repository), len(tags)) as advance:
        for one in read_tags(client, repository.repository, tags, needs=True, workers=workers):
            found.append(one)
            advance()
    return PrunePlan(client, repository, decide(found, now=app.now()), workers)

"""`regctl secret delete`: delete a pull secret."""

from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command
from regctl.cli.completers import pull_secrets
from regctl.cli.options import ChangeFlags, TargetFlags, split_reference
from regctl.cli.params import (
    change_options,
    cluster_options,
    ignore_not_found_option,
    output_option,
    target_options,
    workers_option,
)
from regctl.errors import ObjectNotFoundError
from regctl.wording import count

if TYPE_CHECKING:
    from collections.abc import Iterator

    from regctl.outcome import DryRun, Outcome


@click.command(
    cls=Command,
    examples=[
        "regctl secret delete registry.foo.com -n team-a",
        "regctl secret delete registry.foo.com -A --dry-run",
        "regctl secret delete regcred -l team=blue --yes",
    ],
)
@click.argument("name", shell_complete=pull_secrets)
@target_options
@ignore_not_found_option
@change_options("yes", "adopt-deleted", server=True)
@output_option("json", "yaml", "name")
@workers_option
@cluster_options
@pass_app
def delete(app: App, *, name: str, targets: TargetFlags, change: ChangeFlags) -> None:
    """
    Delete a pull secret, and first detach it from the service accounts that use it.

    A namespace that is named with -n and does not have it is an error.
    """
    from regctl.cluster.resource import check_object_name
    from regctl.pullsecrets import inventory

    name, targets = split_reference(name, "secret", targets)
    check_object_name(name, "Secret")
    selected = app.targets(targets)
    found = inventory.find_pull_secrets(app.cluster, selected, name)
    if not found.items and not found.errors:
        raise ObjectNotFoundError(
            f"cannot delete secret {name}: no selected namespace has it",
            hint="`regctl secret list -A` shows the Secrets",
        )
    missing = () if app.ignores_missing else found.missing(name, selected.named)

    def run(dry_run: "DryRun | None") -> "Iterator[tuple[Outcome, ...]]":
        yield (*found.unread(name), *missing)
        yield from inventory.delete(app.cluster, found.items, adopt=change.adopt, dry_run=dry_run)

    deletable = inventory.deletable(found.items, adopt=change.adopt)
    question = f"Delete {count(len(deletable), 'Secret')}?" if deletable else None
    app.carry_out(run, change, question=question, preview=True)

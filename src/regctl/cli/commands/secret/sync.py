"""`regctl secret sync`: pull secrets declared in a file."""

from pathlib import Path

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command, option
from regctl.cli.options import ChangeFlags, VerificationFlags
from regctl.cli.params import (
    FilePath,
    change_options,
    cluster_options,
    output_option,
    verification_options,
    workers_option,
)
from regctl.cli.verification import verification
from regctl.wording import count


@click.command(
    cls=Command,
    examples=[
        "regctl secret sync pull-secrets.yaml",
        "regctl secret sync pull-secrets.yaml --check",
        "regctl secret sync pull-secrets.yaml --prune --yes",
    ],
)
@click.argument("file", type=FilePath())
@option("--prune", is_flag=True, help="Delete Secrets that the file no longer declares.")
@change_options("check", "yes", "adopt", "replace", server=True)
@output_option("json", "yaml", "name")
@workers_option
@cluster_options
@verification_options
@pass_app
def sync(
    app: App, *, file: Path, prune: bool, change: ChangeFlags, trial: VerificationFlags
) -> None:
    """
    Create or update the pull secrets declared in a file.

    The file is YAML. docs/secret-sync.md describes it, and a JSON schema for editors is in the
    package regctl.pullsecrets. A Secret that is to be written with a password that its registry
    rejects is left as it is.
    """
    from regctl.pullsecrets.plan import TakeoverPolicy
    from regctl.pullsecrets.sync import Sync, parse

    text = app.read_text(str(file), "the file")
    task = Sync(
        parse(text, source=str(file), folder=file.parent),
        app.cluster,
        app.environ,
        TakeoverPolicy(change.adopt, change.replace),
        prune,
        notice=app.output.warning,
        verify=verification(app, trial),
    )
    number = len(task.prunable)
    question = f"Delete {count(number, 'Secret')} and make the other changes?" if number else None
    progress = ("namespaces", task.size)
    app.carry_out(task.run, change, question=question, preview=True, progress=progress)

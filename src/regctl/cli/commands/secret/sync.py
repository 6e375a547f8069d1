"""`regctl secret sync`: pull secrets declared in a file."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, old_cluster, pass_app
from regctl.cli.old.option_groups import (
    ClusterOptions,
    cluster_options,
    dry_run_option,
    output_option,
    workers_option,
    yes_option,
)
from regctl.cli.old.params import Command
from regctl.cli.output import Result
from regctl.cli.pull_secrets import (
    carried_out,
    confirm_deletion,
    interrupted,
    report_drift,
    results,
)
from regctl.errors import RegctlError
from regctl.outcome import DryRun

if TYPE_CHECKING:
    from regctl.outcome import Outcome
    from regctl.pullsecrets.rollout import Rollout


@click.command(
    cls=Command,
    examples=[
        "regctl secret sync pull-secrets.yaml",
        "regctl secret sync pull-secrets.yaml --check",
        "regctl secret sync pull-secrets.yaml --prune --yes",
    ],
)
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--check", "check_only", is_flag=True, help="Change nothing; exit with 1 on drift.")
@click.option("--prune", is_flag=True, help="Delete what this file made and names no more.")
@click.option("--adopt", is_flag=True, help="Take over a Secret that somebody made by hand.")
@click.option("--replace", is_flag=True, help="Delete and create where it can't be changed.")
@dry_run_option
@yes_option
@output_option("json", "yaml", "name")
@workers_option
@cluster_options
@pass_app
def sync(
    app: App,
    *,
    file: Path,
    check_only: bool,
    prune: bool,
    adopt: bool,
    replace: bool,
    dry_run: DryRun | None,
    yes: bool,
    workers: int,
    cluster_options: ClusterOptions,
) -> None:
    """
    Bring about the pull secrets that a file declares: several registries and targets.

    The file is YAML; docs/secret-sync.md describes it, and a JSON schema for editors is beside it.
    """
    from regctl.pullsecrets import inventory
    from regctl.pullsecrets import sync as syncfile
    from regctl.pullsecrets.plan import TakeoverPolicy

    declared = syncfile.read(file)
    cluster = old_cluster(app, cluster_options)
    cluster.workers = workers
    mode: DryRun | None = "client" if check_only else dry_run
    task = syncfile.Sync(declared, cluster, app.environ, TakeoverPolicy(adopt, replace))
    rollouts: list[Rollout] = []
    outcomes: list[Outcome] = []
    failures: list[Result] = []
    for wanted, rollout in task.rollouts():
        if isinstance(rollout, RegctlError):
            failures.append(Result("secret", wanted.name, "failed", error=rollout))
            continue
        for credential in rollout.desired.credentials.values():
            for hidden in credential.sensitive_values:
                app.output.redact(hidden)
        rollouts.append(rollout)
        outcomes += carried_out(app, rollout, mode)
    if prune and failures:
        app.output.warning("nothing is pruned: some of the file could not be read")
    elif prune:
        items = task.prunable(rollouts)
        if items and mode is None:
            confirm_deletion(app, items, yes=yes)
        with interrupted(app, outcomes, mode):
            for some in inventory.delete(cluster, items, dry_run=mode):
                outcomes += some
    if check_only and not failures:
        report_drift(app, outcomes)
        return
    app.output.results([*failures, *results(outcomes)], dry_run=mode)

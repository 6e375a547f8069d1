"""What the commands about pull secrets share: carrying out, telling, and what Ctrl-C leaves."""

from contextlib import contextmanager
from typing import TYPE_CHECKING

from regctl.cli.app import App, old_cluster
from regctl.cli.listings import Column, error_record
from regctl.cli.old.option_groups import ClusterOptions, TargetOptions
from regctl.cli.output import Result
from regctl.errors import DifferenceError, PartlyDoneError, RegctlError
from regctl.outcome import DryRun

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from regctl.cluster.client import Cluster
    from regctl.outcome import Outcome
    from regctl.provisioning.listing import InstalledRegistries
    from regctl.pullsecrets.inventory import Inventory, PullSecretUse
    from regctl.pullsecrets.rollout import Rollout


def carried_out(app: App, rollout: "Rollout", dry_run: DryRun | None) -> "list[Outcome]":
    """Run a rollout under a progress bar; return what became of each namespace."""
    outcomes: list[Outcome] = []
    total = len(rollout.observed.namespaces)
    with (
        interrupted(app, outcomes, dry_run),
        app.output.progress(f"secret {rollout.desired.name}", total) as advance,
    ):
        for some in rollout.run(dry_run):
            outcomes += some
            advance()
    if dry_run is None and any(
        outcome.kind == "serviceaccount" and outcome.result == "configured" for outcome in outcomes
    ):
        app.output.note("pods that run already keep the list they started with")
    return outcomes


@contextmanager
def interrupted(
    app: App, outcomes: "Sequence[Outcome]", dry_run: DryRun | None
) -> "Iterator[None]":
    """On Ctrl-C print what was done and what was not."""
    try:
        yield
    except KeyboardInterrupt:
        try:
            app.output.results(results(outcomes), dry_run=dry_run)
        except RegctlError as error:
            # That it was interrupted is the end of the run; the caller says so.
            app.output.error(error)
        raise


def _ordered(outcomes: "Iterable[Outcome]") -> "list[Outcome]":
    return sorted(outcomes, key=lambda o: (o.namespace or "", o.kind != "secret", o.name))


def results(outcomes: "Iterable[Outcome]") -> list[Result]:
    return [
        Result(
            outcome.kind,
            outcome.name,
            outcome.result,
            namespace=outcome.namespace,
            note=outcome.note,
            error=outcome.error,
        )
        for outcome in _ordered(outcomes)
    ]


def report_drift(app: App, outcomes: "Sequence[Outcome]") -> None:
    """List what is not as it shall be, and raise DifferenceError where anything is."""
    ordered = _ordered(outcomes)
    drifted = [outcome for outcome in ordered if outcome.result not in {"unchanged", "skipped"}]
    app.output.listing(
        drifted,
        [
            Column("NAMESPACE", lambda o: o.namespace or ""),
            Column("OBJECT", lambda o: f"{o.kind}/{o.name}"),
            Column("WOULD BE", lambda o: o.result, style=lambda _: "yellow"),
            Column("BECAUSE", _because),
        ],
        key="differences",
        name=lambda o: f"{o.namespace}/{o.kind}/{o.name}",
        record=lambda o: {
            "namespace": o.namespace,
            "kind": o.kind,
            "name": o.name,
            "result": o.result,
            "differences": list(o.differences),
            "note": o.note,
            "error": error_record(o.error) if o.error else None,
        },
    )
    failed = [outcome.error for outcome in drifted if outcome.result == "failed" and outcome.error]
    if failed:
        if len(failed) == len(ordered) == 1:
            raise failed[0]
        raise PartlyDoneError(f"{len(failed)} of {len(ordered)} could not be compared")
    if drifted:
        raise DifferenceError(
            f"{len(drifted)} of {len(ordered)} differ",
            hint="the same flags to `regctl secret create` make them the same",
        )


def _because(outcome: "Outcome") -> str:
    reasons = list(outcome.differences)
    if outcome.error is not None:
        reasons.append(outcome.error.message)
    return "; ".join(reasons)


def look(
    app: App,
    name: str | None,
    target_options: TargetOptions,
    cluster_options: ClusterOptions,
    workers: int,
    *,
    cluster: "Cluster | None" = None,
) -> "Inventory":
    """Look at the pull secrets of the namespaces asked for."""
    from regctl.pullsecrets import inventory

    targets = target_options.targets()
    cluster = cluster or old_cluster(app, cluster_options)
    cluster.workers = workers
    return inventory.list_pull_secrets(
        cluster, targets.resolve(cluster), everywhere=targets.listed, name=name
    )


def unreadable(name: str, found: "Inventory") -> list[Result]:
    return [
        Result("secret", name, "failed", namespace=namespace, error=error)
        for namespace, error in sorted(found.errors.items())
    ]


def raise_if_unreadable(app: App, found: "Inventory | InstalledRegistries") -> None:
    """Report the namespaces that can't be looked at."""
    errors = [error for _, error in sorted(found.errors.items())]
    if len(errors) == 1 and not found.items:
        raise errors[0]
    for error in errors:
        app.output.error(error)
    if errors:
        raise PartlyDoneError(f"{len(errors)} namespaces could not be looked at")


def confirm_deletion(app: App, items: "Sequence[PullSecretUse]", *, yes: bool) -> None:
    """Show what is to be deleted, and ask."""
    if not yes:
        for item in items:
            used = ", ".join(item.account_names or ())
            by = f", used by {used}" if used else ""
            app.output.note(f"to be deleted: {item.secret.namespace}/{item.secret.name}{by}")
    count = "1 Secret" if len(items) == 1 else f"{len(items)} Secrets"
    app.confirm(f"Delete {count}?", yes=yes)

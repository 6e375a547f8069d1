"""`regctl secret check`: whether pull secrets work."""

from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, old_registry_as, pass_app
from regctl.cli.listings import Column
from regctl.cli.old.option_groups import (
    ClusterOptions,
    TargetOptions,
    TransportOptions,
    cluster_options,
    output_option,
    target_options,
    transport_options,
    workers_option,
)
from regctl.cli.old.params import Command
from regctl.cli.output import Advance
from regctl.cli.pull_secrets import look, raise_if_unreadable
from regctl.errors import DifferenceError, RegctlError

if TYPE_CHECKING:
    from regctl.credentials.credential import Credential
    from regctl.pullsecrets.check import Finding, Trial
    from regctl.reference import Registry


@click.command(
    cls=Command,
    examples=[
        "regctl secret check -A",
        "regctl secret check registry.foo.com -n team-a --offline",
    ],
)
@click.argument("name", required=False)
@click.option("--offline", is_flag=True, help="Try no credential at its registry.")
@target_options
@output_option("table", "json", "yaml", "name")
@workers_option
@cluster_options
@transport_options
@pass_app
def check(
    app: App,
    *,
    name: str | None,
    offline: bool,
    target_options: TargetOptions,
    workers: int,
    cluster_options: ClusterOptions,
    transport: TransportOptions,
) -> None:
    """Check that pull secrets work: as the kubelet reads them, and at their registries."""
    from regctl.pullsecrets import check as secretcheck

    found = look(app, name, target_options, cluster_options, workers)
    if found.accounts is None:
        app.output.warning(
            "service accounts may not be listed: one may name a Secret that is not there"
        )
    with app.output.progress("credentials tried", None) as advance:
        trial = None if offline else _trial(app, transport, advance)
        findings = secretcheck.check(found, trial, complete=name is None, workers=workers)
    app.output.listing(
        findings,
        [
            Column("NAMESPACE", lambda f: f.namespace),
            Column("OBJECT", lambda f: f.subject),
            Column("REGISTRY", lambda f: f.key or ""),
            Column("USER", lambda f: f.username or ""),
            Column("VERDICT", lambda f: f.verdict, style=_verdict_style),
            Column("WHY", lambda f: f.message),
        ],
        key="findings",
        name=lambda f: f"{f.namespace}/{f.subject}",
        record=lambda f: {
            "namespace": f.namespace,
            "object": f.subject,
            "registry": f.key,
            "user": f.username,
            "verdict": f.verdict,
            "why": f.message,
        },
    )
    if not found.items and not found.errors:
        app.output.note("there are no pull secrets to check")
    raise_if_unreadable(app, found)
    problems = sum(finding.verdict == "problem" for finding in findings)
    if problems:
        raise DifferenceError(f"{problems} of {len(findings)} checks found a problem")


def _trial(app: App, transport: TransportOptions, advance: Advance) -> "Trial":
    """Return what tries a credential at its registry."""

    def trial(registry: "Registry", credential: "Credential") -> RegctlError | None:
        for hidden in credential.sensitive_values:
            app.output.redact(hidden)
        try:
            old_registry_as(app, registry, credential, transport).ping()
        except RegctlError as error:
            return error
        finally:
            advance()
        return None

    return trial


def _verdict_style(finding: "Finding") -> str:
    return {"ok": "green", "problem": "red", "unknown": "yellow"}[finding.verdict]

"""`regctl secret check`: whether pull secrets work."""

from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command, option
from regctl.cli.completers import pull_secrets
from regctl.cli.listings import Column, Listing
from regctl.cli.options import TargetFlags, split_reference
from regctl.cli.params import (
    cluster_options,
    output_option,
    registry_options,
    target_options,
    workers_option,
)
from regctl.cli.verification import try_credential
from regctl.errors import DifferenceError, RegctlError

if TYPE_CHECKING:
    from regctl.credentials.credential import Credential
    from regctl.pullsecrets.check import Finding
    from regctl.reference import Registry

_STYLES = {"ok": "green", "problem": "red", "unknown": "yellow"}

_FINDINGS: "Listing[Finding]" = Listing(
    "findings",
    [
        Column("NAMESPACE", lambda f: f.namespace),
        Column("OBJECT", lambda f: f.subject),
        Column("REGISTRY", lambda f: f.key),
        Column("USER", lambda f: f.username),
        Column("VERDICT", lambda f: f.verdict, style=lambda f: _STYLES[f.verdict]),
        Column("REASON", lambda f: f.message),
    ],
    name=lambda f: f"{f.namespace}/{f.subject}",
)


@click.command(
    cls=Command,
    examples=[
        "regctl secret check -A",
        "regctl secret check registry.foo.com -n team-a --offline",
    ],
)
@click.argument("name", required=False, shell_complete=pull_secrets)
@option("--offline", is_flag=True, help="Do not try credentials at their registries.")
@target_options
@output_option("table", "json", "yaml", "name")
@workers_option
@cluster_options
@registry_options
@pass_app
def check(app: App, *, name: str | None, offline: bool, targets: TargetFlags) -> None:
    """
    Check that the kubelet can read pull secrets and that their registries accept them.

    The exit code is 1 if there is a problem. `regctl doctor IMAGE -n NS` shows which Secret the
    kubelet uses for an image.
    """
    from regctl.pullsecrets.check import check as check_pull_secrets
    from regctl.pullsecrets.inventory import find_pull_secrets

    if name is not None:
        name, targets = split_reference(name, "secret", targets)
    found = find_pull_secrets(app.cluster, app.targets(targets), name)
    if found.accounts is None:
        app.output.warning("cannot list service accounts: one may list a Secret that is missing")
    with app.output.progress("credentials tried", None) as advance:

        def trial(registry: "Registry", credential: "Credential") -> RegctlError | None:
            error = try_credential(app, registry, credential)
            advance()
            return error

        findings = check_pull_secrets(
            found,
            None if offline else trial,
            complete=name is None,
            workers=app.connections.workers,
        )
    app.output.listing(findings, _FINDINGS)
    if not found.items and not found.errors:
        app.output.note("no pull secrets to check")
    app.output.unreadable_namespaces(found.errors, others=bool(found.items))
    problems = sum(finding.verdict == "problem" for finding in findings)
    if problems:
        raise DifferenceError(f"{problems} of {len(findings)} checks found a problem")

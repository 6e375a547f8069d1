"""`regctl auth push`: upload the auth file to the Secret that is read."""

from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command, option
from regctl.cli.options import ChangeFlags, NamespacedName
from regctl.cli.params import (
    NAMESPACED_NAME,
    change_options,
    cluster_options,
    file_option,
    output_option,
    reader_option,
)
from regctl.wording import some_of

if TYPE_CHECKING:
    from pathlib import Path

    from regctl.authsecret.push import Push


@click.command(
    cls=Command,
    examples=[
        "regctl auth push --auth-secret registry/registry-basic-auth",
        "regctl auth push --auth-secret registry/users --for traefik --yes",
        "regctl auth push --auth-secret registry/users --check",
        "regctl auth push --auth-secret registry/users --dry-run=client -o yaml | kubeseal -o yaml",
    ],
)
@file_option
@option(
    "--auth-secret",
    "auth_secrets",
    type=NAMESPACED_NAME,
    multiple=True,
    metavar="NS/NAME",
    help="The Secret to update; repeatable.  "
    "[default: registry-basic-auth in the context's namespace]",
)
@reader_option
@change_options("check", "yes", "adopt", server=True)
@output_option("json", "yaml", "name")
@cluster_options
@pass_app
def push(
    app: App,
    *,
    path: "Path | None",
    auth_secrets: tuple[NamespacedName, ...],
    reader: str | None,
    change: ChangeFlags,
) -> None:
    """
    Upload the active users of the auth file to the Secret that their reader reads.

    The Secret gets the layout that the reader named by --for expects. The default, the layout of
    ingress-nginx, suits most readers. A file that the reader would misread is rejected before
    anything is sent. The Secret is updated in place, so no login fails in the meantime. If users
    lose access, regctl lists them and asks first.
    """
    from regctl.authfile import readers
    from regctl.authfile.htpasswd import HtpasswdFile
    from regctl.authsecret.push import prepare
    from regctl.authsecret.secret import AuthSecret

    file = HtpasswdFile.read(app.auth_file(path))
    desired = AuthSecret.of(file, readers.get_reader(reader))
    as_manifests = change.dry_run == "client" and app.output.structured and not change.check
    if as_manifests and auth_secrets:
        app.output.manifests([desired.manifest(*secret) for secret in auth_secrets])
        return
    secrets = auth_secrets or (app.default_auth_secret,)
    plan = prepare(app.cluster, desired, dict.fromkeys(secrets), adopt=change.adopt)
    with app.output.progress("trying the empty password", len(desired.hashes)) as advance:
        plan.check_empty_passwords(advance)
    today = app.today()
    if expired := [user.name for user in file.users() if user.state(today) == "expired"]:
        app.output.warning(
            f"expired users are uploaded: {some_of(expired)}; `regctl auth lock --expired` locks "
            "them"
        )
    app.carry_out(
        lambda dry_run: ([outcome] for outcome in plan.run(dry_run)),
        change,
        question=_question(plan),
    )


def _question(plan: "Push") -> str | None:
    """Return the question before users lose access, or None if none does."""
    removals = [
        f"{some_of(change.removed)} from {change.namespace}/secret/{change.name}"
        for change in plan.changes
        if change.action == "update" and change.removed
    ]
    return f"remove {' and '.join(removals)}?" if removals else None

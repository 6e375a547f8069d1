"""`regctl auth push`: upload the auth file to the Secret that is read."""

from typing import TYPE_CHECKING

import click

from regctl.cli.access import note_removals, removal_question, removals, report_kept
from regctl.cli.app import App, pass_app
from regctl.cli.command import Command, option
from regctl.cli.completers import auth_secrets
from regctl.cli.options import ChangeFlags, NamespacedName
from regctl.cli.params import (
    NAMESPACED_NAME,
    change_options,
    cluster_options,
    file_option,
    output_option,
    reader_option,
)

if TYPE_CHECKING:
    from pathlib import Path


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
    envvar="REGCTL_AUTH_SECRET",
    shell_complete=auth_secrets,
    multiple=True,
    metavar="NS/NAME",
    help="The Secret to update; repeatable.  "
    "[default: $REGCTL_AUTH_SECRET, then registry-basic-auth in the context's namespace]",
)
@reader_option
@option(
    "--exclusive",
    is_flag=True,
    help="Remove every user that is not in the auth file, even if nobody else is left.",
)
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
    exclusive: bool,
    change: ChangeFlags,
) -> None:
    """
    Upload the active users of the auth file to the Secret that their reader reads.

    The Secret gets the layout that the reader named by --for expects. The default, the layout of
    ingress-nginx, suits most readers. A file that the reader would misread is rejected before
    anything is sent. The Secret is updated in place, so no login fails in the meantime.

    Users who lose access are named. If one of them is neither locked nor expired, regctl asks
    first. A user that `regctl rotate` added to the Secret stays, and the exit code is 3.
    """
    from regctl.authfile import readers
    from regctl.authfile.htpasswd import HtpasswdFile
    from regctl.authsecret.push import prepare
    from regctl.authsecret.secret import AuthSecret

    file = HtpasswdFile.read(app.auth_file(path)).as_of(app.today())
    desired = AuthSecret.of(file, readers.get_reader(reader), exclusive=exclusive)
    as_manifests = change.dry_run == "client" and app.output.structured and not change.check
    if as_manifests and auth_secrets:
        app.output.manifests([desired.manifest(*secret) for secret in auth_secrets])
        return
    secrets = auth_secrets or (app.default_auth_secret,)
    plan = prepare(app.cluster, desired, dict.fromkeys(secrets), adopt=change.adopt)
    with app.output.progress("trying the empty password", len(desired.hashes)) as advance:
        plan.check_empty_passwords(advance)
    note_removals(app, plan)
    app.carry_out(
        lambda dry_run: ([outcome] for outcome in plan.run(dry_run)),
        change,
        question=removal_question(removals(plan, desired.known)),
    )
    report_kept(plan)

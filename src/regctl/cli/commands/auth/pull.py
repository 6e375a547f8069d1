"""`regctl auth pull`: fetch the users of the Secret into the auth file."""

from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command, option
from regctl.cli.completers import auth_secrets
from regctl.cli.options import ChangeFlags, NamespacedName, WritingFlags
from regctl.cli.params import (
    NAMESPACED_NAME,
    change_options,
    cluster_options,
    file_option,
    output_option,
    reader_option,
    writing_options,
)

if TYPE_CHECKING:
    from pathlib import Path


@click.command(
    cls=Command,
    examples=[
        "regctl auth pull --auth-secret registry/registry-basic-auth",
        "regctl auth pull --auth-secret registry/users -f auth.from-cluster",
        "regctl auth pull --auth-secret registry/users --check",
    ],
)
@file_option
@option(
    "--auth-secret",
    type=NAMESPACED_NAME,
    envvar="REGCTL_AUTH_SECRET",
    shell_complete=auth_secrets,
    metavar="NS/NAME",
    help="The Secret to read.  "
    "[default: $REGCTL_AUTH_SECRET, then registry-basic-auth in the context's namespace]",
)
@reader_option
@writing_options
@change_options("check", "yes")
@output_option("json", "yaml", "name")
@cluster_options
@pass_app
def pull(
    app: App,
    *,
    path: "Path | None",
    auth_secret: NamespacedName | None,
    reader: str | None,
    writing: WritingFlags,
    change: ChangeFlags,
) -> None:
    """
    Fetch the users of the Secret into the auth file.

    Comments, locked users and expired users of the file are kept. An existing file is changed only
    after confirmation.
    """
    from regctl.authfile import readers
    from regctl.authsecret.compare import summary
    from regctl.authsecret.pull import prepare

    plan = prepare(
        app.cluster,
        auth_secret or app.default_auth_secret,
        app.auth_file(path),
        readers.get_reader(reader),
        app.today(),
    )
    question = None
    if plan.action == "update":
        question = f"change {plan.path} ({summary(plan.users) or 'the same users'})?"
    options = writing.options()
    app.carry_out(lambda dry_run: [[plan.run(options, dry_run)]], change, question=question)

"""`regctl auth lock` and `auth unlock`: users who cannot log in, and whose hash is kept."""

from typing import TYPE_CHECKING

import click

from regctl.cli.access import Removal, remove_access
from regctl.cli.app import App, pass_app
from regctl.cli.command import Command, option
from regctl.cli.completers import users as user_names
from regctl.cli.options import AccessFlags, ChangeFlags, TargetFlags, WritingFlags
from regctl.cli.params import (
    access_options,
    change_options,
    file_option,
    output_option,
    writing_options,
)
from regctl.errors import InvalidInputError

if TYPE_CHECKING:
    from pathlib import Path

    from regctl.outcome import DryRun, Outcome


@click.command(
    cls=Command,
    examples=[
        "regctl auth lock alice bob",
        "regctl auth lock --expired --dry-run",
        "regctl auth lock alice --auth-secret registry/registry-basic-auth --wait",
    ],
)
@click.argument("names", metavar="[NAME...]", nargs=-1, shell_complete=user_names)
@option("--expired", is_flag=True, help="Lock the users whose day has come (UTC).")
@file_option
@writing_options
@access_options
@pass_app
def lock(
    app: App,
    *,
    names: tuple[str, ...],
    expired: bool,
    path: "Path | None",
    writing: WritingFlags,
    change: ChangeFlags,
    access: AccessFlags,
    targets: TargetFlags,
) -> None:
    """
    Lock users: they cannot log in, and their hash is kept.

    The user's line becomes a comment, which every reader of auth files ignores. --expired locks the
    users whose day, set by `regctl adduser --expires`, has come. Run it from a timer.

    With --auth-secret it uploads the file, as `regctl auth push` does. With --auth-secret or
    namespaces it names the pull secrets that still have the users.
    """
    from regctl.authfile import edit
    from regctl.authfile.htpasswd import HtpasswdFile

    if expired == bool(names):
        raise InvalidInputError("name the users to lock, or pass --expired")
    file = app.auth_file(path)
    before, today = HtpasswdFile.read(file), app.today()
    if expired:
        names = tuple(user.name for user in before.users() if user.state(today) == "expired")
    unique = tuple(dict.fromkeys(names))

    def apply(users: HtpasswdFile) -> None:
        for name in unique:
            users.lock(name)

    def write(dry_run: "DryRun | None") -> "list[Outcome]":
        how = writing.options(dry_run)
        if expired:
            return edit.lock_due(file, today, how)
        return edit.lock_users(file, unique, how)

    remove_access(app, Removal(unique, before, apply, write), change, access, targets)


@click.command(cls=Command, examples=["regctl auth unlock alice"])
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=user_names)
@file_option
@writing_options
@change_options()
@output_option("json", "yaml", "name")
@pass_app
def unlock(
    app: App,
    *,
    names: tuple[str, ...],
    path: "Path | None",
    writing: WritingFlags,
    change: ChangeFlags,
) -> None:
    """Unlock users: they can log in again, with the passwords they had."""
    from regctl.authfile import edit
    from regctl.authfile.htpasswd import HtpasswdFile

    file, unique = app.auth_file(path), list(dict.fromkeys(names))

    app.carry_out(
        lambda dry_run: [edit.unlock_users(file, unique, writing.options(dry_run))], change
    )
    for user in HtpasswdFile.read(file).users():
        if user.name in unique and user.state(app.today()) == "expired":
            app.output.warning(
                f"{user.name} expired on {user.expires} and is still treated as locked; "
                f"`regctl adduser {user.name} --expires WHEN` sets another day"
            )

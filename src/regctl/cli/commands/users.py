"""`regctl adduser`, `deluser`, `users` and `verify`: the users of the auth file."""

from operator import attrgetter, methodcaller
from typing import TYPE_CHECKING

import click

from regctl.cli.access import Removal, remove_access
from regctl.cli.app import STDIN, App, pass_app
from regctl.cli.command import Command, option
from regctl.cli.completers import users as user_names
from regctl.cli.listings import Column, Listing
from regctl.cli.options import (
    AccessFlags,
    ChangeFlags,
    HashingFlags,
    PasswordFlags,
    TargetFlags,
    WritingFlags,
    at_most_one,
)
from regctl.cli.params import (
    access_options,
    change_options,
    file_option,
    hashing_options,
    ignore_not_found_option,
    new_password_options,
    output_option,
    password_options,
    writing_options,
)
from regctl.errors import LockedUserError

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date
    from pathlib import Path

    from regctl.authfile.htpasswd import User
    from regctl.outcome import DryRun, Outcome


def _htpasswd_options(function: "Callable[..., None]") -> "Callable[..., None]":
    """Add flags of htpasswd; -B and -b ask for what is done without them."""
    ignored = option("-B", "-b", is_flag=True, hidden=True, expose_value=False)
    return option("-i", "stdin", is_flag=True, hidden=True)(ignored(function))


@click.command(
    cls=Command,
    examples=[
        "regctl adduser alice",
        "regctl adduser ci --generate > ci-password",
        "pass show registry/bob | regctl adduser bob --password-stdin",
    ],
)
@click.argument("name", shell_complete=user_names)
@click.argument("password", required=False)
@file_option
@new_password_options
@hashing_options
@option(
    "--expires", metavar="WHEN", help="The day to lock the user: 90d, 12w, 2027-01-31 or 'never'."
)
@option("--no-update", is_flag=True, help="Fail if the user already exists.")
@_htpasswd_options
@writing_options
@change_options()
@output_option("json", "yaml", "name")
@pass_app
def adduser(
    app: App,
    *,
    name: str,
    password: str | None,
    path: "Path | None",
    password_flags: PasswordFlags,
    hashing: HashingFlags,
    expires: str | None,
    no_update: bool,
    stdin: bool,
    writing: WritingFlags,
    change: ChangeFlags,
) -> None:
    """
    Add a user to the auth file, or set its password.

    With `-f -` it reads the file from standard input, if one is piped in, and writes the new one
    to standard output.

    The day of --expires is kept in the file. `regctl auth lock --expired` locks the users whose
    day has come.
    """
    from regctl.authfile import edit, hashes
    from regctl.authfile.expiry import Expiry

    expiry = None if expires is None else Expiry.parse(expires, app.today())
    options = edit.AddOptions(hashing.scheme, hashing.cost, not no_update, expiry)
    edit.check_new_user(name, options)
    password_flags = password_flags._replace(password_stdin=password_flags.password_stdin or stdin)
    piped = str(path) == STDIN
    if piped:
        at_most_one({"-f -": True, "--generate": password_flags.generate})
        at_most_one({"-f -": True, "--password-stdin": password_flags.password_stdin})
    new = app.new_password(password_flags, name, argument=password)
    if hashes.Scheme(hashing.scheme or "").weak and not password_flags.generate:
        app.output.warning(
            f"a password hashed with {hashing.scheme} is easy to guess if the file leaks; "
            "--generate creates a strong one"
        )
    if piped:
        content = b"" if app.interactive else app.read(STDIN, "the auth file")
        changed = edit.with_user(content, name, new, options)
        app.output.content(changed)
        return

    def run(dry_run: "DryRun | None") -> "list[list[Outcome]]":
        file, how = app.auth_file(path), writing.options(dry_run)
        is_new = not file.exists()
        outcome = edit.add_user(file, name, new, options, how)
        if is_new and dry_run is None:
            app.output.note(f"created the auth file {file.absolute()}")
        if password_flags.generate and dry_run is None:
            app.output.generated(name, new)
        return [[outcome]]

    app.carry_out(run, change)
    if expires is None and change.dry_run is None:
        _warn_if_expired(app, app.auth_file(path), name)


def _warn_if_expired(app: App, file: "Path", name: str) -> None:
    """Say that a user is still treated as locked."""
    from regctl.authfile.htpasswd import HtpasswdFile

    user = HtpasswdFile.read(file).user(name)
    if user is not None and user.state(app.today()) == "expired":
        app.output.warning(
            f"{name} expired on {user.expires} and is still treated as locked; --expires WHEN sets "
            "another day"
        )


@click.command(
    cls=Command,
    examples=[
        "regctl deluser alice",
        "regctl deluser bob carol --yes -f keys/auth",
        "regctl deluser alice --auth-secret registry/registry-basic-auth --wait",
    ],
)
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=user_names)
@file_option
@ignore_not_found_option
@writing_options
@access_options
@pass_app
def deluser(
    app: App,
    *,
    names: tuple[str, ...],
    path: "Path | None",
    writing: WritingFlags,
    change: ChangeFlags,
    access: AccessFlags,
    targets: TargetFlags,
) -> None:
    """
    Remove users from the auth file.

    With --auth-secret it uploads the file, as `regctl auth push` does. With --auth-secret or
    namespaces it names the pull secrets that still have the users.
    """
    from regctl.authfile import edit
    from regctl.authfile.htpasswd import HtpasswdFile

    file = app.auth_file(path)
    content = HtpasswdFile.read(file)
    unique = tuple(dict.fromkeys(names))
    present = tuple(name for name in unique if content.hashes(name))
    removed = present if app.ignores_missing else unique

    def apply(users: HtpasswdFile) -> None:
        for name in present:
            users.remove(name)

    def write(dry_run: "DryRun | None") -> "list[Outcome]":
        return edit.remove_users(file, removed, writing.options(dry_run))

    lost = (f"{', '.join(present)} from {file}",) if present else ()
    remove_access(app, Removal(unique, content, apply, write, lost), change, access, targets)


@click.command(
    cls=Command,
    examples=["regctl users", "regctl users -o wide", "regctl users -f keys/auth -o json"],
)
@file_option
@output_option("table", "wide", "json", "yaml", "name")
@pass_app
def users(app: App, *, path: "Path | None") -> None:
    """List the users of the auth file and what is wrong with them."""
    from regctl.authfile.htpasswd import HtpasswdFile

    file = app.auth_file(path)
    content = HtpasswdFile.read(file)
    malformed = content.malformed()
    app.output.listing(content.users(), _listing(app.today()))
    for line in malformed:
        app.output.warning(f"{file}, line {line.number}: not NAME:HASH")


def _listing(today: "date") -> Listing["User"]:
    state = methodcaller("state", today)
    return Listing(
        "users",
        [
            Column("USER", attrgetter("name"), key="name"),
            Column("SCHEME", attrgetter("scheme.name")),
            Column("COST", attrgetter("scheme.cost"), right=True),
            Column("STATE", state, style=lambda u: "" if state(u) == "active" else "yellow"),
            Column("EXPIRES", attrgetter("expires")),
            Column(
                "FINDINGS",
                attrgetter("findings"),
                text=", ".join,
                style=lambda user: "yellow" if user.findings else "",
            ),
            Column("LINE", attrgetter("lines"), key="lines", wide=True),
        ],
        name=attrgetter("name"),
    )


@click.command(
    cls=Command,
    examples=["regctl verify alice", "regctl verify ci --password-file ci-password && echo right"],
)
@click.argument("name", shell_complete=user_names)
@click.argument("password", required=False)
@file_option
@password_options
@pass_app
def verify(
    app: App,
    *,
    name: str,
    password: str | None,
    path: "Path | None",
    password_flags: PasswordFlags,
) -> None:
    """
    Check a user's password against the auth file.

    Exit code 4 means that the password is wrong, 1 that the user is unknown, locked or expired.
    """
    from regctl.authfile.htpasswd import HtpasswdFile

    content = HtpasswdFile.read(app.auth_file(path))
    given = app.password(password_flags, argument=password)
    if given is None:
        given = app.ask_password(f"Password of {name}")
    user = content.user(name)
    if user is not None and user.state(app.today()) == "expired":
        raise LockedUserError(
            f"user {name} expired on {user.expires}",
            hint=f"`regctl adduser {name} --expires WHEN` sets another day",
        )
    content.verify(name, given)
    if not app.output.quiet:
        app.output.line(f"user/{name} verified")

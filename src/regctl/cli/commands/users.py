"""`regctl adduser`, `deluser`, `users`, `verify`: the users of the auth file."""

from operator import attrgetter
from typing import TYPE_CHECKING, Any

import click

from regctl.cli.app import App, pass_app
from regctl.cli.completers import users as users_there
from regctl.cli.listings import Column
from regctl.cli.old.credential_options import (
    PasswordOptions,
    new_password,
    password_options,
    prompt_password,
)
from regctl.cli.old.option_groups import (
    HashingOptions,
    WritingOptions,
    dry_run_flag,
    file_option,
    hashing_options,
    output_option,
    writing_options,
    yes_option,
)
from regctl.cli.old.params import Command, option
from regctl.cli.output import Result
from regctl.errors import UnknownUserError

if TYPE_CHECKING:
    from datetime import date
    from pathlib import Path

    from regctl.authfile.htpasswd import User

_KIND = "user"


@click.command(
    cls=Command,
    examples=[
        "regctl adduser alice",
        "regctl adduser ci --generate > ci-password",
        "pass show registry/bob | regctl adduser bob --password-stdin",
    ],
)
@click.argument("name", shell_complete=users_there)
@click.argument("password", required=False)
@file_option
@password_options
@option("--generate", is_flag=True, help="Make a password and print it to standard output.")
@hashing_options
@option(
    "--expires", metavar="WHEN", help="Lock the user on a day: 90d, 12w, 2027-01-31, or 'never'."
)
@option("--no-update", is_flag=True, help="Fail when the user is there already.")
@writing_options
@dry_run_flag
@output_option("json", "yaml", "name")
@pass_app
def adduser(
    app: App,
    *,
    name: str,
    password: str | None,
    path: "Path | None",
    password_options: PasswordOptions,
    generate: bool,
    hashing: HashingOptions,
    expires: str | None,
    no_update: bool,
    writing: WritingOptions,
    dry_run: bool,
) -> None:
    """
    Add a user to the auth file, or set its password.

    The day of --expires is kept in the file; `regctl auth expire` locks those whose day has come.
    """
    from regctl.authfile import hashes, htpasswd

    htpasswd.check_name(name)
    hashes.check_scheme(hashing.scheme or hashes.DEFAULT_SCHEME, hashing.cost)
    expiry = None if expires is None else htpasswd.Expiry.parse(expires, app.today())
    secret = new_password(app, name, password, password_options, generate=generate)
    file = app.auth_file(path)
    outcome = htpasswd.add_user(
        file,
        name,
        secret,
        scheme=hashing.scheme,
        cost=hashing.cost,
        update=not no_update,
        expires=expiry,
        how=writing.how(),
        dry_run=dry_run,
    )
    printed = generate and not dry_run
    if printed and not app.output.structured:
        app.output.line(secret)
    app.output.results(
        [Result(_KIND, name, outcome, details={"password": secret} if printed else {})],
        dry_run="client" if dry_run else None,
        aside=printed,
    )
    user = htpasswd.HtpasswdFile.read(file).user(name) if outcome != "created" else None
    if user is not None and user.locked:
        app.output.note(f"{name} is locked: `regctl auth unlock {name}` lets it in")
    if hashing.scheme in _WEAK and not generate:
        app.output.warning(
            f"{hashing.scheme} gives a password away when the file leaks, unless it is a generated "
            "one: pass --generate"
        )


_WEAK = frozenset({"apr1", "sha1"})


@click.command(
    cls=Command, examples=["regctl deluser alice", "regctl deluser bob carol --yes -f keys/auth"]
)
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=users_there)
@file_option
@option("--ignore-not-found", is_flag=True, help="A user that is not there is no error.")
@writing_options
@dry_run_flag
@yes_option
@output_option("json", "yaml", "name")
@pass_app
def deluser(
    app: App,
    *,
    names: tuple[str, ...],
    path: "Path | None",
    ignore_not_found: bool,
    writing: WritingOptions,
    dry_run: bool,
    yes: bool,
) -> None:
    """Remove users from the auth file."""
    from regctl.authfile import htpasswd

    file = app.auth_file(path)
    present = htpasswd.HtpasswdFile.read(file)
    known = [name for name in dict.fromkeys(names) if present.secrets(name)]
    if known:
        app.confirm(f"remove {', '.join(known)} from {file}?", yes=yes or dry_run)
    removed = dict(
        zip(
            known,
            htpasswd.remove_users(file, known, how=writing.how(), dry_run=dry_run),
            strict=True,
        )
    )
    results = [
        Result(_KIND, name, "deleted") if removed.get(name) else _absent(name, file)
        for name in dict.fromkeys(names)
        if removed.get(name) or not ignore_not_found
    ]
    app.output.results(results, dry_run="client" if dry_run else None)


def _absent(name: str, file: "Path") -> Result:
    error = UnknownUserError(
        f"cannot remove {name}: no such user in {file}", hint="`regctl users` lists them"
    )
    return Result(_KIND, name, "failed", error=error)


@click.command(
    cls=Command,
    examples=["regctl users", "regctl users --wide", "regctl users -f keys/auth -o json"],
)
@file_option
@option("--wide", is_flag=True, help="Show the lines too, as -o wide.")
@output_option("table", "wide", "json", "yaml", "name")
@pass_app
def users(app: App, *, path: "Path | None", wide: bool) -> None:
    """List the users of the auth file and what is wrong with them."""
    from regctl.authfile.htpasswd import HtpasswdFile

    if wide and app.output.format in {None, "table"}:
        app.output.format = "wide"
    file = app.auth_file(path)
    content = HtpasswdFile.read(file)
    malformed = content.malformed()
    today = app.today()
    app.output.listing(
        content.users(),
        _columns(today),
        key="users",
        name=lambda user: user.name,
        record=lambda user: _record(user, today),
    )
    for line in malformed:
        app.output.warning(f"{file}, line {line.number}: not NAME:HASH")


def _columns(today: "date") -> list["Column[User]"]:
    return [
        Column("USER", attrgetter("name")),
        Column("SCHEME", attrgetter("scheme.name")),
        Column("COST", lambda user: str(user.scheme.cost or "-"), right=True),
        Column(
            "STATE",
            lambda user: user.state(today),
            style=lambda user: "" if user.state(today) == "open" else "yellow",
        ),
        Column("EXPIRES", lambda user: str(user.expires or "-")),
        Column("FINDINGS", lambda user: ", ".join(user.findings) or "-", style=_finding_style),
        Column("LINE", lambda user: ",".join(map(str, user.lines)), wide=True),
    ]


def _finding_style(user: "User") -> str:
    return "yellow" if user.findings else ""


def _record(user: "User", today: "date") -> dict[str, Any]:
    return {
        "name": user.name,
        "scheme": user.scheme.name,
        "cost": user.scheme.cost,
        "state": user.state(today),
        "expires": str(user.expires) if user.expires else None,
        "findings": list(user.findings),
        "lines": list(user.lines),
    }


@click.command(
    cls=Command,
    examples=["regctl verify alice", "regctl verify ci --password-file ci-password && echo right"],
)
@click.argument("name", shell_complete=users_there)
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
    password_options: PasswordOptions,
) -> None:
    """
    Tell whether a password opens the auth file: does it let this user in?

    The exit code is 0 where it does, 4 for a wrong password, 1 for a user that is unknown or
    locked.
    """
    from regctl.authfile.htpasswd import HtpasswdFile

    file = app.auth_file(path)
    content = HtpasswdFile.read(file)
    given = password_options.given(app, argument=password)
    if given is None:
        given = prompt_password(app, f"Password of {name}", twice=False)
    content.verify(name, given)
    user = content.user(name)
    if user is not None and user.state(app.today()) == "expired":
        app.output.warning(f"{name} expired on {user.expires}, and is open until `auth expire`")
    if not app.output.quiet:
        app.output.line(f"{_KIND}/{name} verified")

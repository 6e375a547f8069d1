"""`regctl adduser`, `deluser`, `users`, `verify`: the users of the auth file."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from regctl.cli._app import App, pass_app
from regctl.cli._options import (
    Command,
    PasswordOptions,
    dry_run_flag,
    file_option,
    output_option,
    password_options,
    prompt_password,
    yes_option,
)
from regctl.cli._output import Column, Result
from regctl.errors import InvalidInputError, UnknownUserError

if TYPE_CHECKING:
    from regctl.htpasswd import HtpasswdFile, User

_KIND = "user"


@click.command(
    cls=Command,
    examples=[
        "regctl adduser alice",
        "regctl adduser ci --generate > ci-password",
        "pass show registry/bob | regctl adduser bob --password-stdin",
    ],
)
@click.argument("name")
@click.argument("password", required=False)
@file_option
@password_options
@click.option("--generate", is_flag=True, help="Make a password and print it to standard output.")
@dry_run_flag
@output_option("json", "yaml", "name")
@pass_app
def adduser(
    app: App,
    *,
    name: str,
    password: str | None,
    path: Path | None,
    password_options: PasswordOptions,
    generate: bool,
    dry_run: bool,
) -> None:
    """Add a user to the auth file, or set its password."""
    from regctl import htpasswd

    htpasswd.check_name(name)
    secret = _new_password(app, name, password, password_options, generate=generate)
    outcome = htpasswd.add_user(app.auth_file(path), name, secret, dry_run=dry_run)
    if generate and not app.output.structured:
        app.output.line(secret)
    details = {"password": secret} if generate else {}
    app.output.results(
        [Result(_KIND, name, outcome, details=details)],
        dry_run="client" if dry_run else None,
        aside=generate,
    )


def _new_password(
    app: App, name: str, argument: str | None, options: PasswordOptions, *, generate: bool
) -> str:
    """Return the password to set, from wherever it comes."""
    from regctl import hashes

    if generate:
        if argument is not None or options.password_stdin or options.password_file is not None:
            raise InvalidInputError(
                "cannot generate a password where one is given", hint="leave out one of them"
            )
        return hashes.generate_password()
    given = options.given(app, argument=argument)
    if given is not None:
        return given
    return prompt_password(app, f"New password of {name}", twice=True)


@click.command(
    cls=Command, examples=["regctl deluser alice", "regctl deluser bob carol --yes -f keys/auth"]
)
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@file_option
@dry_run_flag
@yes_option
@output_option("json", "yaml", "name")
@pass_app
def deluser(
    app: App, *, names: tuple[str, ...], path: Path | None, dry_run: bool, yes: bool
) -> None:
    """Remove users from the auth file."""
    from regctl import htpasswd

    file = app.auth_file(path)
    present = htpasswd.HtpasswdFile.read(file)
    known = [name for name in dict.fromkeys(names) if present.secrets(name)]
    if known:
        app.confirm(f"remove {', '.join(known)} from {file}?", yes=yes or dry_run)
    removed = dict(zip(known, htpasswd.remove_users(file, known, dry_run=dry_run), strict=True))
    results = [
        Result(_KIND, name, "deleted")
        if removed.get(name)
        else Result(
            _KIND,
            name,
            "failed",
            error=UnknownUserError(
                f"cannot remove {name}: no such user in {file}", hint="`regctl users` lists them"
            ),
        )
        for name in dict.fromkeys(names)
    ]
    app.output.results(results, dry_run="client" if dry_run else None)


@click.command(cls=Command, examples=["regctl users", "regctl users -f keys/auth -o json"])
@file_option
@output_option("table", "wide", "json", "yaml", "name")
@pass_app
def users(app: App, path: Path | None) -> None:
    """List the users of the auth file and what is wrong with them."""
    from regctl.htpasswd import HtpasswdFile

    file = app.auth_file(path)
    content = HtpasswdFile.read(file)
    app.output.listing(
        content.users(), _columns(), key="users", name=lambda user: user.name, record=_record
    )
    _warn_of_malformed(app, file, content)


def _columns() -> list["Column[User]"]:
    return [
        Column("USER", lambda user: user.name),
        Column("SCHEME", lambda user: user.scheme.name),
        Column("COST", lambda user: str(user.scheme.cost or "-"), right=True),
        Column("STATE", _state, style=lambda user: "yellow" if user.locked else ""),
        Column("FINDINGS", lambda user: ", ".join(user.findings) or "-", style=lambda _: "yellow"),
        Column("LINE", lambda user: ",".join(map(str, user.lines)), wide=True),
    ]


def _state(user: "User") -> str:
    return "locked" if user.locked else "open"


def _record(user: "User") -> dict[str, Any]:
    return {
        "name": user.name,
        "scheme": user.scheme.name,
        "cost": user.scheme.cost,
        "state": _state(user),
        "findings": list(user.findings),
        "lines": list(user.lines),
    }


def _warn_of_malformed(app: App, file: Path, content: "HtpasswdFile") -> None:
    for line in content.malformed():
        app.output.warning(f"{file}, line {line.number}: not NAME:HASH")


@click.command(
    cls=Command,
    examples=["regctl verify alice", "regctl verify ci --password-file ci-password && echo right"],
)
@click.argument("name")
@click.argument("password", required=False)
@file_option
@password_options
@pass_app
def verify(
    app: App,
    *,
    name: str,
    password: str | None,
    path: Path | None,
    password_options: PasswordOptions,
) -> None:
    """
    Tell whether a password opens the auth file: does it let this user in?

    The exit code is 0 where it does, 4 for a wrong password, 1 for a user that is unknown or
    locked.
    """
    from regctl.htpasswd import HtpasswdFile

    content = HtpasswdFile.read(app.auth_file(path))
    given = password_options.given(app, argument=password)
    if given is None:
        given = prompt_password(app, f"Password of {name}", twice=False)
    content.verify(name, given)
    if not app.output.quiet:
        app.output.line(f"{_KIND}/{name} verified")

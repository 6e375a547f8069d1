"""`regctl auth write`: the whole auth file from a list of users."""

from typing import TYPE_CHECKING

import click

from regctl.cli.app import STDIN, App, pass_app
from regctl.cli.command import Command, option
from regctl.cli.completers import files
from regctl.cli.options import ChangeFlags, HashingFlags, WritingFlags
from regctl.cli.params import (
    change_options,
    file_option,
    hashing_options,
    output_option,
    writing_options,
)
from regctl.errors import InvalidInputError
from regctl.wording import count

if TYPE_CHECKING:
    from pathlib import Path

    from regctl.authfile.userlist import Format, UserList
    from regctl.outcome import DryRun, Outcome


@click.command(
    cls=Command,
    examples=[
        "regctl auth write users.csv --exclusive",
        "regctl auth write team.yaml --generate-missing > passwords.csv",
        "pass show registry/users | regctl auth write",
    ],
)
@click.argument("source", default=STDIN, shell_complete=files)
@file_option
@option(
    "--format",
    "form",
    type=click.Choice(["lines", "csv", "json", "yaml"]),
    help="The format of SOURCE.  [default: by its name or its first line]",
)
@option(
    "--generate-missing",
    is_flag=True,
    help="Generate passwords for new users that have none, and print them to standard output.",
)
@option("--exclusive", is_flag=True, help="Remove every user that is not in SOURCE.")
@hashing_options
@writing_options
@change_options("check", "yes")
@output_option("table", "wide", "json", "yaml", "name")
@pass_app
def write(
    app: App,
    *,
    source: str,
    path: "Path | None",
    form: "Format | None",
    generate_missing: bool,
    exclusive: bool,
    hashing: HashingFlags,
    writing: WritingFlags,
    change: ChangeFlags,
) -> None:
    """
    Write a list of users to the auth file, in one write or not at all.

    SOURCE is a file, or - for standard input: NAME:PASSWORD lines, CSV with the header
    name,password, or JSON or YAML as {NAME: PASSWORD} or [{name:, password:}]. A hash may be in
    place of a password. A user without a password keeps the one it has. Expired users are locked.
    """
    from regctl.authfile import userlist

    file, users = app.auth_file(path), _read(app, source, form)
    gone = users.not_listed(file) if exclusive else []
    for name in gone:
        app.output.note(f"not in the list: {name}")
    question = f"remove {count(len(gone), 'user')} from {file}?" if gone else None
    options = userlist.ListOptions(
        hashing.scheme, hashing.cost, generate_missing, tuple(gone), app.today()
    )

    def run(dry_run: "DryRun | None") -> "list[tuple[Outcome, ...]]":
        how = writing.options(dry_run)
        with app.output.progress(f"hashing for {file}", len(users.entries)) as advance:
            written = userlist.write(file, users, options, how, advance)
        app.output.generated_list(written.passwords)
        return [written.outcomes]

    app.carry_out(run, change, question=question)


def _read(app: App, source: str, form: "Format | None") -> "UserList":
    from regctl.authfile import userlist

    if source == STDIN and app.interactive:
        raise InvalidInputError(
            "no list of users was given", hint="name a file, or pipe NAME:PASSWORD lines in"
        )
    text = app.read_text(source, "the list of users")
    name = "standard input" if source == STDIN else source
    return userlist.read(text, source=name, form=form)

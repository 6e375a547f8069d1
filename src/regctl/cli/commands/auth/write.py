"""`regctl auth …`: the auth file as a whole."""

import sys
from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, pass_app
from regctl.cli.completers import users as users_there
from regctl.cli.listings import Column
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
from regctl.errors import FileAccessError, InvalidInputError, InvalidUserListError, MalformedError

if TYPE_CHECKING:
    from pathlib import Path

    from regctl.authfile.userlist import Entry, Format, Written

_KIND = "user"


@click.command(cls=Command, examples=["regctl auth lock alice", "regctl auth lock alice bob"])
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=users_there)
@file_option
@writing_options
@dry_run_flag
@output_option("json", "yaml", "name")
@pass_app
def lock(
    app: App, *, names: tuple[str, ...], path: "Path | None", writing: WritingOptions, dry_run: bool
) -> None:
    """
    Shut users out and keep their hashes.

    The line becomes a comment, which every reader of auth files skips.
    """
    _mark(app, names, path, writing, locked=True, dry_run=dry_run)


@click.command(cls=Command, examples=["regctl auth unlock alice"])
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=users_there)
@file_option
@writing_options
@dry_run_flag
@output_option("json", "yaml", "name")
@pass_app
def unlock(
    app: App, *, names: tuple[str, ...], path: "Path | None", writing: WritingOptions, dry_run: bool
) -> None:
    """Let locked users in again, with the passwords that they had."""
    _mark(app, names, path, writing, locked=False, dry_run=dry_run)


def _mark(
    app: App,
    names: tuple[str, ...],
    path: "Path | None",
    writing: WritingOptions,
    *,
    locked: bool,
    dry_run: bool,
) -> None:
    from regctl.authfile import htpasswd

    file = app.auth_file(path)
    wanted = list(dict.fromkeys(names))
    outcomes = htpasswd.lock_users(file, wanted, locked=locked, how=writing.how(), dry_run=dry_run)
    note = "locked" if locked else "open"
    app.output.results(
        [
            Result(_KIND, name, outcome, note=note)
            for name, outcome in zip(wanted, outcomes, strict=True)
        ],
        dry_run="client" if dry_run else None,
    )
    if locked:
        return
    today = app.today()
    expired = [user for user in htpasswd.HtpasswdFile.read(file).users() if user.name in wanted]
    for user in expired:
        if user.state(today) == "expired":
            app.output.warning(
                f"{user.name} expired on {user.expires}: the next `auth expire` locks it again; "
                f"`regctl adduser {user.name} --expires WHEN` sets another day"
            )


@click.command(cls=Command, examples=["regctl auth expire", "regctl auth expire --dry-run"])
@file_option
@writing_options
@dry_run_flag
@output_option("json", "yaml", "name")
@pass_app
def expire(app: App, *, path: "Path | None", writing: WritingOptions, dry_run: bool) -> None:
    """
    Lock the users whose day has come, as `adduser --expires` set it.

    Made for a timer: nothing happens where nobody is due. Days are those of UTC.
    """
    from regctl.authfile import htpasswd

    names = htpasswd.lock_due(app.auth_file(path), app.today(), how=writing.how(), dry_run=dry_run)
    app.output.results(
        [Result(_KIND, name, "configured", note="locked, expired") for name in names],
        dry_run="client" if dry_run else None,
    )


@click.command(
    cls=Command,
    examples=[
        "regctl auth write users.csv --exclusive",
        "regctl auth write team.yaml --generate-missing > passwords.csv",
        "pass show registry/users | regctl auth write",
    ],
)
@click.argument("source", default="-")
@file_option
@option(
    "--format",
    "form",
    type=click.Choice(["lines", "csv", "json", "yaml"]),
    help="What SOURCE is in.  [default: by its name, or its first line]",
)
@option(
    "--generate-missing",
    is_flag=True,
    help="Make passwords for new users that have none, and print them to standard output.",
)
@option("--exclusive", is_flag=True, help="Remove every user that is not in SOURCE.")
@hashing_options
@writing_options
@dry_run_flag
@yes_option
@output_option("json", "yaml")
@pass_app
def write(
    app: App,
    *,
    source: str,
    path: "Path | None",
    form: "Format | None",
    generate_missing: bool,
    exclusive: bool,
    hashing: HashingOptions,
    writing: WritingOptions,
    dry_run: bool,
    yes: bool,
) -> None:
    """
    Write a list of users into the auth file: all of it, or nothing.

    SOURCE is a file, or - for standard input: NAME:PASSWORD lines, CSV with the header
    name,password, or JSON or YAML as {NAME: PASSWORD} or [{name:, password:}]. A hash in the place
    of a password passes through. Without a password a user keeps the one it has.
    """
    from regctl.authfile import userlist

    wish = userlist.Wish(hashing.scheme, hashing.cost, generate_missing, exclusive)
    file = app.auth_file(path)
    label = "standard input" if source == "-" else source
    try:
        entries = userlist.read(_text(app, source, label), source=label, format=form)
        removable = _agreed(app, file, entries, yes=yes or dry_run) if exclusive else []
        with app.output.progress(f"hashing for {file}", len(entries)) as advance:
            written = userlist.write(
                file,
                entries,
                wish,
                source=label,
                removable=removable,
                how=writing.how(),
                dry_run=dry_run,
                progress=advance,
            )
    except InvalidUserListError as error:
        for problem in error.problems:
            app.output.error(MalformedError(problem))
        raise
    _report(app, written, dry_run=dry_run)


def _text(app: App, source: str, label: str) -> str:
    """Return what SOURCE holds."""
    if source == "-" and app.interactive:
        raise InvalidInputError(
            "no list of users", hint="name a file, or pipe NAME:PASSWORD lines in"
        )
    from pathlib import Path

    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise FileAccessError(f"cannot read {source}: {error.strerror}") from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise MalformedError(f"cannot read {label}, line {line}: not UTF-8") from error


def _agreed(app: App, file: "Path", entries: "list[Entry]", *, yes: bool) -> list[str]:
    """Show whom an exclusive write removes, and ask."""
    from regctl.authfile import userlist

    gone = userlist.removed(file, entries)
    for name in gone:
        app.output.note(f"not in the list: {name}")
    if gone:
        users = "1 user" if len(gone) == 1 else f"{len(gone)} users"
        app.confirm(f"remove {users} from {file}?", yes=yes)
    return gone


def _report(app: App, written: "list[Written]", *, dry_run: bool) -> None:
    """Print the passwords that were made, once, and what became of each user."""
    import csv
    import io

    made = [] if dry_run else [user for user in written if user.password is not None]
    if made and not app.output.structured:
        table = io.StringIO()
        rows = csv.writer(table, lineterminator="\n")
        rows.writerow(["name", "password"])
        rows.writerows([user.name, user.password] for user in made)
        app.output.write(table.getvalue())
    app.output.results(
        [
            Result(
                _KIND,
                user.name,
                user.outcome,
                details={} if dry_run or user.password is None else {"password": user.password},
            )
            for user in written
        ],
        dry_run="client" if dry_run else None,
        aside=bool(made),
    )


@click.command(cls=Command, examples=["regctl auth cost", "regctl auth cost --layers 20 -o json"])
@file_option
@option(
    "--layers", type=click.IntRange(1), default=5, show_default=True, help="Layers of an image."
)
@output_option("table", "json", "yaml")
@pass_app
def cost(app: App, *, path: "Path | None", layers: int) -> None:
    """
    Tell what each cost of bcrypt costs the server, measured on this machine.

    A server checks the password on every request: a pull of N layers is N+4 checks, the first push
    of them 5N+6. USERS counts those of the auth file whose hash has that cost.
    """
    from regctl.authfile import hashes, htpasswd

    file = app.auth_file(path)
    users = htpasswd.HtpasswdFile.read(file).users() if file.exists() else []
    in_force = [user.scheme.cost for user in users if user.scheme.name == "bcrypt"]
    app.output.listing(
        hashes.prices(layers),
        [
            Column("COST", lambda price: str(price.cost), right=True),
            Column("CHECK MS", lambda price: f"{price.check * 1000:.1f}", right=True),
            Column("PULL CPU S", lambda price: f"{price.pull:.3f}", right=True),
            Column("PUSH CPU S", lambda price: f"{price.push:.3f}", right=True),
            Column("PULLS/S/CORE", lambda price: f"{1 / price.pull:.2g}", right=True),
            Column("USERS", lambda price: str(in_force.count(price.cost) or "-"), right=True),
        ],
        key="costs",
        name=lambda price: str(price.cost),
        record=lambda price: {
            "cost": price.cost,
            "check_ms": round(price.check * 1000, 3),
            "pull_cpu_seconds": round(price.pull, 6),
            "push_cpu_seconds": round(price.push, 6),
            "pulls_per_second_per_core": round(1 / price.pull, 3),
            "users": in_force.count(price.cost),
        },
    )
    if in_force:
        most = max(set(in_force), key=in_force.count)
        app.output.note(f"in force in {file}: cost {most} for {in_force.count(most)} of its users")

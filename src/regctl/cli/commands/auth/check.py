"""`regctl auth check` and `auth fix`: what is wrong with the auth file, and for whom."""

from typing import TYPE_CHECKING, Any

import click

from regctl.cli.app import App, pass_app
from regctl.cli.listings import Column
from regctl.cli.old.option_groups import (
    WritingOptions,
    dry_run_flag,
    file_option,
    output_option,
    writing_options,
    yes_option,
)
from regctl.cli.old.params import Command, option
from regctl.errors import DifferenceError

if TYPE_CHECKING:
    from pathlib import Path

    from regctl.authfile.audit import Finding
    from regctl.authfile.readers import AuthFileReader
    from regctl.authfile.repair import Mend

consumer_option = option(
    "--for",
    "consumer",
    metavar="CONSUMER",
    help="Who reads it: `regctl auth consumers` lists them.",
)


def chosen(name: str | None) -> "AuthFileReader | None":
    """Return the consumer that `--for` names."""
    from regctl.authfile import readers as consumers

    return None if name is None else consumers.named(name)


@click.command(
    cls=Command,
    examples=[
        "regctl auth check",
        "regctl auth check --for ingress-nginx --strict",
        "regctl auth check -f keys/auth -o json",
    ],
)
@file_option
@consumer_option
@click.option("--strict", is_flag=True, help="Exit with 1 on warnings too.")
@output_option("table", "wide", "json", "yaml", "name")
@pass_app
def check(app: App, *, path: "Path | None", consumer: str | None, strict: bool) -> None:
    """
    Look for everything that is wrong with the auth file.

    The empty password is tried on every user, which takes as long as that many logins. The exit
    code is 1 where there is an error, with --strict also where there is a warning.
    """
    from regctl.authfile import audit
    from regctl.authfile.htpasswd import HtpasswdFile

    file = app.auth_file(path)
    reader = chosen(consumer)
    total = sum(len(user.lines) for user in HtpasswdFile.read(file).users())
    with app.output.progress("trying the empty password", total) as advance:
        findings = audit.audit(file, reader, today=app.today(), progress=advance)
    app.output.listing(
        findings, _FINDINGS, key="findings", name=lambda finding: finding.rule, record=_record
    )
    counted = {
        severity: sum(finding.severity == severity for finding in findings)
        for severity in ("error", "warning")
    }
    if not findings:
        app.output.note(f"nothing wrong with {file}" + (f" for {consumer}" if consumer else ""))
    if counted["error"] or (strict and counted["warning"]):
        said = [_count(number, severity) for severity, number in counted.items() if number]
        raise DifferenceError(f"{file}: {', '.join(said)}")


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")


_STYLES = {"error": "red", "warning": "yellow", "info": "cyan"}

_FINDINGS: list[Column["Finding"]] = [
    Column("SEVERITY", lambda one: one.severity, style=lambda one: _STYLES[one.severity]),
    Column("LINE", lambda one: spans(one.lines) or "-"),
    Column("FINDING", lambda one: one.problem),
    Column("EFFECT", lambda one: one.effect),
    Column("REMEDY", lambda one: one.remedy),
    Column("RULE", lambda one: one.rule, wide=True),
]


def spans(lines: tuple[int, ...]) -> str:
    """Return line numbers in few words: `1-3,7`."""
    words: list[str] = []
    start = end = -1
    for line in (*sorted(set(lines)), None):
        if line is not None and line == end + 1:
            end = line
            continue
        if start > 0:
            words.append(str(start) if start == end else f"{start}-{end}")
        start = end = line or 0
    return ",".join(words)


def _record(finding: "Finding") -> dict[str, Any]:
    return {
        "severity": finding.severity,
        "rule": finding.rule,
        "lines": list(finding.lines),
        "users": list(finding.users),
        "problem": finding.problem,
        "effect": finding.effect,
        "remedy": finding.remedy,
    }


@click.command(
    cls=Command,
    examples=[
        "regctl auth fix",
        "regctl auth fix --for ingress-nginx --dry-run",
        "regctl auth fix -f keys/auth --backup --yes",
    ],
)
@file_option
@consumer_option
@writing_options
@dry_run_flag
@yes_option
@output_option("table", "json", "yaml")
@pass_app
def fix(
    app: App,
    *,
    path: "Path | None",
    consumer: str | None,
    writing: WritingOptions,
    dry_run: bool,
    yes: bool,
) -> None:
    """
    Mend what is wrong with the auth file and needs no password.

    Shows what it would do, and asks. Of a user's different lines the one is kept that counts for
    the consumer; without --for they are left alone. No other line changes.
    """
    from regctl import atomicfile
    from regctl.authfile import repair
    from regctl.authfile.htpasswd import HtpasswdFile

    file = app.auth_file(path)
    content = HtpasswdFile.read(file).content
    done = repair.repair(content, chosen(consumer), today=app.today())
    app.output.listing(
        done.mends,
        _MENDS,
        key="mends",
        name=lambda mend: str(mend.line),
        record=lambda mend: {"line": mend.line, "user": mend.user or None, "change": mend.what},
    )
    if not done.mends:
        app.output.note(f"nothing to mend in {file}")
    elif dry_run:
        app.output.note(f"{file} was not changed (dry run)")
    else:
        app.output.flush()
        app.confirm(f"write {_count(len(done.mends), 'change')} to {file}?", yes=yes)
        atomicfile.swap(file, done.before, done.after, writing.how())
        app.output.note(f"{_count(len(done.mends), 'change')} written to {file}")


_MENDS: list[Column["Mend"]] = [
    Column("LINE", lambda mend: str(mend.line), right=True),
    Column("USER", lambda mend: mend.user or "-"),
    Column("CHANGE", lambda mend: mend.what),
]


@click.command(cls=Command, examples=["regctl auth consumers", "regctl auth consumers --wide"])
@click.option("--wide", is_flag=True, help="Show the sources too, as -o wide.")
@output_option("table", "wide", "json", "yaml", "name")
@pass_app
def consumers(app: App, *, wide: bool) -> None:
    """
    List who reads auth files, and what each of them accepts.

    What it says of distribution, nginx, httpd, HAProxy and Caddy is tested on the programs; the
    rest is read in their source.
    """
    from regctl.authfile.readers import READERS

    if wide and app.output.format in {None, "table"}:
        app.output.format = "wide"
    app.output.listing(
        READERS.values(),
        _CONSUMERS,
        key="consumers",
        name=lambda consumer: consumer.name,
        record=_consumer_record,
    )


def _secret(consumer: "AuthFileReader") -> str:
    shape = consumer.shape
    if shape is None:
        return "none"
    return f"{shape.type}, " + (f"key {shape.key}" if shape.key else "a key for each user")


_CONSUMERS: list[Column["AuthFileReader"]] = [
    Column("CONSUMER", lambda one: one.name),
    Column("READS", lambda one: " ".join(one.readable)),
    Column("DUPLICATE", lambda one: one.oddities["duplicate"].effect),
    Column("COST", lambda one: str(one.bcrypt_cost.most), right=True),
    Column("SECRET", _secret),
    Column("SOURCE", lambda one: one.schemes["bcrypt"].source, wide=True),
]


def _consumer_record(consumer: "AuthFileReader") -> dict[str, Any]:
    return {
        "name": consumer.name,
        "schemes": {what: cell._asdict() for what, cell in consumer.schemes.items()},
        "oddities": {what: cell._asdict() for what, cell in consumer.oddities.items()},
        "secret": None if consumer.shape is None else consumer.shape._asdict(),
        "bcrypt_cost": consumer.bcrypt_cost._asdict(),
        "password_bytes": consumer.password._asdict(),
    }

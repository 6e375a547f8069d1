"""`regctl auth check`: what is wrong with the auth file and for which readers, and its repair."""

from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command, option
from regctl.cli.listings import Column, Listing
from regctl.cli.options import ChangeFlags, WritingFlags
from regctl.cli.params import change_options, file_option, output_option, writing_options
from regctl.errors import DifferenceError
from regctl.wording import count

if TYPE_CHECKING:
    from pathlib import Path

    from regctl.authfile.audit import Finding
    from regctl.authfile.hashes import MeasuredCost
    from regctl.authfile.readers import AuthFileReader
    from regctl.authfile.repair import Repair

_LAYERS = 5


@click.command(
    cls=Command,
    examples=[
        "regctl auth check --for ingress-nginx --strict",
        "regctl auth check --for all",
        "regctl auth check --fix --dry-run",
        "regctl auth check --fix --for traefik --backup --yes",
        "regctl auth check -o wide --layers 20",
    ],
)
@file_option
@option(
    "--for",
    "reader",
    metavar="READER",
    help="The program that reads the auth file, such as nginx; 'all' lists the programs.",
)
@option("--strict", is_flag=True, help="Exit with 1 if there are warnings, too.")
@option(
    "--layers",
    type=click.IntRange(1),
    metavar="N",
    help="Measure the CPU time of logins for images of N layers, 5 with -o wide.",
)
@option("--fix", is_flag=True, help="Repair what needs no password.")
@writing_options
@change_options("yes")
@output_option("table", "wide", "json", "yaml", "name")
@pass_app
def check(
    app: App,
    *,
    path: "Path | None",
    reader: str | None,
    strict: bool,
    layers: int | None,
    fix: bool,
    writing: WritingFlags,
    change: ChangeFlags,
) -> None:
    """
    Find what is wrong with the auth file, or repair it.

    The empty password is tried for every user, which takes as long as that many logins. Exit code 1
    means that there is an error, or a warning with --strict.

    --fix shows its changes and asks. Of a user's different lines it keeps the one that the reader
    uses; without --for it leaves them alone. No other line changes.
    """
    from regctl.authfile import readers

    file = app.auth_file(path)
    if reader == "all" and not fix:
        app.output.listing(readers.READERS.values(), _READERS)
        return
    chosen = None if reader is None else readers.get_reader(reader)
    if fix:
        _repair(app, file, chosen, writing, change)
        return
    if layers is None and app.output.format == "wide":
        layers = _LAYERS
    findings = _find(app, file, chosen)
    _print(app, file, findings, layers)
    _raise_if_bad(file, findings, strict=strict)


def _find(app: App, file: "Path", reader: "AuthFileReader | None") -> "list[Finding]":
    from regctl.authfile import audit
    from regctl.authfile.htpasswd import HtpasswdFile

    total = sum(len(user.lines) for user in HtpasswdFile.read(file).users())
    with app.output.progress("trying the empty password", total) as advance:
        return audit.check_path(file, reader, today=app.today(), progress=advance)


def _print(app: App, file: "Path", findings: "list[Finding]", layers: int | None) -> None:
    """Print the findings, and with *layers* what each cost of bcrypt takes."""
    if layers is None:
        app.output.listing(findings, _FINDINGS)
    else:
        from regctl.authfile import hashes
        from regctl.authfile.htpasswd import HtpasswdFile

        users = HtpasswdFile.read(file).users()
        in_use = [user.scheme.cost for user in users if user.scheme.name == "bcrypt"]
        app.output.listings((findings, _FINDINGS), (hashes.measure_costs(layers), _costs(in_use)))
    if not findings:
        app.output.note(f"nothing is wrong with {file}")


def _raise_if_bad(file: "Path", findings: "list[Finding]", *, strict: bool) -> None:
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = sum(finding.severity == "warning" for finding in findings)
    if errors or (strict and warnings):
        counts = [count(errors, "error")] if errors else []
        counts += [count(warnings, "warning")] if warnings else []
        raise DifferenceError(f"{file}: {', '.join(counts)}")


def _repair(
    app: App,
    file: "Path",
    reader: "AuthFileReader | None",
    writing: WritingFlags,
    change: ChangeFlags,
) -> None:
    """Show the repairs, ask, and write them."""
    from regctl import atomicfile
    from regctl.authfile.htpasswd import HtpasswdFile
    from regctl.authfile.repair import repair

    repaired = repair(HtpasswdFile.read(file).content, reader, today=app.today())
    app.output.listing(repaired.repairs, _REPAIRS)
    app.output.flush()
    repairs = count(len(repaired.repairs), "repair")
    if not repaired.repairs:
        app.output.note(f"nothing to repair in {file}")
    elif change.dry_run is not None:
        app.output.note(f"{repairs} not written to {file} (dry run)")
    else:
        app.confirm(f"write {repairs} to {file}?", yes=change.yes)
        how = writing.options()
        atomicfile.swap(file, repaired.before, repaired.after, how)
        app.output.note(f"wrote {repairs} to {file}")


def _ranges(lines: tuple[int, ...]) -> str:
    """Return line numbers in few words: `1-3,7`."""
    ranges: list[list[int]] = []
    for line in sorted(set(lines)):
        if ranges and line == ranges[-1][-1] + 1:
            ranges[-1][1:] = [line]
        else:
            ranges.append([line])
    return ",".join("-".join(map(str, numbers)) for numbers in ranges)


def _secret(reader: "AuthFileReader") -> str:
    if reader.layout is None:
        return "none"
    key = reader.layout.key
    return f"{reader.layout.type}, " + (f"key {key}" if key else "a key for each user")


_STYLES = {"error": "red", "warning": "yellow", "info": "cyan"}

_FINDINGS: Listing["Finding"] = Listing(
    "findings",
    [
        Column("SEVERITY", lambda f: f.severity, style=lambda f: _STYLES[f.severity]),
        Column(None, lambda f: f.rule, key="rule"),
        Column("LINE", lambda f: f.lines, key="lines", text=_ranges),
        Column(None, lambda f: f.users, key="users"),
        Column("FINDING", lambda f: f.problem, key="problem"),
        Column("EFFECT", lambda f: f.effect),
        Column("REMEDY", lambda f: f.remedy),
        Column("RULE", lambda f: f.rule, key="", wide=True),
    ],
    name=lambda f: f.rule,
)

_REPAIRS: Listing["Repair"] = Listing(
    "repairs",
    [
        Column("LINE", lambda r: r.line, right=True),
        Column("USER", lambda r: r.user or None),
        Column("CHANGE", lambda r: r.what),
    ],
    name=lambda r: str(r.line),
)

_READERS: Listing["AuthFileReader"] = Listing(
    "readers",
    [
        Column("READER", lambda r: r.name, key="name"),
        Column("SCHEMES", lambda r: r.accepted_schemes, key="", text=" ".join),
        Column("DUPLICATE", lambda r: r.line_features["duplicate"].effect, key=""),
        Column("HIGHEST COST", lambda r: r.bcrypt_cost.maximum, key="", right=True),
        Column("SECRET", _secret, key=""),
        Column("SOURCE", lambda r: r.schemes["bcrypt"].source, key="", wide=True),
        Column(None, lambda r: {s: b._asdict() for s, b in r.schemes.items()}, key="schemes"),
        Column(
            None,
            lambda r: {f: b._asdict() for f, b in r.line_features.items()},
            key="line_features",
        ),
        Column(None, lambda r: r.layout and r.layout._asdict(), key="secret"),
        Column(None, lambda r: r.bcrypt_cost._asdict(), key="bcrypt_cost"),
        Column(None, lambda r: r.password._asdict(), key="password_bytes"),
    ],
    name=lambda r: r.name,
)


def _costs(in_use: list[int | None]) -> Listing["MeasuredCost"]:
    return Listing(
        "costs",
        [
            Column("COST", lambda c: c.cost, right=True),
            Column(
                "CHECK MS", lambda c: round(c.check * 1000, 3), text="{:.1f}".format, right=True
            ),
            Column(
                "PULL CPU S", lambda c: round(c.pull, 6), "pull_cpu_seconds", "{:.3f}".format,
                right=True,
            ),
            Column(
                "PUSH CPU S", lambda c: round(c.push, 6), "push_cpu_seconds", "{:.3f}".format,
                right=True,
            ),
            Column(
                "PULLS/S/CORE", lambda c: round(1 / c.pull, 3), "pulls_per_second_per_core",
                "{:.2g}".format, right=True,
            ),
            Column("USERS", lambda c: in_use.count(c.cost), right=True),
        ],
        name=lambda c: str(c.cost),
    )  # fmt: skip

"""`regctl auth check`: what is wrong with the auth file and for which readers, and its repair."""

from collections import Counter
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING

import click

from regctl.cli.app import App, pass_app
from regctl.cli.command import Command, option
from regctl.cli.completers import readers_or_all
from regctl.cli.listings import Column, Listing
from regctl.cli.options import ChangeFlags, WritingFlags
from regctl.cli.params import change_options, file_option, output_option, writing_options
from regctl.errors import DifferenceError
from regctl.wording import count

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from regctl.authfile.audit import Finding
    from regctl.authfile.hashes import MeasuredCost
    from regctl.authfile.readers import AuthFileReader, Behavior
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
    shell_complete=readers_or_all,
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

    --fix lists its changes and asks. If a user has several different lines, it keeps the one that
    the reader uses; without --for it keeps them all. What needs no repair stays byte for byte.
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
    found = Counter(finding.severity for finding in _list_findings(app, file, chosen, layers))
    if found["error"] or (strict and found["warning"]):
        counts = [count(found[one], one) for one in ("error", "warning") if found[one]]
        raise DifferenceError(f"{file}: {', '.join(counts)}")


def _list_findings(
    app: App, file: "Path", reader: "AuthFileReader | None", layers: int | None
) -> "list[Finding]":
    """Print and return the findings; with *layers* print what each cost of bcrypt takes, too."""
    from regctl.authfile import audit, hashes
    from regctl.authfile.htpasswd import HtpasswdFile

    users = HtpasswdFile.read(file).users()
    lines = sum(len(user.lines) for user in users)
    with app.output.progress("trying the empty password", lines) as advance:
        findings = audit.check_path(file, reader, today=app.today(), progress=advance)
    if layers is None:
        app.output.listing(findings, _FINDINGS)
    else:
        in_use = Counter(user.scheme.cost for user in users if user.scheme.name == "bcrypt")
        app.output.listings((findings, _FINDINGS), (hashes.measure_costs(layers), _costs(in_use)))
    if not findings:
        app.output.note(f"nothing is wrong with {file}")
    return findings


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
        atomicfile.swap(file, repaired.before, repaired.after, writing.options())
        app.output.note(f"wrote {repairs} to {file}")


def _ranges(lines: tuple[int, ...]) -> str:
    """Return ascending line numbers in few words: `1-3,7`."""
    runs = groupby(enumerate(lines), key=lambda pair: pair[1] - pair[0])
    ranges = [[line for _, line in run] for _, run in runs]
    return ",".join(str(one[0]) if len(one) == 1 else f"{one[0]}-{one[-1]}" for one in ranges)


def _secret(reader: "AuthFileReader") -> str:
    if reader.layout is None:
        return "none"
    key = reader.layout.key
    return f"{reader.layout.type}, " + (f"key {key}" if key else "a key for each user")


def _as_dicts(cells: "Mapping[str, Behavior]") -> dict[str, dict[str, str]]:
    return {name: behavior._asdict() for name, behavior in cells.items()}


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
        Column(None, lambda r: _as_dicts(r.schemes), key="schemes"),
        Column(None, lambda r: _as_dicts(r.line_features), key="line_features"),
        Column(None, lambda r: r.layout and r.layout._asdict(), key="secret"),
        Column(None, lambda r: r.bcrypt_cost._asdict(), key="bcrypt_cost"),
        Column(None, lambda r: r.password._asdict(), key="password_bytes"),
    ],
    name=lambda r: r.name,
)


def _costs(in_use: "Counter[int | None]") -> Listing["MeasuredCost"]:
    number = partial(Column["MeasuredCost"], right=True)
    return Listing(
        "costs",
        [
            number("COST", lambda c: c.cost),
            number("CHECK MS", lambda c: round(c.check * 1000, 3), text="{:.1f}".format),
            number("PULL CPU S", lambda c: round(c.pull, 6), "pull_cpu_seconds", "{:.3f}".format),
            number("PUSH CPU S", lambda c: round(c.push, 6), "push_cpu_seconds", "{:.3f}".format),
            number(
                "PULLS/S/CORE",
                lambda c: round(1 / c.pull, 3),
                "pulls_per_second_per_core",
                "{:.2g}".format,
            ),
            number("USERS", lambda c: in_use[c.cost]),
        ],
        name=lambda c: str(c.cost),
    )

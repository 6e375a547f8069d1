"""
Get the programs that the tests run: `python -m tests.servers.install [--ask] [PROGRAM ...]`.

A program that is there is used. A missing one is built from its Go module, which takes no root, or
installed as a package. What cannot be had is named, and the exit code is 0, because the tests that
need it are skipped; with REGCTL_REQUIRE_SERVERS the exit code is 1.
"""

import argparse
import os
import signal
import sys
from collections.abc import Sequence

from tests.servers.building import alone, say
from tests.servers.debian import build_from_source, install_packages
from tests.servers.golang import build_modules, duration, modules_of
from tests.servers.programs import PROGRAMS, MissingServerError, Program, describe, is_current

_WAYS = (build_modules, install_packages, build_from_source)


def main() -> int:
    """Install what is missing, name what is used, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.servers.install")
    parser.add_argument("--ask", action="store_true", help="ask before anything is installed")
    parser.add_argument("programs", nargs="*", metavar="PROGRAM", help="all if none is named")
    arguments = parser.parse_args()
    if unknown := set(arguments.programs) - set(PROGRAMS):
        parser.error(f"unknown program: {', '.join(sorted(unknown))}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wanted = [PROGRAMS[name] for name in arguments.programs or PROGRAMS]
    try:
        with alone():
            install(wanted, ask=arguments.ask)
    except KeyboardInterrupt:
        return 130
    return report(wanted)


def install(wanted: Sequence[Program], *, ask: bool) -> None:
    """Try each way in turn for the programs that are missing or too old."""
    missing = _missing(wanted)
    if missing and ask and not _is_agreed(missing):
        return
    for way in _WAYS:
        if missing:
            way(missing)
            missing = _missing(missing)


def report(wanted: Sequence[Program]) -> int:
    """Name what is used and what cannot be had; return the exit code."""
    code = 0
    for program in wanted:
        try:
            say(f"using {describe(program.name)}")
        except MissingServerError as error:
            say(str(error))
            code = 1 if os.environ.get("REGCTL_REQUIRE_SERVERS") else 0
    return code


def _missing(programs: Sequence[Program]) -> list[Program]:
    return [program for program in programs if not is_current(program)]


def _is_agreed(missing: Sequence[Program]) -> bool:
    """Ask whether to install *missing*; without a terminal the answer is no."""
    names = ", ".join(program.name for program in missing)
    if not sys.stdin.isatty():
        say(f"there is no terminal to ask on, so these are not installed: {names}")
        return False
    modules = modules_of(missing).values()
    time = f" ({duration(modules)})" if modules else ""
    return input(f"Build or install {names}{time}? [y/N] ").strip().lower() in {"y", "yes"}


if __name__ == "__main__":
    sys.exit(main())

"""The auth file, compared with Apache's htpasswd: write a list, add one user, list all."""

import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.side_by_side import Row, command, compare

USERS = 1_000
LINES = 100_000
CPU_SECONDS = 0.5
HASH = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"


def rows() -> list[Row]:
    """Time the work of an administrator who has many users."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [_list_of_users(folder), _one_of_many(folder), _all_of_them(folder)]


def _regctl() -> str:
    return str(Path(sys.executable).with_name("regctl"))


def _list_of_users(folder: Path) -> Row:
    """Write 1,000 users at cost 8; htpasswd needs a process for each."""
    source, ours, theirs = folder / "users.csv", folder / "ours", folder / "theirs"
    users = [(f"user{number}", f"password{number}") for number in range(USERS)]
    source.write_text("name,password\n" + "".join(f"{user},{word}\n" for user, word in users))
    theirs_input = "".join(f"{user} {word}\n" for user, word in users)
    loop = 'while read -r user word; do htpasswd -bB -C 8 "$0" "$user" "$word"; done'

    def clean() -> None:
        ours.unlink(missing_ok=True)
        theirs.write_text("")

    return compare(
        f"auth write, {USERS:,} users at cost 8",
        command(_regctl(), "auth", "write", str(source), "--cost", "8", "-f", str(ours)),
        f"htpasswd -B -C 8, {USERS:,} times",
        command("/bin/bash", "-c", loop, str(theirs), stdin=theirs_input, needs=["htpasswd"]),
        runs=2,
        bound=0.60,
        before=clean,
    )


def _one_of_many(folder: Path) -> Row:
    """Add one user to 100,000."""
    big, file = folder / "big", folder / "auth"
    big.write_text("".join(f"user{number:06d}:{HASH}\n" for number in range(LINES)))

    def restore() -> None:
        shutil.copy(big, file)

    return compare(
        f"adduser at cost 4, {LINES:,} lines",
        command(
            _regctl(), "adduser", "new", "--password-stdin", "--cost", "4", "-f", str(file),
            stdin="secret",
        ),
        "htpasswd -B -C 4",
        command(
            "htpasswd", "-iB", "-C", "4", str(file), "new", stdin="secret", needs=["htpasswd"]
        ),
        runs=15,
        bound=1.5,
        before=restore,
    )  # fmt: skip


def _all_of_them(folder: Path) -> Row:
    """List 100,000 users in a pipe; the bound is for the CPU time."""

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [_regctl(), "users", "-f", str(folder / "big")], check=True, stdout=subprocess.DEVNULL
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    times = [seconds() for _ in range(8)][1:]
    return Row(
        f"users, {LINES:,} lines, CPU in a pipe",
        f"{CPU_SECONDS} s of CPU",
        statistics.median(times),
        CPU_SECONDS,
        tuple(time / CPU_SECONDS for time in times),
        bound=1.0,
    )

"""Steps of a build or an installation: they are announced, run quietly, and cleaned up."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.servers.programs import cache_folder

_TEMPORARY = ".build-"


class BuildError(Exception):
    """A step failed; the message is the end of what its program said."""


def say(text: str) -> None:
    """Print a line on standard error."""
    sys.stderr.write(f"test servers: {text}\n")


def run(
    command: Sequence[str], *, folder: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """Run a step with *env* added to the environment; return its output. Raises BuildError."""
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
    except OSError as error:
        raise BuildError(f"{command[0]}: {error.strerror}") from error
    if result.returncode:
        lines = result.stdout.strip().splitlines() or [f"exit code {result.returncode}"]
        raise BuildError("\n".join(lines[-20:]))
    return result.stdout


@contextmanager
def alone() -> Iterator[None]:
    """Let one process at a time build into the cache; remove what a killed one left."""
    cache = cache_folder()
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for left in cache.glob(f"{_TEMPORARY}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


@contextmanager
def build_folder() -> Iterator[Path]:
    """Yield a folder on the file system of the cache, and remove it at the end."""
    folder = Path(tempfile.mkdtemp(prefix=_TEMPORARY, dir=cache_folder()))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)

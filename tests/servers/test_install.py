"""`python -m tests.servers.install` builds what is missing, names what cannot be had, and asks."""

import os
import pty
import subprocess
import sys
from pathlib import Path
from subprocess import DEVNULL

import pytest

from tests.servers import programs
from tests.servers.golang import find_go

ROOT = Path(__file__).parents[2]
PAUSE = programs.PROGRAMS["pause"]


def install(
    cache: Path, *arguments: str, environment: dict[str, str] | None = None, stdin: int = DEVNULL
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.servers.install", *arguments],
        cwd=ROOT,
        env={**os.environ, "REGCTL_TEST_CACHE": str(cache), **(environment or {})},
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.fixture(autouse=True)
def nothing_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be had is no failure, as on a person's machine."""
    monkeypatch.delenv("REGCTL_REQUIRE_SERVERS", raising=False)


@pytest.fixture
def go() -> str:
    found = find_go((1, 26))
    if found is None:
        pytest.skip("Go 1.26 is not installed")
    return found


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    return tmp_path / "cache"


@pytest.mark.slow
@pytest.mark.usefixtures("go")
def test_a_module_is_built_into_the_cache_once(empty: Path) -> None:
    built = empty / f"pause-{PAUSE.module.version if PAUSE.module else ''}"
    left = empty / ".build-killed"
    left.mkdir(parents=True)
    first = install(empty, "pause")
    assert first.returncode == 0, first.stdout
    assert f"building {built.name.replace('-', ' ')}: once, about 5 seconds" in first.stdout
    assert f"using {built.name.replace('-', ' ')}" in first.stdout
    assert {path.name for path in empty.iterdir()} == {built.name, ".lock"}
    again = install(empty, "pause")
    assert again.stdout == f"test servers: using {built.name.replace('-', ' ')}\n"


def test_what_cannot_be_built_is_named(empty: Path, go: str) -> None:
    offline = {"GOPROXY": "off", "PATH": str(Path(go).parent)}
    failed = install(empty, "olareg", environment=offline)
    assert failed.returncode == 0
    assert "cannot build olareg v" in failed.stdout
    assert "module lookup disabled by GOPROXY=off" in failed.stdout
    assert "olareg is not installed: run `make test-servers`" in failed.stdout
    assert [path.name for path in empty.iterdir()] == [".lock"]
    required = install(empty, "olareg", environment={**offline, "REGCTL_REQUIRE_SERVERS": "1"})
    assert required.returncode == 1


def test_a_package_without_root_is_named_with_its_command(empty: Path) -> None:
    nowhere = empty / "path"
    nowhere.mkdir(parents=True)
    failed = install(empty, "zsh", environment={"PATH": str(nowhere)})
    if "using zsh" in failed.stdout:
        pytest.skip("zsh is in a folder that is searched without PATH")
    assert failed.returncode == 0
    assert "only root can install packages: apt-get install zsh" in failed.stdout


def test_nothing_is_installed_without_a_yes(empty: Path) -> None:
    unasked = install(empty, "--ask", "olareg", environment={"PATH": ""})
    assert unasked.returncode == 0
    assert "there is no terminal to ask on, so these are not installed: olareg" in unasked.stdout
    ours, theirs = pty.openpty()
    os.write(ours, b"n\n")
    refused = install(empty, "--ask", "olareg", stdin=theirs, environment={"PATH": ""})
    os.close(theirs)
    os.close(ours)
    assert refused.returncode == 0
    assert "Build or install olareg (about 5 seconds on 2 cores" in refused.stdout
    assert "building" not in refused.stdout
    assert [path.name for path in empty.iterdir()] == [".lock"]


def test_an_unknown_program_is_an_error(empty: Path) -> None:
    failed = install(empty, "docker")
    assert failed.returncode == 2
    assert "unknown program: docker" in failed.stdout

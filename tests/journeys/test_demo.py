"""The demo runs to its end, with the real programs and without, and leaves nothing behind."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.programs import cache_folder, describe

ROOT = Path(__file__).parent.parent.parent
NAMESPACES = ("team-a", "team-b", "team-c")


def start(folder: Path, *flags: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "demo", "--folder", str(folder), *flags],
        cwd=ROOT,
        env={**os.environ, "REGCTL_TEST_CACHE": str(cache_folder())},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def check_story(folder: Path, *flags: str) -> str:
    """
    Run the demo, check what every run shows, and return what it used.

    A pull must be shorter than the grace, also on a busy machine.
    """
    with start(folder, "--grace", "20s", *flags) as demo:
        shown, _ = demo.communicate()
    assert demo.returncode == 0, shown
    assert not folder.exists()
    rest = shown
    for expected in (
        "user/ci created",
        "demo/hello",
        "the registry rejects the password of ci",
        *(f"{namespace}/secret/regcred created" for namespace in NAMESPACES),
        *(f"{namespace}/secret/regcred unchanged" for namespace in NAMESPACES),
        "the auth file has a different password for ci",
        "# The hint is the command that repairs it.\n$ regctl secret create regcred --server",
        "team-b/secret/regcred configured (was changed by kubectl-edit at ",
        "credential 1\tok",
        "user/ci-2 created",
        "user/ci deleted",
    ):
        before, found, rest = rest.partition(expected)
        assert found, f"no {expected!r} in\n{before}"
    pulls = re.search(r"(\d+) pulls, (\d+) failed", rest)
    assert pulls, rest
    assert int(pulls[1]) >= len(NAMESPACES)
    assert pulls[2] == "0"
    return rest[pulls.end() :].partition("which used:\n")[2]


@pytest.mark.slow
def test_the_demo_with_the_real_programs(tmp_path: Path, program: Callable[[str], str]) -> None:
    names = ("registry", "kube-apiserver", "etcd", "openssl")
    for name in names:
        program(name)
    used = check_story(tmp_path / "demo")
    assert used.splitlines() == [f"  - {describe(name)}" for name in names]


@pytest.mark.slow
def test_the_demo_without_the_real_programs_says_so(tmp_path: Path) -> None:
    used = check_story(tmp_path / "demo", "--stand-in")
    assert "a stand-in registry: " in used
    assert "a stand-in API server: " in used


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "line"),
    [(signal.SIGINT, "$ regctl catalog"), (signal.SIGTERM, "# An API server starts")],
)
def test_nothing_is_left_of_a_demo_that_was_interrupted(
    tmp_path: Path, program: Callable[[str], str], number: signal.Signals, line: str
) -> None:
    ps, folder = program("ps"), tmp_path / "demo"
    with start(folder) as demo:
        assert demo.stdout is not None
        while not demo.stdout.readline().startswith(line):
            assert demo.poll() is None
        demo.send_signal(number)
        shown, _ = demo.communicate()
    assert demo.returncode == 128 + number, shown
    assert not folder.exists()
    processes = subprocess.run([ps, "-eww", "-o", "args="], stdout=subprocess.PIPE, check=True)
    assert str(folder).encode() not in processes.stdout

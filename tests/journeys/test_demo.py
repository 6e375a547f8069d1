"""The demo runs to its end, with the real programs and without, and leaves no files."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.programs import cache_folder, describe

ROOT = Path(__file__).parent.parent.parent


def demo(*flags: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "demo", *flags],
        cwd=ROOT,
        env={**os.environ, "REGCTL_TEST_CACHE": str(cache_folder())},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert not (ROOT / ".demo").exists()
    return run.stdout + run.stderr


def test_the_demo_with_the_real_programs(program: Callable[[str], str]) -> None:
    for name in ("registry", "etcd", "kube-apiserver"):
        program(name)
    shown = demo()
    assert "demo/hello" in shown
    assert "(exit code 4)" in shown
    for namespace in ("team-a", "team-b", "team-c"):
        assert shown.count(f"{namespace}/secret/") == 2
    assert shown.count(" unchanged\n") == 3
    assert describe("registry") in shown
    assert "kube-apiserver" in shown


@pytest.mark.slow
def test_the_demo_without_the_real_programs_says_so() -> None:
    shown = demo("--stand-in")
    assert "demo/hello" in shown
    assert "(exit code 4)" in shown
    assert shown.count("kind: Secret") == 3
    assert "a stand-in registry (" in shown

"""`kubectl regctl`: regctl as a plug-in of kubectl."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

PROGRAMS = Path(sys.executable).parent
ENVIRON = os.environ | {"PATH": f"{PROGRAMS}:{os.environ['PATH']}"}


def output(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(
        [str(word) for word in command],
        capture_output=True,
        text=True,
        check=False,
        env=ENVIRON,
        cwd=cwd,
    )
    return done.stdout + done.stderr


def test_kubectl_finds_and_runs_the_plug_in(program: Callable[[str], str], tmp_path: Path) -> None:
    kubectl = program("kubectl")
    assert str(PROGRAMS / "kubectl-regctl") in output(kubectl, "plugin", "list", cwd=tmp_path)
    assert output(kubectl, "regctl", "version", cwd=tmp_path).startswith("regctl ")
    help_text = output(kubectl, "regctl", "users", "--help", cwd=tmp_path)
    assert help_text.startswith("Usage: kubectl regctl users [OPTIONS]")


def test_the_commands_in_its_hints_are_those_of_the_plug_in(tmp_path: Path) -> None:
    for words, hint in [
        (["push"], "hint: you may want `kubectl regctl image push`"),
        (["users", "--nothing"], "hint: `kubectl regctl users --help` shows the usage"),
        (["users", "--wide"], "hint: `-o wide` replaces it"),
        (["deluser", "alice"], "hint: `kubectl regctl adduser` creates it"),
    ]:
        lines = output(PROGRAMS / "kubectl-regctl", *words, cwd=tmp_path).splitlines()
        assert lines[-1].startswith(hint[: hint.rindex("`")])


@pytest.mark.parametrize(
    ("words", "printed"),
    [
        (["compl"], "completion\tPrint the completion script of a shell.\n:4\n"),
        (["users", "-o", "js"], "json\n:4\n"),
        (["deluser", ""], "alice\nbob\n:4\n"),
        (["adduser", "newbie"], ":4\n"),
        (["users", "-f", ""], ":0\n"),
        (["doctor", "po"], "pod/\n:6\n"),
    ],
)
def test_tab_of_kubectl_gets_candidates_and_a_directive(
    words: list[str], printed: str, tmp_path: Path
) -> None:
    (tmp_path / "auth").write_text("alice:$2y$04$x\nbob:$2y$04$x\n")
    assert output(PROGRAMS / "kubectl_complete-regctl", *words, cwd=tmp_path) == printed

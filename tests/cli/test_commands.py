"""What is true for every command: help, examples, a row in docs/commands.md, the same flags."""

import re
import shlex
from pathlib import Path

import click
import pytest

from docs.__main__ import files
from docs.commands import leaves
from regctl.cli.main import main
from tests.cli import parse, run

ROOT = Path(__file__).parent.parent.parent
ALL = dict(leaves(main, "regctl"))


@pytest.mark.parametrize("path", ALL)
def test_help_opens_with_one_sentence_and_ends_with_examples(path: str) -> None:
    command = ALL[path]
    assert command.examples
    summary = (command.help or "").strip().splitlines()[0]
    assert summary.endswith("."), summary
    result = run(*path.split()[1:], "--help")
    assert result.exit_code == 0
    shown = " ".join(result.stdout.replace("\\\n", "\n").split())
    for example in command.examples:
        assert " ".join(example.split()) in shown
    assert all(len(line) <= 80 for line in result.stdout.splitlines())


@pytest.mark.parametrize("path", ALL)
def test_help_explains_every_option(path: str) -> None:
    unexplained = [
        option.opts
        for option in ALL[path].params
        if isinstance(option, click.Option) and not option.hidden and not option.help
    ]
    assert not unexplained


@pytest.mark.parametrize("path", ALL)
def test_examples_are_command_lines_that_parse(path: str) -> None:
    command = ALL[path]
    for example in command.examples:
        line = example[example.index("regctl") :]
        for end in (" | ", " > ", " < ", " && "):
            line = line.partition(end)[0]
        words = shlex.split(line.removesuffix(")"), comments=True)
        assert words[: len(path.split())] == path.split(), example
        parse(words[1:])


def test_the_generated_files_are_up_to_date() -> None:
    """docs/commands.md, docs/readers.md and the completion scripts."""
    stale = [path.name for path, content in files().items() if path.read_text() != content]
    assert not stale, "run `make docs`"


def test_a_short_flag_means_the_same_in_every_command() -> None:
    """It stands for the same long flag, with or without a value."""
    seen: dict[str, tuple[str, bool]] = {}
    for path, command in ALL.items():
        for option in command.params:
            if isinstance(option, click.Option) and not option.hidden:
                for short in (name for name in option.opts if len(name) == 2):
                    meaning = (max(option.opts, key=len), option.is_flag)
                    assert seen.setdefault(short, meaning) == meaning, f"{path} {short}"
    assert "-p" not in seen


@pytest.mark.parametrize("path", ALL)
def test_a_command_has_the_name_that_it_is_listed_under(path: str) -> None:
    assert ALL[path].name == path.rpartition(" ")[2]


@pytest.mark.parametrize("mistyped", ["secrt", "auth pus", "secret creat"])
def test_a_similar_command_is_suggested_for_a_mistyped_one(mistyped: str) -> None:
    result = run(*mistyped.split())
    assert result.exit_code == 2
    assert "Did you mean" in result.stderr


def test_messages_name_only_commands_that_exist() -> None:
    """A hint names the next command, which regctl must have."""
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    for named in re.findall(r"`regctl ((?:[a-z]+ ?)+)", source):
        words = named.split()
        assert any(path.startswith(f"regctl {words[0]}") for path in ALL), named
        if f"regctl {words[0]}" not in ALL and len(words) > 1:
            assert f"regctl {words[0]} {words[1]}" in ALL, named

"""What holds for every command: help, examples, a place in the README, the same flags."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from docs.__main__ import files
from regctl.cli.command import Command
from regctl.cli.main import main

ROOT = Path(__file__).parent.parent.parent


def commands(
    command: click.Command = main, path: str = "regctl"
) -> Iterator[tuple[str, click.Command]]:
    if isinstance(command, click.Group):
        for name, child in command.commands.items():
            yield from commands(child, f"{path} {name}")
    else:
        yield path, command


ALL = dict(commands())


@pytest.mark.parametrize("path", ALL)
def test_help_opens_with_one_sentence_and_ends_with_examples(path: str) -> None:
    command = ALL[path]
    assert isinstance(command, Command)
    assert command.examples
    summary = (command.help or "").strip().splitlines()[0]
    assert summary.endswith((".", "?")), summary
    run = CliRunner().invoke(main, [*path.split()[1:], "--help"], prog_name="regctl")
    assert run.exit_code == 0
    shown = " ".join(run.stdout.replace("\\\n", "\n").split())
    for example in command.examples:
        assert " ".join(example.split()) in shown
    assert all(len(line) <= 80 for line in run.stdout.splitlines())


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
    assert isinstance(command, Command)
    for example in command.examples:
        line = example[example.index("regctl") :]
        for end in (" | ", " > ", " < ", " && "):
            line = line.partition(end)[0]
        words = shlex.split(line.removesuffix(")"), comments=True)
        depth = len(path.split())
        assert words[:depth] == path.split(), example
        command.make_context(path, words[depth:], resilient_parsing=True)


def test_what_is_generated_is_up_to_date() -> None:
    """The README's list of commands and the completion scripts: `make docs` writes them."""
    stale = [path.name for path, content in files().items() if path.read_text() != content]
    assert not stale, "run `make docs`"


def test_the_same_flag_means_the_same_everywhere() -> None:
    """One spelling, one help text and one kind of value for an option, whatever the command."""
    seen: dict[str, tuple[str, bool]] = {}
    for path, command in ALL.items():
        for option in command.params:
            if isinstance(option, click.Option):
                for short in (name for name in option.opts if len(name) == 2):
                    meaning = (max(option.opts, key=len), option.is_flag)
                    assert seen.setdefault(short, meaning) == meaning, f"{path} {short}"
    assert "-p" not in seen


@pytest.mark.parametrize("path", ALL)
def test_a_command_goes_by_the_name_that_it_is_listed_under(path: str) -> None:
    assert ALL[path].name == path.rpartition(" ")[2]


@pytest.mark.parametrize("mistyped", ["secrt", "auth pus", "secret creat"])
def test_a_mistyped_command_is_guessed(mistyped: str) -> None:
    run = CliRunner().invoke(main, mistyped.split(), prog_name="regctl")
    assert run.exit_code == 2
    assert "Did you mean" in run.stderr


def test_messages_name_only_commands_that_exist() -> None:
    """A hint says the next command: one that regctl has."""
    source = "".join(path.read_text() for path in (ROOT / "src").rglob("*.py"))
    for named in re.findall(r"`regctl ((?:[a-z]+ ?)+)", source):
        words = named.split()
        assert any(path.startswith(f"regctl {words[0]}") for path in ALL), named
        if f"regctl {words[0]}" not in ALL and len(words) > 1:
            assert f"regctl {words[0]} {words[1]}" in ALL, named

"""
The candidates that regctl prints for the scripts in `cli/completions`.

All three scripts do the same. They pass the line up to the cursor to regctl in `$_REGCTL_LINE`,
which other users cannot see. Each line that regctl prints is a candidate: its kind, value and help,
separated by tabs.
"""

import os
import signal

import click
from click.shell_completion import CompletionItem, ShellComplete, split_arg_string

from regctl.cli.app import App

# Seconds. A plug-in of the kubeconfig or a name server may take longer, but a person waits.
TIME_LIMIT = 5.0

# Cobra's directives, to be added up: no space after the candidate, no names of files.
_NO_SPACE, _NO_FILES = 2, 4

# The kind of a candidate in click, and its word in the scripts.
_KINDS = {"plain": "word", "file": "file", "dir": "folder", "more": "more"}


def print_candidates(command: click.Command, app: App, line: str) -> None:
    """Print the candidates for the end of *line*."""
    words = split_arg_string(line)[1:]
    typed = "" if not words or line[-1:].isspace() else words.pop()
    # Without a candidate there is no line, not even an empty one: a shell would insert it.
    for item in candidates(command, app, words, typed):
        fields = (_KINDS.get(item.type, "word"), str(item.value) or "-", item.help or "")
        # Without tabs and line ends of its own.
        text = "\t".join(" ".join(field.split()) for field in fields)
        click.echo(text.encode(errors="surrogateescape"))


def print_for_kubectl(command: click.Command, app: App, words: list[str]) -> None:
    """
    Print the candidates for the last of *words* as `kubectl_complete-NAME` must.

    It is a line for each candidate, and a directive after a colon, as cobra's `__complete` has it.
    """
    *before, typed = words or [""]
    items = candidates(command, app, before, typed)
    kinds = {item.type for item in items}
    if kinds & {"file", "dir"}:
        click.echo(":0")
        return
    for item in items:
        click.echo(f"{item.value}\t{item.help}" if item.help else item.value)
    click.echo(f":{_NO_FILES + (_NO_SPACE if 'more' in kinds else 0)}")


def candidates(
    command: click.Command, app: App, words: list[str], typed: str
) -> "list[CompletionItem[str]]":
    """Return those for the word that is *typed* after *words*; end the process after TIME_LIMIT."""
    signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
    signal.setitimer(signal.ITIMER_REAL, TIME_LIMIT)
    return ShellComplete(command, {"obj": app}, "regctl", "").get_completions(words, typed)

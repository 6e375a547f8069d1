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

# The kind of a candidate in click, and its word in the scripts.
_KINDS = {"plain": "word", "file": "file", "dir": "folder", "more": "more"}


class Lines(ShellComplete):
    """Make a line of each candidate: its kind, value and help, separated by tabs."""

    def __init__(self, command: click.Command, context: dict[str, object], line: str) -> None:
        super().__init__(command, context, "regctl", "")
        self._line = line

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the complete words of the line, and the beginning of the word at the cursor."""
        words = split_arg_string(self._line)[1:]
        if not words or self._line[-1:].isspace():
            return words, ""
        return words[:-1], words[-1]

    def format_completion(self, item: "CompletionItem[str]") -> str:
        """Return the line of one candidate, without tabs and line ends of its own."""
        fields = (_KINDS.get(item.type, "word"), str(item.value) or "-", item.help or "")
        return "\t".join(" ".join(field.split()) for field in fields)


def print_candidates(command: click.Command, app: App, line: str) -> None:
    """Print the candidates for the end of *line*; end the process after TIME_LIMIT."""
    signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
    signal.setitimer(signal.ITIMER_REAL, TIME_LIMIT)
    # Without a candidate there is no line, not even an empty one: a shell would insert it.
    if lines := Lines(command, {"obj": app}, line).complete():
        click.echo(lines.encode(errors="surrogateescape"))

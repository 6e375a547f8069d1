"""
The candidates that regctl prints for the scripts in `cli/completions`.

All three scripts do the same. They pass the line up to the cursor to regctl in `$_REGCTL_LINE`,
which other users cannot see. Each line that regctl prints is a candidate: its kind, value and help,
separated by tabs.
"""

import os
import signal
from typing import ClassVar

from click.shell_completion import (
    CompletionItem,
    ShellComplete,
    add_completion_class,
    split_arg_string,
)

LINE = "_REGCTL_LINE"

# Seconds. A plug-in of the kubeconfig or a name server may take longer, but a person waits.
TIME_LIMIT = 5.0

# The kind of a candidate in click, and its word in the scripts.
_KINDS = {"plain": "word", "file": "file", "dir": "folder", "more": "more"}


class Lines(ShellComplete):
    """Print a line for each candidate: its kind, value and help, separated by tabs."""

    name: ClassVar[str] = "lines"
    source_template: ClassVar[str] = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the complete words of the line, and the beginning of the word at the cursor."""
        line = os.environ.get(LINE, "")
        words = split_arg_string(line)[1:]
        if not words or line[-1:].isspace():
            return words, ""
        return words[:-1], words[-1]

    def format_completion(self, item: "CompletionItem[str]") -> str:
        """Return the line of one candidate, without tabs and line ends of its own."""
        fields = (_KINDS.get(item.type, "word"), str(item.value) or "-", item.help or "")
        return "\t".join(" ".join(field.split()) for field in fields)


def register() -> None:
    """Make click handle `_REGCTL_COMPLETE=lines_complete`; end the process after TIME_LIMIT."""
    signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
    signal.setitimer(signal.ITIMER_REAL, TIME_LIMIT)
    add_completion_class(Lines)

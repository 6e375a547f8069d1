"""What regctl answers a shell that completes: the other side of the scripts in completion."""

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

# Seconds: a plug-in of the kubeconfig or a name server may take any time, and somebody waits.
PATIENCE = 5.0

# The kinds of click, in the words of the scripts.
_KINDS = {"plain": "word", "file": "file", "dir": "folder", "more": "more"}


class Lines(ShellComplete):
    """A candidate a line: its kind, value and help, between tabs."""

    name: ClassVar[str] = "lines"
    source_template: ClassVar[str] = ""

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the words before the one at the cursor, and that one as far as it is typed."""
        line = os.environ.get(LINE, "")
        words = split_arg_string(line)[1:]
        if not words or line[-1:].isspace():
            return words, ""
        return words[:-1], words[-1]

    def format_completion(self, item: "CompletionItem[str]") -> str:
        """Return the line for one candidate; what would break the line is left out."""
        fields = (_KINDS.get(item.type, "word"), str(item.value) or "-", item.help or "")
        return "\t".join(" ".join(field.split()) for field in fields)


def register() -> None:
    """Let click answer `_REGCTL_COMPLETE=lines_complete`, or nobody once time is up."""
    signal.signal(signal.SIGALRM, lambda *_: os._exit(1))
    signal.setitimer(signal.ITIMER_REAL, PATIENCE)
    add_completion_class(Lines)

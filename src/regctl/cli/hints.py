"""Hints whose commands connect as this run does, so that they work as they are printed."""

import re
import shlex
from collections.abc import Mapping

import click

# A name from a Secret is quoted, and may have a backquote itself.
_COMMAND = re.compile(r"""`regctl ((?:[^`'"]|'[^']*'|"[^"]*")+)`""")


def completed(hint: str, given: Mapping[str, str | None]) -> str:
    """Return *hint* with the *given* options added to its commands, where they have them."""
    return _COMMAND.sub(lambda found: f"`regctl {_with(found[1], given)}`", hint)


def _with(line: str, given: Mapping[str, str | None]) -> str:
    context = click.get_current_context().find_root()
    command, words = context.command, line.split()
    for word in words:
        if not isinstance(command, click.Group) or word not in command.list_commands(context):
            break
        command = command.get_command(context, word) or command
    added = []
    for name, value in given.items():
        spellings = (set(one.opts) for one in command.params if name in one.opts)
        if not next(spellings, set(words)).intersection(words):
            added += [name, *([] if value is None else [value])]
    return " ".join([line, *map(shlex.quote, added)])

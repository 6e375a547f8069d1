"""The man pages of regctl, of its groups and of its commands, with the text of their --help."""

from collections.abc import Iterable, Iterator

import click

from docs.commands import EXIT_CODES, VARIABLES
from regctl import __version__
from regctl.cli.command import Command
from regctl.cli.main import main


def pages() -> dict[str, str]:
    """Return the text of each man page by its file name, such as `regctl-adduser.1`."""
    return {f"{_title(path)}.1": _page(path, command) for path, command in _commands()}


def _commands(
    command: click.Command = main, path: str = "regctl"
) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        for name in command.commands:
            yield from _commands(command.commands[name], f"{path} {name}")


def _title(path: str) -> str:
    return path.replace(" ", "-")


def _page(path: str, command: click.Command) -> str:
    context = click.Context(command, info_name=path)
    title = _title(path)
    paragraphs = [" ".join(text.split()) for text in (command.help or "").split("\n\n")]
    summary = paragraphs[0].removesuffix(".")
    lines = [
        f'.TH "{title.upper()}" "1" "" "regctl {__version__}" "regctl"',
        ".SH NAME",
        f"{_text(title)} \\- {_text(summary[:1].lower() + summary[1:])}",
        ".SH SYNOPSIS",
        f".B {_text(path)}",
        _text(" ".join(command.collect_usage_pieces(context))),
        ".SH DESCRIPTION",
        *(line for paragraph in paragraphs for line in (".PP", _text(paragraph))),
    ]
    if isinstance(command, Command):
        lines.append(".SH OPTIONS")
        for heading, options in command.options_by_heading(context).items():
            if heading != "Options":
                lines.append(f".SS {_text(heading)}")
            lines += _list(options)
        lines += [".SH EXAMPLES", ".nf", *map(_text, command.examples), ".fi"]
    if isinstance(command, click.Group):
        lines.append(".SH COMMANDS")
        lines += _list(
            (f"{title}-{name}(1)", command.commands[name].get_short_help_str(limit=200))
            for name in command.commands
        )
    lines += [".SH EXIT STATUS", *_list(EXIT_CODES.items())]
    if path == "regctl":
        lines += [".SH ENVIRONMENT", *_list(VARIABLES.items())]
    else:
        lines += [".SH SEE ALSO", f".BR {_text(_title(path.rpartition(' ')[0]))} (1)"]
    return "\n".join(lines) + "\n"


def _list(items: Iterable[tuple[str, str]]) -> Iterator[str]:
    for term, meaning in items:
        yield from (".TP", f".B {_text(term)}", _text(meaning))


def _text(text: str) -> str:
    """Return *text* escaped for groff: no request in it, and a hyphen stays a hyphen."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("'", "\\(aq")
    return f"\\&{escaped}" if escaped.startswith(".") else escaped

"""
How a command is built, over click.

A command's options are click options. Those that belong together are an option group: a NamedTuple
of `options.py` with a field for each option, which the command gets as one argument. The heading of
an option is the section of `--help` that lists it. An option that says how to connect is kept on
the App and is no argument of the command. Commands are named in `main.SECTIONS`, as
`module:function` below `cli/commands`, and imported when they are asked for. One option object
serves all commands that have it: `--help` loads every command, and each object takes its time.
"""

import functools
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from importlib import import_module
from typing import Any

import click

from regctl.cli.app import App
from regctl.cli.habits import NEXT_WORD, resolved_alias

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]

_OUTPUT = "Output"


class Option(click.Option):
    """
    An option with a *heading* in the help.

    *bare* is the value of an option that takes one after `=` only: `--dry-run` is
    `--dry-run=client`, and never takes the next argument.
    """

    def __init__(
        self, *args: Any, heading: str | None = None, bare: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.heading = heading
        self.bare = bare

    def check_next(self, typed: str, following: str, ctx: click.Context) -> None:
        """Raise UsageError if the argument after the option reads as its value."""
        try:
            self.type.convert(following, self, ctx)
        except click.BadParameter:
            return
        if not ctx.resilient_parsing:
            raise click.UsageError(f"type {typed}={following}, without a space", ctx)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return how the option is written and what it does; `--x[=Y]` as it is typed."""
        record = super().get_help_record(ctx)
        return record and (record[0].replace(" [=", "[="), record[1])


class Command(click.Command):
    """
    A command with examples in its help, and the flags that every command has.

    *examples* are whole command lines, one each.
    """

    def __init__(self, *args: Any, examples: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.examples = tuple(examples)
        self.params.extend(_common_options())

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """
        Parse as click does; an option with a bare value never takes the next argument.

        A next argument that reads as its value is a usage error: it was meant as one.
        """
        ctx.ensure_object(App).attempted = ctx.command_path
        bare = {
            name: param
            for param in self.params
            if isinstance(param, Option) and param.bare is not None
            for name in param.opts
        }
        end = args.index("--") if "--" in args else len(args)
        for at, (arg, following) in enumerate(itertools.pairwise([*args[:end], ""])):
            if arg in bare:
                bare[arg].check_next(arg, following, ctx)
                args[at] = f"{arg}={bare[arg].bare}"
        return super().parse_args(ctx, args)

    def options_by_heading(self, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
        """Return how each option is written and what it does, by heading."""
        sections: dict[str, list[tuple[str, str]]] = {"Options": []}
        common = (*_common_options(), self.get_help_option(ctx))
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx) if isinstance(param, click.Option) else None
            if record:
                heading = _OUTPUT if param in common else getattr(param, "heading", None)
                sections.setdefault(heading or "Options", []).append(record)
        sections[_OUTPUT] = sections.pop(_OUTPUT)
        return {heading: records for heading, records in sections.items() if records}

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options by heading."""
        for heading, records in self.options_by_heading(ctx).items():
            with formatter.section(heading):
                formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples below the options; long ones are folded as a shell reads them."""
        if self.examples:
            with formatter.section("Examples"):
                indent = " " * formatter.current_indent
                for example in self.examples:
                    lines = _folded(example, formatter.width - len(indent))
                    formatter.write(
                        f" \\\n{indent}    ".join([indent + lines[0], *lines[1:]]) + "\n"
                    )
        super().format_epilog(ctx, formatter)


def _folded(line: str, width: int) -> list[str]:
    """Break a command line where a shell may, before an option if possible."""
    lines = [""]
    for words in re.findall(r"""-[-\w]+ (?![-"'])\S+|(?:"[^"]*"|'[^']*'|[^\s"'])+""", line):
        if lines[-1] and len(f"{lines[-1]} {words}") + len("     \\") > width:
            lines.append(words)
        else:
            lines[-1] += f" {words}" if lines[-1] else words
    return lines


class LazyCommands(MutableMapping[str, click.Command]):
    """
    The commands of a group by name, each imported when it is asked for.

    A place is `module:function` below regctl.cli.commands. click uses this as its own mapping, so
    help, completion and "did you mean" know every name.
    """

    def __init__(self, places: Mapping[str, str | click.Command]) -> None:
        self._places = dict(places)

    def __getitem__(self, name: str) -> click.Command:
        """Return the command; raises KeyError for an unknown name."""
        place = self._places[name]
        if isinstance(place, click.Command):
            return place
        module, _, function = place.partition(":")
        command: click.Command = getattr(import_module(f"regctl.cli.commands.{module}"), function)
        self[name] = command
        return command

    def __setitem__(self, name: str, command: click.Command) -> None:
        self._places[name] = command

    def __delitem__(self, name: str) -> None:
        del self._places[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)


class CommandGroup(click.Group):
    """A group of commands about one noun: `regctl secret ...`."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve a command or an alias, and keep the word after its name."""
        name, following = args[0], next(iter(args[1:]), None)
        ctx.meta[NEXT_WORD] = following
        return super().resolve_command(ctx, [resolved_alias(self, name, following), *args[1:]])

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, each with its whole first sentence."""
        self.write_section(formatter, "Commands", sorted(self.commands))

    def write_section(
        self, formatter: click.HelpFormatter, heading: str, names: Iterable[str]
    ) -> None:
        """Write the named commands under a heading."""
        with formatter.section(heading):
            formatter.write_dl(
                [(name, self.commands[name].get_short_help_str(limit=200)) for name in names]
            )


def command_group(summary: str, **places: str) -> CommandGroup:
    """Return a group of the commands at these *places*. Its help is the summary and their names."""
    help_text = f"{summary}: {', '.join(places)}."
    return CommandGroup(help=help_text, commands=LazyCommands(places))


def option(*names: str, **attributes: Any) -> Decorator:
    """Return a decorator that adds an option; the same Option object for every command."""
    made = Option(names, **attributes)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        # click's own decorators collect the parameters of a command here, too.
        function.__dict__.setdefault("__click_params__", []).append(made)
        return function

    return decorate


def option_group(name: str, group: type[Any], *options: Decorator) -> Decorator:
    """Add *options* and pass their values to the command as one argument, a *group*."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            values = {field: kwargs.pop(field) for field in group._fields if field in kwargs}
            return function(*args, **kwargs, **{name: group(**values)})

        decorated: Callable[..., Any] = wrapper
        for add in reversed(options):
            decorated = add(decorated)
        return decorated

    return decorate


@functools.cache
def _common_options() -> tuple[click.Parameter, ...]:
    """Return the flags of every command, made once."""

    def flag(*names: str, attribute: str, value: Any, text: str) -> click.Parameter:
        def set_on_output(ctx: click.Context, _param: click.Parameter, given: bool) -> None:
            if given:
                setattr(ctx.ensure_object(App).output, attribute, value)

        return Option(
            names,
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=set_on_output,
            help=text,
        )

    return (
        flag("-v", "--verbose", attribute="verbose", value=True, text="Print each request."),
        flag("-q", "--quiet", attribute="quiet", value=True, text="Print only errors and data."),
        flag("--no-color", attribute="color", value=False, text="Print without colors."),
    )

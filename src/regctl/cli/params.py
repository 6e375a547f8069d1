"""
What every command is made of: its class, its options, and options that belong together.

All of this is made anew at every start of regctl, so an option is made once for all commands that
have it, and a bundle is no dataclass: each of those takes a millisecond to define.
"""

import functools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import click

from regctl.cli.app import App

if TYPE_CHECKING:
    from pathlib import Path

F = TypeVar("F", bound=Callable[..., Any])

BARE_DRY_RUN = "--dry-run"

_OUTPUT = "Output"


class Option(click.Option):
    """An option that stands under a heading of its own in the help."""

    def __init__(self, *args: Any, heading: str | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.heading = heading


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
        """Parse as click does; a bare `--dry-run` never eats the argument after it."""
        end = args.index("--") if "--" in args else len(args)
        bare_takes_client = any(
            isinstance(param, click.Option) and BARE_DRY_RUN in param.opts and not param.is_flag
            for param in self.params
        )
        if bare_takes_client:
            args = [
                f"{BARE_DRY_RUN}=client" if index < end and arg == BARE_DRY_RUN else arg
                for index, arg in enumerate(args)
            ]
        return super().parse_args(ctx, args)

    def options_by_heading(self, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
        """Return how each option is written and what it does, under what it is about."""
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
        """Write the options, those that other commands share under what they are about."""
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
    """Break a command line where a shell may, best before an option; quoted words stay whole."""
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

    Where one is, stands as `module:function` of regctl.cli.commands. To click this is the mapping that it
    would make itself, so that help, completion and "did you mean" know every name.
    """

    def __init__(self, places: Mapping[str, str | click.Command]) -> None:
        self._places = dict(places)

    def __getitem__(self, name: str) -> click.Command:
        """Return the command; KeyError where there is none."""
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
    """A group of commands about one thing: `regctl secret …`."""

    def format_commands(self, _ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands, each with its whole sentence."""
        self.write_section(formatter, "Commands", sorted(self.commands))

    def write_section(
        self, formatter: click.HelpFormatter, heading: str, names: Iterable[str]
    ) -> None:
        """Write the commands that are named under a heading."""
        with formatter.section(heading):
            formatter.write_dl(
                [(name, self.commands[name].get_short_help_str(limit=200)) for name in names]
            )


def noun(summary: str, **places: str) -> CommandGroup:
    """Return a group with its one-sentence help and where its commands are, as LazyCommands has it."""
    return CommandGroup(help=summary, commands=LazyCommands(places))


def option(*names: str, **attributes: Any) -> Callable[[F], F]:
    """Add an option, as click.option does, but the same object to every command that has it."""
    made = Option(names, **attributes)

    def decorate(function: F) -> F:
        # Where click's own decorators collect the parameters of a function to be.
        function.__dict__.setdefault("__click_params__", []).append(made)
        return function

    return decorate


class FilePath(click.Path):
    """A parameter that is a pathlib.Path; pathlib is loaded where one is given."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Path":
        """Return the path as it was typed."""
        from pathlib import Path

        return Path(str(super().convert(value, param, ctx)))


@functools.cache
def _common_options() -> tuple[click.Parameter, ...]:
    """Return the flags of every command; made once, since making an option takes its time."""

    def set_on_output(attribute: str, value: Any) -> Callable[..., None]:
        def callback(ctx: click.Context, _param: click.Parameter, given: bool) -> None:
            if given:
                setattr(ctx.ensure_object(App).output, attribute, value)

        return callback

    def flag(*names: str, attribute: str, value: Any, text: str) -> click.Parameter:
        return click.Option(
            names,
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=set_on_output(attribute, value),
            help=text,
        )

    return (
        flag("-v", "--verbose", attribute="verbose", value=True, text="Say what is being done."),
        flag("-q", "--quiet", attribute="quiet", value=True, text="Say errors and data only."),
        flag("--no-color", attribute="color", value=False, text="Never use colour."),
    )


class Bundle:
    """
    Options that belong together: an attribute for each name that the class annotates.

    *heading* is what stands above them in the help.
    """

    heading: ClassVar[str | None] = None

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)


def bundle(name: str, build: type[Bundle], *options: Callable[[F], F]) -> Callable[[F], F]:
    """Add *options* and pass them on as one argument *name*: the *build* of their values."""
    keys = tuple(key for key in build.__annotations__ if key != "heading")

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            values = {key: kwargs.pop(key) for key in keys}
            return function(*args, **kwargs, **{name: build(values)})

        decorated = cast("F", wrapper)
        there = len(getattr(function, "__click_params__", ()))
        for add in reversed(options):
            decorated = add(decorated)
        for made in decorated.__dict__["__click_params__"][there:]:
            if isinstance(made, Option):
                made.heading = made.heading or build.heading
        return decorated

    return decorate

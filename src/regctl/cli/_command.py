"""
What every command is made of: its class, its options, and options that belong together.

All of this is made anew at every start of regctl, so an option is made once for all commands that
have it, and a bundle is no dataclass: each of those takes a millisecond to define.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from regctl.cli._app import App

if TYPE_CHECKING:
    from pathlib import Path

F = TypeVar("F", bound=Callable[..., Any])

BARE_DRY_RUN = "--dry-run"


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

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples below the options."""
        if self.examples:
            with formatter.section("Examples"):
                for example in self.examples:
                    formatter.write(f"{'':{formatter.current_indent}}{example}\n")
        super().format_epilog(ctx, formatter)


class Noun(click.Group):
    """A group of commands about one thing: `regctl secret …`."""

    command_class = Command


def option(*names: str, **attributes: Any) -> Callable[[F], F]:
    """Add an option, as click.option does, but the same object to every command that has it."""
    made = click.Option(names, **attributes)

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
    """Options that belong together: an attribute for each name that the class annotates."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.__dict__.update(values)


def bundle(name: str, build: type[Bundle], *options: Callable[[F], F]) -> Callable[[F], F]:
    """Add *options* and pass them on as one argument *name*: the *build* of their values."""
    keys = tuple(build.__annotations__)

    def decorate(function: F) -> F:
        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            values = {key: kwargs.pop(key) for key in keys}
            return function(*args, **kwargs, **{name: build(values)})

        decorated = cast("F", wrapper)
        for add in reversed(options):
            decorated = add(decorated)
        return decorated

    return decorate

"""Removed when every command has moved to the new options."""

import functools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

import click

from regctl.cli.command import Command, Option, option

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BARE_DRY_RUN", "Bundle", "Command", "F", "FilePath", "bundle", "option"]

F = TypeVar("F", bound=Callable[..., Any])

BARE_DRY_RUN = "--dry-run"


class FilePath(click.Path):
    """A parameter that is a pathlib.Path; pathlib is loaded where one is given."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> "Path":
        """Return the path as it was typed."""
        from pathlib import Path

        return Path(str(super().convert(value, param, ctx)))


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

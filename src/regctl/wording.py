"""Numbers and lists of names in a message: `3 users`, and `a, b, c, d, e and 4 more`."""

from collections.abc import Sequence

_SHOWN_NAMES = 5


def count(number: int, noun: str) -> str:
    """Return `1 user` or `3 users`; *noun* takes a plain `s`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def some_of(names: Sequence[str]) -> str:
    """Return the first five of *names* and how many more there are."""
    shown, more = ", ".join(names[:_SHOWN_NAMES]), len(names) - _SHOWN_NAMES
    return f"{shown} and {more} more" if more > 0 else shown

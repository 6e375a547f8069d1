"""The names of users that replace each other: ci, ci-2, ci-3."""

import re

from regctl.authfile.htpasswd import HtpasswdFile
from regctl.errors import LockedUserError, UnknownUserError

_NUMBERED = re.compile(r"(.*)-([2-9]|[1-9]\d{1,8})", re.ASCII)


def next_username(name: str) -> str:
    """Return the user that follows *name*: `ci-2` after `ci`, `ci-3` after `ci-2`."""
    base, number = _base_and_number(name)
    return f"{base}-{number + 1}"


def is_numbered(name: str) -> bool:
    """Whether *name* looks like one that follows another: `ci-2`."""
    return _NUMBERED.fullmatch(name) is not None


def _base_and_number(name: str) -> tuple[str, int]:
    match = _NUMBERED.fullmatch(name)
    return (match[1], int(match[2])) if match else (name, 1)


def users_in_force(users: HtpasswdFile, name: str) -> list[str]:
    """
    Return *name* and those that follow it, as far as they are active, in order.

    Raises LockedUserError if all of them are locked, UnknownUserError without any.
    """
    base, first = _base_and_number(name)
    found: dict[int, str] = {}
    locked = False
    for user in users.users():
        known, number = _base_and_number(user.name)
        if user.name == name or (known == base and number > first):
            locked = locked or user.locked
            if not user.locked:
                found[first if user.name == name else number] = user.name
    if not found and locked:
        raise LockedUserError(
            f"cannot rotate {name}: the user is locked", hint=f"`regctl auth unlock {name}`"
        )
    if not found:
        raise UnknownUserError(
            f"cannot rotate {name}: there is no such user", hint="`regctl users` lists the users"
        )
    return [found[number] for number in sorted(found)]

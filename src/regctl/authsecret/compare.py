"""Which users two auth files differ in, and how to merge them."""

from collections.abc import Iterable
from datetime import date
from typing import Literal, NamedTuple

from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authfile.readers import AuthFileReader
from regctl.wording import some_of


class UserChange(NamedTuple):
    """How one user differs."""

    name: str
    change: Literal["added", "removed", "changed"]

    def __str__(self) -> str:
        """Return `added alice`."""
        return f"{self.change} {self.name}"


def compare(old: HtpasswdFile, new: HtpasswdFile) -> tuple[UserChange, ...]:
    """
    Return how the active users of *new* differ from those of *old*, sorted by name.

    A user is `changed` if its hashes differ, even if they are hashes of the same password. A user
    with several lines counts once.
    """
    before, after = _active_hashes(old), _active_hashes(new)

    def change(name: str) -> UserChange:
        if name not in before:
            return UserChange(name, "added")
        return UserChange(name, "changed" if name in after else "removed")

    names = sorted(before.keys() | after.keys())
    return tuple(change(name) for name in names if before.get(name) != after.get(name))


def summary(changes: Iterable[UserChange]) -> str:
    """Return *changes* in words: `changed alice, added bob, carol`."""
    by_change: dict[str, list[str]] = {}
    for user in changes:
        by_change.setdefault(user.change, []).append(user.name)
    return ", ".join(f"{change} {some_of(names)}" for change, names in by_change.items())


def merge(
    local: bytes | None, remote: HtpasswdFile, reader: AuthFileReader, today: date | None = None
) -> bytes:
    """
    Return the content of a local file that has the active users of *remote* and no others.

    Keeps the comments and the order of *local*, and its users that *remote* does not have and that
    are locked, or expired by *today* (UTC). Of several lines for a user it takes the one that
    counts for *reader*. Without a local file it returns *remote* as it is.
    """
    if local is None:
        return remote.content
    file = HtpasswdFile(local)
    desired = _active_hashes(remote)
    active = _active_hashes(file if today is None else file.as_of(today))
    for name in active.keys() - desired.keys():
        file.remove(name)
    present = _active_hashes(file)
    for name, hashes in desired.items():
        if present.get(name) != hashes:
            file.set(name, hashes[reader.used_line(len(hashes)) or 0])
            file.unlock(name)
    return file.content


def _active_hashes(file: HtpasswdFile) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for line in file.lines():
        if line.kind == "user":
            found[line.name] = (*found.get(line.name, ()), line.value)
    return found

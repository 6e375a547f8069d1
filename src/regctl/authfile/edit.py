"""Changes to the auth file on disk: each is one locked, atomic write."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import NamedTuple

from regctl import atomicfile
from regctl.atomicfile import WriteOptions
from regctl.authfile import hashes
from regctl.authfile.expiry import Expiry
from regctl.authfile.htpasswd import HtpasswdFile, check_name, no_file, unknown_user
from regctl.errors import MalformedError, MountPointError, UserExistsError
from regctl.outcome import Outcome
from regctl.wording import some_of

KIND = "user"

_DEFAULT = WriteOptions()


@contextmanager
def editing(
    path: Path,
    how: WriteOptions = _DEFAULT,
    *,
    must_exist: bool = False,
    seen: HtpasswdFile | None = None,
) -> Iterator[HtpasswdFile]:
    """
    Lock the auth file at *path* and write what the block changes in it.

    A file that does not exist is empty, and created if the block adds something, unless it
    *must_exist*. *seen* is what was read before: if the file is still the same, it is not parsed
    again. Raises MalformedError for a file with lines that no reader understands, FileAccessError,
    and what atomicfile.editing raises.
    """
    if must_exist and atomicfile.read(path) is None:
        raise no_file(path)
    try:
        with atomicfile.editing(path, how) as draft:
            if seen is not None and seen.content == draft.original:
                file = seen
            else:
                file = _well_formed(draft.original, path)
            yield file
            content = file.content
            if draft.original is not None or content:
                draft.content = _well_formed(content, path).content
    except MountPointError as error:
        raise MountPointError(
            error.message,
            hint=f"{error.hint}, or pass --in-place: readers may then see a part of it",
        ) from error


def _well_formed(content: bytes | None, path: Path) -> HtpasswdFile:
    file = HtpasswdFile(content or b"")
    bad = file.malformed()
    if bad:
        numbers = some_of([str(line.number) for line in bad])
        raise MalformedError(
            f"cannot change {path}: not NAME:HASH in line {numbers}; nothing was written",
            hint="`regctl auth check --fix` makes comments of such lines",
        )
    return file


class AddOptions(NamedTuple):
    """
    How to add a user. *scheme* and *cost* of None are the defaults.

    *expires* of None keeps the day that the user has. Without *update*, an existing user is an
    error.
    """

    scheme: str | None = None
    cost: int | None = None
    update: bool = True
    expires: Expiry | None = None


_ADD_DEFAULT = AddOptions()


def check_new_user(name: str, options: AddOptions) -> None:
    """Raise InvalidUserError or InvalidInputError for an invalid name, scheme or cost."""
    check_name(name)
    hashes.check_scheme(options.scheme or hashes.DEFAULT_SCHEME, options.cost)


def add_user(
    path: Path,
    name: str,
    password: str,
    options: AddOptions = _ADD_DEFAULT,
    how: WriteOptions = _DEFAULT,
) -> Outcome:
    """
    Add *name* to the auth file at *path*, or set its password.

    A hash that is good enough and matches is kept, and nothing is written. A locked user stays
    locked. Hashing is done before the file is locked. Raises what `check_new_user` raises,
    InvalidPasswordError, UserExistsError without `options.update`, and what `editing` raises.
    """
    check_new_user(name, options)
    hashes.check_password(password, options.scheme or hashes.DEFAULT_SCHEME)

    def hash_for(present: tuple[str, ...]) -> str:
        return _hash(password, name, present, options, path)

    before = _well_formed(atomicfile.read(path), path)
    seen = before.hashes(name)
    hash_ = hash_for(seen)
    with editing(path, how, seen=before) as file:
        present = file.hashes(name)
        result = file.set(name, hash_ if present == seen else hash_for(present))
        if options.expires is not None:
            expiry = file.expire(name, options.expires.day)
            result = expiry if result == "unchanged" else result
        user = file.user(name) if result != "created" else None
        note = f"locked; `regctl auth unlock {name}` unlocks it"
        return Outcome(KIND, name, result, note=note if user is not None and user.locked else None)


def with_user(
    content: bytes, name: str, password: str, options: AddOptions = _ADD_DEFAULT
) -> bytes:
    """Return an auth file with *name* added or its password set; raises as `add_user` does."""
    file = _well_formed(content, Path("-"))
    present = file.hashes(name)
    file.set(name, _hash(password, name, present, options, Path("-")))
    if options.expires is not None:
        file.expire(name, options.expires.day)
    return file.content


def _hash(
    password: str, name: str, present: tuple[str, ...], options: AddOptions, path: Path
) -> str:
    if present and not options.update:
        raise UserExistsError(
            f"user {name} is already in {path}", hint="omit --no-update to set a password"
        )
    return hashes.reuse_or_hash(password, present, options.scheme, options.cost)


def remove_users(path: Path, names: Sequence[str], how: WriteOptions = _DEFAULT) -> list[Outcome]:
    """
    Remove *names* from the auth file at *path*, all in one write.

    The Outcome of a name that is not there has an UnknownUserError. Raises what HtpasswdFile.read
    and `editing` raise.
    """
    with editing(path, how, must_exist=True) as file:
        return [
            Outcome(KIND, name, "deleted")
            if file.remove(name)
            else Outcome(KIND, name, "failed", error=unknown_user(name))
            for name in names
        ]


def lock_users(path: Path, names: Sequence[str], how: WriteOptions = _DEFAULT) -> list[Outcome]:
    """Lock *names* in one write: all or none. Raises UnknownUserError and what `editing` raises."""
    with editing(path, how, must_exist=True) as file:
        return [Outcome(KIND, name, file.lock(name), note="locked") for name in names]


def unlock_users(path: Path, names: Sequence[str], how: WriteOptions = _DEFAULT) -> list[Outcome]:
    """Unlock *names* in one write: all or none. Raises as `lock_users` does."""
    with editing(path, how, must_exist=True) as file:
        return [Outcome(KIND, name, file.unlock(name), note="active") for name in names]


def lock_due(path: Path, today: date, how: WriteOptions = _DEFAULT) -> list[Outcome]:
    """Lock the users whose day has come by *today* (UTC), in one write."""
    with editing(path, how, must_exist=True) as file:
        due = file.lock_due(today)
        return [Outcome(KIND, name, "configured", note="locked, expired") for name in due]

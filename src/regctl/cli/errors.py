"""The failures that only the command line knows: questions, standard output, signals, defects."""

import os
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from regctl.errors import RegctlError


class ConfirmationError(RegctlError):
    """A question was answered with no, or nobody was there to answer it."""


class StdoutError(RegctlError):
    """Standard output cannot be written to: a full disk, most often."""


class ClosedPipeError(StdoutError):
    """The reader of standard output has gone: regctl ends silently, as by SIGPIPE."""

    exit_code = 128 + 13


def stdout_error(error: OSError) -> StdoutError:
    """Return the failure that an error of writing to standard output is."""
    if isinstance(error, BrokenPipeError):
        return ClosedPipeError("standard output was closed")
    return StdoutError(f"cannot write to standard output: {error.strerror}")


@contextmanager
def writing_stdout() -> Iterator[None]:
    """Raise `stdout_error` for what the block cannot write."""
    try:
        yield
    except OSError as error:
        raise stdout_error(error) from error


class TerminatedError(KeyboardInterrupt):
    """SIGTERM or SIGHUP: regctl stops and cleans up as on Ctrl-C; *number* is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class DefectError(RegctlError):
    """An error that regctl does not expect, which is a defect."""


def as_failure(error: Exception, attempted: str = "regctl") -> RegctlError:
    """
    Return the failure to report for any error that ends *attempted*, a command.

    A DefectError quotes no error: what regctl did not expect may hold a password.
    """
    if isinstance(error, RegctlError):
        return error
    if isinstance(error, OSError):
        where = f"{os.fsdecode(error.filename)}: " if error.filename else ""
        return RegctlError(f"{where}{(error.strerror or str(error)).lower()}")
    if isinstance(error, MemoryError):
        return RegctlError(f"`{attempted}` failed: out of memory")
    place = traceback.extract_tb(error.__traceback__)[-1:]
    at = "".join(f" in {os.path.basename(it.filename)}, line {it.lineno}" for it in place)  # noqa: PTH119 - a name, not a file
    return DefectError(
        f"`{attempted}` failed by a defect of regctl: {type(error).__name__}{at}",
        hint=f"run `{attempted}` again with --verbose, and report what it prints",
    )


def traceback_lines(error: BaseException | None) -> Iterator[str]:
    """Yield where an error and those before it were raised, without their texts."""
    while error is not None:
        yield f"{type(error).__name__}, raised at"
        for frame in traceback.extract_tb(error.__traceback__):
            yield f"  {frame.filename}, line {frame.lineno}, in {frame.name}"
        error = error.__cause__ or error.__context__

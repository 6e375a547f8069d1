"""The failures that only the command line knows: questions and standard output."""

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

"""The failures that only the command line knows: questions and standard output."""

from regctl.errors import RegctlError


class ConfirmationError(RegctlError):
    """A question was answered with no, or nobody was there to answer it."""


class StdoutError(RegctlError):
    """Standard output cannot be written to: a full disk, most often."""


class ClosedPipeError(StdoutError):
    """The reader of standard output has gone: regctl ends silently, as by SIGPIPE."""

    exit_code = 128 + 13

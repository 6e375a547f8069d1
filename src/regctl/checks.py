"""The result of a check: the steps of `ping`, `doctor` and `secret check`."""

from dataclasses import dataclass
from typing import Literal

from regctl.errors import RegctlError

State = Literal["ok", "warning", "failure", "skipped"]


@dataclass(frozen=True)
class Check:
    """
    One thing that was checked, the finding, and a hint if there is something to do.

    *error* is the exception behind it, if one was raised.
    """

    name: str
    state: State
    message: str
    hint: str | None = None
    error: RegctlError | None = None

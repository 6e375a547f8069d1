"""What a check found: the steps of `ping`, `doctor` and `secret check`."""

from dataclasses import dataclass
from typing import Literal

from regctl.errors import RegctlError

State = Literal["ok", "warning", "failure", "skipped"]


@dataclass(frozen=True)
class Check:
    """
    One thing that was checked, what was found, and what to do about it.

    *error* is the failure behind it, where one was raised.
    """

    name: str
    state: State
    message: str
    hint: str | None = None
    error: RegctlError | None = None

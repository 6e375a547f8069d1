"""
What happened to each object that a command should change.

Users, files, Secrets and all other kinds share these words. A plan decides an Action, applying it
gives a Result, and an Outcome adds the object that it is about.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from regctl.errors import (
    CredentialRejectedError,
    FieldOwnedError,
    ForeignObjectError,
    ImmutableError,
    LockoutError,
    PartlyDoneError,
    RegctlError,
)

DryRun = Literal["client", "server"]
Action = Literal["create", "update", "replace", "delete", "keep", "skip", "unchanged", "refuse"]
Result = Literal[
    "created", "configured", "unchanged", "deleted", "accepted", "skipped", "refused", "failed"
]

# The result of an action that succeeds, in kubectl's words.
RESULTS: Mapping[Action, Result] = {
    "create": "created",
    "update": "configured",
    "replace": "configured",
    "delete": "deleted",
    "keep": "skipped",
    "skip": "skipped",
    "unchanged": "unchanged",
    "refuse": "refused",
}

# The kinds that are no objects of the cluster.
_OUTSIDE = frozenset({"user", "file", "image", "login"})


@dataclass(frozen=True)
class Outcome:
    """
    What happened to one object, or would happen to it in a dry run.

    *differences* describe what was not as desired, without any secret. *details* are further keys
    of its JSON object.
    """

    kind: str
    name: str
    result: Result
    namespace: str | None = None
    note: str | None = None
    error: RegctlError | None = None
    differences: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def subject(self) -> str:
        """`user/alice`, or `team-a/secret/registry.foo.com` in a namespace."""
        prefix = f"{self.namespace}/" if self.namespace else ""
        return f"{prefix}{self.kind}/{self.name}"

    @property
    def reference(self) -> str:
        """What other commands take: the name alone of what is not in the cluster."""
        return self.name if self.kind in _OUTSIDE else self.subject


def result_of_error(error: RegctlError) -> Result:
    """Return `refused` if regctl left the object alone on purpose, else `failed`."""
    on_purpose = (
        ForeignObjectError
        | ImmutableError
        | FieldOwnedError
        | LockoutError
        | CredentialRejectedError
    )
    return "refused" if isinstance(error, on_purpose) else "failed"


def failure_of(outcomes: Sequence[Outcome]) -> RegctlError | None:
    """
    Return the error that a run ends with, or None if nothing failed.

    It is the error of a single outcome; PartlyDoneError if others succeeded; else an error of the
    type that all have in common, so with their exit code.
    """
    errors = [outcome.error for outcome in outcomes if outcome.error is not None]
    if not errors or len(outcomes) == 1:
        return errors[0] if errors else None
    counted = f"{len(errors)} of {len(outcomes)} failed"
    if len(errors) < len(outcomes):
        return PartlyDoneError(
            f"{counted}, {len(outcomes) - len(errors)} done",
            hint="fix the errors above and run the same command again",
        )
    common = {type(error) for error in errors}
    return (common.pop() if len(common) == 1 else RegctlError)(counted)

"""
What became of each object that a command was to change.

One vocabulary for users, files, Secrets and every other kind: a plan decides an Action, carrying it
out gives a Result, and an Outcome says which object it is about.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from regctl.errors import FieldOwnedError, ForeignObjectError, ImmutableError, RegctlError

DryRun = Literal["client", "server"]
Action = Literal["create", "update", "replace", "delete", "keep", "skip", "unchanged", "refuse"]
Result = Literal["created", "configured", "unchanged", "deleted", "skipped", "refused", "failed"]

# What an action that succeeds is called afterwards, as kubectl says it.
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


@dataclass(frozen=True)
class Outcome:
    """
    What became of one object, or with a dry run would become of it.

    *differences* say what was not as wanted, with no secret in them. *details* are further keys of
    its JSON object.
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


def result_of_error(error: RegctlError) -> Result:
    """Return `refused` if regctl left the object alone on purpose, else `failed`."""
    on_purpose = isinstance(error, ForeignObjectError | ImmutableError | FieldOwnedError)
    return "refused" if on_purpose else "failed"

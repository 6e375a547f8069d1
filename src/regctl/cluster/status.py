"""The `Status` with which the API server reports an error, and the exception for it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from regctl.errors import (
    ClusterError,
    ClusterUnreachableError,
    ConflictError,
    FieldOwnedError,
    ImmutableError,
    NamespaceMissingError,
    NamespaceTerminatingError,
    NotAuthenticatedError,
    NotPermittedError,
    ObjectNotFoundError,
    RegctlError,
    UnknownKindError,
)
from regctl.jsontext import json_object_or_empty
from regctl.retry import UNAVAILABLE

_FORBIDDEN_USER = re.compile(r'User ("(?:[^"\\]|\\.)*") cannot')
_MANAGER = re.compile(r'conflict with "((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Cause:
    """One cause of an error (StatusCause in apimachinery, pkg/apis/meta/v1/types.go)."""

    reason: str
    field_path: str
    message: str = field(repr=False)


@dataclass(frozen=True)
class Status:
    """
    A `Status` of the API server, or the status code of a proxy in front of it.

    Code, reason and causes choose the exception (StatusReason in apimachinery,
    pkg/apis/meta/v1/types.go), never the message. The message is not shown, because it may repeat
    the request and its password.
    """

    code: int
    reason: str = ""
    message: str = field(default="", repr=False)
    kind: str = ""
    causes: tuple[Cause, ...] = ()

    @classmethod
    def parse(cls, code: int, body: bytes) -> "Status":
        """Return the Status in a response; a body of another kind leaves only its status *code*."""
        status = json_object_or_empty(body)
        if status.get("kind") != "Status":
            return cls(code)
        details = status.get("details")
        details = details if isinstance(details, dict) else {}
        return cls(
            code,
            str(status.get("reason") or ""),
            str(status.get("message") or ""),
            str(details.get("kind") or ""),
            tuple(map(_cause, details.get("causes") or ())),
        )

    def error(self, attempt: str) -> RegctlError:
        """Return the exception to raise; its message begins with *attempt*."""
        if self.code in _DETAILED:
            return _DETAILED[self.code](self, attempt)
        other = ClusterError, f"answers {self.code} {self.reason}".rstrip(), None
        kind, answer, hint = _PLAIN.get(self.code, other)
        return kind(f"{attempt}: the API server {answer}", hint=hint)

    def caused_by(self, reason: str) -> bool:
        """Whether one of the causes has this reason."""
        return any(cause.reason == reason for cause in self.causes)


def _cause(cause: Mapping[str, Any]) -> Cause:
    return Cause(
        str(cause.get("reason", "")), str(cause.get("field", "")), str(cause.get("message", ""))
    )


def _forbidden(status: Status, attempt: str) -> RegctlError:
    if status.caused_by("NamespaceTerminating"):
        return NamespaceTerminatingError(f"{attempt}: the namespace is being deleted")
    # Only for the message: nothing is decided by this text.
    user = _FORBIDDEN_USER.search(status.message)
    for_user = f" for user {user[1]}" if user else ""
    return NotPermittedError(
        f"{attempt}: forbidden{for_user}",
        hint="`regctl rbac` prints the Role that this command needs",
    )


def _not_found(status: Status, attempt: str) -> RegctlError:
    if status.kind == "namespaces":
        return NamespaceMissingError(
            f"{attempt}: no such namespace", hint="`kubectl create namespace` creates it"
        )
    if status.reason == "NotFound":
        return ObjectNotFoundError(f"{attempt}: not found")
    return UnknownKindError(f"{attempt}: the server is not a Kubernetes API server")


def _conflict(status: Status, attempt: str) -> RegctlError:
    if status.caused_by("FieldManagerConflict"):
        found = (_MANAGER.match(cause.message) for cause in status.causes)
        managers = ", ".join(sorted({match[1] for match in found if match}))
        return FieldOwnedError(
            f"{attempt}: its fields belong to {managers or 'another manager'}",
            hint="`--adopt` takes it over",
        )
    if status.reason == "AlreadyExists":
        return ConflictError(f"{attempt}: it already exists")
    return ConflictError(f"{attempt}: another client changed it at the same time")


def _invalid(status: Status, attempt: str) -> RegctlError:
    fields = {cause.field_path for cause in status.causes}
    data_forbidden = "data" in fields and status.caused_by("FieldValueForbidden")
    if data_forbidden or {"type", "immutable"} & fields:
        return ImmutableError(
            f"{attempt}: its type or its data can't be changed",
            hint="`--replace` deletes and recreates it",
        )
    # The message of another field may quote its value, which may be secret.
    causes = "; ".join(
        f"{cause.field_path}: "
        f"{cause.message if cause.field_path.startswith('metadata') else cause.reason}"
        for cause in status.causes
    )
    return ClusterError(f"{attempt}: invalid: {causes or 'no reason given'}")


# The answers with one meaning: exception, what the API server does, and hint.
_PLAIN: dict[int, tuple[type[RegctlError], str, str | None]] = {
    401: (
        NotAuthenticatedError,
        "rejects the credentials",
        "log in to the cluster again, or choose another --context",
    ),
    429: (ClusterError, "gets too many requests", "run the same command again later"),
}
_PLAIN |= {
    code: (
        ClusterUnreachableError,
        f"answers {code}",
        "run the same command again when it is available",
    )
    for code in UNAVAILABLE
}

_DETAILED: dict[int, Callable[[Status, str], RegctlError]] = {
    403: _forbidden,
    404: _not_found,
    409: _conflict,
    422: _invalid,
}

"""What the API server says when it refuses: its `Status`, and our name for it."""

import json
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

_FORBIDDEN_USER = re.compile(r'User ("(?:[^"\\]|\\.)*") cannot')
_MANAGER = re.compile(r'conflict with "((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True)
class Cause:
    """One of the causes of a refusal (CauseType in apimachinery, pkg/apis/meta/v1/types.go)."""

    reason: str
    where: str
    message: str = field(repr=False)


@dataclass(frozen=True)
class Refusal:
    """
    A `Status` of the API server, or what a proxy in front of it said.

    Named by status code, reason and causes (StatusReason in apimachinery,
    pkg/apis/meta/v1/types.go), never by its text; the text may repeat the request, password and
    all, and is not shown.
    """

    code: int
    reason: str = ""
    message: str = field(default="", repr=False)
    kind: str = ""
    causes: tuple[Cause, ...] = ()

    @classmethod
    def parse(cls, code: int, body: bytes) -> "Refusal":
        """Read an answer with status *code*; a body that is no `Status` leaves the code alone."""
        try:
            status = json.loads(body)
        except ValueError:
            return cls(code)
        if not isinstance(status, dict) or status.get("kind") != "Status":
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
        """Return the error to raise; *attempt* says what was tried, on what."""
        translate = _BY_CODE.get(self.code)
        if translate is not None:
            return translate(self, attempt)
        said = f" {self.reason}" if self.reason else ""
        return ClusterError(f"{attempt}: the API server answers {self.code}{said}")

    def caused_by(self, reason: str) -> bool:
        """Whether one of the causes has this reason."""
        return any(cause.reason == reason for cause in self.causes)


def _cause(cause: Mapping[str, Any]) -> Cause:
    return Cause(
        str(cause.get("reason", "")), str(cause.get("field", "")), str(cause.get("message", ""))
    )


def _bad_request(_refusal: Refusal, attempt: str) -> RegctlError:
    return ClusterError(f"{attempt}: the API server calls it a bad request")


def _unauthorized(_refusal: Refusal, attempt: str) -> RegctlError:
    return NotAuthenticatedError(
        f"{attempt}: the API server does not accept the credentials",
        hint="log in to the cluster again, or choose another --context",
    )


def _forbidden(refusal: Refusal, attempt: str) -> RegctlError:
    if refusal.caused_by("NamespaceTerminating"):
        return NamespaceTerminatingError(f"{attempt}: the namespace is being deleted")
    # For people alone; nothing is decided by the text.
    user = _FORBIDDEN_USER.search(refusal.message)
    whom = f" for user {user[1]}" if user else ""
    return NotPermittedError(
        f"{attempt}: forbidden{whom}", hint="`regctl rbac` prints the Role that this command needs"
    )


def _not_found(refusal: Refusal, attempt: str) -> RegctlError:
    if refusal.kind == "namespaces":
        return NamespaceMissingError(
            f"{attempt}: no such namespace", hint="`kubectl create namespace` makes it"
        )
    if refusal.reason == "NotFound":
        return ObjectNotFoundError(f"{attempt}: not found")
    return UnknownKindError(f"{attempt}: what answers there is not a Kubernetes API server")


def _conflict(refusal: Refusal, attempt: str) -> RegctlError:
    if refusal.caused_by("FieldManagerConflict"):
        found = (_MANAGER.match(cause.message) for cause in refusal.causes)
        managers = ", ".join(sorted({match[1] for match in found if match}))
        return FieldOwnedError(
            f"{attempt}: its fields belong to {managers or 'another manager'}",
            hint="--adopt takes it over",
        )
    if refusal.reason == "AlreadyExists":
        return ConflictError(f"{attempt}: it exists already")
    return ConflictError(f"{attempt}: somebody else changed it at the same moment")


def _invalid(refusal: Refusal, attempt: str) -> RegctlError:
    fields = {cause.where for cause in refusal.causes}
    fixed = {"type", "immutable"} & fields
    if fixed or ("data" in fields and refusal.caused_by("FieldValueForbidden")):
        return ImmutableError(
            f"{attempt}: its type or its data can't be changed",
            hint="--replace deletes it and makes it anew",
        )
    # Of data the field's name only: the message may hold what is in it.
    said = "; ".join(
        f"{cause.where}: {cause.message if cause.where.startswith('metadata') else cause.reason}"
        for cause in refusal.causes
    )
    return ClusterError(f"{attempt}: not valid: {said or 'no reason given'}")


def _too_many(_refusal: Refusal, attempt: str) -> RegctlError:
    return ClusterError(
        f"{attempt}: the API server has too many requests",
        hint="run the same command again later",
    )


def _away(refusal: Refusal, attempt: str) -> RegctlError:
    return ClusterUnreachableError(
        f"{attempt}: the API server answers {refusal.code}",
        hint="run the same command again when it is back",
    )


_BY_CODE: dict[int, Callable[[Refusal, str], RegctlError]] = {
    400: _bad_request,
    401: _unauthorized,
    403: _forbidden,
    404: _not_found,
    409: _conflict,
    422: _invalid,
    429: _too_many,
    502: _away,
    503: _away,
    504: _away,
}

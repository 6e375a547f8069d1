"""The `Status` with which the API server reports an error, and the exception for it."""

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from regctl.connection import REMEDIES
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
from regctl.redaction import redact
from regctl.retry import UNAVAILABLE

_FORBIDDEN_USER = re.compile(r'User ("(?:[^"\\]|\\.)*") cannot')
_PREFIX = re.compile(r'^(?:\S+ "[^"]*" is (?:forbidden|invalid)|Internal error occurred): ')
_WEBHOOK = 'admission webhook "'
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
    pkg/apis/meta/v1/types.go). The messages are the words of the server and of its admission, as
    kubectl shows them, without the secrets of the request.
    """

    code: int
    reason: str = ""
    message: str = field(default="", repr=False)
    kind: str = ""
    causes: tuple[Cause, ...] = ()

    @classmethod
    def parse(cls, code: int, body: bytes, sent: Collection[str] = ()) -> "Status":
        """
        Return the Status in a response; a body of another kind leaves only its status *code*.

        *sent* has the secrets of the request, which no message repeats.
        """
        status = json_object_or_empty(body)
        if status.get("kind") != "Status":
            return cls(code)
        details = status.get("details")
        details = details if isinstance(details, dict) else {}
        causes = details.get("causes")
        causes = causes if isinstance(causes, list) else []
        reason, message = str(status.get("reason") or ""), str(status.get("message") or "")
        if sent and reason == "BadRequest" and not message.startswith(_WEBHOOK):
            # Kubernetes 1.20 quotes pieces of a body that it cannot read.
            message = ""
        return cls(
            code,
            reason,
            _shown(message, sent),
            str(details.get("kind") or ""),
            tuple(_cause(cause, sent) for cause in causes if isinstance(cause, dict)),
        )

    def error(self, attempt: str) -> RegctlError:
        """Return the exception to raise; its message begins with *attempt*."""
        if (denial := self.denial) and not self.caused_by("NamespaceTerminating"):
            denied = NotPermittedError if self.code == HTTPStatus.FORBIDDEN else ClusterError
            return denied(f"{attempt}: {denial}")
        if self.code in _DETAILED:
            return _DETAILED[self.code](self, attempt)
        other = ClusterError, f"answers {self.code} {self.reason}".rstrip(), None
        kind, answer, hint = _PLAIN.get(self.code, other)
        words = f": {self.message}" if self.message not in {"", self.reason} else ""
        return kind(f"{attempt}: the API server {answer}{words}", hint=hint)

    @property
    def denial(self) -> str:
        """
        What admission says about the request that it denied, or an empty text.

        A policy has a cause with neither field nor reason. A webhook may choose any status. RBAC
        names the user and what that user cannot do; any other 403 is a quota or another plug-in.
        """
        if self.message.startswith(_WEBHOOK):
            return self.message
        if self.code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            return ""
        words = [c.message for c in self.causes if not c.field_path and not c.reason]
        if self.code == HTTPStatus.FORBIDDEN and not _FORBIDDEN_USER.search(self.message):
            words = words or [self.message]
        return "; ".join(filter(None, words))

    def caused_by(self, reason: str) -> bool:
        """Whether one of the causes has this reason."""
        return any(cause.reason == reason for cause in self.causes)


def _cause(cause: Mapping[str, Any], sent: Collection[str]) -> Cause:
    message = _shown(str(cause.get("message", "")), sent)
    return Cause(str(cause.get("reason", "")), str(cause.get("field", "")), message)


def _shown(message: str, sent: Collection[str]) -> str:
    """Return a message without the secrets in it, nor the object that our own message names."""
    return _PREFIX.sub("", redact(message, sent))


def _forbidden(status: Status, attempt: str) -> RegctlError:
    if status.caused_by("NamespaceTerminating"):
        return NamespaceTerminatingError(f"{attempt}: the namespace is being deleted")
    # Only for the message: nothing is decided by this text.
    user = _FORBIDDEN_USER.search(status.message)
    if user is None:
        return NotPermittedError(f"{attempt}: forbidden, perhaps by a proxy of the API server")
    return NotPermittedError(
        f"{attempt}: forbidden for user {user[1]}",
        hint="`regctl rbac` prints the Role that this command needs",
    )


def _not_found(status: Status, attempt: str) -> RegctlError:
    if status.kind == "namespaces":
        return NamespaceMissingError(
            f"{attempt}: no such namespace", hint="`kubectl create namespace` creates it"
        )
    if status.reason == "NotFound":
        return ObjectNotFoundError(f"{attempt}: not found")
    hint = REMEDIES["other server"].cluster
    return UnknownKindError(f"{attempt}: the server is not a Kubernetes API server", hint=hint)


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
    causes = "; ".join(f"{cause.field_path}: {cause.message}" for cause in status.causes)
    return ClusterError(f"{attempt}: invalid: {causes or status.message or 'no reason given'}")


# The answers with one meaning: exception, what the API server does, and hint.
_PLAIN: dict[int, tuple[type[RegctlError], str, str | None]] = {
    401: (
        NotAuthenticatedError,
        "rejects the credentials",
        REMEDIES["login"].cluster,
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

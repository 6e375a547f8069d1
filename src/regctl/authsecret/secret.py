"""What an auth Secret contains: to write it, and to read it back."""

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from regctl.authfile import audit, hashes
from regctl.authfile.audit_rules import NOT_UPLOADED
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authfile.lines import RAW
from regctl.authfile.readers import DEFAULT_READER, READERS, AuthFileReader, SecretLayout
from regctl.cluster.client import Cluster
from regctl.cluster.namespaces import require_namespace
from regctl.cluster.ownership import OUR_LABELS
from regctl.cluster.resource import check_namespace, check_object_name
from regctl.cluster.secret import Secret, encoded, get_secret
from regctl.errors import (
    InvalidInputError,
    MalformedError,
    ObjectNotFoundError,
    UnsuitableAuthFileError,
)

# Layouts that tell nothing about the reader.
_COMMON_SHAPES = {("Opaque", "auth", ()), ("Opaque", None, ())}

ADDED_USERS = "regctl/added-users"
"""
The annotation that names the users that were added to the Secret and to no auth file.

Each name is a line. An upload keeps those that its auth file does not know.
"""

PREVIOUS = "regctl/previous"
"""
The annotation that keeps what `#regctl:previous` keeps in an auth file: `NAME:HASH` on each line.

A comment would break the Secret for several readers.
"""


def layout_of(reader: AuthFileReader) -> SecretLayout:
    """Return the layout of the Secret. Raises InvalidInputError if *reader* reads no Secret."""
    if reader.layout is None:
        raise InvalidInputError(
            f"{reader.name} reads no Secret: its users are part of its configuration",
            hint="`regctl auth check --for all -o wide` lists the readers and their Secrets",
        )
    return reader.layout


@dataclass(frozen=True)
class AuthSecret:
    """
    The active users of an auth file, as the content of a Secret for *reader*.

    *known* are the users of the file, locked ones included. *added* are those that no auth file
    has. If it is *exclusive*, the Secret gets no other users. *previous* is the annotation
    PREVIOUS; None leaves it as it is.
    """

    reader: AuthFileReader
    users: HtpasswdFile = field(repr=False)
    known: frozenset[str] = frozenset()
    added: frozenset[str] = frozenset()
    exclusive: bool = False
    previous: str | None = field(default=None, repr=False)

    @classmethod
    def of(
        cls, file: HtpasswdFile, reader: AuthFileReader, *, exclusive: bool = False
    ) -> "AuthSecret":
        """
        Return the active users of *file*, checked against what *reader* accepts.

        Leaves out comments, locked users, carriage returns and third fields. Raises
        UnsuitableAuthFileError for whatever *reader* would misread, and InvalidInputError if it
        reads no Secret.
        """
        layout_of(reader)
        check_suitable(file, reader)
        users = HtpasswdFile(file.active_lines())
        known = frozenset(user.name for user in file.users())
        return cls(reader, users, known, exclusive=exclusive)

    def keeping(self, secret: Secret) -> "AuthSecret":
        """Return this with the users that were added to *secret*, unless it is exclusive."""
        added = added_users(secret) - self.known
        if self.exclusive or not added:
            return self
        lines = present_users(secret, self.reader).lines()
        kept = (f"{one.name}:{one.value}\n" for one in lines if one.name in added)
        content = self.users.content + "".join(kept).encode(*RAW)
        return replace(self, users=HtpasswdFile(content), added=added)

    @property
    def layout(self) -> SecretLayout:
        """The layout of the Secret."""
        return layout_of(self.reader)

    @property
    def annotations(self) -> dict[str, str]:
        """The annotations that regctl sets."""
        mark = {ADDED_USERS: "\n".join(sorted(self.added))} if self.added else {}
        previous = {PREVIOUS: self.previous} if self.previous else {}
        return dict(self.layout.annotations) | mark | previous

    @cached_property
    def hashes(self) -> frozenset[str]:
        """All hashes."""
        return frozenset(line.value for line in self.users.lines())

    def data(self, key: str | None) -> dict[str, bytes]:
        """Return the Secret's data: the list under *key*, or for None a key for each user."""
        if key is not None:
            return {key: self.users.content}
        return {
            line.name: line.value.encode(errors="surrogateescape") for line in self.users.lines()
        }

    def manifest(self, namespace: str, name: str) -> dict[str, Any]:
        """Return the manifest of a new Secret. Raises as `check_names`."""
        check_names(namespace, name)
        metadata: dict[str, Any] = {"name": name, "namespace": namespace}
        metadata["labels"] = dict(OUR_LABELS)
        if self.annotations:
            metadata["annotations"] = self.annotations
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": self.layout.type,
            "data": encoded(self.data(self.layout.key)),
        }


def check_suitable(file: HtpasswdFile, reader: AuthFileReader, empty: Collection[str] = ()) -> None:
    """
    Raise UnsuitableAuthFileError if *reader* would misread the active users of *file*.

    *empty* are the users who have an empty password.
    """
    findings = [
        one
        for one in audit.check(file, reader, empty=empty)
        if one.severity == "error" and one.rule not in NOT_UPLOADED
    ]
    if findings:
        first, more = findings[0], len(findings) - 1
        others = f" (and {more} more)" if more else ""
        raise UnsuitableAuthFileError(
            f"the auth file is not suitable for {reader.name}: {first.problem}: "
            f"{first.effect}{others}",
            hint=f"`regctl auth check --for {reader.name}` lists all findings with their remedies",
        )


def check_names(namespace: str, name: str) -> None:
    """Raise InvalidNamespaceError or InvalidObjectNameError if no Secret can have these names."""
    check_namespace(namespace)
    check_object_name(name, "Secret")


def read(secret: Secret, reader: AuthFileReader) -> HtpasswdFile:
    """
    Return the users in *secret*: the bytes of the key that *reader* reads.

    For a layout with a key for each user, returns one line for each key. Raises MalformedError if
    the Secret does not have the layout that *reader* expects.
    """
    key = list_key(layout_of(reader), secret)
    if key is None:
        rows = (name.encode() + b":" + secret.data[name].strip() for name in sorted(secret.data))
        return HtpasswdFile(b"".join(row + b"\n" for row in rows))
    if key not in secret.data:
        keys = ", ".join(sorted(secret.data))
        raise MalformedError(
            f"cannot read {secret.subject}: {reader.name} reads key {key}, "
            f"and the Secret has {f'only {keys}' if keys else 'no keys'}",
            hint="`--for READER` names another reader, which reads another key",
        )
    return HtpasswdFile(secret.data[key])


def is_auth_secret(secret: Secret) -> bool:
    """Whether *secret* has the layout of some reader, and contains users and nothing else."""
    return any(_has_only_users(secret, reader) for reader in READERS.values())


def _has_only_users(secret: Secret, reader: AuthFileReader) -> bool:
    layout = reader.layout
    if layout is None or layout.type != secret.type or (layout.key and len(secret.data) != 1):
        return False
    try:
        lines = list(read(secret, reader).lines())
    except MalformedError:
        return False
    users = [line.value for line in lines if line.kind == "user"]
    known = all(hashes.identify(value).name != "unknown" for value in users)
    return (
        known
        and bool(users or "auth" in secret.data)
        and "malformed" not in {line.kind for line in lines}
    )


def reader_by_shape(secret: Secret) -> AuthFileReader:
    """Return the reader whose layout *secret* has; of several, the one that is most common."""
    for reader in READERS.values():
        layout = reader.layout
        if (
            layout is not None
            and (layout.type, layout.key, layout.annotations) not in _COMMON_SHAPES
            and layout.type == secret.type
            and (layout.key is None or layout.key in secret.data)
            and dict(layout.annotations).items() <= secret.annotations.items()
        ):
            return reader
    return DEFAULT_READER if "auth" in secret.data else READERS["distribution"]


def present_users(secret: Secret, reader: AuthFileReader) -> HtpasswdFile:
    """Return the users in *secret* as `read` does; none if *reader* expects another layout."""
    try:
        return read(secret, reader)
    except MalformedError:
        return HtpasswdFile()


def added_users(secret: Secret) -> frozenset[str]:
    """Return the users that were added to *secret* and to no auth file."""
    return frozenset(secret.annotations.get(ADDED_USERS, "").splitlines())


def list_key(layout: SecretLayout, secret: Secret) -> str | None:
    """Return the key of *secret* for the whole list, or None if each user has a key."""
    if layout.any_key and len(secret.data) == 1:
        return next(iter(secret.data))
    return layout.key


def fetch(cluster: Cluster, namespace: str, name: str) -> Secret:
    """
    Return the Secret.

    Raises ObjectNotFoundError, NamespaceMissingError, errors of `check_names` and of the cluster.
    """
    check_names(namespace, name)
    secret = get_secret(cluster, namespace, name)
    if secret is None:
        attempt = f"cannot read secret {name} in namespace {namespace}"
        require_namespace(cluster, namespace, attempt)
        raise ObjectNotFoundError(
            f"{attempt}: it does not exist",
            hint=f"`regctl auth push --auth-secret {namespace}/{name}` creates it from the auth "
            "file; `--auth-secret NS/NAME` names another",
        )
    return secret

"""
Pull secrets: what is wanted, what is there, and what each namespace needs.

A plan is data and its making is pure, so that dry run, diff, apply and the printed words come from
one value. Secrets are compared by the credentials they decode to, never by bytes: kubectl and Go
escape JSON differently.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from regctl.cluster.ownership import OUR_LABELS, PART_OF, foreign_object
from regctl.cluster.resource import Namespace, check_object_name
from regctl.cluster.secret import Secret
from regctl.credentials.credential import Credential
from regctl.credentials.dockerconfigjson import (
    DOCKERCONFIGJSON,
    DOCKERCONFIGJSON_KEY,
    dockerconfigjson_entry,
    encode_dockerconfigjson,
)
from regctl.credentials.kubelet import kubelet_key
from regctl.errors import (
    ForeignObjectError,
    ImmutableError,
    InvalidInputError,
    InvalidReferenceError,
    MalformedError,
    RegctlError,
)
from regctl.pullsecrets.content import PULL_SECRET_TYPES, credentials_of, raw_entries
from regctl.reference import Registry


def registry_key(text: str) -> str:
    """
    Return the key for a pull secret from what people paste as a server.

    The scheme goes, for the kubelet drops it too, and so does the API's path: `/v1`, `/v2` and
    what follows. Another path stays, and a glob in the host: both mean something to the kubelet.
    Raises InvalidReferenceError.
    """
    host, _, path = re.sub(r"^https?://", "", text.strip()).partition("/")
    path = path.strip("/")
    if "@" in host:
        raise InvalidReferenceError(
            "not a registry: a user or password before the host",
            hint="pass --username and --password-stdin",
        )
    registry = Registry.parse(text.replace("*", "x"))
    host = host.lower() if "*" in host else registry.host
    if path and re.match(r"v[12](/|$)", path) is None:
        return f"{host}/{path}"
    return host if "*" in host else registry.key


def default_name(key: str) -> str:
    """Return the name of the Secret for a registry key: its host, made a name for Kubernetes."""
    host = re.sub(r"^https?://", "", key).partition("/")[0]
    host = Registry.parse(host).host if "*" not in host else host.replace("*", "any")
    return re.sub(r"[^a-z0-9.-]+", "-", host.lower()).strip("-.")


@dataclass(frozen=True)
class PullSecret:
    """
    A pull secret as it shall be in every namespace: credentials by registry key.

    With *merge* entries for other registries are kept where a Secret has them; else the Secret
    holds what is here and nothing more.
    """

    name: str
    credentials: Mapping[str, Credential] = field(repr=False)
    merge: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_object_name(self.name, "Secret")

    @cached_property
    def content(self) -> bytes:
        """The `.dockerconfigjson` where nothing is merged."""
        return encode_dockerconfigjson(self.credentials)

    @cached_property
    def all_labels(self) -> Mapping[str, str]:
        """The labels that say it is ours, and those asked for."""
        return {**self.labels, **OUR_LABELS}

    def manifest(
        self, namespace: str | None, content: bytes | None = None, part: str | None = None
    ) -> dict[str, Any]:
        """
        Return the Secret for *namespace*, as it is applied and as it is printed.

        *part* is what it is part of already, where nothing else is asked for.
        """
        metadata: dict[str, Any] = {"name": self.name}
        if namespace is not None:
            metadata["namespace"] = namespace
        metadata["labels"] = ({PART_OF: part} if part else {}) | dict(self.all_labels)
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": DOCKERCONFIGJSON,
            "data": {DOCKERCONFIGJSON_KEY: base64.b64encode(content or self.content).decode()},
        }

    def with_hash(self) -> "PullSecret":
        """
        Return it under a name that changes with its content, as `kubectl --append-hash` does.

        kubectl, pkg/util/hash/hash.go: sha256 of the sorted JSON, and letters that can't spell a
        word.
        """
        manifest = self.manifest(None)
        hashed = {
            "data": manifest["data"],
            "kind": "Secret",
            "name": self.name,
            "type": DOCKERCONFIGJSON,
        }
        text = json.dumps(hashed, separators=(",", ":"), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        suffix = digest.translate(str.maketrans("013ae", "ghkmt"))
        return PullSecret(f"{self.name}-{suffix}", self.credentials, self.merge, self.labels)


# The plan

Action = Literal["create", "update", "replace", "unchanged", "skip", "refuse"]


@dataclass(frozen=True)
class TakeoverPolicy:
    """What may be done to a Secret that is not simply ours to change."""

    adopt: bool = False
    replace: bool = False


LEAVE_FOREIGN = TakeoverPolicy()

_NOT_WANTED = "not wanted"


@dataclass(frozen=True)
class Difference:
    """One thing that is not as wanted: of the entry for *key*, or of the Secret."""

    what: str
    key: str | None = None

    def __str__(self) -> str:
        return f"{self.key}: {self.what}" if self.key else self.what


@dataclass(frozen=True)
class Change:
    """
    What one namespace needs.

    *differences* say what is different, with no password in them; *note* is for the person;
    *error* says why a Secret is refused or can't be read. *observed* is what it was decided by.
    """

    namespace: str
    action: Action
    note: str | None = None
    differences: tuple[Difference, ...] = ()
    error: RegctlError | None = None
    observed: Secret | None = field(default=None, repr=False)
    content: bytes | None = field(default=None, repr=False)

    @property
    def drifted(self) -> bool:
        """Whether the namespace is not as it shall be."""
        return self.action not in {"unchanged", "skip"}


@dataclass(frozen=True)
class Observed:
    """The namespaces to work on, and what is in each: a Secret, none, or why it can't be read."""

    namespaces: tuple[Namespace, ...]
    secrets: Mapping[str, Secret | RegctlError | None] = field(repr=False)


def plan(
    desired: PullSecret, observed: Observed, policy: TakeoverPolicy = LEAVE_FOREIGN
) -> list[Change]:
    """
    Decide what each namespace needs, without touching the cluster.

    One Change for each namespace in *observed*, sorted by namespace.
    """
    return [
        plan_one(desired, namespace, observed.secrets.get(namespace.name), policy)
        for namespace in sorted(observed.namespaces, key=lambda namespace: namespace.name)
    ]


def plan_one(
    desired: PullSecret,
    namespace: Namespace,
    secret: Secret | RegctlError | None,
    policy: TakeoverPolicy = LEAVE_FOREIGN,
) -> Change:
    """Decide what one namespace needs."""
    if namespace.terminating:
        return Change(namespace.name, "skip", note="terminating")
    if isinstance(secret, RegctlError):
        return Change(namespace.name, "refuse", error=secret)
    if secret is None:
        return Change(namespace.name, "create", differences=(Difference("missing"),))
    return _change(desired, secret, policy)


def _change(desired: PullSecret, secret: Secret, policy: TakeoverPolicy) -> Change:
    """Decide what becomes of a Secret that is there."""
    where, ours = secret.namespace, secret.ownership.managed
    try:
        content = _content(desired, secret)
    except MalformedError as error:
        return Change(where, "refuse", error=error, observed=secret)
    differences = tuple(_differences(desired, secret))
    if not differences and (ours or not policy.adopt):
        note = None if ours else "not managed by regctl"
        return Change(where, "unchanged", note=note, observed=secret)
    if refusal := _refusal(desired, secret, differences, policy):
        return Change(where, "refuse", differences=differences, error=refusal, observed=secret)
    action: Action = "replace" if _fixed(secret, differences) else "update"
    return Change(
        where,
        action,
        note=_note(secret, differences, action),
        differences=differences or (Difference("not managed by regctl"),),
        observed=secret,
        content=content,
    )


def _refusal(
    desired: PullSecret, secret: Secret, differences: tuple[Difference, ...], policy: TakeoverPolicy
) -> RegctlError | None:
    """Say why this Secret must be left alone, or None where it may be changed."""
    foreign = foreign_object(
        secret.subject,
        secret.ownership,
        verb="change",
        adopt=policy.adopt,
        instead="use another name",
    )
    if foreign is not None:
        return foreign
    attempt = f"cannot change {secret.subject}"
    part, wanted = secret.labels.get(PART_OF), desired.labels.get(PART_OF)
    if secret.ownership.managed and wanted and part and part != wanted:
        return ForeignObjectError(
            f"{attempt}: it is part of {part}, not of {wanted}",
            hint="declare it in only one file of `regctl secret sync`",
        )
    if not policy.replace and (reason := _fixed(secret, differences)):
        return ImmutableError(
            f"{attempt}: {reason}",
            hint="`--replace` deletes and recreates it; pulls in between fail",
        )
    return None


def _fixed(secret: Secret, differences: tuple[Difference, ...]) -> str | None:
    """Say why the Secret can't be changed in place, where it can't."""
    if secret.type != DOCKERCONFIGJSON:
        return f"its type is {secret.type}, and a type can't be changed"
    if secret.immutable and differences:
        return "it is immutable"
    return None


def _content(desired: PullSecret, secret: Secret) -> bytes:
    """Return what the Secret shall hold, other registries' entries kept where merged."""
    if not desired.merge:
        return desired.content
    replaced = {kubelet_key(key) for key in desired.credentials}
    try:
        entries = raw_entries(secret)
    except MalformedError as error:
        raise MalformedError(
            f"cannot merge into {secret.subject}: what it holds can't be read",
            hint="without --merge it is written anew",
        ) from error
    kept = {key: entry for key, entry in entries.items() if kubelet_key(key) not in replaced}
    ours = {key: dockerconfigjson_entry(value) for key, value in desired.credentials.items()}
    merged = dict(sorted((kept | ours).items()))
    return json.dumps({"auths": merged}, ensure_ascii=False, separators=(",", ":")).encode()


def _differences(desired: PullSecret, secret: Secret) -> Iterator[Difference]:
    """Yield what is different, by registry, and never a password."""
    if secret.type != DOCKERCONFIGJSON:
        yield Difference(f"type is {secret.type}")
        if secret.type not in PULL_SECRET_TYPES:
            return
    try:
        present = credentials_of(secret)
    except MalformedError:
        yield Difference("it can't be decoded")
        return
    for key, wanted in sorted(desired.credentials.items()):
        yield from _entry_differences(key, present.get(key), wanted)
    replaced = {kubelet_key(key) for key in desired.credentials}
    for key in sorted(set(present) - set(desired.credentials)):
        if not desired.merge or kubelet_key(key) in replaced:
            yield Difference(_NOT_WANTED, key)
    if secret.ownership.managed:
        for label, value in sorted(desired.labels.items()):
            if secret.labels.get(label) != value:
                yield Difference(f"label {label} differs")


def _entry_differences(
    key: str, there: Credential | None, wanted: Credential
) -> Iterator[Difference]:
    if there is None:
        yield Difference("missing", key)
        return
    if there.username != wanted.username:
        yield Difference(f"user is {there.username}, not {wanted.username}", key)
    if there.password != wanted.password:
        yield Difference("password differs", key)
    if (there.email or None) != (wanted.email or None):
        yield Difference("e-mail differs", key)


def _note(secret: Secret, differences: Iterable[Difference], action: Action) -> str | None:
    """Say what a person should know of this change."""
    notes = []
    if not secret.ownership.managed:
        notes.append(f"adopted from {secret.ownership.owner}")
    elif secret.ownership.data_managers:
        hand = max(secret.ownership.data_managers, key=lambda manager: manager.time or "")
        notes.append(f"was changed by {hand.name}" + (f" at {hand.time}" if hand.time else ""))
    if action == "replace":
        notes.append("deleted and made anew")
    notes += [f"no longer holds {d.key}" for d in differences if d.what == _NOT_WANTED]
    if secret.keeps_last_applied:
        notes.append("an annotation of kubectl apply keeps the old password")
    return "; ".join(notes) or None


def copied_credentials(secret: Secret, key: str | None) -> Mapping[str, Credential]:
    """
    Return the credentials to copy from *secret*: those of *key*, or all.

    Raises InvalidInputError where it holds nothing for *key*, MalformedError where it is broken.
    """
    credentials = {
        there: credential
        for there, credential in credentials_of(secret).items()
        if key is None or kubelet_key(there) == kubelet_key(key)
    }
    if not credentials:
        wanted = f" for {key}" if key else ""
        raise InvalidInputError(
            f"{secret.subject} holds no credential{wanted}",
            hint="`regctl secret list -o wide` shows what each Secret holds",
        )
    return credentials

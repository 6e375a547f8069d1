"""
The plan: what each namespace needs to get a pull secret.

A plan is data and making it is pure. So --dry-run, --check, the changes and the printed words come
from one value. Secrets are compared by the credentials in them, never by bytes: kubectl and Go
escape JSON differently.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

from regctl.cluster.ownership import OUR_LABELS, PART_OF, foreign_object
from regctl.cluster.resource import Namespace, check_object_name
from regctl.cluster.secret import Secret
from regctl.credentials.credential import Credential
from regctl.credentials.dockerconfigjson import (
    DOCKERCFG_KEY,
    DOCKERCONFIGJSON,
    DOCKERCONFIGJSON_KEY,
    encode_dockerconfigjson,
    read_entries,
)
from regctl.credentials.kubelet import kubelet_key
from regctl.errors import (
    ForeignObjectError,
    ImmutableError,
    InvalidReferenceError,
    MalformedError,
    RegctlError,
)
from regctl.outcome import Action
from regctl.pullsecrets.content import PULL_SECRET_TYPES, credentials_for, credentials_of
from regctl.reference import Registry
from regctl.wording import some_of

_UNMANAGED = "not managed by regctl"


def registry_key(text: str) -> str:
    """
    Return the key in a pull secret for a server as people paste it.

    The key has no scheme, because the kubelet ignores it, and not the API's path `/v1` or `/v2`.
    Another path and a glob in the host stay: the kubelet uses both. Raises InvalidReferenceError.
    """
    host, _, path = re.sub(r"^https?://", "", text.strip()).partition("/")
    path = path.strip("/")
    if "@" in host:
        raise InvalidReferenceError(
            "not a registry: it has a user or a password before the host",
            hint="pass --username and --password-stdin",
        )
    registry = Registry.parse(text.replace("*", "x"))
    host = host.lower() if "*" in host else registry.host
    if path and re.match(r"v[12](/|$)", path) is None:
        return f"{host}/{path}"
    return host if "*" in host else registry.key


def default_name(key: str) -> str:
    """Return the name of the Secret for a registry key: its host, as a Kubernetes name."""
    host = re.sub(r"^https?://", "", key).partition("/")[0]
    host = Registry.parse(host).host if "*" not in host else host.replace("*", "any")
    return re.sub(r"[^a-z0-9.-]+", "-", host.lower()).strip("-.")


@dataclass(frozen=True)
class PullSecret:
    """
    A pull secret as it should be in every namespace: credentials by registry key.

    With *merge* the Secret keeps its entries for other registries, else it gets only these.
    """

    name: str
    credentials: Mapping[str, Credential] = field(repr=False)
    merge: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_object_name(self.name, "Secret")

    @cached_property
    def content(self) -> bytes:
        """The `.dockerconfigjson` if nothing is merged."""
        return encode_dockerconfigjson(self.credentials)

    @cached_property
    def kubelet_keys(self) -> frozenset[str | None]:
        """The registry keys as the kubelet reads them."""
        return frozenset(map(kubelet_key, self.credentials))

    def manifest(
        self, namespace: str | None, content: bytes | None = None, part: str | None = None
    ) -> dict[str, Any]:
        """
        Return the Secret for *namespace*, as it is applied and printed.

        *part* is the sync file that it belongs to, unless its labels name one.
        """
        metadata: dict[str, Any] = {"name": self.name}
        if namespace is not None:
            metadata["namespace"] = namespace
        metadata["labels"] = {**({PART_OF: part} if part else {}), **self.labels, **OUR_LABELS}
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": DOCKERCONFIGJSON,
            "data": {DOCKERCONFIGJSON_KEY: base64.b64encode(content or self.content).decode()},
        }

    def with_hash(self) -> "PullSecret":
        """
        Return it under a name that depends on its content, as `kubectl --append-hash` does.

        kubectl, pkg/util/hash/hash.go: sha256 of the sorted JSON, with letters that spell no word.
        """
        hashed = {
            "data": self.manifest(None)["data"],
            "kind": "Secret",
            "name": self.name,
            "type": DOCKERCONFIGJSON,
        }
        text = json.dumps(hashed, separators=(",", ":"), sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:10]
        suffix = digest.translate(str.maketrans("013ae", "ghkmt"))
        return replace(self, name=f"{self.name}-{suffix}")


@dataclass(frozen=True)
class TakeoverPolicy:
    """
    Which Secrets may be changed besides those that regctl manages.

    *adopt* permits those made by hand. *replace* permits to delete and create a Secret that cannot
    be changed in place.
    """

    adopt: bool = False
    replace: bool = False


LEAVE_FOREIGN = TakeoverPolicy()


@dataclass(frozen=True)
class Change:
    """
    What one namespace needs.

    *differences* say what differs, without a password. *error* says why a Secret is refused or
    cannot be read. *observed* is the Secret that the decision is based on, *content* what replaces
    its data.
    """

    namespace: str
    action: Action
    note: str | None = None
    differences: tuple[str, ...] = ()
    error: RegctlError | None = None
    observed: Secret | None = field(default=None, repr=False)
    content: bytes | None = field(default=None, repr=False)


# Each namespace's Secret, None if it does not exist, or the error of reading it.
Observed = Mapping[Namespace, Secret | RegctlError | None]


def plan(
    desired: PullSecret, observed: Observed, policy: TakeoverPolicy = LEAVE_FOREIGN
) -> list[Change]:
    """
    Decide what each namespace needs, without touching the cluster.

    Return one Change for each namespace in *observed*, sorted by namespace.
    """
    return [
        plan_one(desired, namespace, observed[namespace], policy)
        for namespace in sorted(observed, key=lambda namespace: namespace.name)
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
        return Change(namespace.name, "create", differences=("missing",))
    return _change(desired, secret, policy)


def _change(desired: PullSecret, secret: Secret, policy: TakeoverPolicy) -> Change:
    """Decide what to do with an existing Secret."""
    managed = secret.ownership.managed
    change = Change(secret.namespace, "unchanged", observed=secret)
    try:
        content = _content(desired, secret)
    except MalformedError as error:
        return replace(change, action="refuse", error=error)
    differences = tuple(_differences(desired, secret))
    if not differences and (managed or not policy.adopt):
        return replace(change, note=None if managed else _UNMANAGED)
    change = replace(change, differences=differences or (_UNMANAGED,))
    fixed = _fixed(secret, changed=bool(differences))
    if refusal := _refusal(desired, secret, fixed, policy):
        return replace(change, action="refuse", error=refusal)
    return replace(
        change,
        action="replace" if fixed else "update",
        note="; ".join(_notes(desired, secret, recreated=bool(fixed))) or None,
        content=content,
    )


def _refusal(
    desired: PullSecret, secret: Secret, fixed: str | None, policy: TakeoverPolicy
) -> RegctlError | None:
    """Return why this Secret must not be changed, or None."""
    others = secret.data.keys() - {DOCKERCONFIGJSON_KEY, DOCKERCFG_KEY}
    if others and secret.type not in PULL_SECRET_TYPES:
        return ForeignObjectError(
            f"cannot change {secret.subject}: its type is {secret.type} and it contains "
            f"{some_of(sorted(others))}, so it is no pull secret",
            hint="use another name",
        )
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
    if fixed and not policy.replace:
        return ImmutableError(
            f"{attempt}: {fixed}",
            hint="`--replace` deletes and recreates it; pulls in between fail",
        )
    return None


def _fixed(secret: Secret, *, changed: bool) -> str | None:
    """Return why the Secret cannot be changed in place, or None."""
    if secret.type != DOCKERCONFIGJSON:
        return f"its type is {secret.type}, and a type can't be changed"
    if secret.immutable and changed:
        return "it is immutable"
    return None


def _content(desired: PullSecret, secret: Secret) -> bytes:
    """Return the new content, with the entries of other registries if they are merged."""
    if not desired.merge:
        return desired.content
    try:
        credentials_of(secret)
        entries = read_entries(secret.type, secret.data, source=secret.subject) or {}
    except MalformedError as error:
        raise MalformedError(
            f"cannot merge into {secret.subject}: its content cannot be decoded",
            hint="without --merge its content is replaced",
        ) from error
    kept = {k: entry for k, entry in entries.items() if kubelet_key(k) not in desired.kubelet_keys}
    return encode_dockerconfigjson(desired.credentials, kept)


def _differences(desired: PullSecret, secret: Secret) -> Iterator[str]:
    """Yield what differs, by registry, and never a password."""
    if secret.type != DOCKERCONFIGJSON:
        yield f"type is {secret.type}"
        if secret.type not in PULL_SECRET_TYPES:
            return
    try:
        present = credentials_of(secret)
    except MalformedError:
        yield "cannot be decoded"
        return
    for key, wanted in sorted(desired.credentials.items()):
        yield from (f"{key}: {text}" for text in _entry_differences(present.get(key), wanted))
    yield from (f"{key}: not wanted" for key in _unwanted_keys(desired, secret))
    if secret.ownership.managed:
        for label, value in sorted(desired.labels.items()):
            if secret.labels.get(label) != value:
                yield f"label {label} differs"


def _entry_differences(present: Credential | None, wanted: Credential) -> Iterator[str]:
    if present is None:
        yield "missing"
        return
    if present.username != wanted.username:
        yield f"user is {present.username}, not {wanted.username}"
    if present.password != wanted.password:
        yield "password differs"
    if (present.email or None) != (wanted.email or None):
        yield "e-mail differs"


def _unwanted_keys(desired: PullSecret, secret: Secret) -> Sequence[str]:
    """Return the registry keys that a change removes from the Secret."""
    return [
        key
        for key in sorted(set(credentials_for(secret)) - set(desired.credentials))
        if not desired.merge or kubelet_key(key) in desired.kubelet_keys
    ]


def _notes(desired: PullSecret, secret: Secret, *, recreated: bool) -> Iterator[str]:
    """Yield what a person should know about a change."""
    if not secret.ownership.managed:
        yield f"adopted from {secret.ownership.owner}"
    elif secret.ownership.data_managers:
        last = max(secret.ownership.data_managers, key=lambda manager: manager.time or "")
        yield f"was changed by {last.name}" + (f" at {last.time}" if last.time else "")
    if recreated:
        yield "recreated"
    yield from (f"no longer has {key}" for key in _unwanted_keys(desired, secret))
    if secret.keeps_last_applied:
        yield "an annotation of kubectl apply keeps the old password"

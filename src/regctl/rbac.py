"""
The least rights that a command needs in the cluster, as Roles to hand to whoever grants them.

Server-side apply has the name in its URL, so that even `create` can be bound to one Secret by
`resourceNames`; a LIST of all can't be.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Need = Literal[
    "create", "diff", "list", "check", "delete", "sync", "push", "pull", "rotate", "doctor"
]
_API = "rbac.authorization.k8s.io"


@dataclass(frozen=True)
class Subject:
    """Who is to have the rights: a user, a group or a service account."""

    kind: Literal["User", "Group", "ServiceAccount"]
    name: str
    namespace: str | None = None

    def manifest(self) -> dict[str, str]:
        """Return it as a binding has it."""
        if self.kind == "ServiceAccount":
            return {"kind": self.kind, "name": self.name, "namespace": self.namespace or "default"}
        return {"apiGroup": _API, "kind": self.kind, "name": self.name}


@dataclass(frozen=True)
class Grant:
    """
    What is to be done: a command on the Secret *name* (None for any) and on *accounts*.

    For `push` and `pull` that is the auth Secret; `rotate` with an auth Secret needs `push` too.

    Without *namespaces* it is done everywhere.
    """

    need: Need
    name: str | None = None
    namespaces: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    replace: bool = False

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules of the Role, or of the ClusterRole where it is done everywhere."""
        return [_rule(resource, verbs, names) for resource, verbs, names in self._needs() if verbs]

    def _needs(self) -> Iterator[tuple[str, Sequence[str], Sequence[str]]]:
        everywhere = not self.namespaces
        reads = self.need in {"diff", "list", "check"}
        names = [self.name] if self.name else []
        if self.need in {"push", "pull"}:
            yield "secrets", ["get"] if self.need == "pull" else ["get", "create", "patch"], names
            return
        if everywhere:
            yield "namespaces", ["list"], []
        if self.need in {"rotate", "doctor"}:
            yield "secrets", ["list", "get", *(["patch"] if self.need == "rotate" else [])], []
            if self.need == "doctor":
                yield "serviceaccounts", ["list", "get"], []
                yield "pods", ["get"], []
            return
        if everywhere or not names:
            yield "secrets", ["list"], []
        verbs = [] if everywhere and reads else ["get"]
        if self.need in {"create", "sync"}:
            verbs += ["create", "patch"]
        if self.need in {"delete", "sync"} or self.replace:
            verbs += ["delete"]
        yield "secrets", verbs, names
        if self.need in {"list", "check", "delete", "sync"} or (everywhere and self.accounts):
            yield "serviceaccounts", ["list"], []
        if self.accounts or self.need == "delete":
            verbs = ["get"] if reads else ["get", "patch"]
            yield "serviceaccounts", verbs, [] if self.need == "delete" else self.accounts

    def manifests(self, subject: Subject | None) -> list[dict[str, Any]]:
        """Return a Role for each namespace, or one ClusterRole; bound to *subject* if given."""
        role = f"regctl-{self.need}"
        if not self.namespaces:
            return list(_bound("ClusterRole", role, None, self.rules(), subject))
        return [
            manifest
            for namespace in sorted(self.namespaces)
            for manifest in _bound("Role", role, namespace, self.rules(), subject)
        ]


def _rule(resource: str, verbs: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    rule: dict[str, Any] = {"apiGroups": [""], "resources": [resource]}
    if names:
        rule["resourceNames"] = list(names)
    return rule | {"verbs": list(verbs)}


def _bound(
    kind: str,
    name: str,
    namespace: str | None,
    rules: list[dict[str, Any]],
    subject: Subject | None,
) -> Iterator[dict[str, Any]]:
    metadata = {"name": name} | ({"namespace": namespace} if namespace else {})
    head = {"apiVersion": f"{_API}/v1"}
    yield {**head, "kind": kind, "metadata": metadata, "rules": rules}
    if subject is not None:
        yield {
            **head,
            "kind": f"{kind}Binding",
            "metadata": dict(metadata),
            "roleRef": {"apiGroup": _API, "kind": kind, "name": name},
            "subjects": [subject.manifest()],
        }

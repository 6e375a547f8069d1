"""
The least rights that a command needs in the cluster, as Roles to hand to whoever grants them.

Server-side apply has the name in its URL, so that even `create` can be bound to one Secret by
`resourceNames`; a LIST of all can't be.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

Need = Literal[
    "secret create",
    "secret diff",
    "secret list",
    "secret check",
    "secret delete",
    "secret sync",
    "auth push",
    "auth pull",
    "auth diff",
    "rotate",
    "doctor",
    "library apply",
    "library list",
    "library delete",
]
NEEDS: tuple[Need, ...] = get_args(Need)
_API = "rbac.authorization.k8s.io"

# The API groups of what is not in the core's.
_GROUPS = {
    "deployments": "apps",
    "ingresses": "networking.k8s.io",
    "middlewares": "traefik.io",
    "httproutes": "gateway.networking.k8s.io",
}
# What `library` and `auth push` call it unless told otherwise.
_AUTH_SECRET = "registry-basic-auth"  # noqa: S105
_WAYS_IN = ("ingresses", "middlewares", "httproutes")


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
    What is to be done: *needs*, which are commands, on the Secret *name* (None for any).

    For the commands of `auth` that is the auth Secret; `rotate` with one needs `auth push` too. For
    those of `library` it is the library, whose auth Secret then has its default name.
    *accounts* and *replace* are the commands' own flags. Without *namespaces* it is everywhere.
    """

    needs: tuple[Need, ...]
    name: str | None = None
    namespaces: tuple[str, ...] = ()
    accounts: tuple[str, ...] = ()
    replace: bool = False

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules of the Role, or of the ClusterRole where it is done everywhere."""
        verbs: dict[tuple[str, tuple[str, ...]], list[str]] = {}
        for need in self.needs:
            for resource, wanted, names in self._of(need):
                known = verbs.setdefault((resource, tuple(names)), [])
                known += [verb for verb in wanted if verb not in known]
        return [_rule(resource, some, names) for (resource, names), some in verbs.items() if some]

    def _of(self, need: Need) -> Iterator[tuple[str, Sequence[str], Sequence[str]]]:
        names = [self.name] if self.name else []
        if need == "auth push":
            yield "secrets", ["get", "create", "patch"], names
            return
        if need in {"auth pull", "auth diff"}:
            yield "secrets", ["get"], names
            return
        if need in {"library apply", "library list", "library delete"}:
            yield from self._of_library(need)
            return
        if not self.namespaces:
            yield "namespaces", ["list"], []
        if need == "rotate":
            yield "secrets", ["list", "get", "patch"], []
        elif need == "doctor":
            yield "secrets", ["list", "get"], []
            yield "serviceaccounts", ["list", "get"], []
            yield "pods", ["get"], []
        else:
            yield from self._of_pull_secrets(need, names)

    def _of_pull_secrets(
        self, need: Need, names: Sequence[str]
    ) -> Iterator[tuple[str, Sequence[str], Sequence[str]]]:
        everywhere = not self.namespaces
        reads = need in {"secret diff", "secret list", "secret check"}
        finds = need in {"secret list", "secret check"} and not names
        if everywhere or finds or need == "secret sync":
            yield "secrets", ["list"], []
        verbs = [] if finds or (everywhere and reads) else ["get"]
        if need in {"secret create", "secret sync"}:
            verbs += ["create", "patch"]
        if need in {"secret delete", "secret sync"} or (self.replace and not reads):
            verbs += ["delete"]
        yield "secrets", verbs, names
        lists = {"secret list", "secret check", "secret delete", "secret sync"}
        if need in lists or (everywhere and self.accounts):
            yield "serviceaccounts", ["list"], []
        if self.accounts or need == "secret delete":
            verbs = ["get"] if reads else ["get", "patch"]
            yield "serviceaccounts", verbs, [] if need == "secret delete" else self.accounts

    def _of_library(self, need: Need) -> Iterator[tuple[str, Sequence[str], Sequence[str]]]:
        if need == "library list":
            yield "deployments", ["list"], []
            # The pull secrets for it are counted where all may be listed.
            yield "secrets", ["get"] if self.namespaces else ["get", "list"], []
            return
        verbs = ["get", "delete"] if need == "library delete" else ["get", "create", "patch"]
        names = [self.name] if self.name else []
        if need == "library delete":
            # Who else has the same users?
            yield "deployments", ["list"], []
        for resource in ("persistentvolumeclaims", "services", "deployments"):
            yield resource, verbs, names
        yield "secrets", verbs, [_AUTH_SECRET, f"{self.name}-http"] if self.name else []
        for resource in _WAYS_IN:
            # Another way in takes the place of the one before.
            own = [f"{self.name}-auth"] if self.name and resource == "middlewares" else names
            yield resource, [*verbs, *(["delete"] if need == "library apply" else [])], own

    def manifests(self, subject: Subject | None) -> list[dict[str, Any]]:
        """Return a Role for each namespace, or one ClusterRole; bound to *subject* if given."""
        role = f"regctl-{self.needs[0].replace(' ', '-')}" if len(self.needs) == 1 else "regctl"
        if not self.namespaces:
            return list(_bound("ClusterRole", role, None, self.rules(), subject))
        return [
            manifest
            for namespace in sorted(self.namespaces)
            for manifest in _bound("Role", role, namespace, self.rules(), subject)
        ]


def _rule(resource: str, verbs: Sequence[str], names: Sequence[str]) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "apiGroups": [_GROUPS.get(resource, "")],
        "resources": [resource],
    }
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

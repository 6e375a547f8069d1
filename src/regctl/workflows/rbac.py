"""
The least rights that a command needs in the cluster, as Roles for an administrator to create.

A table has a row for each right of each command. Server-side apply has the name in its URL, so that
even `create` can be limited to one Secret by `resourceNames`. A LIST cannot be limited by name.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from regctl.authsecret import DEFAULT_NAME
from regctl.cluster.resource import PODS
from regctl.cluster.serviceaccounts import Accounts
from regctl.cluster.workloads import TEMPLATES

_API = "rbac.authorization.k8s.io"
_API_GROUPS = {
    "deployments": "apps",
    "statefulsets": "apps",
    "daemonsets": "apps",
    "jobs": "batch",
    "cronjobs": "batch",
    "ingresses": "networking.k8s.io",
    "networkpolicies": "networking.k8s.io",
    "middlewares": "traefik.io",
    "httproutes": "gateway.networking.k8s.io",
}
_READING = frozenset({"get", "list"})


@dataclass(frozen=True)
class Subject:
    """Who gets the rights: a user, a group, or a service account in its *namespace*."""

    kind: Literal["User", "Group", "ServiceAccount"]
    name: str
    namespace: str | None = None

    def manifest(self) -> dict[str, str]:
        """Return the subject of a RoleBinding."""
        if self.namespace is not None:
            return {"kind": self.kind, "name": self.name, "namespace": self.namespace}
        return {"apiGroup": _API, "kind": self.kind, "name": self.name}

    def __str__(self) -> str:
        """Return it as part of a Role's name; a namespace has no dot."""
        if self.namespace is not None:
            return f"account-{self.namespace}.{self.name}"
        return f"{self.kind.lower()}-{self.name}"


@dataclass(frozen=True)
class Permissions:
    """
    What *commands* need for the object *name*, or for any object if it is None.

    *name* is the pull secret for `secret`, the auth Secret for `auth`, and for `registry` the
    registry, whose auth Secret then has its default name, and whose volume claim is *claim* if it
    was adopted with that one. Any other command with `--auth-secret`
    needs `auth push` too. Without *namespaces* the commands run in all namespaces. *accounts*
    (`--attach`), *replace*, *create_namespace* and *check* are the commands' own flags; with
    *check* they only read.
    """

    commands: tuple[str, ...]
    name: str | None = None
    namespaces: tuple[str, ...] = ()
    accounts: Accounts = field(default=Accounts())
    replace: bool = False
    create_namespace: bool = False
    check: bool = False
    claim: str | None = None

    @property
    def everywhere(self) -> bool:
        """Whether the commands run in all namespaces."""
        return not self.namespaces

    def rules(self) -> list[dict[str, Any]]:
        """Return the rules of the Role, or of the ClusterRole for all namespaces."""
        verbs: dict[tuple[str, tuple[str, ...]], dict[str, None]] = {}
        for right in (right for command in self.commands for right in _RIGHTS[command]):
            if right.when(self):
                known = verbs.setdefault((right.resource, tuple(right.names(self))), {})
                allowed = (v for v in right.verbs.split() if v in _READING or not self.check)
                known |= dict.fromkeys(allowed)
        return [_rule(resource, some, names) for (resource, names), some in verbs.items() if some]

    def manifests(self, subject: Subject | None) -> list[dict[str, Any]]:
        """
        Return a Role for each namespace, or one ClusterRole, and a binding to *subject*.

        No Role can be in a namespace that is to be created: its rights are in a ClusterRole.
        """
        role = self._role_name(subject)
        namespaces: Iterable[str | None] = sorted(self.namespaces) or (None,)
        return [
            manifest
            for namespace in ((None,) if self.create_namespace else namespaces)
            for manifest in _bound(role, namespace, self.rules(), subject)
        ]

    def _role_name(self, subject: Subject | None) -> str:
        """
        Return a name that holds the commands and *subject*, and a digest of what else there is.

        So Roles for other rights or subjects have other names, and none replaces another.
        """
        words = self.commands[0].split() if len(self.commands) == 1 else []
        words += [*(["check"] if self.check else []), *([str(subject)] if subject else [])]
        text = "-".join(["regctl", *words])
        name = re.sub(r"[^\w.:@-]", "-", text, flags=re.ASCII)[:200]
        more = (self.name, self.accounts, self.replace, self.create_namespace, self.claim)
        if name != text or any(more):
            asked = repr((text, *more, self.everywhere))
            name += f"-{hashlib.sha256(asked.encode()).hexdigest()[:8]}"
        return name


def _named(asked: Permissions) -> Sequence[str]:
    return (asked.name,) if asked.name else ()


def _claims(asked: Permissions) -> Sequence[str]:
    return [name for name in (asked.name, asked.claim) if name] if asked.name else ()


def _accounts(asked: Permissions) -> Sequence[str]:
    return () if asked.accounts.every else asked.accounts.named


class _Right(NamedTuple):
    """Verbs on a resource, for the objects that *names* returns (none: all), if *when* is true."""

    resource: str
    verbs: str
    names: Callable[[Permissions], Sequence[str]] = lambda _: ()
    when: Callable[[Permissions], object] = lambda _: True


def _registry_objects(verbs: str, *, ways_in: str) -> tuple[_Right, ...]:
    """Return the rights on a registry's objects; another way in replaces the one before."""
    return (
        _Right("persistentvolumeclaims", verbs, _claims),
        # Finds the volume that a deleted registry left.
        _Right("persistentvolumeclaims", "list"),
        _Right("services", verbs, _named),
        _Right("deployments", verbs, _named),
        _Right("secrets", verbs, lambda p: (DEFAULT_NAME, f"{p.name}-http") if p.name else ()),
        _Right("ingresses", ways_in, _named),
        _Right("networkpolicies", ways_in, _named),
        _Right("middlewares", ways_in, lambda p: (f"{p.name}-auth",) if p.name else ()),
        _Right("httproutes", ways_in, _named),
    )


_LIST_NAMESPACES = _Right("namespaces", "list", when=lambda p: p.everywhere)
_LIST_ACCOUNTS = _Right("serviceaccounts", "list")
_ATTACH = _Right("serviceaccounts", "get patch", _accounts, when=lambda p: p.accounts)
_READ_PULL_SECRETS = (
    _LIST_NAMESPACES,
    _Right("secrets", "list", when=lambda p: p.everywhere or not p.name),
    _Right("secrets", "get", _named, when=lambda p: p.name and not p.everywhere),
    _LIST_ACCOUNTS,
)

_LIST_WORKLOADS = tuple(_Right(one.plural, "list") for one in (*TEMPLATES, PODS))

_RIGHTS: Mapping[str, tuple[_Right, ...]] = {
    "secret create": (
        _LIST_NAMESPACES,
        _Right("secrets", "list", when=lambda p: p.everywhere),
        _Right("secrets", "get", _named, when=lambda p: not (p.everywhere and p.check)),
        _Right("secrets", "create patch", _named),
        _Right("secrets", "delete", _named, when=lambda p: p.replace),
        _Right(
            "serviceaccounts",
            "list",
            when=lambda p: p.accounts.every or (p.everywhere and p.accounts),
        ),
        _ATTACH,
    ),
    "secret list": _READ_PULL_SECRETS,
    "secret show": (_Right("secrets", "get", _named),),
    "secret check": _READ_PULL_SECRETS,
    "secret delete": (
        _LIST_NAMESPACES,
        _Right("secrets", "list", when=lambda p: p.everywhere),
        _Right("secrets", "get delete", _named),
        _Right("serviceaccounts", "list get patch"),
    ),
    "secret sync": (
        _LIST_NAMESPACES,
        _Right("secrets", "list"),
        _Right("secrets", "get create patch delete", _named),
        _LIST_ACCOUNTS,
        _ATTACH,
    ),
    "auth push": (_Right("secrets", "get create patch", _named),),
    "deluser": (_LIST_NAMESPACES, _Right("secrets", "list")),
    "auth lock": (_LIST_NAMESPACES, _Right("secrets", "list")),
    "auth pull": (_Right("secrets", "get", _named),),
    "rotate": (_LIST_NAMESPACES, _Right("secrets", "list get patch")),
    "doctor": (
        _LIST_NAMESPACES,
        _Right("secrets", "list get"),
        _Right("serviceaccounts", "list get"),
        _Right("pods", "get list"),
        # The registry's ingress, and whether there is a way around it.
        _Right("ingresses", "list"),
        _Right("middlewares", "list"),
        _Right("services", "get"),
        _Right("networkpolicies", "list"),
    ),
    "image used": _LIST_WORKLOADS,
    "image prune": _LIST_WORKLOADS,
    "image delete": _LIST_WORKLOADS,
    "registry apply": (
        _Right("namespaces", "create", when=lambda p: p.create_namespace),
        *_registry_objects("get create patch", ways_in="get create patch delete"),
    ),
    "registry list": (
        _Right("deployments", "list"),
        _Right("secrets", "get"),
        # Counts the pull secrets for it in all namespaces.
        _Right("secrets", "list", when=lambda p: p.everywhere),
    ),
    "registry delete": (
        # Finds other registries that have the same users.
        _Right("deployments", "list"),
        *_registry_objects("get delete", ways_in="get delete"),
    ),
}
COMMANDS = tuple(_RIGHTS)


def _rule(resource: str, verbs: Iterable[str], names: Sequence[str]) -> dict[str, Any]:
    rule: dict[str, Any] = {
        "apiGroups": [_API_GROUPS.get(resource, "")],
        "resources": [resource],
    }
    if names:
        rule["resourceNames"] = list(names)
    return rule | {"verbs": list(verbs)}


def _bound(
    name: str, namespace: str | None, rules: list[dict[str, Any]], subject: Subject | None
) -> Iterator[dict[str, Any]]:
    """Yield a Role, or for None a ClusterRole, and its binding if there is a subject."""
    kind = "ClusterRole" if namespace is None else "Role"
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

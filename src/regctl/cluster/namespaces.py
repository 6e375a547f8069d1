"""Select the namespaces that a command works on: by name, by label, and without some."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase

from regctl.cluster.client import Cluster
from regctl.cluster.resource import NAMESPACES, Namespace, check_namespace
from regctl.errors import NamespaceMissingError, NotPermittedError

# Namespaces of the cluster itself. -A and -l skip them unless they are named too.
SYSTEM = ("kube-*", "openshift", "openshift-*")


@dataclass(frozen=True)
class Targets:
    """
    A selection of namespaces: *named*, all, or those with a label, minus *exclude* globs.

    Without any of these it is the namespace of the context.
    """

    named: tuple[str, ...] = ()
    everywhere: bool = False
    selector: str | None = None
    exclude: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in self.named:
            check_namespace(name)

    @property
    def listed(self) -> bool:
        """Whether the cluster's namespaces must be listed to resolve the selection."""
        return self.everywhere or self.selector is not None

    def spares(self, namespace: str) -> bool:
        """Whether *namespace* is one of the system's that only a name would select."""
        return self.listed and namespace not in self.named and _matches(namespace, SYSTEM)

    def or_everywhere(self) -> "Targets":
        """Return these, or all namespaces if neither a name nor a selector is given."""
        return self if self.named or self.listed else replace(self, everywhere=True)

    @property
    def known(self) -> tuple[Namespace, ...] | None:
        """The selected namespaces, or None if only the cluster knows them."""
        return self._kept(map(Namespace, self.named)) if self.named and not self.listed else None

    def resolve(self, cluster: Cluster) -> tuple[Namespace, ...]:
        """
        Return the namespaces, sorted by name.

        A named namespace need not exist. Raises NotPermittedError if namespaces must be listed and
        the user may not, NamespaceMissingError if none is left.
        """
        named = {name: Namespace(name) for name in self.named}
        if self.listed:
            try:
                for namespace in cluster.namespaces(self.selector):
                    if namespace.name in named or not _matches(namespace.name, SYSTEM):
                        named[namespace.name] = namespace
            except NotPermittedError as error:
                raise NotPermittedError(
                    error.message, hint="name the namespaces: -n NS, or --namespaces-from FILE"
                ) from error
        elif not named:
            own = cluster.context_namespace
            named[own] = Namespace(own)
        kept = self._kept(named.values())
        if not kept:
            wanted = f" with {self.selector}" if self.selector else ""
            raise NamespaceMissingError(f"no namespace{wanted} to work on")
        return kept

    def _kept(self, namespaces: Iterable[Namespace]) -> tuple[Namespace, ...]:
        unique = {namespace.name: namespace for namespace in namespaces}
        return tuple(unique[name] for name in sorted(unique) if not _matches(name, self.exclude))


def require_namespace(cluster: Cluster, name: str, attempt: str) -> None:
    """
    Raise NamespaceMissingError, with *attempt* as its beginning, if a namespace does not exist.

    A user who may not read the namespace gets no error here: the next request decides.
    """
    try:
        with contextlib.suppress(NotPermittedError):
            cluster.get(NAMESPACES, None, name)
    except NamespaceMissingError as error:
        raise NamespaceMissingError(f"{attempt}: no such namespace", hint=error.hint) from error


def _matches(name: str, globs: Iterable[str]) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)

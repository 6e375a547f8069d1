"""Which namespaces a command works on: named, matched, and left out."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from regctl.cluster.client import Cluster
from regctl.cluster.resource import NAMESPACES, Namespace, check_namespace
from regctl.errors import InvalidInputError, NamespaceMissingError, NotPermittedError

# What a cluster brings with it; matched by -A and -l only where it is named as well.
SYSTEM = ("kube-*", "openshift", "openshift-*")


@dataclass(frozen=True)
class Targets:
    """
    Namespaces as asked for: *named*, all of them, or those with a label; minus *exclude* globs.

    Without any of these the namespace of the context is meant.
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
        """Whether the cluster's namespaces must be listed to know which are meant."""
        return self.everywhere or self.selector is not None

    def offline(self) -> tuple[Namespace, ...]:
        """Return the named namespaces without the cluster, or raise InvalidInputError."""
        if self.listed or not self.named:
            raise InvalidInputError(
                "only named namespaces can be known without the cluster", hint="name them with -n"
            )
        return self._kept(map(Namespace, self.named))

    def resolve(self, cluster: Cluster) -> tuple[Namespace, ...]:
        """
        Return the namespaces, sorted by name.

        One that is named need not exist: what is done with it will tell. Raises NotPermittedError
        where namespaces must be listed and may not, NamespaceMissingError where none is left.
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
            named[cluster.context_namespace] = Namespace(cluster.context_namespace)
        kept = self._kept(named.values())
        if not kept:
            wanted = f" with {self.selector}" if self.selector else ""
            raise NamespaceMissingError(f"there is no namespace{wanted} to work on")
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

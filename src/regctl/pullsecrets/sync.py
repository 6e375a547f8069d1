"""The file of `regctl secret sync`, which declares pull secrets."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from regctl import atomicfile
from regctl.cluster.client import Cluster
from regctl.cluster.namespaces import Targets
from regctl.cluster.ownership import MANAGED_BY, OUR_LABELS, PART_OF
from regctl.cluster.resource import Namespace
from regctl.cluster.serviceaccounts import Accounts
from regctl.credentials.credential import Credential, check_username
from regctl.credentials.dockerconfig import DockerConfig
from regctl.documents import load_located
from regctl.errors import (
    MalformedError,
    NoCredentialError,
    RegctlError,
)
from regctl.outcome import DryRun, Outcome, result_of_error
from regctl.pullsecrets import schema
from regctl.pullsecrets.content import read_credentials
from regctl.pullsecrets.inventory import PullSecretUse, delete, list_pull_secrets
from regctl.pullsecrets.plan import (
    LEAVE_FOREIGN,
    PullSecret,
    TakeoverPolicy,
    default_name,
    registry_key,
)
from regctl.pullsecrets.rollout import Rollout, prepare
from regctl.reference import Registry

SCHEMA_FILE = "secret-sync.schema.json"


@dataclass(frozen=True)
class DeclaredRegistry:
    """
    One registry in a declared Secret.

    *source* has one key, `docker`, `env`, `file` or `secret`: where the credential comes from.
    """

    key: str
    source: Mapping[str, Any]
    email: str | None = None


@dataclass(frozen=True)
class DeclaredSecret:
    """One pull secret that the file declares."""

    name: str
    registries: tuple[DeclaredRegistry, ...]
    targets: Targets
    accounts: Accounts
    merge: bool = False


@dataclass(frozen=True)
class SyncFile:
    """The content of a file; *name* labels the Secrets that it declares."""

    name: str
    secrets: tuple[DeclaredSecret, ...]
    folder: Path = field(default=Path(), compare=False)


def parse(text: str, *, source: str, folder: Path = Path()) -> SyncFile:
    """
    Return the content of a file; *source* names it in errors.

    Paths in the file are relative to *folder*. Raises MalformedError with the line of the first
    fault.
    """
    located = load_located(text, source=source)
    schema.check(
        json.loads(resources.files("regctl.pullsecrets").joinpath(SCHEMA_FILE).read_text()),
        located,
        source=source,
    )
    secrets: list[DeclaredSecret] = []
    for index, item in enumerate(located.value["secrets"]):
        line = located.line(("secrets", index))
        try:
            declared = _secret(item)
        except RegctlError as error:
            message = f"cannot use {source}, line {line}: {error.message}"
            raise MalformedError(message, hint=error.hint) from error
        if declared.name in {secret.name for secret in secrets}:
            raise MalformedError(
                f"cannot use {source}, line {line}: another Secret has the name {declared.name}",
                hint="declare several registries in one Secret",
            )
        secrets.append(declared)
    return SyncFile(located.value["name"], tuple(secrets), folder)


def _secret(item: Mapping[str, Any]) -> DeclaredSecret:
    registries = tuple(map(_registry, item["registries"]))
    targets = item["targets"]
    name = item.get("name") or default_name(registries[0].key)
    # Reject a bad name before anything is sent.
    PullSecret(name, {})
    return DeclaredSecret(
        name,
        registries,
        Targets(
            tuple(targets.get("namespaces", ())),
            everywhere=targets.get("all", False),
            selector=targets.get("selector"),
            exclude=tuple(targets.get("exclude", ())),
        ),
        Accounts.parse(item.get("attach", ())),
        merge=item.get("merge", False),
    )


def _registry(item: Mapping[str, Any]) -> DeclaredRegistry:
    source = item.get("credential", {"docker": True})
    return DeclaredRegistry(registry_key(item["server"]), source, item.get("email"))


@dataclass(frozen=True)
class Sync:
    """
    A file, and the cluster that its Secrets go to.

    The cluster is read on first use of *spaces* and *prunable*. Credentials are read when their
    Secret's turn comes: one may be in a Secret that the same file declares before it.
    *verify* gets the name of each Secret that is to be written with its credentials, and raises
    CredentialRejectedError if one is rejected.
    """

    file: SyncFile
    cluster: Cluster = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)
    policy: TakeoverPolicy = LEAVE_FOREIGN
    prune: bool = False
    notice: Callable[[str], object] = field(default=lambda _: None, repr=False)
    verify: Callable[[str, Mapping[str, Credential]], object] = field(
        default=lambda _secret, _credentials: None, repr=False
    )

    @cached_property
    def spaces(self) -> Mapping[str, tuple[Namespace, ...] | RegctlError]:
        """The namespaces of each declared Secret, or the error of finding them."""
        spaces: dict[str, tuple[Namespace, ...] | RegctlError] = {}
        for declared in self.file.secrets:
            try:
                spaces[declared.name] = declared.targets.resolve(self.cluster)
            except RegctlError as error:
                spaces[declared.name] = error
        return spaces

    @cached_property
    def prunable(self) -> tuple[PullSecretUse, ...]:
        """
        The Secrets with this file's label that the file no longer declares, to be deleted.

        Those in a namespace of the system are kept if the file selects all namespaces or a label.
        None without *prune*, or if the namespaces of a declared Secret are unknown.
        """
        declared: set[tuple[str, str]] = set()
        for name, spaces in self.spaces.items():
            if isinstance(spaces, RegctlError):
                return ()
            declared |= {(space.name, name) for space in spaces}
        if not self.prune:
            return ()
        labels = f"{MANAGED_BY}={OUR_LABELS[MANAGED_BY]},{PART_OF}={self.file.name}"
        found = list_pull_secrets(self.cluster, None, everywhere=True, label_selector=labels)
        return tuple(
            use
            for use in found.items
            if (use.secret.namespace, use.secret.name) not in declared
            and not self._spares(use.secret.namespace)
        )

    def _spares(self, namespace: str) -> bool:
        targets = [declared.targets for declared in self.file.secrets]
        named = any(namespace in one.named for one in targets)
        return not named and any(one.spares(namespace) for one in targets)

    @property
    def size(self) -> int:
        """How many groups of outcomes `run` yields."""
        sizes = (len(found) if isinstance(found, tuple) else 1 for found in self.spaces.values())
        return sum(sizes) + len(self.prunable)

    def run(self, dry_run: DryRun | None = None) -> Iterator[tuple[Outcome, ...]]:
        """
        Create or update the declared Secrets, then delete the prunable ones.

        Yields outcomes as Rollout.run does. A Secret with a rejected credential is not written.
        Nothing is deleted if a declared Secret failed before its rollout, for example without a
        credential; *notice* gets a text about that.
        """
        complete = True
        for declared in self.file.secrets:
            try:
                rollout = self._rollout(declared)
                if dry_run != "client":
                    self.verify(declared.name, rollout.credentials)
            except RegctlError as error:
                complete = False
                result = result_of_error(error)
                yield (Outcome("secret", declared.name, result, error=error),)
            else:
                yield from rollout.run(dry_run)
        if complete:
            yield from delete(self.cluster, self.prunable, dry_run=dry_run)
        elif self.prune:
            self.notice("nothing is pruned: part of the file failed")

    def _rollout(self, declared: DeclaredSecret) -> Rollout:
        spaces = self.spaces[declared.name]
        if isinstance(spaces, RegctlError):
            raise spaces
        desired = PullSecret(
            declared.name,
            {registry.key: self._credential(registry) for registry in declared.registries},
            merge=declared.merge,
            labels={PART_OF: self.file.name},
        )
        return prepare(
            self.cluster,
            desired,
            spaces,
            policy=self.policy,
            accounts=declared.accounts,
        )

    def _credential(self, registry: DeclaredRegistry) -> Credential:
        found = self._from_source(registry)
        return found if registry.email is None else replace(found, email=registry.email)

    def _from_source(self, registry: DeclaredRegistry) -> Credential:
        match registry.source:
            case {"env": value}:
                username = check_username(self._variable(value["username"]))
                return Credential(username, self._variable(value["password"]))
            case {"file": value}:
                path = self.file.folder / value["path"]
                return Credential(check_username(value["username"]), _read_password(path))
            case {"secret": value}:
                namespace, _, name = value.partition("/")
                found = read_credentials(self.cluster, namespace, name, registry.key)
                return next(iter(found.values()))
        credential = self._docker.credential_for(Registry.parse(registry.key.replace("*", "x")))
        if credential is None:
            raise NoCredentialError(
                f"docker's config has no credential for {registry.key}",
                hint="`regctl login` saves one, or declare another source in the file",
            )
        return credential

    @cached_property
    def _docker(self) -> DockerConfig:
        return DockerConfig.load(self.environ)

    def _variable(self, name: str) -> str:
        value = self.environ.get(name)
        if not value:
            raise NoCredentialError(f"the environment variable {name} is empty or not set")
        return value


def _read_password(path: Path) -> str:
    """Return the one line in a file. Raises FileAccessError, MalformedError."""
    try:
        text = atomicfile.read_input(path, f"the password file {path}").decode()
    except UnicodeDecodeError:
        # Not chained: the cause carries the content of the file.
        raise MalformedError(f"cannot read the password file {path}: not UTF-8") from None
    password = text.removesuffix("\n").removesuffix("\r")
    if not password or "\n" in password:
        raise MalformedError(f"the password file {path} must have exactly one line")
    return password

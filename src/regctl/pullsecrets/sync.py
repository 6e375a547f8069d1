"""The file of `regctl secret sync`, which declares pull secrets."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from regctl.cluster.client import Cluster
from regctl.cluster.namespaces import Targets
from regctl.cluster.ownership import MANAGED_BY, OUR_LABELS, PART_OF
from regctl.cluster.serviceaccounts import Accounts
from regctl.credentials.credential import Credential, check_username
from regctl.credentials.dockerconfig import DockerConfig
from regctl.documents import load_located
from regctl.errors import (
    FileAccessError,
    MalformedError,
    NoCredentialError,
    RegctlError,
)
from regctl.pullsecrets import schema
from regctl.pullsecrets.inventory import PullSecretUse, list_pull_secrets
from regctl.pullsecrets.plan import (
    LEAVE_FOREIGN,
    PullSecret,
    TakeoverPolicy,
    default_name,
    registry_key,
)
from regctl.pullsecrets.rollout import Rollout, prepare, read_credentials
from regctl.reference import Registry

SCHEMA_FILE = "secret-sync.schema.json"


@dataclass(frozen=True)
class Source:
    """The source of one registry's credential; *kind* is `docker`, `env`, `file` or `secret`."""

    kind: str
    value: Any


@dataclass(frozen=True)
class DeclaredRegistry:
    """One registry in a declared Secret."""

    key: str
    source: Source
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


def read(path: Path) -> SyncFile:
    """Read a file. Raises FileAccessError, or MalformedError with the line of the first fault."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileAccessError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise MalformedError(f"cannot read {path}: not UTF-8") from error
    return replace(parse(text, source=str(path)), folder=path.parent)


def parse(text: str, *, source: str) -> SyncFile:
    """Return the content of a file; *source* names it in errors. Raises MalformedError."""
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
    return SyncFile(located.value["name"], tuple(secrets))


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
    [(kind, value)] = item.get("credential", {"docker": True}).items()
    return DeclaredRegistry(registry_key(item["server"]), Source(kind, value), item.get("email"))


@dataclass(frozen=True)
class Sync:
    """A file, and the cluster that its Secrets go to."""

    file: SyncFile
    cluster: Cluster = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)
    policy: TakeoverPolicy = LEAVE_FOREIGN

    def rollouts(self) -> Iterator[tuple[DeclaredSecret, Rollout | RegctlError]]:
        """Yield each declared Secret with its rollout, or with the error that prevents one."""
        docker = DockerConfig.load(self.environ)
        for declared in self.file.secrets:
            try:
                yield declared, self._rollout(declared, docker)
            except RegctlError as error:
                yield declared, error

    def _rollout(self, declared: DeclaredSecret, docker: DockerConfig) -> Rollout:
        credentials = {
            registry.key: self._credential(registry, docker) for registry in declared.registries
        }
        return prepare(
            self.cluster,
            PullSecret(
                declared.name,
                credentials,
                merge=declared.merge,
                labels={PART_OF: self.file.name},
            ),
            declared.targets.resolve(self.cluster),
            policy=self.policy,
            accounts=declared.accounts,
        )

    def _credential(self, registry: DeclaredRegistry, docker: DockerConfig) -> Credential:
        found = self._found(registry, docker)
        return found if registry.email is None else replace(found, email=registry.email)

    def _found(self, registry: DeclaredRegistry, docker: DockerConfig) -> Credential:
        value = registry.source.value
        match registry.source.kind:
            case "env":
                return Credential(
                    check_username(self._variable(value["username"])),
                    self._variable(value["password"]),
                )
            case "file":
                return Credential(check_username(value["username"]), self._password(value["path"]))
            case "secret":
                namespace, _, name = value.partition("/")
                found = read_credentials(self.cluster, namespace, name, registry.key)
                return next(iter(found.values()))
        credential = docker.credential_for(Registry.parse(registry.key.replace("*", "x")))
        if credential is None:
            raise NoCredentialError(
                f"docker's config has no credential for {registry.key}",
                hint="`regctl login` saves one, or declare another source in the file",
            )
        return credential

    def _variable(self, name: str) -> str:
        value = self.environ.get(name)
        if not value:
            raise NoCredentialError(f"the environment variable {name} is empty or not set")
        return value

    def _password(self, name: str) -> str:
        path = self.file.folder / name
        try:
            text = path.read_text(encoding="utf-8")
        except OSError as error:
            raise FileAccessError(
                f"cannot read the password file {path}: {error.strerror}"
            ) from error
        except UnicodeDecodeError:
            # Not chained: the cause carries the content of the file.
            raise MalformedError(f"cannot read the password file {path}: not UTF-8") from None
        password = text.removesuffix("\n").removesuffix("\r")
        if not password or "\n" in password:
            raise MalformedError(f"the password file {path} must have exactly one line")
        return password

    def prunable(self, rollouts: Sequence[Rollout]) -> list[PullSecretUse]:
        """Return the Secrets with this file's label that are in none of its *rollouts*."""
        kept = {
            (space.name, rollout.desired.name)
            for rollout in rollouts
            for space in rollout.observed.namespaces
        }
        found = list_pull_secrets(
            self.cluster,
            None,
            everywhere=True,
            label_selector=f"{MANAGED_BY}={OUR_LABELS[MANAGED_BY]},{PART_OF}={self.file.name}",
        )
        return [
            item for item in found.items if (item.secret.namespace, item.secret.name) not in kept
        ]

"""The file of `regctl secret sync`: pull secrets declared, and brought about."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import Any

from regctl import parallel
from regctl.cluster.client import Cluster
from regctl.cluster.namespaces import Targets
from regctl.cluster.ownership import MANAGED_BY, OUR_LABELS, PART_OF
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
from regctl.pullsecrets.inventory import Item, inventory
from regctl.pullsecrets.plan import PullSecret, TakeoverPolicy, default_name, registry_key
from regctl.pullsecrets.rollout import Accounts, Rollout, copied, prepare
from regctl.reference import Registry

SCHEMA_FILE = "secret-sync.schema.json"


@dataclass(frozen=True)
class Source:
    """Where one registry's credential comes from: `docker`, `env`, `file` or `secret`."""

    kind: str
    value: Any


@dataclass(frozen=True)
class DeclaredRegistry:
    """One entry of a declared Secret."""

    key: str
    source: Source
    email: str | None = None


@dataclass(frozen=True)
class DeclaredSecret:
    """One pull secret as the file has it."""

    name: str
    registries: tuple[DeclaredRegistry, ...]
    targets: Targets
    accounts: Accounts
    merge: bool = False


@dataclass(frozen=True)
class SyncFile:
    """What a file declares; *name* marks what it made."""

    name: str
    secrets: tuple[DeclaredSecret, ...]
    folder: Path = field(default=Path(), compare=False)


def read(path: Path) -> SyncFile:
    """Read a file; FileAccessError where it can't be, MalformedError with the line of a fault."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileAccessError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise MalformedError(f"cannot read {path}: not UTF-8") from error
    return replace(parse(text, source=str(path)), folder=path.parent)


def parse(text: str, *, source: str) -> SyncFile:
    """Return what *text* declares; *source* names it in errors. Raises MalformedError."""
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
            raise MalformedError(f"cannot use {source}, line {line}: {error.message}") from error
        if declared.name in {secret.name for secret in secrets}:
            raise MalformedError(
                f"cannot use {source}, line {line}: a second Secret named {declared.name}",
                hint="a Secret may have several registries",
            )
        secrets.append(declared)
    return SyncFile(located.value["name"], tuple(secrets))


def _secret(item: Mapping[str, Any]) -> DeclaredSecret:
    registries = tuple(map(_registry, item["registries"]))
    targets = item["targets"]
    accounts = item.get("serviceAccounts", [])
    name = item.get("name") or default_name(registries[0].key)
    # A name that Kubernetes refuses is refused here, before anything is sent.
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
        Accounts(tuple(a for a in accounts if a != "*"), every="*" in accounts),
        merge=item.get("merge", False),
    )


def _registry(item: Mapping[str, Any]) -> DeclaredRegistry:
    [(kind, value)] = item.get("credential", {"docker": True}).items()
    return DeclaredRegistry(registry_key(item["server"]), Source(kind, value), item.get("email"))


@dataclass(frozen=True)
class Sync:
    """A file on its way into a cluster."""

    file: SyncFile
    cluster: Cluster = field(repr=False)
    environ: Mapping[str, str] = field(repr=False)
    policy: TakeoverPolicy = TakeoverPolicy()  # noqa: RUF009 - frozen, and the same for all
    workers: int = parallel.DEFAULT_WORKERS

    def rollouts(self) -> Iterator[tuple[DeclaredSecret, Rollout | RegctlError]]:
        """Yield each declared Secret with its rollout, or with why there can be none."""
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
            workers=self.workers,
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
                [*credentials] = copied(self.cluster, namespace, name, registry.key).values()
                return credentials[0]
        credential = docker.credential_for(Registry.parse(registry.key.replace("*", "x")))
        if credential is None:
            raise NoCredentialError(
                f"no credential for {registry.key}: docker's config has none",
                hint="`regctl login` puts one there, or name another source in the file",
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
            # Not chained: the cause carries what is in the file.
            raise MalformedError(f"cannot read the password file {path}: not UTF-8") from None
        password = text.removesuffix("\n").removesuffix("\r")
        if not password or "\n" in password:
            raise MalformedError(f"the password file {path} does not hold one line")
        return password

    def prunable(self, rollouts: Sequence[Rollout]) -> list[Item]:
        """Return our Secrets with this file's mark that none of its *rollouts* names any more."""
        kept = {
            (space.name, rollout.desired.name)
            for rollout in rollouts
            for space in rollout.observed.namespaces
        }
        found = inventory(
            self.cluster,
            None,
            everywhere=True,
            label_selector=f"{MANAGED_BY}={OUR_LABELS[MANAGED_BY]},{PART_OF}={self.file.name}",
        )
        return [
            item for item in found.items if (item.secret.namespace, item.secret.name) not in kept
        ]

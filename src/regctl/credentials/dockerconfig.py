"""
docker's `config.json`: a credential for each registry, and the credential helpers it names.

docker, crane, skopeo, podman and regctl read this file; of the helpers, skopeo and podman run those
of `credHelpers` only. The logins of podman, skopeo and buildah are in a file of their own, which
regctl reads after docker's. regctl has no configuration of its own.
"""

import json
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any, NamedTuple, cast

from regctl import atomicfile
from regctl.credentials.credential import Credential, encode_auth
from regctl.credentials.dockerconfigjson import (
    decode_entry,
    read_auths,
    read_object,
    text_fields,
)
from regctl.errors import (
    CredentialHelperError,
    FileAccessError,
    MalformedError,
)
from regctl.jsontext import GoObject, parse_json
from regctl.reference import Registry

_HELPER_SECONDS = 120.0
_HELPER_BYTES = 65_536
_HELPER_HAS_NONE = "credentials not found in native keychain"
_TOKEN_USER = "<token>"  # noqa: S105 - the user name that marks a token, not a token


class StoreResult(NamedTuple):
    """Where a credential is or was stored: in a *helper*, or in the file if that is None."""

    helper: str | None
    changed: bool


@dataclass(frozen=True)
class DockerConfig:
    """
    docker's client configuration: the credentials of `docker login`.

    *path* is None if the environment names no home folder. *document* has docker's own structure
    (docker/cli, cli/config/configfile/file.go). Credential helpers run with *environ*.
    """

    path: Path | None
    document: Mapping[str, Any] = field(repr=False)
    environ: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def load(cls, environ: Mapping[str, str]) -> "DockerConfig":
        """
        Read `config.json` in `$DOCKER_CONFIG`, else in `.docker` of the home folder.

        A missing file counts as an empty one.
        Raises FileAccessError if it cannot be read, MalformedError if it is not docker's.
        """
        path: Path | None = None
        if folder := environ.get("DOCKER_CONFIG"):
            path = Path(folder, "config.json")
        elif home := environ.get("HOME"):
            path = Path(home, ".docker", "config.json")
        return cls(path, {} if path is None else _read(path), environ)

    def credential_for(self, registry: Registry, repository: str = "") -> Credential | None:
        """
        Return the credential that docker, else podman, would use for *registry*, or None.

        Reads `$DOCKER_AUTH_CONFIG` first, then asks the helper of this registry or the common
        helper, then reads `auths`. The logins of podman come last. They may be for a part of a
        registry: such a login counts for a *repository* in that part.
        Raises CredentialHelperError if a helper is missing or fails, MalformedError if an entry
        cannot be read, FileAccessError if podman's file cannot be read.
        """
        return self._docker_credential(registry) or self._podman_credential(registry, repository)

    def _docker_credential(self, registry: Registry) -> Credential | None:
        if text := self.environ.get("DOCKER_AUTH_CONFIG"):
            source = "$DOCKER_AUTH_CONFIG"
            entry = _entry_for(registry, read_object(text, source=source).get("auths"))
            if credential := _credential(entry, f"{source}, registry {registry}"):
                return credential
        return self.stored_for(registry)

    def _podman_credential(self, registry: Registry, repository: str) -> Credential | None:
        """Read the file of podman, skopeo and buildah (containers-auth.json(5))."""
        path = _podman_path(self.environ)
        if path is None:
            return None
        document = _read(path)
        helper = _entry_for(registry, document.get("credHelpers"))
        if isinstance(helper, str) and (found := self._ask(helper, registry.key)):
            return found
        parts = {
            _part_of(key): entry
            for key, entry in (document.get("auths") or {}).items()
            if Registry.find(key) == registry
        }
        for part in sorted(parts, key=len, reverse=True):
            if f"{repository}/".startswith(part):
                return _credential(parts[part], f"{path}, registry {registry}")
        return None

    def stored_for(self, registry: Registry) -> Credential | None:
        """Return the credential that `store` would replace; raises as `credential_for`."""
        if (helper := self._helper_for(registry)) and (found := self._ask(helper, registry.key)):
            return found
        entry = _entry_for(registry, self.document.get("auths"))
        return _credential(entry, f"{self.path}, registry {registry}")

    def podman_login(self, registry: Registry) -> tuple[Path, Credential] | None:
        """Return podman's credential for all of *registry*, and its file; raises as above."""
        path, found = _podman_path(self.environ), self._podman_credential(registry, "")
        return None if path is None or found is None else (path, found)

    def place_of(self, registry: Registry) -> str:
        """Return where the credential for *registry* is: the helper's program, or the file."""
        helper = self._helper_for(registry)
        return f"docker-credential-{helper}" if helper else str(self.path)

    def registries(self) -> list[Registry]:
        """Return the registries that the file names, sorted. A common helper's are unknown."""
        named = [*(self.document.get("auths") or ()), *(self.document.get("credHelpers") or ())]
        return sorted({found for key in named if (found := Registry.find(key))}, key=str)

    def _helper_for(self, registry: Registry) -> str | None:
        helper = _entry_for(registry, self.document.get("credHelpers"))
        helper = helper or self.document.get("credsStore")
        if helper is not None and not isinstance(helper, str):
            raise MalformedError(f"cannot read {self.path}: a helper's name is not a string")
        return helper or None

    # Writing

    def store(self, registry: Registry, credential: Credential) -> StoreResult:
        """
        Store *credential* for *registry* where docker would: in its helper, else in the file.

        The file is written as docker writes it (docker/cli, cli/config). The key is the registry's
        host, for Docker Hub its old URL. An empty entry marks a registry whose credential is in a
        helper. The rest of the file stays. Raises FileAccessError, MalformedError,
        CredentialHelperError.
        """
        helper = self._helper_for(registry)
        self._require_rewritable()
        entry: dict[str, str] = {}
        if helper:
            attempt = f"store the credential for {registry}"
            secret = credential.identity_token or credential.password
            user = _TOKEN_USER if credential.identity_token else credential.username
            document = {"ServerURL": registry.key, "Username": user, "Secret": secret}
            self._run(helper, "store", json.dumps(document), attempt)
        elif credential.identity_token:
            entry = {"auth": encode_auth("", ""), "identitytoken": credential.identity_token}
        else:
            entry = {"auth": encode_auth(credential.username, credential.password)}
        with self._auths() as auths:
            before = auths.get(registry.key)
            auths[registry.key] = entry
        return StoreResult(helper, changed=before != entry)

    def erase(self, registry: Registry) -> StoreResult:
        """
        Remove the credential for *registry* from the helper and the file, older keys included.

        Raises the errors of `store`.
        """
        helper = self._helper_for(registry)
        self._require_rewritable()
        had = helper is not None and self._ask(helper, registry.key) is not None
        if helper and had:
            self._run(helper, "erase", registry.key, f"remove the credential for {registry}")
        with self._auths() as auths:
            for key in [key for key in auths if _names_registry(key, registry)]:
                had = auths.pop(key) is not None or had
        return StoreResult(helper, changed=had)

    def _require_rewritable(self) -> None:
        """Raise MalformedError for a file that cannot be written, before a helper changes."""
        if self.path is not None:
            _read_to_rewrite(atomicfile.read(self.path) or b"{}", source=str(self.path))

    @contextmanager
    def _auths(self) -> Iterator[dict[str, Any]]:
        """Lock and read the file, yield its `auths`, and write what the block changed in it."""
        if self.path is None:
            raise FileAccessError(
                "cannot store a credential: no home folder is set", hint="set $DOCKER_CONFIG"
            )
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise FileAccessError(f"cannot create {self.path.parent}: {error.strerror}") from error
        with atomicfile.editing(self.path) as draft:
            document = _read_to_rewrite(draft.original or b"{}", source=str(self.path))
            auths = read_auths(document, source=str(self.path))
            before = dict(auths)
            yield auths
            if auths != before:
                # Go marshals a map with its keys sorted, and indents with tabs.
                # As docker spells it.
                written = document if "auths" in document else document.without("auths")
                written["auths"] = dict(sorted(auths.items()))
                draft.content = json.dumps(written, indent="\t", ensure_ascii=False).encode()

    # Helpers (docker/docker-credential-helpers): the action is the argument, the rest is stdin

    def _ask(self, helper: str, key: str) -> Credential | None:
        attempt = f"get the credential for {key}"
        output = self._run(helper, "get", key, attempt)
        if output is None:
            return None
        program = f"docker-credential-{helper}"
        try:
            answer = read_object(output, source=program)
            fields = text_fields(answer, ("Username", "Secret"), source=program)
        except MalformedError:
            raise CredentialHelperError(
                f"cannot {attempt}: {program}: its answer is not a credential"
            ) from None
        if not fields["Secret"]:
            return None
        if fields["Username"] == _TOKEN_USER:
            return Credential("", "", identity_token=fields["Secret"])
        return Credential(fields["Username"], fields["Secret"])

    def _run(self, helper: str, action: str, stdin: str, attempt: str) -> str | None:
        """
        Run a helper and return what it printed, or None if it has no such credential.

        No error quotes it: what it prints may be a password.
        """
        program = f"docker-credential-{helper}"
        failed = f"cannot {attempt}: {program}"
        if "/" in helper or not helper.isprintable():
            raise CredentialHelperError(
                f"cannot {attempt}: {helper!r} is not the name of a credential helper",
                hint=f"correct it in {self.path}",
            )
        try:
            code, output = _exchange([program, action], stdin.encode(), self.environ)
        except FileNotFoundError as error:
            raise CredentialHelperError(
                f"{failed}: no such program",
                hint=f"install it, or remove {helper!r} from {self.path}",
            ) from error
        except TimeoutError:
            raise CredentialHelperError(
                f"{failed}: no answer within {_HELPER_SECONDS:.0f} s"
            ) from None
        except OSError as error:
            raise CredentialHelperError(f"{failed}: {error.strerror}") from error
        if len(output) > _HELPER_BYTES:
            raise CredentialHelperError(f"{failed}: its answer has more than {_HELPER_BYTES} bytes")
        text = output.decode(errors="replace").strip()
        if code and _HELPER_HAS_NONE in text:
            return None
        if code:
            hint = f"`{program} list` says what is wrong"
            raise CredentialHelperError(f"{failed}: exit code {code}", hint=hint)
        return text


def _exchange(command: list[str], stdin: bytes, environ: Mapping[str, str]) -> tuple[int, bytes]:
    """
    Run *command*; return its exit code, and no more of its output than is needed.

    Raises TimeoutError, also if a process that it started keeps the output open, and OSError.
    """
    pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
    deadline = time.monotonic() + _HELPER_SECONDS
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=nothing, env=dict(environ))
    output: list[bytes] = []

    def talk() -> None:
        to, answers = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
        with answers:
            with suppress(BrokenPipeError), to:
                to.write(stdin)
            output.append(answers.read(_HELPER_BYTES + 1))

    talking = threading.Thread(target=talk, daemon=True)
    talking.start()
    try:
        talking.join(_HELPER_SECONDS)
        if output and len(output[0]) <= _HELPER_BYTES:
            process.wait(deadline - time.monotonic())
        elif not output:
            raise TimeoutError
    except subprocess.TimeoutExpired:
        raise TimeoutError from None
    finally:
        process.kill()
        process.wait()
    return process.returncode, output[0]


def _read(path: Path) -> dict[str, Any]:
    """Read a file in docker's format; a missing one counts as empty."""
    content = atomicfile.read(path)
    document = {} if content is None else read_object(content, source=str(path))
    for name in ("auths", "credHelpers"):
        if not isinstance(document.get(name) or {}, dict):
            raise MalformedError(f"cannot read {path}: `{name}` is not an object")
    return document


def _read_to_rewrite(content: bytes, *, source: str) -> GoObject:
    """
    Return an object that can be written again without a loss.

    Raises MalformedError also for what programs read differently, or JSON has no word for: a key
    that is there twice, a number that is not finite.
    """
    twice = f"cannot write {source}: a key is there twice in one object"

    def members(pairs: list[tuple[str, Any]]) -> GoObject:
        found = GoObject(pairs)
        if len(found) != len(pairs):
            raise MalformedError(twice)
        return found

    document = parse_json(content, source=source, object_pairs_hook=members)
    try:
        json.dumps(document, allow_nan=False)
    except ValueError:
        raise MalformedError(f"cannot write {source}: a number is not finite") from None
    if not isinstance(document, GoObject):
        raise MalformedError(f"cannot write {source}: not a JSON object")
    if len(document.values_of("auths")) > 1:
        raise MalformedError(twice)
    return document


def _podman_path(environ: Mapping[str, str]) -> Path | None:
    """Return where podman, skopeo and buildah keep their logins, or None if nothing says so."""
    if given := environ.get("REGISTRY_AUTH_FILE"):
        return Path(given)
    if folder := environ.get("XDG_RUNTIME_DIR"):
        return Path(folder, "containers", "auth.json")
    return None


def _part_of(key: str) -> str:
    """Return the part of a registry that podman's key is for, such as `team/`; "" is all of it."""
    path = (key.partition("://")[2] or key).partition("/")[2].strip("/")
    return f"{path}/" if path and path not in {"v1", "v2"} else ""


def _entry_for(registry: Registry, entries: object) -> Any:
    """Return the value for *registry*: by its own key first, then by older keys with a URL."""
    if not isinstance(entries, dict):
        return None
    # docker/cli, cli/config/credentials/file_store.go drops scheme and path.
    older = (key for key in sorted(entries) if Registry.find(key) == registry)
    return next((entries[key] for key in (registry.key, *older) if entries.get(key)), None)


def _names_registry(key: str, registry: Registry) -> bool:
    """Whether *key* is docker's for *registry*; podman's keys may have a repository's path."""
    path = key.partition("://")[2] or key
    return Registry.find(key) == registry and path.partition("/")[2] in {"", "v1/", "v2/"}


def _credential(entry: object, source: str) -> Credential | None:
    """Decode an entry of `auths`; `{}` is docker's mark for a credential in a helper."""
    if not entry:
        return None
    credential = decode_entry(entry, source=source)
    tokens = text_fields(entry, ("identitytoken", "registrytoken"), source=source)
    if any(tokens.values()):
        identity, registry = (token or None for token in tokens.values())
        return Credential("", "", identity_token=identity, registry_token=registry)
    # docker/cli, cli/config/configfile/file.go removes NUL bytes at both ends.
    credential = replace(credential, password=credential.password.strip("\0"))
    return credential if credential.username and credential.password else None

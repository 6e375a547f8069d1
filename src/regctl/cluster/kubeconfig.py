"""
The kubeconfig, or a Pod's service account: which cluster, and which user.

Owns the kubernetes package. It provides configuration, authentication (tokens, certificates,
plug-ins, OIDC) and the connection pool. Only what is the same in versions 29 to 37 is used.
"""

import contextlib
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kubernetes.client import Configuration
from kubernetes.client.rest import RESTClientObject
from kubernetes.config import ConfigException, kube_config
from kubernetes.config import incluster_config as in_cluster
from urllib3.exceptions import HTTPError

from regctl.connection import NO_PROXY_URL, REMEDIES
from regctl.documents import PARSE_ERROR, load
from regctl.errors import KubeconfigError
from regctl.parallel import MAX_WORKERS

if TYPE_CHECKING:
    import urllib3

_IMPERSONATION = re.compile(r"""\bas["']?\s*:""")


class Connection:
    """A connection pool for one API server, and the headers that authenticate the user."""

    def __init__(self, configuration: Configuration, name: str) -> None:
        configuration.connection_pool_maxsize = MAX_WORKERS
        self._configuration = configuration
        self._name = name
        self.host = str(configuration.host).rstrip("/")
        self.pool: urllib3.PoolManager = RESTClientObject(configuration).pool_manager

    def headers(self) -> dict[str, str]:
        """
        Return the headers for authentication, with a new token if the old one is expired.

        Not thread-safe. Raises KubeconfigError.
        """
        with _package_errors(self._name):
            settings: Any = self._configuration.auth_settings()
        return {s["key"]: s["value"] for s in settings.values() if s["value"]}


@dataclass(frozen=True)
class Kubeconfig:
    """
    The configuration that kubectl would use.

    The first that exists: *file*, `$KUBECONFIG`, `~/.kube/config`, a Pod's service account.
    *context* None means the current one.
    """

    environ: Mapping[str, str] = field(repr=False)
    file: Path | None = None
    context: str | None = None

    def connect(self) -> Connection:
        """Read the configuration and run its plug-in, if any. Raises KubeconfigError."""
        # The class shares one default configuration; this call creates a separate one.
        configuration = type.__call__(Configuration)
        files = self._files()
        name = self._name(files)
        with _package_errors(name):
            if files is not None:
                self._refuse_impersonation(files)
                self._load(files, configuration)
            elif self.environ.get(in_cluster.SERVICE_HOST_ENV_NAME):
                in_cluster.InClusterConfigLoader(
                    in_cluster.SERVICE_TOKEN_FILENAME,
                    in_cluster.SERVICE_CERT_FILENAME,
                    environ=self.environ,
                ).load_and_set(configuration)
            else:
                raise KubeconfigError(
                    "no kubeconfig found",
                    hint="pass --kubeconfig, set $KUBECONFIG, or create ~/.kube/config",
                )
            return Connection(configuration, name)

    def _load(self, files: str, configuration: Configuration) -> None:
        try:
            kube_config.load_kube_config(
                config_file=files, context=self.context, client_configuration=configuration
            )
        except ConfigException:
            documents = [load(Path(path).read_text(), source=path) for path in files.split(":")]
            current = (one["current-context"] for one in documents if one.get("current-context"))
            names = [str(it["name"]) for one in documents for it in one.get("contexts") or ()]
            if (wanted := self.context or next(current, None)) in names:
                raise
            problem = f"has no context {wanted}" if wanted else "has no current context"
            raise KubeconfigError(
                f"the kubeconfig {files} {problem}",
                hint=REMEDIES["context"].cluster.format(", ".join(names)) if names else None,
            ) from None

    def contexts(self) -> list[str]:
        """Return the names of all contexts, which are none without a kubeconfig."""
        files = self._files()
        if files is None:
            return []
        with _package_errors(self._name(files)):
            entries, _current = kube_config.list_kube_config_contexts(files)
            return [str(entry["name"]) for entry in entries]

    def namespace(self) -> str:
        """Return the namespace of the context, or `default`."""
        files = self._files()
        if files is None:
            with contextlib.suppress(OSError):
                text = Path(in_cluster.SERVICE_TOKEN_FILENAME).with_name("namespace").read_text()
                return text.strip() or "default"
            return "default"
        with _package_errors(self._name(files)):
            return str(self._context(files).get("namespace") or "default")

    def _context(self, files: str) -> Mapping[str, Any]:
        """Return the context in use, empty if no context has its name."""
        entries, current = kube_config.list_kube_config_contexts(files)
        wanted = self.context or current["name"]
        return next((e.get("context") or {} for e in entries if e["name"] == wanted), {})

    def _refuse_impersonation(self, files: str) -> None:
        """
        Raise KubeconfigError if the user impersonates another.

        The package ignores `as`, so requests would have more rights than intended.
        """
        texts = {path: Path(path).read_text(encoding="utf-8") for path in files.split(":")}
        suspects = {path: text for path, text in texts.items() if _IMPERSONATION.search(text)}
        if not suspects:
            return
        name = self._context(files).get("user")
        for path, text in suspects.items():
            for user in load(text, source=path).get("users") or ():
                if user.get("name") == name and "as" in (user.get("user") or {}):
                    raise KubeconfigError(
                        f"cannot use {self._name(files)}: user {name} impersonates another, "
                        "and regctl does not support it",
                        hint="choose another --context",
                    )

    def _name(self, files: str | None) -> str:
        """Return what the errors call the configuration."""
        if files is None:
            return "the service account of this Pod"
        context = f"context {self.context}" if self.context else "current context"
        return f"the {context} of the kubeconfig {files}"

    def _files(self) -> str | None:
        """Return the files, joined as in `$KUBECONFIG`, or None if there is no file."""
        if self.file is not None:
            if not _exists(self.file):
                raise KubeconfigError(f"cannot read the kubeconfig {self.file}: no such file")
            return str(self.file)
        if listed := self.environ.get("KUBECONFIG"):
            present = [path for path in listed.split(":") if path and _exists(Path(path))]
            if not present:
                raise KubeconfigError(
                    f"cannot read the kubeconfig {listed}: no such file",
                    hint="pass --kubeconfig or correct $KUBECONFIG",
                )
            return ":".join(present)
        home = self.environ.get("HOME")
        path = Path(home or "/nonexistent", ".kube", "config")
        return str(path) if _exists(path) else None


def _exists(path: Path) -> bool:
    """Whether there is a file, or something that may be one and cannot be read."""
    try:
        return path.exists()
    except OSError:
        return True


class _Failures(logging.Handler):
    """Keeps what is logged as an error, and the exception that is being handled then."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.messages: list[str] = []
        self.causes: list[BaseException | None] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
        self.causes.append(sys.exc_info()[1])


@contextlib.contextmanager
def _package_errors(name: str) -> Iterator[None]:
    """
    Raise the package's errors as KubeconfigError.

    The package only logs that a plug-in for credentials failed, to the root logger. Without this
    the next request would be anonymous.
    """
    log = _Failures()
    root = logging.getLogger()
    root.addHandler(log)
    try:
        yield
    except ConfigException as error:
        hint = REMEDIES["kubeconfig"].cluster
        raise KubeconfigError(f"cannot use {name}: {error}", hint=hint) from error
    except (HTTPError, ImportError):
        # Not chained: it quotes the proxy's URL. A module is missing for SOCKS.
        hint = REMEDIES["proxy"].cluster
        raise KubeconfigError(f"cannot use {name}: {NO_PROXY_URL}", hint=hint) from None
    except OSError as error:
        reason = f"cannot read {error.filename}: {error.strerror}"
        raise KubeconfigError(f"cannot use {name}: {reason}") from error
    except (PARSE_ERROR, ValueError, LookupError, TypeError, AttributeError) as error:
        # The errors that the package raises for a file that is not a kubeconfig.
        hint = REMEDIES["kubeconfig"].cluster
        raise KubeconfigError(f"cannot use {name}: it is malformed", hint=hint) from error
    finally:
        root.removeHandler(log)
    if log.messages:
        reason, cause = " ".join(log.messages[0].split())[:300], "login"
        if isinstance(failure := log.causes[0], FileNotFoundError):
            reason, cause = f"the plug-in {failure.filename} is not installed", "plug-in"
        raise KubeconfigError(
            f"cannot get the credentials of {name}: {reason}", hint=REMEDIES[cause].cluster
        )

"""
The kubeconfig, or a Pod's service account: which cluster, and which user.

The rules are those of client-go, `tools/clientcmd`. Tokens and certificates are read here. Only for
a user with a plug-in, an auth provider or a password is the kubernetes package loaded: its import
takes longer than most commands.
"""

import base64
import contextlib
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from urllib3.exceptions import HTTPError

from regctl.atomicfile import read_input
from regctl.cluster.connection import Access, Connection, connect
from regctl.cluster.proxies import environment_proxy
from regctl.connection import NO_PROXY_URL, REMEDIES
from regctl.documents import load
from regctl.errors import FileAccessError, KubeconfigError, MalformedError

# Where a Pod has its token, its CA and its namespace.
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")

_BY_PACKAGE = frozenset({"exec", "auth-provider", "username"})


class _Entry(NamedTuple):
    """A cluster, user or context, and the folder that its relative paths start from."""

    value: Mapping[str, Any]
    folder: Path

    def content(self, key: str) -> bytes | None:
        """Return the content of KEY-data, else of the file that KEY names, or None."""
        if data := self.value.get(f"{key}-data"):
            return base64.b64decode(data)
        path = self.value.get(key)
        return read_input(self.folder / path, str(self.folder / path)) if path else None


@dataclass(frozen=True)
class _Files:
    """The documents of a kubeconfig, by path; of two entries with one name the first counts."""

    documents: Mapping[Path, Mapping[str, Any]]

    @property
    def current_context(self) -> str | None:
        return next((c for d in self.documents.values() if (c := d.get("current-context"))), None)

    @property
    def contexts(self) -> list[str]:
        found = (item["name"] for d in self.documents.values() for item in d.get("contexts") or ())
        return list(dict.fromkeys(map(str, found)))

    def find(self, kind: str, name: object) -> _Entry:
        """Return the entry of that *kind* (`user`). Raises LookupError without one."""
        for path, document in self.documents.items():
            for item in document.get(f"{kind}s") or ():
                if item["name"] == name:
                    return _Entry(item.get(kind) or {}, path.parent)
        raise LookupError(f"it has no {kind} {name}")


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

    @property
    def is_configured(self) -> bool:
        """Whether a file or a Pod's environment names a cluster. Raises KubeconfigError."""
        return self._paths is not None or "KUBERNETES_SERVICE_HOST" in self.environ

    def connect(self) -> Connection:
        """Read the configuration and run its plug-in, if any. Raises KubeconfigError."""
        with self._errors():
            if self._paths is None:
                return connect(self._service_account(), self._name)
            files = self._files
            context = self._chosen(files)
            if not self._user(files, context).value.keys() & _BY_PACKAGE:
                return connect(self._access(files, context), self._name)
            from regctl.cluster import plugins  # noqa: PLC0415 - slow

            return plugins.connect(":".join(map(str, self._paths)), context, self._name)

    def access(self) -> Access:
        """
        Return what the configuration says about the cluster and the user, apart from plug-ins.

        Raises KubeconfigError.
        """
        with self._errors():
            if self._paths is None:
                return self._service_account()
            files = self._files
            return self._access(files, self._chosen(files))

    def _access(self, files: _Files, context: str) -> Access:
        name = files.find("context", context).value.get("cluster")
        cluster, user = files.find("cluster", name), self._user(files, context)
        server = str(cluster.value["server"]).rstrip("/")
        token_file = user.value.get("tokenFile")
        return Access(
            server,
            ca=cluster.content("certificate-authority"),
            certificate=user.content("client-certificate"),
            key=user.content("client-key"),
            server_name=cluster.value.get("tls-server-name"),
            insecure=bool(cluster.value.get("insecure-skip-tls-verify")),
            proxy=cluster.value.get("proxy-url") or environment_proxy(server, self.environ),
            token=user.value.get("token"),
            token_file=user.folder / token_file if token_file else None,
        )

    def _user(self, files: _Files, context: str) -> _Entry:
        """Return the user of a context; nobody is one without settings."""
        name = files.find("context", context).value.get("user")
        if not name:
            return _Entry({}, Path())
        user = files.find("user", name)
        if "as" in user.value:
            # Without it the requests would have more rights than meant.
            raise KubeconfigError(
                f"cannot use {self._name}: user {name} impersonates another, "
                "and regctl does not support it",
                hint="choose another --context",
            )
        return user

    def _service_account(self) -> Access:
        host = self.environ.get("KUBERNETES_SERVICE_HOST")
        if not host:
            raise KubeconfigError(
                "no kubeconfig found",
                hint="pass --kubeconfig, set $KUBECONFIG, or create ~/.kube/config",
            )
        host = f"[{host}]" if ":" in host else host
        server = f"https://{host}:{self.environ.get('KUBERNETES_SERVICE_PORT') or 443}"
        return Access(
            server,
            ca=(SERVICE_ACCOUNT / "ca.crt").read_bytes(),
            proxy=environment_proxy(server, self.environ),
            token_file=SERVICE_ACCOUNT / "token",
        )

    def contexts(self) -> list[str]:
        """Return the names of all contexts, which are none without a kubeconfig."""
        with self._errors():
            return self._files.contexts if self._paths is not None else []

    def namespace(self) -> str:
        """Return the namespace of the context, or `default`."""
        if self._paths is None:
            with contextlib.suppress(OSError):
                return (SERVICE_ACCOUNT / "namespace").read_text().strip() or "default"
            return "default"
        with self._errors():
            files = self._files
            context = files.find("context", self._chosen(files)).value
            return str(context.get("namespace") or "default")

    def _chosen(self, files: _Files) -> str:
        """Return the name of the context. Raises KubeconfigError if there is no such context."""
        wanted, names = self.context or files.current_context, files.contexts
        if wanted and str(wanted) in names:
            return str(wanted)
        problem = f"has no context {wanted}" if wanted else "has no current context"
        raise KubeconfigError(
            f"the kubeconfig {':'.join(map(str, files.documents))} {problem}",
            hint=REMEDIES["context"].cluster.format(", ".join(names)) if names else None,
        )

    @cached_property
    def _paths(self) -> list[Path] | None:
        """The files that exist, or None if none is named."""
        if self.file is not None:
            named, listed = [self.file], str(self.file)
        elif listed := self.environ.get("KUBECONFIG", ""):
            named = [Path(path) for path in listed.split(":") if path]
        else:
            path = Path(self.environ.get("HOME") or "/nonexistent", ".kube", "config")
            return [path] if _exists(path) else None
        if present := [path for path in named if _exists(path)]:
            return present
        raise KubeconfigError(
            f"cannot read the kubeconfig {listed}: no such file",
            hint=None if self.file else "pass --kubeconfig or correct $KUBECONFIG",
        )

    @cached_property
    def _files(self) -> _Files:
        """What is in them; a pipe can be read only once."""
        documents = {}
        for path in self._paths or ():
            text = read_input(path, str(path)).decode()
            documents[path] = load(text, source=str(path), aliases=True) or {}
        return _Files(documents)

    @property
    def _name(self) -> str:
        """What the errors call the configuration."""
        if self._paths is None:
            return "the service account of this Pod"
        context = f"context {self.context}" if self.context else "current context"
        return f"the {context} of the kubeconfig {':'.join(map(str, self._paths))}"

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        """Raise what a wrong file causes as KubeconfigError."""
        hint = REMEDIES["kubeconfig"].cluster
        try:
            yield
        except KubeconfigError:
            raise
        except (HTTPError, ImportError):
            # Not chained: it quotes the proxy's URL. A module is missing for SOCKS.
            raise KubeconfigError(
                f"cannot use {self._name}: {NO_PROXY_URL}", hint=REMEDIES["proxy"].cluster
            ) from None
        except ssl.SSLError as error:
            raise KubeconfigError(
                f"cannot use {self._name}: a certificate or key is not valid PEM",
                hint=REMEDIES["own file"].cluster,
            ) from error
        except OSError as error:
            reason = f"cannot read {error.filename}: {error.strerror}"
            raise KubeconfigError(f"cannot use {self._name}: {reason}") from error
        except FileAccessError as error:
            raise KubeconfigError(f"cannot use {self._name}: {error.message}") from error
        except (MalformedError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise KubeconfigError(f"cannot use {self._name}: it is malformed", hint=hint) from error


def _exists(path: Path) -> bool:
    """Whether there is a file, or something that may be one and cannot be read."""
    try:
        return path.exists()
    except OSError:
        return True

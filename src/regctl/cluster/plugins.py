"""
Users whose credentials come from a plug-in, an auth provider or a password.

Owns the kubernetes package. Only what is the same in versions 29 to 37 is used.
"""

import contextlib
import logging
import sys
from collections.abc import Iterator
from typing import Any

from kubernetes.client import Configuration
from kubernetes.client.rest import RESTClientObject
from kubernetes.config import ConfigException, kube_config

from regctl.cluster.connection import Connection
from regctl.connection import REMEDIES
from regctl.documents import PARSE_ERROR
from regctl.errors import KubeconfigError, MalformedError
from regctl.parallel import MAX_WORKERS


def connect(files: str, context: str, name: str) -> Connection:
    """
    Return a connection as the user of *context*; *name* is the configuration in errors.

    *files* are joined as in `$KUBECONFIG`. Raises KubeconfigError, and what the package raises for
    a file that is malformed or for a proxy that is not one.
    """
    # The class shares one default configuration; this call creates a separate one.
    configuration = type.__call__(Configuration)
    configuration.connection_pool_maxsize = MAX_WORKERS
    with _package_errors(name):
        kube_config.load_kube_config(
            config_file=files, context=context, client_configuration=configuration
        )

    def headers() -> dict[str, str]:
        with _package_errors(name):
            settings: Any = configuration.auth_settings()
        return {s["key"]: s["value"] for s in settings.values() if s["value"]}

    pool = RESTClientObject(configuration).pool_manager
    return Connection(str(configuration.host).rstrip("/"), pool, headers)


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
    except PARSE_ERROR as error:
        raise MalformedError("not YAML") from error
    finally:
        root.removeHandler(log)
    if log.messages:
        reason, cause = " ".join(log.messages[0].split())[:300], "login"
        if isinstance(failure := log.causes[0], FileNotFoundError):
            reason, cause = f"the plug-in {failure.filename} is not installed", "plug-in"
        raise KubeconfigError(
            f"cannot get the credentials of {name}: {reason}", hint=REMEDIES[cause].cluster
        )

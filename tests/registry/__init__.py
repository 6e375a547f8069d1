"""How tests connect to a registry: over plain HTTP, without pauses between tries."""

from regctl.credentials.credential import Credential
from regctl.reference import Registry
from regctl.registry.client import RegistryClient
from regctl.registry.session import Callbacks
from regctl.registry.transport import ConnectionSettings
from regctl.retry import Backoff

CI = Credential("ci", "hunter2")
PLAIN = ConnectionSettings(plain_http=True, backoff=Backoff(tries=3, base=0))


def connect(
    host: str,
    credential: Credential | None = None,
    settings: ConnectionSettings = PLAIN,
    callbacks: Callbacks = Callbacks(),  # noqa: B008 - it is frozen
) -> RegistryClient:
    """Return a client for the registry at *host*."""
    return RegistryClient(
        Registry.parse(host), credential=credential, settings=settings, callbacks=callbacks
    )

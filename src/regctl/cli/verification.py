"""The trial of credentials at their registries, as the options of a command ask for it."""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from regctl.cli.app import App
from regctl.cli.options import VerificationFlags
from regctl.errors import RegctlError

if TYPE_CHECKING:
    from regctl.credentials.credential import Credential
    from regctl.reference import Registry
    from regctl.registry.transport import ConnectionSettings

_CONNECT_SECONDS = 5.0
_ANSWER_SECONDS = 10.0


def try_credential(
    app: App,
    registry: "Registry",
    credential: "Credential",
    settings: "ConnectionSettings | None" = None,
) -> RegctlError | None:
    """Return the error with which *registry* rejects a credential, or None."""
    try:
        app.registry_as(registry, credential, settings).ping()
    except RegctlError as error:
        return error
    return None


def verification(
    app: App, flags: VerificationFlags
) -> "Callable[[str, Mapping[str, Credential]], None]":
    """
    Return `Verifier.verify` of a new Verifier; with --no-verify it tries nothing.

    Raises CertificateError for a --ca-file or --client-cert that cannot be read: that is no failure
    of the registry.
    """
    from regctl.pullsecrets.trial import Verifier

    if flags.no_verify:
        return lambda _secret, _credentials: None
    if app.ca_file is not None or app.connections.client_cert is not None:
        from regctl.registry.transport import tls_context

        tls_context(app.registry_settings)
    return Verifier(
        partial(_try_briefly, app),
        flags.wait,
        on_pause=app.output.note,
        on_unverified=app.output.warning,
    ).verify


def _try_briefly(app: App, registry: "Registry", credential: "Credential") -> RegctlError | None:
    """Try a credential as `try_credential`: a registry that does not answer is only a warning."""
    from regctl.exchange import time_limit
    from regctl.retry import Backoff

    settings = app.registry_settings
    connect = min(settings.connect_seconds, _CONNECT_SECONDS)
    backoff = Backoff(tries=4, patience=_CONNECT_SECONDS)
    settings = dataclasses.replace(settings, connect_seconds=connect, backoff=backoff)
    # For all requests of the trial together.
    with time_limit(min(settings.read_seconds, _ANSWER_SECONDS)):
        return try_credential(app, registry, credential, settings)

"""The trial of credentials at their registries, before they are written to pull secrets."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from regctl.credentials.credential import Credential
from regctl.errors import AccessError, CredentialRejectedError, NotPermittedError, RegctlError
from regctl.reference import Registry
from regctl.retry import Backoff, attempts

# Tries a credential at a registry; returns None if it is accepted, else the error.
Trial = Callable[[Registry, Credential], RegctlError | None]
Login = tuple[Registry, Credential]

# Pauses between two trials. Few in two minutes: a registry may lock a user after many failures.
_BACKOFF = Backoff(tries=None, base=0.5, cap=20.0)


def ignore(_text: str) -> None:
    """Do nothing with a text for a person."""


@dataclass
class Verifier:
    """
    Tries each distinct credential of a run at its registry.

    A rejected credential is tried again until *wait* seconds after the first trial of the run: a
    registry may read a new auth Secret only after a minute. *on_pause* gets a text before each
    pause. *on_unverified* gets one for each credential that no registry accepted or rejected.
    Tests inject *sleep* and *clock*.
    """

    trial: Trial
    wait: float = 120.0
    on_pause: Callable[[str], object] = ignore
    on_unverified: Callable[[str], object] = ignore
    sleep: Callable[[float], object] = time.sleep
    clock: Callable[[], float] = time.monotonic
    _deadline: float | None = field(default=None, init=False)
    _errors: dict[Login, RegctlError | None] = field(default_factory=dict, init=False, repr=False)

    def verify(self, secret: str, credentials: Mapping[str, Credential]) -> None:
        """
        Try the credentials, by registry key, that the Secret of this name is to get.

        Raises CredentialRejectedError for the first one that its registry rejects.
        """
        for key, credential in sorted(credentials.items()):
            registry = Registry.find(key)
            if registry is None:
                # A glob. Registries of several names may have the same users, or not.
                self.on_unverified(
                    f"the password for {key} was not verified: a glob names no single registry"
                )
                continue
            error = self._result((registry, replace(credential, email=None)))
            if isinstance(error, AccessError):
                raise CredentialRejectedError(
                    f"secret {secret} was not written: {_rejection(registry, credential, error)}",
                    hint=error.hint or "`--no-verify` writes it without a trial",
                ) from error

    def _result(self, login: Login) -> RegctlError | None:
        """Return the error of the last trial of a login; it has one trial at least."""
        if login not in self._errors:
            error = self._errors[login] = self._try(login)
            if error is not None and not isinstance(error, AccessError):
                user = login[1].user
                self.on_unverified(f"the password of {user} was not verified: {error.message}")
        return self._errors[login]

    def _try(self, login: Login) -> RegctlError | None:
        registry, credential = login
        if self._deadline is None:
            self._deadline = self.clock() + self.wait

        def pause(seconds: float) -> object:
            left = (self._deadline or 0.0) - self.clock()
            rejection = _rejection(registry, credential, error)
            self.on_pause(f"{rejection}; trying again for {left:.0f} s")
            return self.sleep(seconds)

        error: RegctlError | None = None
        for _ in attempts(_BACKOFF, pause, deadline=self._deadline, clock=self.clock):
            error = self.trial(registry, credential)
            if not isinstance(error, AccessError):
                break
        return error


def _rejection(registry: Registry, credential: Credential, error: RegctlError | None) -> str:
    """Return what the registry does: it denies access to a user whose password may be correct."""
    denies = isinstance(error, NotPermittedError)
    verb = "denies access to" if denies else "rejects the password of"
    return f"{registry} {verb} {credential.user}"

"""
Rotate a password: in the auth file that accepts it, and in the pull secrets that contain it.

An auth file has one password for each user. So the new password belongs to a new user beside the
old one, who is removed when no pull secret needs it any more: no pull fails at any moment. A
rotation keeps no state of its own. It reads what is there and does what is left to do, so an
interrupted one continues when it is run again.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from regctl.authfile import hashes
from regctl.credentials.credential import Credential
from regctl.errors import InvalidInputError, PartlyDoneError, RegctlError, UnknownUserError
from regctl.pullsecrets.content import credentials_for
from regctl.workflows.rotation_steps import Holder, RotationSteps, StepResult


def next_username(name: str) -> str:
    """Return the user that follows *name*: `ci-2` after `ci`, `ci-3` after `ci-2`."""
    match = re.fullmatch(r"(.*)-(\d+)", name)
    return f"{match[1]}-{int(match[2]) + 1}" if match else f"{name}-2"


@dataclass(frozen=True)
class RotationState:
    """
    What exists when a rotation starts, or starts again after an interruption.

    *old_holders* need an update, *new_holders* have the new credential. *password* is the new
    user's, if a pull secret has one that the auth file accepts. *in_sync* is whether auth file and
    auth Secret have the same users.
    """

    old_exists: bool
    new_exists: bool
    old_holders: tuple[Holder, ...] = ()
    new_holders: tuple[Holder, ...] = ()
    password: str | None = field(default=None, repr=False)
    in_sync: bool = True

    @property
    def holders(self) -> tuple[Holder, ...]:
        """All entries of pull secrets that have one of the two users."""
        return (*self.old_holders, *self.new_holders)

    @property
    def must_add(self) -> bool:
        """Whether the new user must be added, or get a password."""
        return self.password is None or not self.new_exists or not self.in_sync


@dataclass(frozen=True)
class Rotation(ABC):
    """A rotation from the password of user *old* to the password of user *new*."""

    steps: RotationSteps
    old: str
    new: str

    def observe(self) -> RotationState:
        """
        Read users and pull secrets.

        Raises UnknownUserError if neither user exists, and what reading raises.
        """
        found = self.steps.find()
        if found.errors:
            # A pull secret that cannot be read may have the old user.
            raise found.errors[min(found.errors)]
        users = self.steps.store.read()
        old_exists, new_exists = bool(users.hashes(self.old)), bool(users.hashes(self.new))
        if not old_exists and not new_exists:
            raise UnknownUserError(
                f"cannot rotate {self.old}: there is no such user",
                hint="`regctl users` lists the users",
            )
        holders = [
            Holder(item.secret, key, credential)
            for item in found.items
            for key, credential in credentials_for(item.secret, self.steps.registry).items()
            if credential.username in {self.old, self.new}
        ]
        accepted = [
            password
            for user, password in (holder.login for holder in holders)
            if user == self.new and users.matches(user, password)
        ]
        password = self._known_password(accepted, len(holders))
        return RotationState(
            old_exists,
            new_exists,
            tuple(holder for holder in holders if holder.login != (self.new, password)),
            tuple(holder for holder in holders if holder.login == (self.new, password)),
            password,
            self.steps.store.in_sync(),
        )

    def _known_password(self, accepted: Sequence[str], _holders: int) -> str | None:
        """Return the new user's password, if pull secrets have one that is *accepted*."""
        return accepted[0] if accepted else None

    def run(self, password: str | None = None) -> Iterator[StepResult]:
        """
        Carry out the steps that are left, and yield each result when it is done.

        *password* is the new user's; without one it is generated. Raises PartlyDoneError if a step
        fails after others have changed something; another run continues there.
        """
        state = self.observe()
        if not state.old_exists and not state.old_holders and state.in_sync:
            yield StepResult("remove", f"user/{self.old}", "unchanged", f"replaced by {self.new}")
            return
        chosen = state.password or password or hashes.generate_password()
        if password is not None and password != chosen:
            raise InvalidInputError(
                f"{self.new} already has another password, which pull secrets contain",
                hint="run the same command without a password to continue with that one",
            )
        begun = False
        try:
            for result in self.carry_out(state, Credential(self.new, chosen)):
                begun = True
                yield result
        except RegctlError as error:
            if not begun:
                raise
            again = "run the same command again to continue"
            hint = f"{error.hint}; then {again}" if error.hint else again
            raise PartlyDoneError(error.message, hint=hint) from error

    @abstractmethod
    def carry_out(self, state: RotationState, credential: Credential) -> Iterator[StepResult]:
        """Carry out what *state* leaves to do; *credential* is the new user's."""


@dataclass(frozen=True)
class UserRotation(Rotation):
    """
    Replaces user *old* by user *new*.

    *keep_old* leaves the old user, *finish* only removes it. Raises InvalidInputError if both
    users are the same.
    """

    keep_old: bool = False
    finish: bool = False

    def __post_init__(self) -> None:
        if self.new == self.old:
            raise InvalidInputError(
                f"cannot rotate {self.old} to itself",
                hint=f"`regctl rotate {self.old} --same-name` changes its password in place",
            )

    def carry_out(self, state: RotationState, credential: Credential) -> Iterator[StepResult]:
        """
        Add the new user, update and verify the pull secrets, then remove the old user.

        Raises InvalidInputError for *finish* if a pull secret has the old user.
        """
        if self.finish and state.old_holders:
            holder = state.old_holders[0]
            raise InvalidInputError(
                f"cannot finish: {holder.subject} still has {holder.credential.username}",
                hint="run the same command without --finish to update it",
            )
        if not self.finish:
            if state.must_add:
                yield from self.steps.add_user(credential, exists=state.new_exists)
            yield from self.steps.wait_for_registry(credential)
            yield from self.steps.update_pull_secrets(state.old_holders, credential)
            yield from self.steps.verify_pull_secrets(state.holders, self.new)
            if self.keep_old or not state.old_exists:
                return
            if state.holders:
                yield from self.steps.wait_for_kubelets()
        yield from self.steps.remove_user(self.old)


@dataclass(frozen=True)
class InPlaceRotation(Rotation):
    """
    Changes the password of one user, *old* and *new*.

    Pulls fail until each pull secret has the new password.
    """

    def _known_password(self, accepted: Sequence[str], holders: int) -> str | None:
        """
        Return the password that an interrupted rotation has put into some pull secrets.

        If all pull secrets are *accepted*, or none, there is no rotation to continue.
        """
        return None if len(accepted) == holders else super()._known_password(accepted, holders)

    def carry_out(self, state: RotationState, credential: Credential) -> Iterator[StepResult]:
        """Set the password, update the pull secrets at once, then verify them."""
        if state.must_add:
            note = "pulls fail until each pull secret has the new password"
            yield from self.steps.add_user(credential, exists=True, note=note)
        yield from self.steps.update_pull_secrets(state.old_holders, credential)
        yield from self.steps.wait_for_registry(credential)
        yield from self.steps.verify_pull_secrets(state.holders, self.new)

"""
Rotate a password: in the auth file that accepts it, and in the pull secrets that contain it.

An auth file has one password for each user. So the new password belongs to a new user beside the
old one, who is removed when no pull secret needs it any more: no pull fails at any moment. A
rotation keeps no state of its own. It reads what is there and plans what is left to do, so an
interrupted one continues when it is run again.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import filterfalse

from regctl.authfile import hashes
from regctl.credentials.credential import Credential
from regctl.errors import InvalidInputError, PartlyDoneError, RegctlError, UnknownUserError
from regctl.pullsecrets.content import credentials_for
from regctl.workflows.rotation_steps import (
    AddUser,
    Holder,
    RemoveUser,
    RotationContext,
    Step,
    StepResult,
    UpdatePullSecrets,
    VerifyPullSecrets,
    WaitForKubelets,
    WaitForRegistry,
)


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


@dataclass(frozen=True)
class Rotation(ABC):
    """A rotation of the password of user *old*; `run` carries out what `plan` returns."""

    context: RotationContext
    old: str

    @property
    @abstractmethod
    def new(self) -> str:
        """The user that gets the new password."""

    @property
    @abstractmethod
    def command(self) -> str:
        """The command that continues this rotation."""

    @abstractmethod
    def plan(self, state: RotationState, password: str) -> list[Step]:
        """
        Return the steps that are left, in their order; none if all is done.

        Raises UnknownUserError if neither user exists.
        """

    def observe(self) -> RotationState:
        """Read users and pull secrets. Raises what reading raises."""
        context = self.context
        found = context.find()
        if found.errors:
            # A pull secret that cannot be read may have the old user.
            raise found.errors[min(found.errors)]
        users = context.store.read()
        holders = tuple(
            Holder(item.secret, key, credential)
            for item in found.items
            for key, credential in credentials_for(item.secret, context.registry).items()
            if credential.username in {self.old, self.new}
        )
        accepted = [
            holder
            for holder in holders
            if holder.credential.username == self.new
            and users.matches(self.new, holder.credential.password)
        ]
        password = self._known_password(holders, accepted)

        def is_done(holder: Holder) -> bool:
            credential = holder.credential
            return (credential.username, credential.password) == (self.new, password)

        return RotationState(
            bool(users.hashes(self.old)),
            bool(users.hashes(self.new)),
            tuple(filterfalse(is_done, holders)),
            tuple(filter(is_done, holders)),
            password,
            context.store.in_sync(),
        )

    def _known_password(self, _holders: Sequence[Holder], accepted: Sequence[Holder]) -> str | None:
        """Return the new user's password, if pull secrets have one that is *accepted*."""
        return accepted[0].credential.password if accepted else None

    def dry_run(self) -> Iterator[StepResult]:
        """Yield what `run` will do, without doing it."""
        state = self.observe()
        yield from self._results(
            self.plan(state, state.password or ""), lambda step: step.describe()
        )

    def run(self, password: str | None = None) -> Iterator[StepResult]:
        """
        Carry out the steps that are left, and yield each result when it is done.

        *password* is the new user's; without one it is generated. Raises PartlyDoneError if a step
        fails after others have changed something; another run continues there.
        """
        state = self.observe()
        chosen = state.password or password or hashes.generate_password()
        steps = self.plan(state, chosen)
        if steps and password is not None and password != chosen:
            raise InvalidInputError(
                f"{self.new} already has another password, which pull secrets contain",
                hint=f"`{self.command}` without a password continues with that one",
            )
        begun = False
        try:
            for result in self._results(steps, lambda step: step.run()):
                begun = True
                yield result
        except RegctlError as error:
            if not begun:
                raise
            hint = f"`{self.command}` continues when that is fixed"
            if error.hint:
                hint = f"{error.hint}; then `{self.command}` continues"
            raise PartlyDoneError(error.message, hint=hint) from error

    def _results(
        self, steps: Sequence[Step], act: Callable[[Step], Iterator[StepResult]]
    ) -> Iterator[StepResult]:
        if not steps:
            yield StepResult("remove", f"user/{self.old}", "unchanged", f"replaced by {self.new}")
        for step in steps:
            yield from act(step)


@dataclass(frozen=True)
class UserRotation(Rotation):
    """
    Replaces user *old* by user *to*, or by the next one: `ci-2` after `ci`.

    *keep_old* leaves the old user, *finish* only removes it. Raises InvalidInputError if both
    users are the same.
    """

    to: str | None = None
    keep_old: bool = False
    finish: bool = False

    def __post_init__(self) -> None:
        if self.new == self.old:
            raise InvalidInputError(
                f"cannot rotate {self.old} to itself",
                hint=f"`regctl rotate {self.old} --same-name` changes its password in place",
            )

    @property
    def new(self) -> str:
        """The user that gets the new password."""
        return self.to or next_username(self.old)

    @property
    def command(self) -> str:
        """The command that continues this rotation."""
        return f"regctl rotate {self.old}" + (f" --to {self.to}" if self.to else "")

    def plan(self, state: RotationState, password: str) -> list[Step]:
        """
        Return the steps that are left, in their order; none if all is done.

        Raises UnknownUserError if neither user exists, and InvalidInputError for *finish* if a
        pull secret has the old one.
        """
        _require_user(self.old, exists=state.old_exists or state.new_exists)
        if self.finish:
            return self._plan_finish(state)
        context, credential = self.context, Credential(self.new, password)
        holders = (*state.old_holders, *state.new_holders)
        remove: list[Step] = [RemoveUser(context.store, self.old)]
        steps: list[Step] = []
        if not state.old_exists and not state.old_holders and state.in_sync:
            return steps
        if state.password is None or not state.new_exists or not state.in_sync:
            steps.append(AddUser(context.store, credential, state.new_exists))
        steps.append(WaitForRegistry(context, credential))
        if state.old_holders:
            note = f"{self.old} replaced by {self.new}"
            remainder = f"still need {self.old}, which stays"
            steps.append(UpdatePullSecrets(context, state.old_holders, credential, note, remainder))
        if holders:
            steps.append(VerifyPullSecrets(context, holders, self.new))
        if not self.keep_old and state.old_exists:
            steps += [WaitForKubelets(context), *remove] if holders else remove
        return steps

    def _plan_finish(self, state: RotationState) -> list[Step]:
        if state.old_holders:
            holder = state.old_holders[0]
            raise InvalidInputError(
                f"cannot finish: {holder.subject} still has {holder.credential.username}",
                hint=f"`{self.command}` without --finish updates it",
            )
        done = not state.old_exists and state.in_sync
        return [] if done else [RemoveUser(self.context.store, self.old)]


@dataclass(frozen=True)
class InPlaceRotation(Rotation):
    """Changes the password of user *old*: pulls fail until each pull secret has the new one."""

    @property
    def new(self) -> str:
        """The same user."""
        return self.old

    @property
    def command(self) -> str:
        """The command that continues this rotation."""
        return f"regctl rotate {self.old} --same-name"

    def _known_password(self, holders: Sequence[Holder], accepted: Sequence[Holder]) -> str | None:
        """
        Return the password that an interrupted rotation has put into some pull secrets.

        If all pull secrets are *accepted*, or none, there is no rotation to continue.
        """
        if len(accepted) == len(holders):
            return None
        return super()._known_password(holders, accepted)

    def plan(self, state: RotationState, password: str) -> list[Step]:
        """Return the steps that are left, in their order. Raises UnknownUserError."""
        _require_user(self.old, exists=state.old_exists)
        context, credential = self.context, Credential(self.old, password)
        steps: list[Step] = []
        if state.password is None or not state.in_sync:
            note = "pulls fail until each pull secret has the new password"
            steps.append(AddUser(context.store, credential, state.old_exists, note))
        note, remainder = f"new password for {self.old}", "still have the old password"
        return [
            *steps,
            UpdatePullSecrets(context, state.old_holders, credential, note, remainder),
            WaitForRegistry(context, credential),
            VerifyPullSecrets(context, (*state.old_holders, *state.new_holders), self.old),
        ]


def _require_user(name: str, *, exists: bool) -> None:
    if not exists:
        raise UnknownUserError(
            f"cannot rotate {name}: there is no such user", hint="`regctl users` lists the users"
        )

"""
Rotate a password: in the auth file that accepts it, and in the pull secrets that contain it.

An auth file has one password for each user. So the new password belongs to a new user beside the
old one, who is removed when no pull secret needs it any more: no pull fails at any moment. A
rotation keeps one thing, the hash of the old password beside the users. It reads what is there and
does what is left to do, so an interrupted one continues when it is run again.

A pull secret needs a user only if its password works, or did before the rotation: anybody who may
write Secrets in some namespace can name a user there.
"""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from regctl.authfile import hashes
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.credentials.credential import Credential
from regctl.errors import (
    ForeignObjectError,
    ImmutableError,
    InvalidInputError,
    NotPermittedError,
    NotRotatedError,
    ObjectNotFoundError,
    PartlyDoneError,
    RegctlError,
    RegistryUnreachableError,
)
from regctl.wording import count, some_of
from regctl.workflows.holders import Survey, holders_of
from regctl.workflows.rotation_state import RotationState
from regctl.workflows.rotation_steps import Failure, RotationSteps, StepResult
from regctl.workflows.successors import is_numbered, next_username, users_in_force

# With any other error an update may have been made.
_REFUSALS = (ForeignObjectError, ImmutableError, NotPermittedError, ObjectNotFoundError)


@dataclass(frozen=True)
class Rotation(ABC):
    """A rotation of the password of user *name*, or of the user that has replaced it."""

    steps: RotationSteps
    name: str

    @abstractmethod
    def choose(self, users: HtpasswdFile) -> tuple[str, ...]:
        """Return the users to replace, the first one first, and the one who replaces them."""

    def observe(self) -> RotationState:
        """Read users and pull secrets. Raises what `users_in_force` and reading raise."""
        seen, users = self.steps.find(), self.steps.store.read()
        return self._state(seen, users, self.choose(users))

    def _state(self, seen: Survey, users: HtpasswdFile, chosen: Sequence[str]) -> RotationState:
        if seen.unreadable:
            raise seen.unreadable[0]
        steps = self.steps
        old, *between, new = chosen
        entries = list(holders_of(chosen, steps.registry, seen, adopt=steps.adopt))
        local = [one for one in steps.local_logins() if one.credential.username in chosen[:-1]]
        logins = {one.credential.login for one in entries} | {one.credential.login for one in local}
        proofs = steps.proofs.of(logins, users)
        # In place, only a rotation that has begun has a new password.
        begun = old != new or bool(users.previous(old))
        accepted = sorted(login for login, proof in proofs.items() if proof == "current")
        known = next((password for user, password in accepted if user == new and begun), None)
        outdated = proofs.keys() - {(new, known)}
        return RotationState(
            old,
            new,
            users,
            tuple(one for one in entries if one.credential.login in outdated),
            tuple(one for one in entries if one.credential.login == (new, known)),
            tuple(one for one in entries if one.credential.login not in proofs),
            known,
            steps.store.in_sync(),
            tuple(one for one in local if one.credential.login in outdated),
            seen.unseen,
            tuple(between),
        )

    def run(self, password: str | None = None) -> Iterator[StepResult]:
        """
        Carry out the steps that are left, and yield each result when it is done.

        *password* is the new user's; without one it is generated. Raises NotRotatedError if no
        user gets a new password, and PartlyDoneError if the old one must stay, or if a step fails
        after others have changed something; another run continues there.
        """
        state = self.observe()
        yield from self.steps.ignore(state.ignored)
        if (done := self.nothing_left(state)) is not None:
            yield done
            return
        chosen = state.password or password or hashes.generate_password()
        if password is not None and password != chosen:
            raise InvalidInputError(
                f"{state.new} already has another password, which pull secrets contain",
                hint="run the same command without a password to continue with that one",
            )
        changed = given = False
        try:
            for result in self.carry_out(state, Credential(state.new, chosen)):
                changed = changed or result.changes
                given = given or result.step == "update"
                yield result
        except (NotRotatedError, PartlyDoneError):
            raise
        except RegctlError as error:
            if not changed:
                raise
            again = "run the same command again to continue"
            hint = f"{error.hint}; then {again}" if error.hint else again
            raise PartlyDoneError(error.message, hint=hint) from error
        if not given:
            self.check_password_given(state)

    @abstractmethod
    def nothing_left(self, state: RotationState) -> StepResult | None:
        """
        Return the result of a rotation that is finished already, or None.

        Raises NotRotatedError, before anything changes, for one that must not be carried out.
        """

    @abstractmethod
    def carry_out(self, state: RotationState, credential: Credential) -> Iterator[StepResult]:
        """Carry out what *state* leaves to do; *credential* is the new user's."""

    def check_password_given(self, state: RotationState) -> None:
        """Raise NotRotatedError: the run has changed no pull secret."""
        raise NotRotatedError(
            f"no new password: this run finished the rotation to {state.new}, which an earlier "
            "run began",
            hint="run the same command again for a new password",
        )

    def _check_holders(self, state: RotationState) -> None:
        """Raise NotRotatedError if nobody would get the new password."""
        if not state.old_holders and not state.new_holders:
            where = " that can be read" if state.unseen else ""
            raise NotRotatedError(
                f"cannot rotate {state.old}: no pull secret{where} has this user with a password "
                f"that works for {self.steps.registry}",
                hint=f"`regctl adduser {state.old}` changes a password",
            )
        if not state.new_holders and len(state.blocked) == len(state.old_holders):
            error = min(state.blocked, key=lambda failure: not failure[0].selected)[1]
            raise NotRotatedError(
                f"cannot rotate {state.old}: no pull secret can be updated: {error.message}",
                hint=error.hint,
            )

    def _update_and_verify(
        self, state: RotationState, credential: Credential, *, wait: bool
    ) -> Generator[StepResult, None, list[Failure]]:
        """Update and verify what may be updated; return what still has the old credential."""
        todo = [one for one in state.old_holders if one.obstacle is None]
        failed = yield from self.steps.update_pull_secrets(todo, credential)
        if failed and len(failed) == len(todo) and state.must_add and not state.new_holders:
            yield from self._undo(state, failed)
        if wait:
            yield from self.steps.wait_for_registry(credential)
        without = {holder.subject for holder, _ in failed}
        done = [one for one in (*todo, *state.new_holders) if one.selected]
        done = [one for one in done if one.subject not in without]
        yield from self.steps.verify_pull_secrets(done, state.new)
        for login in state.local:
            yield from self.steps.update_login(login, credential)
        kept = [*failed, *state.blocked]
        yield from self.steps.keep(kept)
        return kept

    def _undo(self, state: RotationState, failed: Sequence[Failure]) -> Iterator[StepResult]:
        """Restore the users and raise NotRotatedError, if surely no pull secret was changed."""
        if all(isinstance(error, _REFUSALS) for _, error in failed):
            why = "no pull secret could be updated"
            yield from self.steps.restore_user(state.new, state.users, state.replaced, why)
            error = failed[0][1]
            raise NotRotatedError(
                f"cannot rotate {state.old}: {why}: {error.message}", hint=error.hint
            )


def _check_kept(stays: str, kept: Sequence[Failure], unseen: RegctlError | None) -> None:
    """
    Raise PartlyDoneError that says what *stays*, if some pull secret has it, or may.

    The reason for each pull secret is a result of `RotationSteps.keep`.
    """
    if kept:
        subjects = list(dict.fromkeys(holder.subject for holder, _ in kept))
        error = kept[0][1]
        have = "has" if len(subjects) == 1 else "have"
        raise PartlyDoneError(
            f"{stays}: {count(len(subjects), 'pull secret')} still {have} it: {some_of(subjects)}",
            hint=error.hint,
        )
    if unseen is not None:
        raise PartlyDoneError(
            f"{stays}: other namespaces may have pull secrets with it: {unseen.message}",
            hint="`--finish` by a user who may list secrets in all namespaces removes it, and "
            "`--finish --unseen` removes it without looking there",
        )


@dataclass(frozen=True)
class UserRotation(Rotation):
    """
    Replaces the user in force by user *to*, by default by the next one.

    *keep_old* leaves the old user, *finish* only removes it, and with *unseen* even if some
    namespaces cannot be read. Raises InvalidInputError if both users are the same.
    """

    to: str | None = None
    keep_old: bool = False
    finish: bool = False
    unseen: bool = False

    def __post_init__(self) -> None:
        if self.to == self.name:
            raise InvalidInputError(
                f"cannot rotate {self.name} to itself",
                hint=f"`regctl rotate {self.name} --same-name` changes its password in place",
            )

    def choose(self, users: HtpasswdFile) -> tuple[str, ...]:
        """
        Return the users: of several in force the first and the last, else the next one.

        Those between are replaced too, if they have a trace of a rotation. Raises NotRotatedError
        for two numbered users without one: they may belong to two people.
        """
        if self.to is not None:
            if not users.hashes(self.name) and users.hashes(self.to):
                return self.name, self.to
            found = [name for name in users_in_force(users, self.name) if name != self.to]
            return (self.name if self.name in found else found[-1]), self.to
        first, *others = users_in_force(users, self.name)
        if not others:
            finished = self.finish and first != self.name
            return (self.name, first) if finished else (first, next_username(first))
        if is_numbered(first) and not users.previous(first):
            raise NotRotatedError(
                f"cannot rotate {first}: {others[-1]} exists, and no rotation to it has begun",
                hint=f"`--to {others[-1]}` if it replaces {first}; else name another user",
            )
        return first, *(name for name in others[:-1] if users.previous(name)), others[-1]

    def observe(self) -> RotationState:
        """
        Read users and pull secrets, and choose another new user if the password of one is lost.

        It may only seem to be lost: another run may be about to write it to pull secrets, where it
        would not work if it were replaced now. Pull secrets that cannot be read may have it.
        """
        seen, users = self.steps.find(), self.steps.store.read()
        chosen = self.choose(users)
        state = self._state(seen, users, chosen)
        while state.lost and not self.finish and state.unseen is None:
            *replaced, lost = chosen
            begun = bool(users.previous(state.old))
            if self.to is not None and not begun:
                break
            chosen = (*replaced, *([lost] if begun else []), next_username(lost))
            state = self._state(seen, users, chosen)
        return state

    def nothing_left(self, state: RotationState) -> StepResult | None:
        """Return a result if the old user is gone; refuse what would help nobody."""
        if not state.old_exists and state.in_sync:
            if not self.finish:
                raise NotRotatedError(
                    f"no new password: {state.new} has replaced {state.old} already",
                    hint=f"`regctl rotate {state.new}` replaces {state.new}",
                )
            return StepResult(
                "remove", f"user/{state.old}", "unchanged", f"replaced by {state.new}"
            )
        if self.finish and not state.new_exists:
            raise NotRotatedError(
                f"cannot finish: no user has replaced {state.old}",
                hint="run the same command without --finish to rotate it",
            )
        if not self.finish:
            self._check_holders(state)
            if state.lost and state.unseen is not None:
                raise PartlyDoneError(
                    f"cannot continue: other namespaces may have pull secrets with {state.new}: "
                    f"{state.unseen.message}",
                    hint="a user who may list secrets in all namespaces can continue",
                )
            if state.lost:
                raise NotRotatedError(
                    f"cannot rotate {state.old} to {state.new}: this user exists, and no rotation "
                    "to it has begun",
                    hint="`--to` another name",
                )
        return None

    def check_password_given(self, state: RotationState) -> None:
        """Raise NotRotatedError, unless the run was only to finish."""
        if self.keep_old:
            raise NotRotatedError(
                f"no new password: {state.new} replaces {state.old} already, which is still there",
                hint="run the same command with --finish in place of --keep-old to remove it",
            )
        if not self.finish:
            super().check_password_given(state)

    def carry_out(self, state: RotationState, credential: Credential) -> Iterator[StepResult]:
        """Add the new user, update and verify the pull secrets, then remove the old user."""
        if self.finish:
            yield from self._keep(state, self._unseen(state))
        else:
            yield from self._add(state, credential)
            kept = yield from self._update_and_verify(state, credential, wait=False)
            if self.keep_old:
                _check_kept(_stay(state), [one for one in kept if one[0].selected], None)
                return
            _check_kept(_stay(state), kept, state.unseen)
            yield from self.steps.wait_for_kubelets()
            yield from self._look_again(state)
        known = {one.user: one.credential.password for one in state.old_holders}
        for name in state.replaced:
            yield from self.steps.remove_user(name, known.get(name))

    def _unseen(self, state: RotationState) -> RegctlError | None:
        """Return what prevents the end for want of sight; with *unseen* it is only a warning."""
        if self.unseen and state.unseen is not None:
            self.steps.warn(f"removing {state.old} without looking: {state.unseen.message}")
            return None
        return state.unseen

    def _add(self, state: RotationState, credential: Credential) -> Iterator[StepResult]:
        """
        Add the new user, if it must be, and wait until the registry accepts it.

        If it does not, the users are restored, unless a pull secret has the new one already.
        """
        steps = self.steps
        if state.must_add:
            yield from steps.add_user(credential, state.replaced, state.users)
        try:
            yield from steps.wait_for_registry(credential)
        except RegistryUnreachableError as error:
            if state.password is not None:
                raise PartlyDoneError(error.message, hint=error.hint) from error
            why = "the registry did not accept it"
            yield from steps.restore_user(state.new, state.users, state.replaced, why)
            raise NotRotatedError(error.message, hint=error.hint) from error

    def _look_again(self, state: RotationState) -> Iterator[StepResult]:
        """Keep the old user if a pull secret got it since *state* was read."""
        if self.steps.dry_run:
            return
        seen, users = self.steps.find(), self.steps.store.read()
        again = self._state(seen, users, (*state.replaced, state.new))
        yield from self._keep(again, again.unseen)

    def _keep(self, state: RotationState, unseen: RegctlError | None) -> Iterator[StepResult]:
        """Keep the old user if a pull secret needs it, or may; say what updates that one."""
        kept: list[Failure] = []
        for holder in state.needing_old:
            error, hint = holder.obstacle or RegctlError("not updated"), "run the same command"
            hint = f"{hint} without --finish" if self.finish else f"{hint} again"
            hint = f"{error.hint}; {hint}" if error.hint else hint
            kept.append((holder, RegctlError(error.message, hint=hint)))
        yield from self.steps.keep(kept)
        _check_kept(_stay(state), kept, unseen)


def _stay(state: RotationState) -> str:
    return f"{' and '.join(state.replaced)} {'stay' if state.between else 'stays'}"


@dataclass(frozen=True)
class InPlaceRotation(Rotation):
    """
    Changes the password of one user, the one in force.

    Pulls fail until each pull secret has the new password. The hash of the old one is kept until
    then.
    """

    def choose(self, users: HtpasswdFile) -> tuple[str, str]:
        """Return the user twice. Raises NotRotatedError if another rotation is not finished."""
        found = users_in_force(users, self.name)
        chosen = self.name if self.name in found else found[-1]
        if len(found) > 1 and users.previous(chosen):
            raise NotRotatedError(
                f"cannot change the password of {chosen}: its rotation to {found[-1]} is not "
                "finished",
                hint="run the same command without --same-name to finish it",
            )
        return chosen, chosen

    def nothing_left(self, state: RotationState) -> StepResult | None:
        """Refuse a change that would leave a pull secret with a password that fails."""
        self._check_holders(state)
        if not state.users.previous(state.old):
            _check_kept(self._what(state), state.blocked, state.unseen)
        return None

    def carry_out(self, state: RotationState, credential: Credential) -> Iterator[StepResult]:
        """Set the password, update the pull secrets at once, then verify them."""
        if state.must_add:
            note = "pulls fail until each pull secret has the new password"
            yield from self.steps.add_user(credential, (state.old,), state.users, note=note)
        kept = yield from self._update_and_verify(state, credential, wait=True)
        _check_kept(self._what(state), kept, state.unseen)
        if not self.steps.dry_run:
            self.steps.store.change(lambda users: users.forget_previous(state.old))

    def _what(self, state: RotationState) -> str:
        return f"the old password of {state.old} stays"

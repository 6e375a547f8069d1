"""What is left to do in a rotation, whatever state it finds."""

from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.authfile import hashes
from regctl.authsecret.store import FileStore
from regctl.cluster.secret import Secret
from regctl.credentials.credential import Credential
from regctl.errors import InvalidInputError, NotPermittedError, PartlyDoneError, UnknownUserError
from regctl.pullsecrets.inventory import Inventory
from regctl.reference import Registry
from regctl.workflows.rotation import (
    InPlaceRotation,
    Rotation,
    RotationState,
    UserRotation,
    next_username,
)
from regctl.workflows.rotation_steps import Holder, RotationSteps, StepResult

NOWHERE = cast("Any", None)


def holder(user: str) -> Holder:
    secret = Secret("team-a", "r.io", "1", "1", "kubernetes.io/dockerconfigjson", {})
    return Holder(secret, "r.io", Credential(user, "secret"))


def steps(auth: Path = Path("auth"), **changes: Any) -> RotationSteps:
    values = {"find": Inventory, "connect": NOWHERE, "sleep": lambda _: None, "timeout": 0.0}
    return RotationSteps(FileStore(auth), NOWHERE, Registry("r.io"), **values | changes)


OLD, NEW = (holder("ci"),), (holder("ci-2"),)


def left_in(rotation: Rotation, state: RotationState) -> list[str]:
    """The names of the steps that a dry run takes from *state* on, each once."""
    results = rotation.carry_out(state, Credential(rotation.new, "secret"))
    return list(dict.fromkeys(result.step for result in results))


def planned(state: RotationState, *, keep_old: bool = False, finish: bool = False) -> list[str]:
    dry = steps(dry_run=True)
    return left_in(UserRotation(dry, "ci", "ci-2", keep_old=keep_old, finish=finish), state)


@pytest.mark.parametrize(
    ("state", "left"),
    [
        # A first run, and then what is left after each of its steps.
        (RotationState(True, False, OLD), ["add", "wait", "update", "check", "grace", "remove"]),
        # Added, and no pull secret has the password: it is lost, and replaced.
        (RotationState(True, True, OLD), ["add", "wait", "update", "check", "grace", "remove"]),
        # Some Secrets are updated: the others get their password.
        (
            RotationState(True, True, OLD, NEW, "known"),
            ["wait", "update", "check", "grace", "remove"],
        ),
        (RotationState(True, True, (), NEW, "known"), ["wait", "check", "grace", "remove"]),
        # The file is done, and the Secret made of it is not.
        (RotationState(False, True, (), NEW, "known", in_sync=False), ["add", "wait", "check"]),
        # The old user is removed, and a pull secret still has it.
        (RotationState(False, True, OLD, NEW, "known"), ["wait", "update", "check"]),
        # No pull secret has either user.
        (RotationState(True, False), ["add", "wait", "remove"]),
    ],
)
def test_each_state_has_its_steps(state: RotationState, left: list[str]) -> None:
    assert planned(state) == left


@pytest.mark.parametrize(
    ("state", "left"),
    [
        (RotationState(True, True, OLD), ["add", "update", "wait", "check"]),
        # Interrupted: some Secrets have the password that the auth file accepts.
        (RotationState(True, True, OLD, OLD, "known"), ["update", "wait", "check"]),
        (
            RotationState(True, True, OLD, OLD, "known", in_sync=False),
            ["add", "update", "wait", "check"],
        ),
    ],
)
def test_a_rotation_in_place_updates_pull_secrets_before_it_waits(
    state: RotationState, left: list[str]
) -> None:
    assert left_in(InPlaceRotation(steps(dry_run=True), "ci", "ci"), state) == left
    assert not {"grace", "remove"} & set(left)


def test_the_old_user_may_stay_and_be_removed_later() -> None:
    first = planned(RotationState(True, False, OLD), keep_old=True)
    assert first == ["add", "wait", "update", "check"]
    assert planned(RotationState(True, True, (), NEW, "known"), finish=True) == ["remove"]
    with pytest.raises(InvalidInputError, match="still has ci"):
        planned(RotationState(True, True, OLD, NEW, "known"), finish=True)


@pytest.mark.parametrize("kind", [UserRotation, InPlaceRotation])
def test_an_unknown_user_is_refused(kind: type[Rotation], auth: Path) -> None:
    new = "nobody" if kind is InPlaceRotation else "nobody-2"
    with pytest.raises(UnknownUserError, match="cannot rotate nobody"):
        list(kind(steps(auth), "nobody", new).run())


states = st.builds(
    RotationState,
    st.booleans(),
    st.booleans(),
    st.sampled_from([(), OLD]),
    st.sampled_from([(), NEW]),
    st.sampled_from([None, "known"]),
    st.booleans(),
)


@given(states, st.booleans())
def test_the_old_user_is_removed_last_and_never_while_a_pull_secret_has_it(
    state: RotationState, keep_old: bool
) -> None:
    if not state.old_exists and not state.new_exists:
        return
    left = planned(state, keep_old=keep_old)
    if "remove" in left:
        assert left[-1] == "remove"
        assert not keep_old
        if state.old_holders:
            assert left.index("wait") < left.index("update") < left.index("check")
            assert left[-2] == "grace"
    if state.old_holders:
        assert {"update", "check"} <= set(left), "no pull secret keeps a password that is removed"


@pytest.mark.parametrize(
    ("name", "next_name"),
    [("ci", "ci-2"), ("ci-2", "ci-3"), ("team-9", "team-10"), ("a-b", "a-b-2")],
)
def test_the_next_user_has_the_next_number(name: str, next_name: str) -> None:
    assert next_username(name) == next_name


# Running


class Client:
    """A registry that accepts every credential but those of *rejected* users."""

    def __init__(self, user: str, rejected: str | None) -> None:
        self.rejects = user == rejected

    def ping(self) -> None:
        if self.rejects:
            raise NotPermittedError("rejected")


def rotation_of(
    auth: Path, *, rejected: str | None = None, finish: bool = False, dry_run: bool = False
) -> UserRotation:
    made = steps(
        auth, connect=lambda credential: Client(credential.username, rejected), dry_run=dry_run
    )
    return UserRotation(made, "ci", "ci-2", finish=finish)


@pytest.fixture
def auth(tmp_path: Path) -> Path:
    path = tmp_path / "auth"
    path.write_text(f"ci:{hashes.make('old', cost=4)}\n")
    return path


def users(auth: Path) -> list[str]:
    return [user.name for user in FileStore(auth).read().users()]


def test_a_dry_run_yields_what_a_run_yields_and_changes_nothing(auth: Path) -> None:
    before = auth.read_bytes()
    dry = list(rotation_of(auth, dry_run=True).run())
    assert auth.read_bytes() == before
    assert list(rotation_of(auth).run()) == dry
    assert users(auth) == ["ci-2"]


def test_a_finished_rotation_is_unchanged_dry_or_not(auth: Path) -> None:
    list(rotation_of(auth).run())
    done = StepResult("remove", "user/ci", "unchanged", "replaced by ci-2")
    for rotation in (rotation_of(auth), rotation_of(auth, finish=True)):
        assert list(rotation.run("new")) == [done]
    assert list(rotation_of(auth, dry_run=True).run()) == [done]


def test_a_failure_after_a_change_is_partly_done_and_the_hint_says_how_to_continue(
    auth: Path,
) -> None:
    results = rotation_of(auth, rejected="ci-2").run()
    assert next(results) == StepResult("add", "user/ci-2", "created")
    with pytest.raises(PartlyDoneError, match="did not accept ci-2 within 0 s") as caught:
        next(results)
    assert (caught.value.hint or "").endswith("; then run the same command again to continue")
    assert users(auth) == ["ci", "ci-2"]


def test_nothing_changes_if_a_namespace_could_not_be_read(auth: Path) -> None:
    """A pull secret in it may have the old user."""
    denied = NotPermittedError("cannot list secrets in namespace team-b")
    made = steps(auth, find=lambda: Inventory(errors={"team-b": denied}))
    before = auth.read_bytes()
    with pytest.raises(NotPermittedError, match="team-b"):
        list(UserRotation(made, "ci", "ci-2").run())
    assert auth.read_bytes() == before

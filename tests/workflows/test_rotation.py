"""What is left to do in a rotation, whatever state the world is in."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.cluster.secret import Secret
from regctl.credentials.credential import Credential
from regctl.errors import InvalidInputError, UnknownUserError
from regctl.workflows.rotation import Holder, World, plan, successor


def holder(user: str) -> Holder:
    secret = Secret("team-a", "r.io", "1", "1", "kubernetes.io/dockerconfigjson", {})
    return Holder(secret, "r.io", Credential(user, "secret"))


OLD, NEW = (holder("ci"),), (holder("ci-2"),)


def steps(world: World, *, keep_old: bool = False, finish: bool = False) -> list[str]:
    return list(plan(world, "ci", "ci-2", keep_old=keep_old, finish=finish))


@pytest.mark.parametrize(
    ("world", "left"),
    [
        # A first run, and then what is left after each of its steps.
        (World(True, False, OLD), ["add", "wait", "update", "check", "grace", "remove"]),
        # Added, and no pull secret knows the password: it is lost, and another is set.
        (World(True, True, OLD), ["add", "wait", "update", "check", "grace", "remove"]),
        # Some Secrets are changed: their password is the one to go on with.
        (
            World(True, True, OLD, NEW, "known"),
            ["wait", "update", "check", "grace", "remove"],
        ),
        (World(True, True, (), NEW, "known"), ["wait", "check", "grace", "remove"]),
        (World(False, True, (), NEW, "known"), []),
        # The file is done, and the Secret that is read in its place is not.
        (World(False, True, (), NEW, "known", whole=False), ["add", "wait", "check"]),
        # The old user is gone, and something still holds it.
        (World(False, True, OLD, NEW, "known"), ["wait", "update", "check"]),
        # Nobody pulls with it.
        (World(True, False), ["add", "wait", "remove"]),
    ],
)
def test_each_state_has_its_steps(world: World, left: list[str]) -> None:
    assert steps(world) == left


def test_the_old_user_may_stay_and_be_removed_later() -> None:
    assert steps(World(True, False, OLD), keep_old=True) == ["add", "wait", "update", "check"]
    assert steps(World(True, True, (), NEW, "known"), finish=True) == ["remove"]
    assert steps(World(False, True, (), NEW, "known"), finish=True) == []
    with pytest.raises(InvalidInputError, match="still holds ci"):
        steps(World(True, True, OLD, NEW, "known"), finish=True)


def test_a_user_that_nobody_knows_is_refused() -> None:
    with pytest.raises(UnknownUserError):
        steps(World(False, False, OLD))


worlds = st.builds(
    World,
    st.booleans(),
    st.booleans(),
    st.sampled_from([(), OLD]),
    st.sampled_from([(), NEW]),
    st.sampled_from([None, "known"]),
    st.booleans(),
)


@given(worlds, st.booleans())
def test_the_old_user_goes_last_and_never_while_something_holds_it(
    world: World, keep_old: bool
) -> None:
    if not world.old_there and not world.new_there:
        return
    left = steps(world, keep_old=keep_old)
    if "remove" in left:
        assert left[-1] == "remove"
        assert not keep_old
        if world.old_holders:
            assert left.index("wait") < left.index("update") < left.index("check")
            assert left[-2] == "grace"
    if world.old_holders:
        assert {"update", "check"} <= set(left), "nothing is left with a password that goes"


@pytest.mark.parametrize(
    ("name", "next_name"),
    [("ci", "ci-2"), ("ci-2", "ci-3"), ("team-9", "team-10"), ("a-b", "a-b-2")],
)
def test_the_next_name(name: str, next_name: str) -> None:
    assert successor(name) == next_name

"""Each step of a rotation alone."""

from pathlib import Path
from typing import Any, cast

import pytest

from regctl.authfile import hashes
from regctl.authsecret.store import FileStore
from regctl.credentials.credential import Credential
from regctl.errors import NotAuthenticatedError, RegistryUnreachableError
from regctl.pullsecrets.inventory import Inventory
from regctl.reference import Registry
from regctl.workflows.rotation_steps import (
    AddUser,
    RemoveUser,
    RotationContext,
    StepResult,
    WaitForKubelets,
    WaitForRegistry,
)

CI = Credential("ci", "secret")


class Clock:
    """A clock that only a sleep moves."""

    def __init__(self) -> None:
        self.now = 0.0

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def __call__(self) -> float:
        return self.now


class Registries:
    """Hands out clients that are rejected until *accepts_at* of the clock."""

    def __init__(self, clock: Clock, accepts_at: float) -> None:
        self.clock, self.accepts_at, self.pings = clock, accepts_at, 0

    def __call__(self, credential: Credential) -> Any:
        assert credential == CI
        return self

    def ping(self) -> None:
        self.pings += 1
        if self.clock() < self.accepts_at:
            raise NotAuthenticatedError("the registry rejects the password")


def context(clock: Clock, accepts_at: float = 0.0, **changes: Any) -> RotationContext:
    store, cluster = FileStore(Path("auth")), cast("Any", None)
    return RotationContext(
        store,
        cluster,
        Registry("r.io"),
        Inventory,
        Registries(clock, accepts_at),
        sleep=clock.sleep,
        clock=clock,
        **changes,
    )


def test_waiting_ends_when_the_registry_accepts_the_credential() -> None:
    clock = Clock()
    step = WaitForRegistry(context(clock, accepts_at=20), CI)
    assert list(step.run()) == list(step.describe())
    assert 20 <= clock() <= 22, "the pauses are at most 2 s"


def test_waiting_fails_after_the_timeout_with_the_last_answer() -> None:
    clock = Clock()
    step = WaitForRegistry(context(clock, accepts_at=1e9, timeout=60.0), CI)
    with pytest.raises(RegistryUnreachableError, match="within 60 s: the registry rejects"):
        list(step.run())
    assert 58 <= clock() <= 60


def test_one_attempt_is_made_even_without_time() -> None:
    made = context(Clock(), timeout=0.0)
    assert list(WaitForRegistry(made, CI).run()) == [
        StepResult("wait", "registry/r.io", "works", "accepts ci")
    ]


def test_the_grace_is_slept() -> None:
    clock = Clock()
    [result] = WaitForKubelets(context(clock, grace=12.0)).run()
    assert clock() == 12.0
    assert result.note == "12 s with the old password"


def test_users_are_added_and_removed_in_the_store(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "auth")
    store.path.write_text(f"old:{hashes.make('x', cost=4)}\n")
    add = AddUser(store, CI, exists=False)
    assert list(add.describe()) == [StepResult("add", "user/ci", "created")]
    assert [user.name for user in store.read().users()] == ["old"], "describing changes nothing"
    list(add.run())
    store.read().verify("ci", "secret")
    assert list(RemoveUser(store, "old").run()) == [StepResult("remove", "user/old", "deleted")]
    assert [user.name for user in store.read().users()] == ["ci"]

"""Each step of a rotation alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from regctl.authfile import hashes
from regctl.authsecret.store import FileStore
from regctl.cluster.secret import Secret
from regctl.credentials.credential import Credential
from regctl.errors import NotAuthenticatedError, PartlyDoneError, RegistryUnreachableError
from regctl.reference import Registry
from regctl.workflows.holders import Holder, Survey
from regctl.workflows.rotation_steps import RotationSteps, StepResult

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


def steps(clock: Clock, accepts_at: float = 0.0, **changes: Any) -> RotationSteps:
    store = changes.pop("store", FileStore(Path("auth")))
    return RotationSteps(
        store,
        cast("Any", None),
        Registry("r.io"),
        Survey,
        Registries(clock, accepts_at),
        sleep=clock.sleep,
        clock=clock,
        **changes,
    )


def test_waiting_ends_when_the_registry_accepts_the_credential() -> None:
    clock = Clock()
    dry = list(steps(clock, accepts_at=20, dry_run=True).wait_for_registry(CI))
    assert clock() == 0
    assert list(steps(clock, accepts_at=20).wait_for_registry(CI)) == dry
    assert 20 <= clock() <= 22, "the pauses are at most 2 s"


def test_waiting_fails_after_the_timeout_with_the_last_answer() -> None:
    clock = Clock()
    never = steps(clock, accepts_at=1e9, timeout=60.0)
    with pytest.raises(RegistryUnreachableError, match="within 60 s: the registry rejects"):
        list(never.wait_for_registry(CI))
    assert 58 <= clock() <= 60


def test_one_attempt_is_made_even_without_time() -> None:
    assert list(steps(Clock(), timeout=0.0).wait_for_registry(CI)) == [
        StepResult("wait", "registry/r.io", "works", "accepts ci")
    ]


def test_the_old_user_stays_for_the_grace_period() -> None:
    clock = Clock()
    [result] = steps(clock, grace=12.0).wait_for_kubelets()
    assert clock() == 12.0
    assert result.note == "12 s, so that kubelets stop using the old password"


def test_users_are_added_and_removed_in_the_store(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "auth")
    store.path.write_text(f"old:{hashes.make('x', cost=4)}\n")
    added = [StepResult("add", "user/ci", "created")]
    dry = steps(Clock(), store=store, dry_run=True)
    assert list(dry.add_user(CI, ["old"], store.read())) == added
    assert [user.name for user in store.read().users()] == ["old"], "a dry run changes nothing"
    real = steps(Clock(), store=store)
    before = store.read()
    assert list(real.add_user(CI, ["old"], before)) == added
    store.read().verify("ci", "secret")
    assert store.read().previous("old") == before.hashes("old")
    [restored] = real.restore_user("ci", before, ["old"], "rejected")
    assert (restored.result, store.read().content) == ("deleted", before.content)
    list(real.add_user(CI, ["old"], before))
    [removed] = real.remove_user("old", None)
    assert (removed.subject, removed.result) == ("user/old", "deleted")
    assert [line.name for line in store.read().lines()] == ["ci"]


def test_a_removal_waits_until_the_registry_rejects_the_old_password(tmp_path: Path) -> None:
    auth = tmp_path / "auth"

    class Rejecting(Registries):
        """A registry that reads a change with a delay."""

        def ping(self) -> None:
            if self.clock() >= self.accepts_at:
                raise NotAuthenticatedError("the registry rejects the password")

    def remove(rejects_at: float) -> list[StepResult]:
        auth.write_text("ci:x\n")
        clock = Clock()
        made = steps(clock, store=FileStore(auth), timeout=60.0)
        made = replace(made, connect=Rejecting(clock, rejects_at))
        return list(made.remove_user("ci", "secret"))

    assert [result.note for result in remove(20)] == [None, "rejects ci"]
    with pytest.raises(PartlyDoneError, match=r"within 60 s: r\.io still accepts its password"):
        remove(1e9)


@pytest.mark.parametrize(
    ("old", "note"), [("bob", "bob replaced by ci"), ("ci", "new password for ci")]
)
def test_an_update_is_about_the_user_that_the_secret_has(old: str, note: str) -> None:
    """After an interruption a pull secret may have the new user with a password that is lost."""
    secret = Secret("team-a", "regcred", "1", "1", "kubernetes.io/dockerconfigjson", {})
    holder = Holder(secret, "r.io", Credential(old, "lost"))
    [result] = steps(Clock(), dry_run=True).update_pull_secrets([holder], CI)
    assert result == StepResult("update", "team-a/secret/regcred", "configured", note)

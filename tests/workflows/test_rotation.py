"""What is left to do in a rotation, whatever state it finds."""

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.authfile import hashes
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authsecret.store import FileStore
from regctl.cluster.ownership import Ownership
from regctl.cluster.secret import Secret
from regctl.credentials.credential import Credential
from regctl.credentials.dockerconfigjson import encode_dockerconfigjson
from regctl.errors import (
    ClusterUnreachableError,
    ForeignObjectError,
    NotPermittedError,
    NotRotatedError,
    PartlyDoneError,
    RegctlError,
    UnknownUserError,
)
from regctl.reference import Registry
from regctl.workflows.holders import Holder, Survey
from regctl.workflows.rotation import (
    InPlaceRotation,
    Rotation,
    UserRotation,
)
from regctl.workflows.rotation_state import RotationState
from regctl.workflows.rotation_steps import Failure, LocalLogin, RotationSteps, StepResult

NOWHERE = cast("Any", None)
HASH = hashes.make("old", cost=4)
DENIED = NotPermittedError("cannot list secrets in all namespaces")
FOREIGN = ForeignObjectError("cannot change it: it is managed by somebody else")


def users_of(*names: str, previous: str = "") -> HtpasswdFile:
    lines = [f"{name}:{HASH}\n" for name in names]
    lines += [f"#regctl:previous {previous}:{HASH}\n"] if previous else []
    return HtpasswdFile("".join(lines).encode())


def holder(user: str, namespace: str = "team-a", obstacle: RegctlError | None = None) -> Holder:
    secret = Secret(namespace, "r.io", "1", "1", "kubernetes.io/dockerconfigjson", {})
    return Holder(secret, "r.io", Credential(user, "secret"), obstacle, selected=obstacle is None)


def steps(auth: Path = Path("auth"), **changes: Any) -> RotationSteps:
    values: dict[str, Any] = {"find": Survey, "connect": NOWHERE, "sleep": lambda _: None}
    values["timeout"] = 0.0
    return RotationSteps(FileStore(auth), NOWHERE, Registry("r.io"), **values | changes)


OLD, NEW, THEIRS = (holder("ci"),), (holder("ci-2"),), (holder("ci", "team-b", FOREIGN),)


def state(*names: str, **changes: Any) -> RotationState:
    return RotationState("ci", "ci-2", **{"users": users_of(*names), **changes})


def left_in(rotation: Rotation, found: RotationState) -> list[str]:
    """The names of the steps that a dry run takes from *found* on, each once."""
    left: list[str] = []
    try:
        if rotation.nothing_left(found) is None:
            results = rotation.carry_out(found, Credential(found.new, "secret"))
            left.extend(result.step for result in results)
    except (PartlyDoneError, NotRotatedError) as error:
        left.append(type(error).__name__)
    return list(dict.fromkeys(left))


def planned(found: RotationState, **options: Any) -> list[str]:
    return left_in(UserRotation(steps(dry_run=True), "ci", **options), found)


KEPT = "PartlyDoneError"
REFUSED = "NotRotatedError"
WHOLE = ["add", "wait", "update", "check", "grace", "remove", "wait"]
LAST = ["wait", "check", "grace", "remove"]


@pytest.mark.parametrize(
    ("found", "left"),
    [
        # A first run, and then what is left after each of its steps.
        (state("ci", old_holders=OLD), WHOLE),
        # Some Secrets are updated: the others get their password.
        (state("ci", "ci-2", old_holders=OLD, new_holders=NEW, password="known"), WHOLE[1:]),
        (state("ci", "ci-2", new_holders=NEW, password="known"), LAST),
        # The file is done, and the Secret made of it is not.
        (
            state("ci-2", new_holders=NEW, password="known", in_sync=False),
            ["add", "wait", "check", "grace", "remove"],
        ),
        (state("ci-2", new_holders=NEW, password="known"), [REFUSED]),
        # The local login has the old password.
        (
            state(
                "ci", old_holders=OLD, local=(LocalLogin("config.json", Credential("ci", "old")),)
            ),
            ["add", "wait", "update", "check", "login", "grace", "remove"],
        ),
        # The lost password may be in a pull secret that cannot be seen.
        (state("ci", "ci-2", old_holders=OLD, unseen=DENIED), [KEPT]),
        # Users between the two, whose passwords are lost, are removed with the old one.
        (state("ci", "ci-2", between=("ci-1",), new_holders=NEW, password="known"), LAST),
        # No pull secret has either user, or none that can be updated.
        (state("ci"), [REFUSED]),
        (state("ci", old_holders=THEIRS), [REFUSED]),
        # One that cannot be updated, or cannot be seen, keeps the old user.
        (
            state("ci", old_holders=(*OLD, *THEIRS)),
            ["add", "wait", "update", "check", "keep", KEPT],
        ),
        (state("ci", old_holders=OLD, unseen=DENIED), ["add", "wait", "update", "check", KEPT]),
    ],
)
def test_each_state_has_its_steps(found: RotationState, left: list[str]) -> None:
    assert planned(found) == list(dict.fromkeys(left))


@pytest.mark.parametrize(
    ("found", "left"),
    [
        (state("ci", old_holders=OLD), ["add", "update", "wait", "check"]),
        # Interrupted: some Secrets have the password that the auth file accepts.
        (
            state("ci", old_holders=OLD, new_holders=OLD, password="known"),
            ["update", "wait", "check"],
        ),
        (
            state("ci", old_holders=OLD, new_holders=OLD, password="known", in_sync=False),
            ["add", "update", "wait", "check"],
        ),
        (state("ci"), [REFUSED]),
        # Pulls with the old password would fail at once.
        (state("ci", old_holders=(*OLD, *THEIRS)), [KEPT]),
        (state("ci", old_holders=OLD, unseen=DENIED), [KEPT]),
        (
            state(
                users=users_of("ci", previous="ci"), old_holders=(*OLD, *THEIRS), password="known"
            ),
            ["update", "wait", "check", "keep", KEPT],
        ),
    ],
)
def test_a_rotation_in_place_updates_pull_secrets_before_it_waits(
    found: RotationState, left: list[str]
) -> None:
    found = RotationState(**{**vars(found), "new": "ci"})
    assert left_in(InPlaceRotation(steps(dry_run=True), "ci"), found) == left


def test_the_old_user_may_stay_and_be_removed_later() -> None:
    first = planned(state("ci", old_holders=OLD), keep_old=True)
    assert first == ["add", "wait", "update", "check"]
    both: dict[str, Any] = {"new_holders": NEW, "password": "known"}
    assert planned(state("ci", "ci-2", **both), finish=True) == ["remove"]
    assert planned(state("ci", "ci-2", old_holders=OLD, **both), finish=True) == ["keep", KEPT]
    unseen = state("ci", "ci-2", unseen=DENIED, **both)
    assert planned(unseen, finish=True) == [KEPT]
    assert planned(unseen, finish=True, unseen=True) == ["remove"]
    assert planned(state("ci", old_holders=OLD), finish=True) == [REFUSED]
    assert planned(state("ci-2", **both), finish=True) == []


def test_without_sight_the_end_is_warned_of_what_could_not_be_seen() -> None:
    warnings: list[str] = []
    rotation = UserRotation(
        steps(dry_run=True, warn=warnings.append), "ci", finish=True, unseen=True
    )
    assert left_in(rotation, state("ci", "ci-2", unseen=DENIED)) == ["remove"]
    assert warnings == [f"removing ci without looking: {DENIED.message}"]


def test_keeping_the_old_user_reports_only_what_was_selected() -> None:
    elsewhere = state("ci", old_holders=(*OLD, *THEIRS))
    assert planned(elsewhere, keep_old=True) == ["add", "wait", "update", "check", "keep"]


@pytest.mark.parametrize("rotation", [UserRotation, InPlaceRotation])
def test_an_unknown_user_is_refused(rotation: type[Rotation], auth: Path) -> None:
    with pytest.raises(UnknownUserError, match="cannot rotate nobody"):
        list(rotation(steps(auth), "nobody").run())


holders = st.sampled_from([(), OLD, THEIRS, (*OLD, *THEIRS)])
states = st.builds(
    RotationState,
    st.just("ci"),
    st.just("ci-2"),
    st.sampled_from([users_of("ci"), users_of("ci-2"), users_of("ci", "ci-2")]),
    holders,
    st.sampled_from([(), NEW]),
    password=st.sampled_from([None, "known"]),
    in_sync=st.booleans(),
    unseen=st.sampled_from([None, DENIED]),
)


@given(states, st.sampled_from(["", "keep_old", "finish"]))
def test_the_old_user_is_removed_last_and_never_while_a_pull_secret_has_it(
    found: RotationState, option: str
) -> None:
    left = planned(found, **({option: True} if option else {}))
    if "remove" in left:
        assert option != "keep_old"
        assert found.unseen is None
        assert not found.blocked
        if option == "finish":
            assert not found.old_holders
        else:
            assert left[-2:] == ["grace", "remove"]
            assert not found.old_holders or "update" in left
    elif found.old_holders:
        assert {KEPT, REFUSED} & set(left) or option == "keep_old" or not left


# Which users


@pytest.mark.parametrize(
    ("users", "pair"),
    [
        (users_of("ci"), ("ci", "ci-2")),
        (users_of("ci-2"), ("ci-2", "ci-3")),
        (users_of("ci", "ci-2"), ("ci", "ci-2")),
        (users_of("ci-2", "ci-3", previous="ci-2"), ("ci-2", "ci-3")),
        (users_of("ci", "ci-2", "ci-3"), ("ci", "ci-3")),
        (users_of("ci", "ci-2", "ci-3", previous="ci-2"), ("ci", "ci-2", "ci-3")),
    ],
)
def test_two_users_at_once_are_an_interrupted_rotation(
    users: HtpasswdFile, pair: tuple[str, str]
) -> None:
    assert UserRotation(steps(), "ci").choose(users) == pair


def test_two_numbered_users_without_a_trace_of_a_rotation_are_two_people() -> None:
    with pytest.raises(NotRotatedError, match="no rotation to it has begun"):
        UserRotation(steps(), "team-2").choose(users_of("team-2", "team-3"))
    named = UserRotation(steps(), "team-2", "team-3")
    assert named.choose(users_of("team-2", "team-3")) == ("team-2", "team-3")


def test_a_rotation_in_place_does_not_mix_with_one_that_is_not_finished() -> None:
    rotation = InPlaceRotation(steps(), "ci")
    assert rotation.choose(users_of("ci", "ci-2")) == ("ci", "ci")
    assert rotation.choose(users_of("ci-2")) == ("ci-2", "ci-2")
    with pytest.raises(NotRotatedError, match="its rotation to ci-2 is not finished"):
        rotation.choose(users_of("ci", "ci-2", previous="ci"))


# Running


@pytest.fixture
def auth(tmp_path: Path) -> Path:
    path = tmp_path / "auth"
    path.write_bytes(users_of("ci").content)
    return path


def seen(*passwords: str) -> Survey:
    """Pull secrets of team-a, one for each password of ci."""
    secrets = []
    for number, password in enumerate(passwords):
        content = encode_dockerconfigjson({"r.io": Credential("ci", password)})
        kind, data = "kubernetes.io/dockerconfigjson", {".dockerconfigjson": content}
        ours = Ownership(managed=True, controller=None)
        secrets.append(Secret("team-a", str(number), "1", "1", kind, data, ownership=ours))
    return Survey(tuple(secrets), frozenset({"team-a"}))


def test_each_distinct_password_is_verified_once(
    auth: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """bcrypt is slow on purpose, and anybody may create many Secrets."""
    verified: list[str] = []

    def verify(password: str, _hash: str) -> bool:
        verified.append(password)
        return password == "old"

    monkeypatch.setattr(hashes, "verify", verify)
    made = steps(auth, find=lambda: seen("old", "wrong", "old", "wrong"))
    found = UserRotation(made, "ci").observe()
    UserRotation(made, "ci").observe()
    assert [one.secret.name for one in found.old_holders] == ["0", "2"]
    assert [one.secret.name for one in found.ignored] == ["1", "3"]
    assert sorted(verified) == ["old", "wrong"]


@pytest.mark.parametrize("accepts", ["old", "any"])
def test_the_registry_decides_about_a_hash_that_cannot_be_verified_here(
    auth: Path, accepts: str
) -> None:
    """Unless it accepts any password, as one that everybody may read from."""
    auth.write_text("ci:$y$j9T$abc$def\n")

    class Client:
        def __init__(self, credential: Credential) -> None:
            self.accepts = accepts == "any" or credential.password == "old"

        def ping(self) -> None:
            if not self.accepts:
                raise NotPermittedError("rejected")

    made = steps(auth, find=lambda: seen("old", "wrong"), connect=Client)
    found = UserRotation(made, "ci").observe()
    assert [one.secret.name for one in found.old_holders] == (["0"] if accepts == "old" else [])


@pytest.mark.parametrize(
    ("error", "restored"),
    [(NotPermittedError("forbidden"), True), (ClusterUnreachableError("timed out"), False)],
)
def test_the_users_are_restored_only_if_surely_no_pull_secret_was_changed(
    auth: Path, monkeypatch: pytest.MonkeyPatch, error: RegctlError, restored: bool
) -> None:
    def update(
        _steps: RotationSteps, holders: Sequence[Holder], _credential: Credential
    ) -> Generator[StepResult, None, list[Failure]]:
        yield from ()
        return [(one, error) for one in holders]

    monkeypatch.setattr(RotationSteps, "update_pull_secrets", update)
    before = auth.read_bytes()
    made = steps(auth, find=lambda: seen("old", "old"), connect=lambda _: cast("Any", Accepting))
    with pytest.raises(NotRotatedError if restored else PartlyDoneError):
        list(UserRotation(made, "ci").run())
    assert (auth.read_bytes() == before) == restored


class Accepting:
    """A registry that accepts everybody."""

    @staticmethod
    def ping() -> None:
        """Accept the credential."""


def test_a_dry_run_changes_nothing(auth: Path) -> None:
    before = auth.read_bytes()
    made = steps(auth, find=lambda: seen("old", "wrong"), dry_run=True)
    results = list(UserRotation(made, "ci").run())
    assert [result.subject for result in results if result.changes] == [
        "user/ci-2",
        "team-a/secret/0",
        "user/ci",
    ]
    assert auth.read_bytes() == before


def test_a_failure_after_a_change_is_partly_done_and_the_hint_says_how_to_continue(
    auth: Path,
) -> None:
    class Failing(UserRotation):
        def carry_out(self, *_args: object) -> Iterator[StepResult]:
            yield StepResult("add", "user/ci-2", "created")
            raise NotPermittedError("cannot change it", hint="`regctl rbac rotate`")

    results = Failing(steps(auth, find=lambda: seen("old")), "ci").run()
    next(results)
    with pytest.raises(PartlyDoneError, match="cannot change it") as caught:
        next(results)
    hint = "`regctl rbac rotate`; then run the same command again to continue"
    assert caught.value.hint == hint

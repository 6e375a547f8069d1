"""Which users replace which."""

import pytest

from regctl.authfile.htpasswd import HtpasswdFile
from regctl.errors import LockedUserError
from regctl.workflows.successors import next_username, users_in_force


def users_of(*names: str) -> HtpasswdFile:
    return HtpasswdFile("".join(f"{name}:hash\n" for name in names).encode())


@pytest.mark.parametrize(
    ("name", "next_name"),
    [("ci", "ci-2"), ("ci-2", "ci-3"), ("team-9", "team-10"), ("a-b", "a-b-2"), ("a-1", "a-1-2")],
)
def test_the_next_user_has_the_next_number(name: str, next_name: str) -> None:
    assert next_username(name) == next_name


@pytest.mark.parametrize(
    ("present", "name", "found"),
    [
        (["ci", "bob"], "ci", ["ci"]),
        (["ci-2"], "ci", ["ci-2"]),
        (["ci-10", "ci-9"], "ci", ["ci-9", "ci-10"]),
        (["ci", "ci-2"], "ci-2", ["ci-2"]),
        (["ci", "ci-02", "ci-x", "ci-1", "ci-2-2"], "ci", ["ci"]),
    ],
)
def test_the_users_in_force_are_the_name_and_those_that_follow(
    present: list[str], name: str, found: list[str]
) -> None:
    assert users_in_force(users_of(*present), name) == found


def test_a_locked_user_is_not_in_force() -> None:
    users = users_of("ci", "ci-2")
    users.lock("ci")
    assert users_in_force(users, "ci") == ["ci-2"]
    users.lock("ci-2")
    with pytest.raises(LockedUserError):
        users_in_force(users, "ci")

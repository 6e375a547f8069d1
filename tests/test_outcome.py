from typing import get_args

import pytest

from regctl.errors import (
    ClusterUnreachableError,
    ConflictError,
    FieldOwnedError,
    ForeignObjectError,
    ImmutableError,
    RegctlError,
)
from regctl.outcome import RESULTS, Action, Outcome, Result, result_of_error


def test_every_action_has_a_result() -> None:
    assert set(RESULTS) == set(get_args(Action))
    assert set(RESULTS.values()) <= set(get_args(Result))


def test_the_subject_has_the_namespace_only_if_there_is_one() -> None:
    assert Outcome("user", "alice", "created").subject == "user/alice"
    assert Outcome("secret", "r.io", "created", "team-a").subject == "team-a/secret/r.io"


@pytest.mark.parametrize(
    ("error", "result"),
    [
        (ForeignObjectError, "refused"),
        (ImmutableError, "refused"),
        (FieldOwnedError, "refused"),
        (ConflictError, "failed"),
        (ClusterUnreachableError, "failed"),
    ],
)
def test_an_object_that_was_left_alone_on_purpose_is_refused(
    error: type[RegctlError], result: Result
) -> None:
    assert result_of_error(error("x")) == result

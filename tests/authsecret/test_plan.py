"""What one auth Secret needs, decided from what is there."""

import pytest

from regctl.authfile.readers import READERS
from regctl.authsecret.compare import UserChange
from regctl.authsecret.plan import Change, patch, plan
from regctl.authsecret.secret import AuthSecret
from regctl.cluster.ownership import Manager, Ownership
from regctl.cluster.secret import Secret
from regctl.errors import ForeignObjectError, ImmutableError, NotPermittedError
from tests.authsecret.files import NAME, A, B, desired, secret

HELM = Ownership(managed=True, controller="Helm")
FOREIGN = Ownership(managed=False, controller=None, data_managers=(Manager("kubectl", None),))


def planned(wanted: AuthSecret, there: Secret | None, *, adopt: bool = False) -> Change:
    return plan(wanted, "ns", NAME, there, adopt=adopt)


def test_a_secret_that_does_not_exist_is_created() -> None:
    change = planned(desired(f"a:{A}"), None)
    assert (change.action, change.note) == ("create", "added a")
    assert change.outcome().result == "created"


def test_the_same_users_are_unchanged_also_in_a_foreign_secret() -> None:
    content = {"auth": f"a:{A}\n".encode()}
    assert planned(desired(f"a:{A}"), secret(content)).note is None
    foreign = planned(desired(f"a:{A}"), secret(content, FOREIGN))
    assert (foreign.action, foreign.note) == ("unchanged", "not managed by regctl")
    adopted = planned(desired(f"a:{A}"), secret(content, FOREIGN), adopt=True)
    assert (adopted.action, adopted.note) == ("update", "adopted from kubectl; the same users")


def test_an_update_names_its_users_and_the_ones_it_removes() -> None:
    change = planned(desired(f"a:{B}"), secret({"auth": f"a:{A}\nb:{A}\n".encode()}))
    assert change.users == (UserChange("a", "changed"), UserChange("b", "removed"))
    assert (change.action, change.removed) == ("update", ("b",))
    assert change.outcome().details == {
        "users": [{"name": "a", "change": "changed"}, {"name": "b", "change": "removed"}]
    }


def test_a_key_for_each_user_is_removed_with_its_user() -> None:
    wanted = desired(f"a:{A}", reader=READERS["haproxytech"])
    assert patch(wanted, secret({"a": A.encode(), "b": A.encode()})) == {"data": {"b": None}}


@pytest.mark.parametrize(
    ("there", "error", "message"),
    [
        (secret({"auth": b""}, FOREIGN), ForeignObjectError, "kubectl"),
        (
            secret({"auth": b""}, Ownership(managed=True, controller="Helm")),
            ForeignObjectError,
            "Helm",
        ),
        (secret({"auth": b""}, type_="x/y"), ImmutableError, "its type is x/y"),
        (Secret("ns", NAME, "u", "1", "Opaque", {}, immutable=True), ForeignObjectError, ""),
    ],
)
def test_a_secret_that_must_not_change_is_refused(
    there: Secret, error: type[Exception], message: str
) -> None:
    change = planned(desired(f"a:{A}"), there)
    assert (change.action, type(change.error)) == ("refuse", error)
    assert message in str(change.error)
    assert change.outcome(change.error).result == "refused"


def test_traefik_gets_no_secret_with_a_second_key() -> None:
    there = secret({"auth": b"", "other": b""})
    change = planned(desired(f"a:{A}", reader=READERS["traefik"]), there)
    assert "it also has other, and traefik accepts only Secrets with one key" in str(change.error)
    assert planned(desired(f"a:{A}"), there).note == "added a; other left unchanged"


def test_an_error_of_the_cluster_is_a_failure() -> None:
    change = Change("ns", NAME, "refuse", error=NotPermittedError("no"))
    assert change.outcome(change.error).result == "failed"


def test_no_hash_is_in_a_repr() -> None:
    change = planned(desired(f"a:{A}"), secret({"auth": f"a:{B}\n".encode()}))
    assert "$2y$" not in f"{change!r} {change.users!r} {change.outcome()!r}"

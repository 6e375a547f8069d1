"""The auth file as a Secret: what is compared, planned, merged; and two who write at once."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authfile.readers import DEFAULT, READERS
from regctl.authsecret import push as authsecret
from regctl.authsecret.push import AuthSecret, UserChange, compare, merged
from regctl.cluster.client import ApiResponse, Cluster
from regctl.cluster.resource import SECRETS, Namespace, Resource
from regctl.errors import ConflictError
from tests.servers.kubernetes import ApiServer

A, B = (f"$2y$04$abcdefghijklmnopqrstu{last}2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW" for last in "uv")
NAME = "registry-basic-auth"


def file(*rows: str) -> HtpasswdFile:
    return HtpasswdFile("".join(f"{row}\n" for row in rows).encode())


def desired(*rows: str) -> AuthSecret:
    return AuthSecret.of(file(*rows), NAME, DEFAULT)


# Pure


def test_users_are_compared_by_what_lets_them_in() -> None:
    old = file("# x", f"a:{A}", f"b:{A}", f"c:{A}:note \r", f"d:{A}")
    new = file(f"c:{A}", f"a:{B}", f"#regctl:locked d:{A}", f"e:{A}")
    assert compare(old, new) == (
        UserChange("a", "changed"),
        UserChange("b", "removed"),
        UserChange("d", "removed"),
        UserChange("e", "added"),
    )


@pytest.mark.parametrize(("consumer", "hash_"), [("ingress-nginx", A), ("traefik", B)])
def test_of_two_lines_there_the_one_is_taken_that_counts(consumer: str, hash_: str) -> None:
    there = file(f"a:{A}", f"a:{B}")
    assert merged(b"b:x\n", there, READERS[consumer]) == f"a:{hash_}\n".encode()


def test_a_user_locked_here_and_open_there_is_open_afterwards() -> None:
    local = f"#regctl:locked a:{A}\n".encode()
    assert merged(local, file(f"a:{A}"), DEFAULT) == f"a:{A}\n".encode()


rows = st.lists(
    st.tuples(st.sampled_from("abcd"), st.sampled_from([A, B]), st.sampled_from(["", "#locked"])),
    unique_by=lambda row: row[0],
)


@given(rows, rows)
def test_after_a_pull_there_is_no_difference_left(
    here: list[tuple[str, str, str]], there: list[tuple[str, str, str]]
) -> None:
    local = file(
        "# kept",
        *(f"{'#regctl:locked ' if state else ''}{name}:{hash_}" for name, hash_, state in here),
    )
    remote = file(*(f"{name}:{hash_}" for name, hash_, _ in there))
    content = merged(local.content, remote, DEFAULT)
    assert compare(HtpasswdFile(content), remote) == ()
    assert content.startswith(b"# kept\n")
    locked = {user.name for user in local.users() if user.locked}
    kept = {user.name for user in HtpasswdFile(content).users() if user.locked}
    assert kept == locked - {name for name, _, _ in there}


def test_no_hash_is_in_any_repr() -> None:
    change = authsecret.plan(desired(f"a:{A}"), "ns", None)
    assert "$2y$" not in f"{desired(f'a:{A}')!r} {change!r} {change.users!r}"


# Two who write at once


class Racing(Cluster):
    """A cluster where somebody else is faster: *meanwhile* runs before a change is sent."""

    meanwhile: Callable[[], object] | None = None

    def _race(self) -> None:
        if self.meanwhile is not None:
            faster = self.meanwhile
            self.meanwhile = None
            faster()

    def apply(self, resource: Resource, manifest: Mapping[str, Any], **more: Any) -> ApiResponse:
        self._race()
        return super().apply(resource, manifest, **more)

    def merge(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Mapping[str, Any],
        **more: Any,
    ) -> ApiResponse:
        self._race()
        return super().merge(resource, namespace, name, patch, **more)


@pytest.fixture
def cluster(kubernetes: ApiServer, tmp_path: Path) -> Racing:
    made = Racing.from_environment({"HOME": str(tmp_path)}, kubeconfig=kubernetes.kubeconfig)
    assert isinstance(made, Racing)
    return made


def push(cluster: Cluster, wanted: AuthSecret, namespace: str) -> authsecret.Outcome:
    changes = authsecret.observe(cluster, wanted, [Namespace(namespace)])
    (outcome,) = authsecret.push(cluster, wanted, changes)
    return outcome


def content(cluster: Cluster, namespace: str) -> bytes:
    return authsecret.read(authsecret.fetch(cluster, namespace, NAME), DEFAULT).content


def other(kubernetes: ApiServer, tmp_path: Path) -> Cluster:
    return Cluster.from_environment({"HOME": str(tmp_path)}, kubeconfig=kubernetes.kubeconfig)


def test_a_change_under_our_feet_is_looked_at_and_the_push_done_again(
    cluster: Racing, kubernetes: ApiServer, namespace: str, tmp_path: Path
) -> None:
    push(cluster, desired(f"a:{A}"), namespace)
    second = other(kubernetes, tmp_path)
    cluster.meanwhile = lambda: push(second, desired(f"a:{B}"), namespace)
    mark = kubernetes.audit_mark()
    outcome = push(cluster, desired(f"a:{A}", f"b:{A}"), namespace)
    assert outcome.result == "configured"
    assert outcome.users == (UserChange("a", "changed"), UserChange("b", "added"))
    assert content(cluster, namespace) == desired(f"a:{A}", f"b:{A}").users.content
    assert 409 in {event.code for event in kubernetes.audit(mark)}


def test_a_secret_that_appears_meanwhile_is_not_overwritten_unseen(
    cluster: Racing, kubernetes: ApiServer, namespace: str
) -> None:
    """Somebody's own: it is refused as it would have been before."""
    body = {"metadata": {"name": NAME}, "data": {"auth": "eDp5Cg=="}}
    cluster.meanwhile = lambda: kubernetes.create_secret(namespace, body)
    outcome = push(cluster, desired(f"a:{A}"), namespace)
    assert outcome.result == "refused"
    assert content(cluster, namespace) == b"x:y\n"


def test_nobody_is_shut_out_who_was_added_meanwhile(
    cluster: Racing, kubernetes: ApiServer, namespace: str, tmp_path: Path
) -> None:
    push(cluster, desired(f"a:{A}"), namespace)
    second = other(kubernetes, tmp_path)
    cluster.meanwhile = lambda: push(second, desired(f"a:{A}", f"new:{A}"), namespace)
    outcome = push(cluster, desired(f"a:{B}"), namespace)
    assert isinstance(outcome.error, ConflictError)
    assert "somebody else added new" in outcome.error.message
    assert b"new:" in content(cluster, namespace)


def test_the_secret_is_never_away(cluster: Racing, namespace: str) -> None:
    for hash_ in (A, B, A):
        push(cluster, desired(f"a:{hash_}"), namespace)
        assert cluster.get(SECRETS, namespace, NAME) is not None

"""The users in a registry's auth Secret."""

from typing import Any

import pytest

from regctl.authfile import hashes
from regctl.authsecret.secret import added_users
from regctl.authsecret.store import SecretStore
from regctl.cluster.client import Cluster
from regctl.cluster.ownership import Ownership
from regctl.cluster.secret import Secret
from regctl.credentials.credential import Credential
from regctl.errors import MalformedError, UnsuitableAuthFileError
from regctl.provisioning.spec import RegistrySpec
from regctl.provisioning.users import AuthUsers, read_users
from tests.provisioning.specs import registry

MANAGED = Ownership(managed=True, controller=None)


def users(data: dict[str, bytes], **options: Any) -> AuthUsers:
    secret = Secret("team", "users", "uid", "1", "Opaque", data, ownership=MANAGED)
    return AuthUsers(registry(**options), secret)


def test_without_a_secret_there_are_no_users(cluster: Cluster, spec: RegistrySpec) -> None:
    found = read_users(cluster, spec)
    found.check()
    assert (found.secret, found.file.users()) == (None, [])


def test_users_are_read_where_their_reader_reads_them() -> None:
    line = f"a:{hashes.make('x', cost=4)}\n".encode()
    assert users({"auth": line}).file.user("a") is not None
    for auth in ("ingress", "registry"):
        with pytest.raises(MalformedError, match="reads key auth"):
            _ = users({"users": line}, auth=auth).file


def test_users_that_the_reader_rejects_are_an_error() -> None:
    line = f"a:{hashes.make('x', 'apr1')}\n".encode()
    users({"auth": line}).check()
    with pytest.raises(UnsuitableAuthFileError, match="not suitable for distribution"):
        users({"auth": line}, auth="registry").check()


def test_a_first_user_is_added_and_the_others_are_kept(
    cluster: Cluster, spec: RegistrySpec
) -> None:
    for name in ("alice", "ci"):
        push = read_users(cluster, spec).push_with(cluster, Credential(name, "secret"))
        assert [outcome.note for outcome in push.run()] == [f"added {name}"]
    found = read_users(cluster, spec)
    assert [user.name for user in found.file.users()] == ["alice", "ci"]
    found.file.verify("ci", "secret")


def test_users_that_a_rotation_added_stay_marked(cluster: Cluster, spec: RegistrySpec) -> None:
    list(read_users(cluster, spec).push_with(cluster, Credential("ci", "secret")).run())
    store = SecretStore(cluster, spec.namespace, spec.auth_secret, spec.reader)
    store.add("ci-2", "secret")
    push = read_users(cluster, spec).push_with(cluster, Credential("alice", "secret"))
    assert [outcome.note for outcome in push.run()] == ["added alice"]
    secret = read_users(cluster, spec).secret
    assert secret is not None
    assert added_users(secret) == {"ci-2"}

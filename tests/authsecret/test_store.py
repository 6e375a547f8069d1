"""Users in a file, in a Secret of the real API server, and in both."""

import base64
from datetime import date
from pathlib import Path

import pytest

from regctl.authfile import hashes, readers
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authsecret.push import prepare
from regctl.authsecret.secret import ADDED_USERS, AuthSecret, fetch, read
from regctl.authsecret.store import FileStore, SecretStore, UserStore
from regctl.cluster.client import Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from regctl.errors import ForeignObjectError, LockoutError, ObjectNotFoundError
from tests.servers.kubernetes import ApiServer

READER = readers.DEFAULT_READER
NAME = "users"
LINE = f"alice:{hashes.make('first', cost=4)}\n"


@pytest.fixture
def file(tmp_path: Path) -> FileStore:
    path = tmp_path / "auth"
    path.write_text(f"# ours\n{LINE}")
    return FileStore(path)


@pytest.fixture
def cluster(kubernetes: ApiServer) -> Cluster:
    return Cluster(Kubeconfig({}, kubernetes.kubeconfig))


@pytest.fixture
def secret(cluster: Cluster, namespace: str) -> SecretStore:
    """The auth Secret alone, with alice."""
    desired = AuthSecret.of(HtpasswdFile(LINE.encode()), READER)
    [outcome] = prepare(cluster, desired, [(namespace, NAME)]).run()
    assert outcome.result == "created"
    return SecretStore(cluster, namespace, NAME, READER)


@pytest.fixture(params=["file", "secret", "both"])
def store(request: pytest.FixtureRequest, file: FileStore) -> UserStore:
    if request.param == "file":
        return file
    alone: SecretStore = request.getfixturevalue("secret")
    taken = file if request.param == "both" else None
    return SecretStore(alone.cluster, alone.namespace, NAME, READER, taken)


def live(store: SecretStore) -> HtpasswdFile:
    return read(fetch(store.cluster, store.namespace, store.name), store.reader)


def names(users: HtpasswdFile) -> list[str]:
    return [user.name for user in users.users()]


def test_every_store_adds_changes_and_removes_users(store: UserStore) -> None:
    store.add("bob", "second")
    assert names(store.read()) == ["alice", "bob"]
    store.read().verify("bob", "second")
    store.add("bob", "third")
    store.read().verify("bob", "third")
    store.read().verify("alice", "first")
    store.remove("alice")
    assert names(store.read()) == ["bob"]
    assert store.in_sync()


def test_an_unchanged_password_keeps_its_hash(store: UserStore) -> None:
    store.add("bob", "second")
    before = store.read().content
    store.add("bob", "second")
    assert store.read().content == before


def test_a_user_that_replaces_another_expires_with_it_and_can_be_taken_back(
    file: FileStore,
) -> None:
    file.change(lambda users: users.expire("alice", date(2999, 1, 1)))
    before = file.read()
    file.add("bob", "second", replaces=["alice"])
    bob = file.read().user("bob")
    assert bob is not None
    assert bob.expires == date(2999, 1, 1)
    assert file.read().previous("alice") == before.hashes("alice")
    file.restore("bob", before, replaces=["alice"])
    assert file.read().content == before.content


def test_a_secret_keeps_the_replaced_hash_in_an_annotation(secret: SecretStore) -> None:
    """Several readers reject a comment."""
    before = secret.read()
    secret.add("bob", "second", replaces=["alice"])
    assert secret.read().previous("alice") == before.hashes("alice")
    assert b"#" not in live(secret).content
    secret.remove("alice")
    assert not secret.read().previous("alice")
    assert names(secret.read()) == ["bob"]


def test_the_secret_follows_the_file(secret: SecretStore, file: FileStore) -> None:
    both = SecretStore(secret.cluster, secret.namespace, NAME, READER, file)
    both.add("bob", "second")
    assert names(live(both)) == ["alice", "bob"]
    assert both.read().content.startswith(b"# ours\n"), "the file keeps its comments"
    assert b"#" not in live(both).content


def test_only_the_secret_alone_marks_the_users_that_were_added(
    kubernetes: ApiServer, secret: SecretStore, file: FileStore
) -> None:
    def marked() -> str | None:
        metadata = kubernetes.secret(secret.namespace, NAME)["metadata"]
        mark: str | None = metadata.get("annotations", {}).get(ADDED_USERS)
        return mark

    secret.add("ci-2", "second")
    secret.add("ci-3", "third")
    secret.add("alice", "fourth")
    assert marked() == "ci-2\nci-3"
    secret.remove("ci-2")
    assert marked() == "ci-3"
    file.add("ci-3", "third")
    SecretStore(secret.cluster, secret.namespace, NAME, READER, file).add("bob", "second")
    assert marked() is None


def test_an_expired_user_of_the_file_is_locked(file: FileStore, secret: SecretStore) -> None:
    file.path.write_text(f"#regctl:expires bob:2026-01-31\nbob:{hashes.make('x', cost=4)}\n{LINE}")
    for day, expected in ((30, ["bob", "alice"]), (31, ["alice"])):
        today = FileStore(file.path, date(2026, 1, day))
        both = SecretStore(secret.cluster, secret.namespace, NAME, READER, today)
        both.add("alice", "first")
        assert names(live(both)) == expected
        assert both.in_sync()


def test_a_user_that_only_the_secret_has_does_not_lose_access(
    secret: SecretStore, file: FileStore
) -> None:
    """Somebody pushed another file."""
    users = HtpasswdFile(LINE.replace("alice", "zoe").encode() + LINE.encode())
    list(prepare(secret.cluster, AuthSecret.of(users, READER), [(secret.namespace, NAME)]).run())
    both = SecretStore(secret.cluster, secret.namespace, NAME, READER, file)
    before = both.read().content
    with pytest.raises(LockoutError, match="zoe would lose access"):
        both.add("bob", "second")
    assert both.read().content == before
    assert names(live(both)) == ["zoe", "alice"]


def test_a_removal_that_is_interrupted_leaves_the_user_in_the_file(
    secret: SecretStore, file: FileStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So the next run finds it, and removes it again."""
    both = SecretStore(secret.cluster, secret.namespace, NAME, READER, file)
    both.add("bob", "second")
    with monkeypatch.context() as interrupted:
        interrupted.setattr(FileStore, "change", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            both.remove("alice")
    assert names(live(both)) == ["bob"]
    assert names(both.read()) == ["alice", "bob"]
    both.remove("alice")
    assert names(both.read()) == ["bob"]


def test_a_secret_that_differs_from_its_file_is_out_of_sync(
    secret: SecretStore, file: FileStore
) -> None:
    both = SecretStore(secret.cluster, secret.namespace, NAME, READER, file)
    assert both.in_sync()
    file.add("bob", "second")
    assert not both.in_sync()
    both.remove("bob")
    assert both.in_sync()


def test_a_secret_that_does_not_exist_is_named(cluster: Cluster, namespace: str) -> None:
    missing = SecretStore(cluster, namespace, NAME, READER)
    with pytest.raises(ObjectNotFoundError, match=f"secret {NAME} in namespace {namespace}"):
        missing.read()


def test_a_foreign_secret_changes_only_with_adopt(
    kubernetes: ApiServer, cluster: Cluster, namespace: str
) -> None:
    data = {"auth": base64.b64encode(LINE.encode()).decode()}
    kubernetes.create_secret(namespace, {"metadata": {"name": NAME}, "data": data})
    store = SecretStore(cluster, namespace, NAME, READER)
    with pytest.raises(ForeignObjectError):
        store.add("bob", "second")
    assert names(store.read()) == ["alice"]
    SecretStore(cluster, namespace, NAME, READER, adopt=True).add("bob", "second")
    assert names(store.read()) == ["alice", "bob"]

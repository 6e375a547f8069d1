"""Fetching a Secret into an auth file."""

from pathlib import Path

import pytest

from regctl.atomicfile import WriteOptions
from regctl.authfile.readers import DEFAULT_READER
from regctl.authsecret.pull import Pull, prepare
from regctl.cluster.client import Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from regctl.errors import FileAccessError, MalformedError, ObjectNotFoundError
from tests.authsecret.files import NAME, A, B, desired
from tests.servers.kubernetes import ApiServer


@pytest.fixture
def cluster(kubernetes: ApiServer, tmp_path: Path) -> Cluster:
    return Cluster(Kubeconfig({"HOME": str(tmp_path)}, kubernetes.kubeconfig))


def pull(kubernetes: ApiServer, cluster: Cluster, namespace: str, path: Path) -> Pull:
    """Plan a pull from a Secret with the user `a`."""
    kubernetes.create_secret(namespace, desired(f"a:{A}").manifest(namespace, NAME))
    return prepare(cluster, (namespace, NAME), path, DEFAULT_READER)


def test_a_new_file_is_created(
    kubernetes: ApiServer, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    plan = pull(kubernetes, cluster, namespace, tmp_path / "auth")
    assert plan.run(WriteOptions(), "client").result == "created"
    assert not (tmp_path / "auth").exists()
    outcome = plan.run(WriteOptions())
    assert (outcome.result, outcome.differences) == ("created", ("added a",))
    assert (tmp_path / "auth").read_text() == f"a:{A}\n"


def test_the_same_users_are_unchanged(
    kubernetes: ApiServer, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    (tmp_path / "auth").write_text(f"# mine\na:{A}\n")
    outcome = pull(kubernetes, cluster, namespace, tmp_path / "auth").run(WriteOptions())
    assert (outcome.result, outcome.note) == ("unchanged", None)


def test_a_file_that_changed_since_the_plan_is_not_overwritten(
    kubernetes: ApiServer, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    (tmp_path / "auth").write_text(f"a:{B}\n")
    plan = pull(kubernetes, cluster, namespace, tmp_path / "auth")
    (tmp_path / "auth").write_text(f"b:{B}\n")
    with pytest.raises(FileAccessError):
        plan.run(WriteOptions())
    assert (tmp_path / "auth").read_text() == f"b:{B}\n"


def test_a_secret_that_cannot_be_read_is_an_error(
    kubernetes: ApiServer, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    with pytest.raises(ObjectNotFoundError, match="it does not exist"):
        prepare(cluster, (namespace, NAME), tmp_path / "auth", DEFAULT_READER)
    kubernetes.create_secret(namespace, {"metadata": {"name": NAME}, "data": {"users": "eA=="}})
    with pytest.raises(MalformedError, match="reads key auth"):
        prepare(cluster, (namespace, NAME), tmp_path / "auth", DEFAULT_READER)


def test_no_hash_is_in_a_repr(
    kubernetes: ApiServer, cluster: Cluster, namespace: str, tmp_path: Path
) -> None:
    assert "$2y$" not in repr(pull(kubernetes, cluster, namespace, tmp_path / "auth"))

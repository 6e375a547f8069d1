"""Two rotations of one user at once: no pull fails at any moment, and a later run finishes both."""

import base64
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from regctl.authfile import hashes
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authfile.readers import DEFAULT_READER
from regctl.authsecret.push import prepare
from regctl.authsecret.secret import AuthSecret
from regctl.authsecret.store import FileStore, SecretStore, UserStore
from regctl.cluster.client import Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from regctl.cluster.namespaces import Targets
from regctl.credentials.credential import Credential
from regctl.credentials.dockerconfigjson import encode_dockerconfigjson
from regctl.errors import NotAuthenticatedError, RegctlError
from regctl.reference import Registry
from regctl.workflows.holders import survey
from regctl.workflows.rotation import InPlaceRotation, Rotation, UserRotation
from regctl.workflows.rotation_steps import RotationSteps
from tests.servers.kubernetes import ApiServer

SECRETS = ("one", "two")


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let each of the hundreds of hashes take milliseconds."""
    monkeypatch.setattr("regctl.authfile.hashes.DEFAULT_COST", 4)


# So many steps has a rotation of two Secrets.
STEPS = 9


@dataclass
class Site:
    """A registry whose users are in *store*, and two pull secrets of ci with the password "old"."""

    kubernetes: ApiServer
    namespace: str
    store: UserStore

    @property
    def host(self) -> str:
        return f"{self.namespace}.io"

    def accepts(self, credential: Credential) -> bool:
        return self.store.read().matches(*credential.login)

    def connect(self, credential: Credential) -> Any:
        """Return a client of the registry, which reads its users at every request."""

        class Client:
            @staticmethod
            def ping() -> None:
                if not self.accepts(credential):
                    raise NotAuthenticatedError("the registry rejects the password")

        return Client()

    def rotation(self, kind: type[Rotation] = UserRotation) -> Rotation:
        cluster = Cluster(Kubeconfig({}, self.kubernetes.kubeconfig))
        targets = Targets((self.namespace,))
        steps = RotationSteps(
            self.store,
            cluster,
            Registry(self.host),
            find=lambda: survey(cluster, targets),
            connect=self.connect,
            grace=0,
            timeout=0,
        )
        return kind(steps, "ci")

    def run(self, kind: type[Rotation] = UserRotation) -> Iterator[object]:
        """Run a rotation step by step; an error is its last step."""
        try:
            yield from self.rotation(kind).run()
        except RegctlError as error:
            yield error

    def held(self) -> list[Credential]:
        """What the kubelet would pull with."""
        found = []
        for name in SECRETS:
            data = self.kubernetes.secret(self.namespace, name)["data"][".dockerconfigjson"]
            entry = json.loads(base64.b64decode(data))["auths"][self.host]
            found.append(Credential(entry["username"], entry["password"]))
        return found

    def users(self) -> list[str]:
        return [user.name for user in self.store.read().users()]


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashes, "DEFAULT_COST", 4)


def prepared(kubernetes: ApiServer, namespace: str, store: UserStore) -> Site:
    site = Site(kubernetes, namespace, store)
    data = base64.b64encode(encode_dockerconfigjson({site.host: Credential("ci", "old")})).decode()
    for name in SECRETS:
        path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
        kubernetes.request("DELETE", path)
        labels = {"app.kubernetes.io/managed-by": "regctl"}
        kubernetes.create_secret(
            namespace,
            {
                "metadata": {"name": name, "labels": labels},
                "type": "kubernetes.io/dockerconfigjson",
                "data": {".dockerconfigjson": data},
            },
        )
    return site


def auth_file(folder: Path) -> FileStore:
    path = folder / "auth"
    path.write_text(f"ci:{hashes.make('old', cost=4)}\n")
    return FileStore(path)


def auth_secret(kubernetes: ApiServer, namespace: str, file: FileStore | None) -> SecretStore:
    cluster = Cluster(Kubeconfig({}, kubernetes.kubeconfig))
    users = HtpasswdFile(f"ci:{hashes.make('old', cost=4)}\n".encode())
    users = users if file is None else file.read()
    desired = AuthSecret.of(users, DEFAULT_READER, exclusive=True)
    [outcome] = prepare(cluster, desired, [(namespace, "users")]).run()
    assert outcome.error is None
    return SecretStore(cluster, namespace, "users", DEFAULT_READER, file)


@pytest.mark.parametrize("ahead", range(STEPS))
@pytest.mark.parametrize("place", ["file", "secret", "both"])
def test_no_pull_fails_while_two_rotations_run(
    kubernetes: ApiServer,
    namespace: str,
    tmp_path: Path,
    ahead: int,
    place: str,
) -> None:
    """The first takes some steps, then the second some, then the first ends, then the second."""
    for behind in (0, 1, 3, 4) if place == "file" else (1, 3):
        file = auth_file(tmp_path)
        store: UserStore = file
        if place != "file":
            store = auth_secret(kubernetes, namespace, file if place == "both" else None)
        site = prepared(kubernetes, namespace, store)
        first, second = site.run(), site.run()
        order = itertools.chain(
            itertools.islice(first, ahead), itertools.islice(second, behind), first, second
        )
        for step in order:
            assert all(map(site.accepts, site.held())), f"after {step}, {ahead} and {behind}"
        finished = 0
        while len(site.users()) > 1 and finished < 3:
            for step in site.run():
                assert all(map(site.accepts, site.held())), f"after {step}, {ahead} and {behind}"
            finished += 1
        [user] = site.users()
        assert {one.username for one in site.held()} == {user}
        assert user != "ci"
        assert not site.accepts(Credential("ci", "old"))


@pytest.mark.parametrize("ahead", range(1, 6))
def test_two_rotations_in_place_are_finished_by_a_third(
    kubernetes: ApiServer, namespace: str, tmp_path: Path, ahead: int
) -> None:
    """Pulls fail in between, as always in this mode; no pull secret keeps a lost password."""
    for behind in (0, 1, 3):
        site = prepared(kubernetes, namespace, auth_file(tmp_path))
        first, second = site.run(InPlaceRotation), site.run(InPlaceRotation)
        taken = itertools.islice(first, ahead), itertools.islice(second, behind)
        for _ in itertools.chain(*taken, first, second):
            pass
        list(site.run(InPlaceRotation))
        assert all(map(site.accepts, site.held())), f"{ahead} and {behind}"
        assert site.users() == ["ci"]
        assert not site.accepts(Credential("ci", "old"))


def test_two_rotations_that_start_at_once_do_not_replace_a_password(
    kubernetes: ApiServer, namespace: str, tmp_path: Path
) -> None:
    """Both have read that there is no ci-2."""
    site = prepared(kubernetes, namespace, auth_file(tmp_path))
    slow = site.rotation()
    seen = slow.observe()
    first = site.run()
    next(first)
    before = site.store.read().content
    with pytest.raises(RegctlError, match="somebody else has set it"):
        list(slow.carry_out(seen, Credential("ci-2", "another")))
    assert site.store.read().content == before

"""The diagnosis of a pull: which Secrets count, in which order credentials are tried, and why."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from regctl.authfile import hashes
from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authfile.readers import READERS
from regctl.checks import Check
from regctl.cluster.client import Cluster
from regctl.cluster.kubeconfig import Kubeconfig
from regctl.credentials.credential import Credential
from regctl.errors import ObjectNotFoundError
from regctl.images.manifests import Platform
from regctl.reference import ImageReference, Registry
from regctl.registry.client import RegistryClient
from regctl.registry.transport import ConnectionSettings
from regctl.workflows.pull import Pull, of_account, of_pod
from regctl.workflows.pull_diagnosis import PullDiagnosis, diagnose_pulls
from regctl.workflows.pull_repair import AuthFile
from tests.conftest import Servers
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.kubernetes import ApiServer
from tests.servers.process import free_port

DOCKERCONFIGJSON = "kubernetes.io/dockerconfigjson"
AMD64 = Platform("linux", "amd64")
MD5 = "$apr1$abcdefgh$0123456789012345678901"


def connect(registry: Registry, credential: Credential | None) -> RegistryClient:
    settings = ConnectionSettings(plain_http=True)
    return RegistryClient(registry, credential=credential, settings=settings)


@dataclass
class Namespace:
    """A namespace of the real API server, with pull secrets as anybody could write them."""

    kubernetes: ApiServer
    name: str
    cluster: Cluster

    def secret(
        self,
        name: str,
        users: Mapping[str, str] | None = None,
        *,
        kind: str = DOCKERCONFIGJSON,
        password: str = "right",
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """Create a Secret whose entries are registry key to user."""
        entries = {
            key: {"username": user, "password": password} for key, user in (users or {}).items()
        }
        document = json.dumps({"auths": entries} if users is not None else {"auths": 5})
        data = {".dockerconfigjson": base64.b64encode(document.encode()).decode()}
        metadata = {"name": name, "annotations": annotations or {}}
        secret: dict[str, Any] = {"metadata": metadata, "type": kind, "data": data}
        self.kubernetes.create_secret(self.name, secret)

    def diagnose(self, host: str, *names: str, image: str = "team/app:1.0") -> list[Check]:
        reference = ImageReference.parse(f"{host}/{image}")
        pull = Pull(reference, self.name, names, "default", "web", AMD64)
        return list(PullDiagnosis(pull, self.cluster, connect).checks())


@pytest.fixture
def space(kubernetes: ApiServer, namespace: str) -> Namespace:
    cluster = Cluster(Kubeconfig({}, kubernetes.kubeconfig))
    return Namespace(kubernetes, namespace, cluster)


@pytest.fixture
def private(serve: Servers, tmp_path: Path) -> DockerRegistry:
    """A registry with `team/app:1.0` that requires ci's password."""
    auth = tmp_path / "auth"
    auth.write_text(f"ci:{hashes.make('right', cost=4)}\n")
    registry = serve(docker_registry(tmp_path / "registry", auth_file=auth))
    registry.push_image("team/app", "1.0", user=("ci", "right"))
    return registry


def states(checks: list[Check]) -> list[tuple[str, str]]:
    return [(check.name, check.state) for check in checks]


def test_each_listed_secret_has_a_check_with_what_the_kubelet_makes_of_it(
    space: Namespace, private: DockerRegistry
) -> None:
    space.secret("good", {private.host: "ci"})
    space.secret("opaque", {private.host: "ci"}, kind="Opaque")
    space.secret("broken")
    checks = space.diagnose(private.host, "gone", "good", "opaque", "good")
    assert [(c.state, c.message) for c in checks if c.name == "pull secret"] == [
        ("ok", "good, listed by pod web"),
        ("ok", "good, listed by pod web"),
        ("warning", "pod web lists secret gone, which does not exist"),
        ("warning", "secret opaque has type Opaque, which the kubelet ignores"),
    ]
    checks = space.diagnose(private.host, "good", "broken", "good")
    assert states(checks) == [("pull secret", "ok"), ("pull secret", "failure")]
    assert checks[1].message.startswith("secret broken breaks every pull: ")


@pytest.mark.parametrize("name", ["", "..", "../../namespaces", "a b;$(c)", "\x1b[2J", "a" * 300])
def test_a_text_that_is_no_name_has_no_secret(
    space: Namespace, private: DockerRegistry, name: str
) -> None:
    """The API server lets a service account list any text; no hint has it."""
    space.kubernetes.create_service_account(space.name, pull_secrets=[name])
    image = ImageReference.parse(f"{private.host}/team/app:1.0")
    pull = of_account(space.cluster, image, space.name, "default", AMD64)
    *_, check = PullDiagnosis(pull, space.cluster, connect).checks()
    assert check.state == "failure"
    assert check.message.endswith(f"lists secret {name}, which does not exist")
    assert "--attach default`" in (check.hint or "")
    assert not name or name not in (check.hint or "")


def test_every_credential_is_listed_in_the_order_of_the_kubelet(
    space: Namespace, private: DockerRegistry
) -> None:
    """Keys in reverse order of their text: the longer path first, and the first that works wins."""
    host = private.host
    space.secret("wrong", {f"{host}/team": "ci"}, password="hunter2")
    space.secret("right", {host: "ci"})
    space.secret("spare", {host: "ci"})
    checks = space.diagnose(host, "right", "wrong", "spare")
    assert [(c.name, c.state, c.message) for c in checks if c.name.startswith("credential")] == [
        (
            "credential 1",
            "warning",
            f"secret wrong, entry {host}/team, user ci: rejected by {host}",
        ),
        ("credential 2", "ok", f"secret right, entry {host}, user ci"),
        ("credential 3", "skipped", f"secret spare, entry {host}, user ci: not tried"),
    ]
    assert states(checks)[-2:] == [("image", "ok"), ("platform", "ok")]


def test_all_credentials_are_tried_before_the_first_rejection_is_the_cause(
    space: Namespace, private: DockerRegistry
) -> None:
    space.secret("one", {f"{private.host}/team": "ci"}, password="hunter2")
    space.secret("two", {private.host: "nobody"})
    checks = space.diagnose(private.host, "one", "two")
    assert states(checks)[2:] == [
        ("credential 1", "warning"),
        ("credential 2", "warning"),
        ("password", "failure"),
    ]
    assert "ci of secret one" in checks[-1].message


def test_the_next_credential_is_tried_after_any_answer(
    space: Namespace, private: DockerRegistry
) -> None:
    """Some registries answer 404 to a user who may not see the image."""
    space.secret("one", {f"{private.host}/team": "ci"})
    space.secret("two", {private.host: "ci"}, password="hunter2")
    checks = space.diagnose(private.host, "one", "two", image="team/none:1.0")
    assert states(checks)[2:] == [
        ("credential 1", "warning"),
        ("credential 2", "warning"),
        ("image", "failure"),
    ]
    assert checks[2].message.startswith(f"secret one, entry {private.host}/team, user ci: ")
    assert checks[-1].message == (
        f"there is no repository team/none at {private.host}, or ci may not see it"
    )


def test_a_credential_without_a_password_is_no_credential(
    space: Namespace, private: DockerRegistry
) -> None:
    space.secret("one", {f"{private.host}/team": "ci"}, password="")
    space.secret("two", {private.host: "ci"})
    checks = space.diagnose(private.host, "one", "two")
    assert states(checks)[2:] == [
        ("credential 1", "warning"),
        ("credential 2", "ok"),
        ("image", "ok"),
        ("platform", "ok"),
    ]
    assert checks[2].message.endswith("user ci: has no password")


def test_a_host_in_capitals_is_another_host_for_the_kubelet(
    space: Namespace, private: DockerRegistry
) -> None:
    host = private.host.replace("127.0.0.1", "localhost")
    space.secret("one", {host: "ci"})
    assert states(space.diagnose(host, "one"))[-1] == ("platform", "ok")
    checks = space.diagnose(host.replace("localhost", "LocalHost"), "one")
    assert states(checks)[-1] == ("credential", "failure")
    assert "the image is at LocalHost" in checks[-1].message


def test_an_error_that_is_not_about_the_credential_ends_the_trials(space: Namespace) -> None:
    host = f"127.0.0.1:{free_port()}"
    space.secret("one", {f"{host}/team": "ci"})
    space.secret("two", {host: "ci"})
    checks = space.diagnose(host, "one", "two")
    assert states(checks)[2:] == [
        ("credential 1", "skipped"),
        ("credential 2", "skipped"),
        ("registry", "failure"),
    ]
    assert "could not be verified" in checks[2].message
    assert "not tried" in checks[3].message


def test_an_undecodable_secret_fails_before_anything_after_it_is_read(space: Namespace) -> None:
    space.secret("broken")
    checks = space.diagnose("r.io", "broken", "gone")
    assert states(checks) == [("pull secret", "failure")]
    assert "broken breaks every pull" in checks[0].message


def test_a_pull_that_no_secret_matches_is_reported_as_anonymous(
    space: Namespace, serve: Servers, tmp_path: Path
) -> None:
    public = serve(docker_registry(tmp_path / "registry"))
    public.push_image("team/app", "1.0")
    checks = space.diagnose(public.host, "gone")
    assert states(checks) == [
        ("pull secret", "warning"),
        ("credential", "ok"),
        ("image", "ok"),
        ("platform", "ok"),
    ]
    assert "pulls anonymously" in checks[1].message


def test_an_anonymous_pull_that_gets_no_answer_names_the_command_for_a_pull_secret(
    space: Namespace,
) -> None:
    host = f"127.0.0.1:{free_port()}"
    checks = space.diagnose(host)
    assert states(checks) == [("credential", "warning"), ("registry", "failure")]
    assert "pulls anonymously" in checks[0].message
    command = f"`regctl secret create --server {host} -n {space.name} --attach default`"
    assert (checks[0].hint or "").startswith(f"{command} creates secret ")


def test_of_several_ignored_secrets_the_first_is_the_failure_and_comes_last(
    space: Namespace, private: DockerRegistry
) -> None:
    space.secret("opaque", {private.host: "ci"}, kind="Opaque")
    checks = space.diagnose(private.host, "opaque", "gone")
    assert states(checks) == [("pull secret", "warning"), ("pull secret", "failure")]
    assert "gone" in checks[0].message
    assert "opaque has type Opaque" in checks[1].message


def test_a_namespace_whose_secrets_may_not_be_listed_is_diagnosed_without_them(
    space: Namespace, private: DockerRegistry
) -> None:
    space.kubernetes.grant(
        "bob", space.name, [{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]
    )
    space.cluster = Cluster(Kubeconfig({}, space.kubernetes.kubeconfig_for("bob")))
    checks = space.diagnose(private.host)
    assert states(checks) == [("credential", "failure")]
    assert (
        checks[0].message == f"pod web lists no pull secret, and {private.host} requires a password"
    )


def pod(space: Namespace, spec: dict[str, Any], **status: Any) -> None:
    """Create the pod web, with a status as the kubelet would write it."""
    space.kubernetes.create_service_account(space.name)
    path = f"/api/v1/namespaces/{space.name}/pods"
    created = {"metadata": {"name": "web"}, "spec": spec}
    assert space.kubernetes.request("POST", path, created)[0] == 201
    kind = "application/merge-patch+json"
    patch = {"status": status}
    code, _ = space.kubernetes.request("PATCH", f"{path}/web/status", patch, content_type=kind)
    assert code == 200


def waiting(name: str, reason: str, message: str) -> dict[str, Any]:
    state = {"waiting": {"reason": reason, "message": message}}
    more = {"image": "", "imageID": "", "ready": False, "restartCount": 0}
    return {"name": name, "state": state, **more}


def test_a_pod_lists_each_of_its_images_once(space: Namespace) -> None:
    containers = [{"name": f"c{n}", "image": "r.io/app:1"} for n in range(2)]
    init = [{"name": "init", "image": "r.io/init"}]
    spec = {
        "containers": containers,
        "initContainers": init,
        "imagePullSecrets": [{"name": "one"}, {"name": "two"}],
    }
    pod(space, spec)
    pulls = [
        pull for pull in of_pod(space.cluster, space.name, "web", AMD64) if isinstance(pull, Pull)
    ]
    assert [str(pull.image) for pull in pulls] == ["r.io/init", "r.io/app:1"]
    assert {pull.names for pull in pulls} == {("one", "two")}
    assert {pull.platform for pull in pulls} == {AMD64}


def test_the_kubelets_words_are_quoted_with_the_image_that_they_are_about(
    space: Namespace, private: DockerRegistry
) -> None:
    space.secret("one", {private.host: "ci"})
    images = [f"{private.host}/team/{name}:1.0" for name in ("app", "other")]
    spec = {
        "containers": [{"name": image[-7:-4], "image": image} for image in images],
        "imagePullSecrets": [{"name": "one"}],
    }
    words = f'Back-off pulling image "{images[1]}": not\nfound'
    pod(space, spec, containerStatuses=[waiting("her", "ImagePullBackOff", words)])
    pulls = of_pod(space.cluster, space.name, "web", AMD64)
    checks = list(diagnose_pulls(pulls, space.cluster, connect))
    assert [check.name for check in checks if check.name == "kubelet"] == ["kubelet"]
    assert all(check.message.startswith(f"{images[0]}: ") for check in checks[:4])
    assert checks[4].message == (
        f"{images[1]}: the kubelet says: ImagePullBackOff: {words.replace(chr(10), ' ')}"
    )
    assert states(checks)[-1] == ("image", "failure")


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ([], "warning"),
        ([waiting("app", "ErrImageNeverPull", "not present")], "failure"),
        ([{**waiting("app", "", ""), "state": {"running": {}}}], "ok"),
    ],
)
def test_an_image_that_is_never_pulled_is_not_looked_for(
    space: Namespace, status: list[dict[str, Any]], state: str
) -> None:
    container = {"name": "app", "image": "r.io/app", "imagePullPolicy": "Never"}
    pod(space, {"containers": [container]}, containerStatuses=status)
    checks = list(
        diagnose_pulls(of_pod(space.cluster, space.name, "web", None), space.cluster, connect)
    )
    assert states(checks) == [("pull policy", state)]


@pytest.mark.parametrize(
    ("version", "policy", "held", "rows"),
    [
        ("v1.34.2", "IfNotPresent", True, [("node", "ok"), ("credential", "warning")]),
        ("v1.35.0", "IfNotPresent", True, [("node", "skipped"), ("credential", "failure")]),
        ("v1.36.1", "IfNotPresent", False, [("credential", "failure")]),
        ("v1.34.2", "Always", True, [("credential", "failure")]),
    ],
)
def test_a_node_that_has_the_image_may_run_it_without_a_pull(
    space: Namespace,
    private: DockerRegistry,
    *,
    version: str,
    policy: str,
    held: bool,
    rows: list[tuple[str, str]],
) -> None:
    """KEP-2535: from 1.35 on the kubelet asks who pulled it."""
    image, node = f"{private.host}/team/app:1.0", f"{space.name}-node"
    space.kubernetes.request("POST", "/api/v1/nodes", {"metadata": {"name": node}})
    status: dict[str, Any] = {"nodeInfo": {"kubeletVersion": version}}
    status["images"] = [{"names": [image if held else "r.io/other:1"], "sizeBytes": 1}]
    kind = "application/merge-patch+json"
    path = f"/api/v1/nodes/{node}/status"
    space.kubernetes.request("PATCH", path, {"status": status}, content_type=kind)
    container = {"name": "app", "image": image, "imagePullPolicy": policy}
    pod(space, {"nodeName": node, "containers": [container]})
    pulls = of_pod(space.cluster, space.name, "web", AMD64)
    checks = list(diagnose_pulls(pulls, space.cluster, connect))
    assert states(checks) == rows
    assert checks[-1].hint


@pytest.mark.parametrize(
    ("tag", "rows"), [("1.0", ["skipped", "failure"]), ("latest", ["failure"])]
)
def test_a_failure_of_an_image_tells_what_a_node_with_the_image_does(
    space: Namespace, private: DockerRegistry, tag: str, rows: list[str]
) -> None:
    """The default pull policy is IfNotPresent, except for the tag latest."""
    space.kubernetes.create_service_account(space.name)
    image = ImageReference.parse(f"{private.host}/team/app:{tag}")
    pull = of_account(space.cluster, image, space.name, "default", AMD64)
    checks = list(PullDiagnosis(pull, space.cluster, connect).checks())
    assert [check.state for check in checks] == rows
    assert "before Kubernetes 1.35 in any case" in checks[0].message or rows == ["failure"]


def test_a_name_that_is_no_image_is_one_finding_of_its_pod(space: Namespace) -> None:
    images = {"app": "r.io/App", "other": "r.io/other"}
    containers = [
        {"name": name, "image": image, "imagePullPolicy": "Never"} for name, image in images.items()
    ]
    pod(space, {"containers": containers})
    pulls = of_pod(space.cluster, space.name, "web", AMD64)
    checks = list(diagnose_pulls(pulls, space.cluster, connect))
    assert states(checks) == [("pull policy", "warning"), ("image", "failure")]
    assert checks[1].message == "not an image: 'r.io/App'"


def test_a_good_secret_is_the_only_one_that_is_read(
    space: Namespace, private: DockerRegistry
) -> None:
    """A Role for one Secret is enough; a Secret of a controller is used as any other."""
    space.secret("one", {private.host: "ci"}, annotations={"meta.helm.sh/release-name": "x"})
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}
    space.kubernetes.grant("bob", space.name, [{**rule, "resourceNames": ["one"]}])
    space.cluster = Cluster(Kubeconfig({}, space.kubernetes.kubeconfig_for("bob")))
    assert states(space.diagnose(private.host, "one"))[-1] == ("platform", "ok")


# Why the registry rejects a password


@pytest.mark.parametrize(
    ("content", "reader", "why"),
    [
        ("bob:{APR1}", "distribution", "the auth file has no user ci"),
        ("#regctl:locked ci:{BCRYPT}", "distribution", "ci is locked in the auth file"),
        (
            "#regctl:expires ci:2026-01-01\nci:{BCRYPT}",
            "distribution",
            "ci expired on 2026-01-01 in the auth file",
        ),
        ("ci:{APR1}", "distribution", "its hash is apr1, which the registry does not read"),
        ("ci:{APR1}", "ingress-nginx", "the auth file has a different password for ci"),
        (
            "ci:{BCRYPT}\nci:{OTHER}",
            "distribution",
            "ci is on lines 1 and 2 of the auth file, and the last one counts",
        ),
        (
            "ci:{OTHER}\nci:{BCRYPT}",
            "nginx",
            "ci is on lines 1 and 2 of the auth file, and the first one counts",
        ),
        (
            "ci:{BCRYPT}",
            "distribution",
            "the auth file accepts this password, so the registry reads an older or another file",
        ),
    ],
)
def test_the_auth_file_and_its_reader_explain_a_rejected_password(
    content: str, reader: str, why: str
) -> None:
    right, other = (hashes.make(text, cost=4) for text in ("right", "other"))
    text = content.format(APR1=MD5, BCRYPT=right, OTHER=other)
    file = AuthFile(HtpasswdFile(f"{text}\n".encode()), date(2026, 1, 1), lambda: READERS[reader])
    assert file.explain(Credential("ci", "right"))[0] == why


def test_a_user_of_somebodys_secret_is_quoted_in_a_command() -> None:
    file = AuthFile(HtpasswdFile(b""), date(2026, 1, 1))
    _, hint = file.explain(Credential("ci; reboot", "right"))
    assert hint == "`regctl adduser 'ci; reboot'` adds it"


def test_a_pod_or_account_that_does_not_exist_is_named(space: Namespace) -> None:
    with pytest.raises(ObjectNotFoundError, match="no pod web in namespace"):
        of_pod(space.cluster, space.name, "web", None)
    image = ImageReference.parse("r.io/app")
    with pytest.raises(ObjectNotFoundError, match="no service account build in namespace"):
        of_account(space.cluster, image, space.name, "build", None)

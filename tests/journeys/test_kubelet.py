"""
What a real kubelet pulls, and what it says if it cannot, beside what regctl says about it.

No test waits for a time: a failed pull is an answer of the registry, or the kubelet's own words.
"""

import base64
import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from regctl.authfile import hashes
from tests.cli import run, run_ok
from tests.conftest import Servers
from tests.servers import kubelet
from tests.servers.docker_registry import DockerRegistry
from tests.servers.kubelet import DOCKER_HUB, REGISTRY, Node, Request, kubelet_node
from tests.servers.programs import cache_folder, find

pytestmark = pytest.mark.kubelet

ROOT = Path(__file__).parents[2]
OWNER = ("owner", "owns")
PASSWORD = "open-sesame"
DOCKERCONFIGJSON = ("kubernetes.io/dockerconfigjson", ".dockerconfigjson")
DOCKERCFG = ("kubernetes.io/dockercfg", ".dockercfg")
HANG_SECONDS = 240
# Why a container waits that has its image, or may get it yet; any other reason is a failed pull.
STARTS = {"CrashLoopBackOff", "RunContainerError", "CreateContainerError", "StartError"}
COMES = {"ContainerCreating", "PodInitializing"}

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def running_node(serve_session: Servers, tmp_path_factory: pytest.TempPathFactory) -> Node:
    folder = tmp_path_factory.mktemp("kubelet")
    auth_file = folder / "auth"
    auth_file.write_text(f"{OWNER[0]}:{hashes.make(OWNER[1], cost=4)}\n")
    return serve_session(kubelet_node(folder / "node", auth_file))


@pytest.fixture
def node(running_node: Node) -> Iterator[Node]:
    """Run the test in the node's network."""
    with running_node.network():
        yield running_node


@pytest.fixture
def place(node: Node) -> "Place":
    return place_on(node)


def until(result: Callable[[], Any], what: str) -> Any:
    """Return the first true result; the deadline is for a hang only."""
    deadline = time.monotonic() + HANG_SECONDS
    while not (value := result()):
        assert time.monotonic() < deadline, f"never happened: {what}"
        time.sleep(0.1)
    return value


@dataclass(frozen=True)
class Verdict:
    """The kubelet's words about an image that it could not pull, or ""."""

    words: str = ""

    @property
    def pulled(self) -> bool:
        return not self.words


@dataclass
class Place:
    """A namespace, a user and an image that belong together, and what the pods are made of."""

    node: Node
    name: str
    namespace: str
    registry: DockerRegistry
    host: str = REGISTRY
    ca_host: str = REGISTRY
    tag: str = "1.0"
    secrets: tuple[str, ...] = ("regcred",)
    container: dict[str, Any] = field(default_factory=dict)
    spec: dict[str, Any] = field(default_factory=dict)

    @property
    def user(self) -> str:
        return f"{self.name}-user"

    @property
    def repository(self) -> str:
        return f"{self.name}/app"

    @property
    def image(self) -> str:
        return f"{self.host}/{self.repository}:{self.tag}"

    def push(self, **config: Any) -> str:
        """Push an image that no other test has; *config* is added to its config."""
        program = Path(find("pause")).read_bytes()
        layer = kubelet.layer_of({"pause": program, "number": f"{next(_numbers)}".encode()})
        return self.registry.push_image(
            self.repository,
            self.tag,
            layers=[layer],
            config={**kubelet.config_of(layer, "/pause"), **config},
            user=OWNER,
        )

    def add_user(self, hash_: str = "") -> None:
        with self.node.auth_file.open("a") as file:
            file.write(f"{self.user}:{hash_ or hashes.make(PASSWORD, cost=4)}\n")

    def edit_users(self, *command: str) -> None:
        run_ok(*command, self.user, "-f", self.node.auth_file)

    def run(self, *command: str | Path, stdin: str | None = None) -> str:
        """Run regctl in the cluster, which must succeed; return what it prints."""
        options = ("--kubeconfig", self.node.kubernetes.kubeconfig)
        return run_ok(*command, *options, stdin=stdin).stdout

    def secret(
        self, name: str = "regcred", *, server: str = "", password: str = PASSWORD, attach: str = ""
    ) -> None:
        command = ["secret", "create", name, "--server", server or self.host]
        command += ["--username", self.user, "--password-stdin", "-n", self.namespace]
        command += ["--no-verify"]
        self.run(*command, *(["--attach", attach] if attach else []), stdin=password)

    def delete_secret(self) -> None:
        self.run("secret", "delete", "regcred", "-n", self.namespace, "--yes")

    def entry(self, password: str = PASSWORD) -> dict[str, Any]:
        return {"username": self.user, "password": password}

    def raw_secret(
        self, content: bytes | dict[str, Any], kind: tuple[str, str] = DOCKERCONFIGJSON
    ) -> None:
        """Create a Secret that regctl would not create."""
        if isinstance(content, dict):
            content = json.dumps(content).encode()
        data = {kind[1]: base64.b64encode(content).decode()}
        secret = {"metadata": {"name": "regcred"}, "type": kind[0], "data": data}
        self.node.kubernetes.create_secret(self.namespace, secret)

    def create_pod(self, name: str = "web") -> None:
        container = {"name": "app", "image": self.image, **self.container}
        spec = {
            "nodeName": kubelet.NAME,
            "hostNetwork": True,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            "imagePullSecrets": [{"name": secret} for secret in self.secrets],
            "containers": [container],
            **self.spec,
        }
        self.request("POST", "", {"metadata": {"name": name}, "spec": spec})

    def request(self, method: str, pod: str, body: Any = None, **more: str) -> dict[str, Any]:
        path = f"/api/v1/namespaces/{self.namespace}/pods{pod}"
        status, answer = self.node.kubernetes.request(method, path, body, **more)
        assert status < 300, answer
        return answer

    def verdict(self, pod: str = "web") -> Verdict:
        """Wait until the kubelet has all images of a pod, or has failed to pull one."""
        verdict: Verdict = until(partial(self._verdict, pod), f"a verdict on {pod}")
        return verdict

    def _verdict(self, name: str) -> Verdict | None:
        pod = self.request("GET", f"/{name}")
        kinds = ("initContainer", "container", "ephemeralContainer")
        states = [
            item["state"] for kind in kinds for item in pod["status"].get(f"{kind}Statuses", ())
        ]
        waits = [state["waiting"] for state in states if "waiting" in state]
        for wait in waits:
            if wait["reason"] not in STARTS | COMES:
                return Verdict(f"{wait['reason']}: {wait['message']}")
        complete = len(states) == sum(len(pod["spec"].get(f"{kind}s", ())) for kind in kinds)
        waits_for_image = any(wait["reason"] in COMES for wait in waits)
        return Verdict() if complete and not waits_for_image else None

    def next_verdict(self) -> Verdict:
        """Create one more pod; return its verdict."""
        name = f"next-{next(_numbers)}"
        self.create_pod(name)
        return self.verdict(name)

    def doctor(self) -> tuple[int, str]:
        """Return the exit code of `regctl doctor pod/web`, and the error that it prints."""
        result = self.diagnose("web")
        return result.exit_code, result.stderr

    def diagnose(self, pod: str) -> Result:
        """Run `regctl doctor pod/POD`."""
        where = ("-n", self.namespace, "--kubeconfig", self.node.kubernetes.kubeconfig)
        files = ("-f", self.node.auth_file, "--ca-file", self.node.ca_file(self.ca_host))
        result = run("doctor", f"pod/{pod}", *where, *files)
        assert PASSWORD not in result.output
        return result


def place_on(node: Node) -> Place:
    name = create_namespace(node)
    return Place(node, name, name, node.registry)


def create_namespace(node: Node) -> str:
    name = node.kubernetes.create_namespace(f"place-{next(_numbers)}")
    node.kubernetes.create_service_account(name)
    return name


@dataclass(frozen=True)
class Pulls:
    """The kubelet's requests for a place's images after a mark, those with a password only."""

    place: Place
    mark: int

    @property
    def requests(self) -> list[Request]:
        return [
            request
            for request in self.place.node.requests(self.mark)
            if request.path.startswith(f"/v2/{self.place.repository}/") and request.user
            if request.agent.startswith("containerd/")
        ]

    def by(self, user: str) -> int:
        """Return how many manifests *user* got by their tag: each pull starts with one."""
        tagged = re.compile(r"/v2/.*/manifests/[^:]+")
        got = (one for one in self.requests if one.user == user and one.status == 200)
        return sum(tagged.fullmatch(one.path) is not None for one in got)

    @property
    def failed(self) -> list[Request]:
        return [request for request in self.requests if request.status == 401]


@pytest.mark.parametrize("by", ["the pod", "the account"])
def test_a_pod_pulls_with_a_secret_that_regctl_created(node: Node, place: Place, by: str) -> None:
    place.add_user()
    place.push()
    place.secret(attach="default" if by == "the account" else "")
    place.secrets = ("regcred",) if by == "the pod" else ()
    mark = node.log_mark()
    place.create_pod()
    assert place.verdict() == Verdict()
    answers = {(one.user, one.status) for one in Pulls(place, mark).requests}
    assert answers == {(place.user, 200)}
    assert place.doctor() == (0, "")


# Pulls that fail, and pulls that look as if they would


@dataclass(frozen=True)
class Row:
    """
    What is arranged, a part of the kubelet's words, and a part of the cause that `doctor` names.

    No words: it pulls, and `doctor` finds nothing.
    """

    arrange: Callable[[Place], None]
    words: str = ""
    cause: str = ""


def key(template: str) -> Callable[[Place], None]:
    """File the credential under this key; NAMESPACE is the place's."""

    def arrange(place: Place) -> None:
        name = template.replace("NAMESPACE", place.namespace)
        place.raw_secret({"auths": {name: place.entry()}})

    return arrange


def wrong_password(place: Place) -> None:
    place.secret(password="wrong")


def unknown_user(place: Place) -> None:
    place.secret()
    place.edit_users("deluser", "--yes")


def locked_user(place: Place) -> None:
    place.secret()
    place.edit_users("auth", "lock")


def duplicate_user(place: Place) -> None:
    place.secret()
    place.add_user(hashes.make("another", cost=4))


def unreadable_hash(place: Place) -> None:
    place.secret()
    place.edit_users("deluser", "--yes")
    place.add_user("$apr1$abcdefgh$0123456789012345678901")


def no_secret(_place: Place) -> None:
    """Leave the pod's list as it is: it names a Secret that nobody creates."""


def other_namespace(place: Place) -> None:
    replace(place, namespace=create_namespace(place.node)).secret()


def not_listed(place: Place) -> None:
    place.secret()
    place.secrets = ()


def own_list(place: Place) -> None:
    place.secret(attach="default")
    place.secret("other", server="other.foo.com")
    place.secrets = ("other",)


def capitals(place: Place) -> None:
    place.secret()
    place.host = kubelet.CAPITALS


def with_port(place: Place) -> None:
    place.secret()
    place.host = kubelet.WITH_PORT


def docker_hub(place: Place) -> None:
    place.host, place.ca_host = "docker.io", DOCKER_HUB


def docker_hub_server(place: Place) -> None:
    docker_hub(place)
    key(DOCKER_HUB)(place)


def docker_hub_key(place: Place) -> None:
    docker_hub(place)
    place.secret()


def legacy_type(place: Place) -> None:
    place.raw_secret({REGISTRY: place.entry()}, DOCKERCFG)


def wrong_type(place: Place) -> None:
    place.raw_secret({"auths": {REGISTRY: place.entry()}}, ("Opaque", ".dockerconfigjson"))


def undecodable(place: Place) -> None:
    place.raw_secret(b'{"auths": 5}')


def undecodable_headers(place: Place) -> None:
    place.raw_secret({"auths": {REGISTRY: place.entry()}, "HttpHeaders": []})


def padding(place: Place) -> None:
    auth = base64.b64encode(f"{place.user}:{PASSWORD}".encode()).decode()
    place.raw_secret({"auths": {REGISTRY: {"auth": f"{auth}=="}}})


def field_names(place: Place) -> None:
    entry = {"UserName": place.user, "PASSWORD": PASSWORD}
    place.raw_secret({"Auths": {REGISTRY: entry}})


def two_cases(place: Place) -> None:
    entry = {"username": "nobody", "USERNAME": place.user, "password": PASSWORD}
    place.raw_secret({"auths": {REGISTRY: entry}})


def no_entries(place: Place) -> None:
    place.raw_secret({})


def no_password(place: Place) -> None:
    place.raw_secret({"auths": {REGISTRY: place.entry("")}})


def two_auths(place: Place) -> None:
    ours, theirs = (json.dumps({host: place.entry()}) for host in (REGISTRY, "other.foo.com"))
    place.raw_secret(f'{{"auths": {ours}, "auths": {theirs}}}'.encode())


def no_utf_8(place: Place) -> None:
    content = json.dumps({"auths": {REGISTRY: place.entry("caf?")}}).encode()
    place.raw_secret(content.replace(b"?", b"\xe9"))


def second_secret(place: Place) -> None:
    place.secret("wrong", password="wrong")
    place.secret()
    place.secrets = ("wrong", "regcred")


def no_repository(place: Place) -> None:
    place.secret()
    place.registry.forget(place.repository)


def no_tag(place: Place) -> None:
    place.secret()
    place.tag = "2.0"


def other_platform(place: Place) -> None:
    place.secret()
    place.push(architecture="s390x")


def index_of_another_platform(place: Place) -> None:
    place.secret()
    digest = place.push(architecture="s390x")
    place.registry.push_index(place.repository, place.tag, digest, "s390x", user=OWNER)


def policy_never(place: Place) -> None:
    place.secret()
    place.container["imagePullPolicy"] = "Never"


def expired(place: Place) -> None:
    place.host = place.ca_host = kubelet.EXPIRED
    place.secret()


def untrusted(place: Place) -> None:
    place.host = kubelet.UNTRUSTED
    place.secret()


def down(place: Place) -> None:
    place.host = kubelet.DOWN
    place.secret()


def second_image(place: Place) -> str:
    place.secret()
    return f"{REGISTRY}/{place.repository}:2.0"


def init_container(place: Place) -> None:
    place.spec["initContainers"] = [{"name": "init", "image": second_image(place)}]


def image_volume(place: Place) -> None:
    place.spec["volumes"] = [{"name": "data", "image": {"reference": second_image(place)}}]
    place.container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]


def ephemeral_container(place: Place) -> None:
    image = second_image(place)
    place.create_pod()
    containers = [{"name": "debugger", "image": image}]
    patch = {"spec": {"ephemeralContainers": containers}}
    kind = "application/strategic-merge-patch+json"
    place.request("PATCH", "/web/ephemeralcontainers", patch, content_type=kind)


NONE = "no basic auth credentials"
REJECTED = "401 Unauthorized"
OTHER = "the pull secrets are for"
BREAKS = "breaks every pull"
TAG = "has no tag 2.0"

ROWS: dict[str, Row] = {
    "wrong password": Row(wrong_password, REJECTED, "the auth file has a different password"),
    "unknown user": Row(unknown_user, REJECTED, "the auth file has no user"),
    "locked user": Row(locked_user, REJECTED, "is locked in the auth file"),
    "duplicate user": Row(duplicate_user, REJECTED, "the last one counts"),
    "unreadable hash": Row(unreadable_hash, REJECTED, "which the registry does not read"),
    "no secret": Row(no_secret, NONE, "which does not exist"),
    "secret in another namespace": Row(other_namespace, NONE, "which does not exist"),
    "secret that is not listed": Row(not_listed, NONE, "does not list it"),
    "own list, the account's is better": Row(own_list, NONE, "does not list it"),
    "image's host in capitals": Row(capitals, NONE, OTHER),
    "image's host with a port": Row(with_port, NONE, "the ports differ"),
    "key of another host": Row(key("other.foo.com"), NONE, OTHER),
    "key in capitals": Row(key("Registry.foo.com"), NONE, OTHER),
    "key of another port": Row(key(f"{REGISTRY}:443"), NONE, "the ports differ"),
    "key of another path": Row(key(f"{REGISTRY}/other"), NONE, OTHER),
    "key of the path": Row(key(f"{REGISTRY}/NAMESPACE")),
    "key as kubectl stores it": Row(key(f"https://{REGISTRY}/v1/")),
    "key with half of /v2/": Row(key(f"https://{REGISTRY}/v2"), NONE, OTHER),
    "key with a star": Row(key("*.foo.com")),
    "key with a question mark": Row(key("registry.fo?.com"), NONE, OTHER),
    "key with brackets": Row(key("[r]egistry.foo.com"), NONE, OTHER),
    "key with a line ending": Row(key(f"{REGISTRY}\n"), NONE, OTHER),
    "key with a tab": Row(key(f"\t{REGISTRY}"), NONE, OTHER),
    "Docker Hub by its server": Row(docker_hub_server, NONE, OTHER),
    "Docker Hub by its key": Row(docker_hub_key),
    "legacy .dockercfg": Row(legacy_type),
    "wrong type": Row(wrong_type, NONE, "which the kubelet ignores"),
    "undecodable secret": Row(undecodable, "json: cannot unmarshal", BREAKS),
    "undecodable headers": Row(undecodable_headers, "json: cannot unmarshal", BREAKS),
    "too much padding": Row(padding, "illegal base64 data", BREAKS),
    "field names in any case": Row(field_names),
    "user name in two cases": Row(two_cases),
    "secret without entries": Row(no_entries, NONE, "regcred has no entries"),
    "entry without a password": Row(no_password, NONE, "no password"),
    "two members auths": Row(two_auths),
    "password that is not UTF-8": Row(
        no_utf_8,
        REJECTED,
        "the auth file has a different password",
    ),
    "wrong secret, then a right one": Row(second_secret),
    "no repository": Row(no_repository, "not found", "there is no repository"),
    "no tag": Row(no_tag, "not found", TAG),
    "manifest of another platform": Row(other_platform),
    "index of another platform": Row(
        index_of_another_platform, "no match for platform", "the image is for linux/s390x"
    ),
    "imagePullPolicy: Never": Row(policy_never, "ErrImageNeverPull", "imagePullPolicy"),
    "expired certificate": Row(expired, "certificate has expired", "certificate has expired"),
    "unknown authority": Row(untrusted, "unknown authority", "is not trusted"),
    "registry that is down": Row(down, "connection refused", "connection refused"),
    "init container": Row(init_container, "not found", TAG),
    "image volume": Row(image_volume, "not found", TAG),
    "ephemeral container": Row(ephemeral_container, "not found", TAG),
}


@pytest.fixture(scope="module")
def places(running_node: Node) -> dict[str, Place]:
    """Arrange all rows at once: while the kubelet works on one pod, the next one is created."""
    places: dict[str, Place] = {}
    with running_node.network():
        for name, row in ROWS.items():
            places[name] = place = place_on(running_node)
            place.add_user()
            place.push()
            row.arrange(place)
            if row.arrange is not ephemeral_container:
                place.create_pod()
    return places


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize("name", ROWS)
def test_the_kubelet_says(places: dict[str, Place], name: str) -> None:
    verdict = places[name].verdict()
    assert verdict.pulled == (not ROWS[name].words), verdict
    assert ROWS[name].words in verdict.words


@pytest.mark.usefixtures("node")
@pytest.mark.parametrize("name", ROWS)
def test_doctor_agrees_with_the_kubelet(places: dict[str, Place], name: str) -> None:
    exit_code, error = places[name].doctor()
    assert exit_code == (1 if ROWS[name].words else 0), error
    assert ROWS[name].cause in error


# Images that are on the node: may this pod use them, too? The registry does not answer.


def namespace_without(place: Place) -> Place:
    return replace(place, namespace=create_namespace(place.node), secrets=())


def namespace_with_the_same(place: Place) -> Place:
    other = replace(place, namespace=create_namespace(place.node))
    other.secret()
    return other


def new_password(place: Place) -> Place:
    place.secret(password="another")
    return place


def created_again(place: Place) -> Place:
    place.delete_secret()
    place.secret()
    return place


def created_again_with_a_new_password(place: Place) -> Place:
    place.delete_secret()
    place.secret(password="another")
    return place


def preloaded(place: Place) -> Place:
    return replace(place, container={"image": kubelet.PRELOADED_IMAGE}, secrets=())


# What is changed, and the kubelet's words once the registry is back; none if it needs no registry.
ON_THE_NODE: dict[str, tuple[Callable[[Place], Place], str]] = {
    "another namespace, no secret": (namespace_without, NONE),
    "another namespace, the same user and password": (namespace_with_the_same, ""),
    "the same secret, a new password": (new_password, ""),
    "the secret created again, the same password": (created_again, ""),
    "the secret created again, a new password": (created_again_with_a_new_password, REJECTED),
    "no secret, an image that was preloaded": (preloaded, ""),
}


@pytest.fixture
def pulled(place: Place) -> Place:
    """Let the kubelet pull the place's image."""
    place.add_user()
    place.push()
    place.secret()
    place.create_pod()
    assert place.verdict() == Verdict()
    return place


@pytest.mark.parametrize("name", ON_THE_NODE)
def test_an_image_on_the_node(pulled: Place, name: str) -> None:
    change, words = ON_THE_NODE[name]
    with pulled.node.down(REGISTRY):
        changed = change(pulled)
        # The kubelet sees a changed Secret a moment later.
        until(lambda: changed.next_verdict().pulled == (not words), f"{words or 'it runs'}")
    assert words in changed.next_verdict().words


@pytest.mark.parametrize("change", [new_password, preloaded])
def test_doctor_says_that_the_node_may_use_the_image_that_it_has(
    pulled: Place, change: Callable[[Place], Place]
) -> None:
    """A pull would fail, and the pod runs."""
    changed = change(pulled)
    changed.create_pod("last")
    assert changed.verdict("last").pulled
    # The kubelet reports its images some seconds later.
    result = until(
        lambda: (one := changed.diagnose("last")).stdout.count("has the image") and one, "reported"
    )
    assert result.exit_code == 1
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [row[1] for row in rows[-2:]] == ["skipped", "failure"]


def test_a_wrong_password_runs_what_is_on_the_node_and_pulls_nothing_else(pulled: Place) -> None:
    with pulled.node.down(REGISTRY):
        pulled.secret(password="wrong")
        assert pulled.next_verdict() == Verdict()

    def next_image() -> str:
        pulled.tag = f"{next(_numbers)}"
        pulled.push()
        return pulled.next_verdict().words

    assert REJECTED in until(next_image, "the kubelet uses the wrong password")


# Rotation


@dataclass
class Load:
    """
    Pods that pull in three namespaces, each with the pull secret of its default account.

    Each second one more starts, with an image of its own. One in each namespace restarts.
    """

    places: list[Place]
    started: int = 0

    @contextmanager
    def all_the_time(self) -> Iterator[None]:
        for _ in self.places:
            self._start("Always", "1")
        done = threading.Event()

        def start_until_done() -> None:
            while not done.wait(1):
                self._start("Never", "0")

        thread = threading.Thread(target=start_until_done)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()

    def _start(self, policy: str, exit_code: str) -> None:
        place = self.places[self.started % len(self.places)]
        self.started += 1
        container = {"imagePullPolicy": "Always", "args": [exit_code]}
        spec = {"restartPolicy": policy}
        place = replace(place, tag=f"{self.started}", container=container, spec=spec)
        place.push()
        place.create_pod(f"pod-{self.started}")


def rotate_under_load(place: Place, *users: str | Path) -> str:
    """Rotate the place's user while pods pull; return the figures, if no pull failed."""
    node = place.node
    places = [replace(place, namespace=create_namespace(node), secrets=()) for _ in range(3)]
    for one in places:
        one.secret(attach="default")
    new = f"{place.user}-2"
    rotate = ["rotate", place.user, "--to", new, "--server", place.host, *users, "--grace", "30s"]
    rotate += ["--ca-file", node.ca_file(place.host)]
    load, pulls = Load(places), Pulls(place, node.log_mark())
    with load.all_the_time():
        until(lambda: pulls.by(place.user) > len(places), "pulls by the old user")
        place.run(*rotate, "-n", ",".join(one.namespace for one in places))
        removed = Pulls(place, node.log_mark())
        until(lambda: removed.by(new) > len(places), "pulls by the new user")
    assert pulls.failed == []
    made = f"{pulls.by(place.user)} pulls by the old user and {pulls.by(new)} by the new one"
    return f"{place.host}: {load.started} pods started, {made}, none failed"


def test_no_pull_fails_during_a_rotation(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place.add_user()
    figures = rotate_under_load(place, "-f", place.node.auth_file)
    with capfd.disabled():
        sys.stdout.write(f"\nthe node was up in {place.node.start_seconds:.1f} s\n{figures}\n")


def test_no_pull_fails_during_a_rotation_if_the_registry_is_a_pod(
    place: Place, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """The registry reads its users from a volume, which the kubelet updates some seconds later."""
    place.add_user()
    users = tmp_path / "users"
    lines = place.node.auth_file.read_text().splitlines(keepends=True)
    users.write_text(lines[0] + lines[-1])
    secret = f"{place.namespace}/users"
    place.run("auth", "push", "--auth-secret", secret, "-f", users)
    figures = rotate_under_load(served_by_a_pod(place), "--auth-secret", secret)
    with capfd.disabled():
        sys.stdout.write(f"\n{figures}\n")


def served_by_a_pod(place: Place) -> Place:
    """Run a registry in a pod, with the users of the Secret `users`; return the place there."""
    config = {
        "version": "0.1",
        "log": {"level": "warn", "accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": "/data"}},
        "http": {"addr": f"127.0.0.1:{kubelet.POD_PORT}"},
        "auth": {"htpasswd": {"realm": "basic-realm", "path": "/users/auth"}},
    }
    files = {"registry": Path(find("registry")).read_bytes(), "config": json.dumps(config).encode()}
    layer = kubelet.layer_of(files)
    image = kubelet.config_of(layer, "/registry", "serve", "/config")
    place.registry.push_image(place.repository, "1.0", layers=[layer], config=image, user=OWNER)
    place.secret()
    volume = {"name": "users", "secret": {"secretName": "users"}}
    mount = {"name": "users", "mountPath": "/users"}
    replace(place, container={"volumeMounts": [mount]}, spec={"volumes": [volume]}).create_pod()
    ca_file = place.node.ca_file(kubelet.POD)
    registry = replace(
        place.registry, host=kubelet.POD, url=f"https://{kubelet.POD}", ca_file=ca_file
    )
    until(lambda: registry.request("GET", "/v2/")[0] == 401, "the registry answers")
    return replace(place, registry=registry, host=kubelet.POD)


# The node's end

KILLED = """
import sys, time
from pathlib import Path
from tests.journeys.test_kubelet import place_on
from tests.servers.kubelet import PRELOADED_IMAGE, kubelet_node
folder = Path(sys.argv[1])
(folder / "auth").touch()
with kubelet_node(folder / "node", folder / "auth") as node:
    with node.network():
        place = place_on(node)
        place.container, place.secrets = {"image": PRELOADED_IMAGE}, ()
        place.create_pod()
        assert place.verdict().pulled
    print(node.process.pid, flush=True)
    time.sleep(600)
"""


@pytest.mark.usefixtures("running_node")  # which skips where no node can run
def test_nothing_is_left_of_a_node_whose_test_run_was_killed(tmp_path: Path) -> None:
    environment = {**os.environ, "REGCTL_TEST_CACHE": str(cache_folder())}
    command = [sys.executable, "-c", KILLED, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, env=environment) as killed:
        try:
            assert killed.stdout is not None
            guard = int(killed.stdout.readline())
            groups = kubelet.control_groups(guard)
            files = [file for group in groups for file in group.rglob("cgroup.procs")]
            processes = {guard, *(int(pid) for file in files for pid in file.read_text().split())}
            assert groups
            assert len(processes) > 8  # with those of the pod
        finally:
            killed.kill()
    until(lambda: not any(group.exists() for group in groups), "its control groups are gone")
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes), "it has ended")
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()

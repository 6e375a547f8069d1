"""Twelve pulls that fail, on the real API server and the real registry: each cause named first."""

import base64
import datetime as dt
import json
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from regctl.authfile import hashes
from regctl.authfile.audit_rules import COST_LOW
from tests.cli import run, run_ok
from tests.conftest import Servers
from tests.servers.certificates import make_certificate
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.kubernetes import ApiServer

ROOT = Path(__file__).parent.parent.parent
USER, PASSWORD = "ci", "right"
DOCKERCONFIGJSON = "kubernetes.io/dockerconfigjson"
DOCKERCFG = "kubernetes.io/dockercfg"
KEYS = {
    DOCKERCONFIGJSON: ".dockerconfigjson",
    DOCKERCFG: ".dockercfg",
    "Opaque": ".dockerconfigjson",
}
MD5 = "$apr1$abcdefgh$0123456789012345678901"


@dataclass
class Setup:
    """A registry with `team/app:1.0` for linux/amd64, and a namespace that pulls from it."""

    kubernetes: ApiServer
    registry: DockerRegistry
    namespace: str
    auth: Path
    flags: list[str] = field(default_factory=lambda: ["--plain-http"])
    image: str = "team/app:1.0"
    platform: str = "linux/amd64"
    account: str = "default"
    pod: bool = False

    def secret(self, *more: str, server: str | None = None, password: str = PASSWORD) -> None:
        command = ["secret", "create", "regcred", "--server", server or self.registry.host]
        command += ["--username", USER, "--password-stdin", "-n", self.namespace, "--no-verify"]
        run_ok(*command, "--attach", "default", *more, stdin=password)

    def diagnose(self, *more: str) -> Result:
        image = f"{self.registry.host}/{self.image}"
        command = ["doctor", "pod/web" if self.pod else image, "-n", self.namespace]
        command += ["-f", str(self.auth), "--platform", self.platform]
        command += [] if self.pod else ["--service-account", self.account]
        return run(*command, *self.flags, *more)

    def create_pod(self, *secrets: str) -> None:
        """Create the pod web, which lists *secrets*."""
        self.pod = True
        image = f"{self.registry.host}/{self.image}"
        listed = [{"name": name} for name in secrets]
        spec = {"containers": [{"name": "web", "image": image}], "imagePullSecrets": listed}
        self.kubernetes.request("POST", self.pods, {"metadata": {"name": "web"}, "spec": spec})

    def recreate_pod(self) -> None:
        """Delete the pod web, and create one with the list of its service account."""
        self.kubernetes.request("DELETE", f"{self.pods}/web?gracePeriodSeconds=0")
        self.create_pod(*self.attached)

    @property
    def pods(self) -> str:
        return f"/api/v1/namespaces/{self.namespace}/pods"

    @property
    def attached(self) -> list[str]:
        """The pull secrets of the default service account."""
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts/default"
        _, account = self.kubernetes.request("GET", path)
        return [one["name"] for one in account.get("imagePullSecrets", ())]

    def raw(self, content: object, kind: str = DOCKERCONFIGJSON, **more: Any) -> None:
        """Create the Secret regcred as somebody else would."""
        key = KEYS[kind]
        data = {key: base64.b64encode(json.dumps(content).encode()).decode()}
        metadata = {"name": "regcred", **more.pop("metadata", {})}
        secret = {"metadata": metadata, "type": kind, "data": data, **more}
        self.kubernetes.create_secret(self.namespace, secret)

    def entries(self, password: str = PASSWORD, host: str = "") -> dict[str, Any]:
        return {host or self.registry.host: {"username": USER, "password": password}}


@pytest.fixture
def setup(
    kubernetes: ApiServer,
    namespace: str,
    serve: Servers,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Setup:
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    kubernetes.create_service_account(namespace)
    auth = tmp_path / "auth"
    auth.write_text(f"{USER}:{hashes.make(PASSWORD, cost=4)}\n")
    registry = serve(docker_registry(tmp_path / "registry", auth_file=auth))
    registry.push_image("team/app", "1.0", user=(USER, PASSWORD))
    return Setup(kubernetes, registry, namespace, auth)


def test_a_pull_that_works_passes_every_check(setup: Setup) -> None:
    setup.secret()
    result = setup.diagnose()
    assert result.exit_code == 0, result.stderr
    rows = [line.split("\t")[:2] for line in result.stdout.splitlines()]
    assert rows == [
        ["pull secret", "ok"],
        ["credential 1", "ok"],
        ["image", "ok"],
        ["platform", "ok"],
    ]


def wrong_password(setup: Setup) -> None:
    setup.secret(password="hunter2")


def wrong_type(setup: Setup) -> None:
    setup.secret()
    held = setup.kubernetes.secret(setup.namespace, "regcred")
    run_ok("secret", "delete", "regcred", "-n", setup.namespace, "--yes")
    opaque = {"metadata": {"name": "regcred"}, "type": "Opaque", "data": held["data"]}
    setup.kubernetes.create_secret(setup.namespace, opaque)
    attach(setup, "regcred")


def wrong_host(setup: Setup) -> None:
    setup.secret(server="registry.example")


def port_missing(setup: Setup) -> None:
    setup.secret(server=setup.registry.host.partition(":")[0])


def secret_missing(setup: Setup) -> None:
    attach(setup, "regcred")


def not_attached(setup: Setup) -> None:
    command = ["secret", "create", "regcred", "--server", setup.registry.host, "--username", USER]
    run_ok(*command, "--password-stdin", "-n", setup.namespace, stdin=PASSWORD)


def duplicate_user(setup: Setup) -> None:
    setup.secret()
    with setup.auth.open("a") as file:
        file.write(f"{USER}:{hashes.make('another', cost=4)}\n")


def unreadable_hash(setup: Setup) -> None:
    setup.secret()
    setup.auth.write_text(f"other:{hashes.make(PASSWORD, cost=4)}\n{USER}:{MD5}\n")


def missing_tag(setup: Setup) -> None:
    setup.secret()
    setup.image = "team/app:2.0"


def wrong_platform(setup: Setup) -> None:
    setup.secret()
    owner = USER, PASSWORD
    digest = setup.registry.push_image("team/app", "1.0", user=owner)
    setup.registry.push_index("team/app", "1.0", digest, "amd64", user=owner)
    setup.platform = "linux/arm64"


def locked_user(setup: Setup) -> None:
    setup.secret()
    run_ok("adduser", "other", "-f", setup.auth, "--password-stdin", stdin="x1")
    run_ok("auth", "lock", USER, "-f", setup.auth)


def attach(setup: Setup, name: str) -> None:
    """Create an account that lists a Secret, which may not exist."""
    setup.account = "build"
    setup.kubernetes.create_service_account(setup.namespace, "build", pull_secrets=[name])


# What is broken, the cause that `doctor` names, and a part of the command that repairs it.
TWELVE: dict[str, tuple[Callable[[Setup], None], str, str]] = {
    "wrong password": (
        wrong_password,
        "the auth file has a different password",
        "regctl secret create",
    ),
    "wrong type": (wrong_type, "which the kubelet ignores", "--replace"),
    "wrong host key": (wrong_host, "the pull secrets are for", "regctl secret create"),
    "port missing": (port_missing, "the ports differ", "regctl secret create"),
    "secret missing": (secret_missing, "which does not exist", "regctl secret create"),
    "account not attached": (not_attached, "does not list it", "--attach"),
    "duplicate user": (duplicate_user, "the last one counts", "regctl adduser"),
    "unreadable hash": (unreadable_hash, "which the registry does not read", "regctl adduser"),
    "missing tag": (missing_tag, "has no tag 2.0", "regctl tags"),
    "wrong platform": (wrong_platform, "the image is for linux/amd64", "build and push"),
    "user locked": (locked_user, "is locked in the auth file", "regctl auth unlock"),
}


@pytest.mark.parametrize("name", TWELVE)
def test_the_true_cause_is_named_first(setup: Setup, name: str) -> None:
    break_it, cause, repair = TWELVE[name]
    break_it(setup)
    result = setup.diagnose()
    assert result.exit_code == 1, result.stdout
    states = [line.split("\t")[1] for line in result.stdout.splitlines()]
    assert states.count("failure") == 1
    assert states[-1] == "failure"
    first, second = result.stderr.splitlines()[-2:]
    assert first.startswith("error: ")
    assert cause in first
    assert second.startswith("hint: ")
    assert repair in second
    assert "hunter2" not in result.stdout + result.stderr


# More that is broken, each with the flags of the hint that tell how far it has to go.


def held(setup: Setup, content: object, kind: str = DOCKERCONFIGJSON, **more: Any) -> None:
    """Let an account list a Secret that regctl did not create."""
    setup.raw(content, kind, **more)
    attach(setup, "regcred")


def of_another(setup: Setup) -> None:
    held(setup, {"auths": setup.entries("hunter2")})


def immutable(setup: Setup) -> None:
    labels = {"app.kubernetes.io/managed-by": "regctl"}
    content = {"auths": setup.entries("hunter2")}
    held(setup, content, metadata={"labels": labels}, immutable=True)


def immutable_of_another(setup: Setup) -> None:
    held(setup, {"auths": setup.entries("hunter2")}, immutable=True)


def legacy(setup: Setup) -> None:
    held(setup, setup.entries("hunter2"), DOCKERCFG)


def of_helm(setup: Setup) -> None:
    marks = {"annotations": {"meta.helm.sh/release-name": "x"}}
    held(setup, {"auths": setup.entries("hunter2")}, metadata=marks)


def unknown_user(setup: Setup) -> None:
    setup.secret()
    setup.auth.write_text(f"other:{hashes.make(PASSWORD, cost=4)}\n")


def undecodable(setup: Setup) -> None:
    held(setup, {"auths": 5})


def headers(setup: Setup) -> None:
    held(setup, {"auths": setup.entries(), "HttpHeaders": []})


def no_entries(setup: Setup) -> None:
    held(setup, {"auths": {}})


def no_password(setup: Setup) -> None:
    held(setup, {"auths": setup.entries("")})


def token(setup: Setup) -> None:
    held(setup, {"auths": {setup.registry.host: {"identitytoken": "t"}}})


def line_ending(setup: Setup) -> None:
    held(setup, {"auths": setup.entries(host=f"{setup.registry.host}\n")})


def nothing(_setup: Setup) -> None:
    """Leave the account without a list, and the namespace without a Secret."""


def port_and_account(setup: Setup) -> None:
    setup.raw({"auths": setup.entries(host="127.0.0.1")})


def name_taken(setup: Setup) -> None:
    name = setup.registry.host.replace(":", "-")
    opaque = {"metadata": {"name": name}, "type": "Opaque", "data": {}}
    setup.kubernetes.create_secret(setup.namespace, opaque)


def pod_with(arrange: Callable[[Setup], None], *names: str) -> Callable[[Setup], None]:
    """Let a pod list Secrets of its own."""

    def break_it(setup: Setup) -> None:
        arrange(setup)
        setup.create_pod(*names)

    return break_it


def own_list(setup: Setup) -> None:
    setup.secret()
    command = ["secret", "create", "other", "--server", "registry.example", "--username", USER]
    flags = ["--password-stdin", "-n", setup.namespace, "--no-verify"]
    run_ok(*command, *flags, stdin=PASSWORD)
    setup.create_pod("other")


SETUPS: dict[str, tuple[Callable[[Setup], None], str]] = {
    "wrong password": (wrong_password, "--merge"),
    "wrong password, somebody's Secret": (of_another, "--adopt --merge"),
    "wrong password, immutable Secret": (immutable, "--replace --merge"),
    "wrong password, somebody's immutable Secret": (
        immutable_of_another,
        "--replace --adopt --merge",
    ),
    "wrong password, older type": (legacy, "--replace --adopt --merge"),
    "wrong password, Helm's Secret": (of_helm, "--attach"),
    "unknown user": (unknown_user, ""),
    "user locked": (locked_user, ""),
    "duplicate user": (duplicate_user, ""),
    "unreadable hash": (unreadable_hash, ""),
    "wrong type": (wrong_type, "--replace --adopt"),
    "undecodable": (undecodable, "--adopt"),
    "undecodable headers": (headers, "--adopt"),
    "no entries": (no_entries, "--adopt"),
    "no password": (no_password, "--adopt --merge"),
    "a token": (token, "--adopt --merge"),
    "key with a line ending": (line_ending, "--attach"),
    "wrong host key": (wrong_host, "--attach"),
    "port missing": (port_missing, "--attach"),
    "secret missing": (secret_missing, ""),
    "account not attached": (not_attached, "--attach"),
    "nothing": (nothing, "--attach"),
    "port and account": (port_and_account, "--attach"),
    "the Secret's name is taken": (name_taken, "--attach --replace --adopt"),
    "pod: wrong password": (pod_with(wrong_password, "regcred"), "--merge"),
    "pod: wrong host key": (pod_with(wrong_host, "regcred"), "--merge"),
    "pod: port missing": (pod_with(port_missing, "regcred"), "--merge"),
    "pod: secret missing": (pod_with(nothing, "regcred"), ""),
    "pod: another Secret matches": (own_list, "--merge"),
    "pod: lists nothing, and a Secret matches": (pod_with(not_attached), "--attach"),
    "pod: lists nothing": (pod_with(nothing), "--attach"),
}
FLAGS = ("--attach", "--replace", "--adopt", "--merge")


@pytest.mark.parametrize("name", SETUPS)
def test_the_hint_repairs_the_pull_as_it_is_printed(
    setup: Setup, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """It has the flags that the Secret's owner and type require, and no others."""
    monkeypatch.setenv("REGCTL_USERNAME", USER)
    monkeypatch.setenv("REGCTL_PASSWORD", PASSWORD)
    break_it, flags = SETUPS[name]
    break_it(setup)
    broken = setup.diagnose()
    assert broken.exit_code == 1, broken.stdout
    hint = broken.stderr.splitlines()[-1]
    command = shlex.split(hint.split("`")[1])
    assert [word for word in command if word in FLAGS] == flags.split()
    done = run_ok(*command[1:])
    assert "not verified" not in done.stderr, "it connects to the registry as doctor does"
    if "recreate the pod" in hint:
        setup.recreate_pod()
    repaired = setup.diagnose()
    assert repaired.exit_code == 0, repaired.stderr


def hints(result: Result) -> list[list[str]]:
    """Return the commands of regctl in the hints of a run."""
    spans = result.stderr.split("`")[1::2]
    return [shlex.split(one)[1:] for one in spans if one.startswith("regctl ")]


@pytest.mark.parametrize("user", ["a`b", "a'b`c d", '"', "x; reboot", "\\"])
def test_a_user_of_somebodys_secret_stays_one_word_of_the_hint(setup: Setup, user: str) -> None:
    entry = {"username": user, "password": "hunter2"}
    held(setup, {"auths": {setup.registry.host: entry}})
    setup.auth.write_text(f"{USER}:{hashes.make(PASSWORD, cost=4)}\n")
    hint = setup.diagnose().stderr.splitlines()[-1]
    command = hint.removeprefix("hint: `").removesuffix("` adds it")
    assert shlex.split(command) == ["regctl", "adduser", user, "-f", str(setup.auth)]


def test_the_hint_for_a_missing_tag_connects_as_doctor_did(setup: Setup) -> None:
    missing_tag(setup)
    (command,) = hints(setup.diagnose())
    assert command[0] == "tags"
    assert "--plain-http" in command
    assert run_ok(*command, "-u", USER, "--password-stdin", stdin=PASSWORD).stdout == "1.0\n"


def test_the_hints_of_a_whole_setup_name_the_file_and_connect_as_doctor_did(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its users are uploaded, and the namespace gets its pull secret, as it is printed."""
    monkeypatch.setenv("REGCTL_USERNAME", USER)
    monkeypatch.setenv("REGCTL_PASSWORD", PASSWORD)
    setup.auth.write_text(f"{USER}:{hashes.make(PASSWORD)}\n")
    kubeconfig = str(setup.kubernetes.kubeconfig)
    monkeypatch.delenv("KUBECONFIG")
    run_ok("auth", "push", "--auth-secret", f"{setup.namespace}/users", "-f", setup.auth,
           "--kubeconfig", kubeconfig)  # fmt: skip
    run_ok("adduser", "bob", "-f", setup.auth, "--password-stdin", stdin="another")
    doctor = ["doctor", setup.registry.host, "-n", setup.namespace, "-f", str(setup.auth)]
    doctor += ["--plain-http", "--kubeconfig", kubeconfig]
    doctor += ["--auth-secret", f"{setup.namespace}/users"]
    found = hints(run(*doctor))
    assert [command[:2] for command in found] == [["secret", "create"], ["auth", "push"]]
    assert found[1][-4:] == ["--kubeconfig", kubeconfig, "-f", str(setup.auth)]
    for command in found:
        assert "not verified" not in run_ok(*command).stderr
    assert hints(run_ok(*doctor)) == []


def test_an_expired_certificate_is_the_twelfth_cause(
    setup: Setup, serve: Servers, tmp_path: Path
) -> None:
    yesterday = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=1)
    certificate = make_certificate(tmp_path / "tls", expires=yesterday)
    setup.registry = serve(
        docker_registry(tmp_path / "expired", auth_file=setup.auth, certificate=certificate)
    )
    setup.flags = ["--ca-file", str(certificate.ca_file)]
    setup.secret()
    result = setup.diagnose()
    assert result.exit_code == 1
    assert "certificate has expired" in result.stderr


def test_a_pod_keeps_the_secrets_that_it_was_created_with(setup: Setup) -> None:
    """The account got the Secret after the pod was created: the pod does not get it."""
    image = f"{setup.registry.host}/{setup.image}"
    body = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "web"},
        "spec": {"containers": [{"name": "web", "image": image}]},
    }
    setup.kubernetes.request("POST", f"/api/v1/namespaces/{setup.namespace}/pods", body)
    setup.secret()
    assert setup.diagnose().exit_code == 0
    command = ["doctor", "pod/web", "-n", setup.namespace, *setup.flags]
    result = run(*command)
    assert result.exit_code == 1
    assert "pod web does not list it" in result.stderr


def test_all_checks_pass_until_a_password_changes_at_one_end(setup: Setup) -> None:
    setup.secret()
    run_ok("auth", "push", "--auth-secret", f"{setup.namespace}/users", "-f", setup.auth)
    command = ["doctor", setup.registry.host, "-f", str(setup.auth), "-n", setup.namespace]
    command += ["--auth-secret", f"{setup.namespace}/users", *setup.flags]
    login = ["--username", USER, "--password-stdin"]
    healthy = run_ok(*command, *login, "-o", "json", stdin=PASSWORD)
    checks = json.loads(healthy.stdout)["checks"]
    assert [list(check) for check in checks] == [["name", "state", "message", "hint"]] * len(checks)
    warnings = [check["message"] for check in checks if check["state"] != "ok"]
    assert warnings == [f"line 1: bcrypt of cost 4: {USER}: {COST_LOW.effect}"]
    assert {check["name"] for check in checks} >= {
        "auth file",
        "registry",
        "password",
        "auth secret",
        "pull secrets",
        "namespaces",
        "rights",
    }
    run_ok("adduser", USER, "-f", setup.auth, "--password-stdin", stdin="new")
    broken = run(*command, *login, stdin="new")
    assert broken.exit_code == 1
    assert (
        f"{setup.namespace}/secret/users differs from the auth file: ci (changed)" in broken.stdout
    )
    assert f"{setup.namespace}/secret/regcred" in broken.stdout


def test_without_an_auth_file_and_a_cluster_their_checks_are_skipped(
    registry: DockerRegistry,
) -> None:
    result = run_ok("doctor", registry.host, "--plain-http")
    assert "auth file\tskipped" in result.stdout
    assert "cluster\tskipped" in result.stdout


def test_the_readme_lists_the_twelve() -> None:
    readme = (ROOT / "README.md").read_text()
    for name, (_, cause, _) in TWELVE.items():
        assert f"| {name} |" in readme
        assert cause in readme.replace("`", "")


def test_a_secret_that_cannot_be_decoded_is_the_cause(setup: Setup) -> None:
    """A Secret that cannot be decoded breaks every pull of the pod."""
    broken = {
        "metadata": {"name": "broken"},
        "type": "kubernetes.io/dockerconfigjson",
        "data": {".dockerconfigjson": base64.b64encode(b'{"auths": 5}').decode()},
    }
    setup.kubernetes.create_secret(setup.namespace, broken)
    attach(setup, "broken")
    result = setup.diagnose()
    assert result.exit_code == 1
    assert "broken breaks every pull" in result.stderr

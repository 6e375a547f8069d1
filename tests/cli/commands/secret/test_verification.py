"""The trial of a password before `secret create` and `secret sync` write it, on real servers."""

import json
import socket
from pathlib import Path

import pytest
from click.testing import Result

from regctl import documents
from regctl.authfile import hashes
from tests.cli.commands.secret import PASSWORD, decoded, refused, run
from tests.conftest import Servers
from tests.servers.certificates import make_certificate
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.kubernetes import ApiServer
from tests.servers.process import free_port
from tests.servers.standin_registry import Answer, StandinRegistry, in_turn, standin_registry
from tests.test_startup import loaded


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no test depend on the speed of a server."""
    monkeypatch.setattr("regctl.cli.verification._ANSWER_SECONDS", 600)


@pytest.fixture
def guarded(serve: Servers, tmp_path: Path) -> DockerRegistry:
    """A registry that accepts alice with PASSWORD."""
    (tmp_path / "auth").write_text(f"alice:{hashes.make(PASSWORD, cost=4)}\n")
    return serve(docker_registry(tmp_path / "registry", auth_file=tmp_path / "auth"))


@pytest.fixture
def standin(serve: Servers) -> StandinRegistry:
    """A registry that rejects every password, and records each request."""
    return serve(standin_registry(StandinRegistry(allows=lambda _user, _password: False)))


def create(host: str, *args: str, stdin: str = "") -> Result:
    """Run `regctl secret create pull` for a registry without TLS."""
    return run("secret", "create", "pull", "--server", host, "--plain-http", *args, stdin=stdin)


def exists(kubernetes: ApiServer, namespace: str, name: str = "pull") -> bool:
    path = f"/api/v1/namespaces/{namespace}/secrets/{name}"
    return kubernetes.request("GET", path)[0] == 200


def sync_file(folder: Path, namespace: str, hosts: dict[str, str]) -> str:
    """Write a file with a Secret for each of *hosts*, by name."""
    variables = {"username": "REGCTL_USERNAME", "password": "REGCTL_PASSWORD"}
    secrets = [
        {
            "name": name,
            "registries": [{"server": host, "credential": {"env": variables}}],
            "targets": {"namespaces": [namespace]},
        }
        for name, host in hosts.items()
    ]
    path = folder / "sync.yaml"
    path.write_text(documents.dump([{"name": f"of-{namespace}", "secrets": secrets}]))
    return str(path)


def sync(path: str, *args: str) -> Result:
    return run("secret", "sync", path, "--plain-http", "--wait=0", *args)


def test_an_accepted_password_is_written(
    kubernetes: ApiServer, guarded: DockerRegistry, namespace: str
) -> None:
    result = create(guarded.host, "-n", namespace)
    assert result.exit_code == 0
    assert result.stdout == f"{namespace}/secret/pull created\n"
    assert result.stderr == ""
    assert decoded(kubernetes.secret(namespace, "pull"))["auths"][guarded.host]


def test_a_rejected_password_is_written_nowhere(
    kubernetes: ApiServer, guarded: DockerRegistry, namespace: str
) -> None:
    there = kubernetes.create_namespace(f"{namespace}-there")
    assert create(guarded.host, "-n", namespace).exit_code == 0
    before = kubernetes.secret(namespace, "pull")
    flags = ["-n", f"{namespace},{there}", "--password-stdin", "--wait=0"]
    result = create(guarded.host, *flags, stdin="hunter2")
    refused(result, 4, f"secret pull was not written: {guarded.host} rejects the password of alice")
    assert "hunter2" not in result.output
    assert kubernetes.secret(namespace, "pull") == before
    assert not exists(kubernetes, there)
    document = json.loads(create(guarded.host, *flags, "-o", "json", stdin="hunter2").stdout)
    assert document["error"]["exit_code"] == 4


def test_a_rejected_password_is_tried_again(
    kubernetes: ApiServer, standin: StandinRegistry, namespace: str
) -> None:
    """A registry that reads the auth Secret a little later accepts it the second time."""
    rejection = Answer(401, headers={"WWW-Authenticate": 'Basic realm="later"'})
    standin.allows = None
    standin.script = in_turn(rejection, rejection)
    result = create(standin.host, "-n", namespace)
    assert result.exit_code == 0, result.stderr
    assert result.stderr.startswith(
        f"note: {standin.host} rejects the password of alice; trying again for "
    )
    assert exists(kubernetes, namespace)


@pytest.mark.parametrize("status", [429, 502, 503])
def test_a_registry_that_fails_for_a_moment_is_tried_again(
    kubernetes: ApiServer, standin: StandinRegistry, namespace: str, status: int
) -> None:
    """One answer of an overloaded registry decides nothing, neither for nor against a password."""
    standin.script = in_turn(Answer(status, headers={"Retry-After": "0"}), Answer(status))
    result = create(standin.host, "-n", namespace, "--wait=0")
    assert result.exit_code == 4
    assert "rejects the password of alice" in result.stderr
    assert not exists(kubernetes, namespace)


def test_a_registry_that_accepts_the_connection_and_never_answers_is_a_warning(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("regctl.cli.verification._ANSWER_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        result = create(f"127.0.0.1:{silent.getsockname()[1]}", "-n", namespace)
    assert result.exit_code == 0, result.stderr
    assert result.stderr.count("warning: the password of alice was not verified: ") == 1
    assert exists(kubernetes, namespace)


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_registry_that_answers_nothing_useful_is_a_warning(
    kubernetes: ApiServer, standin: StandinRegistry, namespace: str, status: int
) -> None:
    standin.script = lambda _request: Answer(status, headers={"Retry-After": "60"})
    result = create(standin.host, "-n", namespace)
    assert result.exit_code == 0
    assert "warning: the password of alice was not verified: " in result.stderr
    assert exists(kubernetes, namespace)
    assert len(standin.requests) == 1


def test_a_registry_that_cannot_be_reached_or_trusted_is_a_warning(
    kubernetes: ApiServer, serve: Servers, namespace: str, tmp_path: Path
) -> None:
    certificate = make_certificate(tmp_path / "tls", "127.0.0.1")
    untrusted = serve(docker_registry(tmp_path / "registry", certificate=certificate))
    command = ["secret", "create", "-n", namespace, "--server"]
    for host, name, reason in (
        (f"127.0.0.1:{free_port()}", "closed", "refused"),
        ("registry.invalid", "nowhere", "cannot reach the registry registry.invalid"),
        (untrusted.host, "untrusted", "is not trusted"),
    ):
        result = run(*command, host, name)
        assert result.exit_code == 0
        assert "warning: the password of alice was not verified: " in result.stderr
        assert reason in result.stderr
        assert exists(kubernetes, namespace, name)
    trusted = run(*command, untrusted.host, "trusted", "--ca-file", str(untrusted.ca_file))
    assert trusted.stderr == ""


@pytest.mark.parametrize("flag", ["--ca-file", "--client-cert"])
def test_a_file_that_cannot_be_read_is_an_error(
    kubernetes: ApiServer, namespace: str, tmp_path: Path, flag: str
) -> None:
    path = str(tmp_path / "none")
    result = run("secret", "create", "pull", "-n", namespace, flag, path)
    refused(result, 1, path, "No such file")
    assert not exists(kubernetes, namespace)


def test_a_glob_is_a_warning(kubernetes: ApiServer, namespace: str) -> None:
    result = create("*.bar.com", "-n", namespace)
    assert result.exit_code == 0
    assert "the password for *.bar.com was not verified: a glob names no" in result.stderr
    assert exists(kubernetes, namespace)


def test_the_registry_is_asked_only_if_something_is_to_be_written(
    kubernetes: ApiServer, standin: StandinRegistry, namespace: str, tmp_path: Path
) -> None:
    path = sync_file(tmp_path, namespace, {"pull": standin.host})
    for flags, code in ((["--check"], 1), (["--dry-run"], 0), (["--dry-run=client"], 0)):
        assert create(standin.host, "-n", namespace, *flags).exit_code == code
        assert sync(path, *flags).exit_code == code
    assert create(standin.host, "-n", namespace, "--no-verify").exit_code == 0
    mark = kubernetes.audit_mark()
    assert create(standin.host, "-n", namespace).stdout.endswith("unchanged\n")
    assert [event.verb for event in kubernetes.audit(mark)] == ["get"]
    assert sync(path, "--no-verify").stdout.endswith("configured\n")
    assert sync(path).stdout.endswith("unchanged\n")
    assert standin.requests == []


def test_a_run_with_nothing_to_write_does_not_load_the_client_of_registries(
    kubernetes: ApiServer, standin: StandinRegistry, namespace: str, tmp_path: Path
) -> None:
    assert create(standin.host, "-n", namespace, "--no-verify").exit_code == 0
    env = {"HOME": str(tmp_path), "KUBECONFIG": str(kubernetes.kubeconfig), "PATH": "/usr/bin"}
    env |= {"REGCTL_USERNAME": "alice", "REGCTL_PASSWORD": PASSWORD, "PYTHONUTF8": "1"}
    command = ["secret", "create", "pull", "--server", standin.host, "-n", namespace]
    assert "regctl.registry.transport" not in loaded(*command, env=env, cwd=tmp_path)


def test_a_dry_run_on_the_server_asks_the_registry_too(
    kubernetes: ApiServer, standin: StandinRegistry, namespace: str
) -> None:
    result = create(standin.host, "-n", namespace, "--dry-run=server", "--wait=0")
    refused(result, 4, "rejects the password")
    assert not exists(kubernetes, namespace)


def test_sync_leaves_out_only_the_secrets_with_a_rejected_password(
    kubernetes: ApiServer,
    guarded: DockerRegistry,
    standin: StandinRegistry,
    namespace: str,
    tmp_path: Path,
) -> None:
    hosts = {"a": standin.host, "b": guarded.host, "c": standin.host}
    some = sync(sync_file(tmp_path, namespace, hosts))
    assert some.exit_code == 3
    assert some.stdout == f"{namespace}/secret/b created\n"
    for name in ("a", "c"):
        assert f"error: secret {name} was not written: {standin.host} rejects" in some.stderr
        assert not exists(kubernetes, namespace, name)
    sent = [request for request in standin.requests if "authorization" in request.headers]
    assert len(sent) == 1, "a password is tried once, however many Secrets get it"
    none = sync(sync_file(tmp_path, namespace, {"a": standin.host, "c": standin.host}))
    assert none.exit_code == 4
    assert none.stdout == ""


def test_a_sync_with_the_password_before_a_rotation_is_stopped(
    kubernetes: ApiServer,
    guarded: DockerRegistry,
    namespace: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = sync_file(tmp_path, namespace, {"pull": guarded.host})
    assert sync(path).exit_code == 0
    with monkeypatch.context() as patched:
        patched.delenv("REGCTL_PASSWORD")
        flags = ["-f", str(tmp_path / "auth"), "-n", namespace, "--plain-http", "--grace", "0"]
        rotated = run("rotate", "alice", "--server", guarded.host, *flags)
    assert rotated.exit_code == 0, rotated.stderr
    after = kubernetes.secret(namespace, "pull")
    refused(sync(path), 4, "secret pull was not written", "rejects the password of alice")
    assert kubernetes.secret(namespace, "pull") == after

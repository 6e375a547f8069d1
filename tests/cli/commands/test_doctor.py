"""`regctl doctor`: what its argument means. The causes of failed pulls are in tests/journeys."""

import json
from pathlib import Path

import pytest

from regctl.authfile import hashes
from tests.cli import run, run_ok
from tests.servers.docker_registry import DockerRegistry
from tests.servers.kubernetes import ApiServer


@pytest.fixture
def cluster(kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """A namespace with a service account; returns its name."""
    kubernetes.create_service_account(namespace)
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    return namespace


def names(output: str) -> list[str]:
    return [line.split("\t")[0] for line in output.splitlines()]


@pytest.mark.parametrize("suffix", ["", "/", "/v2/", "/v2/_catalog"])
def test_a_host_is_a_registry(registry: DockerRegistry, suffix: str) -> None:
    result = run_ok("doctor", f"{registry.host}{suffix}", "--plain-http")
    assert names(result.stdout)[:3] == ["auth file", "name", "connection"]


def test_a_name_after_the_host_is_an_image(cluster: str, registry: DockerRegistry) -> None:
    registry.push_image("team/app", "latest")
    line = ["doctor", f"{registry.host}/team/app", "-n", cluster, "--platform", "linux/amd64"]
    result = run_ok(*line, "--plain-http")
    assert names(result.stdout) == ["credential", "image", "platform"]
    assert f"{registry.host}/team/app is sha256:" in result.stdout


def test_without_an_argument_it_checks_the_registry_of_the_environment(
    registry: DockerRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "connection" not in names(run_ok("doctor", "--plain-http").stdout)
    monkeypatch.setenv("REGCTL_REGISTRY", registry.host)
    assert "connection" in names(run_ok("doctor", "--plain-http").stdout)


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("flags", [["-n", "a,b"], ["-A"], ["-l", "team=a"]])
def test_a_pull_is_in_one_namespace(flags: list[str]) -> None:
    for subject in ("pod/web", "r.io/team/app"):
        result = run("doctor", subject, *flags)
        assert result.exit_code == 2
        assert "a pull is in one namespace" in result.stderr


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        ("pod/never-there", "there is no pod never-there"),
        ("r.io/app", "there is no service account build"),
    ],
)
def test_an_object_that_does_not_exist_is_named(cluster: str, subject: str, message: str) -> None:
    result = run("doctor", subject, "-n", cluster, "--service-account", "build")
    assert result.exit_code == 1
    assert message in result.stderr


def test_findings_are_as_bad_for_doctor_as_for_the_other_commands(tmp_path: Path) -> None:
    auth = tmp_path / "auth"
    strong, low = hashes.make("one"), hashes.make("two", cost=4)
    for content in (
        f"ci:{strong}\nbob:{low}\n",
        f"ci:{hashes.make('one', 'apr1')}\n",
        f"ci:{strong}\nci:{low}\nnonsense",
        f"#regctl:expires ci:2020-01-01\nci:{low}\n",
        f"#regctl:expires ci:2020-01-01\nci:{low}\nbob:{strong}\n",
        f"ci:{strong} \r\n:{strong}\n",
    ):
        auth.write_text(content)
        auth.chmod(0o600)
        listed = run("auth", "check", "-f", auth, "--for", "distribution", "-o", "json")
        findings = json.loads(listed.stdout)["findings"]
        checks = json.loads(run("doctor", "-f", auth, "-o", "json").stdout)["checks"]
        states = [one["state"] for one in checks if one["name"] == "auth file"]
        expected = {"error": "failure", "warning": "warning", "info": None}
        worse = [state for one in findings if (state := expected[one["severity"]])]
        assert [state for state in states if state != "ok"] == worse, content
        pushed = run(
            *("auth", "push", "-f", auth, "--for", "distribution", "--auth-secret", "a/b"),
            *("--dry-run=client", "-o", "yaml"),
        )
        assert (pushed.exit_code, listed.exit_code) == (("failure" in worse),) * 2, content


def test_each_error_in_an_auth_file_is_a_failed_check(tmp_path: Path) -> None:
    auth = tmp_path / "auth"
    auth.write_text("ci:{SHA}x\nci:{SHA}y\nnonsense\n")
    result = run("doctor", "-f", auth, "-o", "json")
    assert result.exit_code == 1
    checks = json.loads(result.stdout)["checks"]
    messages = [check["message"] for check in checks if check["state"] == "failure"]
    assert messages == [
        "lines 1, 2: ci has 2 lines: distribution uses the last line",
        "lines 1, 2: an unknown hash: ci: distribution rejects the user",
        "line 3: not NAME:HASH: it is no user; distribution keeps using the file it read before",
    ]
    assert {check["name"] for check in checks} == {"auth file", "cluster"}


def test_an_open_registry_is_a_failure_if_users_are_given(
    registry: DockerRegistry, tmp_path: Path
) -> None:
    line = ["doctor", registry.host, "--plain-http", "-o", "json"]
    auth = tmp_path / "users"
    auth.write_text(f"ci:{hashes.make('one')}\n")
    for more, state in (((), "warning"), (("-f", str(auth)), "failure")):
        checks = json.loads(run(*line, *more).stdout)["checks"]
        [found] = [one for one in checks if one["name"] == "authentication"]
        assert (found["state"], found["message"]) == (state, "none: anybody can use the registry")


@pytest.mark.parametrize(
    ("reader", "state"), [("ingress-nginx", "warning"), ("distribution", "failure")]
)
def test_for_names_the_reader_of_the_auth_file(tmp_path: Path, reader: str, state: str) -> None:
    auth = tmp_path / "auth"
    auth.write_text(f"ci:{hashes.make('one', 'apr1')}\n")
    result = run("doctor", "-f", auth, "--for", reader, "-o", "json")
    states = {one["state"] for one in json.loads(result.stdout)["checks"]}
    assert state in states
    assert result.exit_code == (1 if state == "failure" else 0)

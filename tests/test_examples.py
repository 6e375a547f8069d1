"""The examples: the API server accepts them, and regctl parses each of its lines in them."""

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from regctl.pullsecrets import sync as syncfile
from tests.cli import parse
from tests.servers.kubernetes import ApiServer

EXAMPLES = Path(__file__).parent.parent / "examples"
MANIFESTS = ["secret-sync.yaml", "doctor.yaml"]


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_api_server_accepts_it(
    name: str, kubernetes: ApiServer, program: Callable[[str], str]
) -> None:
    kubernetes.request(
        "POST", "/api/v1/namespaces", {"kind": "Namespace", "metadata": {"name": "regctl"}}
    )
    command = [program("kubectl"), "--kubeconfig", str(kubernetes.kubeconfig), "apply"]
    text = (EXAMPLES / name).read_text()
    status, _ = kubernetes.request("GET", "/apis/batch/v1/cronjobs")
    if status == 404:
        # Kubernetes 1.20, which Debian has, only knows the older version of the same CronJob.
        text = text.replace("apiVersion: batch/v1\n", "apiVersion: batch/v1beta1\n")
    applied = subprocess.run(
        [*command, "--dry-run=server", "-f", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert applied.returncode == 0, applied.stderr
    assert applied.stdout.count("created (server dry run)") == len(
        list(yaml.safe_load_all((EXAMPLES / name).read_text()))
    )


@pytest.mark.parametrize("name", MANIFESTS)
def test_the_container_runs_a_command_that_exists(name: str) -> None:
    *_, job = yaml.safe_load_all((EXAMPLES / name).read_text())
    (container,) = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"]
    parse(container["args"])


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_run_has_a_memory_limit_and_an_end(name: str) -> None:
    *_, job = yaml.safe_load_all((EXAMPLES / name).read_text())
    spec = job["spec"]["jobTemplate"]["spec"]
    assert spec["activeDeadlineSeconds"] > 0
    for container in spec["template"]["spec"]["containers"]:
        assert container["resources"]["limits"]["memory"]


def test_the_base_image_can_be_pinned_by_its_digest() -> None:
    """Both stages are built from one argument."""
    text = (EXAMPLES / "Containerfile").read_text()
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == ["${BASE}", "${BASE}"]


def test_the_declared_file_is_read() -> None:
    _, config, _ = yaml.safe_load_all((EXAMPLES / "secret-sync.yaml").read_text())
    text = config["data"]["pull-secrets.yaml"]
    assert syncfile.parse(text, source="it").name == "everywhere"


@pytest.mark.parametrize("name", ["gitlab-ci.yml", "github-actions.yml", *MANIFESTS])
def test_each_line_of_regctl_parses(name: str) -> None:
    text = (EXAMPLES / name).read_text()
    assert list(yaml.safe_load_all(text))
    lines = re.findall(r"^(?:#  |\s+- (?:run: )?|\s+run: )\s*(regctl .*)$", text, re.MULTILINE)
    assert lines
    for line in lines:
        parse(shlex.split(line.partition(" | ")[0])[1:])

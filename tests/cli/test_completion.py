"""Completion with the Tab key of real shells."""

import json
import os
import pty
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from regctl.credentials.credential import encode_auth
from tests.cli import run
from tests.servers.docker_registry import DockerRegistry
from tests.servers.kubernetes import ApiServer

SCRIPTS = Path(__file__).parent.parent.parent / "completions"
HASH = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"

# How each shell starts without the user's settings, and its first command.
INTERACTIVE = {
    "bash": (["--norc", "--noprofile", "-i"], f". {shlex.quote(str(SCRIPTS / 'regctl.bash'))}"),
    "zsh": (
        ["-f", "-i"],
        f"fpath+=({shlex.quote(str(SCRIPTS))}); autoload -Uz compinit; compinit -u -D",
    ),
}

Complete = Callable[[str], str]


@pytest.fixture(params=["bash", "zsh", "fish"])
def complete(
    request: pytest.FixtureRequest, program: Callable[[str], str], tmp_path: Path
) -> Complete:
    """Return a function that completes a line as the shell does for Tab at its end."""
    shell: str = request.param
    path = program(shell)
    where = f"{Path(sys.executable).parent}:{os.environ['PATH']}"

    def fish(line: str) -> str:
        script = f"source {SCRIPTS / 'regctl.fish'}; complete -C {shlex.quote(line)}"
        result = subprocess.run(
            [path, "--no-config", "-c", script],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PATH": where},
            cwd=tmp_path,
        )
        values = [answer.partition("\t")[0] for answer in result.stdout.splitlines()]
        return f"{line[: line.rindex(' ') + 1]}{' '.join(values)}"

    def typed(line: str) -> str:
        arguments, prepare = INTERACTIVE[shell]
        found = tmp_path / "found"
        home, end = "\x01", "\x05"
        keys = f"{prepare}\n{line}\t{home}printf %s\\\\n {end} >{found}\nexit\n"
        _press(keys, [path, *arguments], {"PATH": where, "HISTFILE": ""}, tmp_path)
        return " ".join(found.read_text().splitlines())

    return fish if shell == "fish" else typed


def _press(keys: str, command: list[str], env: dict[str, str], cwd: Path) -> None:
    """Run a program on a terminal, type *keys* and wait for its end."""
    ours, theirs = pty.openpty()
    environ = os.environ | env | {"TERM": "dumb"}
    with subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environ,
        cwd=cwd,
        start_new_session=True,
    ) as process:
        os.close(theirs)
        os.write(ours, keys.encode())
        while True:
            try:
                if not os.read(ours, 4096):
                    break
            except OSError:  # EIO: the other end is closed.
                break
        os.close(ours)
        process.wait()


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("regctl compl", "regctl completion"),
        ("regctl auth unl", "regctl auth unlock"),
        ("regctl adduser x --no-upd", "regctl adduser x --no-update"),
        ("regctl completion z", "regctl completion zsh"),
        ("regctl users --output js", "regctl users --output json"),
    ],
)
def test_the_words_of_the_command_line(complete: Complete, line: str, completed: str) -> None:
    assert complete(line) == completed


def test_users_of_the_auth_file(complete: Complete, tmp_path: Path) -> None:
    (tmp_path / "auth").write_text(f"alice:{HASH}\nbob:{HASH}\n#regctl:locked carol:{HASH}\n")
    assert complete("regctl deluser al") == "regctl deluser alice"
    assert complete("regctl deluser alice ca") == "regctl deluser alice carol"
    (tmp_path / "other").write_text(f"robot$ci:{HASH}\n")
    assert complete("regctl verify -f other rob") == "regctl verify -f other robot$ci"


def test_namespaces_and_contexts(
    complete: Complete, kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    kubernetes.create_namespace(f"{namespace}-and-more")
    line = f"regctl secret list -n default,{namespace}-a"
    assert complete(line) == f"{line}nd-more"
    assert complete("regctl secret list --context te") == "regctl secret list --context test"


def test_objects_for_a_registry_in_the_cluster(
    complete: Complete, kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    name = f"{namespace}-fast"
    storage_class = {"metadata": {"name": name}, "provisioner": "none"}
    kubernetes.request("POST", "/apis/storage.k8s.io/v1/storageclasses", storage_class)
    data = {"tls.crt": "", "tls.key": ""}
    kubernetes.create_secret(
        namespace, {"metadata": {"name": "cert"}, "type": "kubernetes.io/tls", "data": data}
    )
    line = f"regctl registry apply foo -n {namespace}"
    assert complete(f"{line} --storage-class {name[:-1]}") == f"{line} --storage-class {name}"
    assert complete(f"{line} --tls-secret ce") == f"{line} --tls-secret cert"
    run("registry", "apply", "only", "--host", "a.io", "--tls-secret", "cert", "-n", namespace)
    line = f"regctl registry delete -n {namespace}"
    assert complete(f"{line} on") == f"{line} only"
    # This cluster has no such kind: no candidates.
    line = f"regctl registry apply foo -n {namespace} --cluster-issuer le"
    assert complete(line).strip() in {line, line.rpartition(" ")[0]}


def test_no_candidates_without_an_answer(
    complete: Complete, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken").write_text("}{")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "broken"))
    for line in ("regctl secret list -n te", "regctl secret list --context te"):
        assert complete(line).strip() in {line, line.rpartition(" ")[0]}


def test_registries_repositories_and_tags_after_a_login(
    complete: Complete, registry: DockerRegistry, isolated_home: Path
) -> None:
    registry.push_image("tab/application", "1.0-beta")
    folder = isolated_home / ".docker"
    folder.mkdir()
    auth = {"auth": encode_auth("ci", "right")}
    (folder / "config.json").write_text(json.dumps({"auths": {registry.host: auth}}))
    host = registry.host
    begun = "regctl tags --plain-http"
    assert complete(f"{begun} {host[:-1]}").rstrip("/") == f"{begun} {host}"
    assert complete(f"{begun} {host}/tab/ap") == f"{begun} {host}/tab/application"
    begun = "regctl image inspect --plain-http"
    image = f"{host}/tab/application:1.0"
    assert complete(f"{begun} {image}") == f"{begun} {image}-beta"

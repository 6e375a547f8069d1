"""Completion with the Tab key of real shells."""

import fcntl
import json
import os
import pty
import shlex
import socket
import subprocess
import sys
import termios
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from regctl.credentials.credential import encode_auth
from tests.cli import run, run_process
from tests.servers.docker_registry import DockerRegistry
from tests.servers.kubernetes import Api, ApiServer

SCRIPTS = Path(__file__).parent.parent.parent / "completions"
HASH = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW"

# How each shell starts without the user's settings, and what loads the script there. The key ^G
# writes the line that is being edited to the file `line`, and ends the shell.
PROMPT = "ready> "
SHELLS = {
    "bash": (
        ["--norc", "--noprofile", "-i"],
        f"""
        . {shlex.quote(str(SCRIPTS / "regctl.bash"))}
        found() {{ printf %s "$READLINE_LINE" > line; exit; }}
        bind -x '"\\C-g": found'
        PS1={PROMPT!r}
        """,
    ),
    "zsh": (
        ["-f", "-i"],
        f"""
        fpath+=({shlex.quote(str(SCRIPTS))}); autoload -Uz compinit; compinit -u -D
        found() {{ print -rn -- "$BUFFER" > line; exit; }}
        zle -N found; bindkey '^G' found
        PS1={PROMPT!r}
        """,
    ),
    "fish": (
        ["--no-config", "-i"],
        f"""
        source {shlex.quote(str(SCRIPTS / "regctl.fish"))}
        function found; commandline > line; kill $fish_pid; end
        bind \\cg found
        function fish_prompt; echo -n {PROMPT!r}; end
        """,
    ),
}

Complete = Callable[[str], str]


@pytest.fixture(params=["bash", "zsh", "fish"])
def complete(
    request: pytest.FixtureRequest, program: Callable[[str], str], tmp_path: Path
) -> Complete:
    """Return a function that types a line and Tab in a real shell, and returns the line then."""
    arguments, prepare = SHELLS[request.param]
    command = [program(request.param), *arguments]

    def complete(line: str) -> str:
        (tmp_path / "prepare").write_text(textwrap.dedent(prepare))
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environ = os.environ | {"PATH": path, "HISTFILE": "", "TERM": "dumb"}
        _type(f"{line}\t\x07", command, environ, tmp_path)
        return (tmp_path / "line").read_text().removesuffix("\n")

    return complete


def _type(keys: str, command: list[str], environ: dict[str, str], folder: Path) -> None:
    """Run a shell on a terminal in *folder*, load `prepare`, type *keys* and wait for its end."""
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        command,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environ,
        cwd=folder,
        start_new_session=True,
        # fish needs to control its terminal.
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - no threads
    ) as process:
        os.close(theirs)
        os.write(ours, b". ./prepare\n")
        shown, typed = b"", False
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:  # EIO: the other end is closed.
                break
            if not piece:
                break
            shown += piece
            if not typed and PROMPT.encode() in shown:
                os.write(ours, keys.encode())
                typed = True
        os.close(ours)
        process.wait()


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("regctl compl", "regctl completion "),
        ("regctl auth unl", "regctl auth unlock "),
        ("regctl adduser x --no-upd", "regctl adduser x --no-update "),
        ("regctl completion z", "regctl completion zsh "),
        ("regctl users --output js", "regctl users --output json "),
        ("regctl auth check --for envoy", "regctl auth check --for envoy-gateway "),
        ("regctl auth check --for al", "regctl auth check --for all "),
        ("regctl rbac secret cr", "regctl rbac secret create "),
        ("regctl rbac rot", "regctl rbac rotate "),
    ],
)
def test_the_words_of_the_command_line(complete: Complete, line: str, completed: str) -> None:
    assert complete(line) == completed


@pytest.mark.parametrize(
    "line",
    [
        "regctl adduser newbie",
        "regctl adduser newbie ",
        "regctl nothing",
        "regctl rbac nothing",
        "regctl users -o nothing",
        "regctl secret show nothing/no",
    ],
)
def test_a_line_without_a_candidate_stays_as_it_is(complete: Complete, line: str) -> None:
    assert complete(line) == line


@pytest.mark.parametrize(
    "begun",
    [
        "image push",
        "users -f",
        "adduser x --password-file",
        "catalog --ca-file",
        "auth write",
        "secret sync",
        "secret list --kubeconfig",
        "secret list --namespaces-from",
    ],
)
def test_files(complete: Complete, tmp_path: Path, begun: str) -> None:
    (tmp_path / "application.tar").touch()
    assert complete(f"regctl {begun} appl") == f"regctl {begun} application.tar "


def test_users_of_the_auth_file(complete: Complete, tmp_path: Path) -> None:
    (tmp_path / "auth").write_text(f"alice:{HASH}\nbob:{HASH}\n#regctl:locked carol:{HASH}\n")
    assert complete("regctl deluser al") == "regctl deluser alice "
    assert complete("regctl deluser alice ca") == "regctl deluser alice carol "
    (tmp_path / "other").write_text(f"robot$ci:{HASH}\n")
    assert complete("regctl verify -f other rob") == r"regctl verify -f other robot\$ci "


def test_a_name_from_outside_is_quoted_and_never_run(complete: Complete, tmp_path: Path) -> None:
    (tmp_path / "auth").write_text(f"evil$(touch run)`touch run`;touch run:{HASH}\n")
    line = complete("regctl deluser -f auth evil")
    assert shlex.split(line) == [
        *["regctl", "deluser", "-f", "auth"],
        "evil$(touch run)`touch run`;touch run",
    ]
    assert not (tmp_path / "run").exists()


def test_namespaces_and_contexts(
    complete: Complete, kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    kubernetes.create_namespace(f"{namespace}-and-more")
    line = f"regctl secret list -n default,{namespace}-a"
    assert complete(line) == f"{line}nd-more "
    assert complete("regctl secret list --context te") == "regctl secret list --context test "


def test_objects_of_a_namespace(
    complete: Complete, kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    kubernetes.create_secret(namespace, {"metadata": {"name": "users"}})
    pull_secret = "secret create regcred --server a.io -u ci --no-verify --password-stdin"
    run(*pull_secret.split(), "-n", namespace, stdin="x")
    kubernetes.create_service_account(namespace, "builder")
    spec = {"containers": [{"name": "web", "image": "a.io/web"}], "serviceAccountName": "builder"}
    pod = {"metadata": {"name": "web-0"}, "spec": spec}
    assert kubernetes.request("POST", f"/api/v1/namespaces/{namespace}/pods", pod)[0] == 201
    for begun, end in [
        (f"secret show {namespace}/reg", "cred "),
        (f"login a.io --from-secret {namespace}/reg", "cred "),
        (f"auth push --auth-secret {namespace}/us", "ers "),
        (f"secret delete -n {namespace} reg", "cred "),
        (f"secret create --server a.io -n {namespace} --attach default,bui", "lder "),
        (f"doctor -n {namespace} pod/we", "b-0 "),
        (f"doctor -n {namespace} po", "d/"),
    ]:
        assert complete(f"regctl {begun}") == f"regctl {begun}{end}"


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
    assert complete(f"{line} --storage-class {name[:-1]}") == f"{line} --storage-class {name} "
    assert complete(f"{line} --tls-secret ce") == f"{line} --tls-secret cert "
    run("registry", "apply", "only", "--host", "a.io", "--tls-secret", "cert", "-n", namespace)
    line = f"regctl registry delete -n {namespace}"
    assert complete(f"{line} on") == f"{line} only "
    # This cluster has no such kind: no candidates.
    line = f"regctl registry apply foo -n {namespace} --cluster-issuer le"
    assert complete(line) == line


def test_no_candidates_without_an_answer(
    complete: Complete, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken").write_text("}{")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "broken"))
    for line in ("regctl secret list -n te", "regctl secret list --context te"):
        assert complete(line) == line


def test_a_server_that_never_answers_is_no_candidate_and_no_message(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        host = f"127.0.0.1:{port}"
        path = Api(f"http://{host}", tmp_path).kubeconfig
        for line in ("regctl secret list -n te", f"regctl tags --plain-http {host}/te"):
            environ = os.environ | {"KUBECONFIG": str(path), "_REGCTL_LINE": line}
            result = run_process(env=environ)
            assert (result.stdout, result.stderr) == ("", "")


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
    assert complete(f"{begun} {host[:-1]}") == f"{begun} {host}/"
    assert complete(f"{begun} {host}/tab/ap") == f"{begun} {host}/tab/application "
    begun = "regctl image inspect --plain-http"
    image = f"{host}/tab/application:1.0"
    assert complete(f"{begun} {image}") == f"{begun} {image}-beta "
    begun = f"regctl image tag --plain-http {image}-beta"
    assert complete(f"{begun} 1.0") == f"{begun} 1.0-beta "
    begun = "regctl secret create --server"
    assert complete(f"{begun} {host[:-1]}") == f"{begun} {host} "

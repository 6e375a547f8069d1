"""SIGTERM and SIGHUP in the middle of a request: regctl ends in order and leaves no file behind."""

import base64
import json
import os
import signal
import subprocess
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cli import COMMAND
from tests.conftest import Servers
from tests.saved_images import docker_archive, tar_of
from tests.servers.certificates import make_certificate
from tests.servers.standin_api import StandinApi, standin_api
from tests.servers.standin_registry import Answer, Request, StandinRegistry, standin_registry

ENDING = [(signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGINT, 130)]


class Gate:
    """Holds requests: tells of the first, and answers none before it is opened."""

    def __init__(self) -> None:
        self._arrived, self._opened = threading.Event(), threading.Event()

    def hold(self, *_request: object) -> None:
        self._arrived.set()
        self._opened.wait()

    def wait(self) -> None:
        assert self._arrived.wait(60)

    def open(self) -> None:
        self._opened.set()


def start(
    serve: Servers,
    folder: Path,
    *args: str | Path,
    env: Mapping[str, str],
    ignore: int | None = None,
) -> subprocess.Popen[str]:
    """Start regctl with *folder* for its temporary files; *ignore* is a signal, as for nohup."""
    folder.mkdir()

    def prepare() -> None:
        # A shell starts a background job with SIGINT ignored, and nohup a program with SIGHUP.
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        if ignore is not None:
            signal.signal(ignore, signal.SIG_IGN)

    running = subprocess.Popen(
        [*COMMAND, *map(str, args)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder), **env},
        preexec_fn=prepare,  # noqa: PLW1509 - it only sets signals
    )
    serve.callback(running.kill)
    return running


def kubeconfig(api: StandinApi, folder: Path) -> Path:
    """Return a kubeconfig that holds the user's certificate and key."""
    made = make_certificate(folder / "pki")
    chain, key = (base64.b64encode(it.read_bytes()).decode() for it in (made.chain, made.key))
    user = {"client-certificate-data": chain, "client-key-data": key}
    document = {
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        "clusters": [{"name": "it", "cluster": {"server": api.url}}],
        "users": [{"name": "it", "user": user}],
    }
    path = folder / "kubeconfig"
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(("number", "code"), ENDING)
def test_no_key_of_a_kubeconfig_is_left(
    serve: Servers, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    api, gate = serve(standin_api(tmp_path / "api")), Gate()
    api.before = gate.hold
    serve.callback(gate.open)
    env = {"KUBECONFIG": str(kubeconfig(api, tmp_path))}
    running = start(serve, tmp_path / "tmp", "secret", "list", "-n", "team-a", env=env)
    gate.wait()
    running.send_signal(number)
    out, err = running.communicate(timeout=60)
    assert running.returncode == code, err
    assert out == ""
    assert err.strip() == ("interrupted" if number == signal.SIGINT else f"ended by {number.name}")
    assert list((tmp_path / "tmp").iterdir()) == []


def test_a_hangup_that_nohup_ignores_stays_ignored(serve: Servers, tmp_path: Path) -> None:
    api, gate = serve(standin_api(tmp_path / "api")), Gate()
    api.before = gate.hold
    serve.callback(gate.open)
    env = {"KUBECONFIG": str(kubeconfig(api, tmp_path))}
    running = start(
        serve, tmp_path / "tmp", "secret", "list", "-n", "team-a", env=env, ignore=signal.SIGHUP
    )
    gate.wait()
    running.send_signal(signal.SIGHUP)
    gate.open()
    _, err = running.communicate(timeout=60)
    assert running.returncode == 0, err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_layer_of_an_image_is_left(
    serve: Servers, tmp_path: Path, number: signal.Signals
) -> None:
    """A layer of docker is compressed in a file without a name."""
    gate = Gate()

    def hold_uploads(request: Request) -> Answer | None:
        if request.method == "POST":
            return Answer(202, headers={"Location": f"{request.path}upload"})
        if request.method in {"PATCH", "PUT"}:
            gate.hold()
            return Answer(500, hang_up=True)
        return None

    registry = serve(standin_registry(StandinRegistry(script=hold_uploads)))
    serve.callback(gate.open)
    layers = [tar_of({"file": bytes([number]) * 100_000}) for number in range(2)]
    saved = tmp_path / "saved.tar"
    saved.write_bytes(tar_of(docker_archive((["app:1"], layers))))
    image = f"{registry.host}/app:1"
    running = start(serve, tmp_path / "tmp", "image", "push", saved, image, "--plain-http", env={})
    gate.wait()
    assert list((tmp_path / "tmp").iterdir()) == []
    running.send_signal(number)
    gate.open()
    _, err = running.communicate(timeout=60)
    assert running.returncode == (143 if number == signal.SIGTERM else -number), err
    assert "Traceback" not in err
    assert list((tmp_path / "tmp").iterdir()) == []

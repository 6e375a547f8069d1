"""One cause has one hint in every command: TLS, connection and kubeconfig."""

import datetime as dt
import http.server
import json
import os
import ssl
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from regctl.connection import NO_PROXY_URL, REMEDIES
from tests.cli import run, run_process
from tests.conftest import Servers
from tests.servers.certificates import Certificate, make_certificate
from tests.servers.docker_registry import DockerRegistry, docker_registry
from tests.servers.kubernetes import ApiServer

PAST = dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>Welcome</title>")

    def log_message(self, *_arguments: object) -> None:
        """Print nothing."""


class _PageServer(http.server.ThreadingHTTPServer):
    def handle_error(self, *_arguments: object) -> None:
        """Ignore clients that do not trust the certificate."""


@contextmanager
def page(certificate: Certificate | None = None) -> Iterator[str]:
    """Serve one HTML page on loopback; yield host and port."""
    with _PageServer(("127.0.0.1", 0), _Page) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.chain, certificate.key)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


# Registries

COMMANDS = [
    ["ping", "{}"],
    ["doctor", "{}"],
    ["catalog", "{}"],
    ["tags", "{}/app"],
    ["login", "{}", "-u", "ci", "--password-stdin"],
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("connection")


@pytest.fixture(scope="module")
def trusted(serve_module: Servers, folder: Path) -> tuple[DockerRegistry, Certificate]:
    """A registry with TLS, and its certificate."""
    certificate = make_certificate(folder / "good")
    return serve_module(docker_registry(folder / "registry", certificate=certificate)), certificate


def hint_of(words: list[str], host: str, *flags: str) -> str:
    """Return the only hint of a command that fails at *host*, or of the check that failed."""
    result = run(*(word.format(host) for word in words), *flags, stdin="secret")
    assert result.exit_code == 1, result.output
    return next(line for line in result.stderr.splitlines() if line.startswith("hint: "))[6:]


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: words[0])
def test_each_problem_of_a_registry_has_the_same_hint_in_every_command(
    words: list[str], trusted: tuple[DockerRegistry, Certificate], serve: Servers, folder: Path
) -> None:
    registry, certificate = trusted
    expired = make_certificate(folder / "expired", expires=PAST)
    other = make_certificate(folder / "other", "other.foo.com")
    found = {
        "unknown CA": hint_of(words, registry.host),
        "speaks HTTPS": hint_of(words, registry.host, "--plain-http"),
        "speaks HTTP": hint_of(words, serve(page())),
        "expired": hint_of(words, serve(page(expired)), "--ca-file", str(expired.ca_file)),
        "wrong name": hint_of(words, serve(page(other)), "--ca-file", str(other.ca_file)),
        "no connection": hint_of(words, "127.0.0.1:1"),
        "own file": hint_of(words, registry.host, "--ca-file", str(certificate.key)),
    }
    assert found == {cause: REMEDIES[cause].registry for cause in found}


@pytest.mark.parametrize(
    ("flag", "content", "reason"),
    [
        ("--ca-file", None, "No such file or directory"),
        ("--ca-file", "", "no certificate in PEM form"),
        ("--ca-file", "junk", "no certificate in PEM form"),
        ("--client-cert", None, "No such file or directory"),
        ("--client-cert", "junk", "not PEM, encrypted, or of another key"),
    ],
)
def test_a_bad_certificate_of_ours_is_named(
    trusted: tuple[DockerRegistry, Certificate],
    tmp_path: Path,
    flag: str,
    content: str | None,
    reason: str,
) -> None:
    registry, certificate = trusted
    file = tmp_path / "file.pem"
    if content is not None:
        file.write_text(content)
    ca = ["--ca-file", str(certificate.ca_file)] if flag != "--ca-file" else []
    for command in ("ping", "doctor", "catalog"):
        result = run(command, registry.host, *ca, flag, file)
        assert result.exit_code == 1
        assert f"{file}: {reason}" in result.stderr


# The API server


def kubeconfig(path: Path, server: ApiServer, **changes: Any) -> Path:
    """Write a kubeconfig whose cluster or user has other content."""
    document = json.loads(server.kubeconfig.read_text())
    for part, content in changes.items():
        document[f"{part}s"][0][part] = content
    path.write_text(json.dumps(document))
    return path


@pytest.mark.parametrize(
    "words",
    [["secret", "list", "-A"], ["auth", "pull", "--auth-secret", "a/b"], ["rotate", "ci", "-A"]],
    ids=lambda words: " ".join(words[:2]),
)
def test_each_problem_of_a_cluster_has_the_same_hint_in_every_command(
    words: list[str], kubernetes: ApiServer, serve: Servers, tmp_path: Path
) -> None:
    expired = make_certificate(tmp_path / "expired", expires=PAST)
    other = make_certificate(tmp_path / "other", "other.foo.com")
    good = make_certificate(tmp_path / "good")
    (tmp_path / "junk").write_text("junk")
    port = kubernetes.url.rpartition(":")[2]

    def at(host: str, ca_file: Path) -> dict[str, str]:
        return {"server": f"https://{host}", "certificate-authority": str(ca_file)}

    clusters = {
        "unknown CA": {"server": kubernetes.url},
        "expired": at(serve(page(expired)), expired.ca_file),
        "wrong name": at(serve(page(other)), other.ca_file),
        "other server": at(serve(page(good)), good.ca_file),
        "speaks HTTP": {"server": f"https://{serve(page())}"},
        "speaks HTTPS": {"server": f"http://127.0.0.1:{port}"},
        "no connection": {"server": "https://127.0.0.1:1"},
        "own file": at(f"127.0.0.1:{port}", tmp_path / "junk"),
    }
    found = {}
    for cause, cluster in clusters.items():
        path = kubeconfig(tmp_path / "config", kubernetes, cluster=cluster)
        flags = ["--kubeconfig", str(path), "--timeout", "0.1s"]
        result = run(*words, *flags, env={"REGCTL_REGISTRY": "r.io"})
        assert result.exit_code == 1, result.output
        hints = [line for line in result.stderr.splitlines() if line.startswith("hint: ")]
        found[cause] = hints[-1].removeprefix("hint: ")
    assert found == {cause: REMEDIES[cause].cluster for cause in found}


def fails(path: Path, *flags: str) -> list[str]:
    """Return error and hint of a command with this kubeconfig."""
    result = run("secret", "list", "-A", "--kubeconfig", path, *flags)
    assert result.exit_code == 1, result.output
    return result.stderr.splitlines()


def test_a_missing_plug_in_is_named(kubernetes: ApiServer, tmp_path: Path) -> None:
    plugin = {
        "command": "aws-iam-authenticator",
        "apiVersion": "client.authentication.k8s.io/v1",
        "interactiveMode": "Never",
    }
    path = kubeconfig(tmp_path / "config", kubernetes, user={"exec": plugin})
    error, hint = fails(path)
    assert error.endswith(f"{path}: the plug-in aws-iam-authenticator is not installed")
    assert hint == f"hint: {REMEDIES['plug-in'].cluster}"


def test_an_unknown_context_is_answered_with_those_that_exist(
    kubernetes: ApiServer, tmp_path: Path
) -> None:
    path = kubeconfig(tmp_path / "config", kubernetes)
    assert fails(path, "--context", "prod") == [
        f"error: the kubeconfig {path} has no context prod",
        "hint: pass --context with one of: test",
    ]
    document = json.loads(path.read_text())
    del document["current-context"]
    path.write_text(json.dumps(document))
    assert fails(path) == [
        f"error: the kubeconfig {path} has no current context",
        "hint: pass --context with one of: test",
    ]


def test_an_unreadable_or_malformed_kubeconfig_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (error,) = fails(tmp_path / "folder")
    assert error.endswith(f"cannot read {tmp_path}/folder: Is a directory")
    (tmp_path / "config").write_text("a: [")
    error, hint = fails(tmp_path / "config")
    assert error == (
        f"error: cannot use the current context of the kubeconfig {tmp_path}/config: "
        "it is malformed"
    )
    assert hint == f"hint: {REMEDIES['kubeconfig'].cluster}"


@pytest.mark.parametrize("proxy", ["http://me:s3cret@[::1", "ftp://me:s3cret@x", "socks9://x:1"])
def test_a_proxy_that_is_no_url_is_an_error_without_its_password(
    kubernetes: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    """In 1.0 the library's exception ended `ping` and every command for the cluster."""
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    commands = [["ping", "r.io"], ["catalog", "r.io"], ["doctor", "r.io"]]
    found = [run(*command) for command in commands]
    cluster = {"server": kubernetes.url, "proxy-url": proxy}
    path = kubeconfig(tmp_path / "config", kubernetes, cluster=cluster)
    found.append(run("secret", "list", "-A", "--kubeconfig", path))
    for result in found:
        assert result.exit_code == 1
        assert NO_PROXY_URL in result.stderr
        assert "hint: check $HTTPS_PROXY" in result.stderr
        assert "s3cret" not in result.output


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_kubeconfig_of_another_user_is_named() -> None:
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        path = Path(folder, "config")
        path.touch(mode=0o600)
        os.seteuid(65534)
        try:
            (error,) = fails(path)
        finally:
            os.seteuid(0)
    assert error.endswith(f"cannot read {path}: Permission denied")


def test_a_bad_selector_is_explained_by_the_server(kubernetes: ApiServer) -> None:
    result = run("secret", "list", "-l", "a===", "--kubeconfig", kubernetes.kubeconfig)
    error, *_ = result.stderr.splitlines()
    assert error == (
        "error: cannot list namespaces that match 'a===': the API server answers 400 BadRequest: "
        "unable to parse requirement: found '=', expected: identifier"
    )


def test_a_cluster_without_verification_is_used_in_silence(
    kubernetes: ApiServer, tmp_path: Path
) -> None:
    """As kubectl does; urllib3 would warn of each request."""
    cluster = {"server": kubernetes.url, "insecure-skip-tls-verify": True}
    path = kubeconfig(tmp_path / "config", kubernetes, cluster=cluster)
    result = run_process("secret", "list", "-A", "-q", "--kubeconfig", path)
    assert (result.returncode, result.stderr) == (0, "")


def test_a_registry_without_verification_is_used_without_warnings_of_the_library(
    trusted: tuple[DockerRegistry, Certificate],
) -> None:
    registry, _ = trusted
    result = run_process("catalog", registry.host, "-q", "--insecure-skip-tls-verify")
    assert (result.returncode, result.stderr) == (0, "")

"""One request and its response: trusted certificates, cookies, compression."""

import dataclasses
import gzip
import ssl
import threading
import warnings
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization

from regctl import errors
from regctl.registry.transport import ConnectionSettings
from tests.conftest import Servers
from tests.registry import PLAIN, connect
from tests.servers.certificates import Certificate, make_certificate
from tests.servers.docker_registry import docker_registry
from tests.servers.standin_registry import (
    Answer,
    StandinRegistry,
    in_turn,
    standin_registry,
)

# Trust


def test_the_certificates_of_the_system_are_trusted(
    serve: Servers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path / "tls")
    host = serve(docker_registry(tmp_path / "registry", certificate=certificate)).host
    with pytest.raises(errors.CertificateError):
        connect(host, settings=ConnectionSettings()).ping()
    # Where OpenSSL looks for the system's certificates.
    monkeypatch.setenv(ssl.get_default_verify_paths().openssl_cafile_env, str(certificate.ca_file))
    connect(host, settings=ConnectionSettings()).ping()


def test_a_certificate_for_another_name_is_rejected(serve: Servers, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path / "tls", "registry.foo.com")
    host = serve(docker_registry(tmp_path / "registry", certificate=certificate)).host
    with pytest.raises(errors.CertificateError, match=r"not valid for '127\.0\.0\.1'"):
        connect(host, settings=ConnectionSettings(ca_file=certificate.ca_file)).ping()


def test_skipping_verification_prints_no_warning(serve: Servers, tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path / "tls")
    host = serve(docker_registry(tmp_path / "registry", certificate=certificate)).host
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        connect(host, settings=ConnectionSettings(insecure_skip_tls_verify=True)).ping()


@pytest.mark.parametrize(
    ("content", "message"), [(None, "No such file"), (b"text", "no certificate")]
)
def test_an_unusable_ca_file_is_named(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(errors.CertificateError, match=message):
        connect("127.0.0.1:1", settings=ConnectionSettings(ca_file=path)).ping()


@pytest.fixture
def mutual_tls(tmp_path: Path) -> Iterator[tuple[str, Certificate]]:
    """A server that answers every GET with `{}`, and only to its own certificate as a client's."""
    certificate = make_certificate(tmp_path / "tls")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificate.ca_file))
    context.load_cert_chain(certificate.chain, certificate.key)
    context.verify_mode = ssl.CERT_REQUIRED

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_arguments: object) -> None:
            """Print nothing."""

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_arguments: object) -> None:
            """Print nothing about a client without a certificate."""

    with Quiet(("127.0.0.1", 0), Answering) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"127.0.0.1:{server.server_port}", certificate
        server.shutdown()


@pytest.mark.parametrize("skips", [False, True])
def test_a_client_certificate_is_sent(mutual_tls: tuple[str, Certificate], *, skips: bool) -> None:
    host, certificate = mutual_tls
    trusting = ConnectionSettings(
        ca_file=certificate.ca_file, insecure_skip_tls_verify=skips, backoff=PLAIN.backoff
    )
    with pytest.raises(errors.RegistryError):
        connect(host, settings=trusting).ping()
    with_certificate = dataclasses.replace(
        trusting, client_cert=certificate.chain, client_key=certificate.key
    )
    connect(host, settings=with_certificate).ping()


def test_an_unusable_client_certificate_is_named(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path / "tls")
    missing = ConnectionSettings(client_cert=certificate.chain, client_key=tmp_path / "none")
    with pytest.raises(errors.CertificateError, match=r"with the key .*/none: No such file"):
        connect("127.0.0.1:1", settings=missing).ping()


def test_an_encrypted_key_never_prompts(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path / "tls")
    key = serialization.load_pem_private_key(certificate.key.read_bytes(), None)
    certificate.key.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    encrypted = ConnectionSettings(client_cert=certificate.chain, client_key=certificate.key)
    with pytest.raises(
        errors.CertificateError, match=r"cannot read the client certificate .*: not PEM, encrypted"
    ):
        connect("127.0.0.1:1", settings=encrypted).ping()


# Headers


def test_a_cookie_is_never_sent_back(serve: Servers) -> None:
    cookie = Answer.of({}, headers={"Set-Cookie": "sid=1; Path=/"})
    registry = serve(standin_registry(StandinRegistry(script=in_turn(cookie))))
    for _ in range(2):
        client = connect(registry.host)
        client.ping()
        client.ping()
    assert all("cookie" not in request.headers for request in registry.requests)


# Compression


CONTENT = b'{"repositories":["a","b"]}'


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        ("gzip", gzip.compress(CONTENT, mtime=0)),
        ("X-GZIP", gzip.compress(CONTENT, mtime=0)),
        ("gzip", gzip.compress(CONTENT[:10], mtime=0) + gzip.compress(CONTENT[10:], mtime=0)),
        ("deflate", zlib.compress(CONTENT)),
        ("identity", CONTENT),
    ],
)
def test_compressed_responses_are_read(serve: Servers, encoding: str, body: bytes) -> None:
    answer = Answer(200, body, {"Content-Encoding": encoding})
    registry = serve(standin_registry(StandinRegistry(script=lambda _request: answer)))
    assert list(connect(registry.host).repositories()) == ["a", "b"]


def test_a_truncated_compressed_response_is_an_error(serve: Servers) -> None:
    answer = Answer(200, gzip.compress(CONTENT)[:-9], {"Content-Encoding": "gzip"})
    registry = serve(standin_registry(StandinRegistry(script=lambda _request: answer)))
    with pytest.raises(errors.RegistryError, match="not compressed as its header says"):
        list(connect(registry.host).repositories())

"""Certificates of docker and podman for one registry, and what need not be typed on every line."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from regctl.registry.certificates import host_certificates
from tests.cli import run, run_ok
from tests.conftest import Servers
from tests.servers.certificates import Certificate, make_certificate
from tests.servers.docker_registry import DockerRegistry, docker_registry


@pytest.fixture
def private(serve: Servers, tmp_path: Path) -> tuple[DockerRegistry, Certificate]:
    """Return a registry whose certificate nobody trusts, and that certificate."""
    certificate = make_certificate(tmp_path / "tls")
    return serve(docker_registry(tmp_path / "registry", certificate=certificate)), certificate


@contextmanager
def certs_d(home: Path, program: str, host: str) -> Iterator[Path]:
    folder = home / ".config" / program / "certs.d" / host
    folder.mkdir(parents=True)
    yield folder


@pytest.mark.parametrize("program", ["docker", "containers"])
def test_a_ca_in_certs_d_is_trusted_for_its_host(
    private: tuple[DockerRegistry, Certificate], isolated_home: Path, program: str
) -> None:
    registry, certificate = private
    assert run("catalog", registry.host).exit_code == 1
    with certs_d(isolated_home, program, registry.host) as folder:
        (folder / "ca.crt").write_bytes(certificate.ca_file.read_bytes())
    run_ok("catalog", registry.host)
    assert "TLS\tok\ttrusted" in run_ok("ping", registry.host).stdout


def test_a_ca_in_certs_d_is_not_trusted_for_another_host(
    private: tuple[DockerRegistry, Certificate], isolated_home: Path
) -> None:
    registry, certificate = private
    with certs_d(isolated_home, "docker", "127.0.0.1") as folder:
        (folder / "ca.crt").write_bytes(certificate.ca_file.read_bytes())
    assert "not trusted" in run("catalog", registry.host).stderr


def test_a_flag_is_used_in_place_of_certs_d(
    private: tuple[DockerRegistry, Certificate], isolated_home: Path, tmp_path: Path
) -> None:
    registry, certificate = private
    other = make_certificate(tmp_path / "other").ca_file
    with certs_d(isolated_home, "docker", registry.host) as folder:
        (folder / "ca.crt").write_bytes(certificate.ca_file.read_bytes())
    assert "not trusted" in run("catalog", registry.host, "--ca-file", other).stderr


def test_a_broken_certificate_is_named(
    private: tuple[DockerRegistry, Certificate], isolated_home: Path
) -> None:
    with certs_d(isolated_home, "docker", private[0].host) as folder:
        (folder / "ca.crt").write_text("nothing")
    assert f"cannot read the CA file {folder / 'ca.crt'}" in run("ping", private[0].host).stderr


def test_client_certificates_have_their_key_beside_them(tmp_path: Path) -> None:
    (tmp_path / "a.io:5000").mkdir()
    for name in ("ca.crt", "client.cert", "client.key", "other.txt"):
        (tmp_path / "a.io:5000" / name).touch()
    found = host_certificates("a.io:5000", [tmp_path / "none", tmp_path])
    assert found.authorities == (tmp_path / "a.io:5000" / "ca.crt",)
    pair = (tmp_path / "a.io:5000" / "client.cert", tmp_path / "a.io:5000" / "client.key")
    assert found.clients == (pair,)
    assert host_certificates("a.io", [tmp_path]).authorities == ()


def test_the_ca_file_of_the_environment_is_used_without_the_flag(
    private: tuple[DockerRegistry, Certificate], monkeypatch: pytest.MonkeyPatch
) -> None:
    registry, certificate = private
    monkeypatch.setenv("REGCTL_CA_FILE", str(certificate.ca_file))
    run_ok("catalog", registry.host)
    monkeypatch.setenv("REGCTL_CA_FILE", "/nonexistent")
    assert "cannot read the CA file /nonexistent" in run("catalog", registry.host).stderr

"""The same tests for stand-ins of five products and the real registry, and the products' table."""

import hashlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import pytest

from regctl import errors
from regctl.authfile import hashes
from regctl.credentials.credential import Credential
from regctl.reference import Registry
from regctl.registry import products
from regctl.registry.client import RegistryClient
from regctl.registry.pagination import ListQuery
from regctl.registry.transport import ConnectionSettings
from tests.conftest import Servers
from tests.registry import PLAIN, connect
from tests.servers.certificates import make_certificate
from tests.servers.docker_registry import docker_registry
from tests.servers.nginx import nginx
from tests.servers.products import (
    IMAGES,
    PASSWORD,
    USER,
    Product,
    harbor,
    nexus,
    quay,
    token_registry,
    zot,
)
from tests.servers.standin_registry import Answer, StandinRegistry, standin_registry

QUERY = ListQuery("/v2/_catalog", "repositories", "cannot list")


@dataclass
class Subject:
    """A registry with IMAGES in it, which accepts USER with PASSWORD."""

    host: str
    settings: ConnectionSettings

    def client(self, password: str | None = PASSWORD) -> RegistryClient:
        credential = Credential(USER, password) if password is not None else None
        return connect(self.host, credential, self.settings)


STANDINS: dict[str, Callable[[], AbstractContextManager[Product]]] = {
    "token server": token_registry,
    "harbor": harbor,
    "quay": quay,
    "zot": zot,
    "nexus": nexus,
}


def real(serve: Servers, folder: Path) -> tuple[str, Path]:
    """Run the real registry with the same user and images; return its host and auth file."""
    auth_file = folder / "auth"
    auth_file.write_text(f"{USER}:{hashes.make(PASSWORD, cost=4)}\n")
    host = serve(docker_registry(folder / "registry", auth_file=auth_file))
    for repository, tags in IMAGES.items():
        for tag in tags:
            host.push_image(repository, tag, user=(USER, PASSWORD))
    return host.host, auth_file


@pytest.fixture(
    scope="module", params=[*STANDINS, "distribution", "distribution behind nginx with TLS"]
)
def subject(
    request: pytest.FixtureRequest,
    serve_module: Servers,
    tmp_path_factory: pytest.TempPathFactory,
) -> Subject:
    if request.param in STANDINS:
        return Subject(serve_module(STANDINS[request.param]()).host, PLAIN)
    folder = tmp_path_factory.mktemp("real")
    host, auth_file = real(serve_module, folder)
    if request.param == "distribution":
        return Subject(host, PLAIN)
    certificate = make_certificate(folder / "tls")
    front = serve_module(
        nginx(folder / "nginx", upstream=host, auth_file=auth_file, certificate=certificate)
    )
    return Subject(front.host, ConnectionSettings(ca_file=certificate.ca_file))


def test_every_repository_is_listed_once(subject: Subject) -> None:
    assert sorted(subject.client().repositories()) == sorted(IMAGES)


def test_tags_are_listed_sorted(subject: Subject) -> None:
    client = subject.client()
    assert {name: client.tags(name) for name in IMAGES} == IMAGES


def test_a_manifest_has_the_digest_of_its_content(subject: Subject) -> None:
    client = subject.client()
    by_tag = client.manifest("team/app", "1.0")
    assert by_tag.digest == f"sha256:{hashlib.sha256(by_tag.body).hexdigest()}"
    assert client.manifest("team/app", by_tag.digest) == by_tag


def test_a_missing_repository_tag_or_blob_is_not_found(subject: Subject) -> None:
    for ask in (
        lambda: subject.client().tags("never/there"),
        lambda: subject.client().manifest("team/app", "0.0"),
        lambda: subject.client().blob("team/app", f"sha256:{'0' * 64}"),
    ):
        with pytest.raises(errors.NotInRegistryError):
            ask()


def test_a_wrong_password_is_rejected_with_the_user_named(subject: Subject) -> None:
    client = subject.client("wrong")
    with pytest.raises(errors.NotAuthenticatedError, match=r"password of robot\$ci"):
        client.tags("team/app")
    with pytest.raises(errors.AccessError):
        list(client.repositories())
    with pytest.raises(errors.NotAuthenticatedError, match=r"password of robot\$ci"):
        client.ping()


def test_the_correct_password_is_accepted(subject: Subject) -> None:
    subject.client().ping()


@pytest.mark.parametrize(
    ("words", "name"),
    [
        ("https://harbor.foo.com/service/token harbor-registry", "Harbor"),
        ("https://gitlab.foo.com/jwt/auth container_registry", "GitLab"),
        ("Sonatype NEXUS Repository Manager", "Nexus"),
        ("https://auth.docker.io/token registry.docker.io", "Docker Hub"),
        ("basic-realm", None),
    ],
)
def test_a_product_is_identified_by_its_mark(words: str, name: str | None) -> None:
    found = products.identify(words)
    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    ("host", "error", "message"),
    [
        ("docker.io", errors.NotAuthenticatedError("x"), "docker.io: it has no catalog for users"),
        ("ghcr.io", errors.NotInRegistryError("x"), "ghcr.io: it has no catalog for users"),
        (
            "registry.gitlab.com",
            errors.NotPermittedError("x"),
            "registry.gitlab.com: it has no catalog for users",
        ),
        ("registry.foo.com", errors.NotInRegistryError("x"), "x: the registry has no catalog"),
        ("registry.foo.com", errors.NotPermittedError("x"), None),
    ],
)
def test_a_registry_without_a_catalog_is_named(
    host: str, error: errors.RegctlError, message: str | None
) -> None:
    found = products.catalog_error(Registry(host), error)
    assert (found is None) == (message is None)
    assert message is None or message in str(found)


def test_harbor_is_detected_and_others_are_not(serve: Servers) -> None:
    credential = Credential(USER, PASSWORD)
    session = connect(serve(harbor()).host, credential)
    assert products.is_harbor(session, "cannot list")
    pages = products.harbor_pages(session, QUERY)
    assert [name for page in pages for name in page] == sorted(IMAGES)
    assert not products.is_harbor(connect(serve(zot()).host, credential), "cannot list")


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (Answer(401), errors.NotAuthenticatedError, "Harbor rejects the user or the password"),
        (Answer(500), errors.RegistryError, "Harbor's API answers 500"),
        (Answer.of({}), errors.RegistryError, "is not a JSON list"),
    ],
)
def test_an_unusable_list_of_harbor_is_a_named_error(
    serve: Servers, answer: Answer, error: type[errors.RegctlError], message: str
) -> None:
    state = StandinRegistry(script=lambda _: answer)
    session = connect(serve(standin_registry(state)).host)
    with pytest.raises(error, match=message):
        list(products.harbor_pages(session, QUERY))

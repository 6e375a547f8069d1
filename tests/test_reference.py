import pytest

from regctl.errors import InvalidReferenceError
from regctl.reference import ImageReference, Registry, parse_registry_or_image


@pytest.mark.parametrize(
    ("typed", "host"),
    [
        ("registry.foo.com", "registry.foo.com"),
        ("Registry.Foo.com", "registry.foo.com"),
        ("registry.foo.com:5000", "registry.foo.com:5000"),
        ("https://registry.foo.com/v2/_catalog", "registry.foo.com"),
        ("http://localhost:5000/", "localhost:5000"),
        ("registry.foo.com/team/app", "registry.foo.com"),
        ("[::1]:5000", "[::1]:5000"),
        ("  registry.foo.com\n", "registry.foo.com"),
        ("https://index.docker.io/v1/", "docker.io"),
        ("registry-1.docker.io", "registry-1.docker.io"),
        ("docker.io", "docker.io"),
    ],
)
def test_a_registry_is_parsed_from_pasted_text(typed: str, host: str) -> None:
    assert Registry.parse(typed).host == host


@pytest.mark.parametrize(
    "typed",
    ["", "   ", "https://", "foo bar", "foo_bar", "-foo", "foo:0", "foo:65536", "foo:http",
     "ftp://foo.com", "foo..com", "foo\x1b[2J", "/v2/", "https://[::1", "https://[::1]x",
     "http://a]b", "[::::]", "https://[1.2]", "https://\u2100.com", "https://\udc80",
     "a" * 64, "a." * 127 + "a", "a" * 1_000_000],
)  # fmt: skip
def test_text_that_names_no_registry_is_rejected(typed: str) -> None:
    with pytest.raises(InvalidReferenceError):
        Registry.parse(typed)


@pytest.mark.parametrize("scheme", ["https://", "ftp://", ""])
def test_a_password_in_a_pasted_url_is_rejected_and_not_shown(scheme: str) -> None:
    with pytest.raises(InvalidReferenceError) as caught:
        Registry.parse(f"{scheme}alice:hunter2@registry.foo.com/")
    assert "hunter2" not in caught.value.message
    assert "registry.foo.com" in caught.value.message


def test_docker_hub_has_its_own_key_and_endpoint() -> None:
    hub = Registry.parse("docker.io")
    assert (hub.key, hub.endpoint) == ("https://index.docker.io/v1/", "registry-1.docker.io")
    own = Registry.parse("registry.foo.com:5000")
    assert (own.key, own.endpoint) == ("registry.foo.com:5000", "registry.foo.com:5000")


DIGEST = "sha256:" + "ab" * 32


@pytest.mark.parametrize(
    ("typed", "registry", "repository", "tag", "digest"),
    [
        ("registry.foo.com/app", "registry.foo.com", "app", None, None),
        ("registry.foo.com:5000/team/app:1.2", "registry.foo.com:5000", "team/app", "1.2", None),
        ("localhost/app:x", "localhost", "app", "x", None),
        ("nginx", "docker.io", "library/nginx", None, None),
        ("team/app", "docker.io", "team/app", None, None),
        (f"r.io/a/b@{DIGEST}", "r.io", "a/b", None, DIGEST),
        (f"r.io/a/b:t@{DIGEST}", "r.io", "a/b", "t", DIGEST),
    ],
)
def test_an_image_is_parsed_as_docker_does(
    typed: str, registry: str, repository: str, tag: str | None, digest: str | None
) -> None:
    image = ImageReference.parse(typed)
    assert image == ImageReference(Registry(registry), repository, tag, digest)
    assert ImageReference.parse(str(image)) == image


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "r.io/",
        "r.io/App",
        "r.io/a:",
        "r.io/a:b:c",
        "r.io/a@sha256:12",
        "r.io/a/../b",
        "r.io/a b",
    ],
)
def test_text_that_docker_would_reject_is_rejected(typed: str) -> None:
    with pytest.raises(InvalidReferenceError):
        ImageReference.parse(typed)


def test_an_image_is_requested_by_digest_then_tag_then_latest() -> None:
    assert ImageReference.parse(f"r.io/a:t@{DIGEST}").reference == DIGEST
    assert ImageReference.parse("r.io/a:t").reference == "t"
    assert ImageReference.parse("r.io/a").reference == "latest"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("registry.foo.com", Registry("registry.foo.com")),
        ("registry.foo.com/", Registry("registry.foo.com")),
        ("registry", Registry("registry")),
        ("localhost:5000", Registry("localhost:5000")),
        ("https://registry.foo.com/v2/", Registry("registry.foo.com")),
        ("registry.foo.com/v2/_catalog", Registry("registry.foo.com")),
        ("https://index.docker.io/v1/", Registry("docker.io")),
        ("registry.foo.com/app", ImageReference(Registry("registry.foo.com"), "app")),
        ("registry.foo.com/v2app:1", ImageReference(Registry("registry.foo.com"), "v2app", "1")),
        (
            "https://localhost:5000/team/app:1.0",
            ImageReference(Registry("localhost:5000"), "team/app", "1.0"),
        ),
        ("team/app", ImageReference(Registry("docker.io"), "team/app")),
    ],
)
def test_a_name_after_the_slash_makes_an_image(text: str, found: Registry | ImageReference) -> None:
    assert parse_registry_or_image(text) == found


@pytest.mark.parametrize(
    "text", ["", "ftp://registry.foo.com/app", "https://ci:hunter2@registry.foo.com/app", "a b/c"]
)
def test_what_is_neither_a_registry_nor_an_image_is_refused(text: str) -> None:
    with pytest.raises(InvalidReferenceError) as caught:
        parse_registry_or_image(text)
    assert "hunter2" not in caught.value.message

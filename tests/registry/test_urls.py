"""Where a registry may send us: its redirects, token servers and locations."""

import contextlib
import socket
from urllib.parse import urlsplit

import pytest
import requests
from hypothesis import example, given
from hypothesis import strategies as st

from regctl import errors
from regctl.registry.urls import (
    AddressClass,
    UrlGate,
    address_classes,
    host_of,
    origin_of,
    resolve,
    resolve_location,
    same_origin,
)

ORIGIN = "https://registry.foo.com"
CATALOG = f"{ORIGIN}/v2/_catalog"

# Names that resolve; any other name under foo.com is public, and all others are unknown.
ADDRESSES = {
    "inside.foo.com": ["10.0.0.7"],
    "metadata.foo.com": ["169.254.169.254"],
    "both.foo.com": ["8.8.8.8", "127.0.0.1"],
}


@pytest.fixture(autouse=True)
def no_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, *_args: object, **_options: object) -> list[tuple[object, ...]]:
        if not host.endswith(".foo.com"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [
            (socket.AF_INET, socket.SOCK_STREAM, 0, "", (address, 0))
            for address in ADDRESSES.get(host, ["8.8.8.8"])
        ]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://registry.foo.com/v2/", "https://registry.foo.com"),
        ("HTTPS://Registry.FOO.com:443/v2/?a=b", "https://registry.foo.com"),
        ("http://registry.foo.com:80", "http://registry.foo.com"),
        ("http://registry.foo.com:443", "http://registry.foo.com:443"),
        ("https://ci:secret@registry.foo.com:5000/", "https://registry.foo.com:5000"),
        ("https://[::1]:5000/", "https://[::1]:5000"),
    ],
)
def test_an_origin_is_scheme_host_and_port(url: str, origin: str) -> None:
    assert origin_of(url) == origin
    assert same_origin(url, origin)


@pytest.mark.parametrize(
    "other",
    [
        "http://registry.foo.com",
        "https://registry.foo.com:5000",
        "https://registry.foo.com.evil.example",
        "https://evil.example/registry.foo.com",
        "https://registry.foo.com@evil.example",
        "https://[",
    ],
)
def test_another_scheme_host_or_port_is_another_origin(other: str) -> None:
    assert not same_origin(ORIGIN, other)


# Characters that parsers of URLs disagree about.
HOSTILE = st.text(st.sampled_from("ab.@:/\\?#[]%5 0é\uff11\u3002-_\t\n*"), max_size=14)


@given(st.builds("".join, st.tuples(st.sampled_from(["https://", "http://", "//", ""]), HOSTILE)))
@example("https://registry.foo.com\\@evil.example/")
@example("https://evil.example\\@registry.foo.com/")
@example("https://registry.foo.com#@evil.example/")
@example("https://registry.foo.com:0/")
@example("//a?b#c")
def test_the_server_that_is_checked_gets_the_request(url: str) -> None:
    """requests parses it with urllib3, and connects to what urllib.parse finds in the result."""
    with contextlib.suppress(errors.UntrustedUrlError):
        parts = resolve(url, CATALOG, "it")
        sent = requests.Request("GET", parts.url).prepare().url
        assert sent is not None
        assert origin_of(sent) == origin_of(parts.url)
        connected = urlsplit(sent)
        assert (connected.scheme, connected.hostname) == (
            parts.scheme,
            (parts.host or "").strip("[]"),
        )
        assert connected.port == parts.port


def test_a_host_in_a_message_has_no_user() -> None:
    assert host_of("https://ci:secret@registry.foo.com:5000/v2/") == "registry.foo.com:5000"
    assert host_of("https://[") == ""


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("8.8.8.8", AddressClass.PUBLIC),
        ("registry.foo.com", AddressClass.PUBLIC),
        ("unknown.example", AddressClass.PUBLIC),
        ("10.1.2.3", AddressClass.PRIVATE),
        ("fd00::1", AddressClass.PRIVATE),
        ("inside.foo.com", AddressClass.PRIVATE),
        ("169.254.169.254", AddressClass.LINK_LOCAL),
        ("fe80::1%eth0", AddressClass.LINK_LOCAL),
        ("127.0.0.1", AddressClass.LOOPBACK),
        ("::1", AddressClass.LOOPBACK),
        ("::ffff:127.0.0.1", AddressClass.LOOPBACK),
        ("0.0.0.0", AddressClass.LOOPBACK),  # noqa: S104 - an address to classify
        ("localhost", AddressClass.LOOPBACK),
        ("registry.localhost", AddressClass.LOOPBACK),
        ("registry.localhost.", AddressClass.LOOPBACK),
        ("[::1]", AddressClass.LOOPBACK),
        ("64:ff9b::7f00:1", AddressClass.LOOPBACK),
        ("2002:7f00:1::", AddressClass.LOOPBACK),
    ],
)
def test_a_host_has_the_class_of_its_address(host: str, expected: AddressClass) -> None:
    assert address_classes(host) == {expected}


def test_a_host_has_the_classes_of_all_its_addresses() -> None:
    assert address_classes("both.foo.com") == {AddressClass.PUBLIC, AddressClass.LOOPBACK}


@pytest.mark.parametrize(
    ("origin", "realm"),
    [
        (ORIGIN, "https://auth.foo.com/token"),
        (ORIGIN, "https://elsewhere.example/token?a=%2F"),
        (ORIGIN, "https://8.8.8.8:8443/token"),
        ("http://registry.foo.com:5000", "http://auth.foo.com/token"),
        ("https://10.0.0.7:5000", "https://10.0.0.1/token"),
        ("https://inside.foo.com", "https://10.9.9.9/token"),
        ("https://inside.foo.com", "https://inside.foo.com:8443/token"),
        ("https://localhost:5000", "https://127.0.0.1/token"),
        ("https://127.1:5000", "https://127.1:5000/token"),
    ],
)
def test_a_token_server_as_close_as_the_registry_gets_the_password(origin: str, realm: str) -> None:
    assert UrlGate(origin).realm(realm, f"{origin}/v2/", "cannot try") == realm


def test_a_relative_realm_is_of_the_registry() -> None:
    assert UrlGate(ORIGIN).realm("/token#x", CATALOG, "cannot try") == f"{ORIGIN}/token"


@pytest.mark.parametrize(
    ("origin", "realm", "reason"),
    [
        (ORIGIN, "http://auth.foo.com/token", "auth.foo.com is not HTTPS"),
        (ORIGIN, "https://localhost/token", "localhost is on this machine"),
        (ORIGIN, "https://127.0.0.1/token", "is on this machine"),
        (ORIGIN, "https://169.254.169.254/latest", "is in the link-local network"),
        (ORIGIN, "https://[::1]/token", "is on this machine"),
        (ORIGIN, "https://[64:ff9b::7f00:1]/token", "is on this machine"),
        (ORIGIN, "https://10.0.0.1/token", "10.0.0.1 is in a private network"),
        (ORIGIN, "https://inside.foo.com/token", "is in a private network"),
        (ORIGIN, "https://both.foo.com/token", "is on this machine"),
        ("https://both.foo.com", "https://127.0.0.1/token", "is on this machine"),
        ("https://inside.foo.com", "https://metadata.foo.com/", "is in the link-local network"),
        ("https://localhost:5000", "https://metadata.foo.com/", "is in the link-local network"),
        (ORIGIN, "https://eve:x@auth.foo.com/token", "has a user in its URL"),
    ],
)
def test_any_other_token_server_gets_no_password(origin: str, realm: str, reason: str) -> None:
    with pytest.raises(errors.UntrustedUrlError, match=reason):
        UrlGate(origin).realm(realm, f"{origin}/v2/", "cannot try")


# Each names another host than it seems to, or only to some parsers, or in an unusual spelling.
DISGUISED = [
    "https://registry.foo.com\\@evil.example/",
    "https://evil.example\\@registry.foo.com/",
    "https:\\\\evil.example/",
    "/\\evil.example/",
    "//eve@evil.example/",
    "//@evil.example/",
    "//:@evil.example/",
    "https://eve:x@registry.foo.com/",
    "https://evil%2eexample/",
    "https://evil.example%2f.registry.foo.com/",
    "https://evil.example%00.registry.foo.com/",
    "https://evil.example:443x/",
    "https://evil.example:0/",
    "https://evil.example:00443/",
    "https://evil.example:65536/",
    "https://evil.example:-1/",
    "https://evil.example:/",
    "https://evil .example/",
    "https://evil\t.example/",
    "https://registry.foo.com/a\r\nHost: evil.example",
    "https://registry.foo.com/a b",
    "\x01https://evil.example/",
    "https://evil\u3002example/",
    "https://\uff11\uff12\uff17.0.0.1/",
    "https://ev\u0131l.example/",
    "https://b\u00fccher.example/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://127.1/",
    "https://0177.0.0.1/",
    "https://127.0.0.1./",
    "https://127.0.0.01/",
    "https://1.2.3.4.5/",
    "https://evil.0x/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:8.8.8.8]/",
    "https://[fe80::1%25eth0]/",
    "https://[fe80::1%eth0]/",
    "https://[127.0.0.1]/",
    "https://[::1/",
    "https://[::1]evil.example/",
    "https://[v1.x]/",
    "https://*.example/",
    "https://.evil.example/",
    "https://evil..example/",
    f"https://{'a.' * 127}example/",
    "x:.evil.example/",
    "x:1\\@evil.example/",
    "file:///etc/passwd",
    "ftp://evil.example/",
    "gopher://evil.example/",
    "http+unix://evil.example/",
    "//[",
]


@pytest.mark.parametrize("url", DISGUISED)
def test_a_url_in_disguise_is_refused_wherever_a_server_names_it(url: str) -> None:
    gate = UrlGate(ORIGIN)
    for follow in (gate.redirect, gate.realm, resolve_location):
        with pytest.raises(errors.UntrustedUrlError, match=r"not a valid URL|has a user"):
            follow(url, CATALOG, "cannot try")


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/v2/a/blobs/uploads/1?s=2", "/v2/a/blobs/uploads/1?s=2"),
        ("https://evil.example/v2/a/blobs/uploads/1?s=2", "/v2/a/blobs/uploads/1?s=2"),
        ("http://registry.foo.com/v2/a?s=a%2Fb", "/v2/a?s=a%2Fb"),
        ("?last=b", "/v2/_catalog?last=b"),
        ("https://registry.foo.com", "/"),
        ("//evil.example//other/", "//other/"),
        ("https://registry.foo.com?a=b", "/?a=b"),
        ("/v2/@sha256:0?x=@", "/v2/@sha256:0?x=@"),
    ],
)
def test_a_location_is_a_path_at_our_own_origin(location: str, target: str) -> None:
    assert resolve_location(location, CATALOG, "cannot try") == target


@given(st.text(max_size=50))
def test_no_location_leads_to_another_origin(location: str) -> None:
    try:
        target = resolve_location(location, CATALOG, "cannot try")
    except errors.RegistryError:
        return
    assert same_origin(f"{ORIGIN}{target}", ORIGIN)


@pytest.mark.parametrize(
    ("origin", "location", "url"),
    [
        (ORIGIN, "/v2/b", f"{ORIGIN}/v2/b"),
        (ORIGIN, "https://cdn.foo.com/blob?sig=x", "https://cdn.foo.com/blob?sig=x"),
        (ORIGIN, "https://inside.foo.com/blob", "https://inside.foo.com/blob"),
        ("http://localhost:5000", "http://127.0.0.1:9000/", "http://127.0.0.1:9000/"),
    ],
)
def test_a_redirect_is_followed_to_the_storage(origin: str, location: str, url: str) -> None:
    assert UrlGate(origin).redirect(location, f"{origin}/v2/a", "cannot try") == url


@pytest.mark.parametrize(
    ("origin", "location", "error", "reason"),
    [
        (ORIGIN, "http://cdn.foo.com/", errors.UntrustedUrlError, "cdn.foo.com is not HTTPS"),
        (ORIGIN, "https://127.0.0.1/", errors.UntrustedUrlError, "is on this machine"),
        (ORIGIN, "https://metadata.foo.com/", errors.UntrustedUrlError, "link-local network"),
        (
            "http://registry.foo.com",
            "https://registry.foo.com/v2/",
            errors.NotARegistryError,
            "redirects to HTTPS",
        ),
    ],
)
def test_a_redirect_is_an_error(
    origin: str, location: str, error: type[errors.RegctlError], reason: str
) -> None:
    with pytest.raises(error, match=reason):
        UrlGate(origin).redirect(location, f"{origin}/v2/a", "cannot try")


# As registries in use send them.
_DIGEST = "sha256:" + "ab" * 32
STORAGE = [
    f"https://production.cloudflare.docker.com/registry-v2/blobs/{_DIGEST}/data?verify=1-a%2Bb%3D",
    f"https://prod-us-1.s3.dualstack.us-east-1.amazonaws.com/images/{_DIGEST}?X-Amz-Date=1&a=%2F",
    f"https://my_bucket.s3.amazonaws.com/{_DIGEST}?X-Amz-Security-Token=IQoJb3%2F%2F%2F&x=~-._",
    f"https://eusmanaged12.blob.core.windows.net/a//docker/{_DIGEST}?se=2026-12-01T00%3A00%3A00Z",
    "https://storage.googleapis.com:443/b/o?GoogleAccessId=x@y.iam.gserviceaccount.com&Expires=1",
    f"https://cdn02.quay.io/quayio-production-s3/sha256/ab/{_DIGEST}?cf_sign=a%3D&region=us-east-1",
    "https://minio/registry/docker/data?X-Amz-Signature=0",
]


@pytest.mark.parametrize("url", STORAGE)
def test_a_signed_url_is_requested_as_it_is(url: str) -> None:
    assert UrlGate(ORIGIN).redirect(url, CATALOG, "cannot try") == url


REALMS = [
    ("https://registry-1.docker.io", "https://auth.docker.io/token"),
    ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth"),
    ("https://ghcr.io", "https://ghcr.io/token"),
    ("https://harbor.foo.com", "https://harbor.foo.com/service/token"),
    ("https://quay.io", "https://quay.io/v2/auth"),
    ("https://foo.azurecr.io", "https://foo.azurecr.io/oauth2/token?x=y"),
    ("http://10.1.2.3:5000", "http://10.1.2.4:8080/auth"),
    ("https://inside.foo.com", "https://192.168.1.1:5001/auth"),
]


@pytest.mark.parametrize(("origin", "realm"), REALMS)
def test_the_token_servers_of_registries_in_use_get_the_password(origin: str, realm: str) -> None:
    assert UrlGate(origin).realm(realm, f"{origin}/v2/", "cannot try") == realm


def test_a_redirect_back_to_http_is_an_error() -> None:
    """The registry has plain HTTP, and the server that it redirects to has TLS."""
    with pytest.raises(errors.UntrustedUrlError, match="is not HTTPS"):
        UrlGate("http://registry.foo.com").redirect(
            "http://registry.foo.com/", "https://cdn.foo.com/", "cannot try"
        )


def test_the_address_that_a_connection_has_counts() -> None:
    """Whatever the name server said before."""
    gate = UrlGate(ORIGIN)
    gate.check_peer(ORIGIN, "8.8.8.8", AddressClass.PUBLIC)
    gate.check_peer("https://cdn.foo.com", "8.8.4.4", AddressClass.PUBLIC)
    gate.check_peer("https://cdn.foo.com", "10.0.0.9", AddressClass.PRIVATE)
    for url, address in [
        ("https://auth.foo.com", "10.0.0.9"),
        ("https://auth.foo.com", "::ffff:127.0.0.1"),
        ("https://auth.foo.com", "fe80::1%eth0"),
        (ORIGIN, "10.0.0.9"),
    ]:
        with pytest.raises(errors.UntrustedUrlError, match=f"{host_of(url)}, {address}, is "):
            gate.check_peer(url, address, AddressClass.PUBLIC)


def test_a_registry_stays_where_its_first_connection_found_it() -> None:
    """A later answer of its name server does not open the way to this machine."""
    gate = UrlGate("https://both.foo.com")
    gate.check_peer("https://both.foo.com", "8.8.8.8", AddressClass.PUBLIC)
    with pytest.raises(errors.UntrustedUrlError, match="is on this machine"):
        gate.redirect("https://127.0.0.1/", "https://both.foo.com/v2/", "cannot try")
    private = UrlGate("https://inside.foo.com")
    private.check_peer("https://inside.foo.com", "10.0.0.7", AddressClass.PUBLIC)
    private.check_peer("https://auth.foo.com", "10.0.0.8", AddressClass.PUBLIC)

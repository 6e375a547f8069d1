"""Where a registry may send us: its redirects, token servers and locations."""

import contextlib
import socket

import pytest
import requests
from hypothesis import assume, example, given
from hypothesis import strategies as st

from regctl import errors
from regctl.registry.urls import (
    AddressClass,
    address_class,
    deny_realm_reason,
    host_of,
    origin_of,
    resolve_location,
    resolve_redirect,
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
def test_the_origin_that_is_checked_gets_the_request(url: str) -> None:
    with contextlib.suppress(ValueError, requests.RequestException):
        origin = origin_of(url)
        assume(origin.startswith(("https:", "http:")))
        sent = requests.Request("GET", url).prepare().url
        assert sent is not None
        assert origin_of(sent) == origin


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
        ("both.foo.com", AddressClass.LOOPBACK),
    ],
)
def test_a_host_has_the_class_of_its_closest_address(host: str, expected: AddressClass) -> None:
    assert address_class(host) is expected


@pytest.mark.parametrize(
    ("origin", "realm", "reason"),
    [
        (ORIGIN, "https://auth.foo.com/token", None),
        (ORIGIN, "https://elsewhere.example/token", None),
        (ORIGIN, "http://auth.foo.com/token", "is not HTTPS"),
        ("http://registry.foo.com:5000", "http://auth.foo.com/token", None),
        (ORIGIN, "https://localhost/token", "is on this machine"),
        (ORIGIN, "https://127.0.0.1/token", "is on this machine"),
        (ORIGIN, "https://169.254.169.254/latest", "is in the link-local network"),
        (ORIGIN, "https://[::1]/token", "is on this machine"),
        (ORIGIN, "https://[::ffff:127.0.0.1]/token", "is on this machine"),
        (ORIGIN, "https://10.0.0.1/token", "is in a private network"),
        ("https://10.0.0.7:5000", "https://10.0.0.1/token", None),
        ("https://localhost:5000", "https://127.0.0.1/token", None),
        (ORIGIN, "https://inside.foo.com/token", "is in a private network"),
        ("https://inside.foo.com", "https://inside.foo.com/token", None),
        ("https://inside.foo.com", "https://metadata.foo.com/", "is in the link-local network"),
        (ORIGIN, "https://eve:x@auth.foo.com/token", "has a user in its URL"),
        (ORIGIN, "file:///etc/passwd", "is not a valid URL"),
        (ORIGIN, "gopher://x/", "is not a valid URL"),
        (ORIGIN, "https://[", "is not a valid URL"),
        (ORIGIN, "", "is not a valid URL"),
    ],
)
def test_a_password_goes_to_a_token_server_only_if_it_is_no_closer(
    origin: str, realm: str, reason: str | None
) -> None:
    assert deny_realm_reason(origin, realm) == reason


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/v2/a/blobs/uploads/1?s=2", "/v2/a/blobs/uploads/1?s=2"),
        ("https://evil.example/v2/a/blobs/uploads/1?s=2", "/v2/a/blobs/uploads/1?s=2"),
        ("http://registry.foo.com/v2/a?s=a%2Fb", "/v2/a?s=a%2Fb"),
        ("?last=b", "/v2/_catalog?last=b"),
        ("https://registry.foo.com", "/"),
        ("x:.evil.example/", "/.evil.example/"),
        ("//evil.example//other/", "//other/"),
    ],
)
def test_a_location_is_a_path_at_our_own_origin(location: str, target: str) -> None:
    assert resolve_location(location, CATALOG, "cannot try") == target


@pytest.mark.parametrize("location", ["//[", "https://registry.foo.com:99999999/"])
def test_a_location_that_is_not_a_url_is_an_error(location: str) -> None:
    with pytest.raises(errors.RegistryError, match=r"cannot try: .* not a URL"):
        resolve_location(location, CATALOG, "cannot try")


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
    assert resolve_redirect(origin, f"{origin}/v2/a", location, "cannot try") == url


@pytest.mark.parametrize(
    ("origin", "location", "error", "reason"),
    [
        (ORIGIN, "gopher://x", errors.RegistryError, "an invalid URL"),
        (ORIGIN, "https://[", errors.RegistryError, "an invalid URL"),
        (ORIGIN, "https://eve@cdn.foo.com/", errors.RegistryError, "an invalid URL"),
        (ORIGIN, "http://cdn.foo.com/", errors.RegistryError, "to cdn.foo.com without TLS"),
        (ORIGIN, "https://127.0.0.1/", errors.RegistryError, "that host is on this machine"),
        (ORIGIN, "https://metadata.foo.com/", errors.RegistryError, "in the link-local network"),
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
        resolve_redirect(origin, f"{origin}/v2/a", location, "cannot try")

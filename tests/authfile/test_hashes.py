"""Schemes: recognised, made, verified, and what a password may be."""

import subprocess
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regctl.authfile import hashes
from regctl.errors import InvalidInputError, InvalidPasswordError, UnreadableHashError

# The password of each is "secret".
KNOWN = {
    "bcrypt": "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW",
    "apr1": "$apr1$abcdefgh$h9FWgUz3n9YxylKLlR5SQ/",
    "md5-crypt": "$1$abcdefgh$cHJi5PXp/ki/ktXzqlk6I1",
    "sha256-crypt": "$5$abcdefgh$gruCpC7VkOTspMQTTSAR8mtlO9Upms.fwqE5y16JVM.",
    "sha1": "{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=",
    "ssha": "{SSHA}gVK8WC9YyFT1gMsQHTGCgT3sSv5zYWx0",
    "plain": "{PLAIN}secret",
    "des-crypt": "abNANd1rDfiNc",
}

SCHEMES = [
    ("$2y$10$" + "a" * 53, ("bcrypt", "2y", 10)),
    ("$2b$05$" + "a" * 53, ("bcrypt", "2b", 5)),
    ("$apr1$salt$" + "a" * 22, ("apr1", "apr1", None)),
    ("$1$salt$" + "a" * 22, ("md5-crypt", "1", None)),
    ("$5$salt$" + "a" * 43, ("sha256-crypt", "5", 5000)),
    ("$6$rounds=7000$salt$" + "a" * 86, ("sha512-crypt", "6", 7000)),
    ("{SHA}" + "a" * 27 + "=", ("sha1", "SHA", None)),
    ("{SSHA}" + "a" * 32, ("ssha", "SSHA", None)),
    ("{PLAIN}text", ("plain", "PLAIN", None)),
    ("$y$j9T$salt$" + "a" * 43, ("yescrypt", "y", None)),
    ("$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA", ("argon2id", "argon2id", None)),
    ("ab01FAX.bQRSU", ("des-crypt", "", None)),
    ("", ("empty", "", None)),
    ("!$2y$10$" + "a" * 53, ("unknown", "", None)),
    ("$2y$10$tooshort", ("unknown", "", None)),
    ("plain text", ("unknown", "", None)),
]


@pytest.mark.parametrize(("secret", "expected"), SCHEMES)
def test_a_scheme_is_recognised_by_its_form(
    secret: str, expected: tuple[str, str, int | None]
) -> None:
    assert hashes.identify(secret) == expected


@given(st.text())
def test_recognising_never_fails(secret: str) -> None:
    assert isinstance(hashes.identify(secret).name, str)


@pytest.mark.parametrize("scheme", hashes.WRITABLE)
def test_what_is_made_is_recognised_and_verifies(scheme: str) -> None:
    cost = {"bcrypt": 4, "sha256-crypt": 1000, "sha512-crypt": 1000}.get(scheme)
    secret = hashes.make("pässword", scheme, cost)
    found = hashes.identify(secret)
    assert (found.name, found.cost) == (scheme, cost)
    assert hashes.verify("pässword", secret)
    assert not hashes.verify("password", secret)


def test_bcrypt_is_made_with_the_prefix_that_apache_knows_and_cost_10() -> None:
    assert hashes.make("x").startswith("$2y$10$")
    assert hashes.make("x", cost=4) != hashes.make("x", cost=4)


@pytest.mark.parametrize(("scheme", "secret"), KNOWN.items())
def test_a_hash_made_elsewhere_verifies(scheme: str, secret: str) -> None:
    assert hashes.identify(secret).name == scheme
    assert hashes.verify("secret", secret)
    assert not hashes.verify("Secret", secret)


@pytest.mark.parametrize("flag", ["-B", "-m", "-s", "-d", "-2", "-5"])
def test_what_htpasswd_makes_verifies(program: Callable[[str], str], flag: str) -> None:
    made = subprocess.run(
        [program("htpasswd"), "-nb", flag, "u", "secret"],
        capture_output=True,
        text=True,
        check=True,
    )
    secret = made.stdout.strip().removeprefix("u:")
    assert hashes.verify("secret", secret)
    assert not hashes.verify("other", secret)


def test_a_long_password_is_cut_as_servers_cut_it() -> None:
    secret = hashes.make("x" * 72, cost=4)
    assert hashes.verify("x" * 100, secret)
    assert not hashes.verify("x" * 71, secret)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=90), st.sampled_from(sorted({*KNOWN.values(), "", "!x", "$2y$99$", "$1$"})))
def test_verifying_never_crashes(password: str, secret: str) -> None:
    try:
        assert hashes.verify(password, secret) is (
            password == "secret" and secret in KNOWN.values()
        )
    except UnreadableHashError:
        assert hashes.identify(secret).name == "unknown"


@pytest.mark.parametrize(
    "secret", ["$2y$03$" + "a" * 53, "$2x$99$" + "a" * 53, "$5$rounds=1$s$" + "a" * 43]
)
def test_a_hash_that_no_server_takes_opens_to_nobody(secret: str) -> None:
    assert not hashes.verify("secret", secret)


@pytest.mark.parametrize("secret", ["$y$j9T$s$" + "a" * 43, "$argon2id$v=19$x$y$z", "nonsense!"])
def test_a_scheme_that_cannot_be_checked_is_said_to_be(secret: str) -> None:
    with pytest.raises(UnreadableHashError):
        hashes.verify("secret", secret)


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("", "is empty"),
        ("x" * 73, "has 73 bytes, and bcrypt takes 72"),
        ("ä" * 37, "has 74 bytes"),
        ("a\0b", "control character"),
        ("a\nb", "control character"),
        ("\x7f", "control character"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_a_password_that_a_server_would_read_as_another_is_refused(
    password: str, said: str
) -> None:
    with pytest.raises(InvalidPasswordError, match=said) as caught:
        hashes.make(password, cost=4)
    assert not password or password not in str(caught.value)


def test_other_schemes_take_more_than_bcrypt() -> None:
    hashes.check_password("x" * 255, "sha512-crypt")
    with pytest.raises(InvalidPasswordError, match="takes 255"):
        hashes.check_password("x" * 256, "sha512-crypt")


@pytest.mark.parametrize(
    ("scheme", "cost", "said"),
    [
        ("bcrypt", 3, "4 to 17, not 3"),
        ("bcrypt", 18, "4 to 17, not 18"),
        ("sha1", 5, "sha1 has no cost"),
        ("apr1", 5, "apr1 has no cost"),
        ("sha512-crypt", 999, "1000 to 999999999"),
        ("argon2id", None, "cannot hash with argon2id"),
    ],
)
def test_a_scheme_or_cost_that_cannot_be_is_refused(
    scheme: str, cost: int | None, said: str
) -> None:
    with pytest.raises(InvalidInputError, match=said):
        hashes.make("x", scheme, cost)


@pytest.mark.parametrize(
    ("secret", "scheme", "cost", "stays"),
    [
        ("$2y$10$" + "a" * 53, None, None, True),
        ("$2b$12$" + "a" * 53, None, None, True),
        ("$2y$05$" + "a" * 53, None, None, False),
        ("$2y$05$" + "a" * 53, "bcrypt", 5, True),
        ("$2y$12$" + "a" * 53, None, 10, False),
        (KNOWN["apr1"], None, None, False),
        (KNOWN["apr1"], "apr1", None, True),
        (KNOWN["sha256-crypt"], "sha256-crypt", None, True),
        (KNOWN["sha256-crypt"], "sha256-crypt", 9000, False),
    ],
)
def test_a_hash_stays_when_it_is_as_good_as_what_was_asked_for(
    secret: str, scheme: str | None, cost: int | None, *, stays: bool
) -> None:
    assert hashes.is_good_enough(secret, scheme, cost) is stays


def test_a_generated_password_is_long_and_safe_anywhere() -> None:
    made = {hashes.generate_password() for _ in range(100)}
    assert len(made) == 100
    assert all(len(password) == 24 and password.isalnum() for password in made)

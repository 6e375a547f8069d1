"""Schemes are identified, computed and verified; invalid passwords are rejected."""

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
    ("$7$1/..../....salt$" + "a" * 43, ("scrypt", "7", None)),
    ("$argon2id$v=19$m=65536,t=3,p=4$c2FsdA$aGFzaA", ("argon2id", "argon2id", None)),
    ("ab01FAX.bQRSU", ("des-crypt", "", None)),
    ("", ("empty", "", None)),
    ("!$2y$10$" + "a" * 53, ("unknown", "", None)),
    ("$2y$10$tooshort", ("unknown", "", None)),
    ("plain text", ("unknown", "", None)),
]


def test_every_scheme_is_in_the_table_above() -> None:
    assert {name for _, (name, _, _) in SCHEMES} == set(hashes.SCHEMES)


@pytest.mark.parametrize(("secret", "expected"), SCHEMES)
def test_a_scheme_is_identified_by_its_form(
    secret: str, expected: tuple[str, str, int | None]
) -> None:
    assert hashes.identify(secret) == expected


# Without an alphabet Hypothesis tables all of Unicode first, which takes seconds.
@given(st.text(alphabet="$ayb015/.{}SHAPLIN=: é\n\0\udcff"))
def test_identify_never_fails(secret: str) -> None:
    assert isinstance(hashes.identify(secret).name, str)


def test_a_hash_with_too_many_digits_of_rounds_is_unknown() -> None:
    assert hashes.identify(f"$5$rounds={'1' * 5000}$salt${'a' * 43}").name == "unknown"


@pytest.mark.parametrize("scheme", hashes.WRITABLE)
def test_a_new_hash_is_identified_and_verifies(scheme: str) -> None:
    cost = {"bcrypt": 4, "sha256-crypt": 1000, "sha512-crypt": 1000}.get(scheme)
    secret = hashes.make("pässword", scheme, cost)
    found = hashes.identify(secret)
    assert (found.name, found.cost) == (scheme, cost)
    assert hashes.verify("pässword", secret)
    assert not hashes.verify("password", secret)


def test_bcrypt_has_the_prefix_that_apache_reads_and_cost_10() -> None:
    assert hashes.make("x").startswith("$2y$10$")
    assert hashes.make("x", cost=4) != hashes.make("x", cost=4)


@pytest.mark.parametrize(("scheme", "secret"), KNOWN.items())
def test_a_hash_of_another_program_verifies(scheme: str, secret: str) -> None:
    assert hashes.identify(secret).name == scheme
    assert hashes.verify("secret", secret)
    assert not hashes.verify("Secret", secret)


@pytest.mark.parametrize("flag", ["-B", "-m", "-s", "-d", "-2", "-5"])
def test_a_hash_of_htpasswd_verifies(program: Callable[[str], str], flag: str) -> None:
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
def test_verify_never_crashes(password: str, secret: str) -> None:
    try:
        assert hashes.verify(password, secret) is (
            password == "secret" and secret in KNOWN.values()
        )
    except UnreadableHashError:
        scheme = hashes.identify(secret)
        assert scheme.name == "unknown" or scheme.too_costly


@pytest.mark.parametrize("secret", ["$2y$03$" + "a" * 53, "$5$rounds=1$s$" + "a" * 43])
def test_an_invalid_hash_matches_nothing(secret: str) -> None:
    assert not hashes.verify("secret", secret)


@pytest.mark.parametrize(
    ("secret", "limit"),
    [
        ("$2y$18$" + "a" * 53, "17 is the limit"),
        ("$2y$31$" + "a" * 53, "17 is the limit"),
        ("$2a$99$" + "a" * 53, "17 is the limit"),
        ("$5$rounds=1000001$s$" + "a" * 43, "1000000 is the limit"),
        ("$6$rounds=999999999$s$" + "a" * 86, "1000000 is the limit"),
    ],
)
def test_a_hash_that_takes_too_long_is_not_computed(
    secret: str, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bcrypt.checkpw", None)
    monkeypatch.setattr(hashes, "_libpass", None)
    with pytest.raises(UnreadableHashError, match=limit):
        hashes.verify("secret", secret)
    assert hashes.good_enough([secret]) is None
    assert hashes.reuse_or_hash("secret", [secret], cost=4).startswith("$2y$04$")


@pytest.mark.parametrize("control", ["\n", "\r", "\0", "\x1b", "\x7f"])
@pytest.mark.parametrize(
    "secret",
    [
        "$apr1$sa{}t$" + "a" * 22,
        "$1$sa{}t$" + "a" * 22,
        "$5$sa{}t$" + "a" * 43,
        "$6$rounds=5000$sa{}t$" + "a" * 86,
        "$argon2id$v=19${}",
    ],
)
def test_no_hash_has_a_control_character(secret: str, control: str) -> None:
    assert hashes.identify(secret.format("l")).name != "unknown"
    assert hashes.identify(secret.format(control)).name == "unknown"


@pytest.mark.parametrize(
    "secret", [secret for secret, (name, _, _) in SCHEMES if name != "unknown"]
)
def test_a_hash_of_every_scheme_is_verified_or_an_error(secret: str) -> None:
    form = hashes._FORMS[hashes.identify(secret).name]
    if form.verify is None:
        with pytest.raises(UnreadableHashError, match=f"{form.name} is not supported"):
            hashes.verify("secret", secret)
    else:
        assert not hashes.verify("secret", secret)


@pytest.mark.parametrize("secret", ["$y$j9T$s$" + "a" * 43, "$argon2id$v=19$x$y$z", "nonsense!"])
def test_a_scheme_that_cannot_be_verified_is_an_error(secret: str) -> None:
    with pytest.raises(UnreadableHashError, match="cannot verify the hash: "):
        hashes.verify("secret", secret)


@pytest.mark.parametrize(
    ("password", "problem"),
    [
        ("", "is empty"),
        ("x" * 73, "has 73 bytes, the limit of bcrypt is 72"),
        ("ä" * 37, "has 74 bytes"),
        ("a\0b", "control character"),
        ("a\nb", "control character"),
        ("\x7f", "control character"),
        ("\udcff", "not UTF-8"),
    ],
)
def test_a_password_that_servers_would_read_differently_is_rejected(
    password: str, problem: str
) -> None:
    with pytest.raises(InvalidPasswordError, match=problem) as caught:
        hashes.make(password, cost=4)
    assert not password or password not in str(caught.value)


def test_other_schemes_allow_longer_passwords_than_bcrypt() -> None:
    hashes.check_password("x" * 255, "sha512-crypt")
    with pytest.raises(InvalidPasswordError, match="the limit of sha512-crypt is 255"):
        hashes.check_password("x" * 256, "sha512-crypt")


@pytest.mark.parametrize(
    ("scheme", "cost", "problem"),
    [
        ("bcrypt", 3, "4 to 17, not 3"),
        ("bcrypt", 18, "4 to 17, not 18"),
        ("sha1", 5, "sha1 has no cost"),
        ("apr1", 5, "apr1 has no cost"),
        ("sha512-crypt", 999, "1000 to 1000000"),
        ("sha512-crypt", 1_000_001, "1000 to 1000000"),
        ("argon2id", None, "cannot write hashes of scheme argon2id"),
    ],
)
def test_an_invalid_scheme_or_cost_is_rejected(scheme: str, cost: int | None, problem: str) -> None:
    with pytest.raises(InvalidInputError, match=problem):
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
def test_a_hash_is_kept_if_it_is_as_good_as_required(
    secret: str, scheme: str | None, cost: int | None, *, stays: bool
) -> None:
    assert hashes.good_enough([secret, secret], scheme, cost) == (secret if stays else None)
    assert hashes.good_enough([secret, "other"], scheme, cost) is None


def test_a_generated_password_is_long_and_alphanumeric() -> None:
    made = {hashes.generate_password() for _ in range(100)}
    assert len(made) == 100
    assert all(len(password) == 24 and password.isalnum() for password in made)


def test_a_hash_that_matches_and_is_good_enough_is_reused() -> None:
    good, low = hashes.make("secret"), hashes.make("secret", cost=4)
    assert hashes.reuse_or_hash("secret", [good]) == good
    assert hashes.reuse_or_hash("secret", [good, good]) == good
    assert hashes.reuse_or_hash("secret", [low], cost=4) == low
    for password, present in (("other", [good]), ("secret", [low]), ("secret", [good, low])):
        new = hashes.reuse_or_hash(password, present)
        assert new not in present
        assert hashes.verify(password, new)


def test_the_time_of_each_cost_is_twice_that_of_the_one_before() -> None:
    ticks = iter(range(100))
    costs = {one.cost: one for one in hashes.measure_costs(10, clock=lambda: next(ticks))}
    assert list(costs) == list(hashes.BCRYPT_COSTS)
    assert costs[12].check == 4 * costs[10].check
    assert costs[10].pull == 14 * costs[10].check
    assert costs[10].push == 56 * costs[10].check

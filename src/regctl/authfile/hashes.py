"""
The schemes of an auth file: hash, verify, recognise; and what a password may be.

bcrypt is what regctl writes; the old schemes are read, and written where somebody asks for them.
Owns bcrypt and libpass (imported as `passlib`), both loaded when a hash needs them.
"""

import base64
import hashlib
import hmac
import re
import string
import time
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

from regctl.errors import InvalidInputError, InvalidPasswordError, UnreadableHashError

DEFAULT_SCHEME = "bcrypt"
DEFAULT_COST = 10
"""OWASP's least for bcrypt. A server pays it on every request, not on every login."""

BCRYPT_COSTS = range(4, 18)
"""What Apache's htpasswd writes (support/passwd_common.h); 17 takes 6 seconds a check."""

SHA_CRYPT_ROUNDS = range(1_000, 1_000_000_000)
_DEFAULT_ROUNDS = 5_000

BCRYPT_LIMIT = 72
"""Bytes of a password that bcrypt looks at: servers cut the rest off without a word."""

_OTHER_LIMIT = 255
_GENERATED_LENGTH = 24
_ALPHABET = string.ascii_letters + string.digits

WRITABLE = ("bcrypt", "apr1", "sha1", "sha256-crypt", "sha512-crypt")


class Scheme(NamedTuple):
    """
    What a hash is made with: its *name*, and its *ident*, the tag it starts with (`2y`).

    *cost* is the exponent of bcrypt or the rounds of SHA-crypt, None where there is none to choose.
    """

    name: str
    ident: str = ""
    cost: int | None = None

    @property
    def weak(self) -> bool:
        """Whether a stolen hash gives a chosen password away within hours."""
        return self.name in _WEAK


_WEAK = frozenset({"apr1", "md5-crypt", "sha1", "ssha", "des-crypt", "plain"})

_BCRYPT = re.compile(r"\$(2[abxy]?)\$(\d\d)\$[./A-Za-z0-9]{53}", re.ASCII)
_CRYPT64 = "[./0-9A-Za-z]"
_SCHEMES = [
    ("apr1", "apr1", rf"\$apr1\$[^$:]{{0,8}}\${_CRYPT64}{{22}}"),
    ("md5-crypt", "1", rf"\$1\$[^$:]{{0,8}}\${_CRYPT64}{{22}}"),
    ("sha256-crypt", "5", rf"\$5\$(?:rounds=(\d+)\$)?[^$:]{{0,16}}\${_CRYPT64}{{43}}"),
    ("sha512-crypt", "6", rf"\$6\$(?:rounds=(\d+)\$)?[^$:]{{0,16}}\${_CRYPT64}{{86}}"),
    ("sha1", "SHA", r"\{SHA\}[A-Za-z0-9+/]{27}="),
    ("ssha", "SSHA", r"\{SSHA\}[A-Za-z0-9+/]{28,}={0,2}"),
    ("plain", "PLAIN", r"\{PLAIN\}.*"),
    ("yescrypt", "y", r"\$g?y\$[./0-9A-Za-z$]+"),
    ("scrypt", "7", r"\$7\$[./0-9A-Za-z$]+"),
    ("argon2id", "argon2id", r"\$argon2id\$.+"),
    ("des-crypt", "", rf"{_CRYPT64}{{13}}"),
    ("empty", "", ""),
]


@lru_cache(maxsize=64)
def _bcrypt_scheme(ident: str, cost: str) -> Scheme:
    return Scheme("bcrypt", ident, int(cost))


def identify(secret: str) -> Scheme:
    """
    Tell what *secret*, a user's field in an auth file, is hashed with.

    The name is one of WRITABLE, `md5-crypt`, `ssha`, `des-crypt`, `yescrypt`, `scrypt`, `argon2id`,
    `plain` (nginx's `{PLAIN}`), `empty`, or `unknown`. Never fails.
    """
    match = _BCRYPT.fullmatch(secret)
    if match is not None:
        return _bcrypt_scheme(match[1], match[2])
    for name, ident, pattern in _SCHEMES:
        match = re.fullmatch(pattern, secret)
        if match is not None:
            rounds = match[1] if match.re.groups else None
            cost = _DEFAULT_ROUNDS if match.re.groups else None
            return Scheme(name, ident, int(rounds) if rounds else cost)
    return Scheme("unknown")


# Passwords


def check_password(password: str, scheme: str = DEFAULT_SCHEME) -> None:
    """
    Raise InvalidPasswordError for a password that some server would read as another.

    Empty; with a control character (RFC 7617, section 2, forbids them, and C programs stop at a
    NUL); over 72 bytes of UTF-8 for bcrypt, over 255 for the rest (Apache's and musl's limit).
    """
    if not password:
        raise InvalidPasswordError("the password is empty")
    try:
        size = len(password.encode())
    except UnicodeEncodeError as error:
        raise InvalidPasswordError("the password is not UTF-8") from error
    if any(character < " " or character == "\x7f" for character in password):
        raise InvalidPasswordError("the password has a control character in it")
    limit = BCRYPT_LIMIT if scheme == "bcrypt" else _OTHER_LIMIT
    if size > limit:
        raise InvalidPasswordError(
            f"the password has {size} bytes, and {scheme} takes {limit}: servers would ignore "
            "the rest",
            hint="choose a shorter one, or pass --generate",
        )


def generate_password() -> str:
    """Return a new password: 24 letters and digits, 142 bits, safe in a URL and in a shell."""
    import secrets

    return "".join(secrets.choice(_ALPHABET) for _ in range(_GENERATED_LENGTH))


# Making


def check_scheme(scheme: str, cost: int | None = None) -> None:
    """Raise InvalidInputError for a scheme that is not WRITABLE, or a cost it does not take."""
    if scheme not in WRITABLE:
        raise InvalidInputError(
            f"cannot hash with {scheme}", hint=f"the schemes are {', '.join(WRITABLE)}"
        )
    if cost is None:
        return
    if scheme == "bcrypt":
        costs, unit = BCRYPT_COSTS, "the cost of bcrypt"
    elif scheme.endswith("-crypt"):
        costs, unit = SHA_CRYPT_ROUNDS, f"the cost of {scheme}, its rounds,"
    else:
        raise InvalidInputError(f"{scheme} has no cost to choose")
    if cost not in costs:
        raise InvalidInputError(f"{unit} is {costs[0]} to {costs[-1]}, not {cost}")


def make(password: str, scheme: str = DEFAULT_SCHEME, cost: int | None = None) -> str:
    """
    Hash *password* with a salt of its own.

    *cost* as in Scheme; None is bcrypt's 10 and SHA-crypt's 5000 rounds. Raises what check_password
    and check_scheme raise.
    """
    check_scheme(scheme, cost)
    check_password(password, scheme)
    data = password.encode()
    if scheme == "bcrypt":
        return _make_bcrypt(data, DEFAULT_COST if cost is None else cost)
    if scheme == "sha1":
        return _sha1(data)
    from passlib import hash as handlers

    if scheme == "apr1":
        return str(handlers.apr_md5_crypt.hash(data))
    handler = handlers.sha256_crypt if scheme == "sha256-crypt" else handlers.sha512_crypt
    return str(handler.using(rounds=cost or _DEFAULT_ROUNDS).hash(data))


def _make_bcrypt(data: bytes, cost: int) -> str:
    """
    Hash with the prefix `$2y$`, which Apache's own code knows and `$2b$` is not.

    The package makes salts with `2b` only, and keeps the prefix that a salt has.
    """
    import bcrypt

    salt = b"$2y" + bcrypt.gensalt(cost).removeprefix(b"$2b")
    return bcrypt.hashpw(data, salt).decode("ascii")


def _sha1(data: bytes) -> str:
    # Not our choice of scheme: Envoy reads no other.
    digest = hashlib.sha1(data, usedforsecurity=False).digest()
    return "{SHA}" + base64.b64encode(digest).decode("ascii")


def is_good_enough(secret: str, scheme: str | None = None, cost: int | None = None) -> bool:
    """
    Tell whether a hash can stay when its password is set again.

    What was asked for must be met exactly; where nothing was, bcrypt of the default cost or more.
    """
    found = identify(secret)
    if found.name != (scheme or DEFAULT_SCHEME):
        return False
    if cost is not None:
        return found.cost == cost
    return found.name != "bcrypt" or (found.cost or 0) >= DEFAULT_COST


# The price

_MEASURED_COST = 8


class Price(NamedTuple):
    """What a cost of bcrypt costs a server: seconds of CPU for a check, a pull, a first push."""

    cost: int
    check: float
    pull: float
    push: float


def prices(layers: int, clock: Callable[[], float] = time.thread_time) -> list[Price]:
    """
    Measure on this machine what each cost costs, for an image of *layers*.

    A server checks the password on every request. A pull is the index, the manifest, the config,
    each layer, and one request more that containerd 1.6 sends. The first push is, for each layer
    and the config, two HEAD (but one), POST, PATCH and PUT, and two for the manifest. One cost is
    timed, the best of five; each step doubles it, which is what the cost means.
    """
    secret = make("measured", cost=_MEASURED_COST)
    timed = []
    for _ in range(5):
        start = clock()
        verify("measured", secret)
        timed.append(clock() - start)
    checks = {cost: min(timed) * 2.0 ** (cost - _MEASURED_COST) for cost in BCRYPT_COSTS}
    pull, push = layers + 4, 5 * (layers + 1) + 1
    return [Price(cost, check, check * pull, check * push) for cost, check in checks.items()]


# Verifying


def verify(password: str, secret: str) -> bool:
    """
    Tell whether a server that reads *secret* lets *password* in.

    A password over bcrypt's 72 bytes is cut as servers cut it. Whatever is no valid hash opens to
    nobody. Raises UnreadableHashError for a scheme that can't be computed here (yescrypt, scrypt,
    argon2id), or that nobody knows.
    """
    scheme = identify(secret)
    data = password.encode("utf-8", "surrogateescape")
    if scheme.name == "bcrypt":
        return _verify_bcrypt(data, secret)
    if scheme.name == "sha1":
        return _equal(_sha1(data), secret)
    if scheme.name == "ssha":
        return _verify_ssha(data, secret)
    if scheme.name == "plain":
        return hmac.compare_digest(data, secret.removeprefix("{PLAIN}").encode(*_RAW))
    if scheme.name == "empty":
        return False
    if scheme.name in {"unknown", "yescrypt", "scrypt", "argon2id"}:
        raise UnreadableHashError(
            "the hash is of no known scheme"
            if scheme.name == "unknown"
            else f"the hash is {scheme.name}, which can't be checked here"
        )
    return _verify_crypt(data, secret, scheme.name)


_RAW = ("utf-8", "surrogateescape")


def _equal(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(*_RAW), other.encode(*_RAW))


def _verify_bcrypt(data: bytes, secret: str) -> bool:
    import bcrypt

    try:
        return bcrypt.checkpw(data[:BCRYPT_LIMIT], secret.encode("ascii"))
    except ValueError:
        # A cost or a tag that no server takes either.
        return False


def _verify_ssha(data: bytes, secret: str) -> bool:
    try:
        raw = base64.b64decode(secret.removeprefix("{SSHA}"), validate=True)
    except ValueError:
        return False
    digest, salt = raw[:20], raw[20:]
    made = hashlib.sha1(data + salt, usedforsecurity=False).digest()
    return hmac.compare_digest(made, digest)


def _verify_crypt(data: bytes, secret: str, scheme: str) -> bool:
    from passlib import hash as handlers

    handler = {
        "apr1": handlers.apr_md5_crypt,
        "md5-crypt": handlers.md5_crypt,
        "sha256-crypt": handlers.sha256_crypt,
        "sha512-crypt": handlers.sha512_crypt,
        "des-crypt": handlers.des_crypt,
    }[scheme]
    try:
        return bool(handler.verify(data, secret))
    except ValueError:
        # A NUL in the password, over 4096 bytes of it, or rounds out of range.
        return False

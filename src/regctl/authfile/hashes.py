"""
Password hashes: identify, compute and verify them; and which passwords are allowed.

regctl writes bcrypt by default, and reads the old schemes. This module owns bcrypt and
libpass (imported as `passlib`), and imports them when a hash needs them.
"""

import base64
import hashlib
import hmac
import re
import string
import time
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple

from regctl.errors import InvalidInputError, InvalidPasswordError, UnreadableHashError

DEFAULT_SCHEME = "bcrypt"
DEFAULT_COST = 10
"""OWASP's minimum for bcrypt. A server pays it on every request, not on every login."""

BCRYPT_COSTS = range(4, 18)
"""What Apache's htpasswd writes (support/passwd_common.h); a check at 17 takes 6 seconds."""

SHA_CRYPT_ROUNDS = range(1_000, 1_000_001)
"""crypt(3) takes a thousand times more; a check of a million rounds takes a second."""

_COSTS = {"bcrypt": BCRYPT_COSTS} | dict.fromkeys(
    ("sha256-crypt", "sha512-crypt"), SHA_CRYPT_ROUNDS
)
_DEFAULT_ROUNDS = 5_000

BCRYPT_LIMIT = 72
"""Bytes of a password that bcrypt uses: servers ignore the rest without a warning."""

_OTHER_LIMIT = 255
_GENERATED_LENGTH = 24
_ALPHABET = string.ascii_letters + string.digits

WRITABLE = ("bcrypt", "apr1", "sha1", "sha256-crypt", "sha512-crypt")

_RAW = ("utf-8", "surrogateescape")


class Scheme(NamedTuple):
    """
    How a hash was computed: the *name* of the scheme, and *ident*, the tag in the hash (`2y`).

    *cost* is bcrypt's exponent or the rounds of SHA-crypt, and None for a scheme without a cost.
    """

    name: str
    ident: str = ""
    cost: int | None = None

    @property
    def weak(self) -> bool:
        """Whether a chosen password can be found within hours from a stolen hash."""
        return self.name in _WEAK

    @property
    def too_costly(self) -> bool:
        """Whether a check takes longer than that of any hash that regctl or htpasswd writes."""
        return self.name in _COSTS and (self.cost or 0) > _COSTS[self.name][-1]


# Verifying: each function returns whether the password, in bytes, matches the hash


def _verify_bcrypt(data: bytes, hash_: str) -> bool:
    import bcrypt

    try:
        return bcrypt.checkpw(data[:BCRYPT_LIMIT], hash_.encode("ascii"))
    except ValueError:
        # A cost or a tag that servers reject too.
        return False


def _verify_sha1(data: bytes, hash_: str) -> bool:
    return hmac.compare_digest(_sha1(data).encode(), hash_.encode(*_RAW))


def _verify_ssha(data: bytes, hash_: str) -> bool:
    try:
        raw = base64.b64decode(hash_.removeprefix("{SSHA}"), validate=True)
    except ValueError:
        return False
    digest, salt = raw[:20], raw[20:]
    made = hashlib.sha1(data + salt, usedforsecurity=False).digest()
    return hmac.compare_digest(made, digest)


def _verify_plain(data: bytes, hash_: str) -> bool:
    return hmac.compare_digest(data, hash_.removeprefix("{PLAIN}").encode(*_RAW))


def _verify_empty(_data: bytes, _hash: str) -> bool:
    return False


def _verify_libpass(handler: str, data: bytes, hash_: str) -> bool:
    try:
        return bool(_libpass(handler).verify(data, hash_))
    except ValueError:
        # A NUL in the password, over 4096 bytes of it, or rounds out of range.
        return False


def _libpass(handler: str) -> Any:
    """Return libpass's handler of that name."""
    from passlib.registry import get_crypt_handler

    return get_crypt_handler(handler)


# The schemes


@dataclass(frozen=True)
class _Form:
    """
    A row of the table of schemes: how to recognise a hash of scheme *name*, and how to verify it.

    The groups `ident` and `cost` of *pattern* are the Scheme's. Without them, it has the *ident*
    and the *cost* of the row. *verify* is None if the hash cannot be verified here.
    """

    name: str
    ident: str
    pattern: str
    verify: Callable[[bytes, str], bool] | None
    _: KW_ONLY
    weak: bool = False
    cost: int | None = None

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The pattern, compiled when the first hash needs it."""
        return re.compile(self.pattern)


_CRYPT64 = "[./0-9A-Za-z]"
_SALT = r"[^$:\x00-\x1f\x7f]"
# Nine digits hold every number of rounds of crypt(3); int() fails on thousands of digits.
_ROUNDS = r"(?:rounds=(?P<cost>\d{1,9})\$)?"
_FORMS = {
    form.name: form
    for form in (
        _Form(
            "bcrypt",
            "",
            r"\$(?P<ident>2[abxy]?)\$(?P<cost>[0-9]{2})\$[./A-Za-z0-9]{53}",
            _verify_bcrypt,
        ),
        _Form(
            "apr1",
            "apr1",
            rf"\$apr1\${_SALT}{{0,8}}\${_CRYPT64}{{22}}",
            partial(_verify_libpass, "apr_md5_crypt"),
            weak=True,
        ),
        _Form(
            "md5-crypt",
            "1",
            rf"\$1\${_SALT}{{0,8}}\${_CRYPT64}{{22}}",
            partial(_verify_libpass, "md5_crypt"),
            weak=True,
        ),
        _Form(
            "sha256-crypt",
            "5",
            rf"\$5\${_ROUNDS}{_SALT}{{0,16}}\${_CRYPT64}{{43}}",
            partial(_verify_libpass, "sha256_crypt"),
            cost=_DEFAULT_ROUNDS,
        ),
        _Form(
            "sha512-crypt",
            "6",
            rf"\$6\${_ROUNDS}{_SALT}{{0,16}}\${_CRYPT64}{{86}}",
            partial(_verify_libpass, "sha512_crypt"),
            cost=_DEFAULT_ROUNDS,
        ),
        _Form("sha1", "SHA", r"\{SHA\}[A-Za-z0-9+/]{27}=", _verify_sha1, weak=True),
        _Form("ssha", "SSHA", r"\{SSHA\}[A-Za-z0-9+/]{28,}={0,2}", _verify_ssha, weak=True),
        _Form("plain", "PLAIN", r"\{PLAIN\}.*", _verify_plain, weak=True),
        _Form("yescrypt", "y", r"\$g?y\$[./0-9A-Za-z$]+", None),
        _Form("scrypt", "7", r"\$7\$[./0-9A-Za-z$]+", None),
        _Form("argon2id", "argon2id", r"\$argon2id\$[!-~]+", None),
        _Form(
            "des-crypt",
            "",
            rf"{_CRYPT64}{{13}}",
            partial(_verify_libpass, "des_crypt"),
            weak=True,
        ),
        _Form("empty", "", "", _verify_empty),
    )
}
"""The first row whose pattern matches the whole hash is its scheme."""

SCHEMES = (*_FORMS, "unknown")
"""The names that `identify` returns."""

_WEAK = frozenset(form.name for form in _FORMS.values() if form.weak)


def identify(hash_: str) -> Scheme:
    """
    Return the scheme of *hash_*, a user's field in an auth file.

    The name is one of SCHEMES: `plain` is nginx's `{PLAIN}`, `empty` is no hash, and `unknown` is
    any other text. Never fails.
    """
    for form in _FORMS.values():
        match = form.compiled.fullmatch(hash_)
        if match is not None:
            return _scheme(form.name, match.groups())
    return Scheme("unknown")


@lru_cache(maxsize=64)
def _scheme(name: str, groups: tuple[str | None, ...]) -> Scheme:
    """Return the scheme *name* of a hash whose pattern has matched these *groups*."""
    form = _FORMS[name]
    found = dict(zip(form.compiled.groupindex, groups, strict=True))
    cost = found.get("cost")
    return Scheme(name, found.get("ident") or form.ident, int(cost) if cost else form.cost)


def verify(password: str, hash_: str) -> bool:
    """
    Return whether a server that reads *hash_* accepts *password*.

    A password over bcrypt's 72 bytes is cut as servers cut it. An invalid hash matches nothing.
    Raises UnreadableHashError for a scheme that cannot be verified here, or that is unknown, and
    for a hash that is too costly: no signal ends the computation.
    """
    scheme = identify(hash_)
    name = scheme.name
    if name == "unknown":
        raise UnreadableHashError("cannot verify the hash: its scheme is unknown")
    verifier = _FORMS[name].verify
    if verifier is None:
        raise UnreadableHashError(f"cannot verify the hash: {name} is not supported")
    if scheme.too_costly:
        raise UnreadableHashError(
            f"cannot verify the hash: {name} of cost {scheme.cost} takes too long, "
            f"{_COSTS[name][-1]} is the limit"
        )
    return verifier(password.encode(*_RAW), hash_)


# Passwords


def check_password(password: str, scheme: str = DEFAULT_SCHEME) -> None:
    """
    Raise InvalidPasswordError for a password that some server would read differently.

    That is: empty; with a control character (RFC 7617, section 2, forbids them, and C programs stop
    at a NUL); over 72 bytes of UTF-8 for bcrypt, over 255 for the rest (Apache's and musl's limit).
    """
    if not password:
        raise InvalidPasswordError("the password is empty")
    try:
        size = len(password.encode())
    except UnicodeEncodeError as error:
        raise InvalidPasswordError("the password is not UTF-8") from error
    if any(character < " " or character == "\x7f" for character in password):
        raise InvalidPasswordError("the password has a control character")
    limit = BCRYPT_LIMIT if scheme == "bcrypt" else _OTHER_LIMIT
    if size > limit:
        raise InvalidPasswordError(
            f"the password has {size} bytes, the limit of {scheme} is {limit}: servers would "
            "ignore the rest",
            hint="choose a shorter one, or pass --generate",
        )


def generate_password() -> str:
    """Return a new password: 24 letters and digits, 142 bits, safe in a URL and in a shell."""
    import secrets

    return "".join(secrets.choice(_ALPHABET) for _ in range(_GENERATED_LENGTH))


# Computing


def check_scheme(scheme: str, cost: int | None = None) -> None:
    """Raise InvalidInputError for a scheme that is not WRITABLE, or a cost that it cannot have."""
    if scheme not in WRITABLE:
        raise InvalidInputError(
            f"cannot write hashes of scheme {scheme}", hint=f"use one of {', '.join(WRITABLE)}"
        )
    if cost is None:
        return
    costs = _COSTS.get(scheme)
    if costs is None:
        raise InvalidInputError(f"{scheme} has no cost")
    if cost not in costs:
        raise InvalidInputError(f"the cost of {scheme} is {costs[0]} to {costs[-1]}, not {cost}")


def make(password: str, scheme: str = DEFAULT_SCHEME, cost: int | None = None) -> str:
    """
    Hash *password* with a new salt.

    *cost* is as in Scheme; None is 10 for bcrypt and 5000 rounds for SHA-crypt. Raises what
    check_password and check_scheme raise.
    """
    check_scheme(scheme, cost)
    check_password(password, scheme)
    data = password.encode()
    if scheme == "bcrypt":
        return _make_bcrypt(data, DEFAULT_COST if cost is None else cost)
    if scheme == "sha1":
        return _sha1(data)
    if scheme == "apr1":
        return str(_libpass("apr_md5_crypt").hash(data))
    handler = _libpass("sha256_crypt" if scheme == "sha256-crypt" else "sha512_crypt")
    return str(handler.using(rounds=cost or _DEFAULT_ROUNDS).hash(data))


def _make_bcrypt(data: bytes, cost: int) -> str:
    """
    Hash with the prefix `$2y$`, which Apache's own code reads, unlike `$2b$`.

    The package makes salts with `2b` only, but keeps the prefix of a salt that it gets.
    """
    import bcrypt

    salt = b"$2y" + bcrypt.gensalt(cost).removeprefix(b"$2b")
    return bcrypt.hashpw(data, salt).decode("ascii")


def _sha1(data: bytes) -> str:
    # Not our choice of scheme: Envoy reads no other.
    digest = hashlib.sha1(data, usedforsecurity=False).digest()
    return "{SHA}" + base64.b64encode(digest).decode("ascii")


def good_enough(
    present: Sequence[str], scheme: str | None = None, cost: int | None = None
) -> str | None:
    """
    Return the hash that can be kept when the password of a user with the hashes *present* is set.

    Without one, or if they differ, returns None. A scheme or cost that was asked for must match
    exactly; else bcrypt of at least the default cost is good enough.
    """
    if len(set(present)) != 1:
        return None
    found = identify(present[0])
    least = DEFAULT_COST if found.name == "bcrypt" else 0
    good = (found.cost or 0) >= least if cost is None else found.cost == cost
    good = good and not found.too_costly
    return present[0] if good and found.name == (scheme or DEFAULT_SCHEME) else None


def reuse_or_hash(
    password: str, present: Sequence[str], scheme: str | None = None, cost: int | None = None
) -> str:
    """Return the hash that is *present* if it matches and is good enough, else a new one."""
    kept = good_enough(present, scheme, cost)
    if kept is not None and verify(password, kept):
        return kept
    return make(password, scheme or DEFAULT_SCHEME, cost)


# Measuring

_MEASURED_COST = 8


class MeasuredCost(NamedTuple):
    """Seconds of CPU that one *cost* of bcrypt takes a server: a check, a pull, a first push."""

    cost: int
    check: float
    pull: float
    push: float


def measure_costs(layers: int, clock: Callable[[], float] = time.thread_time) -> list[MeasuredCost]:
    """
    Measure on this machine what each cost of bcrypt takes, for an image of *layers*.

    A server checks the password on every request. A pull is the index, the manifest, the config,
    each layer, and one more request that containerd 1.6 sends. A first push is two HEAD (one for
    the first), POST, PATCH and PUT for each layer and the config, and two for the manifest. One
    cost is timed, the best of five; the next cost takes twice as long by definition.
    """
    hash_ = make("measured", cost=_MEASURED_COST)
    timed = []
    for _ in range(5):
        start = clock()
        verify("measured", hash_)
        timed.append(clock() - start)
    checks = {cost: min(timed) * 2.0 ** (cost - _MEASURED_COST) for cost in BCRYPT_COSTS}
    pull, push = layers + 4, 5 * (layers + 1) + 1
    return [MeasuredCost(cost, check, check * pull, check * push) for cost, check in checks.items()]

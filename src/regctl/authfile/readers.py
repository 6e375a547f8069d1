"""
Who reads an auth file, and what each of them makes of it: a table, with a source for each cell.

The cells of distribution, nginx, httpd, HAProxy and Caddy are asked of the programs themselves in
tests/authfile/test_readers.py; the others are read in the program's source, which the cell names.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, get_args

from regctl.errors import InvalidInputError

Effect = Literal["fine", "shuts", "opens", "breaks", "stale", "hides", "first", "last"]
"""
What a scheme or an oddity does to a reader.

`fine`: read as meant, or skipped. `shuts`: that user is kept out. `opens`: somebody is let in who
should not be. `breaks`: the whole list, or more, is refused. `stale`: the list read before stays in
force. `hides`: what follows is not seen. `first` and `last`: which line of a user counts.
"""

Scheme = Literal[
    "bcrypt",
    "apr1",
    "md5-crypt",
    "sha1",
    "ssha",
    "sha256-crypt",
    "sha512-crypt",
    "des-crypt",
    "yescrypt",
    "scrypt",
    "argon2id",
    "plain",
    "empty",
    "unknown",
]

Oddity = Literal[
    "duplicate",
    "comment",
    "blank-line",
    "no-colon",
    "crlf",
    "bom",
    "trailing-blank",
    "leading-blank",
    "third-field",
    "empty-user",
    "blank-in-name",
    "long-line",
]

SCHEMES: tuple[str, ...] = get_args(Scheme)
ODDITIES: tuple[str, ...] = get_args(Oddity)

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")

LONG_LINE = 8192
"""Bytes of a line from which on httpd loses what follows (MAX_STRING_LEN in httpd.h)."""


class Cell(NamedTuple):
    """What happens, and how that is known."""

    effect: Effect
    source: str


class Limit(NamedTuple):
    """The most that a reader takes, and how that is known."""

    most: int
    source: str


class Shape(NamedTuple):
    """
    The Secret that a consumer reads.

    *key* holds the list; None: each user is a key of its own. With *any_key* the consumer takes the
    only key there is, whatever its name; *alone* is one that takes no Secret with two.
    *annotations* are those that it looks for.
    """

    type: str = "Opaque"
    key: str | None = "auth"
    any_key: bool = False
    alone: bool = False
    annotations: tuple[tuple[str, str], ...] = ()
    source: str = ""


@dataclass(frozen=True)
class AuthFileReader:
    """
    One reader of auth files.

    *shape* is None where it reads no Secret; *bad_name* matches the names that it can't take, and
    *bad_name_effect* says what becomes of them. *password* counts bytes.
    """

    name: str
    schemes: Mapping[str, Cell] = field(repr=False)
    oddities: Mapping[str, Cell] = field(repr=False)
    shape: Shape | None
    bcrypt_cost: Limit
    password: Limit
    bad_name: re.Pattern[str] | None = None
    bad_name_effect: Effect = "fine"
    bad_name_reason: str = ""

    @property
    def readable(self) -> tuple[str, ...]:
        """The schemes that it reads as meant."""
        return tuple(name for name in SCHEMES if self.schemes[name].effect == "fine")

    def winner(self, lines: int) -> int | None:
        """Return which of a user's *lines* counts, from 0; None where none does."""
        effect = self.oddities["duplicate"].effect
        return {"first": 0, "last": lines - 1}.get(effect)


def named(name: str) -> AuthFileReader:
    """Return the consumer of that name. Raises InvalidInputError."""
    try:
        return READERS[name]
    except KeyError:
        raise InvalidInputError(
            f"no consumer {name}", hint=f"they are {', '.join(READERS)}"
        ) from None


def by_effect(kind: Literal["schemes", "oddities"], what: str) -> dict[Effect, list[str]]:
    """Return who does what with a scheme or an oddity: names of consumers by effect."""
    found: dict[Effect, list[str]] = {}
    for consumer in READERS.values():
        cells: Mapping[str, Cell] = getattr(consumer, kind)
        found.setdefault(cells[what].effect, []).append(consumer.name)
    return found


def _cells(source: str, **effects: str) -> dict[str, Cell]:
    """Read `_cells("source", fine="bcrypt apr1")`: cells of one source, by effect."""
    return {
        what: Cell(effect, source)
        for effect in get_args(Effect)
        for what in effects.get(effect, "").split()
    }


# Schemes

_CRYPT = "md5-crypt sha256-crypt sha512-crypt des-crypt"

_NGINX_GLIBC = _cells(
    "nginx 1.22 on Debian: src/core/ngx_crypt.c, libxcrypt; asked in the tests",
    fine=f"bcrypt apr1 sha1 ssha plain yescrypt scrypt {_CRYPT}",
    shuts="argon2id empty unknown",
)
_NGINX_MUSL = _cells(
    "nginx on Alpine: src/core/ngx_crypt.c; musl, src/crypt/crypt_r.c; measured",
    fine=f"bcrypt apr1 sha1 ssha plain {_CRYPT}",
    shuts="yescrypt scrypt argon2id empty unknown",
)
_HTTPD = _cells(
    "httpd 2.4 on Debian: apr-util, crypto/apr_passwd.c, libxcrypt; asked in the tests",
    fine=f"bcrypt apr1 sha1 yescrypt scrypt {_CRYPT}",
    shuts="ssha plain argon2id empty unknown",
)
_DISTRIBUTION = _cells(
    "distribution 2.8: registry/auth/htpasswd/htpasswd.go; asked in the tests",
    fine="bcrypt",
    shuts=f"apr1 sha1 ssha plain yescrypt scrypt argon2id empty unknown {_CRYPT}",
)
_CADDY = _cells(
    "Caddy 2.6: modules/caddyhttp/caddyauth/bcrypt.go; asked in the tests",
    fine="bcrypt",
    shuts=f"apr1 sha1 ssha plain yescrypt scrypt argon2id unknown {_CRYPT}",
    breaks="empty",
)
_HAPROXY_MUSL = _cells(
    "HAProxy on Alpine: src/auth.c; musl, src/crypt/crypt_r.c",
    fine=f"bcrypt {_CRYPT}",
    shuts="apr1 sha1 ssha plain yescrypt scrypt argon2id empty unknown",
)
_TRAEFIK = _cells(
    "abbot/go-http-auth, basic.go, CheckSecret; measured",
    fine="bcrypt apr1 md5-crypt sha1",
    shuts="ssha plain yescrypt scrypt argon2id empty unknown sha256-crypt sha512-crypt des-crypt",
)
_ENVOY = _cells(
    "envoyproxy/gateway, internal/gatewayapi/securitypolicy.go, validateHtpasswdFormat",
    fine="sha1",
    breaks=f"bcrypt apr1 ssha plain yescrypt scrypt argon2id empty unknown {_CRYPT}",
)
_CONTOUR = _cells(
    "tg123/go-htpasswd, htpasswd.go, DefaultSystems; its last one takes any text for a password",
    fine="bcrypt apr1 sha1 ssha sha256-crypt sha512-crypt",
    opens="md5-crypt des-crypt yescrypt scrypt argon2id plain empty unknown",
)

# Oddities

_NGINX_LINES = _cells(
    "nginx 1.22: src/http/modules/ngx_http_auth_basic_module.c; asked in the tests",
    first="duplicate",
    fine="comment blank-line no-colon crlf third-field empty-user blank-in-name long-line",
    shuts="bom trailing-blank leading-blank",
)
_HTTPD_LINES = _cells(
    "httpd 2.4: modules/aaa/mod_authn_file.c; asked in the tests",
    first="duplicate",
    fine="comment blank-line no-colon crlf trailing-blank leading-blank third-field blank-in-name",
    shuts="bom",
    opens="empty-user",
    hides="long-line",
)
_DISTRIBUTION_LINES = _cells(
    "distribution 2.8: registry/auth/htpasswd/htpasswd.go, access.go; asked in the tests",
    last="duplicate",
    fine="comment blank-line crlf trailing-blank leading-blank third-field blank-in-name long-line",
    shuts="bom",
    stale="no-colon",
    opens="empty-user",
)
_TRAEFIK_LINES = _cells(
    "traefik, pkg/provider/kubernetes/crd/kubernetes.go, loadAuthCredentials; abbot/go-http-auth",
    last="duplicate",
    breaks="comment blank-line no-colon third-field",
    fine="crlf blank-in-name long-line",
    shuts="bom trailing-blank leading-blank",
    opens="empty-user",
)
_ENVOY_LINES = _cells(
    "envoyproxy/gateway, internal/gatewayapi/securitypolicy.go; envoy, http/basic_auth/config.cc",
    breaks="duplicate comment blank-line no-colon third-field empty-user trailing-blank",
    fine="crlf blank-in-name long-line",
    shuts="bom leading-blank",
)
_HAPROXY_LINES = _cells(
    "haproxy-ingress, pkg/converters/ingress/annotations/backend.go; HAProxy asked in the tests",
    first="duplicate",
    breaks="comment blank-in-name",
    fine="blank-line no-colon crlf trailing-blank empty-user long-line",
    shuts="bom leading-blank third-field",
)
_CONTOUR_LINES = _cells(
    "contour-authserver, pkg/auth/htpasswd.go; tg123/go-htpasswd, htpasswd.go",
    last="duplicate",
    breaks="comment no-colon",
    fine="blank-line crlf trailing-blank leading-blank third-field blank-in-name long-line",
    shuts="bom",
    opens="empty-user",
)
# A list that is a key for each user has no lines: `auth push` makes the keys.
_KEYS = _cells(
    "each user is a key of the Secret, as Kubernetes allows them",
    breaks="duplicate empty-user blank-in-name bom",
    fine="comment blank-line no-colon crlf trailing-blank leading-blank third-field long-line",
)
_CADDY_LINES = _cells(
    "Caddy 2.6: caddyauth/basicauth.go; it reads no auth file, users are put in the Caddyfile",
    breaks="duplicate empty-user",
    fine="comment blank-line no-colon crlf trailing-blank leading-blank third-field blank-in-name "
    "long-line",
    shuts="bom",
)

_GO_COST = Limit(31, "golang.org/x/crypto/bcrypt, MaxCost")
_GLIBC_COST = Limit(31, "libxcrypt, lib/crypt-bcrypt.c")
_MUSL_COST = Limit(19, "musl, src/crypt/crypt_blowfish.c")
_BCRYPT_PASSWORD = Limit(72, "bcrypt looks at no more")
_MUSL_PASSWORD = Limit(256, "musl, src/crypt/crypt_sha512.c, KEY_MAX; bcrypt looks at 72")
_GLIBC_PASSWORD = Limit(511, "libxcrypt, crypt.h, CRYPT_MAX_PASSPHRASE_SIZE; bcrypt looks at 72")
_HTTPD_PASSWORD = Limit(255, "httpd, support/passwd_common.h; bcrypt looks at 72")
_NO_PASSWORD_LIMIT = Limit(4096, "no limit but that of a header; bcrypt looks at 72")

_KEY_NAME = re.compile(r"(?![-._A-Za-z0-9]{1,253}\Z)[\s\S]*|\.{1,2}")
_KEY_REASON = "a name is a key of the Secret: letters, digits and . _ - only"
_HAPROXY_NAME = re.compile(r"[\s\S]*[\s#\"'\\][\s\S]*")
_HAPROXY_REASON = "a blank, a quote, # or \\ means something else in HAProxy's configuration"

_CONSUMERS = (
    AuthFileReader(
        "distribution",
        _DISTRIBUTION,
        _DISTRIBUTION_LINES,
        Shape(any_key=True, source="mounted as a folder: any name will do"),
        _GO_COST,
        _BCRYPT_PASSWORD,
    ),
    AuthFileReader(
        "ingress-nginx",
        _NGINX_MUSL,
        _NGINX_LINES,
        Shape(source="ingress-nginx, internal/ingress/annotations/auth/main.go, AuthFile"),
        _MUSL_COST,
        _MUSL_PASSWORD,
    ),
    AuthFileReader(
        "ingress-nginx-auth-map",
        _NGINX_MUSL,
        _KEYS,
        Shape(
            key=None,
            source="ingress-nginx, internal/ingress/annotations/auth/main.go, AuthMap",
        ),
        _MUSL_COST,
        _MUSL_PASSWORD,
        _KEY_NAME,
        "breaks",
        _KEY_REASON,
    ),
    AuthFileReader(
        "nginx",
        _NGINX_GLIBC,
        _NGINX_LINES,
        Shape(any_key=True, source="mounted as a folder: any name will do"),
        _GLIBC_COST,
        _GLIBC_PASSWORD,
    ),
    AuthFileReader(
        "traefik",
        _TRAEFIK,
        _TRAEFIK_LINES,
        Shape(
            any_key=True,
            alone=True,
            source="traefik, pkg/provider/kubernetes/crd/kubernetes.go, loadAuthCredentials",
        ),
        _GO_COST,
        _NO_PASSWORD_LIMIT,
    ),
    AuthFileReader(
        "envoy-gateway",
        _ENVOY,
        _ENVOY_LINES,
        Shape(key=".htpasswd", source="envoyproxy/gateway, api/v1alpha1, BasicAuthUsersSecretKey"),
        _GO_COST,
        _NO_PASSWORD_LIMIT,
    ),
    AuthFileReader(
        "nginx-gateway-fabric",
        _NGINX_MUSL,
        _NGINX_LINES,
        Shape(source="nginx-gateway-fabric, AuthenticationFilter: Opaque, key auth, from 2.5 on"),
        _MUSL_COST,
        _MUSL_PASSWORD,
    ),
    AuthFileReader(
        "nginx-ingress",
        _NGINX_MUSL,
        _NGINX_LINES,
        Shape(
            type="nginx.org/htpasswd",
            key="htpasswd",
            source="kubernetes-ingress, internal/k8s/secrets/validation.go",
        ),
        _MUSL_COST,
        _MUSL_PASSWORD,
    ),
    AuthFileReader(
        "haproxy-ingress",
        _HAPROXY_MUSL,
        _HAPROXY_LINES,
        Shape(source="haproxy-ingress, pkg/converters/ingress/annotations/backend.go"),
        _MUSL_COST,
        _MUSL_PASSWORD,
        _HAPROXY_NAME,
        "breaks",
        _HAPROXY_REASON,
    ),
    AuthFileReader(
        "haproxytech",
        _HAPROXY_MUSL,
        _KEYS,
        Shape(key=None, source="haproxytech/kubernetes-ingress, documentation, auth-secret"),
        _MUSL_COST,
        _MUSL_PASSWORD,
        _KEY_NAME,
        "breaks",
        _KEY_REASON,
    ),
    AuthFileReader(
        "contour",
        _CONTOUR,
        _CONTOUR_LINES,
        Shape(
            annotations=(("projectcontour.io/auth-type", "basic"),),
            source="contour-authserver, pkg/auth/htpasswd.go",
        ),
        _GO_COST,
        _NO_PASSWORD_LIMIT,
    ),
    AuthFileReader("caddy", _CADDY, _CADDY_LINES, None, _GO_COST, _BCRYPT_PASSWORD),
    AuthFileReader(
        "httpd",
        _HTTPD,
        _HTTPD_LINES,
        Shape(any_key=True, source="mounted as a folder: any name will do"),
        _GLIBC_COST,
        _HTTPD_PASSWORD,
    ),
)

READERS: Mapping[str, AuthFileReader] = {consumer.name: consumer for consumer in _CONSUMERS}
DEFAULT = READERS["ingress-nginx"]
"""The consumer of a Secret where none is named: what most installed registries sit behind."""

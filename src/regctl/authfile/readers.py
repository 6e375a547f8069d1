"""
Who reads an auth file, and what each reader does with it: a table, with a source for each cell.

The tests run distribution, nginx, httpd, HAProxy and Caddy and compare them with their rows
(tests/authfile/test_readers.py). The other rows are read in the program's source, which is named.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple, cast

from regctl.authfile import hashes
from regctl.errors import InvalidInputError

Effect = Literal[
    "ok",
    "rejects-user",
    "accepts-hash",
    "admits-nameless",
    "rejects-file",
    "keeps-old-file",
    "ignores-rest",
    "uses-first",
    "uses-last",
]
"""
What a reader does with a scheme or with a feature of a line.

`ok`: reads it as meant, or ignores the line. `rejects-user`: that user cannot log in.
`accepts-hash`: takes the hash itself for the password. `admits-nameless`: anybody can log in
without a name. `rejects-file`: rejects the whole file, or more. `keeps-old-file`: keeps using the
file that it read before. `ignores-rest`: ignores all lines after it. `uses-first` and `uses-last`:
which of a user's lines it uses.
"""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")

LONG_LINE = 8192
"""Bytes of a line from which on httpd ignores what follows (MAX_STRING_LEN in httpd.h)."""


class Behavior(NamedTuple):
    """What a reader does, and how that is known."""

    effect: Effect
    source: str


class Limit(NamedTuple):
    """The most that a reader takes, and how that is known."""

    maximum: int
    source: str


class SecretLayout(NamedTuple):
    """
    The Secret that a reader reads.

    *key* has the whole list; None: each user is a key of its own. With *any_key* the reader takes
    the only key, whatever its name. With *single_key* it rejects a Secret that has two.
    *annotations* are those that it requires.
    """

    type: str = "Opaque"
    key: str | None = "auth"
    any_key: bool = False
    single_key: bool = False
    annotations: tuple[tuple[str, str], ...] = ()
    source: str = ""


_MOUNTED = SecretLayout(any_key=True, source="mounted as a folder: any key works")
_GO_COST = Limit(31, "golang.org/x/crypto/bcrypt, MaxCost")
_NO_PASSWORD_LIMIT = Limit(4096, "only the limit of a header; bcrypt uses 72")


@dataclass(frozen=True)
class AuthFileReader:
    """
    A program that reads auth files.

    *layout* is None if it reads no Secret. *invalid_name* matches the user names that make it
    reject the file, and *invalid_name_reason* says why. The limit of *password* is in bytes.
    *schemes* has a Behavior for each name that hashes.identify returns. *line_features* has one for
    `duplicate` (several lines of one user), `comment` and so on, as the rules of the audit.
    """

    name: str
    schemes: Mapping[str, Behavior] = field(repr=False)
    line_features: Mapping[str, Behavior] = field(repr=False)
    layout: SecretLayout | None = _MOUNTED
    bcrypt_cost: Limit = _GO_COST
    password: Limit = _NO_PASSWORD_LIMIT
    invalid_name: re.Pattern[str] | None = None
    invalid_name_reason: str = ""

    @property
    def reads_files(self) -> bool:
        """Whether it reads a file, perhaps in a mounted Secret; else a key of a Secret."""
        return self.layout is None or self.layout.any_key

    @property
    def accepted_schemes(self) -> tuple[str, ...]:
        """The schemes that it reads as meant."""
        return tuple(name for name, behavior in self.schemes.items() if behavior.effect == "ok")

    def used_line(self, lines: int) -> int | None:
        """Return which of a user's *lines* it uses, from 0; None if it uses none of them."""
        effect = self.line_features["duplicate"].effect
        return {"uses-first": 0, "uses-last": lines - 1}.get(effect)

    def rejects_name(self, name: str) -> bool:
        """Return whether a user of that *name* makes it reject the file."""
        return self.invalid_name is not None and self.invalid_name.fullmatch(name) is not None


def get_reader(name: str | None) -> AuthFileReader:
    """Return the reader of that name, without a name the default one. Raises InvalidInputError."""
    if name is None:
        return DEFAULT_READER
    try:
        return READERS[name]
    except KeyError:
        raise InvalidInputError(
            f"no reader {name}", hint=f"the readers are {', '.join(READERS)}"
        ) from None


def by_effect(name: str, readers: Iterable[AuthFileReader]) -> dict[Effect, list[str]]:
    """Return the names of *readers* by what they do with a scheme or a feature of that *name*."""
    found: dict[Effect, list[str]] = {}
    for reader in readers:
        behavior = reader.schemes.get(name) or reader.line_features[name]
        found.setdefault(behavior.effect, []).append(reader.name)
    return found


def _cells(
    schemes: str, lines: str, **effects: str
) -> tuple[dict[str, Behavior], dict[str, Behavior]]:
    """
    Return what a reader does with schemes and with features of lines, from the source of each.

    *effects* has the names of schemes and features by effect. A scheme that is not in it has the
    effect `rejects-user`, a feature `ok`.
    """
    by_scheme = dict.fromkeys(hashes.SCHEMES, Behavior("rejects-user", schemes))
    by_feature = dict.fromkeys(_LINE_FEATURES, Behavior("ok", lines))
    for effect, names in effects.items():
        for name in names.split():
            row = by_scheme if name in by_scheme else by_feature
            row[name] = Behavior(cast("Effect", effect.replace("_", "-")), row[name].source)
    return by_scheme, by_feature


_LINE_FEATURES = (
    *("duplicate", "comment", "blank-line", "no-colon", "crlf", "bom", "trailing-blank"),
    *("leading-blank", "unicode-blank", "third-field", "empty-user", "blank-in-name", "long-line"),
)
_CRYPT = "md5-crypt sha256-crypt sha512-crypt des-crypt"

_GLIBC_COST = Limit(31, "libxcrypt, lib/crypt-bcrypt.c")
_MUSL_COST = Limit(19, "musl, src/crypt/crypt_blowfish.c")
_BCRYPT_PASSWORD = Limit(72, "bcrypt uses no more")
_MUSL_PASSWORD = Limit(256, "musl, src/crypt/crypt_sha512.c, KEY_MAX; bcrypt uses 72")
_GLIBC_PASSWORD = Limit(511, "libxcrypt, crypt.h, CRYPT_MAX_PASSPHRASE_SIZE; bcrypt uses 72")
_HTTPD_PASSWORD = Limit(255, "httpd, support/passwd_common.h; bcrypt uses 72")

_NGINX = AuthFileReader(
    "nginx",
    *_cells(
        "nginx 1.22 on Debian: src/core/ngx_crypt.c, libxcrypt; run in the tests",
        "nginx 1.22: src/http/modules/ngx_http_auth_basic_module.c; run in the tests",
        ok=f"bcrypt apr1 sha1 ssha plain yescrypt scrypt {_CRYPT}",
        uses_first="duplicate",
        rejects_user="bom trailing-blank leading-blank unicode-blank",
    ),
    bcrypt_cost=_GLIBC_COST,
    password=_GLIBC_PASSWORD,
)
# With a key for each user there are no lines: `auth push` creates the keys.
_INGRESS_NGINX_MAP = AuthFileReader(
    "ingress-nginx-auth-map",
    *_cells(
        "nginx on Alpine: src/core/ngx_crypt.c; musl, src/crypt/crypt_r.c; measured",
        "each user is a key of the Secret, as Kubernetes allows them",
        ok=f"bcrypt apr1 sha1 ssha plain {_CRYPT}",
        rejects_file="duplicate empty-user blank-in-name bom",
    ),
    SecretLayout(
        key=None, source="ingress-nginx, internal/ingress/annotations/auth/main.go, AuthMap"
    ),
    _MUSL_COST,
    _MUSL_PASSWORD,
    re.compile(r"(?![-._A-Za-z0-9]{1,253}\Z)[\s\S]*|\.{1,2}"),
    "a name is a key of the Secret: letters, digits and . _ - only",
)
_INGRESS_NGINX = replace(
    _INGRESS_NGINX_MAP,
    name="ingress-nginx",
    line_features=_NGINX.line_features,
    layout=SecretLayout(
        source="ingress-nginx, internal/ingress/annotations/auth/main.go, AuthFile"
    ),
    invalid_name=None,
    invalid_name_reason="",
)
_HAPROXY = AuthFileReader(
    "haproxy-ingress",
    *_cells(
        "HAProxy on Alpine: src/auth.c; musl, src/crypt/crypt_r.c",
        "haproxy-ingress, pkg/converters/ingress/annotations/backend.go; HAProxy run in the tests",
        ok=f"bcrypt {_CRYPT}",
        uses_first="duplicate",
        rejects_file="comment blank-in-name",
        rejects_user="bom leading-blank unicode-blank third-field",
    ),
    SecretLayout(source="haproxy-ingress, pkg/converters/ingress/annotations/backend.go"),
    _MUSL_COST,
    _MUSL_PASSWORD,
    re.compile(r"[\s\S]*[\s#\"'\\][\s\S]*"),
    "a blank, a quote, # or \\ has a special meaning in HAProxy's configuration",
)

_ALL = (
    AuthFileReader(
        "distribution",
        *_cells(
            "distribution 2.8, 3.1: registry/auth/htpasswd/htpasswd.go; run in the tests",
            "distribution 2.8, 3.1: registry/auth/htpasswd/{access,htpasswd}.go; run in the tests",
            ok="bcrypt",
            uses_last="duplicate",
            rejects_user="bom",
            keeps_old_file="no-colon",
            admits_nameless="empty-user",
        ),
        password=_BCRYPT_PASSWORD,
    ),
    _INGRESS_NGINX,
    _INGRESS_NGINX_MAP,
    _NGINX,
    AuthFileReader(
        "traefik",
        *_cells(
            "abbot/go-http-auth, basic.go, CheckSecret; measured",
            "traefik, pkg/provider/kubernetes/crd/kubernetes.go, loadAuthCredentials; "
            "abbot/go-http-auth",
            ok="bcrypt apr1 md5-crypt sha1",
            uses_last="duplicate",
            rejects_file="comment blank-line no-colon third-field",
            rejects_user="bom trailing-blank leading-blank unicode-blank",
            admits_nameless="empty-user",
        ),
        SecretLayout(
            any_key=True,
            single_key=True,
            source="traefik, pkg/provider/kubernetes/crd/kubernetes.go, loadAuthCredentials",
        ),
    ),
    AuthFileReader(
        "envoy-gateway",
        *_cells(
            "envoyproxy/gateway, internal/gatewayapi/securitypolicy.go, validateHtpasswdFormat",
            "envoyproxy/gateway, internal/gatewayapi/securitypolicy.go; "
            "envoy, http/basic_auth/config.cc",
            ok="sha1",
            rejects_file="bcrypt apr1 ssha plain yescrypt scrypt argon2id empty unknown "
            f"{_CRYPT} duplicate comment blank-line no-colon third-field empty-user trailing-blank",
            rejects_user="bom leading-blank unicode-blank",
        ),
        SecretLayout(
            key=".htpasswd", source="envoyproxy/gateway, api/v1alpha1, BasicAuthUsersSecretKey"
        ),
    ),
    replace(
        _INGRESS_NGINX,
        name="nginx-gateway-fabric",
        layout=SecretLayout(
            source="nginx-gateway-fabric, AuthenticationFilter: Opaque, key auth, from 2.5 on"
        ),
    ),
    replace(
        _INGRESS_NGINX,
        name="nginx-ingress",
        layout=SecretLayout(
            type="nginx.org/htpasswd",
            key="htpasswd",
            source="kubernetes-ingress, internal/k8s/secrets/validation.go",
        ),
    ),
    _HAPROXY,
    replace(
        _INGRESS_NGINX_MAP,
        name="haproxytech",
        schemes=_HAPROXY.schemes,
        layout=SecretLayout(
            key=None, source="haproxytech/kubernetes-ingress, documentation, auth-secret"
        ),
    ),
    AuthFileReader(
        "contour",
        *_cells(
            "tg123/go-htpasswd, htpasswd.go, DefaultSystems; the last one compares the text as a "
            "password",
            "contour-authserver, pkg/auth/htpasswd.go; tg123/go-htpasswd, htpasswd.go",
            ok="bcrypt apr1 sha1 ssha sha256-crypt sha512-crypt",
            accepts_hash="md5-crypt des-crypt yescrypt scrypt argon2id plain empty unknown",
            uses_last="duplicate",
            rejects_file="comment no-colon",
            rejects_user="bom",
            admits_nameless="empty-user",
        ),
        SecretLayout(
            annotations=(("projectcontour.io/auth-type", "basic"),),
            source="contour-authserver, pkg/auth/htpasswd.go",
        ),
    ),
    AuthFileReader(
        "caddy",
        *_cells(
            "Caddy 2.6: modules/caddyhttp/caddyauth/bcrypt.go; run in the tests",
            "Caddy 2.6: caddyauth/basicauth.go; it reads no auth file, its users are in the "
            "Caddyfile",
            ok="bcrypt",
            rejects_file="empty duplicate empty-user",
            rejects_user="bom",
        ),
        layout=None,
        password=_BCRYPT_PASSWORD,
    ),
    AuthFileReader(
        "httpd",
        *_cells(
            "httpd 2.4 on Debian: apr-util, crypto/apr_passwd.c, libxcrypt; run in the tests",
            "httpd 2.4: modules/aaa/mod_authn_file.c; run in the tests",
            ok=f"bcrypt apr1 sha1 yescrypt scrypt {_CRYPT}",
            uses_first="duplicate",
            rejects_user="bom unicode-blank",
            admits_nameless="empty-user",
            ignores_rest="long-line",
        ),
        bcrypt_cost=_GLIBC_COST,
        password=_HTTPD_PASSWORD,
    ),
)

READERS: Mapping[str, AuthFileReader] = {reader.name: reader for reader in _ALL}
DEFAULT_READER = _INGRESS_NGINX
"""The reader of a Secret if none is named: most installed registries are behind it."""

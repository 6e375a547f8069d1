"""
Why there is no connection to a server, and what to do about it: one table for every command.

The clients of the registry and of the Kubernetes API find the cause; the words are here.
"""

import ssl
from typing import NamedTuple

# OpenSSL's X509_V_ERR_… numbers; the names change between releases.
_CAUSES = {9: "not valid yet", 10: "expired", 62: "wrong name", 64: "wrong name"}

# OpenSSL's reasons if the other side does not speak TLS, or rejects our certificate.
_SPEAKS_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE", "PACKET_LENGTH")
_REJECTS_CLIENT = ("ALERT_CERT", "CERTIFICATE_REQUIRED", "ALERT_BAD_CERT", "ALERT_UNKNOWN_CA")
_OWN_FILE = ("NO_CERTIFICATE_OR_CRL_FOUND", "PEM_LIB", "KEY_VALUES_MISMATCH", "NO_START_LINE")

# Go's net/http and nginx, to HTTP on their HTTPS port.
_WANTS_TLS = (b"HTTP request to an HTTPS", b"plain HTTP request")


class Remedy(NamedTuple):
    """What to do about a cause: at a registry, and at the API server of a kubeconfig."""

    registry: str
    cluster: str


_RENEW = "renew the certificate on the server"
_CLOCK = "set the clock of this machine, or of the one that issued the certificate"
_KUBECTL = "`kubectl cluster-info` shows whether the cluster runs and the context is right"
_SERVER = "correct `server` of this cluster in the kubeconfig"

REMEDIES = {
    "expired": Remedy(_RENEW, _RENEW),
    "not valid yet": Remedy(_CLOCK, _CLOCK),
    "wrong name": Remedy(
        "use the name that the certificate is for, or get a certificate for this name",
        "set `tls-server-name` of this cluster in the kubeconfig, or correct its `server`",
    ),
    "unknown CA": Remedy(
        "pass --ca-file with the certificate that signed it",
        "set certificate-authority of this cluster in the kubeconfig",
    ),
    "client certificate": Remedy(
        "pass --client-cert and --client-key with a certificate that it trusts",
        "renew the client certificate of this user in the kubeconfig",
    ),
    "own file": Remedy(
        "pass a certificate in PEM form",
        "correct certificate-authority, client-certificate or client-key in the kubeconfig",
    ),
    "TLS": Remedy("does a proxy or a firewall in between end TLS?", _KUBECTL),
    "speaks HTTP": Remedy("pass --plain-http if you trust the network", _SERVER),
    "speaks HTTPS": Remedy("leave out --plain-http", _SERVER),
    "name": Remedy("is the name correct?", _KUBECTL),
    "no connection": Remedy(
        "is it running, is the port correct, is a firewall in between?", _KUBECTL
    ),
    "proxy": Remedy(
        "check $HTTPS_PROXY and $NO_PROXY",
        "check $HTTPS_PROXY and $NO_PROXY, and `proxy-url` of this cluster in the kubeconfig",
    ),
    "kubeconfig": Remedy("", "`kubectl config view` shows what is wrong"),
    "context": Remedy("", "pass --context with one of: {}"),
    "plug-in": Remedy("", "install it, or choose another --context"),
    "login": Remedy("", "log in to the cluster again, or choose another --context"),
    "other server": Remedy("a registry is HOST or HOST:PORT, without a path", _SERVER),
}


# A proxy's URL may hold a password, so it is not shown.
NO_PROXY_URL = "the proxy is not the URL of an HTTP proxy"


class Problem(NamedTuple):
    """A *cause*, which is a key of REMEDIES, and the *reason* in words."""

    cause: str
    reason: str

    @property
    def remedy(self) -> Remedy:
        """What to do about it."""
        return REMEDIES[self.cause]


def tls_problem(error: ssl.SSLError, host: str) -> Problem:
    """Return why a TLS connection to *host* failed."""
    if isinstance(error, ssl.SSLCertVerificationError):
        cause = _CAUSES.get(error.verify_code, "unknown CA")
        why = error.verify_message.rstrip(".")
        return Problem(cause, f"the certificate of {host} is not trusted: {why}")
    text = f"{error.reason} {error}".upper().replace(" ", "_")
    if any(name in text for name in _SPEAKS_NO_TLS):
        return Problem("speaks HTTP", f"{host} speaks HTTP, not HTTPS")
    if any(name in text for name in _REJECTS_CLIENT):
        return Problem("client certificate", f"{host} does not accept the client's certificate")
    if any(name in text for name in _OWN_FILE):
        return Problem("own file", "a certificate or key on this machine is not valid PEM")
    reason = error.reason or "the connection broke"
    return Problem("TLS", f"cannot make a TLS connection to {host}: {reason}")


def wants_tls(body: bytes) -> bool:
    """Whether the body of a 400 is what an HTTPS port answers to plain HTTP."""
    return any(words in body for words in _WANTS_TLS)

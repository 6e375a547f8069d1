"""A temporary certificate authority for TLS on loopback."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Certificate:
    """The PEM files of a server's certificate, its key, and the CA that signed it."""

    chain: Path
    key: Path
    ca_file: Path


def make_certificate(
    folder: Path,
    *names: str,
    expires: dt.datetime | None = None,
) -> Certificate:
    """Create a certificate for *names* (default: loopback); *expires* may be in the past."""
    import trustme  # a dependency of the tests only; the demo does not need it

    folder.mkdir(parents=True, exist_ok=True)
    authority = trustme.CA()
    issued = authority.issue_cert(*(names or ("localhost", "127.0.0.1")), not_after=expires)
    certificate = Certificate(folder / "server.pem", folder / "server.key", folder / "ca.pem")
    certificate.chain.write_bytes(b"".join(pem.bytes() for pem in issued.cert_chain_pems))
    issued.private_key_pem.write_to_path(str(certificate.key))
    authority.cert_pem.write_to_path(str(certificate.ca_file))
    return certificate

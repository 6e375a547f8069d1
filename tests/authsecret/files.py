"""Auth files and Secrets for the tests of this package."""

from regctl.authfile.htpasswd import HtpasswdFile
from regctl.authfile.readers import DEFAULT_READER, AuthFileReader
from regctl.authsecret.secret import AuthSecret
from regctl.cluster.ownership import Ownership
from regctl.cluster.secret import Secret

A, B = (f"$2y$04$abcdefghijklmnopqrstu{last}2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW" for last in "uv")
NAME = "registry-basic-auth"
MANAGED = Ownership(managed=True, controller=None)


def file(*rows: str) -> HtpasswdFile:
    return HtpasswdFile("".join(f"{row}\n" for row in rows).encode())


def desired(*rows: str, reader: AuthFileReader = DEFAULT_READER) -> AuthSecret:
    return AuthSecret.of(file(*rows), reader)


def secret(data: dict[str, bytes], ownership: Ownership = MANAGED, type_: str = "Opaque") -> Secret:
    return Secret("ns", NAME, "uid", "1", type_, data, ownership=ownership)

"""Auth Secrets for the tests of `auth push` and `auth pull`."""

import base64
from pathlib import Path
from typing import Any

from click.testing import Result

from regctl.authfile import hashes
from tests import cli
from tests.servers.kubernetes import ApiServer

NAME = "registry-basic-auth"
# Written out, for the names of the tests hold them: the workers of pytest-xdist compare the names.
ONE = "$2y$04$LeDh/X3QkTEVxtOLMxTYaObTDjWOCV2b4kEPyZoM..5dD/jMWouu2"
TWO = "$2y$04$ugCzEnlR6gEgcjrDNzdD/OFBJg0y1BvrckhRS9KD9VHDTq1EB/B3y"
SHA = hashes.make("generated", "sha1")


def write_auth_file() -> None:
    """Write an auth file with alice and bob, a locked user and a comment."""
    Path("auth").write_text(f"# ours\nalice:{ONE}\n\n#regctl:locked eve:{ONE}\nbob:{ONE}\n")


def auth(verb: str, namespace: str, *args: str, name: str = NAME) -> Result:
    """Run `auth push` or `auth pull` for the Secret *name*; no hash may be in the output."""
    result = cli.run("auth", verb, "--auth-secret", f"{namespace}/{name}", *args)
    if "--dry-run=client" not in args:
        assert "$2y$" not in result.output
        assert base64.b64encode(b"$2y$").decode()[:4] not in result.output
    return result


def refused(result: Result, code: int, *messages: str) -> None:
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, result.stderr
    for message in messages:
        assert message in result.stderr


def data(secret: dict[str, Any]) -> dict[str, str]:
    return {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}


def create_secret(
    server: ApiServer,
    namespace: str,
    content: dict[str, str],
    *,
    type_: str = "Opaque",
    name: str = NAME,
    **fields: Any,
) -> dict[str, Any]:
    """Create a Secret without regctl."""
    metadata = {"name": name, **fields.pop("metadata", {})}
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in content.items()}
    return server.create_secret(
        namespace, {"metadata": metadata, "type": type_, "data": encoded, **fields}
    )

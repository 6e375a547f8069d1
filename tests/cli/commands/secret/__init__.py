"""What the tests of `regctl secret ...` share, on the real API server."""

import base64
import json
from typing import Any

import pytest
from click.testing import Result

from tests import cli
from tests.servers.kubernetes import ApiServer

PASSWORD = "p'\"<>&\\é:🔑 $x"
KEY = ".dockerconfigjson"


def run(*args: str, stdin: str = "") -> Result:
    """Run `regctl ARGS`; without `-o` the password must not be in the output."""
    result = cli.run(*args, stdin=stdin)
    if "-o" not in args:
        assert PASSWORD not in result.output
    return result


def create(*args: str, stdin: str = "") -> Result:
    """Run `regctl secret create ARGS`, for a registry that does not exist."""
    return run("secret", "create", *args, "--no-verify", stdin=stdin)


def sync(*args: str) -> Result:
    """Run `regctl secret sync ARGS`, for registries that do not exist."""
    return run("secret", "sync", *args, "--no-verify")


def refused(result: Result, code: int, *texts: str) -> None:
    """Assert that there is one error of one line, with *texts*, and nothing on stdout."""
    assert result.exit_code == code, result.stderr
    assert result.stdout == ""
    errors = [line for line in result.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, result.stderr
    for text in texts:
        assert text in result.stderr


def decoded(secret: dict[str, Any]) -> Any:
    """Return the `.dockerconfigjson` of a Secret."""
    return json.loads(base64.b64decode(secret["data"][KEY]))


def as_user(kubernetes: ApiServer, user: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the commands that follow as *user*."""
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig_for(user)))

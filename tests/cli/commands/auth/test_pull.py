"""`regctl auth pull` on the real API server."""

from pathlib import Path

import pytest
from click.testing import Result

from tests import cli
from tests.cli.commands.auth.secrets import (
    NAME,
    ONE,
    TWO,
    auth,
    create_secret,
    refused,
    write_auth_file,
)
from tests.servers.kubernetes import ApiServer


def pull(namespace: str, *args: str, name: str = NAME) -> Result:
    return auth("pull", namespace, *args, name=name)


@pytest.fixture(autouse=True)
def administrator(kubernetes: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work as an administrator, in a folder with an auth file."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
    write_auth_file()


def test_the_users_are_written_to_a_new_file(kubernetes: ApiServer, namespace: str) -> None:
    content = f"# a comment\nalice:{TWO}"
    create_secret(kubernetes, namespace, {"auth": content})
    assert pull(namespace, "-f", "new").stdout == "file/new created (added alice)\n"
    assert Path("new").read_text() == content
    assert Path("new").stat().st_mode & 0o777 == 0o600
    assert pull(namespace, "-f", "new").stdout == "file/new unchanged\n"


def test_a_different_file_is_changed_only_after_confirmation(
    kubernetes: ApiServer, namespace: str
) -> None:
    """Comments are kept, and the locked user, who is not in the Secret."""
    create_secret(kubernetes, namespace, {"auth": f"alice:{TWO}\ncarol:{ONE}\n"})
    before = Path("auth").read_text()
    refused(pull(namespace), 1, "changed alice, removed bob, added carol", "--yes")
    assert pull(namespace, "--dry-run").stdout.endswith("(dry run)\n")
    assert Path("auth").read_text() == before
    assert pull(namespace, "--yes").stdout.startswith("file/auth configured")
    assert Path("auth").read_text() == (
        f"# ours\nalice:{TWO}\n\n#regctl:locked eve:{ONE}\ncarol:{ONE}\n"
    )
    assert auth("push", namespace, "--check").exit_code == 0


def test_a_pull_after_a_push_changes_nothing(namespace: str) -> None:
    auth("push", namespace)
    assert pull(namespace).stdout == "file/auth unchanged\n"


def test_a_secret_that_cannot_be_read_is_an_error(kubernetes: ApiServer, namespace: str) -> None:
    missing = f"in namespace {namespace}: it does not exist"
    refused(pull(namespace), 1, missing, "auth push")
    refused(pull("nowhere"), 1, "in namespace nowhere: no such namespace")
    create_secret(kubernetes, namespace, {"users": "x"})
    refused(pull(namespace), 1, "reads key auth", "has only users", "--for")


def test_check_lists_the_differences_and_changes_nothing(
    kubernetes: ApiServer, namespace: str
) -> None:
    create_secret(kubernetes, namespace, {"auth": f"alice:{TWO}\nbob:{ONE}\n"})
    before = Path("auth").read_text()
    result = pull(namespace, "--check")
    assert result.exit_code == 1
    assert result.stdout == "\tfile/auth\tconfigured\tchanged alice\n"
    assert Path("auth").read_text() == before
    pull(namespace, "--yes")
    same = pull(namespace, "--check")
    assert (same.exit_code, same.output) == (0, "")


def test_the_default_secret_is_in_the_namespace_of_the_context(kubernetes: ApiServer) -> None:
    create_secret(kubernetes, "default", {"auth": f"alice:{TWO}\n"})
    assert cli.run("auth", "pull", "-f", "new").stdout == "file/new created (added alice)\n"
    kubernetes.request("DELETE", f"/api/v1/namespaces/default/secrets/{NAME}")

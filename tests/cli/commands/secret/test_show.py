"""`secret show` on the real API server."""

import base64
import json

import pytest

from tests import cli
from tests.cli.commands.secret import KEY, PASSWORD, as_user, create, refused, run
from tests.servers.kubernetes import ApiServer


@pytest.fixture
def secret(namespace: str) -> str:
    """A Secret with entries for two registries."""
    for server, user in (("registry.foo.com", "alice"), ("b.io", "bob")):
        flags = ["--server", server, "--username", user, "--email", f"{user}@foo.com", "--merge"]
        assert create("pull", "-n", namespace, *flags).exit_code == 0
    return f"{namespace}/pull"


def test_the_entries_are_listed_without_a_password(secret: str) -> None:
    shown = run("secret", "show", secret)
    assert shown.exit_code == 0
    assert shown.stdout.splitlines() == [
        "b.io\tbob\tbob@foo.com\t",
        "registry.foo.com\talice\talice@foo.com\t",
    ]
    only = run("secret", "show", secret, "--server", "https://b.io/v2/", "-o", "json")
    assert json.loads(only.stdout) == {
        "entries": [{"registry": "b.io", "user": "bob", "email": "bob@foo.com", "problem": None}]
    }
    assert run("secret", "show", secret, "-o", "name").stdout == "b.io\nregistry.foo.com\n"
    for form in ("table", "yaml"):
        assert PASSWORD not in run("secret", "show", secret, "-o", form).output
    assert run("secret", "show", secret, "--server", "c.io").stderr == "note: no such entries\n"


def test_reveal_prints_one_password_and_nothing_else(secret: str) -> None:
    reveal = ["secret", "show", secret, "--reveal", "--server", "registry.foo.com"]
    shown = cli.run(*reveal)
    assert (shown.stdout, shown.stderr) == (f"{PASSWORD}\n", "")
    assert json.loads(cli.run(*reveal, "-o", "json").stdout) == {"password": PASSWORD}
    refused(run("secret", "show", secret, "--reveal"), 2, "b.io, registry.foo.com", "--server")
    none = run("secret", "show", secret, "--reveal", "--server", "c.io")
    refused(none, 2, "it has no entry")


def test_an_entry_that_the_kubelet_does_not_use_is_a_problem(
    kubernetes: ApiServer, namespace: str
) -> None:
    """An older `.dockercfg`, with a path that no image has."""
    content = {"https://r.io/v2": {"auth": base64.b64encode(b"ci:secret").decode()}}
    data = {".dockercfg": base64.b64encode(json.dumps(content).encode()).decode()}
    old = {"metadata": {"name": "old"}, "type": "kubernetes.io/dockercfg", "data": data}
    kubernetes.create_secret(namespace, old)
    shown = run("secret", "show", f"{namespace}/old", "-o", "json")
    (entry,) = json.loads(shown.stdout)["entries"]
    assert entry["user"] == "ci"
    assert "as a path, which no image has" in entry["problem"]


def test_a_secret_that_cannot_be_shown_is_one_error(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = {"metadata": {"name": "broken"}, "type": "kubernetes.io/dockerconfigjson"}
    data = {KEY: base64.b64encode(b'{"auths": 5}').decode()}
    kubernetes.create_secret(namespace, {**broken, "data": data})
    kubernetes.create_secret(namespace, {"metadata": {"name": "other"}, "type": "Opaque"})
    refused(run("secret", "show", f"{namespace}/broken"), 1, "auths")
    refused(run("secret", "show", f"{namespace}/other"), 1, "Opaque is not a pull secret")
    refused(run("secret", "show", f"{namespace}/none"), 1, "does not exist", "regctl secret list")
    refused(run("secret", "show", "pull"), 2, "not NAMESPACE/NAME")
    as_user(kubernetes, "alice", monkeypatch)
    refused(run("secret", "show", f"{namespace}/broken"), 4, 'forbidden for user "alice"')


def test_the_printed_role_is_enough(
    kubernetes: ApiServer, secret: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = ["rbac", "secret", "show", "-n", namespace, "--name", "pull", "-o", "json"]
    (role,) = (json.loads(run(*asked).stdout),)
    kubernetes.grant("carol", namespace, role["rules"])
    as_user(kubernetes, "carol", monkeypatch)
    assert run("secret", "show", secret).exit_code == 0

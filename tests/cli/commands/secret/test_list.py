"""`secret list` on the real API server."""

import base64
import json

from tests.cli.commands.secret import KEY, PASSWORD, create, run
from tests.servers.kubernetes import ApiServer


def test_list_shows_registries_users_accounts_and_state(
    kubernetes: ApiServer, namespace: str
) -> None:
    kubernetes.create_service_account(namespace)
    assert create("-n", namespace, "--attach", "default").exit_code == 0
    broken = {"metadata": {"name": "broken"}, "type": "kubernetes.io/dockerconfigjson"}
    data = {KEY: base64.b64encode(b'{"auths": 5}').decode()}
    kubernetes.create_secret(namespace, {**broken, "data": data})
    lines = run("secret", "list", "-n", namespace).stdout.splitlines()
    fields = [line.split("\t") for line in lines]
    assert [[*line[:4], *line[5:]] for line in fields] == [
        [namespace, "broken", "", "", "", "broken"],
        [namespace, "registry.foo.com", "registry.foo.com", "alice", "default", "regctl"],
    ]
    only = run("secret", "list", "-n", namespace, "--server", "https://registry.foo.com/v1/")
    assert [line.split("\t")[1] for line in only.stdout.splitlines()] == ["registry.foo.com"]
    record = json.loads(run("secret", "list", "-n", namespace, "-o", "json").stdout)["secrets"][0]
    assert "auths" in record["problem"]
    assert PASSWORD not in run("secret", "list", "-n", namespace, "-o", "yaml").stdout

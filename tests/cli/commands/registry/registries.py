"""Registries for the tests of these commands: how to apply them, and what the cluster has."""

import base64
from typing import Any

import yaml
from click.testing import Result

from regctl.authfile import hashes, htpasswd
from tests import cli
from tests.servers.kubernetes import ApiServer

HOST = "registry.foo.com"
SECRET = "registry-basic-auth"
NGINX = ["--cluster-issuer", "letsencrypt"]
ENTRIES = {
    "nginx": NGINX,
    "nginx-own-users": ["--tls-secret", "foo-tls", "--auth", "registry"],
    "traefik": ["--ingress-class", "traefik", "--tls-secret", "foo-tls"],
    "gateway": ["--gateway", "infra/public"],
    "everything": [
        *("--tls-secret", "foo-tls", "--class-name", "public", "--image", "registry:2.8.3"),
        *("--replicas", "2", "--storage", "1.5Ti", "--storage-class", "nfs"),
        *("--delete-enabled", "--maintenance", "--auth-secret", "NAMESPACE/users"),
    ],
}


def run(*args: str, stdin: str = "") -> Result:
    result = cli.run("registry", *args, stdin=stdin)
    assert "$2y$" not in result.output
    return result


def apply(namespace: str, *args: str, name: str = "foo", stdin: str = "") -> Result:
    args = tuple(arg.replace("NAMESPACE/", f"{namespace}/") for arg in args)
    return run("apply", name, "--host", HOST, "-n", namespace, *args, stdin=stdin)


def applied(namespace: str, *args: str, name: str = "foo", stdin: str = "") -> list[str]:
    """Apply a registry; return the lines of output without the namespace."""
    result = apply(namespace, *args, name=name, stdin=stdin)
    assert result.exit_code == 0, result.stderr
    return [line.removeprefix(f"{namespace}/") for line in result.stdout.splitlines()]


def refused(result: Result, code: int, *messages: str) -> None:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    for message in messages:
        assert message in result.stderr


def live(kubernetes: ApiServer, namespace: str, plural: str, name: str = "foo") -> dict[str, Any]:
    prefixes = {
        "deployments": "/apis/apps/v1",
        "ingresses": "/apis/networking.k8s.io/v1",
        "networkpolicies": "/apis/networking.k8s.io/v1",
        "middlewares": "/apis/traefik.io/v1alpha1",
        "httproutes": "/apis/gateway.networking.k8s.io/v1",
    }
    prefix = prefixes.get(plural, "/api/v1")
    return kubernetes.request("GET", f"{prefix}/namespaces/{namespace}/{plural}/{name}")[1]


def users_in(kubernetes: ApiServer, namespace: str, name: str = SECRET) -> htpasswd.HtpasswdFile:
    data = kubernetes.secret(namespace, name)["data"]
    return htpasswd.HtpasswdFile(base64.b64decode(data["auth"]))


def with_users(kubernetes: ApiServer, namespace: str, *names: str, **metadata: Any) -> None:
    content = "".join(f"{name}:{hashes.make('secret', cost=4)}\n" for name in names)
    metadata = {"name": SECRET, **metadata}
    data = {"auth": base64.b64encode(content.encode()).decode()}
    kubernetes.create_secret(namespace, {"metadata": metadata, "data": data})


MANAGED = {"labels": {"app.kubernetes.io/managed-by": "regctl"}}


def single_rules(command: str, namespace: str) -> list[dict[str, Any]]:
    """Return the rules that `regctl rbac` prints, each with one verb only."""
    printed = cli.run("rbac", *command.split(), "--name", "foo", "-n", namespace)
    (role,) = yaml.safe_load_all(printed.stdout)
    return [{**rule, "verbs": [verb]} for rule in role["rules"] for verb in rule["verbs"]]

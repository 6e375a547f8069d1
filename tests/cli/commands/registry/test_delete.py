"""`regctl registry delete` on the real API server."""

import base64

import pytest
from click.testing import Result

from regctl.authfile import hashes
from tests.cli.commands.registry.registries import (
    ENTRIES,
    MANAGED,
    NGINX,
    SECRET,
    applied,
    apply,
    live,
    refused,
    run,
    single_rules,
    users_in,
    with_users,
)
from tests.servers.kubernetes import ApiServer


def test_a_registry_is_deleted_and_its_images_and_users_are_kept(
    kubernetes: ApiServer, namespace: str
) -> None:
    with_users(kubernetes, namespace, "alice", **MANAGED)
    applied(namespace, *NGINX)
    question = f"delete registry foo in namespace {namespace} (its images and users are kept)?"
    refused(run("delete", "foo", "-n", namespace), 1, question, "--yes")
    tried = run("delete", "foo", "-n", namespace, "--dry-run=server").stdout.splitlines()
    done = run("delete", "foo", "-n", namespace, "--yes").stdout.splitlines()
    assert [f"{line} (server dry run)" for line in done] == tried
    assert done == [
        f"{namespace}/ingress/foo deleted",
        f"{namespace}/service/foo deleted",
        f"{namespace}/deployment/foo deleted",
        f"{namespace}/persistentvolumeclaim/foo skipped (images kept; --with-data deletes them)",
        f"{namespace}/secret/{SECRET} skipped (users kept; --with-data deletes them)",
    ]
    assert users_in(kubernetes, namespace).user("alice")
    assert live(kubernetes, namespace, "ingresses")["reason"] == "NotFound"
    lines = applied(namespace, *NGINX)
    assert lines[0] == "persistentvolumeclaim/foo unchanged"


def test_with_data_images_and_users_are_deleted(kubernetes: ApiServer, namespace: str) -> None:
    """Even after a first deletion that kept them."""
    with_users(kubernetes, namespace, "alice", **MANAGED)
    applied(namespace, *NGINX, "--replicas", "2")
    run("delete", "foo", "-n", namespace, "--yes")
    asked = run("delete", "foo", "-n", namespace, "--with-data")
    refused(asked, 1, f"with all its images and its users in secret {SECRET}?")
    done = run("delete", "foo", "-n", namespace, "--with-data", "--yes")
    assert f"{namespace}/persistentvolumeclaim/foo deleted" in done.stdout
    assert f"{namespace}/secret/{SECRET} deleted" in done.stdout
    assert live(kubernetes, namespace, "secrets", "foo-http")["reason"] == "NotFound"


def test_users_of_another_registry_are_kept(kubernetes: ApiServer, namespace: str) -> None:
    with_users(kubernetes, namespace, "alice", **MANAGED)
    applied(namespace, *NGINX)
    applied(namespace, *NGINX, name="bar")
    done = run("delete", "foo", "-n", namespace, "--with-data", "--yes")
    assert "skipped (kept: also used by registry bar)" in done.stdout


def test_users_in_a_foreign_secret_are_kept(kubernetes: ApiServer, namespace: str) -> None:
    with_users(kubernetes, namespace, "alice")
    applied(namespace, *NGINX)
    done = run("delete", "foo", "-n", namespace, "--with-data", "--yes")
    assert f"secret/{SECRET} skipped (kept: it is managed by Python-urllib)" in done.stdout
    assert users_in(kubernetes, namespace).user("alice")


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("kubernetes.io/dockerconfigjson", {".dockerconfigjson": "{}"}),
        ("Opaque", {"token": "c29tZXRoaW5n"}),
        ("Opaque", {"auth": "c29tZXRoaW5n"}),
        ("Opaque", {"auth": f"ci:{hashes.make('x', cost=4)}\n", "key": "another program's"}),
        ("Opaque", {"ca.crt": "-----BEGIN CERTIFICATE-----\n"}),
    ],
)
def test_a_secret_that_only_an_annotation_makes_the_auth_secret_is_kept(
    kubernetes: ApiServer, namespace: str, kind: str, data: dict[str, str]
) -> None:
    with_users(kubernetes, namespace, "alice", **MANAGED)
    applied(namespace, *NGINX)
    encoded = {key: base64.b64encode(value.encode()).decode() for key, value in data.items()}
    labels = {"app.kubernetes.io/managed-by": "regctl"}
    secret = {"metadata": {"name": "other", "labels": labels}, "type": kind, "data": encoded}
    kubernetes.create_secret(namespace, secret)
    annotations = {"metadata": {"annotations": {"regctl.registry/auth-secret": "other"}}}
    for group, plural in (("/apis/apps/v1", "deployments"), ("/api/v1", "persistentvolumeclaims")):
        path = f"{group}/namespaces/{namespace}/{plural}/foo"
        merge = "application/merge-patch+json"
        assert kubernetes.request("PATCH", path, annotations, content_type=merge)[0] == 200
    asked = run("delete", "foo", "-n", namespace, "--with-data")
    refused(asked, 1, "with all its images?")
    done = run("delete", "foo", "-n", namespace, "--with-data", "--yes")
    assert done.exit_code == 0
    kept = "kept: it is not an auth Secret, although the registry is annotated with it"
    assert f"{namespace}/secret/other skipped ({kept})" in done.stdout
    assert kubernetes.secret(namespace, "other")["data"] == encoded


def test_one_foreign_object_prevents_the_deletion(kubernetes: ApiServer, namespace: str) -> None:
    applied(namespace, *NGINX)
    path = f"/api/v1/namespaces/{namespace}/services"
    kubernetes.request("DELETE", f"{path}/foo")
    service = {"metadata": {"name": "foo"}, "spec": {"ports": [{"port": 5000}]}}
    kubernetes.request("POST", path, service)
    result = run("delete", "foo", "-n", namespace, "--yes")
    refused(result, 1, "cannot delete service foo", "--adopt")
    assert live(kubernetes, namespace, "deployments")["kind"] == "Deployment"
    assert run("delete", "foo", "-n", namespace, "--yes", "--adopt").exit_code == 0


def test_a_registry_that_does_not_exist_is_an_error(namespace: str) -> None:
    message = f"cannot delete registry foo in namespace {namespace}: it does not exist"
    refused(run("delete", "foo", "-n", namespace), 1, message)
    refused(run("delete", "foo", "-n", "nowhere"), 1, "in namespace nowhere: no such namespace")


@pytest.mark.usefixtures("definitions")
def test_the_rights_to_delete_are_needed_and_sufficient(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = single_rules("registry delete", namespace)

    def deleted(space: str) -> list[Result]:
        results = []
        for way in ("traefik", "gateway"):
            monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
            more = ["--replicas", "2", "--network-policy", space]
            apply(space, *ENTRIES[way], *more, "--user", "ci", "--generate")
            monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig_for("bob")))
            results += [
                run("delete", "foo", "-n", space, "--yes", *flags)
                for flags in ([], ["--with-data"])
            ]
        return results

    for missing, rule in enumerate(rules):
        space = kubernetes.create_namespace(f"{namespace}-{missing}")
        left = [other for number, other in enumerate(rules) if number != missing]
        kubernetes.grant("bob", space, left)
        result = deleted(space)
        assert any(result.exit_code in {3, 4} for result in result), rule
        assert any("forbidden" in result.stderr for result in result)
    kubernetes.grant("bob", namespace, rules)
    assert [result.exit_code for result in deleted(namespace)] == [0] * 4


def test_a_bad_name_is_an_error(namespace: str) -> None:
    refused(run("delete", "a.b", "-n", namespace), 2, "not a name for a registry")

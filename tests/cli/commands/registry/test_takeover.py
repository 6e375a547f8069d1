"""`regctl registry apply --adopt` on the registry that the guide's YAML files install."""

import base64
import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from regctl.authfile import hashes
from tests import cli
from tests.cli.commands.registry.registries import HOST, live, refused, run
from tests.provisioning.guide import DATA, LABELS, NAME, guide, manifest
from tests.servers.kubernetes import ApiServer

FLAGS = ["--host", HOST, "--cluster-issuer", "letsencrypt-prod"]

Install = Callable[[list[dict[str, Any]]], None]


@pytest.fixture
def install(kubernetes: ApiServer, namespace: str, program: Callable[[str], str]) -> Install:
    """Apply objects with kubectl, as the guide says, and create its Secret and a running Pod."""

    def applied(objects: list[dict[str, Any]]) -> None:
        kubectl = [program("kubectl"), "--kubeconfig", str(kubernetes.kubeconfig)]
        document = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        subprocess.run(
            [*kubectl, "apply", "-n", namespace, "-f", "-"],
            input=document,
            check=True,
            capture_output=True,
            text=True,
        )
        write_users(kubernetes, namespace, "alice")
        pod = manifest("v1", "Pod", f"{NAME}-1", labels=LABELS)
        pod["spec"] = {"containers": [{"name": NAME, "image": "registry:2"}]}
        assert kubernetes.request("POST", f"/api/v1/namespaces/{namespace}/pods", pod)[0] == 201

    return applied


def write_users(kubernetes: ApiServer, namespace: str, *names: str) -> None:
    """Create the guide's Secret, with the lines that adduser.sh appends."""
    path = f"/api/v1/namespaces/{namespace}/secrets/registry-basic-auth"
    kubernetes.request("DELETE", path)
    lines = "".join(f"{name}:{hashes.make('secret', 'apr1')}\n" for name in names)
    data = {"auth": base64.b64encode(lines.encode()).decode()}
    metadata = {"name": "registry-basic-auth"}
    kubernetes.create_secret(namespace, {"metadata": metadata, "data": data})


def adopt(namespace: str, *flags: str) -> Any:
    return run("apply", NAME, "-n", namespace, *FLAGS, "--adopt", *flags)


def everything(kubernetes: ApiServer, namespace: str) -> dict[str, Any]:
    """Return the objects of the guide as they are in the cluster."""
    plurals = ("deployments", "services", "ingresses")
    found = {plural: live(kubernetes, namespace, plural, NAME) for plural in plurals}
    claims = kubernetes.get(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims")["items"]
    return found | {"claims": claims}


def selected(kubernetes: ApiServer, namespace: str, labels: dict[str, str]) -> list[str]:
    """Return the running Pods with these labels."""
    selector = ",".join(f"{key}%3D{value}" for key, value in labels.items())
    path = f"/api/v1/namespaces/{namespace}/pods?labelSelector={selector}"
    return [pod["metadata"]["name"] for pod in kubernetes.get(path)["items"]]


def test_the_guides_registry_keeps_its_selectors_its_volume_and_its_user(
    kubernetes: ApiServer, namespace: str, install: Install
) -> None:
    install(guide(namespace))
    before = everything(kubernetes, namespace)
    result = adopt(namespace)
    assert result.exit_code == 0, result.stderr
    after = everything(kubernetes, namespace)
    assert {line.split()[1] for line in result.stdout.splitlines()} == {"configured"}
    assert "ingress/docker-registry configured (adopted from kubectl" in result.stdout
    assert "; now asks for a password)" in result.stdout

    # Every selector matches the running Pod and those to come.
    deployment = after["deployments"]["spec"]
    assert deployment["selector"] == before["deployments"]["spec"]["selector"]
    labels = deployment["template"]["metadata"]["labels"]
    for selector in (deployment["selector"]["matchLabels"], after["services"]["spec"]["selector"]):
        assert selected(kubernetes, namespace, selector) == [f"{NAME}-1"]
        assert selector.items() <= labels.items()

    # The same volume is mounted where it was, in one container.
    [claim] = after["claims"]
    assert claim["metadata"]["name"] == "registry-data"
    assert claim["spec"] == before["claims"][0]["spec"]
    pod = deployment["template"]["spec"]
    [container] = pod["containers"]
    [volume] = pod["volumes"]
    assert volume["persistentVolumeClaim"]["claimName"] == "registry-data"
    [mount] = container["volumeMounts"]
    assert (mount["name"], mount["mountPath"]) == (volume["name"], DATA)
    # The files in it belong to root, as does the process.
    assert "securityContext" not in container
    assert pod["securityContext"] == {}

    ingress = after["ingresses"]["spec"]
    assert ingress["tls"] == before["ingresses"]["spec"]["tls"]
    assert "ingressClassName" not in ingress
    assert [port["port"] for port in after["services"]["spec"]["ports"]] == [5000]


def test_an_adopted_registry_is_managed_as_any_other(
    kubernetes: ApiServer, namespace: str, install: Install
) -> None:
    install(guide(namespace))
    assert adopt(namespace).exit_code == 0
    plain = ["apply", NAME, "-n", namespace, *FLAGS]
    again = run(*plain)
    assert {line.split()[1] for line in again.stdout.splitlines()} == {"unchanged"}, again.output
    assert "deployment/docker-registry configured" in run(*plain, "--delete-enabled").stdout
    delete = ["delete", NAME, "-n", namespace, "--yes"]
    kept = f"{namespace}/persistentvolumeclaim/registry-data skipped (images kept"
    assert kept in run(*delete).stdout
    # A new Deployment gets the images back.
    back = run(*plain)
    assert f"{namespace}/persistentvolumeclaim/registry-data unchanged" in back.stdout, back.output
    [volume] = live(kubernetes, namespace, "deployments", NAME)["spec"]["template"]["spec"][
        "volumes"
    ]
    assert volume["persistentVolumeClaim"]["claimName"] == "registry-data"
    run(*delete)
    gone = run(*delete, "--with-data").stdout
    assert f"{namespace}/persistentvolumeclaim/registry-data deleted" in gone


def test_the_rights_for_an_adopted_claim_of_another_name(
    kubernetes: ApiServer, namespace: str, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install(guide(namespace))
    lines = {
        "apply": ["apply", NAME, "-n", namespace, *FLAGS, "--adopt"],
        "delete": ["delete", NAME, "-n", namespace, "--with-data", "--yes", "--adopt"],
    }
    for command, line in lines.items():
        for number, claim in enumerate(([], ["--claim", "registry-data"])):
            asked = ["registry", command, "--name", NAME, "-n", namespace, *claim]
            (role,) = yaml.safe_load_all(cli.run("rbac", *asked).stdout)
            user = f"clerk-{number + 2 * (command == 'delete')}"
            kubernetes.grant(user, namespace, role["rules"])
            with monkeypatch.context() as patched:
                patched.setenv("KUBECONFIG", str(kubernetes.kubeconfig_for(user)))
                result = run(*line)
            if claim:
                assert result.exit_code == 0, result.output
            else:
                assert "persistentvolumeclaim registry-data" in result.stderr
                assert "forbidden" in result.stderr


def test_a_network_policy_selects_the_running_pods(
    kubernetes: ApiServer, namespace: str, install: Install
) -> None:
    install(guide(namespace))
    label = {"kubernetes.io/metadata.name": namespace}
    patch = {"metadata": {"labels": label}}
    merge = "application/merge-patch+json"
    kubernetes.request("PATCH", f"/api/v1/namespaces/{namespace}", patch, content_type=merge)
    assert adopt(namespace, "--network-policy", namespace).exit_code == 0
    policy = live(kubernetes, namespace, "networkpolicies", NAME)["spec"]
    assert selected(kubernetes, namespace, policy["podSelector"]["matchLabels"]) == [f"{NAME}-1"]


def test_one_refusal_by_the_api_server_changes_nothing(
    kubernetes: ApiServer, namespace: str, install: Install
) -> None:
    """Two ports of a Service cannot have one name."""
    objects = guide(namespace)
    objects[3]["spec"]["ports"] = [{"name": "http", "port": 80, "targetPort": 5000}]
    objects[4]["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["port"] = {
        "number": 80
    }
    install(objects)
    before = everything(kubernetes, namespace)
    refused(adopt(namespace), 1, "service docker-registry", "Duplicate value")
    assert everything(kubernetes, namespace) == before


def test_nobody_is_locked_out(kubernetes: ApiServer, namespace: str, install: Install) -> None:
    install(guide(namespace))
    path = f"/api/v1/namespaces/{namespace}/secrets/registry-basic-auth"
    kubernetes.request("DELETE", path)
    before = everything(kubernetes, namespace)
    refused(adopt(namespace), 1, "nobody could log in", "--user NAME")
    assert everything(kubernetes, namespace) == before
    assert adopt(namespace, "--user", "ci", "--generate").exit_code == 0


def test_a_user_with_two_lines_is_an_error_only_for_a_new_reader(
    kubernetes: ApiServer, namespace: str, install: Install
) -> None:
    """adduser.sh appends, so that a password that was changed leaves two lines."""
    objects = guide(namespace)
    install(objects)
    write_users(kubernetes, namespace, "alice", "alice")
    before = everything(kubernetes, namespace)
    refused(adopt(namespace), 1, "alice has 2 lines")
    assert everything(kubernetes, namespace) == before
    marks = {"auth-type": "basic", "auth-secret": "registry-basic-auth"}
    annotations = {f"nginx.ingress.kubernetes.io/{key}": mark for key, mark in marks.items()}
    path = f"/apis/networking.k8s.io/v1/namespaces/{namespace}/ingresses/{NAME}"
    patch = {"metadata": {"annotations": annotations}}
    kubernetes.request("PATCH", path, patch, content_type="application/merge-patch+json")
    for result in (adopt(namespace), adopt(namespace, "--check")):
        assert (result.exit_code, "alice has 2 lines" in result.stderr) == (0, True), result.output
        assert "now asks for a password" not in result.stdout


def test_a_named_claim_is_used(kubernetes: ApiServer, namespace: str, install: Install) -> None:
    """Without a Deployment nothing else says where the images are."""
    objects = guide(namespace)
    install(objects[:2])
    refused(adopt(namespace, "--claim", "missing"), 1, "volume claim missing", "does not exist")
    result = adopt(namespace, "--claim", "registry-data")
    assert f"{namespace}/persistentvolumeclaim/registry-data configured" in result.stdout
    [claim] = everything(kubernetes, namespace)["claims"]
    assert claim["metadata"]["name"] == "registry-data"
    other = run("apply", NAME, "-n", namespace, *FLAGS, "--claim", "another")
    refused(other, 1, "its images are in registry-data", "leave out `--claim`")


def test_the_claim_of_another_registry_is_refused(namespace: str) -> None:
    assert run("apply", "foo", "-n", namespace, *FLAGS).exit_code == 0
    result = run("apply", "bar", "-n", namespace, *FLAGS, "--claim", "foo")
    refused(result, 1, "it has the images of registry foo")

"""`regctl registry apply` on the real API server."""

import base64
import json
import subprocess
from collections.abc import Callable, Sequence

import pytest
import yaml
from click.testing import Result

from regctl.authfile import hashes
from tests.cli.commands.registry.registries import (
    ENTRIES,
    HOST,
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

# Manifests


def manifests(namespace: str, *args: str) -> Result:
    return apply(namespace, "--dry-run=client", "-o", "yaml", *args)


@pytest.mark.usefixtures("definitions")
@pytest.mark.parametrize("entry", ENTRIES)
def test_kubectl_applies_the_manifests(
    kubernetes: ApiServer, namespace: str, program: Callable[[str], str], entry: str
) -> None:
    printed = manifests(namespace, *ENTRIES[entry])
    assert printed.exit_code == 0, printed.stderr
    documents = list(yaml.safe_load_all(printed.stdout))
    kubectl = [program("kubectl"), "--kubeconfig", str(kubernetes.kubeconfig), "apply", "-f", "-"]

    def kubectl_apply(*flags: str) -> list[str]:
        done = subprocess.run(
            [*kubectl, *flags], input=printed.stdout, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    dry = kubectl_apply("--dry-run=server")
    assert [line.rpartition(" created (")[2] for line in dry] == ["server dry run)"] * len(dry)
    assert len(dry) == len(documents)
    kubectl_apply()
    assert all(line.endswith(" unchanged") for line in kubectl_apply())


def test_manifests_need_no_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/none")
    flags = ["--host", f"https://{HOST}/v2/", "-n", "a", *NGINX]
    result = run("apply", "foo", *flags, "--dry-run=client", "-o", "json")
    kinds = [item["kind"] for item in json.loads(result.stdout)["items"]]
    assert kinds == ["PersistentVolumeClaim", "Service", "Deployment", "Ingress"]


def test_the_manifest_of_an_existing_claim_is_left_out() -> None:
    printed = manifests("a", *NGINX, "--claim", "foo").stdout
    kinds = [document["kind"] for document in yaml.safe_load_all(printed)]
    assert kinds == ["Service", "Deployment", "Ingress"]
    assert "claimName: foo" in printed


def test_a_note_says_what_the_manifests_cannot() -> None:
    gateway = manifests("a", "--gateway", "infra/public").stderr
    assert "the registry checks passwords itself, because a Gateway cannot" in gateway
    traefik = manifests("a", "--ingress-class", "traefik", "--tls-secret", "x").stderr
    assert "readTimeout=0" in traefik
    assert (
        "create secret foo-http, with a long random text"
        in manifests("a", *NGINX, "--replicas", "2").stderr
    )
    assert manifests("a", *NGINX).stderr == ""


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "exactly one source for its certificate"),
        ([*NGINX, "--tls-secret", "x"], "exactly one source for its certificate"),
        (["--gateway", "public"], "'public' is not NAMESPACE/NAME"),
        (["--gateway", "a/b", "--tls-secret", "x"], "a Gateway has its own certificate"),
        (["--gateway", "a/b", "--auth", "ingress"], "a Gateway cannot check passwords"),
        ([*NGINX, "--storage", "ten"], "not a size: 'ten'"),
        ([*NGINX, "--storage", "0Gi"], "not a size"),
        ([*NGINX, "--image", "Registry 3"], "not an image"),
        ([*NGINX, "--host", "1.2.3.4"], "not a host"),
        ([*NGINX, "--host", f"{HOST}:5000"], "without a port"),
        ([*NGINX, "--auth-secret", "NAMESPACE/Users"], "not a name for a Secret"),
        ([*NGINX, "--auth-secret", "other/users"], "not in the registry's namespace"),
        ([*NGINX, "--generate"], "a password needs --user"),
        ([*NGINX, "--user", "a:b", "--generate"], "user"),
    ],
)
def test_bad_input_is_one_line(
    kubernetes: ApiServer, namespace: str, args: Sequence[str], message: str
) -> None:
    refused(apply(namespace, *args), 2, message)
    assert live(kubernetes, namespace, "services")["reason"] == "NotFound"


def test_the_name_must_be_valid_for_a_service(namespace: str) -> None:
    refused(apply(namespace, *NGINX, name="3rd"), 2, "not a name for a registry: '3rd'")


# Objects


@pytest.mark.usefixtures("definitions")
@pytest.mark.parametrize("entry", ENTRIES)
def test_a_second_apply_finds_everything_unchanged(
    kubernetes: ApiServer, namespace: str, entry: str
) -> None:
    secret = "users" if entry == "everything" else SECRET
    first = applied(namespace, *ENTRIES[entry], "--user", "ci", "--password-stdin", stdin="secret")
    assert first[0] == f"secret/{secret} created (added ci)"
    assert all(" created" in line for line in first)
    mark = kubernetes.audit_mark()
    second = applied(namespace, *ENTRIES[entry])
    assert second == [f"{line.split()[0]} unchanged" for line in first[1:]]
    assert {event.verb for event in kubernetes.audit(mark)} == {"get"}


def test_the_first_user_keeps_its_password(kubernetes: ApiServer, namespace: str) -> None:
    """So do users who were added later."""
    result = apply(namespace, *NGINX, "--user", "ci", "--generate")
    [password] = result.stdout.splitlines()
    users_in(kubernetes, namespace).verify("ci", password)
    assert f"{namespace}/secret/{SECRET} created (added ci)" in result.stderr
    assert password not in result.stderr
    again = apply(namespace, *NGINX, "--user", "ci", "--generate")
    assert (again.exit_code, "keeps its password" in again.stderr) == (0, True)
    assert all(line.endswith(" unchanged") for line in again.stdout.splitlines())
    applied(namespace, *NGINX, "--user", "bob", "--password-stdin", stdin="other")
    users = users_in(kubernetes, namespace)
    users.verify("ci", password)
    users.verify("bob", "other")


def test_with_json_the_password_is_in_the_document(kubernetes: ApiServer, namespace: str) -> None:
    result = apply(namespace, *NGINX, "--user", "ci", "--generate", "-o", "json")
    users_in(kubernetes, namespace).verify("ci", json.loads(result.stdout)["passwords"]["ci"])


def test_a_dry_run_prints_the_same_and_changes_nothing(
    kubernetes: ApiServer, namespace: str
) -> None:
    flags = [*NGINX, "--user", "ci", "--generate"]
    for flag, suffix in (("--dry-run", "(dry run)"), ("--dry-run=server", "(server dry run)")):
        result = apply(namespace, *flags, flag)
        assert result.exit_code == 0, result.stderr
        lines = result.stdout.splitlines()
        assert lines[0] == f"{namespace}/secret/{SECRET} created (added ci) {suffix}"
        assert lines[-1] == f"{namespace}/ingress/foo created {suffix}"
        assert len(lines) == 5
    assert live(kubernetes, namespace, "services")["reason"] == "NotFound"
    apply(namespace, *flags)
    before = live(kubernetes, namespace, "deployments")
    for flag in ("--dry-run", "--dry-run=server"):
        lines = applied(namespace, *NGINX, "--delete-enabled", flag)
        assert [line.split()[1] for line in lines] == [
            *("unchanged", "unchanged", "configured", "unchanged")
        ]
    assert live(kubernetes, namespace, "deployments") == before


@pytest.mark.usefixtures("definitions")
def test_another_entry_replaces_the_first(kubernetes: ApiServer, namespace: str) -> None:
    """Options that are left out remove fields and objects, so that no access remains by mistake."""
    with_users(kubernetes, namespace, "alice", **MANAGED)
    applied(namespace, *ENTRIES["traefik"], "--maintenance")
    lines = applied(namespace, *ENTRIES["nginx"])
    assert lines[2:] == [
        "deployment/foo configured",
        "ingress/foo configured",
        "middleware/foo-auth deleted (no longer needed)",
    ]
    annotations = live(kubernetes, namespace, "ingresses")["metadata"]["annotations"]
    assert not [key for key in annotations if "traefik" in key]
    [container] = live(kubernetes, namespace, "deployments")["spec"]["template"]["spec"][
        "containers"
    ]
    assert not [one for one in container["env"] if "READONLY" in one["name"]]
    lines = applied(namespace, *ENTRIES["gateway"])
    assert lines[-2:] == ["httproute/foo created", "ingress/foo deleted (no longer needed)"]
    assert live(kubernetes, namespace, "ingresses")["reason"] == "NotFound"


def test_the_volume_is_kept(kubernetes: ApiServer, namespace: str) -> None:
    with_users(kubernetes, namespace, "alice", **MANAGED)
    applied(namespace, *NGINX, "--storage", "20Gi", "--storage-class", "fast")
    assert "persistentvolumeclaim/foo unchanged" in applied(namespace, *NGINX)
    assert "persistentvolumeclaim/foo unchanged" in applied(
        namespace, *NGINX, "--storage", "20480Mi"
    )
    refused(apply(namespace, *NGINX, "--storage", "10Gi"), 1, "a volume cannot shrink")
    refused(apply(namespace, *NGINX, "--storage-class", "slow"), 1, "its storage class is fast")
    refused(apply(namespace, *NGINX, "--replicas", "2"), 1, "ReadWriteMany")
    grow = [*NGINX, "--storage", "30Gi", "--delete-enabled"]
    grown = apply(namespace, *grow)
    assert (grown.stdout, "allowVolumeExpansion" in grown.stderr) == ("", True)
    assert "deployment/foo unchanged" in applied(namespace, *NGINX), "a refusal changes nothing"
    spec = live(kubernetes, namespace, "persistentvolumeclaims")["spec"]
    assert spec["resources"]["requests"]["storage"] == "20Gi"
    assert spec["storageClassName"] == "fast"


def test_several_replicas_share_a_secret_that_is_created_once(
    kubernetes: ApiServer, namespace: str
) -> None:
    applied(namespace, *NGINX, "--replicas", "2", "--user", "a", "--password-stdin", stdin="x")
    made = kubernetes.secret(namespace, "foo-http")
    assert len(base64.b64decode(made["data"]["secret"])) == 64
    assert "secret/foo-http unchanged" in applied(namespace, *NGINX, "--replicas", "3")
    assert kubernetes.secret(namespace, "foo-http") == made
    applied(namespace, *NGINX)
    spec = live(kubernetes, namespace, "deployments")["spec"]
    assert spec["strategy"] == {"type": "Recreate"}


def test_one_foreign_object_prevents_every_change(kubernetes: ApiServer, namespace: str) -> None:
    path = f"/api/v1/namespaces/{namespace}/services"
    selector = {"app.kubernetes.io/instance": "foo"}
    service = {"spec": {"ports": [{"port": 5000, "name": "http"}], "selector": selector}}
    kubernetes.request("POST", path, {"metadata": {"name": "foo"}, **service})
    result = apply(namespace, *NGINX, "--user", "ci", "--generate")
    refused(result, 1, "cannot change service foo", "managed by Python-urllib, not by regctl")
    assert live(kubernetes, namespace, "secrets", SECRET)["reason"] == "NotFound"
    assert live(kubernetes, namespace, "deployments")["reason"] == "NotFound"
    lines = applied(namespace, *NGINX, "--adopt")
    assert "service/foo configured (adopted from Python-urllib)" in lines
    assert "service/foo unchanged" in applied(namespace, *NGINX)


def test_an_object_of_a_controller_is_not_adopted(kubernetes: ApiServer, namespace: str) -> None:
    with_users(kubernetes, namespace, "alice", annotations={"meta.helm.sh/release-name": "reg"})
    result = apply(namespace, *NGINX, "--adopt", "--user", "ci", "--generate")
    refused(result, 1, "it belongs to Helm")
    assert live(kubernetes, namespace, "services")["reason"] == "NotFound"
    assert len(applied(namespace, *NGINX)) == 4, "the users are read and not changed"


def test_a_field_of_another_manager_is_taken_back_with_adopt(
    kubernetes: ApiServer, namespace: str
) -> None:
    with_users(kubernetes, namespace, "alice", **MANAGED)
    applied(namespace, *NGINX)
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/foo"
    patch = {"spec": {"replicas": 0}}
    kubernetes.request("PATCH", path, patch, content_type="application/merge-patch+json")
    result = apply(namespace, *NGINX)
    refused(result, 1, "belong to Python-urllib")
    assert "deployment/foo configured" in applied(namespace, *NGINX, "--adopt")


def test_users_that_the_registry_would_reject_are_an_error(
    kubernetes: ApiServer, namespace: str
) -> None:
    """The registry reads bcrypt only, so --auth decides who can log in."""
    line = f"alice:{hashes.make('secret', 'apr1')}\n".encode()
    data = {"auth": base64.b64encode(line).decode()}
    kubernetes.create_secret(namespace, {"metadata": {"name": SECRET, **MANAGED}, "data": data})
    refused(
        apply(namespace, *NGINX, "--auth", "registry"), 1, "not suitable for distribution: apr1"
    )
    assert len(applied(namespace, *NGINX)) == 4


def test_a_secret_without_the_readers_key_is_an_error(
    kubernetes: ApiServer, namespace: str
) -> None:
    data = {"users": base64.b64encode(b"x").decode()}
    kubernetes.create_secret(namespace, {"metadata": {"name": SECRET}, "data": data})
    refused(
        apply(namespace, *NGINX), 1, "ingress-nginx reads key auth, and the Secret has only users"
    )


def test_a_registry_without_users_is_a_warning(namespace: str) -> None:
    result = apply(namespace, *NGINX)
    assert result.exit_code == 0
    assert f"warning: nobody can log in: secret {SECRET} does not exist" in result.stderr


def test_a_namespace_is_created_on_request(kubernetes: ApiServer, namespace: str) -> None:
    new = f"{namespace}-new"
    refused(apply(new, *NGINX), 1, f"in namespace {new}: no such namespace", "--create-namespace")
    flags = [*NGINX, "--create-namespace", "--user", "ci", "--password-stdin"]
    tried = apply(new, *flags, "--dry-run=server", stdin="secret")
    assert tried.stdout.startswith(f"namespace/{new} created (server dry run)\n")
    assert apply(new, *flags, stdin="secret").stdout.startswith(f"namespace/{new} created\n")
    users_in(kubernetes, new).verify("ci", "secret")
    assert len(applied(new, *flags, stdin="secret")) == 4


def test_a_kind_that_the_cluster_lacks_is_an_error(kubernetes: ApiServer, namespace: str) -> None:
    """Before anything is changed."""
    status, answer = kubernetes.request(
        "DELETE",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/middlewares.traefik.io",
    )
    assert status in {200, 404}, answer
    while kubernetes.request("GET", "/apis/traefik.io/v1alpha1/middlewares")[0] == 200:
        pass
    result = apply(namespace, *ENTRIES["traefik"])
    refused(result, 1, "the cluster has no kind Middleware: Traefik is not installed")
    assert live(kubernetes, namespace, "services")["reason"] == "NotFound"
    assert apply(namespace, *NGINX).exit_code == 0
    assert run("delete", "foo", "-n", namespace, "--yes").exit_code == 0


# Check


def test_check_lists_the_differences_and_changes_nothing(
    kubernetes: ApiServer, namespace: str
) -> None:
    missing = apply(namespace, *NGINX, "--user", "ci", "--check")
    assert missing.exit_code == 1
    assert f"{namespace}\tsecret/{SECRET}\tcreated\tadded ci\n" in missing.stdout
    assert f"{namespace}\tdeployment/foo\tcreated\t\n" in missing.stdout
    assert live(kubernetes, namespace, "services")["reason"] == "NotFound"
    with_users(kubernetes, namespace, "alice", **MANAGED)
    applied(namespace, *NGINX)
    same = apply(namespace, *NGINX, "--check")
    assert (same.exit_code, same.output) == (0, "")
    changed = apply(namespace, *NGINX, "--delete-enabled", "--check")
    assert (changed.exit_code, changed.stdout) == (
        1,
        f"{namespace}\tdeployment/foo\tconfigured\t\n",
    )


def test_check_prints_no_manifest(namespace: str) -> None:
    result = manifests(namespace, *NGINX, "--check")
    assert result.exit_code == 1
    assert "apiVersion" not in result.stdout


# Rights


def apply_all_entries(namespace: str) -> Result:
    """Apply each entry in turn; return the first result that is a failure, or the last."""
    first = ["--replicas", "2", "--user", "ci", "--password-stdin"]
    ways = {"traefik": ["--network-policy", namespace], "gateway": [], "nginx": []}
    results = [
        apply(namespace, *ENTRIES[way], *more, *first, stdin="secret") for way, more in ways.items()
    ]
    return next((result for result in results if result.exit_code != 0), results[-1])


@pytest.mark.usefixtures("definitions")
def test_the_rights_to_apply_are_needed_and_sufficient(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig_for("bob")))
    rules = single_rules("registry apply", namespace)
    for missing, rule in enumerate(rules):
        space = kubernetes.create_namespace(f"{namespace}-{missing}")
        left = [other for number, other in enumerate(rules) if number != missing]
        kubernetes.grant("bob", space, left)
        result = apply_all_entries(space)
        assert result.exit_code in {3, 4}, rule
        assert "forbidden" in result.stderr
    kubernetes.grant("bob", namespace, rules)
    assert apply_all_entries(namespace).exit_code == 0

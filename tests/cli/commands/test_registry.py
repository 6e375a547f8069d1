"""`library render`, `apply`, `list` and `delete` on the real API server."""

import base64
import json
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from regctl.authfile import hashes, htpasswd
from regctl.cli.main import main
from tests.servers.kubernetes import ApiServer

HOST = "registry.foo.com"
SECRET = "registry-basic-auth"
IMAGES_STAY = "its images stay; --with-data deletes them"
NGINX = ["--cluster-issuer", "letsencrypt"]
WAYS_IN = {
    "nginx": NGINX,
    "nginx-own-users": ["--tls-secret", "foo-tls", "--auth", "registry"],
    "traefik": ["--ingress-class", "traefik", "--tls-secret", "foo-tls"],
    "gateway": ["--gateway", "infra/public"],
    "everything": [
        *("--tls-secret", "foo-tls", "--class-name", "public", "--image", "registry:2.8.3"),
        *("--replicas", "2", "--storage", "1.5Ti", "--storage-class", "nfs"),
        *("--delete-enabled", "--maintenance", "--secret", "users"),
    ],
}


@pytest.fixture(autouse=True)
def person(kubernetes: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))


@pytest.fixture
def definitions(kubernetes: ApiServer) -> None:
    """What Traefik and the Gateway API bring with them, as far as the API server must know it."""
    for group, version, kind, plural in (
        ("traefik.io", "v1alpha1", "Middleware", "middlewares"),
        ("gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes"),
    ):
        define(kubernetes, group, version, kind, plural)


def define(kubernetes: ApiServer, group: str, version: str, kind: str, plural: str) -> None:
    path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    name = f"{plural}.{group}"
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    body = {
        # The Gateway API's group is protected: only an approved definition is served.
        "metadata": {
            "name": name,
            "annotations": {"api-approved.kubernetes.io": "unapproved, for tests"},
        },
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [
                {
                    "name": version,
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                }
            ],
        },
    }
    status, answer = kubernetes.request("POST", path, body)
    assert status in {201, 409}, answer
    # Served a moment after it is made.
    while kubernetes.request("GET", f"/apis/{group}/{version}/{plural}")[0] != 200:
        pass


def run(*args: str, stdin: str = "") -> Result:
    result = CliRunner().invoke(main, ["library", *args], input=stdin, prog_name="regctl")
    assert "Traceback" not in result.stderr
    assert "$2y$" not in result.output
    return result


def apply(namespace: str, *args: str, name: str = "foo", stdin: str = "") -> Result:
    return run("apply", name, "--host", HOST, "-n", namespace, *args, stdin=stdin)


def applied(namespace: str, *args: str, name: str = "foo", stdin: str = "") -> list[str]:
    """Apply; return the lines without the namespace."""
    result = apply(namespace, *args, name=name, stdin=stdin)
    assert result.exit_code == 0, result.stderr
    return [line.removeprefix(f"{namespace}/") for line in result.stdout.splitlines()]


def refused(result: Result, code: int, *said: str) -> None:
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    for words in said:
        assert words in result.stderr


def there(kubernetes: ApiServer, namespace: str, plural: str, name: str = "foo") -> dict[str, Any]:
    prefixes = {
        "deployments": "/apis/apps/v1",
        "ingresses": "/apis/networking.k8s.io/v1",
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


OURS = {"labels": {"app.kubernetes.io/managed-by": "regctl"}}


# render


@pytest.mark.usefixtures("definitions")
@pytest.mark.parametrize("way", WAYS_IN)
def test_kubectl_applies_what_is_rendered(
    kubernetes: ApiServer, namespace: str, program: Callable[[str], str], way: str
) -> None:
    rendered = run("render", "foo", "--host", HOST, "-n", namespace, *WAYS_IN[way])
    assert rendered.exit_code == 0, rendered.stderr
    documents = list(yaml.safe_load_all(rendered.stdout))
    kubectl = [program("kubectl"), "--kubeconfig", str(kubernetes.kubeconfig), "apply", "-f", "-"]

    def told(*flags: str) -> list[str]:
        done = subprocess.run(
            [*kubectl, *flags],
            input=rendered.stdout,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    tried = told("--dry-run=server")
    assert [line.rpartition(" created (")[2] for line in tried] == ["server dry run)"] * len(tried)
    assert len(tried) == len(documents)
    told()
    assert all(line.endswith(" unchanged") for line in told())


def test_render_asks_no_cluster_and_prints_a_list_as_json(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KUBECONFIG", "/none")
    result = run("render", "foo", "--host", f"https://{HOST}/v2/", "-n", "a", *NGINX, "-o", "json")
    kinds = [item["kind"] for item in json.loads(result.stdout)["items"]]
    assert kinds == ["PersistentVolumeClaim", "Service", "Deployment", "Ingress"]


def test_what_no_object_can_say_is_said_beside_it() -> None:
    flags = ["foo", "--host", HOST, "-n", "a"]
    told = run("render", *flags, "--gateway", "infra/public").stderr
    assert "a Gateway cannot ask for passwords: the registry does it itself" in told
    traefik = ["--ingress-class", "traefik", "--tls-secret", "x"]
    assert "readTimeout=0" in run("render", *flags, *traefik).stderr
    assert (
        "the Secret foo-http must be there"
        in run("render", *flags, *NGINX, "--replicas", "2").stderr
    )
    assert run("render", *flags, *NGINX).stderr == ""


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ([], "one certificate is needed"),
        ([*NGINX, "--tls-secret", "x"], "one certificate is needed"),
        (["--gateway", "public"], "not a Gateway: 'public'"),
        (["--gateway", "a/b", "--tls-secret", "x"], "a Gateway has its certificate itself"),
        (["--gateway", "a/b", "--auth", "ingress"], "a Gateway cannot ask for passwords"),
        ([*NGINX, "--storage", "ten"], "not a size: 'ten'"),
        ([*NGINX, "--storage", "0Gi"], "not a size"),
        ([*NGINX, "--image", "Registry 3"], "not an image"),
        ([*NGINX, "--host", "1.2.3.4"], "not a host"),
        ([*NGINX, "--host", f"{HOST}:5000"], "no port, no address"),
        ([*NGINX, "--secret", "Users"], "not a name for a Secret"),
        ([*NGINX, "--generate"], "a password, and no user"),
        ([*NGINX, "--user", "a:b", "--generate"], "user"),
    ],
)
def test_bad_input_is_one_line(
    kubernetes: ApiServer, namespace: str, args: Sequence[str], said: str
) -> None:
    refused(apply(namespace, *args), 2, said)
    assert there(kubernetes, namespace, "services")["reason"] == "NotFound"


def test_a_name_must_do_for_a_service(namespace: str) -> None:
    refused(apply(namespace, *NGINX, name="3rd"), 2, "not a name for a library: '3rd'")
    refused(run("delete", "a.b", "-n", namespace), 2, "not a name for a library")


# apply


@pytest.mark.usefixtures("definitions")
@pytest.mark.parametrize("way", WAYS_IN)
def test_a_second_apply_finds_everything_unchanged(
    kubernetes: ApiServer, namespace: str, way: str
) -> None:
    secret = "users" if way == "everything" else SECRET
    first = applied(namespace, *WAYS_IN[way], "--user", "ci", "--password-stdin", stdin="secret")
    assert first[0] == f"secret/{secret} created (added ci)"
    assert all(" created" in line for line in first)
    mark = kubernetes.audit_mark()
    second = applied(namespace, *WAYS_IN[way])
    assert second == [f"{line.split()[0]} unchanged" for line in first[1:]]
    assert {event.verb for event in kubernetes.audit(mark)} == {"get"}


def test_the_first_user_gets_in_and_keeps_its_password(
    kubernetes: ApiServer, namespace: str
) -> None:
    """As do those who were added since."""
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
    first, *others = json.loads(result.stdout)["results"]
    users_in(kubernetes, namespace).verify("ci", first["password"])
    assert not any("password" in one for one in others)


def test_a_dry_run_says_the_same_and_changes_nothing(kubernetes: ApiServer, namespace: str) -> None:
    flags = [*NGINX, "--user", "ci", "--generate"]
    for flag, told in (("--dry-run", "(dry run)"), ("--dry-run=server", "(server dry run)")):
        result = apply(namespace, *flags, flag)
        assert result.exit_code == 0, result.stderr
        lines = result.stdout.splitlines()
        assert lines[0] == f"{namespace}/secret/{SECRET} created (added ci) {told}"
        assert lines[-1] == f"{namespace}/ingress/foo created {told}"
        assert len(lines) == 5
    assert there(kubernetes, namespace, "services")["reason"] == "NotFound"
    apply(namespace, *flags)
    before = there(kubernetes, namespace, "deployments")
    for flag in ("--dry-run", "--dry-run=server"):
        lines = applied(namespace, *NGINX, "--delete-enabled", flag)
        assert [line.split()[1] for line in lines] == [
            *("unchanged", "unchanged", "configured", "unchanged")
        ]
    assert there(kubernetes, namespace, "deployments") == before


@pytest.mark.usefixtures("definitions")
def test_another_way_in_takes_the_place_of_the_first(kubernetes: ApiServer, namespace: str) -> None:
    """What is left out is gone, be it a field or an object: no way in stays open by accident."""
    with_users(kubernetes, namespace, "alice", **OURS)
    applied(namespace, *WAYS_IN["traefik"], "--maintenance")
    lines = applied(namespace, *WAYS_IN["nginx"])
    assert lines[2:] == [
        "deployment/foo configured",
        "ingress/foo configured",
        "middleware/foo-auth deleted (no longer wanted)",
    ]
    annotations = there(kubernetes, namespace, "ingresses")["metadata"]["annotations"]
    assert not [key for key in annotations if "traefik" in key]
    [container] = there(kubernetes, namespace, "deployments")["spec"]["template"]["spec"][
        "containers"
    ]
    assert not [one for one in container["env"] if "READONLY" in one["name"]]
    lines = applied(namespace, *WAYS_IN["gateway"])
    assert lines[-2:] == ["httproute/foo created", "ingress/foo deleted (no longer wanted)"]
    assert there(kubernetes, namespace, "ingresses")["reason"] == "NotFound"


def test_the_volume_stays_as_it_is(kubernetes: ApiServer, namespace: str) -> None:
    with_users(kubernetes, namespace, "alice", **OURS)
    applied(namespace, *NGINX, "--storage", "20Gi", "--storage-class", "fast")
    assert "persistentvolumeclaim/foo unchanged" in applied(namespace, *NGINX)
    assert "persistentvolumeclaim/foo unchanged" in applied(
        namespace, *NGINX, "--storage", "20480Mi"
    )
    refused(apply(namespace, *NGINX, "--storage", "10Gi"), 1, "a volume can't get smaller")
    refused(apply(namespace, *NGINX, "--storage-class", "slow"), 1, "its storage class is fast")
    refused(apply(namespace, *NGINX, "--replicas", "2"), 1, "ReadWriteMany")
    grown = apply(namespace, *NGINX, "--storage", "30Gi")
    assert (grown.exit_code, "allowVolumeExpansion" in grown.stderr) == (3, True)
    spec = there(kubernetes, namespace, "persistentvolumeclaims")["spec"]
    assert spec["resources"]["requests"]["storage"] == "20Gi"
    assert spec["storageClassName"] == "fast"


def test_several_replicas_share_a_secret_that_is_made_once(
    kubernetes: ApiServer, namespace: str
) -> None:
    applied(namespace, *NGINX, "--replicas", "2", "--user", "a", "--password-stdin", stdin="x")
    made = kubernetes.secret(namespace, "foo-http")
    assert len(base64.b64decode(made["data"]["secret"])) == 64
    assert "secret/foo-http unchanged" in applied(namespace, *NGINX, "--replicas", "3")
    assert kubernetes.secret(namespace, "foo-http") == made
    applied(namespace, *NGINX)
    spec = there(kubernetes, namespace, "deployments")["spec"]
    assert spec["strategy"] == {"type": "Recreate"}


def test_nobody_elses_object_is_touched_and_nothing_is_half_done(
    kubernetes: ApiServer, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/services"
    service = {"metadata": {"name": "foo"}, "spec": {"ports": [{"port": 5000}]}}
    kubernetes.request("POST", path, service)
    told = apply(namespace, *NGINX, "--user", "ci", "--generate")
    refused(told, 1, "cannot touch service foo", "was not made by regctl but by Python-urllib")
    assert there(kubernetes, namespace, "secrets", SECRET)["reason"] == "NotFound"
    assert there(kubernetes, namespace, "deployments")["reason"] == "NotFound"
    lines = applied(namespace, *NGINX, "--adopt")
    assert "service/foo configured (adopted from Python-urllib)" in lines
    assert "service/foo unchanged" in applied(namespace, *NGINX)


def test_what_a_controller_owns_is_refused_even_with_adopt(
    kubernetes: ApiServer, namespace: str
) -> None:
    with_users(kubernetes, namespace, "alice", annotations={"meta.helm.sh/release-name": "reg"})
    told = apply(namespace, *NGINX, "--adopt", "--user", "ci", "--generate")
    refused(told, 1, "it belongs to Helm")
    assert there(kubernetes, namespace, "services")["reason"] == "NotFound"
    assert len(applied(namespace, *NGINX)) == 4, "its users are read, and left alone"


def test_a_field_that_somebody_took_is_told_and_taken_back_when_asked(
    kubernetes: ApiServer, namespace: str
) -> None:
    with_users(kubernetes, namespace, "alice", **OURS)
    applied(namespace, *NGINX)
    path = f"/apis/apps/v1/namespaces/{namespace}/deployments/foo"
    patch = {"spec": {"replicas": 0}}
    kubernetes.request("PATCH", path, patch, content_type="application/merge-patch+json")
    told = apply(namespace, *NGINX)
    assert (told.exit_code, "belong to Python-urllib" in told.stderr) == (3, True)
    assert "deployment/foo configured" in applied(namespace, *NGINX, "--adopt")


def test_users_whom_the_registry_would_not_let_in_are_refused(
    kubernetes: ApiServer, namespace: str
) -> None:
    """The registry itself reads bcrypt only; so a change of who asks is a change of who gets in."""
    line = f"alice:{hashes.make('secret', 'apr1')}\n".encode()
    data = {"auth": base64.b64encode(line).decode()}
    kubernetes.create_secret(namespace, {"metadata": {"name": SECRET, **OURS}, "data": data})
    refused(
        apply(namespace, *NGINX, "--auth", "registry"), 1, "not suitable for distribution: apr1"
    )
    assert len(applied(namespace, *NGINX)) == 4


def test_a_secret_without_the_key_that_is_read_is_refused(
    kubernetes: ApiServer, namespace: str
) -> None:
    data = {"users": base64.b64encode(b"x").decode()}
    kubernetes.create_secret(namespace, {"metadata": {"name": SECRET}, "data": data})
    refused(apply(namespace, *NGINX), 1, "has no key auth, which ingress-nginx reads", "users")


def test_without_users_nobody_gets_in_and_that_is_said(namespace: str) -> None:
    told = apply(namespace, *NGINX)
    assert told.exit_code == 0
    assert f"warning: nobody gets in: there is no secret {SECRET} in {'namespace'}" in told.stderr


def test_a_namespace_is_made_when_asked(kubernetes: ApiServer, namespace: str) -> None:
    new = f"{namespace}-new"
    refused(apply(new, *NGINX), 1, f"there is no namespace {new}", "--create-namespace")
    flags = [*NGINX, "--create-namespace", "--user", "ci", "--password-stdin"]
    tried = apply(new, *flags, "--dry-run=server", stdin="secret")
    assert tried.stdout.startswith(f"namespace/{new} created (server dry run)\n")
    assert apply(new, *flags, stdin="secret").stdout.startswith(f"namespace/{new} created\n")
    users_in(kubernetes, new).verify("ci", "secret")
    assert len(applied(new, *flags, stdin="secret")) == 4


def test_a_kind_that_the_cluster_does_not_know_is_named(
    kubernetes: ApiServer, namespace: str
) -> None:
    """Before anything is sent."""
    status, answer = kubernetes.request(
        "DELETE",
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/middlewares.traefik.io",
    )
    assert status in {200, 404}, answer
    while kubernetes.request("GET", "/apis/traefik.io/v1alpha1/middlewares")[0] == 200:
        pass
    told = apply(namespace, *WAYS_IN["traefik"])
    refused(told, 1, "the cluster knows no Middleware: Traefik is not installed")
    assert there(kubernetes, namespace, "services")["reason"] == "NotFound"
    assert apply(namespace, *NGINX).exit_code == 0
    assert run("delete", "foo", "-n", namespace, "--yes").exit_code == 0


# list


def test_the_list_knows_hosts_users_and_the_pull_secrets_for_them(
    kubernetes: ApiServer, namespace: str
) -> None:
    host = f"{namespace}.foo.com"
    with_users(kubernetes, namespace, "alice", "bob", **OURS)
    applied(namespace, *NGINX, "--host", host)
    for name, server in (("a", host), ("b", f"{host}/team"), ("c", f"x.{host}")):
        auths = json.dumps({"auths": {server: {"username": "alice", "password": "x"}}})
        data = {".dockerconfigjson": base64.b64encode(auths.encode()).decode()}
        secret = {"metadata": {"name": name}, "type": "kubernetes.io/dockerconfigjson"}
        kubernetes.create_secret(namespace, {**secret, "data": data})
    line = f"{namespace}\tfoo\t{host}\t0/1\t2\t2\n"
    assert run("list", "-n", namespace).stdout == line
    assert line in run("list", "-A").stdout
    wide = run("list", "-n", namespace, "-o", "wide").stdout
    assert wide.endswith(f"ingress\tregistry:3\talice,bob\t{namespace}/a,{namespace}/b\n")
    [record] = json.loads(run("list", "-n", namespace, "-o", "json").stdout)["libraries"]
    assert record["users"] == ["alice", "bob"]
    assert record["pull_secrets"] == [f"{namespace}/a", f"{namespace}/b"]
    assert run("list", "-n", namespace, "-o", "name").stdout == f"{namespace}/library/foo\n"


def test_the_list_counts_what_it_may_see(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    applied(namespace, *NGINX)
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig_for("bob")))
    refused(run("list", "-n", namespace), 4, "forbidden")
    rule = {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["list"]}
    kubernetes.grant("bob", namespace, [rule])
    assert run("list", "-n", namespace).stdout == f"{namespace}\tfoo\t{HOST}\t0/1\t?\t?\n"
    assert run("list", "-n", f"{namespace},default").exit_code == 3


def test_no_library_is_no_error(namespace: str) -> None:
    told = run("list", "-n", namespace)
    assert (told.exit_code, told.stdout) == (0, "")
    assert "there are no such libraries" in told.stderr


# delete


def test_a_library_goes_and_its_images_and_users_stay(
    kubernetes: ApiServer, namespace: str
) -> None:
    with_users(kubernetes, namespace, "alice", **OURS)
    applied(namespace, *NGINX)
    question = f"delete library foo in namespace {namespace} (its images and users stay)?"
    refused(run("delete", "foo", "-n", namespace), 1, question, "--yes")
    tried = run("delete", "foo", "-n", namespace, "--dry-run=server").stdout.splitlines()
    done = run("delete", "foo", "-n", namespace, "--yes").stdout.splitlines()
    assert [f"{line} (server dry run)" for line in done] == tried
    assert done == [
        f"{namespace}/ingress/foo deleted",
        f"{namespace}/service/foo deleted",
        f"{namespace}/deployment/foo deleted",
        f"{namespace}/persistentvolumeclaim/foo skipped ({IMAGES_STAY})",
        f"{namespace}/secret/{SECRET} skipped (its users stay; --with-data deletes them)",
    ]
    assert users_in(kubernetes, namespace).user("alice")
    assert there(kubernetes, namespace, "ingresses")["reason"] == "NotFound"
    lines = applied(namespace, *NGINX)
    assert lines[0] == "persistentvolumeclaim/foo unchanged"


def test_with_data_the_images_and_users_go_as_well(kubernetes: ApiServer, namespace: str) -> None:
    """Also after a first delete that kept them."""
    with_users(kubernetes, namespace, "alice", **OURS)
    applied(namespace, *NGINX, "--replicas", "2")
    run("delete", "foo", "-n", namespace, "--yes")
    asked = run("delete", "foo", "-n", namespace, "--with-data")
    refused(asked, 1, "with all its images and its users?")
    done = run("delete", "foo", "-n", namespace, "--with-data", "--yes")
    assert f"{namespace}/persistentvolumeclaim/foo deleted" in done.stdout
    assert f"{namespace}/secret/{SECRET} deleted" in done.stdout
    assert there(kubernetes, namespace, "secrets", "foo-http")["reason"] == "NotFound"


def test_users_of_another_library_stay(kubernetes: ApiServer, namespace: str) -> None:
    with_users(kubernetes, namespace, "alice", **OURS)
    applied(namespace, *NGINX)
    applied(namespace, *NGINX, name="bar")
    done = run("delete", "foo", "-n", namespace, "--with-data", "--yes")
    assert "skipped (it stays: library bar has the same users)" in done.stdout


def test_users_that_somebody_else_made_stay(kubernetes: ApiServer, namespace: str) -> None:
    with_users(kubernetes, namespace, "alice")
    applied(namespace, *NGINX)
    done = run("delete", "foo", "-n", namespace, "--with-data", "--yes")
    assert f"secret/{SECRET} skipped (of Python-urllib: it stays)" in done.stdout
    assert users_in(kubernetes, namespace).user("alice")


def test_what_is_not_ours_is_not_deleted_nor_is_the_rest(
    kubernetes: ApiServer, namespace: str
) -> None:
    applied(namespace, *NGINX)
    path = f"/api/v1/namespaces/{namespace}/services"
    kubernetes.request("DELETE", f"{path}/foo")
    service = {"metadata": {"name": "foo"}, "spec": {"ports": [{"port": 5000}]}}
    kubernetes.request("POST", path, service)
    told = run("delete", "foo", "-n", namespace, "--yes")
    refused(told, 1, "cannot touch service foo", "--adopt")
    assert there(kubernetes, namespace, "deployments")["kind"] == "Deployment"
    assert run("delete", "foo", "-n", namespace, "--yes", "--adopt").exit_code == 0


def test_a_library_that_is_not_there_is_named(namespace: str) -> None:
    refused(run("delete", "foo", "-n", namespace), 1, f"no library foo in namespace {namespace}")
    refused(run("delete", "foo", "-n", "nowhere"), 1, "there is no namespace nowhere")


# rbac


def single_rules(need: str, namespace: str) -> list[dict[str, Any]]:
    """The rules that `regctl rbac` prints, each with one verb only."""
    line = ["rbac", "--for", need, "foo", "-n", namespace]
    printed = CliRunner().invoke(main, line, prog_name="regctl")
    (role,) = yaml.safe_load_all(printed.stdout)
    return [{**rule, "verbs": [verb]} for rule in role["rules"] for verb in rule["verbs"]]


def all_ways_in(namespace: str) -> Result:
    """Apply one way in after the other; return the first result that is a failure, or the last."""
    first = ["--replicas", "2", "--user", "ci", "--password-stdin"]
    results = [
        apply(namespace, *WAYS_IN[way], *first, stdin="secret")
        for way in ("traefik", "gateway", "nginx")
    ]
    return next((result for result in results if result.exit_code != 0), results[-1])


@pytest.mark.usefixtures("definitions")
def test_each_right_to_apply_is_needed_and_all_are_enough(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig_for("bob")))
    rules = single_rules("registry apply", namespace)
    for missing, rule in enumerate(rules):
        space = kubernetes.create_namespace(f"{namespace}-{missing}")
        left = [other for number, other in enumerate(rules) if number != missing]
        kubernetes.grant("bob", space, left)
        result = all_ways_in(space)
        assert result.exit_code in {3, 4}, rule
        assert "forbidden" in result.stderr
    kubernetes.grant("bob", namespace, rules)
    assert all_ways_in(namespace).exit_code == 0


@pytest.mark.usefixtures("definitions")
def test_each_right_to_delete_is_needed_and_all_are_enough(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = single_rules("registry delete", namespace)

    def deleted(space: str) -> list[Result]:
        results = []
        for way in ("traefik", "gateway"):
            monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig))
            apply(space, *WAYS_IN[way], "--replicas", "2", "--user", "ci", "--generate")
            monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig_for("bob")))
            results.append(run("delete", "foo", "-n", space, "--with-data", "--yes"))
        return results

    for missing, rule in enumerate(rules):
        space = kubernetes.create_namespace(f"{namespace}-{missing}")
        left = [other for number, other in enumerate(rules) if number != missing]
        kubernetes.grant("bob", space, left)
        told = deleted(space)
        assert any(result.exit_code in {3, 4} for result in told), rule
        assert any("forbidden" in result.stderr for result in told)
    kubernetes.grant("bob", namespace, rules)
    assert [result.exit_code for result in deleted(namespace)] == [0, 0]


def test_the_rights_to_list_are_enough(
    kubernetes: ApiServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_users(kubernetes, namespace, "alice", **OURS)
    applied(namespace, *NGINX)
    kubernetes.grant("bob", namespace, single_rules("registry list", namespace))
    monkeypatch.setenv("KUBECONFIG", str(kubernetes.kubeconfig_for("bob")))
    assert run("list", "-n", namespace).stdout == f"{namespace}\tfoo\t{HOST}\t0/1\t1\t?\n"

"""What the real API server's admission says reaches the user, as kubectl shows it."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from regctl.cluster.client import Cluster
from regctl.cluster.resource import SECRETS
from regctl.errors import ClusterError, NotPermittedError
from tests.cluster import connect, manifest, refused
from tests.conftest import Servers
from tests.servers.kubernetes import ApiServer
from tests.servers.programs import version_of
from tests.servers.webhook import ADMISSION, Webhook, ask_webhook, until_denied, webhook

ATTEMPT = "cannot apply secret pull in namespace {}: "
AUTH = base64.b64encode(b"ci:hunter2-secret").decode()
CONTENT = {"auths": {"r.io": {"username": "ci", "password": "hunter2-secret", "auth": AUTH}}}
DATA = base64.b64encode(json.dumps(CONTENT).encode()).decode()


@pytest.fixture
def hook(serve: Servers, kubernetes: ApiServer, namespace: str, tmp_path: Path) -> Webhook:
    """Return a webhook that the API server asks about Secrets in the namespace."""
    found = serve(webhook(tmp_path / "webhook"))
    found.decide = lambda _object: {"allowed": False}
    ask_webhook(kubernetes, namespace, found.url, found.ca_file)
    until_denied(kubernetes, namespace)
    return found


def deny(**status: Any) -> dict[str, Any]:
    return {"allowed": False, "status": status}


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (NotPermittedError, {"code": 403}),
        (ClusterError, {}),  # the API server makes it 400
        (ClusterError, {"code": 400, "reason": "BadRequest"}),
        (ClusterError, {"code": 404}),
        (ClusterError, {"code": 422, "reason": "Invalid"}),
    ],
)
def test_a_webhook_is_quoted_whatever_status_it_chooses(
    cluster: Cluster, namespace: str, hook: Webhook, kind: type[ClusterError], status: Any
) -> None:
    hook.decide = lambda _object: deny(message="only the pipeline may do that", **status)
    error = refused(kind, lambda: cluster.apply(SECRETS, manifest(namespace)))
    assert error.message == (
        f"{ATTEMPT.format(namespace)}admission webhook "
        f'"{namespace}.foo.com" denied the request: only the pipeline may do that'
    )
    assert error.hint is None


def test_what_was_sent_is_taken_out_of_the_words_of_a_webhook(
    cluster: Cluster, namespace: str, hook: Webhook
) -> None:
    sent = manifest(namespace, data={".dockerconfigjson": DATA})
    words = f"no {DATA}, nor hunter2-secret, nor {AUTH}, nor hunter2%2Dsecret for ci"
    hook.decide = lambda _object: deny(message=words)
    error = refused(ClusterError, lambda: cluster.apply(SECRETS, sent))
    assert error.message.endswith(": no ***, nor ***, nor ***, nor *** for ci")


def test_no_hash_is_in_the_words_of_a_webhook(
    cluster: Cluster, namespace: str, hook: Webhook
) -> None:
    """Those of an auth file, and the previous one, which a rotation keeps in an annotation."""
    new, old = "$2y$04$newnewnewnew", "$2y$04$oldoldoldold"
    data = {"auth": base64.b64encode(f"ci:{new}\n".encode()).decode()}
    sent = manifest(namespace, type="Opaque", data=data)
    sent["metadata"]["annotations"] = {"regctl.io/previous": f"ci:{old}"}
    hook.decide = lambda _object: deny(message=f"{old} was replaced by {new} for ci")
    error = refused(ClusterError, lambda: cluster.apply(SECRETS, sent))
    assert error.message.endswith(": *** was replaced by *** for ci")


def test_a_webhook_that_is_down_is_named(
    cluster: Cluster, kubernetes: ApiServer, namespace: str, hook: Webhook
) -> None:
    other = kubernetes.create_namespace(f"{namespace}-down")
    ask_webhook(kubernetes, other, "https://127.0.0.1:1/", hook.ca_file)
    until_denied(kubernetes, other)
    error = refused(ClusterError, lambda: cluster.apply(SECRETS, manifest(other)))
    assert error.message.startswith(
        f"{ATTEMPT.format(other)}the API server answers 500 InternalError: "
        f'failed calling webhook "{other}.foo.com": '
    )
    assert "connection refused" in error.message


def test_a_quota_is_named_without_a_hint_about_rights(
    cluster: Cluster, kubernetes: ApiServer, namespace: str
) -> None:
    path = f"/api/v1/namespaces/{namespace}/resourcequotas"
    hard = {"secrets": "0"}
    quota: dict[str, Any] = {"metadata": {"name": "few"}, "spec": {"hard": hard}}
    kubernetes.request("POST", path, quota)
    # The controller-manager would do this.
    quota["status"] = {"hard": hard, "used": hard}
    assert kubernetes.request("PUT", f"{path}/few/status", quota)[0] == 200
    until_denied(kubernetes, namespace)
    error = refused(NotPermittedError, lambda: cluster.apply(SECRETS, manifest(namespace)))
    assert error.message == (
        f"{ATTEMPT.format(namespace)}exceeded quota: few, "
        "requested: secrets=1, used: secrets=0, limited: secrets=0"
    )
    assert error.hint is None


def policy(server: ApiServer, namespace: str, action: str, reason: str | None = None) -> str:
    """Create a policy against Secrets named `pull` and `probe`; return its name."""
    if version_of("kube-apiserver") < (1, 30):
        pytest.skip("ValidatingAdmissionPolicy is in Kubernetes 1.30 and later")
    name = f"{namespace}-{action.lower()}"
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE"],
        "resources": ["secrets"],
    }
    validation = {"expression": "false", "message": "secrets need a label"}
    spec = {
        "failurePolicy": "Fail",
        "matchConstraints": {
            "resourceRules": [rule],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        },
        "validations": [validation | ({"reason": reason} if reason else {})],
    }
    binding = {"policyName": name, "validationActions": [action]}
    for kind, content in (("policies", spec), ("policybindings", binding)):
        status, answer = server.request(
            "POST",
            f"{ADMISSION}/validatingadmission{kind}",
            {"metadata": {"name": name}, "spec": content},
        )
        assert status == 201, answer
    return name


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (None, ClusterError),
        ("Forbidden", NotPermittedError),
        ("RequestEntityTooLarge", ClusterError),
    ],
)
def test_a_policy_is_quoted(
    cluster: Cluster,
    kubernetes: ApiServer,
    namespace: str,
    reason: str | None,
    kind: type[ClusterError],
) -> None:
    """Its cause has a message and no field; the status depends on the policy's reason."""
    name = policy(kubernetes, namespace, "Deny", reason)
    until_denied(kubernetes, namespace)
    error = refused(kind, lambda: cluster.apply(SECRETS, manifest(namespace)))
    assert error.message == (
        f"{ATTEMPT.format(namespace)}ValidatingAdmissionPolicy '{name}' with binding '{name}' "
        "denied request: secrets need a label"
    )
    assert error.hint is None


def test_each_warning_is_a_note_once(kubernetes: ApiServer, namespace: str, hook: Webhook) -> None:
    """The command line shows it on stderr, without what was sent."""
    warning = 'replace "ci", whose password is hunter2-secret'
    hook.decide = lambda _object: {"allowed": True, "warnings": [warning, "two"]}
    flags = ["--server", "r.io", "-u", "ci", "-n", namespace, "--no-verify"]
    for name in ("a", "b"):
        command = [sys.executable, "-m", "regctl", "secret", "create", name, *flags]
        done = subprocess.run(
            command,
            env={"KUBECONFIG": str(kubernetes.kubeconfig), "REGCTL_PASSWORD": "hunter2-secret"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stderr.splitlines() == [
            'note: replace "ci", whose password is ***',
            "note: two",
        ]


def test_a_warning_is_passed_on_once(kubernetes: ApiServer, namespace: str, hook: Webhook) -> None:
    hook.decide = lambda _object: {"allowed": True, "warnings": ["mind the gap"]}
    seen: list[str] = []
    cluster = connect(kubernetes, on_warning=seen.append)
    for name in ("a", "b", "c"):
        cluster.apply(SECRETS, manifest(namespace, name))
    assert seen == ["mind the gap"]

"""
etcd and kube-apiserver: the real Kubernetes API, with an audit log to count requests.

There is no controller-manager. So a deleted namespace stays Terminating, and no namespace gets a
`default` service account.
"""

import http.client
import itertools
import json
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from tests.servers.process import Process, free_port, on_free_port, start
from tests.servers.programs import find

ADMIN = "admin"
USERS = ("alice", "bob", "carol", *(f"clerk-{number}" for number in range(16)))
MERGE_PATCH = "application/merge-patch+json"

_numbers = itertools.count(1)
# Takes some seconds.
_REVIEWS = 5000


@dataclass(frozen=True)
class AuditEvent:
    """One finished request in the audit log."""

    user: str
    verb: str
    resource: str
    namespace: str | None
    name: str | None
    code: int
    dry_run: bool
    user_agent: str


@dataclass
class Api:
    """The API of a server, used without regctl; *folder* is for its files."""

    url: str
    folder: Path

    @property
    def ca_file(self) -> Path | None:
        """The certificate that makes the server trusted, if it uses TLS."""
        return None

    @property
    def kubeconfig(self) -> Path:
        """The kubeconfig of the administrator."""
        return self.kubeconfig_for(ADMIN)

    def kubeconfig_for(self, user: str, *, namespace: str = "default") -> Path:
        """Write and return a kubeconfig of *user*."""
        path = self.folder / f"kubeconfig-{user}-{namespace}"
        cluster = {"server": self.url}
        if self.ca_file is not None:
            cluster["certificate-authority"] = str(self.ca_file)
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": user, "user": {"token": token_of(user)}}],
            "contexts": [
                {
                    "name": "test",
                    "context": {"cluster": "test", "user": user, "namespace": namespace},
                }
            ],
        }
        path.write_text(json.dumps(document))
        return path

    def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        user: str = ADMIN,
        content_type: str = "application/json",
    ) -> tuple[int, dict[str, Any]]:
        """
        Send one request without regctl; return the status and the decoded body.

        A body that is not JSON, as that of a 429, is returned as `message`.
        """
        request = urllib.request.Request(
            f"{self.url}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token_of(user)}", "Content-Type": content_type},
        )
        opener = urllib.request.build_opener(
            urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=self._context)
        )
        try:
            with opener.open(request, timeout=30) as response:
                return response.status, _decoded(response.read())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, _decoded(error.read())

    @cached_property
    def _context(self) -> ssl.SSLContext | None:
        return ssl.create_default_context(cafile=str(self.ca_file)) if self.ca_file else None

    # Objects

    def create_namespace(self, name: str, labels: dict[str, str] | None = None) -> str:
        """Create a namespace and return its name."""
        self._must(
            "POST", "/api/v1/namespaces", {"metadata": {"name": name, "labels": labels or {}}}
        )
        return name

    def terminate_namespace(self, name: str) -> None:
        """Delete a namespace; it stays Terminating, because no controller finishes it."""
        self._must("DELETE", f"/api/v1/namespaces/{name}")

    def create_service_account(
        self, namespace: str, name: str = "default", pull_secrets: Sequence[str] = ()
    ) -> None:
        """Create a service account that lists *pull_secrets*."""
        body: dict[str, Any] = {"metadata": {"name": name}}
        if pull_secrets:
            body["imagePullSecrets"] = [{"name": secret} for secret in pull_secrets]
        self._must("POST", f"/api/v1/namespaces/{namespace}/serviceaccounts", body)

    def create_secret(self, namespace: str, secret: dict[str, Any]) -> dict[str, Any]:
        """Create a Secret without regctl; *secret* is the whole object."""
        return self._must("POST", f"/api/v1/namespaces/{namespace}/secrets", secret)

    def get(self, path: str) -> dict[str, Any]:
        """Return an object that must exist."""
        return self._must("GET", path)

    def secret(self, namespace: str, name: str) -> dict[str, Any]:
        """Return a Secret that must exist."""
        return self.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")

    def _must(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        status, answer = self.request(method, path, body)
        while status == http.client.TOO_MANY_REQUESTS:
            status, answer = self.request(method, path, body)
        if status >= 300:
            raise AssertionError(f"{method} {path}: {status} {answer.get('message')}")
        return answer


@dataclass
class ApiServer(Api):
    """A running API server; all users except `admin` start without rights."""

    arguments: Sequence[str]
    process: Process = field(init=False, repr=False)

    @property
    def ca_file(self) -> Path:
        """The certificate that makes the server trusted."""
        return self.folder / "certs" / "apiserver.crt"

    # Rights

    def grant(self, user: str, namespace: str, rules: Sequence[dict[str, Any]]) -> None:
        """Give *user* a Role in one namespace."""
        base = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
        name = f"{user}-{next(_numbers)}"
        self._must("POST", f"{base}/roles", {"metadata": {"name": name}, "rules": rules})
        self._must("POST", f"{base}/rolebindings", _binding("Role", name, user))
        self.until_allowed(user, namespace, rules)

    def grant_cluster(self, user: str, rules: Sequence[dict[str, Any]]) -> str:
        """Give *user* a ClusterRole everywhere; return the name to `revoke_cluster` it by."""
        base = "/apis/rbac.authorization.k8s.io/v1"
        name = f"{user}-{next(_numbers)}"
        self._must("POST", f"{base}/clusterroles", {"metadata": {"name": name}, "rules": rules})
        self._must("POST", f"{base}/clusterrolebindings", _binding("ClusterRole", name, user))
        self.until_allowed(user, None, rules)
        return name

    def until_allowed(
        self, user: str, namespace: str | None, rules: Sequence[dict[str, Any]]
    ) -> None:
        """Wait until the API server applies *rules*, which takes a moment."""
        for rule in rules:
            attributes = {
                "namespace": namespace or "",
                "group": rule["apiGroups"][0],
                "resource": rule["resources"][0],
                "verb": rule["verbs"][0],
                "name": rule.get("resourceNames", [""])[0],
            }
            review = {
                "apiVersion": "authorization.k8s.io/v1",
                "kind": "SubjectAccessReview",
                "spec": {"user": user, "resourceAttributes": attributes},
            }
            path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
            for _ in range(_REVIEWS):
                if self._must("POST", path, review)["status"]["allowed"]:
                    break
            else:
                raise AssertionError(f"{user} was granted {rule}, but it has no effect")

    def revoke_cluster(self, name: str) -> None:
        """Delete the binding of a ClusterRole."""
        self._must("DELETE", f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{name}")

    # Faults

    def kill(self) -> None:
        """Kill the API server; etcd keeps its data."""
        self.process.kill()

    def start(self) -> None:
        """Start it again after `kill`, on the same port with the same data."""
        self.process = start(self.arguments, ready=self.ready, log=self.process.log)

    def restart(self) -> None:
        """Kill it and start it again."""
        self.kill()
        self.start()

    def ready(self) -> bool:
        """Return whether it is ready and has created its own namespaces."""
        paths = ("/readyz", "/api/v1/namespaces/default", "/api/v1/namespaces/kube-public")
        try:
            return all(self.request("GET", path)[0] == 200 for path in paths)
        except (OSError, http.client.HTTPException):
            return False

    # Counting

    def audit_mark(self) -> int:
        """Return a mark for `audit`, which counts the requests after it."""
        return self._audit_log.stat().st_size

    def audit(self, mark: int, *, user_agent: str = "regctl") -> list[AuditEvent]:
        """Return the requests after *mark* of programs whose name starts with *user_agent*."""
        with self._audit_log.open("rb") as log:
            log.seek(mark)
            events = [_event(json.loads(line)) for line in log.read().splitlines()]
        return [event for event in events if event.user_agent.startswith(user_agent)]

    @property
    def _audit_log(self) -> Path:
        return self.folder / "audit.log"


def token_of(user: str) -> str:
    """Return the bearer token of a user."""
    return f"token-of-{user}"


def _decoded(body: bytes) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(body)
    except ValueError:
        return {"message": body.decode(errors="replace")}
    return document


def _binding(kind: str, name: str, user: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": name},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": user}],
    }


def _event(record: dict[str, Any]) -> AuditEvent:
    target = record.get("objectRef", {})
    return AuditEvent(
        record["user"]["username"],
        record["verb"],
        target.get("resource", ""),
        target.get("namespace"),
        target.get("name"),
        record["responseStatus"]["code"],
        "dryRun=" in record["requestURI"],
        record.get("userAgent", ""),
    )


def _etcd_ready(port: int) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://127.0.0.1:{port}/health", timeout=5) as response:
            return b"true" in response.read()
    except (OSError, http.client.HTTPException):
        return False


@contextmanager
def api_server(folder: Path, *flags: str, service_accounts: bool = False) -> Iterator[ApiServer]:
    """
    Run etcd and kube-apiserver with all files in *folder*; *flags* are for the API server.

    With *service_accounts* a pod needs its service account, and gets the account's pull secrets.
    """
    apiserver, etcd, openssl = map(find, ("kube-apiserver", "etcd", "openssl"))
    folder.mkdir(parents=True, exist_ok=True)
    key = folder / "service-account.key"
    subprocess.run([openssl, "genrsa", "-out", str(key), "2048"], check=True, capture_output=True)
    tokens = folder / "tokens.csv"
    tokens.write_text(
        f'{token_of(ADMIN)},{ADMIN},1,"system:masters"\n'
        + "".join(f"{token_of(user)},{user},{user}\n" for user in USERS)
    )
    policy = folder / "audit-policy.json"
    policy.write_text(
        json.dumps(
            {
                "apiVersion": "audit.k8s.io/v1",
                "kind": "Policy",
                "omitStages": ["RequestReceived", "ResponseStarted"],
                "rules": [{"level": "Metadata"}],
            }
        )
    )

    def etcd_arguments(port: int) -> list[str]:
        store = f"http://127.0.0.1:{port}"
        return [
            etcd,
            f"--data-dir={folder / 'etcd'}",
            f"--listen-client-urls={store}",
            f"--advertise-client-urls={store}",
            f"--listen-peer-urls=http://127.0.0.1:{free_port()}",
            "--unsafe-no-fsync",
        ]

    with on_free_port(etcd_arguments, log=folder / "etcd.log", ready=_etcd_ready) as (_, store):

        def arguments(port: int) -> list[str]:
            return [
                apiserver,
                f"--etcd-servers=http://127.0.0.1:{store}",
                f"--secure-port={port}",
                "--bind-address=127.0.0.1",
                "--advertise-address=127.0.0.1",
                # No endpoint of `kubernetes`, which may not have an address of loopback.
                "--endpoint-reconciler-type=none",
                f"--cert-dir={folder / 'certs'}",
                "--service-account-issuer=https://kubernetes.default.svc",
                f"--service-account-key-file={key}",
                f"--service-account-signing-key-file={key}",
                f"--token-auth-file={tokens}",
                "--authorization-mode=RBAC",
                "--service-cluster-ip-range=10.0.0.0/24",
                *(() if service_accounts else ("--disable-admission-plugins=ServiceAccount",)),
                f"--audit-policy-file={policy}",
                f"--audit-log-path={folder / 'audit.log'}",
                "--audit-log-mode=blocking",
                *flags,
            ]

        def server_on(port: int) -> ApiServer:
            return ApiServer(f"https://127.0.0.1:{port}", folder, arguments(port))

        with on_free_port(
            arguments, log=folder / "apiserver.log", ready=lambda port: server_on(port).ready()
        ) as (process, port):
            server = server_on(port)
            server.process = process
            try:
                yield server
            finally:
                server.process.stop()

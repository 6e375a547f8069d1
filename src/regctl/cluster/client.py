"""
The Kubernetes API server, as far as regctl needs it. Owns urllib3.

The kubernetes package is used for configuration, authentication and its connection pool; requests
and answers are JSON of our own, for its models cost more time than the API server does. Every
answer is read to its end, or its connection would be lost and the next request would pay for a TLS
handshake.
"""

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import urllib3

from regctl.cluster.kubeconfig import Connection, Kubeconfig
from regctl.cluster.ownership import FIELD_MANAGER
from regctl.cluster.resource import NAMESPACES, Namespace, Resource, read_namespace
from regctl.cluster.status import Refusal
from regctl.errors import (
    ClusterError,
    ClusterUnreachableError,
    ConflictError,
    ObjectNotFoundError,
    RegctlError,
)
from regctl.retry import RETRIED_STATUSES, Backoff, OnRequest, RequestTrace, retry_after

T = TypeVar("T")
R = TypeVar("R")

DEFAULT_TIMEOUT = 30.0
# More than any cluster's namespaces but the largest's, and little memory for one answer.
PAGE_SIZE = 2000
# Twenty writers of one object need twenty rounds at worst: each round has one winner.
_CONFLICTS = Backoff(tries=40, base=0.02, cap=0.5)
_CONNECT_SECONDS = 10.0
_NO_API_SERVER = "{}: what answers there is not a Kubernetes API server"


@dataclass(frozen=True)
class ApiResponse:
    """What the API server answered: a status below 400, and its object."""

    status: int
    body: Any = field(repr=False)


@dataclass
class Cluster:
    """
    One API server, as one user.

    *connect* makes a connection from the kubeconfig, again after a 401: a token may have expired.
    *timeout* is how many seconds one request is tried for, and how long the API server may give no
    useful answer at all before every request is given up. *clock* and *sleep* are for tests.
    """

    connect: Callable[[], Connection] = field(repr=False)
    namespace_of_context: Callable[[], str] = field(default=lambda: "default", repr=False)
    timeout: float = DEFAULT_TIMEOUT
    on_request: OnRequest = field(default=lambda _trace: None, repr=False)
    backoff: Backoff = field(default=Backoff(tries=1000, cap=2.0), repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    sleep: Callable[[float], None] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._connection = self.connect()
        self._useful_at = self.clock()
        self._given_up: RegctlError | None = None

    @classmethod
    def from_environment(
        cls,
        environ: Mapping[str, str],
        *,
        kubeconfig: Path | None = None,
        context: str | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        on_request: OnRequest = lambda _trace: None,
    ) -> "Cluster":
        """
        Connect as kubectl would: *kubeconfig*, `$KUBECONFIG`, `~/.kube/config`, then in a pod its
        service account.

        Nothing is sent yet. Raises KubeconfigError.
        """
        configuration = Kubeconfig(environ, kubeconfig, context)
        return cls(
            configuration.connect,
            namespace_of_context=configuration.namespace,
            timeout=timeout,
            on_request=on_request,
        )

    @property
    def server(self) -> str:
        """The API server's URL."""
        return self._connection.host

    @property
    def context_namespace(self) -> str:
        """The namespace of the kubeconfig's context, or `default`; the file is read for it."""
        return self.namespace_of_context()

    def stop(self) -> None:
        """Let requests that wait for another try give up: the run was interrupted."""
        self._stopped.set()

    def pause(self, seconds: float) -> None:
        """Wait, but not after `stop`."""
        (self.sleep or self._stopped.wait)(seconds)

    # Verbs

    def get(self, resource: Resource, namespace: str | None, name: str) -> dict[str, Any] | None:
        """Return the object, or None where it (or its namespace) is not there."""
        attempt = _attempt("read", resource, namespace, name)
        try:
            return _object(self._request("GET", resource.path(namespace, name), attempt), attempt)
        except ObjectNotFoundError:
            return None

    def objects(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """Yield all objects, of *namespace* or of the whole cluster, a page at a time."""
        attempt = f"cannot list {resource.plural}"
        attempt += f" in namespace {namespace}" if namespace else " in all namespaces"
        if resource is NAMESPACES:
            attempt = "cannot list namespaces"
        query = {"limit": str(PAGE_SIZE)}
        if label_selector:
            query["labelSelector"] = label_selector
        if field_selector:
            query["fieldSelector"] = field_selector
        seen: set[str] = set()
        while True:
            answer = self._request("GET", resource.path(namespace), attempt, query=query)
            page = _object(answer, attempt)
            yield from page.get("items") or []
            token = (page.get("metadata") or {}).get("continue")
            if not token:
                return
            if token in seen:
                raise ClusterError(f"{attempt}: the API server's pages go in a circle")
            seen.add(token)
            query = {**query, "continue": token}

    def namespaces(self, label_selector: str | None = None) -> Iterator[Namespace]:
        """Yield the cluster's namespaces, those that match *label_selector* if given."""
        for item in self.objects(NAMESPACES, label_selector=label_selector):
            yield read_namespace(item)

    def apply(
        self,
        resource: Resource,
        manifest: Mapping[str, Any],
        *,
        force: bool = False,
        dry_run: bool = False,
    ) -> ApiResponse:
        """
        Apply *manifest* on the server's side, as the field manager `regctl`.

        The answer has status 201 where the object was created, else 200, and holds its metadata
        only. *force* takes fields over from other managers; without it FieldOwnedError is raised.
        A `resourceVersion` in the manifest makes it fail with ConflictError where the object has
        changed since.
        """
        metadata = manifest["metadata"]
        namespace, name = metadata.get("namespace"), metadata["name"]
        query = {"fieldManager": FIELD_MANAGER}
        if force:
            query["force"] = "true"
        if dry_run:
            query["dryRun"] = "All"
        return self._request(
            "PATCH",
            resource.path(namespace, name),
            _attempt("apply", resource, namespace, name),
            query=query,
            body=manifest,
            content_type="application/apply-patch+yaml",
        )

    def merge(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Mapping[str, Any],
        *,
        dry_run: bool = False,
    ) -> ApiResponse:
        """Change fields of an object that is there (RFC 7396); null removes, a list is replaced."""
        query = {"fieldManager": FIELD_MANAGER} | ({"dryRun": "All"} if dry_run else {})
        return self._request(
            "PATCH",
            resource.path(namespace, name),
            _attempt("change", resource, namespace, name),
            query=query,
            body=patch,
            content_type="application/merge-patch+json",
        )

    def delete(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        *,
        uid: str | None = None,
        dry_run: bool = False,
    ) -> bool:
        """
        Delete an object; return False where it was not there.

        With *uid* only that very object: ConflictError where it was made anew since.
        """
        body: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        if dry_run:
            # Here and not in the query, which is not read where there is a body.
            body["dryRun"] = ["All"]
        try:
            self._request(
                "DELETE",
                resource.path(namespace, name),
                _attempt("delete", resource, namespace, name),
                body=body,
            )
        except ObjectNotFoundError:
            return False
        return True

    def create(self, path: str, body: Mapping[str, Any], attempt: str) -> Any:
        """POST *body* to *path*: the reviews of access, which are asked by creating them."""
        return self._request("POST", path, attempt, body=body).body

    def retry_on_conflict(self, change: Callable[[T], R], planned: T, replan: Callable[[], T]) -> R:
        """
        Return `change(planned)`; after a ConflictError call *replan* and try again.

        *replan* reads the object again and returns what to change now. Raises the last
        ConflictError after 40 tries, which take about ten seconds.
        """
        pauses = _CONFLICTS.pauses()
        while True:
            try:
                return change(planned)
            except ConflictError:
                pause = next(pauses, None)
                if pause is None:
                    raise
            self.pause(pause)
            planned = replan()

    # One request

    def _request(
        self,
        method: str,
        path: str,
        attempt: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> ApiResponse:
        """
        Send one request, again where that may help, and return the answer.

        All requests of this module are safe to send again: they read, apply, merge with a
        `resourceVersion`, delete by UID, or ask for a review.
        """
        headers = {"Accept": "application/json", "User-Agent": "regctl"}
        if method == "PATCH":
            # The object would come back with everything in it.
            headers["Accept"] = "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1"
        data = None
        if body is not None:
            data = json.dumps(body, separators=(",", ":")).encode()
            headers["Content-Type"] = content_type
        call = _Call(
            method,
            f"{path}?{urlencode(query)}" if query else path,
            attempt,
            headers,
            data,
            deadline=self.clock() + self.timeout,
        )
        pauses = self.backoff.pauses()
        renewed = False
        while True:
            if self._given_up is not None:
                raise self._given_up
            connection, authorization = self._authorized()
            reply = self._send(connection, call, authorization)
            if reply.status == 401 and not renewed:
                renewed = True
                self._renew(connection)
            elif reply.failure is None:
                self._useful_at = self.clock()
                return _settled(attempt, reply)
            else:
                pause = next(pauses, self.backoff.cap)
                if reply.wait is not None:
                    # Jitter on top, so that all who were sent away don't come back at once.
                    pause = reply.wait + self.backoff.uniform(0, 0.1 + reply.wait / 4)
                self._pause(pause, call, reply.failure)

    def _send(
        self, connection: Connection, call: "_Call", authorization: Mapping[str, str]
    ) -> "_Reply":
        """Send one request once and read its answer to the end."""
        began = self.clock()
        left = max(1.0, call.deadline - began)
        url = connection.host + call.target
        status: int | None = None
        try:
            response = connection.pool.request(
                call.method,
                url,
                body=call.data,
                headers={**call.headers, **authorization},
                retries=False,
                redirect=False,
                timeout=urllib3.Timeout(connect=min(_CONNECT_SECONDS, left), read=left),
            )
            status = response.status
        except urllib3.exceptions.HTTPError as error:
            failure = _unreachable(call.attempt, connection.host, error)
            if _untrusted(error):
                raise failure from error
            return _Reply(failure=failure)
        finally:
            self.on_request(RequestTrace(call.method, url, status, self.clock() - began))
        if status in RETRIED_STATUSES:
            return _Reply(
                status,
                failure=Refusal.parse(status, response.data).error(call.attempt),
                wait=retry_after(response.headers.get("Retry-After")),
            )
        return _Reply(status, response.data)

    def _pause(self, seconds: float, call: "_Call", failure: RegctlError) -> None:
        """Wait before another try; raise *failure* where there is no time left for one."""
        moment = self.clock() + seconds
        if self._stopped.is_set() or moment > call.deadline:
            if moment > self._useful_at + self.timeout:
                self._given_up = failure
            raise failure
        self.pause(seconds)

    def _authorized(self) -> tuple[Connection, Mapping[str, str]]:
        # The package reads tokens again when they expire, and not for two threads at once.
        with self._lock:
            return self._connection, self._connection.headers()

    def _renew(self, refused: Connection) -> None:
        """Connect anew after a 401, once for all threads that were refused."""
        with self._lock:
            if self._connection is refused:
                self._connection = self.connect()


@dataclass(frozen=True)
class _Call:
    """One request, however often it is sent."""

    method: str
    target: str
    attempt: str
    headers: Mapping[str, str]
    data: bytes | None = field(repr=False)
    deadline: float


@dataclass(frozen=True)
class _Reply:
    """What came of sending it once; a *failure* may be gone the next time."""

    status: int | None = None
    data: bytes = field(default=b"", repr=False)
    failure: RegctlError | None = None
    wait: float | None = None


def _attempt(verb: str, resource: Resource, namespace: str | None, name: str) -> str:
    where = f" in namespace {namespace}" if namespace else ""
    return f"cannot {verb} {resource.noun} {name}{where}"


def _object(answer: ApiResponse, attempt: str) -> dict[str, Any]:
    if not isinstance(answer.body, dict):
        raise ClusterError(_NO_API_SERVER.format(attempt))
    return answer.body


def _settled(attempt: str, reply: _Reply) -> ApiResponse:
    """Return a good answer; raise what a bad one means."""
    status = reply.status or 0
    if status >= 300:
        raise Refusal.parse(status, reply.data).error(attempt)
    try:
        return ApiResponse(status, json.loads(reply.data))
    except ValueError:
        # Not chained: the cause would carry the answer, which may be a Secret.
        raise ClusterError(_NO_API_SERVER.format(attempt)) from None


def _unreachable(attempt: str, host: str, error: Exception) -> RegctlError:
    if _untrusted(error):
        return ClusterUnreachableError(
            f"{attempt}: the certificate of {host} is not trusted",
            hint="look at certificate-authority of this cluster in the kubeconfig",
        )
    return ClusterUnreachableError(
        f"{attempt}: no answer from {host}: {_reason(error)}",
        hint="is the cluster running, and is the context right? `kubectl cluster-info` tells",
    )


def _untrusted(error: Exception) -> bool:
    causes = (error, error.__cause__, error.__context__, *error.args)
    return any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes)


def _reason(error: Exception) -> str:
    """Say in few words why there was no answer."""
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "the name does not resolve"
    if isinstance(error, urllib3.exceptions.TimeoutError) and not isinstance(
        error, urllib3.exceptions.NewConnectionError
    ):
        return "time is up"
    causes = (error.__cause__, error.__context__, *error.args)
    for cause in causes:
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
    return "the connection was closed"

"""
The client of the Kubernetes API server.

The kubernetes package provides configuration, authentication and a connection pool. Requests and
responses are plain JSON, because the package's models cost more time than the API server. Every
response is read to its end: otherwise its connection is lost, and the next request pays for a TLS
handshake.
"""

import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, NamedTuple, TypeVar

import urllib3

from regctl import parallel
from regctl.cluster.connection import Connection
from regctl.cluster.kubeconfig import Kubeconfig
from regctl.cluster.ownership import FIELD_MANAGER
from regctl.cluster.request import Query, Request, cannot
from regctl.cluster.resource import NAMESPACES, Namespace, Resource, read_namespace
from regctl.cluster.status import Status
from regctl.connection import REMEDIES, Problem, tls_problem, wants_tls
from regctl.errors import (
    ClusterError,
    ClusterUnreachableError,
    ConflictError,
    MalformedError,
    ObjectNotFoundError,
    RegctlError,
)
from regctl.exchange import MAX_ERROR_BYTES, read_body, time_limit
from regctl.jsontext import parse_json
from regctl.redaction import redact
from regctl.retry import (
    MAX_WARNINGS,
    RETRIED_STATUSES,
    Backoff,
    OnRequest,
    RequestTrace,
    attempts,
    ignore_request,
    parse_warnings,
    retry_after,
)

T = TypeVar("T")
R = TypeVar("R")

DEFAULT_TIMEOUT = 30.0
# Covers the namespaces of almost every cluster in one page, and a page stays small in memory.
PAGE_SIZE = 2000
# Twenty writers of one object need twenty rounds at worst: each round has one winner.
_CONFLICTS = Backoff(tries=40, base=0.02, cap=0.5)
_CONNECT_SECONDS = 10.0
# What a page of a list and its values take of memory is many times this.
_MAX_RESPONSE_BYTES = 6 * 1024 * 1024
_MAX_PAGES = 10_000


class _TooLongError(ClusterError):
    """A response is over the limit: a page of a list may have fewer objects."""


class _Reply(NamedTuple):
    """A response that was read to its end; *data* is not compressed."""

    status: int
    headers: urllib3.HTTPHeaderDict
    data: bytes


@dataclass(frozen=True)
class ApiResponse:
    """A response of the API server with a status below 300, and its object."""

    status: int
    body: Any = field(repr=False)


@dataclass
class Cluster:
    """
    One API server, as one user.

    `Cluster(Kubeconfig(os.environ))` is the cluster that kubectl would use. *timeout* is how many
    seconds a request is retried. If the API server gives no useful response for as long, later
    requests fail at once. *workers* is how many requests run in parallel. *on_warning* gets each
    warning of the API server once, from any thread. *clock* and *sleep* are for tests. Raises
    KubeconfigError; nothing is sent yet.
    """

    kubeconfig: Kubeconfig = field(repr=False)
    timeout: float = DEFAULT_TIMEOUT
    workers: int = parallel.DEFAULT_WORKERS
    on_request: OnRequest = field(default=ignore_request, repr=False)
    on_warning: Callable[[str], None] = field(default=lambda _text: None, repr=False)
    backoff: Backoff = field(default=Backoff(tries=None, cap=2.0), repr=False)
    clock: Callable[[], float] = field(default=time.monotonic, repr=False)
    sleep: Callable[[float], object] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        self._connection = self.kubeconfig.connect()
        self._useful_at = self.clock()
        self._given_up: RegctlError | None = None
        self._warnings = set[str]()

    @property
    def server(self) -> str:
        """The API server's URL."""
        return self._connection.host

    @property
    def context_namespace(self) -> str:
        """The namespace of the kubeconfig's context, or `default`. Reads the file."""
        return self.kubeconfig.namespace()

    def stop(self) -> None:
        """Make requests that wait for a retry fail: the run was interrupted."""
        self._stopped.set()

    def pause(self, seconds: float) -> bool:
        """Wait; return True at once after `stop`."""
        if self.sleep is not None:
            self.sleep(seconds)
            return False
        return self._stopped.wait(seconds)

    def run_parallel(
        self, function: Callable[[T], R], items: Sequence[T]
    ) -> Iterator[tuple[T, R | parallel.Interrupted]]:
        """Yield each item and what *function* returns for it, as `parallel.run` does."""
        return parallel.run(function, items, workers=self.workers, stop=self.stop)

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
                if pause is None or self.pause(pause):
                    raise
            planned = replan()

    # Verbs

    def get(self, resource: Resource, namespace: str | None, name: str) -> dict[str, Any] | None:
        """Return the object, or None if it or its namespace does not exist."""
        attempt = cannot("read", resource, namespace, name)
        try:
            found = self._read(Request("GET", resource.path(namespace, name), attempt))
        except ObjectNotFoundError:
            return None
        if not _is_object(found):
            raise _no_api_server(attempt)
        return found

    def list(
        self,
        resource: Resource,
        *,
        namespace: str | None = None,
        label_selector: str | None = None,
        field_selector: str | None = None,
    ) -> Iterator[dict[str, Any]]:
        """
        Yield all objects of *namespace* or of the whole cluster, page by page.

        A page that is too long, because its objects are large, is requested with fewer of them.
        """
        attempt = f"cannot list {resource.plural}"
        if namespace:
            attempt += f" in namespace {namespace}"
        elif resource is not NAMESPACES:
            attempt += " in all namespaces"
        if label_selector:
            attempt += f" that match {label_selector!r}"
        query: Query = {"labelSelector": label_selector, "fieldSelector": field_selector}
        size, seen = PAGE_SIZE, set[int]()
        while True:
            query |= {"limit": str(size)}
            try:
                page = self._read(Request("GET", resource.path(namespace), attempt, query))
            except _TooLongError:
                if size == 1:
                    raise
                size = max(1, size // 8)
                continue
            items, metadata = page.get("items") or [], page.get("metadata") or {}
            is_page = isinstance(items, list) and isinstance(metadata, dict)
            token = (metadata.get("continue") or "") if is_page else None
            if not isinstance(token, str) or not all(map(_is_object, items)):
                raise _no_api_server(attempt)
            yield from items
            if not token:
                return
            if hash(token) in seen or len(seen) == _MAX_PAGES:
                raise ClusterError(
                    f"{attempt}: the API server repeats a page, or sends no last one"
                )
            seen.add(hash(token))
            query |= {"continue": token}

    def namespaces(self, label_selector: str | None = None) -> Iterator[Namespace]:
        """Return the cluster's namespaces, or those that match *label_selector*."""
        return map(read_namespace, self.list(NAMESPACES, label_selector=label_selector))

    def apply(
        self,
        resource: Resource,
        manifest: Mapping[str, Any],
        *,
        force: bool = False,
        dry_run: bool = False,
    ) -> ApiResponse:
        """
        Apply *manifest* with server-side apply, as the field manager `regctl`.

        The response has status 201 if the object was created, else 200, and holds only its
        metadata. *force* takes over fields of other managers; without it FieldOwnedError is
        raised. If the manifest has a `resourceVersion` and the object has another one,
        ConflictError is raised.
        """
        metadata = manifest["metadata"]
        namespace, name = metadata.get("namespace"), metadata["name"]
        query = _change_query(dry_run) | {"force": "true" if force else None}
        return self._request(
            Request(
                "PATCH",
                resource.path(namespace, name),
                cannot("apply", resource, namespace, name),
                query,
                manifest,
                "application/apply-patch+yaml",
            )
        )

    def merge_patch(
        self,
        resource: Resource,
        namespace: str,
        name: str,
        patch: Mapping[str, Any],
        *,
        dry_run: bool = False,
    ) -> ApiResponse:
        """Change fields of an existing object (RFC 7396): None removes one, a list is replaced."""
        return self._request(
            Request(
                "PATCH",
                resource.path(namespace, name),
                cannot("change", resource, namespace, name),
                _change_query(dry_run),
                patch,
                "application/merge-patch+json",
            )
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
        Delete an object; return False if it does not exist.

        With *uid*, ConflictError is raised if the object was recreated and has another UID.
        """
        body: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1"}
        if uid is not None:
            body["preconditions"] = {"uid": uid}
        if dry_run:
            # The API server ignores the query of a DELETE that has a body.
            body["dryRun"] = ["All"]
        try:
            attempt = cannot("delete", resource, namespace, name)
            self._request(Request("DELETE", resource.path(namespace, name), attempt, body=body))
        except ObjectNotFoundError:
            return False
        return True

    def create(self, path: str, body: Mapping[str, Any], attempt: str) -> Any:
        """POST *body* to *path* and return the object: access reviews are asked this way."""
        return self._request(Request("POST", path, attempt, body=body)).body

    # One request

    def _read(self, request: Request) -> dict[str, Any]:
        body = self._request(request).body
        if not isinstance(body, dict):
            raise _no_api_server(request.attempt)
        return body

    def _request(self, request: Request) -> ApiResponse:
        """
        Send a request, retry it while that can help, and return the response.

        All requests of this module can be repeated: they read, apply, merge with a
        `resourceVersion`, delete by UID, or ask for a review.
        """
        deadline = self.clock() + self.timeout
        for attempt in attempts(self.backoff, self.pause, deadline=deadline, clock=self.clock):
            if self._given_up is not None:
                raise self._given_up
            failure: RegctlError
            try:
                response = self._send_authorized(request, deadline)
            except urllib3.exceptions.HTTPError as error:
                problem = _problem(error, self.server)
                failure = ClusterUnreachableError(
                    f"{request.attempt}: {problem.reason}", hint=problem.remedy.cluster
                )
                if problem.cause not in {"TLS", "no connection", "name", "proxy"}:
                    raise failure from error
            else:
                if response.status not in RETRIED_STATUSES:
                    self._useful_at = self.clock()
                    self._pass_warnings_on(response, request)
                    return _api_response(request, response)
                status = Status.parse(response.status, response.data, request.secrets)
                failure = status.error(request.attempt)
                seconds = retry_after(response.headers.get("Retry-After"))
                if seconds is not None:
                    # Jitter on top, so that all rejected clients do not return at once.
                    attempt.pause = seconds + self.backoff.uniform(0, 0.1 + seconds / 4)
            if attempt.last:
                if self.clock() + attempt.pause > self._useful_at + self.timeout:
                    self._given_up = failure
                raise failure
        raise ClusterUnreachableError(f"{request.attempt}: interrupted before another try")

    def _pass_warnings_on(self, response: _Reply, request: Request) -> None:
        for text in parse_warnings(", ".join(response.headers.getlist("Warning"))):
            shown = redact(text, request.secrets)
            with self._lock:
                is_new = shown not in self._warnings and len(self._warnings) < MAX_WARNINGS
                self._warnings |= {shown} if is_new else set()
            if is_new:
                self.on_warning(shown)

    def _send_authorized(self, request: Request, deadline: float) -> _Reply:
        """Send once; after a 401 connect again and send once more: the token may be expired."""
        connection = self._connection
        response = self._send(connection, request, deadline)
        if response.status != HTTPStatus.UNAUTHORIZED:
            return response
        with self._lock:
            # Only the first of the threads that got a 401 connects.
            if self._connection is connection:
                self._connection = self.kubeconfig.connect()
            connection = self._connection
        return self._send(connection, request, deadline)

    def _send(self, connection: Connection, request: Request, deadline: float) -> _Reply:
        """Send once and read the response to its end."""
        with self._lock:
            # The kubernetes package reads expired tokens again, but not in two threads at once.
            authorization = connection.headers()
        began = self.clock()
        left = max(1.0, deadline - began)
        url = connection.host + request.target
        status: int | None = None
        try:
            with (
                time_limit(left),
                connection.pool.request(
                    request.method,
                    url,
                    body=request.data,
                    headers={**request.headers, **authorization},
                    retries=False,
                    redirect=False,
                    preload_content=False,
                    timeout=urllib3.Timeout(connect=min(_CONNECT_SECONDS, left), read=left),
                ) as response,
            ):
                status, is_error = response.status, response.status >= HTTPStatus.MULTIPLE_CHOICES
                limit = MAX_ERROR_BYTES if is_error else _MAX_RESPONSE_BYTES
                data = read_body(response, limit, cut=is_error)
            if data is None:
                limit //= 1024 * 1024
                raise _TooLongError(f"{request.attempt}: the response is longer than {limit} MiB")
            return _Reply(status, response.headers, data)
        finally:
            self.on_request(RequestTrace(request.method, url, status, self.clock() - began))


def _change_query(dry_run: bool) -> Query:
    return {"fieldManager": FIELD_MANAGER, "dryRun": "All" if dry_run else None}


def _api_response(request: Request, response: _Reply) -> ApiResponse:
    """Return a good response; raise the error of any other."""
    if response.status == HTTPStatus.BAD_REQUEST and wants_tls(response.data):
        hint = REMEDIES["speaks HTTPS"].cluster
        raise ClusterError(f"{request.attempt}: the API server speaks HTTPS", hint=hint)
    if response.status >= 300:
        raise Status.parse(response.status, response.data, request.secrets).error(request.attempt)
    try:
        return ApiResponse(response.status, parse_json(response.data, source="the response"))
    except MalformedError:
        raise _no_api_server(request.attempt) from None


def _is_object(value: Any) -> bool:
    """Whether a value has what every object has: a name, and perhaps a namespace."""
    metadata = value.get("metadata") if isinstance(value, dict) else None
    return isinstance(metadata, dict) and all(
        isinstance(metadata.get(field, default), str)
        for field, default in (("name", None), ("namespace", ""))
    )


def _no_api_server(attempt: str) -> ClusterError:
    hint = REMEDIES["other server"].cluster
    return ClusterError(f"{attempt}: the server is not a Kubernetes API server", hint=hint)


def _problem(error: Exception, host: str) -> Problem:
    """Return why there is no response from *host*."""
    for cause in (error, error.__cause__, error.__context__, *error.args):
        if isinstance(cause, ssl.SSLError):
            return tls_problem(cause, host)
    if isinstance(error, urllib3.exceptions.LocationValueError):
        return Problem("other server", f"{host} is not the URL of a server")
    if isinstance(error, urllib3.exceptions.ProxyError):
        return Problem("proxy", f"no answer from {host}: the proxy refuses the connection")
    is_unknown = isinstance(error, urllib3.exceptions.NameResolutionError)
    cause = "name" if is_unknown else "no connection"
    return Problem(cause, f"no answer from {host}: {_reason(error)}")


def _reason(error: Exception) -> str:
    """Return in a few words why there is no answer."""
    if isinstance(error, urllib3.exceptions.NameResolutionError):
        return "its name does not resolve"
    # A NewConnectionError is a ConnectTimeoutError too, although nothing timed out.
    if type(error) in {urllib3.exceptions.ConnectTimeoutError, urllib3.exceptions.ReadTimeoutError}:
        return "timed out"
    for cause in (error.__cause__, error.__context__, *error.args):
        if isinstance(cause, OSError) and cause.strerror:
            return cause.strerror.lower()
    return "the connection was closed"

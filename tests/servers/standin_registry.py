"""
A small registry of our own on a real port, for faults that no real server has.

It answers as the distribution specification says. A `script` may answer first: so a test makes it
faulty. Every request is recorded.
"""

import base64
import hashlib
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"


@dataclass(frozen=True)
class Request:
    """What a client sent; names of headers are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """
    What to send back; *hang_up* closes the connection after it.

    With a `Content-Length` that is larger than the body, that is a truncated download.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    hang_up: bool = False

    @classmethod
    def of(
        cls, document: object, status: int = 200, headers: dict[str, str] | None = None
    ) -> "Answer":
        """Return an answer with a JSON body."""
        named = {"Content-Type": "application/json", **(headers or {})}
        return cls(status, json.dumps(document).encode(), named)


Script = Callable[[Request], "Answer | None"]


@dataclass(frozen=True)
class Manifest:
    """What a tag or digest refers to."""

    body: bytes
    media_type: str = MANIFEST_TYPE

    @property
    def digest(self) -> str:
        """The digest of its content."""
        return digest_of(self.body)


def digest_of(data: bytes) -> str:
    """Return the digest of some content."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def in_turn(*answers: Answer) -> Script:
    """Return a script with these answers, one a request; after them the registry answers."""
    rest = iter(answers)
    return lambda _request: next(rest, None)


@dataclass
class StandinRegistry:
    """
    The state of the registry, which tests read and change.

    *tags* has the tags of each repository. `put_image` fills *manifests*, by repository and then by
    tag or digest, and *blobs*, by digest. *allows* decides about user and password; without it
    there is no authentication.
    """

    tags: dict[str, list[str]] = field(default_factory=dict)
    manifests: dict[str, dict[str, Manifest]] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    allows: Callable[[str, str], bool] | None = None
    script: Script | None = None
    page: int = 100
    requests: list[Request] = field(default_factory=list)
    host: str = ""

    @property
    def url(self) -> str:
        """Its URL, without a path."""
        return f"http://{self.host}"

    def put_image(self, repository: str, tag: str, *layers: bytes) -> str:
        """Add a small OCI image; return its digest."""
        diff_ids = [digest_of(layer) for layer in layers]
        config = {
            "architecture": "amd64",
            "os": "linux",
            "created": "2026-01-02T03:04:05Z",
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        }
        document = {
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": self._put_blob(json.dumps(config).encode(), CONFIG_TYPE),
            "layers": [self._put_blob(layer, LAYER_TYPE) for layer in layers],
        }
        return self.put_manifest(repository, tag, Manifest(json.dumps(document).encode()))

    def put_manifest(self, repository: str, tag: str, manifest: Manifest) -> str:
        """Add a manifest as it is; return its digest."""
        tags = self.tags.setdefault(repository, [])
        if tag not in tags:
            tags.append(tag)
        by_reference = self.manifests.setdefault(repository, {})
        by_reference[tag] = by_reference[manifest.digest] = manifest
        return manifest.digest

    def _put_blob(self, data: bytes, media_type: str) -> dict[str, object]:
        digest = digest_of(data)
        self.blobs[digest] = data
        return {"mediaType": media_type, "size": len(data), "digest": digest}

    def answer(self, request: Request) -> Answer:
        """Return the answer to one request."""
        self.requests.append(request)
        if self.script is not None and (scripted := self.script(request)) is not None:
            return scripted
        if self.allows is not None and not self._is_allowed(request):
            return Answer.of(
                {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]},
                401,
                {"WWW-Authenticate": 'Basic realm="stand-in"'},
            )
        if request.path in {"/v2", "/v2/"}:
            return Answer.of({})
        if request.path == "/v2/_catalog":
            return self._page(request, "repositories", sorted(self.tags))
        return self._read(request)

    def _read(self, request: Request) -> Answer:
        """Answer `/v2/REPOSITORY/KIND/REFERENCE`."""
        rest, _, reference = request.path.removeprefix("/v2/").rpartition("/")
        name, _, kind = rest.rpartition("/")
        if name not in self.tags:
            return _unknown("NAME_UNKNOWN")
        if kind == "tags":
            return self._page(request, "tags", sorted(self.tags[name]), name=name)
        if kind == "manifests" and (manifest := self.manifests.get(name, {}).get(reference)):
            return _content(manifest.body, manifest.media_type)
        if kind == "blobs" and (blob := self.blobs.get(reference)) is not None:
            return _content(blob, "application/octet-stream")
        return _unknown("MANIFEST_UNKNOWN" if kind == "manifests" else "BLOB_UNKNOWN")

    def _is_allowed(self, request: Request) -> bool:
        scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "basic" or self.allows is None:
            return False
        user, _, password = base64.b64decode(encoded).decode().partition(":")
        return self.allows(user, password)

    def _page(self, request: Request, key: str, names: list[str], **more: str) -> Answer:
        size = min(int(request.query.get("n", self.page)), self.page)
        rest = [name for name in names if name > request.query.get("last", "")]
        shown = rest[:size]
        headers = {}
        if len(rest) > size:
            headers["Link"] = f'<{request.path}?last={shown[-1]}&n={size}>; rel="next"'
        return Answer.of({**more, key: shown}, headers=headers)


def _unknown(code: str) -> Answer:
    return Answer.of({"errors": [{"code": code, "message": "no such thing"}]}, 404)


def _content(body: bytes, media_type: str) -> Answer:
    digest = digest_of(body)
    return Answer(200, body, {"Content-Type": media_type, "Docker-Content-Digest": digest})


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_arguments: object) -> None:
        """Ignore clients that hang up; raise anything else, which is a fault of a test."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            raise  # noqa: PLE0704 - called while the error is handled


@contextmanager
def standin_registry(state: StandinRegistry | None = None) -> Iterator[StandinRegistry]:
    """Serve *state* on a loopback port during the block."""
    served = state or StandinRegistry()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else 40 ms pass between head and body

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            parts = urlsplit(self.path)
            answer = served.answer(
                Request(
                    self.command,
                    parts.path,
                    {name: values[-1] for name, values in parse_qs(parts.query).items()},
                    {name.lower(): value for name, value in self.headers.items()},
                    self.rfile.read(length),
                )
            )
            self.send_response_only(answer.status)
            if "Date" not in answer.headers:
                self.send_header("Date", self.date_time_string())
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if not any(name.lower() == "content-length" for name in answer.headers):
                self.send_header("Content-Length", str(len(answer.body)))
            if answer.hang_up:
                self.send_header("Connection", "close")  # which http.server then does
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - the names that http.server calls

        def log_message(self, *_arguments: object) -> None:
            """Write nothing: `requests` is the log."""

    with _Server(("127.0.0.1", 0), Handler) as server:
        served.host = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()

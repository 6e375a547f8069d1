"""
A small registry of our own on a real port: for what no real server can be had for, and for faults.

It answers as the distribution specification asks; a `script` may answer first, which is how a test
makes it misbehave. Every request is recorded.
"""

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"


@dataclass(frozen=True)
class Request:
    """What a client sent; header names are in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """What to send back."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls, document: object, status: int = 200, headers: dict[str, str] | None = None
    ) -> "Answer":
        """Answer with JSON."""
        named = {"Content-Type": "application/json", **(headers or {})}
        return cls(status, json.dumps(document).encode(), named)


Script = Callable[[Request], "Answer | None"]


@dataclass
class StandinRegistry:
    """
    The state that tests look at and change.

    *tags* gives each repository's tags; *allows* decides on user and password, None lets all in.
    """

    tags: dict[str, list[str]] = field(default_factory=dict)
    allows: Callable[[str, str], bool] | None = None
    script: Script | None = None
    page: int = 100
    requests: list[Request] = field(default_factory=list)
    host: str = ""

    @property
    def url(self) -> str:
        """Its origin."""
        return f"http://{self.host}"

    def answer(self, request: Request) -> Answer:
        """Decide what one request gets."""
        self.requests.append(request)
        if self.script is not None and (scripted := self.script(request)) is not None:
            return scripted
        if self.allows is not None and not self._let_in(request):
            return Answer.of(
                {"errors": [{"code": "UNAUTHORIZED", "message": "authentication required"}]},
                401,
                {"WWW-Authenticate": 'Basic realm="stand-in"'},
            )
        if request.path in {"/v2", "/v2/"}:
            return Answer.of({})
        if request.path == "/v2/_catalog":
            return self._page(request, "repositories", sorted(self.tags))
        name, _, tail = request.path.removeprefix("/v2/").rpartition("/tags/")
        if tail == "list" and name in self.tags:
            return self._page(request, "tags", sorted(self.tags[name]), name=name)
        return Answer.of({"errors": [{"code": "NAME_UNKNOWN", "message": "no such thing"}]}, 404)

    def _let_in(self, request: Request) -> bool:
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


@contextmanager
def standin_registry(state: StandinRegistry | None = None) -> Iterator[StandinRegistry]:
    """Serve *state* on a loopback port for the length of the block."""
    served = state or StandinRegistry()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

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
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if not any(name.lower() == "content-length" for name in answer.headers):
                self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _serve  # noqa: N815 - the names that http.server calls

        def log_message(self, *_arguments: object) -> None:
            """Keep quiet: `requests` is the log."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        served.host = f"127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()

"""
A stand-in for an API server, with faults that a real one does not have.

It keeps Secrets in memory, answers as scripted, and records the requests.
"""

import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass(frozen=True)
class Fault:
    """A scripted answer; status 0 resets the connection."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""


RESET = Fault(0)


@dataclass
class StandinApi:
    """The requests so far, the Secrets, and the faults that are answered next."""

    url: str = ""
    faults: deque[Fault] = field(default_factory=deque)
    requests: list[tuple[str, str]] = field(default_factory=list)
    secrets: dict[str, dict[str, object]] = field(default_factory=dict)
    before: Callable[[str, str], None] = lambda _method, _path: None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)

    def kubeconfig(self, path: Path) -> Path:
        """Write and return a kubeconfig for this server."""
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "x",
            "clusters": [{"name": "x", "cluster": {"server": self.url}}],
            "users": [{"name": "x", "user": {"token": "token-of-standin"}}],
            "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
        }
        path.write_text(json.dumps(document))
        return path


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: StandinApi

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Print nothing."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = self.path.partition("?")[0]
        self.api.before(self.command, path)
        with self.api.lock:
            self.api.requests.append((self.command, path))
            fault = self.api.faults.popleft() if self.api.faults else None
            if fault is None:
                self._answer_from_store(path, body)
                return
        if fault.status == 0:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True
            return
        self._send(fault.status, fault.body, fault.headers)

    def _answer_from_store(self, path: str, body: bytes) -> None:
        if self.command == "PATCH":
            status = 200 if path in self.api.secrets else 201
            self.api.secrets[path] = json.loads(body)
            self._send(status, json.dumps({"metadata": {"resourceVersion": "1"}}))
        elif path in self.api.secrets:
            self._send(200, json.dumps(self.api.secrets[path]))
        else:
            absent = {"kind": "Status", "reason": "NotFound", "details": {"kind": "secrets"}}
            self._send(404, json.dumps(absent))

    def _send(self, status: int, body: str, headers: dict[str, str] | None = None) -> None:
        data = body.encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_GET = do_PATCH = do_DELETE = do_POST = _answer  # noqa: N815 - names of the base class


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore a client that disconnected: some tests do that on purpose."""


@contextmanager
def standin_api() -> Iterator[StandinApi]:
    """Run a stand-in on a loopback port."""
    api = StandinApi()
    handler = type("Handler", (_Handler,), {"api": api})
    with _Server(("127.0.0.1", 0), handler) as server:
        api.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()

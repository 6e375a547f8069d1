"""
A stand-in for an API server: where no real one can be had, and for faults that no real one has.

It keeps objects in memory, answers as scripted, and records the requests.
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
from urllib.parse import parse_qsl, urlsplit

from tests.servers.kubernetes import Api
from tests.servers.object_store import ObjectStore


@dataclass(frozen=True)
class Fault:
    """A scripted answer; status 0 resets the connection."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: str = ""


RESET = Fault(0)


@dataclass
class StandinApi(Api):
    """The requests so far, the objects, and the faults that are answered next."""

    faults: deque[Fault] = field(default_factory=deque)
    requests: list[tuple[str, str]] = field(default_factory=list)
    store: ObjectStore = field(default_factory=ObjectStore)
    before: Callable[[str, str], None] = lambda _method, _path: None
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else 40 ms pass between head and body
    api: StandinApi

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Print nothing."""

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        self.api.before(self.command, url.path)
        with self.api.lock:
            self.api.requests.append((self.command, url.path))
            fault = self.api.faults.popleft() if self.api.faults else None
            if fault is None:
                status, answer = self.api.store.answer(
                    self.command,
                    url.path,
                    dict(parse_qsl(url.query)),
                    json.loads(body or b"{}"),
                    self.headers.get("Content-Type", ""),
                )
                fault = Fault(status, body=json.dumps(answer))
        if fault.status == 0:
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True
            return
        self._send(fault)

    def _send(self, answer: Fault) -> None:
        data = answer.body.encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
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
def standin_api(folder: Path) -> Iterator[StandinApi]:
    """Run a stand-in on a loopback port; its kubeconfig is in *folder*."""
    folder.mkdir(parents=True, exist_ok=True)

    class Handler(_Handler):
        pass

    with _Server(("127.0.0.1", 0), Handler) as server:
        api = Handler.api = StandinApi(f"http://127.0.0.1:{server.server_address[1]}", folder)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield api
        finally:
            server.shutdown()
            thread.join()

"""A server on a real port that sends whatever a test says, valid HTTP or not, fast or slowly."""

import json
import socket
import socketserver
import ssl
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers.certificates import Certificate
from tests.servers.kubernetes import Api

OK = b"HTTP/1.1 200 OK\r\nConnection: close\r\n"
MIB = 1024 * 1024

Respond = Callable[[bytes], Iterable[bytes]]
"""Takes the head of a request and returns the pieces to send, the headers included."""


@dataclass
class HostileServer:
    """Its address, and the first line of each request so far."""

    host: str
    requests: list[bytes] = field(default_factory=list)

    def kubeconfig(self, folder: Path) -> Path:
        """Write and return a kubeconfig for which it is the API server."""
        return Api(f"http://{self.host}", folder).kubeconfig


def document(value: object, headers: bytes = b"", status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """Return a whole response with a JSON body."""
    return whole(json.dumps(value).encode(), headers, status)


def whole(body: bytes, headers: bytes = b"", status: bytes = b"HTTP/1.1 200 OK") -> bytes:
    """Return a whole response."""
    length = b"Connection: close\r\nContent-Length: %d" % len(body)
    return b"%s\r\n%s\r\n%s\r\n%s" % (status, length, headers, body)


@contextmanager
def hostile_server(
    respond: Respond, *, pause: float = 0.0, certificate: Certificate | None = None
) -> Iterator[HostileServer]:
    """
    Send the pieces of *respond* for each connection during the block, with a *pause* after each.

    One connection is one request, over TLS with a *certificate*. The server stops when the client
    closes, or the block ends.
    """
    ended = threading.Event()
    context: ssl.SSLContext | None = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.chain, certificate.key)

    def secured(plain: socket.socket) -> socket.socket:
        return context.wrap_socket(plain, server_side=True) if context else plain

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError), secured(self.request) as connection:
                head = _head(connection)
                state.requests.append(head.partition(b"\r\n")[0])
                for piece in respond(head):
                    connection.sendall(piece)
                    if ended.wait(pause) if pause else ended.is_set():
                        return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        state = HostileServer(f"127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield state
        finally:
            ended.set()
            server.shutdown()
            thread.join()


def _head(connection: socket.socket) -> bytes:
    """Return the request up to its blank line, or the first piece of what is not HTTP."""
    head = b""
    while b"\r\n\r\n" not in head:
        piece = connection.recv(65536)
        head += piece
        if not piece or not head[:1].isalpha():
            break
    return head

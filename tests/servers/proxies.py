"""Two proxies: one for HTTPS (CONNECT), and one that cuts connections as a bad network does."""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

Limit = Callable[[int], "int | None"]


@dataclass
class Tunnel:
    """An HTTP proxy at *url*; *heads* are the CONNECT requests that it got."""

    url: str = ""
    heads: list[bytes] = field(default_factory=list)


@contextmanager
def tunnel(target: Callable[[], str]) -> Iterator[Tunnel]:
    """
    Run an HTTP proxy that connects any name to one server.

    *target* returns the server as HOST:PORT; it is called for each connection.
    """
    proxy = Tunnel()

    def handle(client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head and (data := client.recv(65536)):
            head += data
        proxy.heads.append(head)
        with _connect(target()) as server:
            client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            _relay(client, server)

    with _serve(handle) as host:
        proxy.url = f"http://{host}"
        yield proxy


@dataclass
class CuttingProxy:
    """A TCP proxy at *host* that cuts a connection after each number of sent bytes in *cuts*."""

    cuts: list[int]
    host: str = ""
    sent: int = 0
    done: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def limit(self, count: int) -> int | None:
        """Count bytes to send; return how many to send before a cut, or None for all."""
        with self.lock:
            if self.cuts and self.sent + count > self.cuts[0]:
                allowed = self.cuts[0] - self.sent
                self.done.append(self.cuts.pop(0))
                self.sent += allowed
                return allowed
            self.sent += count
            return None


@contextmanager
def cutting_proxy(upstream: str, cuts: Sequence[int]) -> Iterator[CuttingProxy]:
    """Run a CuttingProxy in front of *upstream* (HOST:PORT)."""
    proxy = CuttingProxy(sorted(cuts))

    def handle(client: socket.socket) -> None:
        with _connect(upstream) as server:
            _relay(client, server, proxy.limit)

    with _serve(handle) as proxy.host:
        yield proxy


@contextmanager
def _serve(handle: Callable[[socket.socket], None]) -> Iterator[str]:
    """Call *handle* with each connection to a port, and yield the port as HOST:PORT."""

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            handle(self.request)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def _connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)))


def _relay(client: socket.socket, server: socket.socket, limit: Limit = lambda _: None) -> None:
    """
    Copy both ways until both sides have closed, or *limit* cuts what the client sends.

    The server sees a cut before the client does: it is done with what it got when the client
    connects again.
    """
    cut = threading.Event()

    def drop_after_cut(_count: int) -> int | None:
        return 0 if cut.is_set() else None

    back = threading.Thread(target=_copy, args=(server, client, drop_after_cut), daemon=True)
    back.start()
    if _copy(client, server, limit):
        cut.set()
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_WR)
        back.join()
        with contextlib.suppress(OSError):
            while server.recv(65536):
                pass
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
    back.join()


def _copy(source: socket.socket, target: socket.socket, limit: Limit = lambda _: None) -> bool:
    """Copy until *source* closes; return whether *limit* ended it before that."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            allowed = limit(len(data))
            target.sendall(data[:allowed])
            if allowed is not None:
                return True
        target.shutdown(socket.SHUT_WR)
    return False

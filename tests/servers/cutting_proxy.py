"""A TCP proxy that cuts connections: what a bad network does to an upload."""

import contextlib
import socket
import socketserver
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class CuttingProxy:
    """A proxy at *host*; it cuts once after each number of bytes to the server in *cuts*."""

    host: str
    cuts: list[int]
    passed: int = 0
    done: list[int] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def allowed(self, count: int) -> int | None:
        """Count bytes on their way; return how many of them pass before a cut, None for all."""
        with self.lock:
            if self.cuts and self.passed + count > self.cuts[0]:
                passing = self.cuts[0] - self.passed
                self.done.append(self.cuts.pop(0))
                self.passed += passing
                return passing
            self.passed += count
            return None


@contextmanager
def cutting_proxy(upstream: str, cuts: Sequence[int]) -> Iterator[CuttingProxy]:
    """Run one in front of *upstream* (HOST:PORT)."""
    host, _, port = upstream.rpartition(":")

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((host, int(port))) as server:
                back = threading.Thread(target=_copy, args=(server, self.request), daemon=True)
                back.start()
                with contextlib.suppress(OSError):
                    while data := self.request.recv(65536):
                        passing = proxy.allowed(len(data))
                        server.sendall(data[:passing])
                        if passing is not None:
                            break
                for one in (server, self.request):
                    with contextlib.suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)
                back.join()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        proxy = CuttingProxy(f"127.0.0.1:{server.server_address[1]}", sorted(cuts))
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            server.shutdown()
            thread.join()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)

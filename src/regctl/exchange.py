"""
The limits of one exchange with a server: when it ends, and how much of its body is read.

A socket's own timeout is for one piece, so a server that sends a byte a second would hold a client
forever. Here each piece gets the time that is left for the whole exchange.
"""

import http.client
import io
import math
import socket
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from urllib3.exceptions import DecodeError, ProtocolError

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse, HTTPConnectionPool, PoolManager

MAX_ERROR_BYTES = 64 * 1024
"""How much is read of a body that is read for its words only."""

_PIECE_BYTES = 16 * 1024  # one record of TLS
_READ_BYTES = 64 * 1024
_LEAST_RATE = 1024  # bytes per second
_ANY_FORMAT = 32 + zlib.MAX_WBITS  # zlib's number for gzip or deflate, as the header says


class _Deadline:
    """The end of an exchange; that of a transfer moves on as long as enough bytes pass."""

    def __init__(self, seconds: float, *, is_transfer: bool) -> None:
        self._seconds = seconds
        self._quota = _LEAST_RATE * seconds if is_transfer else math.inf
        self._restart()

    def _restart(self) -> None:
        self._end, self._carried = time.monotonic() + self._seconds, 0

    def begin_response(self) -> None:
        """Give the server the whole time again to answer a transfer."""
        if self._quota < math.inf:
            self._restart()

    def limit(self, sock: socket.socket) -> None:
        """Give the next call of *sock* the time that is left. Raises TimeoutError."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        sock.settimeout(left)

    def count(self, size: int) -> None:
        """Count the bytes that passed."""
        self._carried += size
        if self._carried >= self._quota:
            self._restart()


_current: ContextVar[_Deadline | None] = ContextVar("deadline", default=None)


@contextmanager
def time_limit(seconds: float, *, is_transfer: bool = False) -> Iterator[None]:
    """
    End the requests of this block after *seconds*, with TimeoutError or an error that wraps it.

    Connections must be of a manager that `limit_connections` prepared. Inside of another such
    block, the limit of that one counts. A transfer has no end as long as it carries 1 KiB/s on
    average in each *seconds*.
    """
    if _current.get() is not None:
        yield
        return
    token = _current.set(_Deadline(seconds, is_transfer=is_transfer))
    try:
        yield
    finally:
        _current.reset(token)


def limit_connections(
    manager: "PoolManager", check_peer: Callable[[str], object] = lambda _address: None
) -> None:
    """
    Let the connections of *manager* end when `time_limit` says.

    *check_peer* gets the address of each new connection before a request is sent on it.
    """
    pools: dict[str, Any] = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {
        scheme: pool if hasattr(pool.ConnectionCls, "check_peer") else _limited(pool, check_peer)
        for scheme, pool in pools.items()
    }


def _limited(pool: Any, check_peer: Callable[[str], object]) -> "type[HTTPConnectionPool]":
    bases, checked = (_LimitedConnection, pool.ConnectionCls), staticmethod(check_peer)
    connection = type("LimitedConnection", bases, {"check_peer": checked})
    return type("LimitedPool", (pool,), {"ConnectionCls": connection})


class _LimitedReader(io.RawIOBase):
    """What http.client reads a response from."""

    def __init__(self, sock: socket.socket, deadline: _Deadline) -> None:
        self._sock, self._deadline = sock, deadline
        self._raw = sock.makefile("rb", buffering=0)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._deadline.limit(self._sock)
        size: int | None = self._raw.readinto(buffer)
        self._deadline.count(size or 0)
        return size

    def close(self) -> None:
        self._raw.close()
        super().close()


class _LimitedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        if deadline := _current.get():
            deadline.begin_response()
            self.fp.close()
            self.fp = io.BufferedReader(_LimitedReader(sock, deadline))


class _LimitedConnection(http.client.HTTPConnection):
    response_class = _LimitedResponse
    check_peer: Callable[[str], object]

    def connect(self) -> None:
        super().connect()
        self.check_peer(self.sock.getpeername()[0])

    def send(self, data: Any) -> None:
        deadline = _current.get()
        if deadline is None or not isinstance(data, bytes):
            super().send(data)
            return
        if self.sock is None:
            self.connect()
        for start in range(0, len(data), _PIECE_BYTES):
            piece = data[start : start + _PIECE_BYTES]
            deadline.limit(self.sock)
            super().send(piece)
            deadline.count(len(piece))


def read_body(response: "BaseHTTPResponse", limit: int, *, cut: bool = False) -> bytes | None:
    """
    Return the whole body, decompressed, or None if it has more than *limit* bytes.

    With *cut* return the first *limit* bytes of a longer one. Raises urllib3's HTTPError, also if
    the body is not compressed as its header says.
    """
    pieces = response.stream(_READ_BYTES, decode_content=False)
    encoding = response.headers.get("Content-Encoding", "").strip().lower()
    if encoding in {"gzip", "x-gzip", "deflate"}:
        pieces = _decompress(pieces)
    body = bytearray()
    try:
        for piece in pieces:
            body += piece
            if len(body) > limit:
                return bytes(body[:limit]) if cut else None
    except zlib.error as error:
        raise DecodeError(str(error)) from error
    except ValueError as error:  # a chunk with a negative size
        raise ProtocolError(str(error)) from error
    return bytes(body)


def _decompress(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Decompress in pieces of at most 64 KiB: a few bytes never become gigabytes in memory."""
    decoder, is_empty = zlib.decompressobj(_ANY_FORMAT), True
    for piece in pieces:
        data = piece
        while data:
            if decoder.eof:
                # RFC 1952, section 2.2: another member may follow.
                decoder = zlib.decompressobj(_ANY_FORMAT)
            is_empty = False
            yield decoder.decompress(data, _READ_BYTES)
            data = decoder.unconsumed_tail or decoder.unused_data
    if not is_empty and not decoder.eof:
        raise zlib.error("the end is missing")

"""Subscribers: sockets that listen and count bytes."""

from __future__ import annotations

import base64
import socket
import struct
from collections.abc import Callable, Sequence
from time import perf_counter

from bench.loop import Loop

_BUFFER = bytearray(4 << 20)
#: With it the kernel throws away what it counts, so that reading costs no copy.
_COUNT = socket.MSG_TRUNC
#: Sockets from one address of this machine; beyond it the ports would run short.
_PER_ADDRESS = 2_000
#: Connections being opened at a time; a listen queue holds about that many.
_OPENING = 1_000

#: Bytes of the smallest event; what is less is a ping, and whoever is silent on it is gone.
_LEAST = 128
#: An empty pong, masked.
_PONG = struct.pack("!BBI", 0x8A, 0x80, 0)

_CALL = b'{"action":"call","body":[{"id":"1","name":"bench.none","args":[]}]}'


class Crowd:
    """Clients that have subscribed to tasks and links.

    Args:
        query: goes into the socket's URL: ``"since=7"``.
    """

    def __init__(self, loop: Loop, port: int, size: int, query: str = "") -> None:
        self.total = 0
        #: Bytes that came before the sockets were open: replays above all.
        self.greetings = 0
        self.sockets: list[socket.socket] = []
        self._loop = loop
        self._port = port
        self._query = query
        self._size = size
        self._begun = 0
        for _ in range(min(size, _OPENING)):
            self._open()
        loop.run(lambda: len(self.sockets) == size, 120)

    def receive(self, size: int, seconds: float) -> float:
        """Serve until so many bytes have come in all; returns when that was."""
        self._loop.run(lambda: self.total >= size, seconds)
        return perf_counter()

    def close(self) -> None:
        for sock in self.sockets:
            self._loop.forget(sock)
            sock.close()

    def _open(self) -> None:
        sock = socket.socket()
        sock.bind((f"127.0.0.{1 + self._begun // _PER_ADDRESS}", 0))
        sock.connect(("127.0.0.1", self._port))
        self._begun += 1
        Opening(self._loop, sock, self._query, lambda size: self._opened(sock, size))

    def _opened(self, sock: socket.socket, size: int) -> None:
        self.greetings += size
        self.sockets.append(sock)
        self._count(sock)
        if self._begun < self._size:
            self._open()

    def _count(self, sock: socket.socket) -> None:
        receive = sock.recv_into

        def readable() -> None:
            size = receive(_BUFFER, 0, _COUNT)
            if not size:
                raise ConnectionError("a subscriber was thrown out")
            self.total += size
            if size < _LEAST:
                sock.send(_PONG)

        self._loop.watch(sock, readable)


class Arrivals:
    """When the last of a crowd had its k-th event; all events are of one size."""

    def __init__(self, loop: Loop, sockets: Sequence[socket.socket], event: int) -> None:
        self.times: list[float] = []
        self._event = event
        self._missing: list[int] = []
        self._all = len(sockets)
        for sock in sockets:
            loop.watch(sock, self._counter(sock))

    def _counter(self, sock: socket.socket) -> Callable[[], None]:
        receive, event = sock.recv_into, self._event
        total = events = 0

        def readable() -> None:
            nonlocal total, events
            total += receive(_BUFFER, 0, _COUNT)
            while (events + 1) * event <= total:
                self._had(events)
                events += 1

        return readable

    def _had(self, number: int) -> None:
        if number == len(self._missing):
            self._missing.append(self._all)
        self._missing[number] -= 1
        if not self._missing[number]:
            self.times.append(perf_counter())


class Opening:
    """A socket on its way: upgrade, subscribe, and a call whose result says that all
    before it has been heard. A replay comes before that result."""

    def __init__(
        self, loop: Loop, sock: socket.socket, query: str, opened: Callable[[int], None]
    ) -> None:
        self._loop, self._socket, self._opened = loop, sock, opened
        self._tail = b""
        self._total = 0
        sock.setblocking(False)
        loop.watch(sock, self._upgraded)
        sock.send(
            b"GET /api/v1?%s&token=token&ws=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: %s\r\n\r\n" % (query.encode(), base64.b64encode(bytes(16)))
        )

    def _upgraded(self) -> None:
        self._receive()
        if b"\r\n\r\n" not in self._tail:
            return
        if not self._tail.startswith(b"HTTP/1.1 101"):
            raise RuntimeError(f"unexpected answer: {self._tail[:500]!r}")
        self._loop.watch(self._socket, self._subscribed)
        subscribe = [b'{"action":"subscribe","name":"%s"}' % n for n in (b"tasks", b"links")]
        self._socket.send(b"".join(masked(text) for text in [*subscribe, _CALL]))

    def _subscribed(self) -> None:
        self._receive()
        if b'"result"' in self._tail:
            self._opened(self._total)

    def _receive(self) -> None:
        received = self._socket.recv(1 << 18)
        if not received:
            raise ConnectionError("a subscriber was turned away")
        self._total += len(received)
        self._tail = self._tail[-1024:] + received


def masked(text: bytes) -> bytes:
    """A text frame as a client sends it, under the mask that changes nothing."""
    assert len(text) < 126
    return struct.pack("!BBI", 0x81, 0x80 | len(text), 0) + text

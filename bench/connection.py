"""An HTTP connection of the load client: one request at a time, kept alive."""

from __future__ import annotations

import socket
from collections.abc import Callable
from time import perf_counter

from bench.loop import Loop

_BUFFER = bytearray(1 << 20)
_VIEW = memoryview(_BUFFER)

#: Told the answer's body, or its first MiB, and the seconds it took.
Answered = Callable[[bytes, float], None]


class Connection:
    """Sends requests, and takes in their answers without looking at more than the head."""

    def __init__(self, loop: Loop, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self._loop = loop
        loop.watch(self.socket, self._head)

    def send(self, request: bytes, answered: Answered, status: bytes = b"200") -> None:
        self._answered, self._status = answered, status
        self._start = perf_counter()
        self.socket.send(request)

    def fetch(self, request: bytes, status: bytes = b"200") -> tuple[bytes, float]:
        """Send, wait for the answer and return it with the seconds it took."""
        answers: list[tuple[bytes, float]] = []
        self.send(request, lambda body, seconds: answers.append((body, seconds)), status)
        self._loop.run(lambda: bool(answers), 30)
        return answers[0]

    def close(self) -> None:
        self._loop.forget(self.socket)
        self.socket.close()

    def _head(self) -> None:
        size = self.socket.recv_into(_BUFFER)
        received = bytes(_VIEW[:size])
        head, _, body = received.partition(b"\r\n\r\n")
        if head[9:12] != self._status:
            raise RuntimeError(f"unexpected answer: {received[:500]!r}")
        at = head.find(b"Content-Length: ")
        length = int(head[at + 16 :].split(b"\r", 1)[0]) if at >= 0 else 0
        self._missing = length - len(body)
        self._body = body
        if self._missing:
            self._loop.watch(self.socket, self._rest)
        else:
            self._answered(body, perf_counter() - self._start)

    def _rest(self) -> None:
        # What does not fit a buffer is counted and thrown away by the kernel.
        if len(self._body) < 1 << 20:
            received = self.socket.recv_into(_BUFFER)
            self._body += _VIEW[:received]
        else:
            received = self.socket.recv_into(_BUFFER, 0, socket.MSG_TRUNC)
        if not received:
            raise ConnectionError("the server hung up")
        self._missing -= received
        if not self._missing:
            self._loop.watch(self.socket, self._head)
            self._answered(self._body, perf_counter() - self._start)

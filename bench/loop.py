"""The load client's loop: one thread that waits for sockets and for the clock."""

from __future__ import annotations

import heapq
import itertools
import select
import socket
from collections.abc import Callable
from time import perf_counter

#: Sockets served between two looks at the clock.
_AT_ONCE = 512


class Loop:
    """Calls back who waits for a socket or for a time (``time.perf_counter``)."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._readable: dict[int, Callable[[], None]] = {}
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._ties = itertools.count()

    def watch(self, sock: socket.socket, readable: Callable[[], None]) -> None:
        """Call ``readable`` whenever the socket is; a second time replaces the first."""
        if sock.fileno() not in self._readable:
            self._poll.register(sock, select.EPOLLIN)
        self._readable[sock.fileno()] = readable

    def forget(self, sock: socket.socket) -> None:
        if self._readable.pop(sock.fileno(), None):
            self._poll.unregister(sock)

    def at(self, when: float, callback: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (when, next(self._ties), callback))

    def run(self, done: Callable[[], bool], seconds: float) -> None:
        """Serve until ``done()``.

        Raises:
            TimeoutError: it is not within ``seconds``.
        """
        now = perf_counter()
        end = now + seconds
        while not done():
            if now > end:
                raise TimeoutError(f"not done in {seconds} s")
            while self._timers and self._timers[0][0] <= now:
                heapq.heappop(self._timers)[2]()
            soonest = min(end, self._timers[0][0]) if self._timers else end
            for fd, _ in self._poll.poll(max(0.0, soonest - perf_counter()), _AT_ONCE):
                if readable := self._readable.get(fd):
                    readable()
            now = perf_counter()

    def sleep(self, seconds: float) -> None:
        """Serve for a while."""
        end = perf_counter() + seconds
        self.at(end, lambda: None)
        self.run(lambda: perf_counter() >= end, seconds + 1)

    def close(self) -> None:
        self._poll.close()

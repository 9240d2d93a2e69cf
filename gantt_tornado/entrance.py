"""Letting in a few connections at a time.

After a restart all pages come back at once. Tornado accepts up to 128 connections in one
turn of the loop and begins with each of them, and whoever is inside already waits for all
that: with a thousand pages an edit took half a second.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import Any, Final

#: Connections that may come in during one turn of the loop.
AT_ONCE: Final = 4


class Entrance(socket.socket):
    """A listening socket that, after some, says that nobody is waiting.

    The loop looks again in its next turn.
    """

    _let_in = 0

    def accept(self) -> tuple[socket.socket, Any]:
        if self._let_in == AT_ONCE:
            self._let_in = 0
            raise BlockingIOError
        try:
            accepted = super().accept()
        except BlockingIOError:
            self._let_in = 0
            raise
        self._let_in += 1
        return accepted


def entrances(sockets: Iterable[socket.socket]) -> list[socket.socket]:
    """The same listening sockets, for ``HTTPServer.add_sockets``; the given ones are spent."""
    found: list[socket.socket] = []
    for each in sockets:
        entrance = Entrance(fileno=each.detach())
        entrance.setblocking(False)
        found.append(entrance)
    return found

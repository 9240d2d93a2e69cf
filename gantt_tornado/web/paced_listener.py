"""Letting in connections: a few at a time, and none that there is no room for.

After a restart all pages come back at once. Tornado accepts up to 128 connections in one
turn of the loop and begins with each of them, and whoever is inside already waits for all
that: with a thousand pages an edit took half a second.

Where descriptors run out, ``accept`` fails at once and for as long as somebody waits, so the
loop would do nothing but try again, and log each time. Some are kept for the database and
for files: whoever is inside goes on working while others wait outside.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import Any, Final

from tornado.ioloop import IOLoop

log = logging.getLogger(__name__)

#: Connections that may come in during one turn of the loop.
AT_ONCE: Final = 4
#: Seconds for which nobody is let in when there is no room.
PAUSE: Final = 0.25
#: Seconds without such a pause after which the next one is told again.
TOLD_AGAIN: Final = 60.0
#: Descriptors kept for others than connections; an eighth where the limit is low.
KEPT: Final = 32
#: No descriptors left: in this process, in the system; no memory for one.
_NO_ROOM: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class PacedListener(socket.socket):
    """A listening socket that, after some, says that nobody is waiting.

    The loop looks again in its next turn, or after a pause where there is no room.

    Attributes:
        patience: seconds after which a connection ends whose peer takes nothing of what it
            was sent, where the system can see to that.
    """

    patience = 75.0
    _let_in = 0
    #: The first descriptor that is not for connections.
    _limit = 0
    #: When there was last no room; None when that is long ago.
    _full: float | None = None

    def accept(self) -> tuple[socket.socket, Any]:
        if self._let_in == AT_ONCE:
            self._let_in = 0
            raise BlockingIOError
        try:
            self._check_room()
            accepted = super().accept()
        except BlockingIOError:
            self._let_in = 0
            raise
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            self._let_in = 0
            self._pause(error)
            raise BlockingIOError from error
        self._let_in += 1
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            with suppress(OSError):  # A Unix socket has no such option.
                milliseconds = int(self.patience * 1000)
                accepted[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        return accepted

    def _check_room(self) -> None:
        """Raises:
        OSError: the next descriptor is one of those that are kept.
        """
        # The system gives the lowest that is free.
        free = os.dup(self.fileno())
        os.close(free)
        if free >= self._limit:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    def _pause(self, error: OSError) -> None:
        loop = asyncio.get_running_loop()
        if self._full is None or loop.time() - self._full > TOLD_AGAIN:
            log.error("no connection is let in until others close: %s", error.strerror)
        self._full = loop.time()
        IOLoop.current().update_handler(self, 0)
        loop.call_later(PAUSE, self._resume)

    def _resume(self) -> None:
        if self.fileno() >= 0:
            IOLoop.current().update_handler(self, IOLoop.READ)


def paced_listeners(
    sockets: Iterable[socket.socket], patience: float = 75.0
) -> list[socket.socket]:
    """The same listening sockets, for ``HTTPServer.add_sockets``; the given ones are spent.

    ``patience`` is :attr:`PacedListener.patience`.
    """
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    found: list[socket.socket] = []
    for each in sockets:
        listener = PacedListener(fileno=each.detach())
        listener.setblocking(False)
        listener.patience = patience
        listener._limit = most - min(KEPT, most // 8)
        found.append(listener)
    return found


def raise_limit() -> None:
    """Let this process have as many descriptors as the system allows it: each connection
    takes one, and what a shell gives to start with is meant for programs without any."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A system may refuse what it says it allows.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

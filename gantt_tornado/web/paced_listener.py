"""Accepting connections: a few at a time, and only as many as there are descriptors for.

After a restart all pages reconnect at once. Tornado accepts up to 128 connections in one
iteration of the loop and starts to serve each of them, while clients that are connected
already wait: with a thousand pages an edit took half a second.

Without free descriptors, ``accept`` fails immediately for as long as a connection is pending, so
the loop would only try again, and log each time. Some descriptors are reserved for the
database and for files, so that connected clients are served while new ones wait.
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

#: Connections accepted in one iteration of the loop.
AT_ONCE: Final = 4
#: Seconds without accepting when there are no descriptors.
PAUSE: Final = 0.25
#: Seconds without such a pause after which the next one is logged again.
TOLD_AGAIN: Final = 60.0
#: Descriptors reserved for files and the database; an eighth of a low limit.
KEPT: Final = 32
#: No descriptors left: in this process, in the system; no memory for one.
_NO_ROOM: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class PacedListener(socket.socket):
    """A listening socket that reports no pending connection after it has accepted some.

    The loop tries again in its next iteration, or after a pause where there are no descriptors.

    Attributes:
        patience: seconds after which the system closes a connection whose peer acknowledges
            nothing, where it can (``TCP_USER_TIMEOUT``).
    """

    patience = 75.0
    _accepted = 0
    #: The first descriptor that is reserved.
    _limit = 0
    #: When descriptors last ran out, on the loop's clock; None for never.
    _full: float | None = None

    def accept(self) -> tuple[socket.socket, Any]:
        if self._accepted == AT_ONCE:
            self._accepted = 0
            raise BlockingIOError
        try:
            self._check_descriptors()
            accepted = super().accept()
        except BlockingIOError:
            self._accepted = 0
            raise
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            self._accepted = 0
            self._pause(error)
            raise BlockingIOError from error
        self._accepted += 1
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            with suppress(OSError):  # A Unix socket has no such option.
                milliseconds = int(self.patience * 1000)
                accepted[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        return accepted

    def _check_descriptors(self) -> None:
        """Raises:
        OSError: the next descriptor is a reserved one.
        """
        # The system returns the lowest free one.
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
    """The same listening sockets, for ``HTTPServer.add_sockets``; the given ones are detached.

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
    """Raise this process's limit of descriptors to what the system allows: each connection
    needs one, and a shell's default is too low for a server."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Some systems refuse the limit that they report.
    with suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))

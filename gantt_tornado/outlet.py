"""What goes out on one socket: straight to the kernel while nothing waits before it.

``IOStream.write`` makes a future and a copy for each frame, which costs as much as the
kernel's part of the send. Straight to the socket is safe as long as the stream holds no
bytes of its own: those of Tornado's pings and of earlier frames that the kernel did not
take. Lives on the loop.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sized
from typing import Any, Final

from tornado.iostream import IOStream, SSLIOStream

log = logging.getLogger(__name__)

#: Stands for a queue that is never empty.
_ALWAYS: Final = (None,)


class Outlet:
    """The way out on a stream. Nothing here raises, and nothing waits.

    Args:
        limit: bytes that may wait for the peer.
        too_slow: called when more wait.
    """

    __slots__ = ("_ended", "_limit", "_push", "_stream", "_too_slow", "_unsent", "_waiting")

    def __init__(self, stream: IOStream, limit: int, too_slow: Callable[[], None]) -> None:
        self._stream = stream
        self._limit = limit
        self._too_slow = too_slow
        self._unsent = 0
        self._ended = False
        # What the stream itself has still to write.
        self._waiting = _queue_of(stream)
        # A closed socket raises OSError.
        self._push = stream.socket.send

    def send(self, frames: bytes) -> None:
        """Send framed bytes."""
        # It is the innermost loop of the hub: no call, no argument and no look-up too much.
        sent = 0
        if not self._waiting:
            push = self._push
            try:
                sent = push(frames)
            except OSError as error:
                if not isinstance(error, BlockingIOError):
                    self._vanished(error)
                    return
            if sent == len(frames):
                return
        self._leave(memoryview(frames)[sent:], len(frames) - sent)

    def replay(self, frames: bytes) -> None:
        """Send what a page has missed. What waits of it does not count towards the limit:
        a page that was away for long is not slow."""
        self._leave(memoryview(frames), 0)

    def _vanished(self, error: OSError) -> None:
        log.debug("a client vanished: %s", error)
        self._stream.close()

    def end(self) -> None:
        """Send nothing more: the peer has been told goodbye."""
        self._ended = True
        self._waiting = _ALWAYS

    def _leave(self, rest: memoryview, counted: int) -> None:
        """Leave bytes to the stream, behind what waits there."""
        if self._ended or self._stream.closed():
            return
        self._unsent += counted
        self._stream.write(rest).add_done_callback(lambda _: self._written(counted))
        if self._unsent > self._limit:
            self._too_slow()

    def _written(self, size: int) -> None:
        self._unsent -= size


def _queue_of(stream: IOStream) -> Sized:
    """A stream's own queue of bytes, the very object; one that is never empty where there
    is no looking into it.

    TLS keeps bytes of its own below the stream. The names are Tornado's private ones, and
    its minor version is pinned for them; without them all goes through the stream.
    """
    if isinstance(stream, SSLIOStream):
        return _ALWAYS
    buffer: Any = getattr(stream, "_write_buffer", None)
    queue: Any = getattr(buffer, "_buffers", None)
    return queue if isinstance(queue, Sized) else _ALWAYS

"""Writes to one socket, directly to the kernel while nothing is queued before it.

``IOStream.write`` makes a future and a copy for each frame, which costs as much as the
kernel's part of the send. Writing to the socket is safe as long as the stream has no queued
bytes: those of Tornado's pings and of earlier frames that the kernel did not accept. Used on
the loop only.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sized
from typing import Any, Final

from tornado.iostream import IOStream, SSLIOStream

log = logging.getLogger(__name__)

#: Used as a queue that is never empty.
_ALWAYS: Final = (None,)
#: Replays on one socket that wait for each other. A page has five channels to be replayed; each
#: replay holds the rows as they were when it was asked for, some megabytes of a large plan.
MOST_REPLAYS: Final = 10


class SocketWriter:
    """Sends frames on a stream. Nothing here raises, and nothing waits.

    Args:
        limit: bytes that may be queued for the peer.
        too_slow: called when more are.
    """

    __slots__ = (
        *("_behind", "_ended", "_limit", "_push"),
        *("_stream", "_too_slow", "_unsent", "_waiting"),
    )

    def __init__(self, stream: IOStream, limit: int, too_slow: Callable[[], None]) -> None:
        self._stream = stream
        self._limit = limit
        self._too_slow = too_slow
        self._unsent = 0
        self._ended = False
        # During a replay: its slices, and the frames that were sent since.
        self._behind: deque[bytes | Iterator[bytes]] = deque()
        # The stream's own queue.
        self._waiting = _queue_of(stream)
        # A closed socket raises OSError.
        self._push = stream.socket.send

    def send(self, frames: bytes) -> None:
        """Send framed bytes."""
        # The innermost loop of the hub: every call, argument and look-up counts.
        sent = 0
        if not self._waiting:
            push = self._push
            try:
                sent = push(frames)
            except OSError as error:
                if not isinstance(error, BlockingIOError):
                    self._disconnected(error)
                    return
            if sent == len(frames):
                return
        self._leave(frames, sent)

    def replay(self, slices: Iterator[bytes]) -> None:
        """Send what a page has missed, a slice of whole frames at a time; what is sent
        meanwhile follows it. Its queued bytes do not count towards the limit: a page that was
        away for long is not slow."""
        if self._ended or self._stream.closed():
            return
        self._behind.append(slices)
        if sum(not isinstance(each, bytes) for each in self._behind) > MOST_REPLAYS:
            self._too_slow()
        elif len(self._behind) == 1:
            self._waiting = _ALWAYS
            self._go_on()

    @property
    def is_replaying(self) -> bool:
        return bool(self._behind)

    def _go_on(self) -> None:
        """Send the next slice, when the last has been written."""
        while self._behind and not self._ended and not self._stream.closed():
            first = self._behind[0]
            if isinstance(first, bytes):
                self._behind.popleft()
                self._write(first, len(first))
                continue
            try:
                frames = next(first, None)
            except Exception:
                # The client reconnects, and asks again.
                log.exception("a replay failed")
                self._stream.close()
                return
            if frames is not None:
                self._write(frames, 0).add_done_callback(lambda _: self._go_on())
                return
            self._behind.popleft()
        if not self._ended:
            self._waiting = _queue_of(self._stream)

    def _disconnected(self, error: OSError) -> None:
        log.debug("a client closed the connection: %s", error)
        self._stream.close()

    def end(self) -> None:
        """Send nothing more: the close frame has been sent."""
        self._ended = True
        self._waiting = _ALWAYS
        self._behind.clear()

    def _leave(self, frames: bytes, sent: int) -> None:
        """Queue the rest of some frames on the stream."""
        if self._ended or self._stream.closed():
            return
        size = len(frames) - sent
        self._unsent += size
        if self._behind:
            self._behind.append(frames)
        else:
            self._write(memoryview(frames)[sent:], size)
        if self._unsent > self._limit:
            self._too_slow()

    def _write(self, frames: bytes | memoryview, counted: int) -> asyncio.Future[None]:
        written = self._stream.write(frames)
        written.add_done_callback(lambda _: self._written(counted))
        return written

    def _written(self, size: int) -> None:
        self._unsent -= size


def _queue_of(stream: IOStream) -> Sized:
    """A stream's own queue of bytes (the object itself), or one that is never empty where the
    stream's cannot be seen.

    TLS buffers bytes below the stream. The names are private ones of Tornado's, whose minor
    version is pinned for them; without them everything goes through the stream.
    """
    if isinstance(stream, SSLIOStream):
        return _ALWAYS
    buffer: Any = getattr(stream, "_write_buffer", None)
    queue: Any = getattr(buffer, "_buffers", None)
    return queue if isinstance(queue, Sized) else _ALWAYS

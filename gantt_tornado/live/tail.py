"""The changes committed last, as lines for those who follow them. Lives on the loop.

Serves ``GET /data/changes`` of docs/protocol.md. Each line is encoded once. Who reads too slowly
to find the next one here reads the journal until it does; while nobody follows, nothing is kept.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from gantt_tornado.model.change import Change

log = logging.getLogger(__name__)

#: Lines, and their bytes, that are kept.
MOST_LINES: Final = 1000
MOST_BYTES: Final = 4 << 20


class Tail:
    """The last lines of one project.

    Args:
        encode: makes a line of a change.
    """

    def __init__(self, encode: Callable[[Change], bytes]) -> None:
        self._encode = encode
        self._lines: deque[tuple[int, bytes]] = deque()
        self._size = 0
        # All after this change is among the lines.
        self._start = 0
        self._followers: set[Follower] = set()

    @property
    def is_followed(self) -> bool:
        return bool(self._followers)

    def follow(self, seq: int) -> Follower:
        """Keep what comes after ``seq``, the last change that is committed, for one more."""
        if not self._followers:
            self._start = seq
        follower = Follower(self)
        self._followers.add(follower)
        return follower

    def leave(self, follower: Follower) -> None:
        self._followers.discard(follower)
        if not self._followers:
            self._clear()

    def add(self, changes: Iterable[Change]) -> None:
        """What has been committed, in its order. Never raises."""
        for change in changes:
            try:
                line = self._encode(change)
            except Exception:
                # They find it in the journal, where what cannot be told is skipped.
                log.exception("change %d could not be told to those who follow", change.seq)
                self._clear()
                self._start = change.seq
                continue
            self._lines.append((change.seq, line))
            self._size += len(line)
            while len(self._lines) > MOST_LINES or self._size > MOST_BYTES:
                self._start, gone = self._lines.popleft()
                self._size -= len(gone)
        for follower in self._followers:
            follower.wake()

    def after(self, seq: int) -> list[tuple[int, bytes]] | None:
        """The lines after a change, None where they do not reach back to it."""
        if seq < self._start:
            return None
        found: list[tuple[int, bytes]] = []
        for line in reversed(self._lines):
            if line[0] <= seq:
                break
            found.append(line)
        return found[::-1]

    @property
    def start(self) -> int:
        """The change after which all is here."""
        return self._start

    def close(self) -> None:
        """End for all who follow."""
        for follower in self._followers:
            follower.close()

    def _clear(self) -> None:
        self._lines.clear()
        self._size = 0


class Follower:
    """One who waits for the next line."""

    def __init__(self, tail: Tail) -> None:
        self._tail = tail
        self._news = asyncio.Event()
        #: Whether there is nothing more to wait for.
        self.is_over = False

    def wake(self) -> None:
        self._news.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for news, or for the end. Returns whether there is any."""
        try:
            await asyncio.wait_for(self._news.wait(), seconds)
        except TimeoutError:
            return False
        self._news.clear()
        return True

    def close(self) -> None:
        """Let it end, once it has what is there."""
        self.is_over = True
        self.wake()

    def leave(self) -> None:
        """Be told nothing more."""
        self._tail.leave(self)

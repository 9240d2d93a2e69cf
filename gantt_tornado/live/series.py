"""Series that pages have added lately, to find by them what points to one that had no id yet.

The Scheduler sends an exception of a series that it has not saved yet with the temporary id of
that series, which nobody else has heard of: the POST of the series has no id at all. Lives on
the loop.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from gantt_tornado.model.change import Author

#: Seconds that a page may take to send an exception of a series that it has just added.
LATELY: Final = 60.0
#: Seconds that an exception waits for its series, which comes on another connection.
PATIENCE: Final = 3.0
#: Series that are remembered.
MOST: Final = 1_000


@dataclass(frozen=True, slots=True)
class _Added:
    id: int
    author: Author
    start: str
    at: float


class Series:
    """The series that were added lately.

    Args:
        patience: seconds that :meth:`find` waits for one.
    """

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._added: deque[_Added] = deque(maxlen=MOST)
        self._waiting: set[asyncio.Future[None]] = set()

    def add(self, id: int, author: Author, start: str) -> None:
        """A series was added; ``start`` is its first occurrence as it is stored."""
        at = asyncio.get_running_loop().time()
        self._added.append(_Added(id, author, start, at))
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    async def find(self, author: Author, original_start: str) -> int:
        """The series of this author that has an occurrence at a time, 0 where none comes.

        Of several that which begins at this time of day and was added last.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + self._patience
        while True:
            found = self._best(author, original_start)
            left = end - loop.time()
            if found or left <= 0:
                return found
            waiting: asyncio.Future[None] = loop.create_future()
            self._waiting.add(waiting)
            await asyncio.wait((waiting,), timeout=left)
            self._waiting.discard(waiting)

    def _best(self, author: Author, original_start: str) -> int:
        since = asyncio.get_running_loop().time() - LATELY
        while self._added and self._added[0].at < since:
            self._added.popleft()
        own = [
            each
            for each in reversed(self._added)
            if not author.is_other_than(each.author) and each.start <= original_start
        ]
        fitting = [each for each in own if each.start[10:] == original_start[10:]]
        return next((each.id for each in (*fitting, *own)), 0)

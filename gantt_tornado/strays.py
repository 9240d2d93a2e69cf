"""Where pages may still show an item after it went elsewhere.

The client drops a deleted task with all that it shows below it, links too. A page that
has not heard yet that a task moved out of there drops that one as well, with rows that
nobody touched. So for a while the former places of what moved are remembered, and when
one of them is deleted, what has left it is sent again. Lives on the loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

#: Seconds after which every page that is connected has heard of a move.
REMEMBERED: Final = 60.0


class Strays:
    """What left whom.

    Args:
        clock: the time in seconds, never going back.
    """

    def __init__(self, clock: Callable[[], float], remembered: float = REMEMBERED) -> None:
        self._clock = clock
        self._remembered = remembered
        # Former place → what left it, and when; the last that was left is the last here.
        self._left: dict[int, dict[int, float]] = {}

    def left(self, id: int, place: int) -> None:
        """Note that pages may show an item below another one, where it is not."""
        now = self._clock()
        ids = self._left.pop(place, {})
        ids.pop(id, None)
        ids[id] = now
        self._left[place] = ids
        # The oldest stand first, of the places and at each place.
        while ids[next(iter(ids))] < now - self._remembered:
            del ids[next(iter(ids))]
        while self._latest(next(iter(self._left))) < now - self._remembered:
            del self._left[next(iter(self._left))]

    def of(self, place: int) -> list[int]:
        """What pages may show below an item although it is not there any more."""
        since = self._clock() - self._remembered
        return [id for id, when in self._left.get(place, {}).items() if when >= since]

    def _latest(self, place: int) -> float:
        return next(reversed(self._left[place].values()))

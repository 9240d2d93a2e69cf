"""Sending an item's state once more, when several had a hand in it.

The stock client drops what arrives for an item while its own request for that item is
in flight. So where several writers touched an item within a short time, its final state
is sent again about a second after the last of them. Lives on the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import islice
from typing import Final

from gantt_tornado.entities import Entity

#: Seconds from the last touch to the repetition.
DELAY: Final = 1.0
#: Seconds within which two touches of an item belong together, at least.
TOGETHER: Final = 3.0
#: Repetitions in a row; a deleted branch can have been left by thousands.
SLICE: Final = 50


class Settling:
    """Watches who touches what.

    Args:
        repeat: sends the present state of an item to all.
    """

    def __init__(self, repeat: Callable[[Entity, int], None], delay: float = DELAY) -> None:
        self._repeat = repeat
        self._delay = delay
        # When each is due; the delay being the same for all, in the order in which they are.
        self._due: dict[int, tuple[float, Entity]] = {}
        self._timer: asyncio.TimerHandle | None = None
        # Two generations of item → last writer. An entry lives for one to two turns,
        # and forgetting costs nothing per item.
        self._young: dict[int, str] = {}
        self._old: dict[int, str] = {}
        self._turned = 0.0

    def touch(self, entity: Entity, id: int, writer: str, *, disputed: bool = False) -> None:
        """Note that ``writer`` touched an item.

        A writer that cannot be told from others is ``""`` and counts as another each
        time. ``disputed`` asks for the repetition whoever came before: what is stored is
        not what somebody has on the screen. What is touched in one turn of the loop is
        repeated in the same order.
        """
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._turn(now)
        before = self._young.get(id, self._old.get(id))
        self._young[id] = writer
        together = before is not None and (before != writer or not writer)
        if not (disputed or together or id in self._due):
            return
        self._due.pop(id, None)
        self._due[id] = (now + self._delay, entity)
        if self._timer is None:
            self._timer = loop.call_later(self._delay, self._settle)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due.clear()

    def _settle(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        try:
            self._repeat_some(loop.time())
        finally:
            if self._due:
                due, _ = next(iter(self._due.values()))
                self._timer = loop.call_at(due, self._settle)

    def _repeat_some(self, now: float) -> None:
        for id, (due, entity) in list(islice(self._due.items(), SLICE)):
            if due > now:
                return
            del self._due[id]
            # A client that begins an edit just now draws the repeated state over it, and may
            # drop the echo.
            self._young[id] = ""
            self._repeat(entity, id)

    def _turn(self, now: float) -> None:
        if now - self._turned < TOGETHER:
            return
        self._old = self._young if now - self._turned < 2 * TOGETHER else {}
        self._young = {}
        self._turned = now

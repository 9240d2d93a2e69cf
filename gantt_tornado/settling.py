"""Sending an item's state once more, when several had a hand in it.

The stock client drops what arrives for an item while its own request for that item is
in flight. So where several writers touched an item within a short time, its final state
is sent again about a second after the last of them. Lives on the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gantt_tornado.entities import Entity

#: Seconds from the last touch to the repetition.
DELAY: Final = 1.0
#: Seconds within which two touches of an item belong together, at least.
TOGETHER: Final = 3.0


class Settling:
    """Watches who touches what.

    Args:
        repeat: sends the present state of an item to all.
    """

    def __init__(self, repeat: Callable[[Entity, int], None], delay: float = DELAY) -> None:
        self._repeat = repeat
        self._delay = delay
        self._timers: dict[int, asyncio.TimerHandle] = {}
        # Two generations of item → last writer. An entry lives for one to two turns,
        # and forgetting costs nothing per item.
        self._young: dict[int, str] = {}
        self._old: dict[int, str] = {}
        self._turned = 0.0

    def touch(self, entity: Entity, id: int, writer: str, *, disputed: bool = False) -> None:
        """Note that ``writer`` touched an item.

        A writer that cannot be told from others is ``""`` and counts as another each
        time. ``disputed`` asks for the repetition whoever came before: what is stored is
        not what the writer has on its screen.
        """
        loop = asyncio.get_running_loop()
        self._turn(loop.time())
        before = self._young.get(id, self._old.get(id))
        self._young[id] = writer
        together = before is not None and (before != writer or not writer)
        if not (disputed or together or id in self._timers):
            return
        if id in self._timers:
            self._timers[id].cancel()
        self._timers[id] = loop.call_later(self._delay, self._settle, entity, id)

    def close(self) -> None:
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _settle(self, entity: Entity, id: int) -> None:
        del self._timers[id]
        self._repeat(entity, id)

    def _turn(self, now: float) -> None:
        if now - self._turned < TOGETHER:
            return
        self._old = self._young if now - self._turned < 2 * TOGETHER else {}
        self._young = {}
        self._turned = now

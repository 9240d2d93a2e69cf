"""Who touched which item last, for some seconds. Lives on the loop."""

from __future__ import annotations

from typing import Final

#: Seconds within which two touches of an item belong together, at least.
TOGETHER: Final = 3.0


class Touches:
    """Who touched which item last, for some seconds."""

    def __init__(self) -> None:
        # Two generations of item → last writer. An entry lives for one to two turns,
        # and forgetting costs nothing per item.
        self._young: dict[int, str] = {}
        self._old: dict[int, str] = {}
        self._turned = 0.0

    def note(self, id: int, writer: str, now: float) -> bool:
        """Note a touch; whether another writer's came shortly before."""
        self._turn(now)
        before = self._young.get(id, self._old.get(id))
        self._young[id] = writer
        return before is not None and (before != writer or not writer)

    def _turn(self, now: float) -> None:
        if now - self._turned < TOGETHER:
            return
        self._old = self._young if now - self._turned < 2 * TOGETHER else {}
        self._young = {}
        self._turned = now

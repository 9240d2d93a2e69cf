"""Doing something with each of many things, some seconds later or in steps, in their order.
On the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Iterator
from itertools import islice
from time import perf_counter
from typing import Final, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

#: Things done in a row, before others have the loop; there may be thousands at once.
SLICE: Final = 50
#: Seconds after which others have the loop.
LONGEST: Final = 0.01


def _always() -> bool:
    return True


class Delayed(Generic[K, V]):
    """Things that are due, all after the same delay.

    Args:
        delay: in seconds.
        run: called with a key and its value when they are due. One that raises holds up
            no other.
        ready: whether anything can be done now; asked again in the next turn of the loop.
    """

    def __init__(
        self,
        delay: float,
        run: Callable[[K, V], None],
        ready: Callable[[], bool] = _always,
    ) -> None:
        self._delay = delay
        self._run = run
        self._ready = ready
        # The delay being the same for all, in the order in which they are due.
        self._due: dict[K, tuple[float, V]] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __contains__(self, key: K) -> bool:
        return key in self._due

    def get(self, key: K) -> V | None:
        """The value that is due under a key, None where nothing is."""
        due = self._due.get(key)
        return due[1] if due else None

    def put(self, key: K, value: V) -> None:
        """Have it done after the delay; what was due under this key is put off until then."""
        loop = asyncio.get_running_loop()
        self._due.pop(key, None)
        self._due[key] = (loop.time() + self._delay, value)
        if self._timer is None:
            self._timer = loop.call_later(self._delay, self._run_due)

    def close(self) -> None:
        """Do nothing any more."""
        if self._timer is not None:
            self._timer.cancel()
        self._due.clear()

    def _run_due(self) -> None:
        self._timer = None
        loop = asyncio.get_running_loop()
        if not self._ready():
            self._timer = loop.call_later(0, self._run_due)
            return
        try:
            self._run_some(loop.time())
        finally:
            if self._due and self._timer is None:
                due, _ = next(iter(self._due.values()))
                self._timer = loop.call_at(due, self._run_due)

    def _run_some(self, now: float) -> None:
        enough = perf_counter() + LONGEST
        for key, (due, value) in list(islice(self._due.items(), SLICE)):
            if due > now:
                return
            del self._due[key]
            self._run(key, value)
            if perf_counter() >= enough:
                return


class Steps(Generic[K]):
    """Works that are done in steps, one behind the other: where the steps of a turn have taken
    long, others have the loop before the next. One that raises holds up no other."""

    def __init__(self) -> None:
        self._works: dict[K, Iterator[None]] = {}
        self._turn: asyncio.Handle | None = None

    def put(self, key: K, work: Iterator[None]) -> None:
        """Have a work done, unless the one under this key is not done yet."""
        self._works.setdefault(key, work)
        if self._turn is None:
            self._go_on()

    def close(self) -> None:
        """Do nothing any more."""
        if self._turn is not None:
            self._turn.cancel()
        self._works.clear()

    def _go_on(self) -> None:
        self._turn = None
        enough = perf_counter() + LONGEST
        key = next(iter(self._works))
        try:
            for _ in self._works[key]:
                if perf_counter() >= enough:
                    return
            del self._works[key]
        finally:
            # One that has raised has come to its end: the next turn finds no step of it.
            if self._works:
                self._turn = asyncio.get_running_loop().call_soon(self._go_on)

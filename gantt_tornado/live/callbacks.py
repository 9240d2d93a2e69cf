"""An application's own callbacks, which are told of each committed change.

A plain function is called at once; what an ``async`` one returns is awaited beside the
writes, one change after the other. Lives on the loop.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from gantt_tornado.model.change import Change

log = logging.getLogger(__name__)

#: Called with each change; what can be awaited in what it returns is awaited.
OnChange = Callable[[Change], object]

#: Seconds that ``async`` callbacks have to end when the plan is closed.
GRACE: Final = 5.0


class Callbacks:
    """Those who want to know, in the order in which they came."""

    def __init__(self, grace: float = GRACE) -> None:
        self._grace = grace
        self._callbacks: list[_Callback] = []
        # Also of those that have been removed since.
        self._running: set[asyncio.Task[None]] = set()

    def add(self, function: OnChange) -> Callable[[], None]:
        """Call ``function`` from now on; what is returned ends that, also when called twice."""
        callback = _Callback(function)
        self._callbacks.append(callback)

        def remove() -> None:
            if callback in self._callbacks:
                self._callbacks.remove(callback)

        return remove

    def call(self, change: Change) -> None:
        """Tell all of them. Never raises, and waits for none."""
        # One may end itself or another meanwhile.
        for callback in list(self._callbacks):
            if callback.call(change):
                task = asyncio.get_running_loop().create_task(callback.run())
                self._running.add(task)
                task.add_done_callback(self._running.discard)

    async def close(self) -> None:
        """Let those that run come to their end, and cancel those that take too long."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=self._grace)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)


class _Callback:
    """One function, and what of it is still to be awaited."""

    def __init__(self, function: OnChange) -> None:
        self._function = function
        self._waiting: deque[Awaitable[object]] = deque()
        self._runs = False

    def call(self, change: Change) -> bool:
        """Returns whether :meth:`run` has to be started."""
        try:
            result = self._function(change)
        except Exception:
            log.exception("a callback of on_change failed")
            return False
        if not inspect.isawaitable(result):
            return False
        self._waiting.append(result)
        started, self._runs = self._runs, True
        return not started

    async def run(self) -> None:
        """Await what waits, in its order, until nothing does."""
        try:
            while self._waiting:
                await self._await(self._waiting.popleft())
        finally:
            self._runs = False
            for awaitable in self._waiting:
                if inspect.iscoroutine(awaitable):
                    # Else Python would warn that nobody has awaited it.
                    awaitable.close()
            self._waiting.clear()

    async def _await(self, awaitable: Awaitable[object]) -> None:
        try:
            await awaitable
        except Exception:
            log.exception("a callback of on_change failed")

"""Whether the server would take a write now, for ``GET /readyz``.

It is found out by a write that changes no plan, through the writer's queue like any other. Whoever
asks, there is one a second at most. It lives on the loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from gantt_tornado.errors import Unavailable
from gantt_tornado.store.writer import Writer

#: Seconds for which an answer stands.
STANDS: Final = 1.0
#: Seconds after which a writer that does not answer counts as dead.
PATIENCE: Final = 5.0


class Readiness:
    """Knows whether the store takes writes.

    Args:
        writer: where the write is tried.
        attempt: writes something, on the writer's thread.
    """

    def __init__(self, writer: Writer, attempt: Callable[[], None]) -> None:
        self._writer = writer
        self._attempt = attempt
        self._attempted: asyncio.Future[None] | None = None
        self._when = 0.0
        #: Set before anything else when the server ends.
        self.is_closing = False

    async def check(self) -> None:
        """Raises:
        Unavailable: the server shuts down, its queue is full, its writer does not answer, or
            the database cannot be written.
        """
        if self.is_closing:
            raise Unavailable("The server is shutting down.")
        attempted = self._latest()
        await asyncio.wait((attempted,), timeout=PATIENCE)
        if not attempted.done():
            raise Unavailable(f"The store has not answered for {PATIENCE:g} seconds.")
        attempted.result()

    def _latest(self) -> asyncio.Future[None]:
        now = asyncio.get_running_loop().time()
        latest = self._attempted
        if latest is None or (latest.done() and now - self._when >= STANDS):
            latest = self._writer.submit(self._attempt)
            self._attempted, self._when = latest, now
        return latest

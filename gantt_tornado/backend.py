"""The backend: what an embedding application holds.

It owns the database behind its writer, and the live projects.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Self, TypeVar

from gantt_tornado.accounts import Tokens
from gantt_tornado.config import Config
from gantt_tornado.errors import (
    Unavailable,
)
from gantt_tornado.live.plan import Plan
from gantt_tornado.live.touches import TOGETHER
from gantt_tornado.model.entities import (
    DEFAULT_PROJECT,
    Entity,
)
from gantt_tornado.model.user import User
from gantt_tornado.project import Project
from gantt_tornado.store import demo
from gantt_tornado.store.continuity import Continuity
from gantt_tornado.store.database import Database
from gantt_tornado.store.items import Store
from gantt_tornado.store.text_conversion import convert
from gantt_tornado.store.writer import Writer

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Told who asks (a ``tornado.web.RequestHandler``), says which user that is.
Authenticate = Callable[[Any], User | Awaitable[User | None] | None]
#: Seconds between two looks at the journal's length.
PRUNE_EVERY: Final = 60.0
#: Seconds between two questions to every page how far it got.
ASK_EVERY: Final = 5.0
#: Seconds between two notes of what is served.
NOTE_EVERY: Final = 5.0
#: Sockets that may open, or be told what they missed, in one turn of the loop; readers of
#: the history.
AT_ONCE: Final = 2


class Backend:
    """One plan with everybody who looks at it.

    Create as many as you like; nothing is shared between them. All methods belong on
    the loop that ran :meth:`start`.

    Args:
        config: the settings, see :class:`~gantt_tornado.config.Config`.
        authenticate: replaces the configured tokens: it gets the
            ``tornado.web.RequestHandler`` of a request and returns the
            :class:`~gantt_tornado.accounts.User` who asks, or None; it may be a coroutine
            function.
    """

    def __init__(
        self, config: Config | None = None, authenticate: Authenticate | None = None
    ) -> None:
        self.config = config or Config()
        self.authenticate = authenticate
        self.tokens = Tokens(self.config.tokens)
        #: Sockets pass it a few at a time.
        self.connection_slots = asyncio.Semaphore(AT_ONCE)
        #: Pages of the history that are made at once; each may hold some megabytes.
        self.history_readers = asyncio.Semaphore(AT_ONCE)
        self._database = Database(self.config.database)
        self._writer = Writer(self._database)
        self._continuity = Continuity(self._database.path)
        #: The last position that is being noted.
        self._noting: asyncio.Future[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        #: The project that is served at the root.
        self.default = Project(self.config, self._writer)
        # What it can do, for those who have no other.
        self.insert = self.default.insert
        self.update = self.default.update
        self.move = self.default.move
        self.delete = self.default.delete
        self.batch = self.default.batch
        self.undo = self.default.undo
        self.history = self.default.history
        self.load = self.default.load
        self.item = self.default.item
        self.publish = self.default.publish
        self.on_change = self.default.on_change
        self.services = self.default.services

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.close()

    async def start(self) -> None:
        """Open the database and read the plan. ``async with Backend(…)`` does it too, and
        closes in the end.

        Raises:
            StartError: the database cannot be used; the text says why in one line.
        """
        self._store, plan, latest = await self._writer.start(self._open)
        self.default.open(self._store, plan, latest)
        await self._note_position()
        loops = (self._prune, self._ask, self._note_positions)
        self._tasks = [asyncio.create_task(run()) for run in loops]

    async def close(self) -> None:
        """Finish what is queued, tell it, close every socket with 1001, close the database."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.default.stop()
        await self._writer.close()
        if self._tasks:
            await self._note_position()
        await self.default.close()

    def _open(self) -> tuple[Store, Plan, list[tuple[Entity, int]]]:
        """On the writer's thread: what the loop starts with."""
        calendar, markup = self.config.calendar, self.config.html == "clean"
        with self._database.peewee.atomic("IMMEDIATE"):
            convert(self._database, self.config.html)
            self._continuity.check(self._database)
        store = Store(self._database, calendar, markup=markup)
        with self._database.peewee.atomic("IMMEDIATE"):
            store.mend()
        latest = store.journal.latest(DEFAULT_PROJECT, int(1000 * 2 * TOGETHER))
        if self.config.demo and store.journal.seq() == 0:
            with self._database.peewee.atomic("IMMEDIATE"):
                demo.plant(store, calendar)
        return store, Plan.of(store.read()), latest

    async def _prune(self) -> None:
        """Keep the journal within its limits, a little at a time."""
        while True:
            try:
                more = await self._prune_once()
            except Unavailable:
                more = False
            except Exception:
                # Whatever it was, the journal must not grow for ever after.
                log.exception("the journal could not be pruned")
                more = False
            if not more:
                await asyncio.sleep(PRUNE_EVERY)

    async def _prune_once(self) -> bool:
        """Forget a few changes. Returns whether more must go at once."""
        horizon, more = await self._writer.submit(self._prune_some)
        if horizon > self.default.plan.horizon:
            self.default.plan.forget(horizon)
        return more

    def _prune_some(self) -> tuple[int, bool]:
        """On the writer's thread: the last change that is forgotten, and whether there is
        more to do at once."""
        journal, config = self._store.journal, self.config
        if journal.learn():
            return journal.horizon(), True
        longest = config.journal_days * 24 * 60 * 60 * 1000
        clock = int(time.time() * 1000)
        journal.prune(clock, int(longest), config.journal_changes)
        horizon = journal.horizon()
        # Over the limit something always goes.
        return horizon, journal.seq() - horizon > config.journal_changes

    async def _ask(self) -> None:
        """Learn how far each page got, for the day it comes back."""
        while True:
            await asyncio.sleep(ASK_EVERY)
            try:
                self.default.hub.ask()
            except Exception:
                log.exception("the pages could not be asked how far they got")

    async def _note_positions(self) -> None:
        """Note what is served, for the next start."""
        while True:
            await asyncio.sleep(NOTE_EVERY)
            await self._note_position()

    async def _note_position(self) -> None:
        # One at a time, also where the last was not waited for to its end: they write one file.
        if self._noting is not None:
            await asyncio.wait((self._noting,))
        position = self.default.plan.stored_position()
        loop = asyncio.get_running_loop()
        self._noting = loop.run_in_executor(None, self._continuity.note, position)
        await asyncio.shield(self._noting)

"""The backend: what an embedding application holds.

It owns the database behind its writer, and the live projects.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, Self

from gantt_tornado.accounts import Tokens
from gantt_tornado.config import Config
from gantt_tornado.errors import (
    StartError,
    Unavailable,
)
from gantt_tornado.live.plan import Plan
from gantt_tornado.live.touches import TOGETHER
from gantt_tornado.model import protocol
from gantt_tornado.model.entities import (
    Entity,
)
from gantt_tornado.model.user import User
from gantt_tornado.project import Project
from gantt_tornado.store import demo
from gantt_tornado.store.continuity import Continuity
from gantt_tornado.store.database import Connection, Database
from gantt_tornado.store.items import Damaged, Store
from gantt_tornado.store.text_conversion import convert
from gantt_tornado.store.writer import UNREADABLE, Writer

log = logging.getLogger(__name__)

#: Told who asks (a ``tornado.web.RequestHandler``), says which user that is.
Authenticate = Callable[[Any], User | Awaitable[User | None] | None]
#: The project that is served at the root.
DEFAULT: Final = "default"
#: Plans that are read at a time.
READERS: Final = 2
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
        self._readers = ThreadPoolExecutor(READERS, "gantt-reader")
        # Those that are used, or that an application has something to do with.
        self._projects: dict[str, Project] = {}
        #: The project that is served at the root.
        self.default = self.project(DEFAULT)
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
        await self._writer.start(self._prepare)
        try:
            # It stays in memory.
            await self.default.__aenter__()
        except UNREADABLE as error:
            await self._close()
            raise StartError(f"cannot read the database: {error}") from error
        await self._note_position()
        loops = (self._prune, self._ask, self._note_positions, self._forget_idle)
        self._tasks = [asyncio.create_task(run()) for run in loops]

    async def close(self) -> None:
        """Finish what is queued, tell it, close every socket with 1001, close the database."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        projects = list(self._projects.values())
        await asyncio.gather(*[project.stop() for project in projects])
        await self._close()
        if self._tasks:
            await self._note_position()
        for project in projects:
            await project.close(protocol.GOING_AWAY, "The server is shutting down")

    async def _close(self) -> None:
        await self._writer.close()
        self._readers.shutdown(wait=False)

    # Projects.

    def project(self, name: str = DEFAULT) -> Project:
        """A project by its name, whether there is one or not: whoever uses it is told."""
        project = self._projects.get(name)
        if project is None:
            read = partial(self._read, name)
            project = self._projects[name] = Project(name, self.config, self._writer, read)
        return project

    def _prepare(self) -> None:
        """On the writer's thread: what has to be done before any project is read."""
        with self._database.peewee.atomic("IMMEDIATE"):
            convert(self._database, self.config.html)

    async def _read(self, name: str) -> tuple[Store, Plan, list[tuple[Entity, int]]]:
        """What a project begins with. Nobody writes to it meanwhile."""
        begin = partial(self._begin, name)
        store, latest = await self._writer.submit(begin)
        plan, damaged = await self._read_plan(store)
        if damaged:
            await self._writer.submit(lambda: store.mend(damaged))
            plan, _ = await self._read_plan(store)
        return store, plan, latest

    def _begin(self, name: str) -> tuple[Store, list[tuple[Entity, int]]]:
        """On the writer's thread."""
        self._continuity.check(self._database)
        store = self._store_on(self._database)
        latest = store.journal.latest(int(1000 * 2 * TOGETHER))
        if self.config.demo and name == DEFAULT and store.journal.seq() == 0:
            demo.plant(store, self.config.calendar)
        return store, latest

    def _store_on(self, connection: Connection) -> Store:
        return Store(connection, self.config.calendar, markup=self.config.html == "clean")

    async def _read_plan(self, store: Store) -> tuple[Plan, list[Damaged]]:
        """The plan, and what is damaged in its rows, which has to be mended first."""
        if self._database.is_in_memory:
            return await self._writer.submit(lambda: _plan_and_damage(store))
        # On a thread of its own: other projects are written to meanwhile.
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._readers, self._read_snapshot)

    def _read_snapshot(self) -> tuple[Plan, list[Damaged]]:
        snapshot = self._database.snapshot()
        try:
            return _plan_and_damage(self._store_on(snapshot))
        finally:
            snapshot.close()

    async def _forget_idle(self) -> None:
        """Have the projects in memory that somebody looks at."""
        while True:
            await asyncio.sleep(self.config.project_idle / 4)
            for project in self._projects.values():
                if project.is_open and project.is_idle(self.config.project_idle):
                    project.forget()

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
        """Forget a few changes of each project. Returns whether more must go at once."""
        return await self.default.prune()

    @property
    def _open_projects(self) -> list[Project]:
        return [project for project in self._projects.values() if project.is_open]

    async def _ask(self) -> None:
        """Learn how far each page got, for the day it comes back."""
        while True:
            await asyncio.sleep(ASK_EVERY)
            try:
                for project in self._open_projects:
                    project.hub.ask()
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


def _plan_and_damage(store: Store) -> tuple[Plan, list[Damaged]]:
    damaged = store.damaged()
    return (Plan() if damaged else Plan.of(store.read())), damaged

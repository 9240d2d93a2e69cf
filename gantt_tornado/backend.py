"""The backend: what an embedding application holds.

It owns the database behind its writer, and the live projects.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any, Final, Self, TypeVar

from gantt_tornado.accounts import Accounts, has_expired
from gantt_tornado.built_in_calls import add_built_in_calls
from gantt_tornado.config import Config
from gantt_tornado.counts import Counts, State
from gantt_tornado.errors import (
    NOT_ALLOWED,
    Forbidden,
    NotFound,
    StartError,
    Unavailable,
)
from gantt_tornado.limits import Limits
from gantt_tornado.live.plan import Plan
from gantt_tornado.live.presence import Presence
from gantt_tornado.live.sessions import Session, Sessions, Stream
from gantt_tornado.live.touches import TOGETHER
from gantt_tornado.model import protocol
from gantt_tornado.model.entities import (
    Entity,
)
from gantt_tornado.model.family import check_families
from gantt_tornado.model.history import history_page, page_size
from gantt_tornado.model.marks import Position
from gantt_tornado.model.project_info import DEFAULT, ProjectInfo
from gantt_tornado.model.schema import GANTT, OURS, Schema
from gantt_tornado.model.user import Role, User, anonymous_user
from gantt_tornado.project import Beginning, Project
from gantt_tornado.readiness import Readiness
from gantt_tornado.store.continuity import Continuity
from gantt_tornado.store.database import Connection, Database
from gantt_tornado.store.demo import plant
from gantt_tornado.store.items import Damaged, Store
from gantt_tornado.store.journal import Missed, missed
from gantt_tornado.store.projects import Copy, Projects
from gantt_tornado.store.text_conversion import convert
from gantt_tornado.store.tokens import TokenReader
from gantt_tornado.store.trial import try_to_write
from gantt_tornado.store.webhook_positions import WebhookPositions
from gantt_tornado.store.writer import UNREADABLE, Writer
from gantt_tornado.webhooks.webhooks import Webhooks

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Told who asks (a ``tornado.web.RequestHandler``), says which user that is.
Authenticate = Callable[[Any], User | Awaitable[User | None] | None]
#: Plans that are read at a time.
READERS: Final = 2
#: Seconds between two looks at the journal's length.
PRUNE_EVERY: Final = 60.0
#: Seconds between two questions to every page how far it got.
ASK_EVERY: Final = 5.0
#: Seconds between two notes of what is served.
NOTE_EVERY: Final = 5.0
#: Seconds between two looks at how late the loop is.
LAG_EVERY: Final = 0.5
#: Seconds between two looks at who may still be signed in.
WATCH_EVERY: Final = 0.5
#: Sockets that may open, or be told what they missed, in one turn of the loop; readers of
#: the history.
AT_ONCE: Final = 2


class Backend:
    """A server: one database, its projects, and who may do what in them.

    Create as many as you like; nothing is shared between them. All methods belong on
    the loop that ran :meth:`start`.

    Args:
        config: the settings, see :class:`~gantt_tornado.config.Config`.
        authenticate: replaces the configured tokens: it gets the
            ``tornado.web.RequestHandler`` of a request, whose ``project`` is the one that it is
            for, and returns the :class:`~gantt_tornado.model.user.User` who asks, or None; it
            may be a coroutine function.
        families: kinds of item of the application's own, see
            :func:`~gantt_tornado.model.family.family`.

    Raises:
        StartError: JSON Web Tokens are configured, and cannot be checked.
        ValueError: the families cannot be served together.
    """

    def __init__(
        self,
        config: Config | None = None,
        authenticate: Authenticate | None = None,
        families: Sequence[Entity] = (),
    ) -> None:
        self.config = config or Config()
        #: The entities that there are.
        self.schema: Final = self._schema(families)
        self.families: Final = tuple(families)
        self.authenticate = authenticate
        self.accounts = Accounts(self.config)
        self.sessions = Sessions()
        #: What one person, and one address, may do.
        self.limits = Limits(self.config)
        #: What has been done since the start.
        self.counts = Counts()
        self._tokens = TokenReader(self.config.database)
        #: The last look at the tokens of the database.
        self._reading: asyncio.Future[dict[str, User] | None] | None = None
        #: Sockets pass it a few at a time.
        self.connection_slots = asyncio.Semaphore(AT_ONCE)
        #: Responses that follow the changes of a project.
        self.streams: set[Stream] = set()
        #: Pages of the history that are made at once; each may hold some megabytes.
        self._history_readers = asyncio.Semaphore(AT_ONCE)
        self._database = Database(self.config.database)
        self._writer = Writer(self._database, self.counts)
        #: Whether writes would be taken now.
        self.readiness = Readiness(self._writer, lambda: try_to_write(self._database))
        self._continuity = Continuity(self._database.path)
        #: The last position that is being noted.
        self._noting: asyncio.Future[None] | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._readers = ThreadPoolExecutor(READERS, "gantt-reader")
        #: Posts what is committed.
        self.webhooks = Webhooks(
            self.config.webhooks, self.config.calendar, self._read_missed, self._note_webhook
        )
        # Those that are used, or that an application has something to do with.
        self._projects: dict[str, Project] = {}
        # The names that there are, and whether anybody may read without a token.
        self._public: dict[str, bool] = {}
        #: Who somebody without a token is, None where they may do nothing.
        self.anonymous: User | None = None
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
        self.guard = self.default.guard
        self.services = self.default.services

    def _schema(self, families: Sequence[Entity]) -> Schema:
        ours = tuple(OURS if self.config.scheduler else GANTT)
        check_families(families, ours)
        return Schema((*ours, *families))

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
        self._public = await self._writer.start(self._prepare)
        self._see_public()
        try:
            # It stays in memory.
            await self.default.__aenter__()
        except (*UNREADABLE, NotFound, Unavailable) as error:
            await self._close()
            said = error.detail if isinstance(error, Unavailable) else error
            if isinstance(error, NotFound):
                said = f"it has no project {DEFAULT!r}"
            raise StartError(f"cannot read the database: {said}") from error
        await self._read_tokens()
        if self.config.webhooks:
            heard = self.webhooks.heard
            self.webhooks.start(await self._writer.submit(lambda: self._hooked.start(heard)))
        loops = (
            *(self._prune, self._ask, self._note_positions, self._forget_idle),
            *(self._watch_tokens, self._expire, self._measure_lag),
        )
        self._tasks = [asyncio.create_task(run()) for run in loops]

    async def close(self) -> None:
        """Finish what is queued, tell it, close every socket with 1001, close the database."""
        self.readiness.is_closing = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        projects = list(self._projects.values())
        await asyncio.gather(*[project.stop() for project in projects])
        await self.webhooks.close()
        await self._close()
        if self._tasks:
            await self._note_position()
        await self._close_tokens()
        for project in projects:
            await project.close()

    async def _close(self) -> None:
        await self._writer.close()
        self._readers.shutdown(wait=False)

    @property
    def presence(self) -> Presence:
        """Who is in the project at the root."""
        return self.default.presence

    def sign_out(self, user: User | str) -> int:
        """Close all sockets of a user with 1008, and end what else goes on for them. Returns how
        many there were.

        Their pages come back as soon as ``authenticate`` knows the user again.
        """
        return self.sessions.sign_out(user if isinstance(user, str) else user.name)

    def sign_in_anew(self, accounts: Accounts) -> None:
        """Have other tokens of the configuration and other keys count from now on; the sockets of
        tokens that do no more are closed."""
        accounts.take_over(self.accounts)
        self.accounts = accounts
        self.sessions.check(self.stands)

    def open_session(self, session: Session) -> None:
        """Have something go on for a user until that is over; its end calls
        ``sessions.closed``.

        Raises:
            Forbidden: the user would not be let in any more: what came before may have waited.
        """
        if session.user is not None:
            self.check_stands(session.user, session.project_name)
        self.sessions.opened(session)

    def check_stands(self, user: User, project: str) -> None:
        """Raises:
        Forbidden: somebody who was let into a project would not be any more.
        """
        if not self.stands(user, project):
            raise Forbidden(NOT_ALLOWED)

    def stands(self, user: User, project: str) -> bool:
        """Whether somebody who was let into a project still would be. Of one whom ``authenticate``
        let in, the application alone knows: it calls :meth:`sign_out`."""
        if user.is_anonymous:
            return self.anonymous is not None and self.anonymous.may(Role.viewer, project)
        return self.accounts.stands(user) and not has_expired(user, time.time())

    # Projects.

    def project(self, name: str = DEFAULT) -> Project:
        """A project by its name, whether there is one or not: whoever uses it is told."""
        project = self._projects.get(name)
        if project is None:
            read = partial(self._read, name)
            apart = self._read_apart
            project = Project(
                name, self.config, self._writer, read, apart, self.counts, self.schema
            )
            self._projects[name] = project
            if self.config.webhooks:
                project.on_commit = self.webhooks.committed
            add_built_in_calls(project, partial(self.history_page, project))
        return project

    def find(self, name: str) -> Project:
        """A project that there is.

        Raises:
            NotFound: there is none.
        """
        if name not in self._public:
            raise NotFound("There is no such project.")
        return self.project(name)

    async def history_page(
        self, project: Project, item: int | None, before: int | None, limit: int | None
    ) -> bytes:
        """A page of a project's history as JSON, as ``GET /data/history`` answers it."""
        # It may take some megabytes.
        async with self._history_readers:
            most = page_size(limit)
            changes = await project.history(item=item, before=before, limit=most)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(None, history_page, changes, self.config.calendar)

    def _see_public(self) -> None:
        role = self.config.anonymous
        public = [name for name, is_public in self._public.items() if is_public]
        self.anonymous = anonymous_user(Role[role], public) if role else None

    async def projects(
        self, deleted: bool = False, shows: Callable[[str], bool] = lambda name: True
    ) -> list[ProjectInfo]:
        """All projects by their names, or those that are deleted and can be taken back.

        Args:
            shows: by the name, whether a project is asked for; called on another thread.
        """
        # All tasks are counted for it.
        return await self._read_apart(lambda database: Projects(database).all(deleted, shows))

    async def create_project(
        self, name: str, title: str = "", *, copy_of: str | None = None, demo: bool = False
    ) -> ProjectInfo:
        """Add a project: an empty one, with the items of another, or with the demo's.

        Raises:
            BadRequest: no project can have this name.
            Conflict: there is one of this name, perhaps a deleted one.
            NotFound: there is no project to copy.
        """
        if copy_of is not None:
            return self._changed(await self._copy_project(copy_of, name, title))

        def create() -> ProjectInfo:
            info = self._registry.create(name, title)
            self._hooked.add(self.webhooks.heard, info.id, name)
            if demo:
                plant(self._store_on(self._database, info.id), self.config.calendar)
            return self._registry.named(name)

        info = await self._writer.submit(create)
        self.webhooks.added(info.id, name, 0)
        return self._changed(info)

    async def _copy_project(self, source: str, name: str, title: str) -> ProjectInfo:
        # In slices, between which others write.
        registry = self._registry
        copy = await self._writer.submit(lambda: registry.begin_copy(source, name, title))
        try:
            done: Copy | ProjectInfo = copy
            while isinstance(done, Copy):
                done, seq = await self._writer.submit(partial(self._copy_slice, done))
            self.webhooks.added(done.id, name, seq)
            return done
        finally:
            registry.end_copy(copy)

    def _copy_slice(self, copy: Copy) -> tuple[Copy | ProjectInfo, int]:
        """On the writer's thread: also the last change of the project, when it is whole."""
        done = self._registry.copy_slice(copy)
        if isinstance(done, Copy):
            return done, 0
        return done, self._hooked.add(self.webhooks.heard, done.id, done.name)

    async def change_project(
        self,
        name: str,
        *,
        title: str | None = None,
        public: bool | None = None,
        archived: bool | None = None,
    ) -> ProjectInfo:
        """Give a project another title, have it read by anybody who may read without a token, or
        have it kept as it is.

        Raises:
            NotFound: there is none.
        """

        def change() -> ProjectInfo:
            if title is not None:
                self._registry.retitle(name, title)
            if public is not None:
                self._registry.set_public(name, public)
            if archived is not None:
                self._registry.archive(name, archived)
            return self._registry.named(name)

        return self._changed(await self._writer.submit(change))

    def _changed(self, info: ProjectInfo) -> ProjectInfo:
        ends = self._public.get(info.name) and not info.public
        self._public[info.name] = info.public
        self._see_public()
        if ends:
            self.sessions.check(self.stands)
        project = self._projects.get(info.name)
        if project is not None and project.is_open:
            if project.info.id != info.id:
                # One that was deleted long ago, and whose name is another's now.
                project.forget()
                return info
            project.info = info
        return info

    async def delete_project(self, name: str) -> None:
        """Delete a project and close its sockets. It can be taken back for ``journal_days``.

        Raises:
            NotFound: there is none.
            Conflict: it is the one at the root.
        """
        info = await self._writer.submit(lambda: self._registry.delete(name))
        self._public.pop(name, None)
        self._see_public()
        self.webhooks.removed(info.id)
        project = self._projects.get(name)
        if project is not None and project.is_open:
            # What is under way in it is refused from now on, and then it is forgotten.
            project.info = info
            project.disconnect(protocol.POLICY, "The project has been deleted")

    async def restore_project(self, name: str) -> ProjectInfo:
        """Take back a delete.

        Raises:
            NotFound: there is no deleted project of this name, or not any more.
        """
        info = await self._writer.submit(lambda: self._registry.restore(name))
        if self.config.webhooks:
            # They go on where they were.
            heard = self.webhooks.heard
            self.webhooks.restored(await self._writer.submit(lambda: self._hooked.start(heard)))
        return self._changed(info)

    def _prepare(self) -> dict[str, bool]:
        """On the writer's thread: what has to be done before any project is read."""
        with self._database.peewee.atomic("IMMEDIATE"):
            convert(self._database, self.config.html)
        self._registry = Projects(self._database)
        self._hooked = WebhookPositions(self._database)
        return self._registry.public()

    async def _read(self, name: str) -> Beginning:
        """What a project begins with. Nobody writes to it meanwhile."""
        info, store, latest = await self._writer.submit(partial(self._begin, name))
        plan, damaged = await self._read_plan(store)
        if damaged:
            await self._writer.submit(lambda: store.mend(damaged))
            plan, _ = await self._read_plan(store)
        # It may have been archived or deleted meanwhile.
        info = await self._writer.submit(lambda: self._registry.named(name))
        await self._note_position({info.id: plan.stored_position()})
        return Beginning(info, store, plan, latest)

    def _begin(self, name: str) -> tuple[ProjectInfo, Store, list[tuple[Entity, int]]]:
        """On the writer's thread."""
        info = self._registry.named(name)
        self._continuity.check(self._database, info.id)
        store = self._store_on(self._database, info.id)
        latest = store.journal.latest(int(1000 * 2 * TOGETHER))
        if self.config.demo and name == DEFAULT and store.journal.seq() == 0:
            plant(store, self.config.calendar)
        return info, store, latest

    def _store_on(self, connection: Connection, project: int) -> Store:
        config = self.config
        markup = config.html == "clean"
        return Store(connection, config.calendar, project, markup=markup, schema=self.schema)

    async def _read_plan(self, store: Store) -> tuple[Plan, list[Damaged]]:
        """The plan, and what is damaged in its rows, which has to be mended first."""
        return await self._read_apart(
            lambda database: self._plan_and_damage(self._store_on(database, store.project))
        )

    async def _read_apart(self, read: Callable[[Connection], T]) -> T:
        """Read something long, on a thread and a connection of its own: others write meanwhile.
        A database in memory has one connection alone."""
        if self._database.is_in_memory:
            return await self._writer.submit(lambda: read(self._database))

        def read_snapshot() -> T:
            with closing(self._database.snapshot()) as snapshot:
                return read(snapshot)

        return await asyncio.get_running_loop().run_in_executor(self._readers, read_snapshot)

    async def _read_missed(self, project: int, seq: int) -> Missed:
        found: Missed = await self._read_apart(partial(missed, project, seq))
        return found

    async def _note_webhook(self, hook: str, positions: Mapping[int, int]) -> None:
        await self._writer.submit(lambda: self._hooked.note(hook, positions))

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
        """Forget a few changes of each open project, and rows of what was deleted long ago.
        Returns whether more must go at once."""
        more = [await project.prune() for project in self._open_projects if project.is_open]
        before = int((time.time() - self.config.journal_days * 24 * 60 * 60) * 1000)
        more.append(await self._writer.submit(lambda: self._registry.forget(before)))
        return any(more)

    def state(self) -> State:
        """What is so just now, for ``GET /metrics``."""
        projects, lag = self._open_projects, self.webhooks.lag()
        return State(
            queue=self._writer.waiting,
            sockets=sum(len(each.connections) for each in projects),
            projects=len(projects),
            journal=sum(each.plan.seq - each.plan.horizon for each in projects),
            webhook_changes=sum(each["changes"] for each in lag),
            webhook_seconds=max((each["seconds"] for each in lag), default=0.0),
        )

    @property
    def _open_projects(self) -> list[Project]:
        projects = self._projects.values()
        return [each for each in projects if each.is_open and not each.info.deleted]

    # Who may still be signed in.

    async def _expire(self) -> None:
        """Close the sockets of tokens that have expired; nothing that stands still keeps
        them open."""
        while True:
            await asyncio.sleep(WATCH_EVERY)
            self.sessions.expire(time.time())

    async def _watch_tokens(self) -> None:
        """See what the command does to the tokens of the database."""
        while True:
            await asyncio.sleep(WATCH_EVERY)
            try:
                await self._read_tokens()
            except Exception:
                log.exception("the tokens could not be read")

    async def _read_tokens(self) -> None:
        loop = asyncio.get_running_loop()
        self._reading = loop.run_in_executor(None, self._tokens.changed)
        users = await asyncio.shield(self._reading)
        if users is not None:
            self.accounts.replace(users)
            self.sessions.check(self.stands)

    async def _close_tokens(self) -> None:
        if self._reading is not None:
            # One thread at a time.
            await asyncio.wait((self._reading,))
        await asyncio.get_running_loop().run_in_executor(None, self._tokens.close)

    async def _ask(self) -> None:
        """Learn how far each page got, for the day it comes back."""
        while True:
            await asyncio.sleep(ASK_EVERY)
            try:
                for project in self._open_projects:
                    project.hub.ask()
            except Exception:
                log.exception("the pages could not be asked how far they got")

    async def _measure_lag(self) -> None:
        """See how late what is due is done."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + LAG_EVERY
            await asyncio.sleep(LAG_EVERY)
            self.counts.lag.note(max(0.0, loop.time() - due))

    async def _note_positions(self) -> None:
        """Note what is served, for the next start."""
        while True:
            await asyncio.sleep(NOTE_EVERY)
            await self._note_position()

    async def _note_position(self, served: dict[int, Position] | None = None) -> None:
        # One at a time, also where the last was not waited for to its end: they write one file.
        while self._noting is not None and not self._noting.done():
            await asyncio.wait((self._noting,))
        if served is None:
            served = {each.info.id: each.plan.stored_position() for each in self._open_projects}
        loop = asyncio.get_running_loop()
        self._noting = loop.run_in_executor(None, self._continuity.note, served)
        await asyncio.shield(self._noting)

    def _plan_and_damage(self, store: Store) -> tuple[Plan, list[Damaged]]:
        damaged = store.damaged()
        plan = Plan() if damaged else Plan.of(store.read(), self.schema)
        return plan, damaged

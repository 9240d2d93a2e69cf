"""One live plan: its writes and reads, and whoever is connected to it.

Each change is carried from one to the next: committed, applied to the plan in memory,
answered, then told to the others, in commit order.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol, Self, TypeVar

import orjson

from gantt_tornado.config import Config
from gantt_tornado.counts import Counts
from gantt_tornado.errors import (
    BadRequest,
    Conflict,
    GanttError,
    NotFound,
    Stale,
    TooLarge,
)
from gantt_tornado.live.callbacks import Callbacks, OnChange
from gantt_tornado.live.guards import Guards
from gantt_tornado.live.hub import Audience, Event, Hub, encode_event
from gantt_tornado.live.inserts import NEW, Inserts
from gantt_tornado.live.plan import Plan
from gantt_tornado.live.positions import Positions
from gantt_tornado.live.presence import Presence, Visitor
from gantt_tornado.live.resend import Resend
from gantt_tornado.live.series import Series
from gantt_tornado.live.services import Services
from gantt_tornado.live.snapshots import Snapshots
from gantt_tornado.live.tail import Follower, Tail
from gantt_tornado.live.touches import Touches
from gantt_tornado.model import protocol, text
from gantt_tornado.model.change import ACTIONS, NOBODY, Author, BatchRow, Change, WriteResult
from gantt_tornado.model.entities import TASK, Entity, Patch, is_word
from gantt_tornado.model.history import followed
from gantt_tornado.model.project_info import ProjectInfo
from gantt_tornado.model.schema import GANTT, Schema
from gantt_tornado.store.database import Connection as DatabaseConnection
from gantt_tornado.store.items import Store
from gantt_tornado.store.journal import Journal, missed
from gantt_tornado.store.writer import OnCommit, Writer, shutting_down

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Fields of an item, values in one of its fields, and characters of a text, from which on the
#: loop does not wait for their reading.
MANY: Final = 500
LARGE: Final = 32 << 10
#: Seconds between two attempts to read the plan again.
REREAD_EVERY: Final = 2.0


@dataclass(frozen=True, slots=True)
class _Batch:
    """What became of the rows of a batch, in their order."""

    kind: Entity
    author: Author
    writes: Sequence[BatchRow]
    results: list[WriteResult | GanttError]


class Connection(Visitor, Protocol):
    """An open socket."""

    def close(self, code: int | None = None, reason: str | None = None) -> None: ...


@dataclass(frozen=True, slots=True)
class Beginning:
    """What a project begins with; ``latest`` are the items that were changed in the last
    seconds."""

    info: ProjectInfo
    store: Store
    plan: Plan
    latest: list[tuple[Entity, int]]


Read = Callable[[], Awaitable[Beginning]]
#: Reads from the database beside the writer.
ReadApart = Callable[[Callable[[DatabaseConnection], Any]], Awaitable[Any]]


class Project:
    """One plan with everybody who looks at it.

    :meth:`gantt_tornado.backend.Backend.project` gives it. It is read from the database when it
    is first used, and forgotten some time after it was used last; ``async with project:`` keeps
    it in memory meanwhile, for :meth:`load` and :meth:`item`, which do not wait. Callbacks,
    services and guards stay. All methods belong on the loop that ran the backend's ``start()``.

    Args:
        name: what stands in addresses.
        config: the settings of the server.
        writer: where the plan is written.
        read: reads it; raises NotFound where there is no such project.
        read_apart: reads something of it while others write.
        counts: where what it does is counted.
        schema: the entities that there are.
    """

    def __init__(
        self,
        name: str,
        config: Config,
        writer: Writer,
        read: Read,
        read_apart: ReadApart,
        counts: Counts | None = None,
        schema: Schema = GANTT,
    ) -> None:
        self.name: Final = name
        self.schema: Final = schema
        self._counts = counts or Counts()
        self.services = Services()
        self.series = Series()
        self.guards = Guards(schema)
        # ``project.guard("payroll", function)``.
        self.guard = self.guards.add
        self.connections: set[Connection] = set()
        self._calendar = config.calendar
        self._markup = config.html == "clean"
        self._max_rows = config.max_rows_a_write
        self._max_items = config.max_items
        # Limits of the journal: milliseconds, and changes.
        self._longest = int(config.journal_days * 24 * 60 * 60 * 1000)
        self._most_changes = config.journal_changes
        self._writer = writer
        self._read_plan = read
        self._read_apart = read_apart
        self._on_commit = OnCommit(self._committed, self._answered)
        self._callbacks = Callbacks()
        # A list a batch, between its commit and its telling.
        self._untold: deque[list[Event]] = deque()
        #: While the plan is read again.
        self._rereading: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[None] | None = None
        # Those who need it in memory, and when there were any last.
        self._users = 0
        self._used = 0.0
        #: Told the project's number and the last change, after each commit.
        self.on_commit: Callable[[int, int], None] | None = None
        #: Whether it is in memory.
        self.is_open = False
        #: Its title and the like, while it is open.
        self.info: ProjectInfo
        self._store: Store
        self._serve(Plan(schema=self.schema))

    async def __aenter__(self) -> Self:
        self._users += 1
        if not self.is_open:
            try:
                await self._opened()
            except BaseException:
                self._users -= 1
                raise
        if self.info.deleted:
            self._users -= 1
            raise NotFound("This project has been deleted.")
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._users -= 1
        self._used = time.monotonic()

    def is_idle(self, seconds: float) -> bool:
        """Whether nobody has used it for so long."""
        if self._users or self._untold or self._rereading or self._opening:
            return False
        return time.monotonic() - self._used > seconds

    async def _opened(self) -> None:
        if self._opening is None:
            self._opening = asyncio.create_task(self._open())
        opening = self._opening
        try:
            # One who gives up must not end it for the others.
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            if not opening.cancelled():
                raise
            raise shutting_down() from None

    async def _open(self) -> None:
        try:
            beginning = await self._read_plan()
            self.info, self._store = beginning.info, beginning.store
            self._serve(beginning.plan)
            self.is_open = True
            # What was to be repeated before. Who comes later than that repetition has no
            # answer of then under way any more.
            for entity, id in beginning.latest:
                self._resend.touch(entity, id, "", disputed=True)
        finally:
            self._opening = None

    def forget(self) -> None:
        """Have nothing of the plan in memory until it is used again."""
        self._end()
        self.is_open = False
        del self._store
        self._serve(Plan(schema=self.schema))

    def _serve(self, plan: Plan) -> None:
        def is_told() -> bool:
            return not self._untold and self._rereading is None

        self.plan = plan
        self.positions = Positions(self.schema)
        self.hub = Hub(
            plan,
            withheld=lambda *replay: self._inserts.replaying(*replay),
            counts=self._counts,
        )
        self.snapshots = Snapshots(plan)
        self.presence = Presence(self._publish, self._exists)
        self.tail = Tail(self._line)
        touches = Touches()
        self._inserts = Inserts(plan, self.hub, touches, is_told)
        self._resend = Resend(plan, self.hub, self._inserts, touches, is_told)

    async def stop(self) -> None:
        """Begin nothing any more."""
        self.tail.close()
        tasks = [task for task in (self._rereading, self._opening) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def close(self) -> None:
        """Close every socket with 1001, once all that was committed has been told."""
        self._end()
        self.disconnect(protocol.GOING_AWAY, "The server is shutting down")
        await self._callbacks.close()

    def disconnect(self, code: int, reason: str) -> None:
        """Close every socket."""
        for connection in list(self.connections):
            connection.close(code, reason)
        self.tail.close()

    def _end(self) -> None:
        self._resend.close()
        self._inserts.close()
        self.presence.close()
        self.tail.close()
        self.hub.close()

    # Writes. Each may raise BadRequest, NotFound, Conflict, TooLarge and Unavailable.

    async def insert(
        self,
        entity: str,
        fields: Mapping[str, Any],
        *,
        author: Author = NOBODY,
        request: str = "",
    ) -> WriteResult:
        """Add an item: ``await backend.insert("task", {"text": "Dig", …})``.

        ``request`` names the request; the same again adds no second item.
        """
        kind = self.schema.named(entity)
        async with self:
            self._check_room(1)
            with self._inserts.request(author.client_id, NEW, adds=True):
                edit = await self._read(kind, fields)
                return await self._write(
                    lambda: self._store.insert(kind, edit, author, request=request)
                )

    async def update(
        self,
        entity: str,
        id: int,
        fields: Mapping[str, Any],
        *,
        author: Author = NOBODY,
        request: str = "",
    ) -> WriteResult:
        """Change fields of an item. With ``_rev`` among them, only those that differ from
        the item as it was at that revision count, and are merged with what came since.

        ``request`` names the request; the same again changes nothing more.
        """
        return await self._update(self.schema.named(entity), id, fields, author, request=request)

    async def _update(
        self,
        kind: Entity,
        id: int,
        fields: Mapping[str, Any],
        author: Author,
        has_all: int | None = None,
        request: str = "",
    ) -> WriteResult:
        """``has_all`` is the change as of which the writer has the whole plan, None for one
        who has what its fields say."""
        async with self:
            with self._inserts.request(author.client_id, id):
                try:
                    edit = await self._read(kind, fields)
                    if has_all is not None:
                        edit = edit._replace(rev=has_all, has_all=True)
                    return await self._write(
                        lambda: self._store.update(kind, id, edit, author, request)
                    )
                except GanttError as error:
                    # The writer has on its screen what is not stored.
                    self._refused(kind, id, author, fields, error)
                    raise

    def _refused(
        self,
        kind: Entity,
        id: int,
        author: Author,
        fields: Mapping[str, Any],
        error: GanttError,
    ) -> None:
        self._resend.refused(kind, id, author, fields)
        if isinstance(error, Stale):
            # All that its page has may be of another history.
            only = Audience(listeners=self.hub.reloading(author.client_id))
            self.hub.publish(self._reload(only=only))

    def _reload(self, version: int = 0, only: Audience | None = None) -> list[Event]:
        """Tells pages to load again."""
        value = self.plan.reload_value()
        self._counts.reloads += len(self.connections if only is None else only.listeners)
        channels = dict.fromkeys(entity.channel for entity in self.schema)
        return [encode_event(each, value, self.plan.seq, 0, version, only) for each in channels]

    async def _read(self, kind: Entity, fields: Mapping[str, Any]) -> Patch:
        return await _beside(fields, kind.read, fields, self._calendar, self._markup)

    async def move(
        self,
        id: int,
        *,
        parent: int | None = None,
        before: int | None = None,
        after: int | None = None,
        author: Author = NOBODY,
    ) -> WriteResult:
        """Put a task elsewhere: last below ``parent`` (0 is the top), above the task
        ``before`` or below the task ``after``, whose parent it then has.

        Raises:
            BadRequest: no place is named, or several that are not the same.
        """
        async with self:
            fields: dict[str, Any] = {}
            beside = self._parent_beside(id, before, after)
            if beside is None and parent is None:
                raise BadRequest("A place is needed: parent, before or after.")
            if beside is not None and parent is not None and beside != parent:
                raise BadRequest(f"The parent is {parent}, but the neighbour's is {beside}.")
            fields["parent"] = parent if beside is None else beside
            if beside is not None:
                fields["target"] = str(before) if after is None else f"next:{after}"
            return await self._update(TASK, id, fields, author, has_all=self.plan.seq)

    def _parent_beside(self, id: int, before: int | None, after: int | None) -> int | None:
        """The parent of a move's neighbours, None where it names none."""
        neighbours = [each for each in (before, after) if each is not None]
        if id in neighbours:
            raise BadRequest("A task cannot stand beside itself.")
        parents = [int(self.item("task", each)["parent"]) for each in neighbours]
        if before and after and not self.plan.adjoin(after, before, but=id):
            raise BadRequest(f"There is no place below {after} and above {before}.")
        return parents[0] if parents else None

    async def delete(
        self, entity: str, id: int, *, author: Author = NOBODY, request: str = ""
    ) -> WriteResult:
        """Delete an item with all that hangs on it. What is gone already is no error.

        ``request`` names the request; the same again deletes nothing more.
        """
        kind = self.schema.named(entity)
        async with self:
            with self._inserts.request(author.client_id, id):
                return await self._write(lambda: self._store.delete(kind, id, author, request))

    async def batch(
        self, entity: str, writes: Sequence[BatchRow], *, author: Author = NOBODY
    ) -> list[WriteResult | GanttError]:
        """Carry out many writes in one transaction, and tell them when all are answered.

        A row may point to another of the batch by the id that it has on the page. One
        that is refused harms no other: its error stands in the place of its outcome.
        The delete of a row that was never saved has the outcome with the id 0.
        """
        kind = self.schema.named(entity)
        most = self._max_rows
        if len(writes) > most:
            raise TooLarge(f"This is too much at once: {len(writes)} rows, and {most} may come.")

        def run() -> _Batch:
            saved: dict[str, int] = {}
            # They are undone together.
            with self._store.group() if len(writes) > 1 else nullcontext():
                results = [self._carry_out(kind, write, author, saved) for write in writes]
            return _Batch(kind, author, writes, results)

        added = sum(write.action == "inserted" for write in writes)
        async with self:
            self._check_room(added)
            with self._inserts.request(author.client_id, adds=bool(added)):
                return (await self._write(run)).results

    def _check_room(self, added: int) -> None:
        """Raises:
        TooLarge: with so many more items the plan would have more than ``max_items``.
        """
        most = self._max_items
        if most and added and len(self.plan) + added > most:
            raise TooLarge(f"A plan may have {most} items, and this one would have more.")

    def _note_all(self, batch: _Batch) -> Iterator[None]:
        for write, result in zip(batch.writes, batch.results, strict=True):
            self._note(batch.kind, write, result, batch.author)
            yield

    def _note(
        self, kind: Entity, write: BatchRow, result: WriteResult | GanttError, author: Author
    ) -> None:
        """Note what became of one row of a batch."""
        row = NEW if write.action == "inserted" else protocol.number(write.id) or NEW
        error = result if isinstance(result, GanttError) else None
        self._inserts.answered(author.client_id, row, error)
        if error is not None and row != NEW:
            self._refused(kind, row, author, write.fields, error)

    def _carry_out(
        self, kind: Entity, write: BatchRow, author: Author, saved: dict[str, int]
    ) -> WriteResult | GanttError:
        """On the writer's thread."""
        ours = saved.get(write.id) or protocol.number(write.id) or 0
        named = {field: write.fields.get(field) for field in kind.references}
        own = {field: saved.get(str(id)) for field, id in named.items() if is_word(id)}
        fields = {**write.fields, **{field: id for field, id in own.items() if id}}
        try:
            if write.action not in ACTIONS:
                raise BadRequest(f"There is no action {write.action!r}.")
            if write.action == "deleted":
                return self._store.delete(kind, ours, author)
            edit = kind.read(fields, self._calendar, self._markup)
            if write.action != "inserted":
                return self._store.update(kind, ours, edit, author)
            outcome = self._store.insert(kind, edit, author)
            saved[write.id] = outcome.id
            return outcome
        except GanttError as error:
            # Its frames hold the list that it is put in.
            return error.with_traceback(None)

    async def undo(self, seq: int, *, author: Author = NOBODY, request: str = "") -> WriteResult:
        """Take back change ``seq``, merged with what came after it, and with it all that
        belongs to it: a deleted task comes back with its subtree and links, under the old ids,
        and a batch is taken back whole. ``left`` of the result holds what somebody else has
        changed since, which stays as it is. The same ``request`` again undoes nothing more.

        Raises:
            Conflict: this holds for all of it.
        """
        async with self:
            return await self._write(lambda: self._store.undo(seq, author, request))

    def _write(self, run: Callable[[], T]) -> asyncio.Future[T]:
        if self.info.archived:
            raise Conflict("This project is archived: it can be read, and not changed.")

        def write() -> T:
            self._store.begin(self._max_rows)
            return run()

        return self._writer.submit(write, self._on_commit)

    # Reads.

    async def history(
        self, *, item: int | None = None, before: int | None = None, limit: int = 50
    ) -> list[Change]:
        """Changes before number ``before``, newest first, of one item or of all."""
        async with self:
            last = self.plan.seq + 1 if before is None else before
            return await self._writer.submit(lambda: self._store.journal.history(last, limit, item))

    def load(self) -> dict[str, Any]:
        """All items and the number of the last change, as ``GET /data`` answers them, but
        with text to the letter."""
        loaded: dict[str, Any] = self._letters(b"".join(self.plan.load()))
        return loaded

    def item(self, entity: str, id: int) -> dict[str, Any]:
        """One item.

        Raises:
            NotFound: there is none.
        """
        encoded = self.plan.item(self.schema.named(entity), id)
        if encoded is None:
            raise NotFound(f"There is no such {entity}.")
        item: dict[str, Any] = self._letters(encoded)
        return item

    def _exists(self, id: int) -> bool:
        return any(self.plan.item(entity, id) for entity in self.schema)

    def _letters(self, wire: bytes) -> Any:
        """JSON as clients get it, decoded, with text as it is stored."""
        told = b"&" in wire and not self._markup
        return text.each(text.read, orjson.loads(wire)) if told else orjson.loads(wire)

    # The journal.

    async def follow(
        self, seq: int, follower: Follower, heartbeat: float | None
    ) -> AsyncGenerator[bytes]:
        """The changes after ``seq`` as lines of JSON, oldest first, with all that is committed
        meanwhile; and on, until the follower is closed.

        Args:
            follower: of :attr:`tail`, from before on.
            heartbeat: seconds of silence after which an empty line is told; None ends where
                there is no change any more.
        """
        while True:
            lines = self.tail.after(seq)
            if lines is None:
                if follower.is_over:
                    return
                missed, seq = await self._missed(seq)
                if missed:
                    yield missed
            elif lines:
                seq = lines[-1][0]
                yield b"".join(line for _, line in lines)
            elif follower.is_over or heartbeat is None:
                return
            elif not await follower.wait(heartbeat):
                yield b"\n"

    async def _missed(self, seq: int) -> tuple[bytes, int]:
        """Some lines after a change from the journal, and the last change that they tell."""
        known = self.tail.start
        found = await self._read_apart(partial(missed, self._store.project, seq))
        lines = [self._line(change) for change in found.changes]
        if found.horizon > seq:
            position = str(self.plan.position(found.horizon))
            gap = {"action": "gap", "seq": found.horizon, "position": position}
            lines.insert(0, orjson.dumps(gap) + b"\n")
        # Where nothing is left in the journal, the rest cannot be read.
        return b"".join(lines), found.last if found.last > seq else known

    def _line(self, change: Change) -> bytes:
        """A change as those who follow are told it."""
        position = str(self.plan.position(change.seq))
        return orjson.dumps({**followed(change, self._calendar), "position": position}) + b"\n"

    async def prune(self) -> bool:
        """Forget a few changes that are beyond the journal's limits. Returns whether more must
        go at once."""
        # By then it may have been forgotten.
        journal = self._store.journal
        horizon, more = await self._writer.submit(lambda: self._prune_some(journal))
        if horizon > self.plan.horizon:
            self.plan.forget(horizon)
        return more

    def _prune_some(self, journal: Journal) -> tuple[int, bool]:
        """On the writer's thread: the last change that is forgotten, and whether there is
        more to do at once."""
        if journal.learn():
            return journal.horizon(), True
        clock = int(time.time() * 1000)
        journal.prune(clock, self._longest, self._most_changes)
        horizon = journal.horizon()
        # Over the limit something always goes.
        return horizon, journal.seq() - horizon > self._most_changes

    # Telling.

    def publish(self, name: str, value: Any) -> None:
        """Send a value of your own to everybody who listens to ``name``.

        ``{"type": "custom-action", …}`` on a name of your own reaches the page's handler
        for it. It is not stored and not replayed. It comes behind the events of every
        write that returned before.

        Raises:
            BadRequest: the value is not JSON.
        """
        try:
            encoded = orjson.dumps(value)
        except TypeError as error:
            raise BadRequest(f"The value of the event {name!r} is not JSON.") from error
        self._publish([encode_event(name, encoded)])

    def _publish(self, events: Sequence[Event]) -> None:
        if any(self._untold):
            # What is committed is not published before its writer has been answered, and
            # this is to come behind it.
            self._untold[-1] += events
        else:
            self.hub.publish(events)

    def on_change(self, callback: OnChange) -> Callable[[], None]:
        """Call ``callback`` on the loop with each committed change, in commit order.

        A plain function has run before the write returns to whoever asked for it, so it
        must not take long. An ``async`` one is run beside the writes, one change after the
        other, and no write waits for it; :meth:`close` lets it end, for some seconds. One
        that raises is logged and harms nobody. Returns a function that ends it.
        """
        return self._callbacks.add(callback)

    def resend(self, entity: Entity, id: int) -> None:
        """Send an item's state to all once more, a second from now."""
        self._resend.touch(entity, id, "", disputed=True)

    def connected(self, connection: Connection) -> None:
        self.connections.add(connection)
        self.presence.arrived(connection)

    def disconnected(self, connection: Connection) -> None:
        self.connections.discard(connection)
        self.hub.leave(connection)
        self.presence.left(connection)

    # A change on its way.

    def _committed(self, results: list[Any]) -> Iterator[None]:
        """In steps of a change each, see :class:`~gantt_tornado.store.writer.Writer`."""
        events: list[Event] = []
        # At once, for between two steps the plan is ahead of what was told.
        self._untold.append(events)
        writes = _writes(results)
        try:
            if self._rereading is not None:
                events += self._take_over(results)
            if self._rereading is None:
                yield from self._apply(writes, events)
            for batch in results:
                if isinstance(batch, _Batch):
                    # Here, for it is done in steps, and before the batch is answered.
                    yield from self._note_all(batch)
        except Exception:
            self._read_again()
        for outcome in writes:
            for change in outcome.changes:
                self._callbacks.call(change)
                yield

    def _answered(self, results: list[Any]) -> Iterator[None]:
        events = self._untold.popleft()
        if self.tail.is_followed:
            self.tail.add(change for each in _writes(results) for change in each.changes)
        if self.on_commit is not None:
            self.on_commit(self.info.id, self.plan.seq)
        try:
            self.hub.publish(events)
            for outcome in _writes(results):
                if outcome.differs:
                    self._counts.merges += 1
                    self._counts.dropped += len(outcome.dropped)
                yield from self._resend.written(outcome)
                yield
        except Exception:
            self._read_again()

    def _apply(self, writes: list[WriteResult], events: list[Event]) -> Iterator[None]:
        """Bring the plan on by what was committed, and note what pages are to be told of it."""
        for outcome in writes:
            for change in outcome.changes:
                # A plan that was read again may have it already.
                if change.seq > self.plan.seq:
                    self.plan.apply(change)
                    # Where a row stands is told as of this change, not of the batch's last.
                    # What was gone at once is told as deleted, when the answer has arrived.
                    events += self._events(change) if not outcome.gone else ()
                    yield
            if outcome.gone and outcome.changes:
                self._inserts.withhold(outcome.changes[0])

    # What was committed could not be told.

    def _read_again(self) -> None:
        """Have the plan read from the store: something between commit and telling failed.

        Until then the plan stays as it is, and nothing is told; then all pages are told to
        load again. Call it where the exception is handled.
        """
        log.exception("what was committed could not be told: the plan is read again")
        if self._rereading is None:
            self._rereading = asyncio.create_task(self._reread())

    async def _reread(self) -> None:
        while True:
            try:
                # It comes back as a result in its place among the writes, to _committed.
                await self._writer.submit(self._stored_plan, self._on_commit)
                return
            except Exception:
                log.exception("the plan could not be read again")
                await asyncio.sleep(REREAD_EVERY)

    def _stored_plan(self) -> Plan:
        """On the writer's thread."""
        return Plan.of(self._store.read(), self.schema)

    def _take_over(self, results: list[Any]) -> list[Event]:
        """The plan that was read again, once it is among the results, in place of the old."""
        for plan in results:
            if isinstance(plan, Plan):
                self._rereading = None
                self.plan.become(plan)
                return self._reload(self.plan.version)
        return []

    def _events(self, change: Change) -> list[Event]:
        entity = change.entity
        if change.action == "delete":
            values = entity.tell_gone(change.id)
        else:
            values = [entity.tell(change.action, change.wire)]
        if self._needs_move(change):
            values.append(self.plan.move_value(entity, change.id))
        return self._inserts.events(entity, change.id, values, change=change)

    def _needs_move(self, change: Change) -> bool:
        """Whether clients, who keep a row's place and add new ones last, must be told
        where it stands."""
        if not change.entity.ordered:
            return False
        if change.action == "add":
            return not self.plan.stands_last(change.entity, change.id)
        return change.moved


async def _beside(fields: Mapping[str, Any], read: Callable[..., T], *args: Any) -> T:
    """What ``read`` makes of an item's fields; of many or large ones on another thread."""
    if len(fields) > MANY or any(
        [
            len(value) > (LARGE if type(value) is str else MANY)
            for value in fields.values()
            if type(value) in (str, list, dict)
        ]
    ):
        return await asyncio.get_running_loop().run_in_executor(None, read, *args)
    return read(*args)


def _writes(results: list[Any]) -> list[WriteResult]:
    """Those of the writer's results that stand for writes; the others were reads."""
    flat = [
        each
        for result in results
        for each in (result.results if type(result) is _Batch else (result,))
    ]
    return [result for result in flat if isinstance(result, WriteResult)]

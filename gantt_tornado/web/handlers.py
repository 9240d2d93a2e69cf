"""REST: what stands under ``/data``. Serves docs/protocol.md,
"REST".

Every error answer, the framework's own included, is JSON with ``"action": "error"``:
without it the stock client takes the row for saved.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from functools import cache
from typing import Any, ClassVar, Final, NoReturn
from xml.sax.saxutils import quoteattr

import orjson
from tornado import web
from tornado.iostream import StreamClosedError

from gantt_tornado.backend import Backend
from gantt_tornado.errors import BadRequest, Forbidden, GanttError, NotFound, Stale, is_gone
from gantt_tornado.live.snapshots import WORTHWHILE
from gantt_tornado.model import protocol
from gantt_tornado.model.change import ACTIONS, Author, BatchRow, Change, WriteResult
from gantt_tornado.model.dates import Calendar
from gantt_tornado.model.entities import Entity, entity_named, is_word
from gantt_tornado.model.user import Role, User
from gantt_tornado.web import redaction, requests
from gantt_tornado.web.requests import JSON, Body

log = logging.getLogger(__name__)

#: An ``Idempotency-Key`` is a page's UUID with a row's own id.
LONGEST_KEY: Final = 128
#: Changes in an answer of the history, without a limit of one's own and at most.
DEFAULT_HISTORY: Final = 50
MOST_HISTORY: Final = 500
#: Bytes handed to the socket between two chances for others on the loop.
FLUSH_EVERY: Final = 1 << 20


@web.stream_request_body
class Bounded(web.RequestHandler):
    """Takes no body of any size for any time, also where none is wanted.

    Tornado would collect 100 MB for a handler that does not stream, before the handler is
    asked. A request that will be refused is read to its end first, see
    :class:`~gantt_tornado.web.requests.Body`. What the log says of it holds no token.
    """

    _body: Body | None = None

    #: Bytes and seconds.
    longest_body: int = 0
    body_timeout: float = 60

    async def prepare(self) -> None:
        self._body = Body(self.request, self.longest_body, self.body_timeout)
        if self._body.is_hopeless and "Expect" in self.request.headers:
            # It asks before it sends.
            raise requests.too_large(self.longest_body)

    def data_received(self, chunk: bytes) -> None:
        assert self._body is not None
        if not self._body.take(chunk) and not self._finished:
            error = requests.too_large(self.longest_body)
            self.send_error(exc_info=(type(error), error, None))

    def on_connection_close(self) -> None:
        super().on_connection_close()
        if self._body is not None:
            self._body.abandon()

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        super().send_error(error.status if isinstance(error, GanttError) else status_code, **kwargs)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if isinstance(value, GanttError):
            # The access log has a line for it, and the writer one where a store failed.
            said = redaction.cut(value.detail or value.message)
            log.debug("%s: %s", self._request_summary(), said)
        elif isinstance(value, web.HTTPError):
            # Tornado's own line quotes the argument that cannot be read.
            log.debug("%s: %s", self._request_summary(), value.reason or value.status_code)
        elif isinstance(value, StreamClosedError):
            log.debug("%s: the client hung up", self._request_summary())
        else:
            # Tornado's own line would repeat the URL with its token.
            log.error("failed: %s", self._request_summary(), exc_info=(typ, value, tb))

    def _request_summary(self) -> str:
        # Tornado's log lines carry the URL, and on a socket the URL carries the token.
        return requests.summary(self.request)


class Handler(Bounded):
    """Who asks, whether they may, and how an error is told.

    A subclass states in ``roles`` who may use each verb that it has; None lets everybody
    in. :func:`gantt_tornado.web.app.routes` refuses one that leaves a verb out.
    """

    roles: ClassVar[Mapping[str, Role | None]]
    backend: Backend
    user: User | None

    def initialize(self, backend: Backend) -> None:
        self.backend = backend
        self.body_timeout = backend.config.body_timeout
        self.user = None
        # They were set before the backend was known, and with it the listed origins.
        self.set_default_headers()

    async def prepare(self) -> None:
        try:
            await super().prepare()
            await self.admit()
        except GanttError as error:
            if "Expect" in self.request.headers:
                raise
            self._refuse_later(error)

    async def admit(self) -> None:
        """See who asks, and whether they may.

        Raises:
            GanttError: they may not. It is told when the body has come to its end.
        """
        method = self.request.method or ""
        if method == "OPTIONS" or method not in self.roles:
            return
        if method not in ("GET", "HEAD"):
            requests.check_same_origin(self.backend, self.request)
        self.user = await self.authenticated()
        self.require(self.roles[method])

    def _refuse_later(self, error: GanttError) -> None:
        # Without what it holds of this handler, or the two would keep each other alive.
        error = error.with_traceback(None)

        def refuse(*_path: str) -> NoReturn:
            nonlocal error
            try:
                raise error
            finally:
                # Nor may this function, or the body would wait for the collector.
                del error

        setattr(self, (self.request.method or "").lower(), refuse)

    def check_xsrf_cookie(self) -> None:
        """The stock client sends no such cookie back; the origin is checked instead."""

    async def authenticated(self) -> User | None:
        """The user who asks, None for nobody.

        Raises:
            Forbidden: a token came, and it is wrong.
        """
        if self.backend.authenticate is None:
            return self._bearer()
        user = self.backend.authenticate(self)
        return await user if inspect.isawaitable(user) else user

    def require(self, role: Role | None) -> None:
        if role is not None and (self.user is None or not self.user.may(role)):
            raise Forbidden("You are not allowed to do this.")

    @property
    def author(self) -> Author:
        return requests.author(self.request, self.user)

    def set_default_headers(self) -> None:
        # This runs before initialize(), and again for an error page.
        backend = getattr(self, "backend", None)
        for name, value in requests.headers(backend, self.request).items():
            self.set_header(name, value)

    def options(self, *_path: str) -> None:
        """A browser on a listed origin asks before it writes."""
        self.set_header("Access-Control-Allow-Methods", ", ".join(self.roles))
        self.set_header(
            "Access-Control-Allow-Headers",
            "Content-Type, Idempotency-Key, Remote-Token, Remote-Device",
        )
        self.set_header("Access-Control-Max-Age", "600")
        self.set_status(204)

    def _bearer(self) -> User | None:
        token = self.request.headers.get("Remote-Token", "")
        if not token and self.request.method in ("GET", "HEAD"):
            # gantt.load(url) cannot send a header.
            token = self.get_query_argument("token", "")
        return requests.bearer(self.backend, token) or self.anonymous()

    def anonymous(self) -> User | None:
        """Who somebody without a token is."""
        role = self.backend.config.anonymous
        return User("", Role[role]) if role else None

    # Errors, in one place.

    def error_body(self, status: int, error: BaseException | None) -> dict[str, Any]:
        """What the body of an error answer says."""
        return requests.error_body(status, error)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, GanttError) and error.retry_after is not None:
            self.set_header("Retry-After", str(error.retry_after))
        self.answer(orjson.dumps(self.error_body(status_code, error)))

    def compute_etag(self) -> None:
        """No digest of the body: what has a version states it."""

    def answer(self, body: bytes, content_type: str = JSON) -> None:
        self.set_header("Content-Type", content_type)
        self.finish(body)


class NoSuchRoute(Handler):
    """What is left under ``/data``."""

    roles: ClassVar = {}

    async def admit(self) -> None:
        raise NotFound("There is nothing at this address.")


class BodyHandler(Handler):
    """Has a body."""

    def initialize(self, backend: Backend) -> None:
        super().initialize(backend)
        self.longest_body = backend.config.max_body

    @property
    def body(self) -> Body:
        assert self._body is not None
        return self._body

    async def fields(self, entity: str) -> dict[str, Any]:
        """An item's fields in the body, from JSON or a form."""
        return await requests.beside(
            self.body.read(), requests.read_item, self.backend, self.request.headers, entity
        )


class EntityHandler(BodyHandler):
    """``POST /data/task``, ``PUT`` and ``DELETE /data/task/7``, for every entity."""

    roles: ClassVar[dict[str, Role]] = {
        "POST": Role.editor,
        "PUT": Role.editor,
        "DELETE": Role.editor,
    }

    async def post(self, entity: str, id: str | None) -> None:
        if id is not None:
            raise web.HTTPError(405)
        # A client whose answer was lost sends the same row again.
        request = self.request.headers.get("Idempotency-Key", "")[:LONGEST_KEY]
        fields = await self.fields(entity)
        outcome = await self.backend.insert(entity, fields, author=self.author, request=request)
        self.answer(answer(b"inserted", outcome))

    async def put(self, entity: str, id: str | None) -> None:
        if id is None:
            raise web.HTTPError(405)
        number = requests.item_id(entity, id)
        fields = await self.fields(entity)
        self.answer(await updated(self.backend, entity, number, fields, self.author))

    async def delete(self, entity: str, id: str | None) -> None:
        if id is None:
            raise web.HTTPError(405)
        entity_named(entity)
        try:
            number = requests.item_id(entity, id)
        except NotFound:
            # A row that never reached the server is as gone as one can be.
            self.answer(orjson.dumps({"action": "deleted", "tid": id, "change": None}))
            return
        outcome = await self.backend.delete(entity, number, author=self.author)
        self.answer(answer(b"deleted", outcome))


class DataHandler(BodyHandler):
    """``GET /data``, and ``POST /data`` of the client's modes JSON and POST."""

    roles: ClassVar = {"GET": Role.viewer, "HEAD": Role.viewer, "POST": Role.editor}

    async def get(self) -> None:
        plan = self.backend.default.plan
        assignments = self.get_query_argument("assignments", "") == "1"
        etag = f'"{plan.position()}{"-assignments" if assignments else ""}"'
        self.set_header("Etag", etag)
        if etag in self.request.headers.get("If-None-Match", ""):
            self.set_status(304)
            return
        # Read in one step, so that the parts and the number belong together.
        chunks = plan.load(assignments)
        size = sum(map(len, chunks))
        self.set_header("Content-Type", JSON)
        self.set_header("Vary", "Accept-Encoding, Origin")
        if size >= WORTHWHILE and "gzip" in self.request.headers.get("Accept-Encoding", ""):
            packed = await self.backend.default.snapshots.compressed(assignments)
            self.set_header("Content-Encoding", "gzip")
            chunks = [packed[at : at + FLUSH_EVERY] for at in range(0, len(packed), FLUSH_EVERY)]
            size = len(packed)
        self.set_header("Content-Length", str(size))
        if self.request.method != "HEAD":
            await self._send(chunks)

    async def _send(self, chunks: list[bytes]) -> None:
        """Write a long answer piece by piece, with the loop free between them."""
        waiting = 0
        for chunk in chunks:
            self.write(chunk)
            waiting += len(chunk)
            if waiting >= FLUSH_EVERY:
                try:
                    await asyncio.wait_for(self.flush(), self.body_timeout)
                except TimeoutError:
                    # It would keep a plan of long ago in memory for as long as it likes.
                    log.debug("a load is read too slowly: %s", self._request_summary())
                    self.request.connection.stream.close()  # type: ignore[union-attr]
                    return
                waiting = 0

    head = get

    async def post(self) -> None:
        entity = entity_named(self.get_query_argument("gantt_mode", "tasks").removesuffix("s"))
        writes, is_batch = await requests.beside(
            self.body.read(), writes_of, self.backend, self.request.headers, entity
        )
        if not is_batch:
            await self._one(writes[0], entity)
            return
        results = await self.backend.batch(entity.name, writes, author=self.author)
        self.answer(batch_answer(zip(writes, results, strict=True)), "text/xml; charset=UTF-8")

    async def _one(self, write: BatchRow, entity: Entity) -> None:
        (result,) = await self.backend.batch(entity.name, [write], author=self.author)
        if is_gone(result):
            self.answer(gone(int(write.id), result))
            return
        if isinstance(result, GanttError):
            try:
                raise result
            finally:
                # Else this frame and the error would keep each other alive, and what was sent.
                del result
        if result.id:
            self.answer(answer(ACTIONS[write.action].encode(), result))
        else:
            self.answer(orjson.dumps({"action": "deleted", "tid": write.id, "change": None}))


def write_of(sent: dict[str, Any]) -> BatchRow:
    """A write as mode JSON sends it: ``{"id", "action", "data"}``.

    Raises:
        BadRequest: it is none.
    """
    data = sent.get("data", {})
    if not isinstance(data, dict):
        raise BadRequest("data is not a JSON object.")
    action, id = (sent.get(name) for name in ("action", "id"))
    return BatchRow(action if isinstance(action, str) else "", str(id) if is_word(id) else "", data)


def writes_of(
    body: bytes, backend: Backend, headers: Mapping[str, str], entity: Entity
) -> tuple[list[BatchRow], bool]:
    """The writes in a body of mode JSON or POST, and whether they are a batch."""
    is_batch = False
    if requests.is_json(body, headers):
        writes = [write_of(requests.read_json(body))]
    else:
        form = requests.read_form(body)
        is_batch = "ids" in form
        rows = requests.read_batch(form) if is_batch else {form.get("id", ""): form}
        writes = [row_of(entity, id, fields) for id, fields in rows.items()]
    if requests.may_hold_references(backend, body):
        writes = [replace(write, fields=requests.letters(write.fields)) for write in writes]
    return [as_insert(entity, write) for write in writes], is_batch


def as_insert(entity: Entity, write: BatchRow) -> BatchRow:
    """The write, as one that adds its row if that was never saved."""
    id = protocol.number(write.id) or 0
    is_update = ACTIONS.get(write.action) == "updated"
    if is_update and requests.is_unsaved(entity.name, id, write.fields):
        return replace(write, action="inserted")
    return write


def row_of(entity: Entity, sid: str, form: dict[str, str]) -> BatchRow:
    """A write as mode POST sends it, with the action among the fields."""
    return BatchRow(str(form.get("!nativeeditor_status")), sid, entity.unpack(form))


class HistoryHandler(Handler):
    """``GET /data/history?item=&before=&limit=``: who changed what, newest first.

    An answer ends where it has grown large: what comes before its last change is asked for
    with that one's number as ``before``, until an answer is empty.
    """

    roles: ClassVar = {"GET": Role.viewer}

    async def get(self) -> None:
        item, before = self._number("item"), self._number("before")
        limit = self._number("limit")
        limit = DEFAULT_HISTORY if limit is None else min(limit, MOST_HISTORY)
        # A page may hold some megabytes.
        async with self.backend.history_readers:
            changes = await self.backend.history(item=item, before=before, limit=limit)
            loop = asyncio.get_running_loop()
            calendar = self.backend.config.calendar
            page = await loop.run_in_executor(None, history_page, changes, calendar)
        self.answer(page)

    def _number(self, name: str) -> int | None:
        text = self.get_query_argument(name, "")
        if not text:
            return None
        number = protocol.number(text)
        if number is None:
            raise BadRequest(f"{name} is not a number.")
        return number


def history_page(changes: Iterable[Change], calendar: Calendar) -> bytes:
    """The body of an answer of the history."""
    return orjson.dumps({"history": [line(change, calendar) for change in changes]})


class UndoHandler(Handler):
    """``POST /data/undo/{seq}``: the inverse of a change, as a new change."""

    roles: ClassVar = {"POST": Role.editor}

    async def post(self, seq: str) -> None:
        number = requests.item_id("change", seq)
        outcome = await self.backend.undo(number, author=self.author)
        item = orjson.loads(outcome.wire) if outcome.wire else None
        changes = [
            {"seq": each.seq, "entity": each.entity.name, "id": each.id, "action": each.action}
            for each in outcome.changes
        ]
        left = [
            {"entity": each.entity.name, "id": each.id, "user": each.user, "message": each.message}
            for each in outcome.left
        ]
        done = {"action": "undone", "tid": outcome.id, "change": outcome.change, "item": item}
        self.answer(orjson.dumps({**done, "changes": changes, "left": left}))


def line(change: Change, calendar: Calendar) -> dict[str, Any]:
    """A change as the history shows it: ``at`` in UTC, ``fields`` as field → [old, new]."""
    fields = {
        field: [_shown(field, value, calendar) for value in values]
        for field, values in change.fields.items()
        if field != "target" or change.entity.name != "task"
    }
    return {
        "seq": change.seq,
        "group": change.group,
        "entity": change.entity.name,
        "id": change.id,
        "action": change.action,
        "user": change.author.user,
        "at": datetime.fromtimestamp(change.at / 1000, UTC).isoformat(timespec="milliseconds"),
        "fields": fields,
    }


def _shown(field: str, value: Any, calendar: Calendar) -> Any:
    # Dates stand in the journal as they are stored, and in old lines perhaps none that is one.
    dated = field in ("start_date", "end_date") and isinstance(value, str)
    return calendar.show(value) if dated else value


def answer(action: bytes, outcome: WriteResult) -> bytes:
    """The body of a write's answer; the item's bytes are put in as they are."""
    change = b"null" if outcome.change is None else b"%d" % outcome.change
    if action == b"deleted":
        return b'{"action":"deleted","tid":%d,"change":%s}' % (outcome.id, change)
    done = (action, outcome.id, change, outcome.wire)
    return b'{"action":"%s","tid":%d,"change":%s,"item":%s}' % done


async def updated(
    backend: Backend, entity: str, id: int, fields: Mapping[str, Any], author: Author
) -> bytes:
    """Update an item, or add it if it was never saved. Returns the body of the answer.

    Raises:
        GanttError: it was refused.
    """
    if requests.is_unsaved(entity, id, fields):
        request = f"{author.client_id}:{id}" if author.client_id else ""
        outcome = await backend.insert(entity, fields, author=author, request=request)
        return answer(b"inserted", outcome)
    try:
        outcome = await backend.update(entity, id, fields, author=author)
    except NotFound as error:
        if is_gone(error):
            return gone(id, error)
        raise
    return answer(b"updated", outcome)


def gone(id: int, error: NotFound) -> bytes:
    """The answer to an update of what somebody has deleted. The client keeps a refused row
    among those that it has to save, and with that puts others' new rows off for ever; one
    that is deleted it lets go."""
    told = {"action": "deleted", "tid": id, "gone": True, "message": error.message}
    return orjson.dumps(told)


def batch_answer(done: Iterable[tuple[BatchRow, WriteResult | GanttError]]) -> bytes:
    """The XML answer to a batch; the client misreads one in JSON."""
    # Where thousands are refused, it is mostly for the same reason.
    quote = cache(quoteattr)
    rows = []
    for write, result in done:
        # Most ids are numbers, and quoting takes ten times as long as all the rest.
        sid = f'"{write.id}"' if write.id.isalnum() else quoteattr(write.id)
        if is_gone(result):
            rows.append(f'<action type="deleted" sid={sid} tid={sid}/>')
        elif isinstance(result, GanttError):
            told = f"message={quote(result.message)}"
            told += ' reload="true"' if isinstance(result, Stale) else ""
            rows.append(f'<action type="error" sid={sid} tid={sid} {told}/>')
        else:
            tid = f'"{result.id}"' if result.id else sid
            change = "" if result.change is None else f' change="{result.change}"'
            rows.append(f'<action type="{ACTIONS[write.action]}" sid={sid} tid={tid}{change}/>')
    return f'<?xml version="1.0" encoding="UTF-8"?><data>{"".join(rows)}</data>'.encode()

"""REST: what stands under ``/data``. Serves section 3 of the wire contract.

Every error answer, the framework's own included, is JSON with ``"action": "error"``:
without it the stock client takes the row for saved.
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from http.client import responses
from typing import Any, ClassVar, Final
from urllib.parse import parse_qsl, urlsplit
from xml.sax.saxutils import quoteattr

import orjson
from tornado import web

from gantt_tornado.auth import Role, User
from gantt_tornado.backend import Backend
from gantt_tornado.dates import Calendar
from gantt_tornado.entities import ENTITIES
from gantt_tornado.errors import BadRequest, Forbidden, GanttError, NotFound, TooLarge
from gantt_tornado.journal import Author, Committed
from gantt_tornado.loads import WORTHWHILE
from gantt_tornado.store import Outcome

log = logging.getLogger(__name__)

JSON: Final = "application/json; charset=UTF-8"
#: Fields of a form. A row has some twenty, a batch some hundred rows.
MOST_FIELDS: Final = 10_000
#: A ``Remote-Device`` is a UUID; what is longer is cut.
LONGEST_DEVICE: Final = 64
#: An ``Idempotency-Key`` is a page's UUID with a row's own id.
LONGEST_KEY: Final = 128
#: Changes in an answer of the history, without a limit of one's own and at most.
DEFAULT_HISTORY: Final = 50
MOST_HISTORY: Final = 500
#: Bytes handed to the socket between two chances for others on the loop.
FLUSH_EVERY: Final = 1 << 20

_TOKEN = re.compile(r"(?<=[?&]token=)[^&]*")


class Handler(web.RequestHandler):
    """Who asks, whether they may, and how an error is told.

    A subclass states in ``roles`` who may use each verb that it has; None lets everybody
    in. :func:`gantt_tornado.app.routes` refuses one that leaves a verb out.
    """

    roles: ClassVar[Mapping[str, Role | None]]
    backend: Backend
    user: User | None

    def initialize(self, backend: Backend) -> None:
        self.backend = backend
        self.user = None

    async def prepare(self) -> None:
        method = self.request.method or ""
        if method == "OPTIONS" or method not in self.roles:
            return
        if method not in ("GET", "HEAD"):
            self.check_same_origin()
        self.user = await self.authenticated()
        self.require(self.roles[method])

    def check_same_origin(self) -> None:
        """Refuse a write that a page of another host sends in this user's name.

        Where an application signs in with a cookie, the browser would add it.
        """
        origin = self.request.headers.get("Origin")
        if origin is None or origin in self.backend.config.origins:
            return
        if urlsplit(origin).netloc == self.request.headers.get("Host"):
            return
        raise Forbidden("Pages of another host may not write here.")

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
        device = self.request.headers.get("Remote-Device", "")[:LONGEST_DEVICE]
        return Author(self.user.name if self.user else "", device)

    def set_default_headers(self) -> None:
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Cache-Control", "no-cache")
        origin = self.request.headers.get("Origin")
        if origin and origin in self.backend_origins():
            self.set_header("Access-Control-Allow-Origin", origin)
            self.set_header("Vary", "Origin")

    def backend_origins(self) -> tuple[str, ...]:
        # set_default_headers runs before initialize(), and again for an error page.
        return self.backend.config.origins if hasattr(self, "backend") else ()

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
        if token:
            user = self.backend.tokens.verify(token)
            if user is None:
                raise Forbidden("This token is not known here.")
            return user
        return self.anonymous()

    def anonymous(self) -> User | None:
        """Who somebody without a token is."""
        role = self.backend.config.anonymous
        return User("", Role[role]) if role else None

    # Errors, in one place.

    def error_body(self, status: int, error: BaseException | None) -> dict[str, Any]:
        """What the body of an error answer says."""
        if isinstance(error, GanttError):
            return {"action": "error", "code": error.code, "message": error.message}
        message = responses.get(status, "Error")
        if status >= 500:
            message = "Something went wrong on the server. Your change was not saved."
        return {"action": "error", "code": f"http-{status}", "message": message}

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        super().send_error(error.status if isinstance(error, GanttError) else status_code, **kwargs)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        if isinstance(error, GanttError) and error.retry_after is not None:
            self.set_header("Retry-After", str(error.retry_after))
        self.answer(orjson.dumps(self.error_body(status_code, error)))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        if isinstance(value, GanttError):
            # The access log has a line for it, and the writer one where a store failed.
            log.debug("%s: %s", self._request_summary(), value.detail or value.message)
        elif isinstance(value, web.HTTPError):
            super().log_exception(typ, value, tb)
        else:
            # Tornado's own line would repeat the URL with its token.
            log.error("failed: %s", self._request_summary(), exc_info=(typ, value, tb))

    def compute_etag(self) -> None:
        """No digest of the body: what has a version states it."""

    def answer(self, body: bytes, content_type: str = JSON) -> None:
        self.set_header("Content-Type", content_type)
        self.finish(body)

    def _request_summary(self) -> str:
        # Tornado's log lines carry the URL, and on a socket the URL carries the token.
        return _TOKEN.sub("…", super()._request_summary())


class NoSuchRoute(Handler):
    """What is left under ``/data``."""

    roles: ClassVar = {}

    async def prepare(self) -> None:
        raise NotFound("There is nothing at this address.")


@web.stream_request_body
class BodyHandler(Handler):
    """Takes a body up to the limit, and lets a larger one run out before it says so.

    An answer while the client still sends would be lost in the reset of the connection,
    and the client would take its row for saved.
    """

    def initialize(self, backend: Backend) -> None:
        super().initialize(backend)
        self._body = bytearray()
        self._received = 0

    async def prepare(self) -> None:
        connection = self.request.connection
        assert connection is not None
        connection.set_max_body_size(1 << 40)  # type: ignore[attr-defined]
        await super().prepare()

    def data_received(self, chunk: bytes) -> None:
        self._received += len(chunk)
        if self._received <= self.backend.config.max_body:
            self._body += chunk

    @property
    def body(self) -> bytes:
        """The whole body.

        Raises:
            TooLarge: it was more than ``max_body`` bytes.
        """
        limit = self.backend.config.max_body
        if self._received > limit:
            raise TooLarge(f"This is too large to be saved: more than {limit >> 10} KiB.")
        return bytes(self._body)

    def fields(self) -> dict[str, Any]:
        """The fields in the body, from JSON or a form."""
        body = self.body
        if "json" in self.request.headers.get("Content-Type", "") or body[:1] == b"{":
            return read_json(body)
        return read_form(body)


class EntityHandler(BodyHandler):
    """``POST /data/task``, ``PUT`` and ``DELETE /data/task/7``, for every entity."""

    roles: ClassVar = {"POST": Role.editor, "PUT": Role.editor, "DELETE": Role.editor}

    async def post(self, entity: str, id: str | None) -> None:
        if id is not None:
            raise web.HTTPError(405)
        # A client whose answer was lost sends the same row again.
        request = self.request.headers.get("Idempotency-Key", "")[:LONGEST_KEY]
        fields = self.fields()
        outcome = await self.backend.insert(entity, fields, author=self.author, request=request)
        self.answer(answer(b"inserted", outcome))

    async def put(self, entity: str, id: str | None) -> None:
        if id is None:
            raise web.HTTPError(405)
        number = item_id(entity, id)
        outcome = await self.backend.update(entity, number, self.fields(), author=self.author)
        self.answer(answer(b"updated", outcome))

    async def delete(self, entity: str, id: str | None) -> None:
        if id is None:
            raise web.HTTPError(405)
        try:
            number = item_id(entity, id)
        except NotFound:
            # A row that never reached the server is as gone as one can be.
            self.answer(orjson.dumps({"action": "deleted", "tid": id}))
            return
        self.answer(
            answer(b"deleted", await self.backend.delete(entity, number, author=self.author))
        )


class DataHandler(BodyHandler):
    """``GET /data``, and ``POST /data`` of the client's modes JSON and POST."""

    roles: ClassVar = {"GET": Role.viewer, "HEAD": Role.viewer, "POST": Role.editor}

    async def get(self) -> None:
        plan = self.backend.plan
        etag = f'"{plan.seq}"'
        self.set_header("Etag", etag)
        if etag in self.request.headers.get("If-None-Match", ""):
            self.set_status(304)
            return
        # Read in one step, so that the parts and the number belong together.
        chunks = plan.load()
        size = sum(map(len, chunks))
        self.set_header("Content-Type", JSON)
        self.set_header("Vary", "Accept-Encoding, Origin")
        if size >= WORTHWHILE and "gzip" in self.request.headers.get("Accept-Encoding", ""):
            packed = await self.backend.loads.compressed()
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
                await self.flush()
                waiting = 0

    head = get

    async def post(self) -> None:
        fields = self.fields()
        entity = self.get_query_argument("gantt_mode", "tasks").removesuffix("s")
        if entity not in ENTITIES:
            raise NotFound(f"There is nothing called {entity!r} in a plan.")
        if "ids" in fields:
            self.answer(await self._batch(entity, fields), "text/xml; charset=UTF-8")
            return
        # Mode JSON names the action beside the data, mode POST among it.
        data = fields.get("data", {}) if "action" in fields else fields
        action = str(fields.get("action", fields.get("!nativeeditor_status")))
        if not isinstance(data, dict):
            raise BadRequest("data is not a JSON object.")
        outcome = await self._write(entity, action, str(fields.get("id", "")), data)
        self.answer(answer(_DONE[action], outcome))

    async def _batch(self, entity: str, fields: dict[str, Any]) -> bytes:
        """Carry out ``15_id=…&ids=15,27`` row by row; one that fails harms no other."""
        actions = []
        # A row may point to another of the batch by the id that the client gave it.
        known: dict[str, int] = {}
        for sid in str(fields["ids"]).split(","):
            row = {
                key.removeprefix(f"{sid}_"): value
                for key, value in fields.items()
                if key.startswith(f"{sid}_")
            }
            for field in ENTITIES[entity].references:
                row[field] = known.get(str(row.get(field)), row.get(field))
            action = str(row.get("!nativeeditor_status"))
            try:
                outcome = await self._write(entity, action, sid, row)
            except GanttError as error:
                actions.append(("error", sid, sid, error.message))
                continue
            known[sid] = outcome.id
            actions.append((_DONE[action].decode(), sid, str(outcome.id), ""))
        return batch_answer(actions)

    async def _write(self, entity: str, action: str, id: str, fields: dict[str, Any]) -> Outcome:
        backend, author = self.backend, self.author
        if action == "inserted":
            return await backend.insert(entity, fields, author=author)
        if action in ("updated", "order"):
            number = item_id(entity, id)
            return await backend.update(entity, number, fields, author=author)
        if action == "deleted":
            return await backend.delete(entity, item_id(entity, id), author=author)
        raise BadRequest(f"There is no action {action!r}.")


class HistoryHandler(Handler):
    """``GET /data/history?item=&before=&limit=``: who changed what, newest first."""

    roles: ClassVar = {"GET": Role.viewer}

    async def get(self) -> None:
        item, before = self._number("item"), self._number("before")
        limit = self._number("limit")
        limit = DEFAULT_HISTORY if limit is None else min(limit, MOST_HISTORY)
        changes = await self.backend.history(item=item, before=before, limit=limit)
        calendar = self.backend.config.calendar
        self.answer(orjson.dumps({"history": [line(change, calendar) for change in changes]}))

    def _number(self, name: str) -> int | None:
        text = self.get_query_argument(name, "")
        if not text:
            return None
        if not (text.isascii() and text.isdigit() and len(text) < 19):
            raise BadRequest(f"{name} is not a number.")
        return int(text)


class UndoHandler(Handler):
    """``POST /data/undo/{seq}``: the inverse of a change, as a new change."""

    roles: ClassVar = {"POST": Role.editor}

    async def post(self, seq: str) -> None:
        number = item_id("change", seq)
        outcome = await self.backend.undo(number, author=self.author)
        item = orjson.loads(outcome.item) if outcome.item else None
        changes = [
            {"seq": each.seq, "entity": each.entity.name, "id": each.id, "action": each.action}
            for each in outcome.changes
        ]
        done = {"action": "undone", "tid": outcome.id, "item": item, "changes": changes}
        self.answer(orjson.dumps(done))


def line(change: Committed, calendar: Calendar) -> dict[str, Any]:
    """A change as the history shows it: ``at`` in UTC, ``fields`` as field → [old, new]."""
    fields = {
        field: [calendar.show(value) if value and field in _SHOWN else value for value in values]
        for field, values in change.fields.items()
        if field != "target" or change.entity.name != "task"
    }
    return {
        "seq": change.seq,
        "entity": change.entity.name,
        "id": change.id,
        "action": change.action,
        "user": change.author.user,
        "at": datetime.fromtimestamp(change.at / 1000, UTC).isoformat(timespec="milliseconds"),
        "fields": fields,
    }


#: Dates stand in the journal as they are stored.
_SHOWN: Final = ("start_date", "end_date")

_DONE: Final = {
    "inserted": b"inserted",
    "updated": b"updated",
    "order": b"updated",
    "deleted": b"deleted",
}


def answer(action: bytes, outcome: Outcome) -> bytes:
    """The body of a write's answer; the item's bytes are put in as they are."""
    if action == b"deleted":
        return b'{"action":"deleted","tid":%d}' % outcome.id
    return b'{"action":"%s","tid":%d,"item":%s}' % (action, outcome.id, outcome.item)


def batch_answer(actions: Iterable[tuple[str, str, str, str]]) -> bytes:
    """The XML answer to a batch: action, the client's id, ours, a message."""
    rows = "".join(
        f"<action type={quoteattr(action)} sid={quoteattr(sid)} tid={quoteattr(tid)}"
        + (f" message={quoteattr(message)}/>" if message else "/>")
        for action, sid, tid, message in actions
    )
    return f'<?xml version="1.0" encoding="UTF-8"?><data>{rows}</data>'.encode()


def item_id(entity: str, id: str) -> int:
    """An id as it stands in a URL.

    Raises:
        NotFound: it is none that this server gave away.
    """
    if id.isascii() and id.isdigit() and len(id) < 19:
        return int(id)
    raise NotFound(f"There is no such {entity}.")


def read_json(body: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        BadRequest: it is none.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {error}.") from None
    if not isinstance(value, dict):
        raise BadRequest("The body is not a JSON object.")
    return value


def read_form(body: bytes) -> dict[str, Any]:
    """A form of mode REST or POST, in which arrays and objects are JSON strings.

    Raises:
        BadRequest: it cannot be read.
    """
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS
        )
    except ValueError:
        raise BadRequest("The body is not a form in UTF-8.") from None
    return {key: _unpacked(value) for key, value in pairs}


def _unpacked(value: str) -> Any:
    if value[:1] not in ("[", "{"):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value

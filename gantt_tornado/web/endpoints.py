"""The endpoints: coroutines from a request to a response. Serves docs/protocol.md.

:data:`ENDPOINTS` states the verb, the path and the role of each. Nothing here depends on how
Tornado receives a request: :mod:`~gantt_tornado.web.handlers` and
:mod:`~gantt_tornado.web.delegate` adapt the same table to it in two ways.

Every error response, the framework's own included, is JSON with ``"action": "error"``:
without it the stock client takes the row for saved.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cache, cached_property, partial
from itertools import groupby
from typing import Any, Final, NamedTuple
from xml.sax.saxutils import quoteattr

import orjson
from tornado import web
from tornado.httputil import HTTPServerRequest
from tornado.iostream import StreamClosedError
from tornado.log import access_log

from gantt_tornado.backend import Backend
from gantt_tornado.config import Config
from gantt_tornado.counts import OTHER
from gantt_tornado.errors import (
    NOT_ALLOWED,
    BadRequest,
    Forbidden,
    GanttError,
    NotFound,
    Stale,
    TooLarge,
    is_gone,
)
from gantt_tornado.live.positions import page_url
from gantt_tornado.live.services import MOST_ANSWERED, Caller, refused
from gantt_tornado.live.sessions import Calls
from gantt_tornado.live.snapshots import WORTHWHILE
from gantt_tornado.model import protocol
from gantt_tornado.model.change import ACTIONS, Author, BatchRow, WriteResult
from gantt_tornado.model.entities import Entity, is_word
from gantt_tornado.model.history import time_shown, undone
from gantt_tornado.model.marks import FOREIGN, Position
from gantt_tornado.model.project_info import DEFAULT, LONGEST_TITLE, ProjectInfo
from gantt_tornado.model.user import EVERY_PROJECT, Role, User
from gantt_tornado.project import Project
from gantt_tornado.web import logs, metrics, openapi, redaction, requests
from gantt_tornado.web.change_stream import ChangeStream
from gantt_tornado.web.requests import JSON, Body

log = logging.getLogger(__name__)

#: Of what ``/openapi.json`` describes.
VERSION: Final = "1"
#: An ``Idempotency-Key`` is a page's UUID with a row's own id.
LONGEST_KEY: Final = 128
#: Bytes written to a connection before other tasks on the loop get a turn.
FLUSH_EVERY: Final = 1 << 20

#: Headers of a response.
Headers = tuple[tuple[str, str], ...]
_JSON_HEADERS: Final[Headers] = (("Content-Type", JSON),)
_LINES_HEADERS: Final[Headers] = (
    ("Content-Type", "application/x-ndjson; charset=UTF-8"),
    # A proxy that collects would hold it back.
    ("X-Accel-Buffering", "no"),
)
_XML_HEADERS: Final[Headers] = (("Content-Type", "text/xml; charset=UTF-8"),)


class Request(NamedTuple):
    """A request to an endpoint, from a user who may make it.

    Attributes:
        project: whose address it is, the default one's where it is of none.
        user: who makes it.
        query: the arguments of the URL, undecoded, see :meth:`argument`.
        path: the parameters of the endpoint's path, in their order.
        address: where it comes from.
        read_body: returns the whole body; raises TooLarge.
    """

    backend: Backend
    project: Project
    user: User | None
    headers: Mapping[str, str]
    uri: str
    query: Mapping[str, list[bytes]]
    path: tuple[str, ...]
    read_body: Callable[[], bytes]
    address: str = ""

    @classmethod
    def of(
        cls,
        backend: Backend,
        project: Project,
        user: User | None,
        http: HTTPServerRequest,
        path: tuple[str, ...],
        body: Body,
    ) -> Request:
        """The request of a user who may make it."""
        query = http.query_arguments
        found = (backend, project, user, http.headers, http.uri or "", query, path, body.read)
        return cls(*found, http.remote_ip or "")

    @property
    def author(self) -> Author:
        return requests.author(self.headers, self.user)

    @property
    def key(self) -> str:
        """Names a write: a client whose answer was lost sends the same again."""
        return self.headers.get("Idempotency-Key", "")[:LONGEST_KEY]

    def argument(self, name: str, default: str = "") -> str:
        """An argument of the URL."""
        return requests.argument(self.query, name, default)


class Response(NamedTuple):
    """The response of an endpoint. The body may be in pieces, which are sent one after another;
    with a ``stream`` they come as long as that is open. With ``closes`` the connection ends with
    it."""

    chunks: Sequence[bytes] = ()
    status: int = 200
    headers: Headers = _JSON_HEADERS
    stream: ChangeStream | None = None
    closes: bool = False
    #: The status of a refusal that its client can only be told with 200, else 0.
    refused: int = 0

    @property
    def size(self) -> int:
        """Bytes of the body."""
        return sum(map(len, self.chunks))

    @property
    def outcome(self) -> int:
        """The status for the log and for whoever counts."""
        return self.refused or self.status

    @property
    def has_body(self) -> bool:
        return self.status not in (204, 304)

    def slices(self) -> Iterator[bytes]:
        """The body in pieces of at least :data:`FLUSH_EVERY` bytes, and the rest."""
        waiting: list[bytes] = []
        size = 0
        for chunk in self.chunks:
            waiting.append(chunk)
            size += len(chunk)
            if size >= FLUSH_EVERY:
                yield b"".join(waiting)
                waiting, size = [], 0
        if waiting:
            yield b"".join(waiting)


Run = Callable[[Request], Awaitable[Response]]


class Size(IntEnum):
    """How large the body of a request may be: nothing, as a frame of the socket (``max_frame``),
    or as a write (``max_body``)."""

    none = 0
    frame = 1
    write = 2


@dataclass(frozen=True)
class Endpoint:
    """One verb at one path.

    Attributes:
        path: below the prefix, and below ``/p/{project}`` for all projects but the default one;
            ``{name}`` stands for a parameter.
        role: the least role that a user needs.
        body: how large a body it reads.
        of_server: whether it is of no project.
        anywhere: whether a role in any project is enough, for it shows each what they may see.
        is_remote: whether it belongs to the client's remote protocol, which needs a token even
            where anonymous users may read, and whose 403 has a body of its own.
        is_open: whether it asks nobody who they are, whatever the configuration.
        takes_bearer: whether a token may also come as ``Authorization: Bearer``.
        of_scheduler: whether the Scheduler sends it, which takes nothing but the status 200 for
            an answer, and whose token may stand in the URL of a write.
    """

    verb: str
    path: str
    role: Role
    run: Run
    body: Size = Size.none
    is_remote: bool = False
    of_server: bool = False
    anywhere: bool = False
    is_open: bool = False
    takes_bearer: bool = False
    of_scheduler: bool = False

    @cached_property
    def name(self) -> str:
        """What it is counted as."""
        return f"{self.verb} {self.path}"

    @cached_property
    def writes(self) -> bool:
        return self.role >= Role.editor and self.verb not in ("GET", "HEAD")

    @cached_property
    def parameters(self) -> int:
        return self.path.count("{")


@dataclass(frozen=True)
class Address:
    """Endpoints whose paths begin alike, which one RequestHandler serves.

    Attributes:
        pattern: a regular expression of their paths: a group for the name of a project, unless
            they are ``of_server``, and one for each parameter.
        endpoints: by verb.
    """

    pattern: str
    endpoints: Mapping[str, Endpoint]

    # Each is asked for with every request.

    @cached_property
    def _body(self) -> Size:
        return max((endpoint.body for endpoint in self.endpoints.values()), default=Size.none)

    def longest_body(self, config: Config) -> int:
        """Bytes of a body."""
        if self._body is Size.none:
            return 0
        frame = min(config.max_frame, config.max_body)
        return config.max_body if self._body is Size.write else frame

    @cached_property
    def is_remote(self) -> bool:
        return any(endpoint.is_remote for endpoint in self.endpoints.values())

    @cached_property
    def of_scheduler(self) -> bool:
        return any(endpoint.of_scheduler for endpoint in self.endpoints.values())

    @cached_property
    def of_server(self) -> bool:
        return any(endpoint.of_server for endpoint in self.endpoints.values())

    def read(self, groups: Iterable[str | None]) -> tuple[str, tuple[str, ...]]:
        """The project and the parameters in the groups of a path."""
        project, *given = (None, *groups) if self.of_server else groups
        return project or DEFAULT, tuple([each for each in given if each is not None])


def addresses(table: Iterable[Endpoint]) -> list[Address]:
    """The addresses of a table, in its order; their endpoints stand together in it."""
    found = []
    for _, group in groupby(table, key=lambda endpoint: endpoint.path.partition("}")[0]):
        endpoints = {endpoint.verb: endpoint for endpoint in group}
        pattern = _pattern(endpoint.path for endpoint in endpoints.values())
        of_server = any(endpoint.of_server for endpoint in endpoints.values())
        found.append(Address(pattern if of_server else PROJECT + pattern, endpoints))
    return found


def _pattern(paths: Iterable[str]) -> str:
    """A regular expression of paths of which each longer one begins with the shortest."""
    shortest, *longer = sorted(set(paths), key=len)
    tail = f"(?:{longer[-1].removeprefix(shortest)})?" if longer else ""
    return re.sub(r"\{(\w+)\}", lambda name: _PARAMETERS[name[1]], shortest + tail)


#: Stands before the paths of a project.
PROJECT: Final = "(?:/p/([^/]+))?"
#: What a parameter of a path may be.
_PARAMETERS: Final = {
    **{"entity": "([a-z]+)", "id": "([^/]+)", "seq": "([^/]+)"},
    "name": "([^/]+)",
}


# From a request to a response.


async def respond(endpoint: Endpoint, request: Request, http: HTTPServerRequest) -> Response:
    """Run an endpoint. An error becomes a response too."""
    try:
        await _limit(endpoint, request)
        if endpoint.of_server:
            return await endpoint.run(request)
        async with request.project:
            return await endpoint.run(request)
    except Exception as error:
        return endpoint_error(endpoint, http, error, request.read_body)


async def _limit(endpoint: Endpoint, request: Request) -> None:
    """See that nobody does more than one person may, and have what comes too fast wait.

    Raises:
        Forbidden: the user's rights ended while it waited.
        TooMany: it is too much.
    """
    limits = request.backend.limits
    if not limits.are_used:
        return
    opens = not endpoint.of_server and not request.project.is_open
    if not opens and not endpoint.writes:
        return
    keys = limits.keys(request.user, request.address)
    if opens:
        limits.open_project(keys)
    if endpoint.writes and (delay := limits.write(keys)):
        await asyncio.sleep(delay)
        if request.user is not None:
            request.backend.check_stands(request.user, request.project.name)


def finished(
    backend: Backend,
    http: HTTPServerRequest,
    endpoint: Endpoint | None,
    status: int,
    seconds: float,
    user: User | None,
    project: str,
) -> None:
    """Count a request that has been answered, and log it; ``endpoint`` is None where it is of
    none."""
    backend.counts.request(OTHER if endpoint is None else endpoint.name, status, seconds)
    if access_log.isEnabledFor(logging.INFO) or status >= 400:
        of_server = endpoint is not None and endpoint.of_server
        name = user.name if user else ""
        logs.log_request(http, status, seconds, name, "" if of_server else project)


def check_origin(endpoint: Endpoint, backend: Backend, http: HTTPServerRequest) -> None:
    """Raises:
    Forbidden: a page of another host writes.
    """
    if endpoint.verb not in ("GET", "HEAD"):
        requests.check_same_origin(backend, http)


def user_by_token(endpoint: Endpoint, backend: Backend, http: HTTPServerRequest) -> User | None:
    """The user who asks, by our tokens; None for somebody unknown.

    Raises:
        Forbidden: the token is not one of them.
    """
    if endpoint.is_open:
        return None
    return requests.by_token(
        backend,
        http,
        may_be_anonymous=not endpoint.is_remote,
        takes_bearer=endpoint.takes_bearer,
        from_url=endpoint.of_scheduler,
    )


def check_role(
    endpoint: Endpoint, user: User | None, project: str, parameters: tuple[str, ...]
) -> None:
    """See that a user has the role that an endpoint needs: in the project whose address it is, in
    the one that is managed, or in all.

    Raises:
        Forbidden: the user may not do this.
    """
    if endpoint.is_open:
        return
    if endpoint.of_server:
        project = parameters[0] if parameters else EVERY_PROJECT
    if user is None or not (
        user.may_somewhere(endpoint.role) if endpoint.anywhere else user.may(endpoint.role, project)
    ):
        raise Forbidden(NOT_ALLOWED)


def close_slow(backend: Backend, http: HTTPServerRequest) -> None:
    """Close the connection of a client that reads too slowly. Else it would keep an old state
    of the plan in memory for as long as it likes."""
    backend.counts.slow += 1
    log.debug("a response is read too slowly: %s", requests.summary(http))
    http.connection.stream.close()  # type: ignore[union-attr]


def endpoint_error(
    endpoint: Endpoint, http: HTTPServerRequest, error: BaseException, body: Callable[[], bytes]
) -> Response:
    """Log an error of an endpoint, and make the response that tells the client of it."""
    if endpoint.run is call:
        return refused_calls(http, error, body)
    return error_response(http, error, endpoint)


def refused_calls(
    http: HTTPServerRequest, error: BaseException, body: Callable[[], bytes]
) -> Response:
    """The response to remote calls that are not carried out.

    The stock client reads an array of results; on an object it would wait for ever. Calls that
    are too large to be read have text in its place, which it takes for a network error.
    """
    log_error(http, error)
    status = _status(error)
    message = requests.error_body(status, error)["message"]
    try:
        calls = requests.read_list(body())
    except TooLarge as large:
        headers = (("Content-Type", "text/plain; charset=UTF-8"), ("Connection", "close"))
        return Response((large.message.encode(),), TooLarge.status, headers, closes=True)
    except BadRequest:
        calls = [None]
    results = orjson.dumps(refused(calls, message))
    return Response((results,), status, _JSON_HEADERS + error_headers(error))


def _status(error: BaseException) -> int:
    if isinstance(error, GanttError):
        return error.status
    return error.status_code if isinstance(error, web.HTTPError) else 500


def error_response(
    http: HTTPServerRequest, error: BaseException, to: Endpoint | Address
) -> Response:
    """Log an error, and make the response that tells the client of it."""
    log_error(http, error)
    status = _status(error)
    body = (orjson.dumps(error_body(http, status, error, is_remote=to.is_remote)),)
    headers = _JSON_HEADERS + error_headers(error)
    refused = refusal(http, status, to)
    return Response(body, 200 if refused else status, headers, refused=refused)


def refusal(http: HTTPServerRequest, status: int, to: Endpoint | Address) -> int:
    """The status of an error that its client takes with 200 alone, and 0 for others."""
    return status if to.of_scheduler and http.method not in ("GET", "HEAD") else 0


def error_headers(error: BaseException | None) -> Headers:
    if isinstance(error, GanttError) and error.retry_after is not None:
        return (("Retry-After", str(error.retry_after)),)
    return ()


def error_body(
    http: HTTPServerRequest,
    status: int,
    error: BaseException | None,
    *,
    is_remote: bool = False,
) -> dict[str, Any]:
    """The body of an error response, with the id of the request."""
    if is_remote and status == 403:
        # The client compares this body character by character.
        return {"error": "Forbidden"}
    return requests.error_body(status, error) | {"request": logs.request_id(http)}


def log_error(http: HTTPServerRequest, error: BaseException | None) -> None:
    """Log why a request failed, without its token."""
    summary = requests.summary(http)
    if isinstance(error, GanttError):
        # The access log has a line for it, and the writer has logged a failure of the store.
        log.debug("%s: %s", summary, redaction.cut(error.detail or error.message))
    elif isinstance(error, web.HTTPError):
        # Tornado's own line would quote the argument, which may be the token.
        log.debug("%s: %s", summary, error.reason or error.status_code)
    elif isinstance(error, StreamClosedError):
        log.debug("%s: the client closed the connection", summary)
    else:
        # Tornado's own line would have the URL with its token.
        log.error("failed: %s", summary, exc_info=error)


# Reading.


def not_modified(request: Request, etag: str) -> Response | None:
    """The response to who has what there is already, None for others."""
    if etag in request.headers.get("If-None-Match", ""):
        return Response(status=304, headers=(("Etag", etag),))
    return None


async def load(request: Request) -> Response:
    """``GET /data``: all items."""
    plan = request.project.plan
    assignments = request.argument("assignments") == "1"
    etag = f'"{plan.position()}{"-assignments" if assignments else ""}"'
    if unchanged := not_modified(request, etag):
        return unchanged
    # Read in one step, so that the items and the position belong together.
    chunks = plan.load(assignments)
    headers: Headers = (
        ("Etag", etag),
        ("Content-Type", JSON),
        ("Vary", "Accept-Encoding, Origin"),
    )
    accepted = request.headers.get("Accept-Encoding", "")
    if "gzip" in accepted and sum(map(len, chunks)) >= WORTHWHILE:
        packed = await request.project.snapshots.compressed(assignments)
        headers += (("Content-Encoding", "gzip"),)
        chunks = [packed[at : at + FLUSH_EVERY] for at in range(0, len(packed), FLUSH_EVERY)]
    return Response(chunks, headers=headers)


async def changes(request: Request) -> Response:
    """``GET /data/changes?since=&live=``: the journal as lines of JSON, and on with what comes.

    Raises:
        Stale: the journal does not reach back to ``since``, or it is of another history.
    """
    project, since = request.project, request.argument("since")
    seq = project.plan.number(Position.read(since)) if since else project.plan.horizon
    if seq == FOREIGN:
        raise Stale("The journal does not reach back to this position: load the plan again.")
    goes_on = request.argument("live") != "0"
    backend, user = request.backend, request.user
    stream = ChangeStream(backend, project, user, seq, goes_on, request.address)
    return Response(headers=_LINES_HEADERS, stream=stream)


async def history(request: Request) -> Response:
    """``GET /data/history?item=&before=&limit=``: who changed what, newest first.

    A page ends where it has grown large: ask for what comes before its last change with the
    number of that change as ``before``, until a page is empty.
    """
    item, before, limit = (_number(request, name) for name in ("item", "before", "limit"))
    page = await request.backend.history_page(request.project, item, before, limit)
    return Response((page,))


def _number(request: Request, name: str) -> int | None:
    text = request.argument(name)
    if not text:
        return None
    number = protocol.number(text)
    if number is None:
        raise BadRequest(f"{name} is not a number.")
    return number


# Writing.


async def insert(request: Request) -> Response:
    """``POST /data/task``, for every entity."""
    (entity,) = request.path
    key = request.key
    fields = await fields_of(request, request.backend.schema.named(entity))
    result = await request.project.insert(entity, fields, author=request.author, request=key)
    return Response((answer(b"inserted", result),))


async def update(request: Request) -> Response:
    """``PUT /data/task/7``, for every entity."""
    entity, id = request.path
    number = requests.item_id(entity, id)
    fields = await fields_of(request, request.backend.schema.named(entity))
    if requests.is_unsaved(entity, number, fields):
        client_id = request.author.client_id
        key = f"{client_id}:{id}" if client_id else ""
        result = await request.project.insert(entity, fields, author=request.author, request=key)
        return Response((answer(b"inserted", result),))
    try:
        result = await request.project.update(
            entity, number, fields, author=request.author, request=request.key
        )
    except NotFound as error:
        if not is_gone(error):
            raise
        return Response((gone(number, error),))
    return Response((answer(b"updated", result),))


async def delete(request: Request) -> Response:
    """``DELETE /data/task/7``, for every entity."""
    entity, id = request.path
    request.backend.schema.named(entity)
    try:
        number = requests.item_id(entity, id)
    except NotFound:
        # The row was never saved, so there is nothing to delete.
        return Response((orjson.dumps({"action": "deleted", "tid": id, "change": None}),))
    result = await request.project.delete(
        entity, number, author=request.author, request=request.key
    )
    return Response((answer(b"deleted", result),))


async def fields_of(request: Request, entity: Entity) -> dict[str, Any]:
    """An item's fields in the body, from JSON or a form."""
    return await requests.beside(
        request.read_body(), requests.read_item, request.backend, request.headers, entity
    )


async def save(request: Request) -> Response:
    """``POST /data?gantt_mode=tasks`` of the client's modes JSON and POST."""
    entity = request.backend.schema.named(request.argument("gantt_mode", "tasks").removesuffix("s"))
    writes, is_batch = await requests.beside(
        request.read_body(), writes_of, request.backend, request.headers, entity
    )
    results = await request.project.batch(entity.name, writes, author=request.author)
    return respond_to_writes(writes, results, is_batch)


def respond_to_writes(
    writes: list[BatchRow], results: list[WriteResult | GanttError], is_batch: bool
) -> Response:
    """The response to writes of the client's modes JSON and POST."""
    if is_batch:
        body = batch_answer(zip(writes, results, strict=True))
        return Response((body,), headers=_XML_HEADERS)
    # Popped, so that an error that is raised is not held by this frame, see below.
    return _one(writes[0], results.pop())


def _one(write: BatchRow, result: WriteResult | GanttError) -> Response:
    if is_gone(result):
        return Response((gone(int(write.id), result),))
    if isinstance(result, GanttError):
        try:
            raise result
        finally:
            # Else this frame and the error would be a reference cycle that holds the body.
            del result
    if result.id:
        return Response((answer(ACTIONS[write.action].encode(), result),))
    return Response((orjson.dumps({"action": "deleted", "tid": write.id, "change": None}),))


async def undo(request: Request) -> Response:
    """``POST /data/undo/42``: the inverse of a change, as a new change."""
    number = requests.item_id("change", request.path[0])
    result = await request.project.undo(number, author=request.author, request=request.key)
    return Response((orjson.dumps(undone(result)),))


# How the server does.


async def alive(request: Request) -> Response:
    """``GET /healthz``: the event loop answers. Else the process has to be started again."""
    return Response((b'{"status":"alive"}',))


async def ready(request: Request) -> Response:
    """``GET /readyz``: a write would be taken now; 503 where it would not, and as soon as the
    server shuts down."""
    await request.backend.readiness.check()
    return Response((b'{"status":"ready"}',))


async def measured(request: Request) -> Response:
    """``GET /metrics``, for Prometheus."""
    body, content_type = metrics.exposition(request.backend, request.headers.get("Accept", ""))
    return Response((body,), headers=(("Content-Type", content_type),))


async def described(request: Request) -> Response:
    """``GET /openapi.json``: what there is, for programs."""
    return Response((orjson.dumps(openapi.document(ENDPOINTS, VERSION)),))


# Projects.


async def projects(request: Request) -> Response:
    """``GET /projects``: those that the user may see; with ``deleted=1`` those that an admin may
    take back."""
    deleted = request.argument("deleted") == "1"
    role = Role.admin if deleted else Role.viewer
    found = await request.backend.projects(deleted, partial(may, request, role))
    shown = [_shown_project(each) for each in found]
    return Response((orjson.dumps({"projects": shown}),))


async def create_project(request: Request) -> Response:
    """``POST /projects {"name","title","copy","demo"}``."""
    sent = requests.read_json(request.read_body())
    name, title, copy = (_text(sent, field) for field in ("name", "title", "copy"))
    if copy and not may(request, Role.viewer, copy):
        raise Forbidden(NOT_ALLOWED)
    demo = sent.get("demo") is True
    info = await request.backend.create_project(name, title, copy_of=copy or None, demo=demo)
    return Response((orjson.dumps(_shown_project(info)),), 201)


async def change_project(request: Request) -> Response:
    """``PUT /projects/{name}``: ``title``, ``public`` or ``archived``."""
    sent = requests.read_json(request.read_body())
    flags = {}
    for field in ("public", "archived"):
        if field in sent and type(sent[field]) is not bool:
            raise BadRequest(f"{field} is neither true nor false.")
        flags[field] = sent.get(field)
    title = _text(sent, "title") if "title" in sent else None
    info = await request.backend.change_project(request.path[0], title=title, **flags)
    return Response((orjson.dumps(_shown_project(info)),))


async def delete_project(request: Request) -> Response:
    """``DELETE /projects/{name}?name={name}``: the name is asked for again."""
    (name,) = request.path
    if request.argument("name") != name:
        raise BadRequest("The name of the project has to be given again: ?name=…")
    await request.backend.delete_project(name)
    return Response((orjson.dumps({"action": "deleted", "name": name}),))


async def restore_project(request: Request) -> Response:
    """``POST /projects/restore/{name}``: take back a delete."""
    info = await request.backend.restore_project(request.path[0])
    return Response((orjson.dumps(_shown_project(info)),))


async def webhooks(request: Request) -> Response:
    """``GET /webhooks``: what is still to be sent to each."""
    return Response((orjson.dumps({"webhooks": request.backend.webhooks.lag()}),))


def may(request: Request, role: Role, project: str) -> bool:
    return request.user is not None and request.user.may(role, project)


def _text(sent: Mapping[str, Any], field: str) -> str:
    value = sent.get(field, "")
    if not isinstance(value, str) or len(value) > LONGEST_TITLE:
        raise BadRequest(f"{field} is not a text of up to {LONGEST_TITLE} characters.")
    return value


def _shown_project(info: ProjectInfo) -> dict[str, Any]:
    times = {"changed": info.changed, "created": info.created, "archived": info.archived}
    return {
        **{"name": info.name, "title": info.title, "public": info.public, "tasks": info.tasks},
        **{name: time_shown(at) if at else None for name, at in times.items()},
    }


# The client's remote protocol, beside its socket.


async def handshake(request: Request) -> Response:
    """``GET /api/v1``: what a page may call, before it opens its socket."""
    project = request.project
    project.positions.made_handshake(page_url(request.uri))
    # The documented snippet has no since, and is answered to the letter.
    told = _who(request) if request.argument("since") else None
    return Response((orjson.dumps(project.services.handshake(told)),))


def _who(request: Request) -> dict[str, Any]:
    """What a page is told of its user."""
    assert request.user is not None
    name = request.project.name
    return {"user": request.user.shown(name), "project": name}


async def call(request: Request) -> Response:
    """``POST /api/v1``: remote calls."""
    calls = requests.read_list(request.read_body())
    if len(calls) > MOST_ANSWERED:
        raise BadRequest(f"There are more than {MOST_ANSWERED} calls in it.")
    assert request.user is not None
    limits = request.backend.limits
    if delay := limits.call(limits.keys(request.user, request.address), len(calls)):
        await asyncio.sleep(delay)
    caller = Caller(request.user, request.author.client_id)
    session = Calls(request.user, request.project.name)
    # Only now: whoever was signed out during the delay is not let in.
    request.backend.open_session(session)
    try:
        services = request.project.services
        results = await services.call_all(calls, caller, lambda: not session.is_over)
    finally:
        request.backend.sessions.closed(session)
    return Response((orjson.dumps(results),))


async def publish(request: Request) -> Response:
    """``POST /api/v1/publish {"name","value"}``: an event on a channel of the application's."""
    sent = requests.read_json(request.read_body())
    name = sent.get("name")
    if not isinstance(name, str) or not 0 < len(name) <= protocol.LONGEST_NAME:
        raise BadRequest(f"name is not a text of up to {protocol.LONGEST_NAME} characters.")
    if "value" not in sent:
        raise BadRequest("The value is missing.")
    if name in request.project.guards.built_in:
        raise Forbidden(f"What {name} tells comes from the server alone.")
    assert request.user is not None
    if not await request.project.guards.allow(name, request.user):
        raise Forbidden(NOT_ALLOWED)
    request.project.publish(name, sent["value"])
    return Response((orjson.dumps({"action": "published", "name": name}),))


_of_server = partial(Endpoint, of_server=True)
#: What a machine asks that watches over the server.
WATCHED: Final = (
    _of_server("GET", "/healthz", Role.viewer, alive, is_open=True),
    _of_server("HEAD", "/healthz", Role.viewer, alive, is_open=True),
    _of_server("GET", "/readyz", Role.viewer, ready, is_open=True),
    _of_server("HEAD", "/readyz", Role.viewer, ready, is_open=True),
    _of_server("GET", "/metrics", Role.admin, measured, takes_bearer=True),
)
#: An earlier path wins over a later one that matches too. Those that begin alike, up to the
#: first parameter, stand together.
ENDPOINTS: Final = (
    Endpoint("GET", "/api/v1", Role.viewer, handshake, is_remote=True),
    Endpoint("POST", "/api/v1", Role.viewer, call, body=Size.frame, is_remote=True),
    Endpoint("POST", "/api/v1/publish", Role.editor, publish, body=Size.frame),
    Endpoint("GET", "/data", Role.viewer, load),
    Endpoint("HEAD", "/data", Role.viewer, load),
    Endpoint("POST", "/data", Role.editor, save, body=Size.write),
    Endpoint("GET", "/data/changes", Role.viewer, changes),
    Endpoint("GET", "/data/history", Role.viewer, history),
    Endpoint("POST", "/data/undo/{seq}", Role.editor, undo),
    Endpoint("POST", "/data/{entity}", Role.editor, insert, body=Size.write),
    Endpoint("PUT", "/data/{entity}/{id}", Role.editor, update, body=Size.write),
    Endpoint("DELETE", "/data/{entity}/{id}", Role.editor, delete),
    _of_server("GET", "/projects", Role.viewer, projects, anywhere=True),
    _of_server("POST", "/projects", Role.admin, create_project, body=Size.write),
    _of_server("PUT", "/projects/{name}", Role.admin, change_project, body=Size.write),
    _of_server("DELETE", "/projects/{name}", Role.admin, delete_project),
    _of_server("POST", "/projects/restore/{name}", Role.admin, restore_project),
    _of_server("GET", "/webhooks", Role.admin, webhooks),
    *WATCHED,
    _of_server("GET", "/openapi.json", Role.viewer, described, is_open=True),
)


# Bodies.


def write_of(sent: dict[str, Any]) -> BatchRow:
    """A write of the client's mode JSON: ``{"id", "action", "data"}``.

    Raises:
        BadRequest: it does not have that form.
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
    """A write of the client's mode POST, which has the action among the fields."""
    return BatchRow(str(form.get("!nativeeditor_status")), sid, entity.unpack(form))


def answer(action: bytes, outcome: WriteResult) -> bytes:
    """The body of a write's response; the item is inserted as it is encoded already."""
    change = b"null" if outcome.change is None else b"%d" % outcome.change
    if action == b"deleted":
        return b'{"action":"deleted","tid":%d,"change":%s}' % (outcome.id, change)
    done = (action, outcome.id, change, outcome.wire)
    return b'{"action":"%s","tid":%d,"change":%s,"item":%s}' % done


def gone(id: int, error: NotFound, action: str = "deleted") -> bytes:
    """The body of the response to an update of an item that has been deleted.

    Not an error: the client would keep the row among those that it has to save, and then
    never apply rows that others add. A deleted one it removes from them.
    """
    body = {"action": action, "tid": id, "gone": True, "message": error.message}
    return orjson.dumps(body)


def batch_answer(done: Iterable[tuple[BatchRow, WriteResult | GanttError]]) -> bytes:
    """The XML body of the response to a batch; the client misreads one in JSON."""
    # Where thousands of rows are refused, it is mostly with the same message.
    quote = cache(quoteattr)
    rows = []
    for write, result in done:
        # Most ids are numbers, and quoting takes ten times as long as everything else here.
        sid = f'"{write.id}"' if write.id.isalnum() else quoteattr(write.id)
        if is_gone(result):
            rows.append(f'<action type="deleted" sid={sid} tid={sid}/>')
        elif isinstance(result, GanttError):
            more = f"message={quote(result.message)}"
            more += ' reload="true"' if isinstance(result, Stale) else ""
            rows.append(f'<action type="error" sid={sid} tid={sid} {more}/>')
        else:
            tid = f'"{result.id}"' if result.id else sid
            change = "" if result.change is None else f' change="{result.change}"'
            rows.append(f'<action type="{ACTIONS[write.action]}" sid={sid} tid={tid}{change}/>')
    return f'<?xml version="1.0" encoding="UTF-8"?><data>{"".join(rows)}</data>'.encode()

"""The Scheduler client's endpoints. Serves docs/protocol.md, "The Scheduler".

It writes in all its modes to one address, without an entity in it; takes no answer but one with
the status 200; and its documented snippet sends no header, so the token may stand in the URL.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from gantt_tornado.errors import BadRequest, Conflict, NotFound, is_gone
from gantt_tornado.model.change import Author
from gantt_tornado.model.event import EVENT, SERIES
from gantt_tornado.model.protocol import number
from gantt_tornado.model.user import Role
from gantt_tornado.web import requests
from gantt_tornado.web.endpoints import (
    Endpoint,
    Headers,
    Request,
    Response,
    Size,
    answer,
    fields_of,
    gone,
    not_modified,
    respond_to_writes,
    writes_of,
)
from gantt_tornado.web.requests import FIRST_UNSAVED, LONGEST_CLIENT_ID


async def load(request: Request) -> Response:
    """``GET /events?from=&to=&timeshift=``: what takes place in that time, or all. ``to`` is
    exclusive, and ``timeshift``, the offset of the browser's clock, means nothing here: dates
    name no time zone."""
    since, until = _day(request, "from"), _day(request, "to")
    plan = request.project.plan
    etag = f'"{plan.position()}-{since}-{until}"'
    headers: Headers = (("Etag", etag), ("Content-Type", requests.JSON))
    if unchanged := not_modified(request, etag):
        return unchanged
    return Response(plan.load_events(since, until), headers=headers)


def _day(request: Request, name: str) -> str:
    text = request.argument(name)
    try:
        return request.backend.config.calendar.parse(text) if text else ""
    except ValueError:
        raise BadRequest(f"{name} is not a date.") from None


async def insert(request: Request) -> Response:
    """``POST /events``: a new event, or a write of the modes JSON and POST, which all come to
    this address."""
    body = request.read_body()
    if _is_write(request, body):
        return await _save(request, body)
    fields = await fields_of(request, EVENT)
    author = author_of(request)
    is_late = await _find_series(request, fields, author)
    result = await request.project.insert(EVENT.name, fields, author=author, request=request.key)
    item = orjson.loads(result.item)
    if item.get("rrule") and not result.gone:
        start = request.backend.config.calendar.parse(item["start_date"])
        request.project.series.add(result.id, author, start)
    if is_late:
        # Its page has it with a series that nobody else knows.
        request.project.resend(EVENT, result.id)
    # What the client's old format calls a deleted occurrence.
    action = b"deleted" if item.get("rec_type") == "none" else b"inserted"
    return Response((answer(action, result),))


async def _find_series(request: Request, fields: dict[str, Any], author: Author) -> bool:
    """Put the series in the fields of an exception whose series had no id yet on its page.
    Returns whether it had none.

    Raises:
        Conflict: there is no such series.
    """
    name = next((each for each in SERIES if _is_unsaved(fields.get(each))), None)
    if name is None:
        return False
    start = fields.get("original_start") or fields.get("start_date") or ""
    try:
        start = request.backend.config.calendar.parse(start)
    except (ValueError, AttributeError):
        raise BadRequest("original_start is not a date.") from None
    found = await request.project.series.find(author, start)
    if not found:
        raise Conflict("The series of this event has not been saved.")
    fields[name] = found
    return True


def _is_unsaved(id: Any) -> bool:
    found = number(id) if isinstance(id, str) else id
    return type(found) is int and found >= FIRST_UNSAVED


def author_of(request: Request) -> Author:
    """The author of a change: the page may say in the URL too which it is."""
    author = request.author
    tab = request.argument("tab")[:LONGEST_CLIENT_ID]
    return author if author.client_id or not tab else Author(author.user, tab)


async def update(request: Request) -> Response:
    """``PUT /events/7``."""
    fields = await fields_of(request, EVENT)
    for name in SERIES:
        # A page that was not told yet what its series is called.
        if _is_unsaved(fields.get(name)):
            del fields[name]
    id = requests.item_id(EVENT.name, request.path[0])
    try:
        result = await request.project.update(
            EVENT.name, id, fields, author=author_of(request), request=request.key
        )
    except NotFound as error:
        if not is_gone(error):
            raise
        # Its page is told a second later that it is gone. Not here: a row that was changed again
        # meanwhile would then be among those to be saved for ever, and no add come through.
        return Response((gone(id, error, "updated"),))
    return Response((answer(b"updated", result),))


async def delete(request: Request) -> Response:
    """``DELETE /events/7``: an event, a series with its exceptions, or the occurrence that an
    exception stands for."""
    try:
        id = requests.item_id(EVENT.name, request.path[0])
    except NotFound:
        # It was never saved, so there is nothing to delete.
        return Response((orjson.dumps({"action": "deleted", "tid": request.path[0]}),))
    result = await request.project.delete(
        EVENT.name, id, author=author_of(request), request=request.key
    )
    return Response((answer(b"deleted", result),))


def _is_write(request: Request, body: bytes) -> bool:
    """Whether a POST is one of the modes JSON and POST; then its URL says so, or a form does."""
    if request.argument("editing") == "true":
        return True
    return not requests.is_json(body, request.headers) and b"nativeeditor_status" in body


async def _save(request: Request, body: bytes) -> Response:
    writes, is_batch = await requests.beside(
        body, writes_of, request.backend, request.headers, EVENT
    )
    results = await request.project.batch(EVENT.name, writes, author=author_of(request))
    return respond_to_writes(writes, results, is_batch)


#: For :func:`gantt_tornado.web.table.table_of`.
SCHEDULER: Final = (
    Endpoint("GET", "/events", Role.viewer, load, of_scheduler=True),
    Endpoint("HEAD", "/events", Role.viewer, load, of_scheduler=True),
    Endpoint("POST", "/events", Role.editor, insert, body=Size.write, of_scheduler=True),
    Endpoint("PUT", "/events/{id}", Role.editor, update, body=Size.write, of_scheduler=True),
    Endpoint("DELETE", "/events/{id}", Role.editor, delete, of_scheduler=True),
)

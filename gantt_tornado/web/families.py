"""The endpoints of an application's own families, as the Kanban client's documentation has them.

Serves docs/protocol.md, "Families". The same items are at ``/data/{name}`` too, as tasks are.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import orjson

from gantt_tornado.errors import BadRequest, GanttError, NotFound, is_gone
from gantt_tornado.model.change import BatchRow, WriteResult
from gantt_tornado.model.entities import Entity, is_word
from gantt_tornado.model.user import Role
from gantt_tornado.store.items import LAST
from gantt_tornado.web import requests
from gantt_tornado.web.endpoints import (
    Endpoint,
    Headers,
    Request,
    Response,
    Size,
    answer,
    fields_of,
    not_modified,
)


async def load(entity: Entity, request: Request) -> Response:
    """``GET /cards``: all items, in their order, as a list. With ``seq=1`` as an object that
    says too which change is the last, for ``since``."""
    plan = request.project.plan
    etag = f'"{plan.position()}-{entity.name}"'
    headers: Headers = (("Etag", etag), ("Content-Type", requests.JSON))
    if unchanged := not_modified(request, etag):
        return unchanged
    chunks = plan.items(entity)
    if request.argument("seq") == "1":
        position = orjson.dumps(str(plan.position()))
        chunks = [b'{"%s":' % entity.channel.encode(), *chunks, b',"seq":', position, b"}"]
    return Response(chunks, headers=headers)


async def insert(entity: Entity, request: Request) -> Response:
    """``POST /cards`` of an item, or of ``{"card": …, "before": 7}``."""
    fields = await _fields(entity, request)
    result = await request.project.insert(
        entity.name, fields, author=request.author, request=request.key
    )
    return _done(b"inserted", result)


async def update(entity: Entity, request: Request) -> Response:
    """``PUT /cards/7`` of some fields, or of ``{"card": …}``."""
    return await _update(entity, request, await _fields(entity, request))


async def move(entity: Entity, request: Request) -> Response:
    """``PUT /cards/7/move`` of ``{"before": 5, "columnId": 2, "rowId": 1}``, or of several in
    ``batch`` to the id 0. Without ``before`` an item goes behind all others."""
    sent = requests.read_json(request.read_body())
    batch = sent.get("batch")
    if batch is None:
        return await _update(entity, request, _place(entity, sent))
    if not isinstance(batch, list) or not all(isinstance(each, dict) for each in batch):
        raise BadRequest("batch is not a list of objects.")
    rows = [BatchRow("updated", str(each.get("id")), _place(entity, each)) for each in batch]
    results = await request.project.batch(entity.name, rows, author=request.author)
    errors = [each for each in results if isinstance(each, GanttError)]
    if errors and len(errors) == len(results):
        raise errors[0]
    refused = [each.message for each in errors]
    return Response((orjson.dumps({"id": 0, "refused": refused}),))


async def _update(entity: Entity, request: Request, fields: dict[str, Any]) -> Response:
    id = requests.item_id(entity.name, request.path[0])
    try:
        result = await request.project.update(
            entity.name, id, fields, author=request.author, request=request.key
        )
    except NotFound as error:
        if not is_gone(error):
            raise
        gone = {"action": "deleted", "id": id, "tid": id, "gone": True, "message": error.message}
        return Response((orjson.dumps(gone),))
    return _done(b"updated", result)


async def delete(entity: Entity, request: Request) -> Response:
    """``DELETE /cards/7``; what is gone already is no error."""
    id = requests.item_id(entity.name, request.path[0])
    result = await request.project.delete(
        entity.name, id, author=request.author, request=request.key
    )
    return _done(b"deleted", result)


async def _fields(entity: Entity, request: Request) -> dict[str, Any]:
    sent = await fields_of(request, entity)
    inner = sent.get(entity.word)
    if entity.word in entity.declared or not isinstance(inner, dict):
        return sent
    return inner | ({"target": _target(sent)} if sent.get("before") else {})


def _place(entity: Entity, sent: Mapping[str, Any]) -> dict[str, Any]:
    """Where an item is put: before which, and what it points to from now on."""
    named = {field: sent.get(field, sent.get(f"{field}Id")) for field in entity.references}
    pointers = {field: id for field, id in named.items() if id is not None}
    return {**pointers, "target": _target(sent)}


def _target(sent: Mapping[str, Any]) -> str:
    before = sent.get("before") or 0
    if not is_word(before):
        raise BadRequest("before is not the id of an item.")
    return str(before) if before else LAST


def _done(action: bytes, result: WriteResult) -> Response:
    # The documented answer is the id alone.
    return Response((b'{"id":%d,%s' % (result.id, answer(action, result)[1:]),))


def endpoints_of(entity: Entity) -> tuple[Endpoint, ...]:
    """The endpoints of a family."""
    path = f"/{entity.path}"
    here = f"{path}/{{id}}"
    moves = (Endpoint("PUT", f"{here}/move", Role.editor, partial(move, entity), body=Size.write),)
    return (
        *(moves if entity.ordered else ()),
        Endpoint("GET", path, Role.viewer, partial(load, entity)),
        Endpoint("HEAD", path, Role.viewer, partial(load, entity)),
        Endpoint("POST", path, Role.editor, partial(insert, entity), body=Size.write),
        Endpoint("PUT", here, Role.editor, partial(update, entity), body=Size.write),
        Endpoint("DELETE", here, Role.editor, partial(delete, entity)),
    )

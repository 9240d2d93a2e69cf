"""The shorter way of a ``PUT``: the same request and answer without a RequestHandler.

A RequestHandler costs as much as all that a write does besides. This delegate takes the
commonest request, ``PUT /data/task/7`` under the configured tokens, from Tornado's
routing and leaves every other to :class:`gantt_tornado.web.handlers.EntityHandler`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from http.client import responses
from typing import Any, Final

import orjson
from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerRequest,
    ResponseStartLine,
    format_timestamp,
)
from tornado.log import access_log
from tornado.routing import Router

from gantt_tornado.backend import Backend
from gantt_tornado.errors import Forbidden, GanttError
from gantt_tornado.web import requests
from gantt_tornado.web.handlers import EntityHandler, updated
from gantt_tornado.web.redaction import cut

log = logging.getLogger(__name__)

#: Who may update, as the RequestHandler of the same address states it.
UPDATER: Final = EntityHandler.roles["PUT"]


class UpdateRouter(Router):
    """Takes the requests that :class:`Update` can serve; for the others it has no handler,
    and Tornado goes on to the next rule."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._running: set[asyncio.Task[None]] = set()
        self._second = 0
        self._date = ""

    def find_handler(
        self, request: HTTPServerRequest, path_args: tuple[bytes, ...] = (), **_kwargs: Any
    ) -> HTTPMessageDelegate | None:
        # An application's own sign-in wants a RequestHandler.
        if request.method != "PUT" or self._backend.authenticate is not None:
            return None
        if "Expect" in request.headers:
            # It wants an answer before it sends its body.
            return None
        try:
            entity, id = (part.decode() for part in path_args)
        except UnicodeDecodeError:
            return None
        return Update(self, self._backend, request, entity, id)

    def run(self, update: Update) -> None:
        """Answer, and keep the task from being collected before it has."""
        task = asyncio.get_running_loop().create_task(update.answer())
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def date(self) -> str:
        """The ``Date`` header, made once a second."""
        now = int(time.time())
        if now != self._second:
            self._second, self._date = now, format_timestamp(now)
        return self._date


class Update(HTTPMessageDelegate):
    """One ``PUT``."""

    def __init__(
        self,
        router: UpdateRouter,
        backend: Backend,
        request: HTTPServerRequest,
        entity: str,
        id: str,
    ) -> None:
        self._router = router
        self._backend = backend
        self._request = request
        self._entity = entity
        self._id = id
        self._body = requests.Body(request, backend.config.max_body, backend.config.body_timeout)
        self._running = False

    def headers_received(self, start_line: Any, headers: HTTPHeaders) -> None:
        self._request.headers = headers

    def data_received(self, chunk: bytes) -> None:
        if not self._body.take(chunk):
            self.finish()

    def finish(self) -> None:
        if not self._running:
            self._running = True
            self._router.run(self)

    def on_connection_close(self) -> None:
        self._body.abandon()

    async def answer(self) -> None:
        retry_after = None
        try:
            status, body = 200, await self._update()
        except GanttError as error:
            status, retry_after = error.status, error.retry_after
            body = orjson.dumps(requests.error_body(status, error))
            log.debug("%s: %s", requests.summary(self._request), cut(error.detail or error.message))
        except Exception:
            status, body = 500, orjson.dumps(requests.error_body(500, None))
            log.exception("failed: %s", requests.summary(self._request))
        self._write(status, body, retry_after)

    async def _update(self) -> bytes:
        backend, request = self._backend, self._request
        requests.check_same_origin(backend, request)
        user = requests.bearer(backend, request.headers.get("Remote-Token", ""))
        if user is None or not user.may(UPDATER):
            raise Forbidden("You are not allowed to do this.")
        id = requests.item_id(self._entity, self._id)
        body = self._body.read()
        fields = await requests.beside(
            body, requests.read_item, backend, request.headers, self._entity
        )
        author = requests.author(request, user)
        return await updated(backend, self._entity, id, fields, author)

    def _write(self, status: int, body: bytes, retry_after: int | None) -> None:
        headers = HTTPHeaders(requests.headers(self._backend, self._request))
        headers["Content-Type"] = requests.JSON
        headers["Content-Length"] = str(len(body))
        headers["Date"] = self._router.date()
        if retry_after is not None:
            headers["Retry-After"] = str(retry_after)
        connection = self._request.connection
        assert connection is not None
        connection.write_headers(ResponseStartLine("", status, responses[status]), headers, body)
        connection.finish()
        if access_log.isEnabledFor(logging.INFO):
            level = logging.INFO if status < 400 else logging.WARNING
            duration = 1000 * self._request.request_time()
            access_log.log(level, "%d %s %.2fms", status, requests.summary(self._request), duration)

"""The endpoints without a RequestHandler, under the configured tokens.

A RequestHandler costs as much CPU time as everything else in a write. The delegate takes
requests for which the table has an endpoint; all others (404, 405, OPTIONS, sockets, an
application's own ``authenticate``) are left to :mod:`gantt_tornado.web.handlers`.
"""

from __future__ import annotations

import asyncio
import re
import time
from contextlib import aclosing
from http.client import responses
from typing import Any, Final

import tornado
from tornado.escape import url_unescape
from tornado.httputil import (
    HTTPHeaders,
    HTTPMessageDelegate,
    HTTPServerRequest,
    ResponseStartLine,
    format_timestamp,
)
from tornado.iostream import StreamClosedError
from tornado.routing import Router

from gantt_tornado.backend import Backend
from gantt_tornado.model.user import User
from gantt_tornado.web import endpoints, proxies, requests
from gantt_tornado.web.change_stream import ChangeStream
from gantt_tornado.web.endpoints import Address, Endpoint, Request, Response
from gantt_tornado.web.table import table_of

SERVER: Final = f"TornadoServer/{tornado.version}"


class EndpointRouter(Router):
    """Finds the endpoint of a request. Where it returns None, Tornado tries the next rule."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        table = endpoints.addresses(table_of(backend))
        self._addresses = [(re.compile(address.pattern), address) for address in table]
        self._running: set[asyncio.Task[None]] = set()
        self._second = 0
        self._date = ""

    def find_handler(
        self, request: HTTPServerRequest, **_kwargs: Any
    ) -> HTTPMessageDelegate | None:
        # An application's own authenticate() needs a RequestHandler.
        if self._backend.authenticate is not None:
            return None
        for pattern, address in self._addresses:
            if match := pattern.fullmatch(request.path):
                return self._delegate(request, address, match)
        return None

    def _delegate(
        self, request: HTTPServerRequest, address: Address, match: re.Match[str]
    ) -> HTTPMessageDelegate | None:
        endpoint = address.endpoints.get(request.method or "")
        project, given = address.read(match.groups())
        if endpoint is None or len(given) != endpoint.parameters:
            return None
        if "Expect" in request.headers or (endpoint.is_remote and "Upgrade" in request.headers):
            # An interim response, or a socket.
            return None
        if "%" in request.path:
            try:
                given = tuple([_unquoted(each) for each in given])
            except UnicodeDecodeError:
                return None
        return EndpointDelegate(self, self._backend, request, address, endpoint, project, given)

    def run(self, delegate: EndpointDelegate) -> None:
        """Respond in a task, which is referenced until it is done: the loop does not do that."""
        self._running.add(asyncio.get_running_loop().create_task(delegate.respond()))

    def done(self) -> None:
        """The running task has responded. A callback of the task would be one more turn."""
        self._running.discard(asyncio.current_task())

    def date(self) -> str:
        """The value of the ``Date`` header, formatted once a second."""
        now = int(time.time())
        if now != self._second:
            self._second, self._date = now, format_timestamp(now)
        return self._date


def _unquoted(parameter: str) -> str:
    return url_unescape(parameter, encoding=None, plus=False).decode()


class EndpointDelegate(HTTPMessageDelegate):
    """One request to an endpoint."""

    def __init__(
        self,
        router: EndpointRouter,
        backend: Backend,
        request: HTTPServerRequest,
        address: Address,
        endpoint: Endpoint,
        project: str,
        path: tuple[str, ...],
    ) -> None:
        proxies.see_through(backend.config, request)
        self._router = router
        self._backend = backend
        self._request = request
        self._endpoint = endpoint
        self._project = project
        self._path = path
        self._longest_body = address.longest_body(backend.config)
        self._body = requests.Body(request, self._longest_body, backend.config.body_timeout)
        self._is_endless = False
        self._running = False
        self._user: User | None = None

    def headers_received(self, start_line: Any, headers: HTTPHeaders) -> None:
        self._request.headers = headers

    def data_received(self, chunk: bytes) -> None:
        if not self._body.take(chunk):
            self._is_endless = True
            self.finish()

    def finish(self) -> None:
        if not self._running:
            self._running = True
            self._router.run(self)

    def on_connection_close(self) -> None:
        self._body.abandon()

    async def respond(self) -> None:
        began = time.perf_counter()
        try:
            response = await self._response()
            await self._send(response)
        except StreamClosedError as error:
            endpoints.log_error(self._request, error)
        finally:
            self._router.done()
        seconds = time.perf_counter() - began
        endpoints.finished(
            *(self._backend, self._request, self._endpoint, response.outcome, seconds),
            *(self._user, self._project),
        )

    async def _response(self) -> Response:
        backend, http, endpoint = self._backend, self._request, self._endpoint
        try:
            if self._is_endless:
                raise requests.too_large(self._longest_body)
            endpoints.check_origin(endpoint, backend, http)
            user = endpoints.user_by_token(endpoint, backend, http)
            self._user = user
            endpoints.check_role(endpoint, user, self._project, self._path)
            project = backend.find(self._project)
        except Exception as error:
            return endpoints.endpoint_error(endpoint, http, error, self._body.read)
        request = Request.of(backend, project, user, http, self._path, self._body)
        return await endpoints.respond(endpoint, request, http)

    async def _send(self, response: Response) -> None:
        connection: Any = self._request.connection
        start = ResponseStartLine("", response.status, responses[response.status])
        size = response.size
        headers = self._headers(response, size)
        if response.stream is not None:
            await self._send_stream(response.stream, start, headers)
        elif self._request.method == "HEAD" or not response.has_body:
            connection.write_headers(start, headers)
        elif size < endpoints.FLUSH_EVERY:
            written = connection.write_headers(start, headers, b"".join(response.chunks))
            if response.closes and await self._wait(written):
                connection.close()
                return
        else:
            pieces = response.slices()
            piece = next(pieces)
            written = connection.write_headers(start, headers, piece)
            while len(piece) >= endpoints.FLUSH_EVERY:
                if not await self._wait(written):
                    return
                piece = next(pieces, b"")
                written = connection.write(piece) if piece else None
        connection.finish()

    async def _send_stream(
        self, stream: ChangeStream, start: ResponseStartLine, headers: HTTPHeaders
    ) -> None:
        connection: Any = self._request.connection
        connection.set_close_callback(stream.close)
        try:
            # At once: who follows wants to know that it has begun.
            going = await self._wait(connection.write_headers(start, headers))
            async with aclosing(stream.pieces()) as pieces:
                async for piece in pieces:
                    going = going and await self._wait(connection.write(piece))
                    if not going:
                        return
        finally:
            stream.end()

    async def _wait(self, written: asyncio.Future[None]) -> bool:
        """Wait until a piece has been written; meanwhile other tasks run. Returns whether it was,
        in time."""
        try:
            await asyncio.wait_for(written, self._backend.config.body_timeout)
        except TimeoutError:
            endpoints.close_slow(self._backend, self._request)
            return False
        return True

    def _headers(self, response: Response, size: int) -> HTTPHeaders:
        headers = HTTPHeaders()
        for name, value in requests.headers(self._backend, self._request).items():
            headers[name] = value
        headers["Server"] = SERVER
        headers["Date"] = self._router.date()
        for name, value in response.headers:
            headers[name] = value
        if response.has_body and response.stream is None:
            headers["Content-Length"] = str(size)
        return headers

"""The endpoints as Tornado's RequestHandlers.

For applications that mount the routes, and for their ``authenticate``.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from contextlib import aclosing
from typing import Any

import orjson
from tornado import web

from gantt_tornado.backend import Backend
from gantt_tornado.errors import GanttError, NotFound
from gantt_tornado.model.user import User
from gantt_tornado.project import Project
from gantt_tornado.web import endpoints, proxies, requests
from gantt_tornado.web.change_stream import ChangeStream
from gantt_tornado.web.endpoints import Address, Endpoint, Request, Response
from gantt_tornado.web.requests import JSON, Body


@web.stream_request_body
class BoundedHandler(web.RequestHandler):
    """Limits the size and the duration of every request body, also where none is expected.

    For a handler that does not stream, Tornado would buffer 100 MB before it calls the handler.
    A request that will be refused is read to its end first, see
    :class:`~gantt_tornado.web.requests.Body`. No log line has a token in it.
    """

    backend: Backend
    user: User | None = None

    _body: Body | None = None
    #: The status of a refusal that is told with 200.
    _refused = 0

    #: Bytes and seconds.
    longest_body: int = 0
    body_timeout: float = 60

    def __init__(self, *args: Any, **more: Any) -> None:
        self._began = time.perf_counter()
        super().__init__(*args, **more)

    @property
    def endpoint(self) -> Endpoint | None:
        """The endpoint that is asked for, None where it is none of the table."""
        return None

    @property
    def logged_project(self) -> str:
        """The project that is asked for, "" where it is none."""
        return ""

    async def prepare(self) -> None:
        proxies.see_through(self.backend.config, self.request)
        self._body = Body(self.request, self.longest_body, self.body_timeout)
        if self._body.is_hopeless and "Expect" in self.request.headers:
            # It waits for an answer before it sends the body.
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

    def on_finish(self) -> None:
        seconds = time.perf_counter() - self._began
        endpoints.finished(
            *(
                self.backend,
                self.request,
                self.endpoint,
                self._refused or self.get_status(),
                seconds,
            ),
            *(self.user, self.logged_project),
        )

    def _log(self) -> None:
        # Tornado's own line, beside ours, only where an application wants to write it itself.
        if "log_function" in self.settings:
            super()._log()

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        super().send_error(error.status if isinstance(error, GanttError) else status_code, **kwargs)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        endpoints.log_error(self.request, value)

    def _request_summary(self) -> str:
        # Tornado would log the whole URL, and a socket's URL contains the token.
        return requests.summary(self.request)


class EndpointHandler(BoundedHandler):
    """The endpoints of one address."""

    address: Address

    def initialize(self, backend: Backend, address: Address) -> None:
        self.backend = backend
        self.address = address
        self.body_timeout = backend.config.body_timeout
        self.longest_body = address.longest_body(backend.config)
        self.user = None
        self._refusal: GanttError | None = None
        self._stream: ChangeStream | None = None
        # Tornado called it before the backend, and with it the listed origins, was known.
        self.set_default_headers()

    @property
    def logged_project(self) -> str:
        # A request may be refused before its path is read, and another has nothing to be read.
        return self.project_name if getattr(self, "path_args", None) else ""

    @property
    def project_name(self) -> str:
        return self.address.read(self.path_args)[0]

    @property
    def project(self) -> Project | None:
        """The project of the request, for an application's ``authenticate``; None where there
        is none of that name."""
        try:
            return self.backend.find(self.project_name)
        except NotFound:
            return None

    @property
    def endpoint(self) -> Endpoint | None:
        return self.address.endpoints.get(self.request.method or "")

    async def prepare(self) -> None:
        try:
            await super().prepare()
            await self.admit()
        except GanttError as error:
            if "Expect" in self.request.headers:
                raise
            # Sent when the body has been read to its end.
            self._refusal = error

    async def admit(self) -> None:
        """Find out who asks, and whether they may.

        Raises:
            GanttError: they may not.
        """
        endpoint = self.endpoint
        if endpoint is None:
            return
        endpoints.check_origin(endpoint, self.backend, self.request)
        self.user = None if endpoint.is_open else await self.authenticated()
        endpoints.check_role(endpoint, self.user, *self.address.read(self.path_args))

    async def authenticated(self) -> User | None:
        """The user who asks, None for nobody.

        Raises:
            Forbidden: there is a token, and it is wrong.
        """
        if self.backend.authenticate is None:
            assert self.endpoint is not None
            return endpoints.user_by_token(self.endpoint, self.backend, self.request)
        user = self.backend.authenticate(self)
        return await user if inspect.isawaitable(user) else user

    async def respond(self, *path: str | None) -> None:
        # Its body has come, which may have taken the client long.
        self._began = time.perf_counter()
        if self._refusal is not None:
            await self._send(self._error_response(self._refusal))
            return
        await self._send(await self._response(path))

    get = head = post = put = delete = patch = respond

    async def options(self, *path: str | None) -> None:
        """The preflight request of a browser, for a page of a listed origin."""
        if self._refusal is not None:
            await self.respond(*path)
            return
        self.set_header("Access-Control-Allow-Methods", ", ".join(self.address.endpoints))
        self.set_header(
            "Access-Control-Allow-Headers",
            "Content-Type, Idempotency-Key, Remote-Token, Remote-Device",
        )
        self.set_header("Access-Control-Max-Age", "600")
        self.set_status(204)

    async def _response(self, path: tuple[str | None, ...]) -> Response:
        endpoint, body = self.endpoint, self._body
        name, parameters = self.address.read(path)
        if endpoint is None or len(parameters) != endpoint.parameters:
            raise web.HTTPError(405)
        assert body is not None
        project = self.backend.find(name)
        request = Request.of(self.backend, project, self.user, self.request, parameters, body)
        return await endpoints.respond(endpoint, request, self.request)

    async def _send(self, response: Response) -> None:
        """Send a response, a long one in pieces: other tasks run between them."""
        self.set_status(response.status)
        self._refused = response.refused
        for name, value in response.headers:
            self.set_header(name, value)
        if response.stream is not None:
            await self._send_stream(response.stream)
            return
        if not response.has_body:
            return
        self.set_header("Content-Length", str(response.size))
        if self.request.method == "HEAD":
            return
        for piece in response.slices():
            self.write(piece)
            if len(piece) >= endpoints.FLUSH_EVERY and not await self._flushed():
                return
        if response.closes:
            await self.finish()
            self.request.connection.close()  # type: ignore[union-attr]

    async def _send_stream(self, stream: ChangeStream) -> None:
        self._stream = stream
        try:
            # At once: who follows wants to know that it has begun.
            going = await self._flushed()
            async with aclosing(stream.pieces()) as pieces:
                async for piece in pieces:
                    self.write(piece)
                    going = going and await self._flushed()
                    if not going:
                        return
        finally:
            stream.end()

    async def _flushed(self) -> bool:
        """Wait until all has been written. Returns whether it was, in time."""
        try:
            await asyncio.wait_for(self.flush(), self.body_timeout)
        except TimeoutError:
            endpoints.close_slow(self.backend, self.request)
            return False
        return True

    def on_connection_close(self) -> None:
        super().on_connection_close()
        if self._stream is not None:
            self._stream.close()

    def check_xsrf_cookie(self) -> None:
        """Nothing: the stock client does not send the cookie; the origin is checked instead."""

    def set_default_headers(self) -> None:
        # Tornado calls this before initialize(), and again for an error response.
        backend = getattr(self, "backend", None)
        for name, value in requests.headers(backend, self.request).items():
            self.set_header(name, value)

    def compute_etag(self) -> None:
        """None: endpoints whose content has a version set their own ``Etag``."""

    # Tornado's own errors. Those of endpoints are responses already.

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        for name, value in endpoints.error_headers(error):
            self.set_header(name, value)
        self.set_header("Content-Type", JSON)
        self._refused = endpoints.refusal(self.request, status_code, self.address)
        if self._refused:
            self.set_status(200)
        is_remote = self.address.is_remote
        body = endpoints.error_body(self.request, status_code, error, is_remote=is_remote)
        self.finish(orjson.dumps(body))

    def _error_response(self, error: GanttError) -> Response:
        endpoint, body = self.endpoint, self._body
        if endpoint is not None and body is not None:
            return endpoints.endpoint_error(endpoint, self.request, error, body.read)
        return endpoints.error_response(self.request, error, self.address)


class NoSuchAddress(EndpointHandler):
    """Everything below ``/data`` that is no address of the table."""

    async def admit(self) -> None:
        raise NotFound("There is nothing at this address.")

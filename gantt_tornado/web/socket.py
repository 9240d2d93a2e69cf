"""The client's socket for live updates. Serves docs/protocol.md, "Socket".

It shares its address with the endpoints for handshake and remote calls, so its handler serves
those too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Iterator
from typing import Any, Final

from tornado import web, websocket

from gantt_tornado.backend import Backend
from gantt_tornado.errors import Forbidden, TooMany
from gantt_tornado.limits import Keys
from gantt_tornado.live import presence
from gantt_tornado.live.hub import Send
from gantt_tornado.live.positions import page_url
from gantt_tornado.live.services import MOST_ANSWERED, Caller, Result, refused
from gantt_tornado.model import protocol
from gantt_tornado.model.marks import Position
from gantt_tornado.model.protocol import Call, Subscribe, Unsubscribe
from gantt_tornado.model.user import Role
from gantt_tornado.project import Project
from gantt_tornado.web import redaction
from gantt_tornado.web.endpoints import Address
from gantt_tornado.web.handlers import EndpointHandler
from gantt_tornado.web.requests import LONGEST_CLIENT_ID, check_same_origin, is_ours
from gantt_tornado.web.socket_writer import SocketWriter

log = logging.getLogger(__name__)

#: The status of an answer that makes a socket of a connection.
SWITCHING: Final = 101
#: Channels that one connection may join.
MOST_CHANNELS: Final = 100
#: Calls of one connection that may be under way at a time.
MOST_UNDER_WAY: Final = 100


class SocketHandler(EndpointHandler, websocket.WebSocketHandler):
    """The address ``/api/v1`` of a project, and a client's socket there: a listener of the hub."""

    _project: Project

    def initialize(self, backend: Backend, address: Address) -> None:
        super().initialize(backend, address)
        self._since: Position | None = None
        self._arrived: dict[str, Position] = {}
        self._asked: dict[bytes, tuple[Position, frozenset[str]]] = {}
        self._ended = False
        self._channels: set[str] = set()
        # Subscriptions of which a guard has not said yet whether they may be.
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._tab = ""
        self._reloads = False
        self._calls: set[asyncio.Task[None]] = set()
        self._is_disconnected = False
        self._writer: SocketWriter | None = None
        # As whom it is counted, once it is.
        self._counted: Keys = ()

    # Opening.

    async def admit(self) -> None:
        if not self._upgrades():
            await super().admit()
            return
        check_same_origin(self.backend, self.request)
        try:
            self.user = await self.authenticated()
        except Forbidden:
            # A refused socket is accepted and then closed, so that the client learns the reason.
            self.user = None
        if self._may_listen:
            self._project = self.backend.find(self.project_name)
        # From here on: whoever is signed out while the socket waits for its turn is not let in.
        self.backend.sessions.opened(self)

    async def get(self, *path: str | None) -> None:
        if self._refusal is not None or not self._upgrades():
            await self.respond(*path)
            return
        await self._wait_for_slot()
        if self._is_disconnected:
            # Nobody is left to be answered.
            self._auto_finish = False
            return
        if not self._may_listen:
            await websocket.WebSocketHandler.get(self)
            return
        if not self._project.is_open:
            self.backend.limits.open_project(self._keys)
        # As long as the socket is open.
        async with self._project:
            await websocket.WebSocketHandler.get(self)

    @property
    def _may_listen(self) -> bool:
        return self.user is not None and self.user.may(Role.viewer, self.project_name)

    async def _wait_for_slot(self) -> None:
        """Wait for a connection slot: after a restart all pages connect at once, and each
        needs a replay. Writes go on between them."""
        async with self.backend.connection_slots:
            await asyncio.sleep(0)

    # The socket.

    @property
    def ping_interval(self) -> float:
        """Seconds between pings; a peer that does not answer one in that time is disconnected."""
        return self.backend.config.ping_interval

    @property
    def max_message_size(self) -> int:
        """Bytes; a longer frame closes the socket with 1009."""
        return self.backend.config.max_frame

    def check_origin(self, origin: str) -> bool:
        return is_ours(self.backend, self.request, origin)

    def open(self, *_args: str, **_kwargs: str) -> None:
        if self._ended or not self._may_listen:
            self.close(protocol.POLICY, "Unauthorized")
            return
        keys = self._keys
        if not self.backend.limits.open_socket(keys):
            self.close(protocol.TRY_AGAIN_LATER, "Too many sockets")
            return
        self._counted = keys
        assert self.ws_connection is not None and self.ws_connection.stream is not None
        stream, limit = self.ws_connection.stream, self.backend.config.max_unsent
        if stream.closed():
            # Closed during the upgrade; on_close() is called next.
            return
        self._writer = SocketWriter(stream, limit, self._too_slow)
        # Frames are small: do not let the kernel wait for more.
        self.set_nodelay(True)
        since = self.get_query_argument("since", "")
        self._since = Position.read(since) if since else None
        self._reloads = self.get_query_argument("reload", "") == "1"
        self._tab = self.get_query_argument("tab", "")[:LONGEST_CLIENT_ID]
        if self._since is not None:
            self._arrived = self._project.positions.opened(self._page, self)
        self.send(protocol.websocket_frame(protocol.start(secrets.token_urlsafe(16))))
        self._project.connected(self)

    async def on_message(self, message: str | bytes) -> None:
        if self._ended:
            # Sent before the client knew that it is refused.
            return
        if isinstance(message, bytes):
            self.close(protocol.UNSUPPORTED, "Text frames only")
            return
        match protocol.parse_frame(message):
            case Subscribe(name) if len(self._channels) + len(self._asking) < MOST_CHANNELS:
                await self._ask_to_subscribe(name)
            case Unsubscribe(name):
                if name in self._asking:
                    self._asking.pop(name).cancel()
                self._channels.discard(name)
                self._project.hub.unsubscribe(self, name)
            case Call(calls):
                await self._call(calls)
            case ignored:
                log.debug("ignored a frame of %d characters: %s", len(message), ignored)

    async def _ask_to_subscribe(self, name: str) -> None:
        """Subscribe to a channel, if its guard allows it. What the guard waits for holds up no
        other frame and no pong."""
        assert self.user is not None
        if name in self._asking:
            return
        allowed = self._project.guards.ask(name, self.user)
        if isinstance(allowed, bool):
            await self._subscribe(name, allowed)
            return
        self._asking[name] = asyncio.create_task(self._subscribe_when(name, allowed))
        # One that does not wait after all is done before the next frame is read.
        await asyncio.sleep(0)

    async def _subscribe_when(self, name: str, allowed: Awaitable[bool]) -> None:
        try:
            await self._subscribe(name, await allowed)
        finally:
            if self._asking.get(name) is asyncio.current_task():
                del self._asking[name]

    async def _subscribe(self, name: str, allowed: bool) -> None:
        if not allowed:
            log.debug("%s may not subscribe to %r", self.user_name, redaction.cut(name))
            return
        if self._since is not None:
            await self._wait_for_slot()
        if not self._ended:
            # Only now: ask() must not name a channel before its replay was sent.
            self._channels.add(name)
            self._project.hub.subscribe(self, name)
            if name == presence.CHANNEL:
                self._project.presence.subscribed(self)

    async def _call(self, calls: list[Any]) -> None:
        """Start a task for each call, so that later frames are read meanwhile: behind a slow call
        the page's pongs would wait, and its connection would be closed."""
        if not calls and self._asking and len(self._calls) < MOST_UNDER_WAY:
            # Who asks for nothing wants to know that what was sent before is done.
            self._calls.add(asyncio.create_task(self._answer_when_done()))
            return
        if not calls or len(calls) > MOST_ANSWERED:
            self._refuse(calls, "too many calls at once")
            return
        for at, call in enumerate(calls):
            if len(self._calls) >= MOST_UNDER_WAY:
                # Those that wait for nothing are done by then.
                await asyncio.sleep(0)
            if self._ended:
                return
            if len(self._calls) >= MOST_UNDER_WAY:
                self._refuse(calls[at:], "too many calls are under way")
                break
            self._calls.add(asyncio.create_task(self._carry_out(call)))
        # A call that does not wait is answered before the next frame is read.
        await asyncio.sleep(0)

    async def _carry_out(self, call: Any) -> None:
        assert self.user is not None
        caller = Caller(self.user, self._tab, self)
        try:
            if delay := self.backend.limits.call(self._counted, 1):
                await asyncio.sleep(delay)
            self._answer([await self._project.services.call(call, caller)])
        except TooMany as error:
            self._answer(refused([call], error.message))
        finally:
            task = asyncio.current_task()
            assert task is not None
            self._calls.discard(task)

    async def _answer_when_done(self) -> None:
        try:
            await asyncio.wait(tuple(self._asking.values()))
            self._answer([])
        finally:
            task = asyncio.current_task()
            assert task is not None
            self._calls.discard(task)

    def _refuse(self, calls: list[Any], why: str) -> None:
        # A frame without any call is answered too.
        answers = [[each] for each in refused(calls, why)] if calls else [[]]
        self.send(b"".join(map(_result_frame, answers)))

    def _answer(self, results: list[Result]) -> None:
        self.send(_result_frame(results))

    @property
    def _keys(self) -> Keys:
        return self.backend.limits.keys(self.user, self.request.remote_ip or "")

    @property
    def _page(self) -> str:
        return page_url(self.request.uri or "")

    @property
    def tab(self) -> str:
        return self._tab

    @property
    def user_name(self) -> str:
        return self.user.name if self.user else ""

    @property
    def reloads(self) -> bool:
        return self._reloads

    def known(self, channel: str) -> int | None:
        """The last change on a channel that the page is known to have, None for a page
        that did not ask for a replay."""
        position = self._arrived.get(channel, self._since)
        return None if position is None else self._project.plan.number(position)

    def ask(self, seq: int) -> None:
        """Ask the browser whether all up to change ``seq`` has arrived."""
        if self._since is None or self._ended or not self._channels:
            return
        if self._writer is None or self._writer.is_replaying:
            # The ping would overtake the replay that it asks about.
            return
        position = self._project.plan.position(seq)
        payload = str(position).encode()
        if payload in self._asked:
            return
        # Only the last two are kept: a peer that does not answer must not make this grow.
        while len(self._asked) > 1:
            del self._asked[next(iter(self._asked))]
        self._asked[payload] = position, frozenset(self._channels)
        with contextlib.suppress(websocket.WebSocketClosedError):
            self.ping(payload)

    def on_pong(self, data: bytes) -> None:
        if data in self._asked:
            position, channels = self._asked[data]
            self._project.positions.arrived(self._page, self, channels, position)

    def on_connection_close(self) -> None:
        self._is_disconnected = True
        self.backend.sessions.closed(self)
        # WebSocketHandler's does not call RequestHandler's, which ends the wait for a body.
        web.RequestHandler.on_connection_close(self)
        super().on_connection_close()

    def on_finish(self) -> None:
        super().on_finish()
        if self.get_status() != SWITCHING:
            self.backend.sessions.closed(self)

    def on_close(self) -> None:
        self._end()
        self.backend.limits.close_socket(self._counted)
        self._counted = ()
        if self._writer is not None:
            self._project.disconnected(self)

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Send a close frame; Tornado closes the connection of a peer that does not answer."""
        self._end()
        super().close(code, reason)

    @property
    def send(self) -> Send:
        # The writer's own method: it saves the hub's innermost loop a call.
        assert self._writer is not None, "only an open socket listens"
        return self._writer.send

    def replay(self, slices: Iterator[bytes]) -> None:
        assert self._writer is not None, "only an open socket listens"
        self._writer.replay(slices)

    def _end(self) -> None:
        self._ended = True
        if self._writer is not None:
            self._writer.end()
        for task in (*self._calls, *self._asking.values()):
            task.cancel()

    def _too_slow(self) -> None:
        self.backend.counts.slow += 1
        log.info("a client reads too slowly and is disconnected: %s", self._request_summary())
        # After the data that is queued: a frame that was begun must be completed.
        self.close(protocol.TRY_AGAIN_LATER, "Reading too slowly")

    def _upgrades(self) -> bool:
        # With any other verb it is an ordinary request.
        upgrade = self.request.headers.get("Upgrade", "").lower()
        return self.request.method == "GET" and upgrade == "websocket"


def _result_frame(results: list[Result]) -> bytes:
    return protocol.websocket_frame(protocol.result(results))

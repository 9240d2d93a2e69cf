"""A client of any backend of this protocol: requests, and sockets whose frames are kept.

It uses nothing of the server's, so that both cannot make the same mistake.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
from tornado.httpclient import AsyncHTTPClient, HTTPClientError
from tornado.httputil import HTTPHeaders, url_concat
from tornado.iostream import StreamClosedError
from tornado.simple_httpclient import HTTPTimeoutError
from tornado.websocket import WebSocketClientConnection, WebSocketClosedError, websocket_connect

#: Seconds after which what was waited for counts as missing.
PATIENCE: Final = 3.0
#: The part of it in which nothing must come where nothing should.
QUIET: Final = 0.1
#: Bytes of frames that a socket takes: what they are read into is kept.
MOST_READ: Final = 8 << 20
#: What a task is made of that names nothing else.
TASK: Final[Mapping[str, Any]] = {
    **{"text": "conform", "start_date": "2030-01-07 00:00", "duration": 2},
    **{"parent": 0, "progress": 0},
}


class Fails(Exception):
    """A rule does not hold; the text says what came instead."""


class NotOffered(Exception):
    """A backend has nothing to which a rule would apply."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered."""

    status: int
    headers: HTTPHeaders
    body: bytes

    @property
    def json(self) -> Any:
        """The body.

        Raises:
            Fails: it is no JSON.
        """
        try:
            return orjson.loads(self.body)
        except orjson.JSONDecodeError:
            raise Fails(f"this is no JSON: {shown(self.body)}") from None

    @property
    def object(self) -> dict[str, Any]:
        """The body, an object.

        Raises:
            Fails: it is none.
        """
        value = self.json
        if not isinstance(value, dict):
            raise Fails(f"this is no object: {shown(self.body)}")
        return value


def shown(value: Any) -> str:
    """A value in one short line, without what would move or color a terminal."""
    # Of many characters only the first are looked at.
    text = value[:1000].decode(errors="replace") if isinstance(value, bytes) else str(value)[:1000]
    text = printable(text)
    return text if len(text) <= 200 else f"{text[:200]}…"


def printable(text: str) -> str:
    """A text whose other characters are replaced."""
    return "".join(each if each.isprintable() else "\ufffd" for each in text)


class Client:
    """One user of a backend, or of one of its projects.

    Args:
        url: below which ``/data`` and ``/api/v1`` stand.
    """

    def __init__(self, url: str, token: str, patience: float = PATIENCE) -> None:
        self.url = url.rstrip("/")
        self.token = token
        self.patience = patience
        #: Seconds in which nothing must come where nothing should.
        self.quiet = QUIET * patience
        self._http = AsyncHTTPClient(force_instance=True)
        #: What was added: the entity and the id.
        self.added: list[tuple[str, Any]] = []
        self._sockets: list[Socket] = []

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send ``body``: text as a form, bytes as they are, anything else but None as JSON.

        Args:
            token: another than the client's; "" for none.

        Raises:
            Fails: there is no answer.
        """
        token = self.token if token is None else token
        all_headers = {"Remote-Token": token} if token else {}
        if isinstance(body, str):
            all_headers["Content-Type"] = "application/x-www-form-urlencoded"
        elif body is not None:
            all_headers["Content-Type"] = "application/json"
            body = body if isinstance(body, bytes) else orjson.dumps(body)
        try:
            response = await self._http.fetch(
                self.url + path,
                raise_error=False,
                method=method,
                headers=all_headers | dict(headers or {}),
                body=body,
                allow_nonstandard_methods=True,
                follow_redirects=False,
                request_timeout=5 * self.patience,
            )
        except (OSError, HTTPClientError) as error:
            raise Fails(f"{method} {path} has no answer: {error}") from None
        if response.code == 599:
            raise Fails(f"{method} {path} has no answer: {response.error}")
        return Answer(response.code, response.headers, response.body)

    async def add(self, entity: str = "task", /, **fields: Any) -> Any:
        """Add an item and return its id.

        Raises:
            Fails: it was not added.
        """
        sent = {**TASK, **fields} if entity == "task" else fields
        answer = await self.request("POST", f"/data/{entity}", sent)
        told = answer.object
        id = told.get("tid")
        if answer.status != 200 or told.get("action") != "inserted" or id is None:
            raise Fails(f"an insert is answered {answer.status} {shown(answer.body)}")
        self.added.append((entity, id))
        return id

    async def put(self, id: Any, entity: str = "task", /, **fields: Any) -> Answer:
        return await self.request("PUT", f"/data/{entity}/{id}", fields)

    async def delete(self, id: Any, entity: str = "task") -> Answer:
        return await self.request("DELETE", f"/data/{entity}/{id}")

    async def item(self, id: Any, channel: str = "tasks") -> dict[str, Any]:
        """An item as it is loaded.

        Raises:
            Fails: it is not there.
        """
        for item in (await self.load()).get(channel, ()):
            if str(item.get("id")) == str(id):
                found: dict[str, Any] = item
                return found
        raise Fails(f"{id} is not among the {channel} of GET /data")

    async def load(self) -> dict[str, Any]:
        answer = await self.request("GET", "/data")
        if answer.status != 200:
            raise Fails(f"GET /data is answered {answer.status}")
        return answer.object

    async def socket(
        self, *channels: str, token: str | None = None, start: bool = True, **arguments: str
    ) -> Socket:
        """A socket that has joined some channels.

        Args:
            start: whether to read the first frame, which says that it is open.

        Raises:
            Fails: it does not open.
        """
        # The client has its own behind what stands in the page's URL.
        query = {**arguments, "token": self.token if token is None else token, "ws": "1"}
        url = url_concat(self.url.replace("http", "ws", 1) + "/api/v1", query)
        try:
            connection = await asyncio.wait_for(websocket_connect(url), self.patience)
        except (OSError, HTTPClientError, HTTPTimeoutError, TimeoutError) as error:
            raise Fails(f"the socket does not open: {error or type(error).__name__}") from None
        socket = Socket(connection, self.patience)
        self._sockets.append(socket)
        if start:
            await socket.frame("start")
        for channel in channels:
            await socket.send({"action": "subscribe", "name": channel})
        if channels:
            await socket.settle()
        return socket

    async def close_sockets(self) -> None:
        for socket in self._sockets:
            await socket.close()
        self._sockets.clear()

    async def close(self) -> None:
        await self.close_sockets()
        self._http.close()


@dataclass
class Socket:
    """An open socket. Its frames are kept as they come, with the time."""

    connection: WebSocketClientConnection
    patience: float
    events: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    results: list[dict[str, Any]] = field(default_factory=list)
    starts: list[dict[str, Any]] = field(default_factory=list)
    is_closed: bool = False
    #: Why nothing more is read from it.
    fault: str = ""

    def __post_init__(self) -> None:
        self._news = asyncio.Event()
        # What was sent and has not come back.
        self._pings: set[bytes] = set()
        self._bytes_read = 0
        self.connection.on_pong = self._on_pong  # type: ignore[method-assign]
        self._task = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while True:
            text = await self.connection.read_message()
            at = time.monotonic()
            if text is None:
                self.is_closed = True
                self._news.set()
                return
            frame = self._frame(text)
            if frame is None:
                self.connection.close()
                self._news.set()
                return
            body = frame.get("body")
            if frame.get("action") == "start":
                self.starts.append(frame)
            elif frame.get("action") == "event" and isinstance(body, dict):
                self.events.append((at, body))
            elif frame.get("action") == "result" and isinstance(body, list):
                self.results += body
            self._news.set()

    def _frame(self, text: str | bytes) -> dict[str, Any] | None:
        """A frame, None for one after which no other is read."""
        self._bytes_read += len(text)
        if self._bytes_read > MOST_READ:
            self.fault = f"more than {MOST_READ >> 20} MB came on a socket"
            return None
        try:
            frame = orjson.loads(text)
        except orjson.JSONDecodeError:
            frame = None
        if isinstance(frame, dict):
            return frame
        self.fault = f"a frame is no object: {shown(text)}"
        return None

    async def send(self, frame: Any) -> None:
        """Send a frame: text and bytes as they are, anything else as JSON."""
        if isinstance(frame, bytes):
            await self.connection.write_message(frame, binary=True)
        else:
            text = frame if isinstance(frame, str) else orjson.dumps(frame).decode()
            await self.connection.write_message(text)

    async def until(self, what: str, is_so: Callable[[], bool]) -> None:
        """Wait until something has come.

        Raises:
            Fails: it does not.
        """
        end = time.monotonic() + self.patience
        while not is_so():
            # What came before it was closed has been read by then.
            left = end - time.monotonic()
            if self.fault:
                raise Fails(f"{what} should come: {self.fault}")
            if left <= 0 or self.is_closed:
                how = f"the socket is closed with {self.code}" if self.is_closed else "it does not"
                raise Fails(f"{what} should come, and {how}")
            self._news.clear()
            try:
                await asyncio.wait_for(self._news.wait(), left)
            except TimeoutError:
                continue

    async def frame(self, action: str) -> dict[str, Any]:
        await self.until(f"a frame {action!r}", lambda: bool(self.starts))
        return self.starts[0]

    async def event(self, type: str, id: Any = None) -> dict[str, Any]:
        """The first event of a type, of an item, that has not been taken yet: its body."""

        def at() -> int | None:
            for place, (_, body) in enumerate(self.events):
                if type_of(body) == type and (id is None or str(id_of(body)) == str(id)):
                    return place
            return None

        of = "" if id is None else f" of {id}"
        await self.until(f"the event {type}{of}", lambda: at() is not None)
        place = at()
        assert place is not None
        return self.events.pop(place)[1]

    async def settle(self) -> None:
        """Wait until what was sent has been read: a ping is answered in its turn."""
        pong = secrets.token_bytes(8)
        self._pings.add(pong)
        with contextlib.suppress(WebSocketClosedError, StreamClosedError):
            self.connection.ping(pong)
        await self.until("a pong", lambda: pong not in self._pings or self.is_closed)

    def _on_pong(self, data: bytes) -> None:
        self._pings.discard(data)
        self._news.set()

    async def closed(self) -> int | None:
        """The code with which the backend closes it.

        Raises:
            Fails: it does not.
        """
        end = time.monotonic() + self.patience
        while not self.is_closed:
            if self.fault:
                raise Fails(f"the socket should be closed: {self.fault}")
            if time.monotonic() > end:
                raise Fails("the socket should be closed, and stays open")
            await asyncio.sleep(0.01)
        return self.code

    @property
    def code(self) -> int | None:
        return self.connection.close_code

    async def close(self) -> None:
        self.connection.close()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


def type_of(body: Mapping[str, Any]) -> str:
    """The type of an event."""
    value = body.get("value")
    return str(value.get("type", "")) if isinstance(value, dict) else ""


def id_of(body: Mapping[str, Any]) -> Any:
    """The id of an event's item, under whichever key."""
    value = body.get("value")
    items = value.values() if isinstance(value, dict) else ()
    return next((each.get("id") for each in items if isinstance(each, dict)), None)

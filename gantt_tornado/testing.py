"""Fixtures for the tests of whoever embeds a plan, upon pytest-tornado's.

In your ``conftest.py``::

    pytest_plugins = ["gantt_tornado.testing"]

and in a test::

    import pytest

    @pytest.mark.gen_test
    async def test_everybody_sees_a_new_task(gantt, listen):
        socket = await listen("tasks")
        task = await gantt.add("task", text="Dig")
        value = await socket.value("add-task")
        assert value["task"] == task
        await socket.quiet()

or with a backend alone, and a program that writes to it::

    @pytest.mark.gen_test
    async def test_a_program_writes(backend, changes):
        await backend.insert("resource", {"text": "Digger"})
        change = await changes.next("add")
        assert change.author.user == ""

Each test gets a server of its own on a free port, with an empty plan in ``tmp_path``.

==================  ====================================================================
``gantt_config``    the :class:`~gantt_tornado.config.Config`; override it for others
``authenticate``    your ``authenticate`` for the backend; None, so the tokens count
``gantt_families``  your :func:`~gantt_tornado.model.family.family` declarations; none
``gantt_token``     the token that both clients send: the first one of the config
``gantt_prefix``    where your application has mounted the routes; ``""``
``backend``         the :class:`~gantt_tornado.backend.Backend`, started
``app``             what is served: ``make_app(backend)``; override it with yours
``gantt``           a :class:`Client` for REST
``listen``          opens a :class:`Socket` as the stock client does, see :class:`Listen`
``changes``         what has been committed since the test began, see :class:`Changes`
==================  ====================================================================

To override one, define a fixture of its name in your ``conftest.py`` or test module.
They are installed with ``pip install 'gantt-tornado[testing]'``.
``http_client``, ``base_url`` and ``io_loop`` are pytest-tornado's. Nothing in here sleeps:
what waits, waits for an event, and says what was missing if none comes.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
from tornado import web
from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.httputil import HTTPHeaders, url_concat
from tornado.ioloop import IOLoop
from tornado.websocket import WebSocketClientConnection, websocket_connect

from gantt_tornado.backend import Authenticate, Backend
from gantt_tornado.config import Config
from gantt_tornado.model.change import Change
from gantt_tornado.model.entities import Entity
from gantt_tornado.web.app import make_app

#: Seconds after which an event that was waited for counts as missing.
PATIENCE: Final = 3.0
#: What :meth:`Client.add` gives a task that does not name its dates.
DATES: Final = {"start_date": "2030-01-07 00:00", "duration": 2}


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server answered."""

    status: int
    headers: HTTPHeaders
    body: bytes

    @property
    def json(self) -> Any:
        """The body, decoded."""
        return orjson.loads(self.body)


class Client:
    """A small REST client, with the token in its headers.

    ``headers`` go with every request of this client and every socket of ``listen``: put
    your session's cookie there. An answer of any status is returned, none is raised.
    """

    def __init__(self, http: AsyncHTTPClient, url: str, headers: Mapping[str, str]) -> None:
        self.http = http
        #: Where the routes are mounted, without a slash at its end.
        self.url = url
        self.headers = dict(headers)

    def having(self, **headers: str) -> Client:
        """The same client with other headers: ``gantt.having(Remote_Token="…")``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Client(self.http, self.url, self.headers | named)

    def anonymous(self) -> Client:
        """The same client without any header."""
        return Client(self.http, self.url, {})

    async def request(self, method: str, path: str, body: Any = None) -> Answer:
        """Send ``body``: text and bytes as a form, anything else but None as JSON."""
        headers = dict(self.headers)
        if isinstance(body, str | bytes):
            headers.setdefault("Content-Type", "application/x-www-form-urlencoded")
        elif body is not None:
            headers.setdefault("Content-Type", "application/json")
            body = orjson.dumps(body)
        response = await self.http.fetch(
            HTTPRequest(
                self.url + path,
                method,
                headers,
                body,
                allow_nonstandard_methods=True,
                follow_redirects=False,
            ),
            raise_error=False,
        )
        if response.code == 599:
            # There was no answer, so there is nothing to return.
            response.rethrow()
        return Answer(response.code, response.headers, response.body)

    async def get(self, path: str = "/data") -> Answer:
        return await self.request("GET", path)

    async def post(self, path: str, body: Any = b"") -> Answer:
        return await self.request("POST", path, body)

    async def put(self, path: str, body: Any = b"") -> Answer:
        return await self.request("PUT", path, body)

    async def delete(self, path: str) -> Answer:
        return await self.request("DELETE", path)

    async def add(self, entity: str, **fields: Any) -> dict[str, Any]:
        """Add an item, a task with some dates unless they are given; return it as answered,
        in which text is HTML: ``&lt;`` stands for ``<``.

        Raises:
            AssertionError: the server refused it.
        """
        if entity == "task" and not fields.keys() & {*DATES, "end_date"}:
            fields = {**DATES, **fields}
        answer = await self.post(f"/data/{entity}", fields)
        assert answer.status == 200, f"{answer.status} {answer.body.decode()}"
        item: dict[str, Any] = answer.json["item"]
        return item


class Socket:
    """One open socket of a client. Its events are read one by one, in their order."""

    def __init__(self, connection: WebSocketClientConnection, backend: Backend) -> None:
        self.connection = connection
        self._backend = backend
        self._events: deque[dict[str, Any]] = deque()
        self._read: list[str] = []
        self._ended = False

    async def send(self, frame: Any) -> None:
        """Send a frame: text and bytes as they are, anything else as JSON."""
        if isinstance(frame, bytes):
            await self.connection.write_message(frame, binary=True)
        else:
            text = frame if isinstance(frame, str) else orjson.dumps(frame).decode()
            await self.connection.write_message(text)

    async def subscribe(self, name: str) -> None:
        """Join a channel and wait until the server has done it."""
        await self.send({"action": "subscribe", "name": name})
        await self.call()

    async def unsubscribe(self, name: str) -> None:
        """Leave a channel, as the stock client's ``detach()`` says it, and wait for it."""
        await self.send({"action": "unsubscribe", "key": name})
        await self.call()

    async def call(self, *calls: dict[str, Any]) -> list[dict[str, Any]]:
        """Make remote calls and return their results in the order of the calls.

        The server carries out what a socket sends in its order, so without any call this
        waits until all that was sent before is done; but calls that wait for something run
        beside what comes behind them.
        """
        await self.send({"action": "call", "body": calls})
        results: list[dict[str, Any]] = []
        while True:
            frame = await self.frame("the results of a call")
            if frame["action"] != "result":
                self._events.append(frame["body"])
                continue
            results += frame["body"]
            if len(results) >= len(calls):
                ids = [call.get("id") if isinstance(call, dict) else None for call in calls]
                return sorted(results, key=lambda each: _place(each["id"], ids))

    async def event(self, type: str = "") -> dict[str, Any]:
        """The next event's body: ``{"name": …, "value": …}``.

        Raises:
            AssertionError: none came, or one of another type than ``type``; it says
                which was expected and which were read before.
        """
        wanted = f"the event {type}" if type else "an event"
        body = self._events.popleft() if self._events else (await self.frame(wanted))["body"]
        came = _type(body["value"])
        assert not type or came == type, f"{wanted} was expected, but this came: {body}"
        self._read.append(came)
        return body

    async def until(self, type: str) -> dict[str, Any]:
        """The body of the next event of this type; those before it are dropped.

        Raises:
            AssertionError: none came; it says which were read instead.
        """
        while True:
            body = self._events.popleft() if self._events else None
            body = body or (await self.frame(f"the event {type}"))["body"]
            self._read.append(_type(body["value"]))
            if self._read[-1] == type:
                return body

    async def value(self, type: str = "") -> Any:
        """The same, but its value alone."""
        return (await self.event(type))["value"]

    async def quiet(self) -> None:
        """See that there is no event that nobody has read.

        What the hub has been given comes in its order, so a mark that is published now
        comes after all of it. An answered write has been published by then.
        """
        mark = f"quiet-{secrets.token_hex(8)}"
        await self.subscribe(mark)
        self._backend.publish(mark, {"type": "mark"})
        body = await self.event()
        assert body["name"] == mark, f"no event was expected, but this came: {body}"
        await self.unsubscribe(mark)

    async def frame(self, wanted: str = "a frame") -> dict[str, Any]:
        """The next frame of any kind, decoded.

        Raises:
            AssertionError: none came, or the server has closed the socket.
        """
        try:
            message = await asyncio.wait_for(self._message(), PATIENCE)
        except TimeoutError:
            raise AssertionError(f"{wanted} did not come in {PATIENCE} s; {self._past()}") from None
        if message is None:
            code, reason = self.connection.close_code, self.connection.close_reason
            raise AssertionError(
                f"{wanted} did not come: the server closed the socket with {code} {reason or ''}"
                f"; {self._past()}"
            )
        frame: dict[str, Any] = orjson.loads(message)
        return frame

    async def closed(self) -> int | None:
        """Wait until the server closes the socket; what it says until then is dropped.

        Returns the close code, None where the connection was cut without one.
        """
        try:
            await asyncio.wait_for(self._run_out(), PATIENCE)
        except TimeoutError:
            raise AssertionError("the server did not close the socket") from None
        return self.connection.close_code

    async def close(self) -> None:
        """Close the socket from this end."""
        self.connection.close()
        await self.closed()

    async def _run_out(self) -> None:
        while await self._message() is not None:
            pass

    async def _message(self) -> str | bytes | None:
        """What comes next, None for the end, which the connection itself tells only once."""
        if self._ended:
            return None
        message = await self.connection.read_message()
        self._ended = message is None
        return message

    def _past(self) -> str:
        return f"read before: {', '.join(self._read) or 'nothing'}"


class Listen:
    """Opens sockets as the stock client does: handshake, socket, start frame, channels."""

    def __init__(self, client: Client, backend: Backend, token: str) -> None:
        self.client = client
        self.sockets: list[Socket] = []
        self._backend = backend
        self._token = token

    async def __call__(
        self,
        *channels: str,
        since: int | str | None = None,
        tab: str | None = None,
        token: str | None = None,
        handshake: bool = True,
    ) -> Socket:
        """A socket that has joined ``channels``: tasks and links where none is named.

        Args:
            since: the ``seq`` of the load, after which the server shall replay; a number
                stands for the change of that number in the served plan.
            tab: the page's uuid, the ``Remote-Device`` of its writes. Without it the links
                that its own user adds are told 0.3 s late.
            token: another than ``gantt_token``.
            handshake: False opens the socket at once, as a reconnecting client does.

        Raises:
            AssertionError: the handshake or the token was refused.
        """
        if handshake:
            client = self.client if token is None else self.client.having(Remote_Token=token)
            answer = await client.get("/api/v1")
            assert answer.status == 200, f"the handshake was refused: {answer.status}"
        socket = await self.open(since=since, tab=tab, token=token)
        start = await socket.frame("the start frame")
        assert start["action"] == "start", f"a start frame was expected, but this came: {start}"
        for channel in channels or ("tasks", "links"):
            await socket.subscribe(channel)
        return socket

    async def open(
        self,
        *,
        since: int | str | None = None,
        tab: str | None = None,
        token: str | None = None,
        reload: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> Socket:
        """A socket of which nothing has been read yet, not even whether it was refused.

        Args:
            reload: whether it says that its page handles ``reload``.
        """
        if isinstance(since, int):
            since = str(self._backend.default.plan.position(since))
        given = {"since": since, "tab": tab, "reload": 1 if reload else None}
        query = {name: str(value) for name, value in given.items() if value is not None}
        query |= {"token": self._token if token is None else token, "ws": "1"}
        url = url_concat("ws" + self.client.url.removeprefix("http") + "/api/v1", query)
        # A browser sends its cookies with a socket, but no header of the page's.
        sent = {key: val for key, val in self.client.headers.items() if key != "Remote-Token"}
        connection = await websocket_connect(HTTPRequest(url, headers=sent | dict(headers or {})))
        if connection.protocol is not None:
            # Else each small frame would wait for the other end to acknowledge the last.
            connection.protocol.set_nodelay(True)
        socket = Socket(connection, self._backend)
        self.sockets.append(socket)
        return socket

    async def close(self) -> None:
        """Close every socket that is still open."""
        await asyncio.gather(*[socket.close() for socket in self.sockets])


class Changes:
    """The changes that a backend has committed, read one by one in their order."""

    def __init__(self, backend: Backend) -> None:
        self._changes: asyncio.Queue[Change] = asyncio.Queue()
        self._read: list[str] = []
        self.end = backend.on_change(self._changes.put_nowait)

    async def next(self, action: str = "") -> Change:
        """The next change: one that was committed already, or else it is waited for.

        Raises:
            AssertionError: there was none, or one of another action (``add``, ``update``,
                ``delete``); it says which were read before.
        """
        change = await self._next(action or "change")
        assert action in ("", change.action), f"{action} was expected, but this came: {change}"
        return change

    async def until(self, is_meant: Callable[[Change], object]) -> Change:
        """The next change of which ``is_meant`` is true; those before it are dropped.

        Raises:
            AssertionError: there was none; it says which were read instead.
        """
        while True:
            change = await self._next("change that was meant")
            if is_meant(change):
                return change

    async def _next(self, wanted: str) -> Change:
        try:
            change = await asyncio.wait_for(self._changes.get(), PATIENCE)
        except TimeoutError:
            raise AssertionError(
                f"no {wanted} was committed in {PATIENCE} s; "
                f"read before: {', '.join(self._read) or 'nothing'}"
            ) from None
        self._read.append(f"{change.action} {change.entity.name} {change.id}")
        return change


def _place(id: Any, ids: list[Any]) -> int:
    return ids.index(id) if id in ids else len(ids)


def _type(value: Any) -> str:
    return str(value.get("type", "")) if isinstance(value, dict) else ""


@pytest.fixture
def gantt_config(tmp_path: Path) -> Config:
    """The configuration: an empty plan in ``tmp_path``, otherwise the defaults."""
    return Config(database=f"sqlite:///{tmp_path / 'gantt.db'}")


@pytest.fixture
def authenticate() -> Authenticate | None:
    """What decides who asks; None leaves it to the tokens of ``gantt_config``."""
    return None


@pytest.fixture
def gantt_families() -> Sequence[Entity]:
    """The families of the application's own; none, unless it is overridden."""
    return ()


@pytest.fixture
def gantt_token(gantt_config: Config) -> str:
    """The token that ``gantt`` and ``listen`` send."""
    return gantt_config.tokens[0].token if gantt_config.tokens else ""


@pytest.fixture
def gantt_prefix() -> str:
    """Where ``app`` has mounted the routes."""
    return ""


@pytest.fixture
def backend(
    io_loop: IOLoop,
    gantt_config: Config,
    authenticate: Authenticate | None,
    gantt_families: Sequence[Entity],
) -> Iterator[Backend]:
    """A backend, started and in the end closed on ``io_loop``."""
    backend = Backend(gantt_config, authenticate, gantt_families)
    io_loop.run_sync(backend.start)
    yield backend
    io_loop.run_sync(backend.close)


@pytest.fixture
def app(backend: Backend) -> web.Application:
    """The application that pytest-tornado serves."""
    return make_app(backend)


@pytest.fixture
def gantt(
    http_client: AsyncHTTPClient, base_url: str, gantt_prefix: str, gantt_token: str
) -> Client:
    """A REST client of the served plan."""
    return Client(http_client, base_url + gantt_prefix, {"Remote-Token": gantt_token})


@pytest.fixture
def listen(io_loop: IOLoop, gantt: Client, backend: Backend, gantt_token: str) -> Iterator[Listen]:
    """Opens sockets; they are closed when the test is over."""
    listen = Listen(gantt, backend, gantt_token)
    yield listen
    io_loop.run_sync(listen.close)


@pytest.fixture
def changes(backend: Backend) -> Iterator[Changes]:
    """What is committed from now on."""
    changes = Changes(backend)
    yield changes
    changes.end()

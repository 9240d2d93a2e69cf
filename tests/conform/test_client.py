from __future__ import annotations

import orjson
import pytest
from tornado import websocket

from gantt_tornado.conform import client as client_module
from gantt_tornado.conform.client import Answer, Client, Fails, id_of, shown, type_of
from tests.conftest import EDITOR

pytestmark = pytest.mark.gen_test


@pytest.fixture
def client(io_loop, gantt):
    async def made():
        return Client(gantt.url + "/", EDITOR, patience=0.5)

    client = io_loop.run_sync(made)
    yield client
    io_loop.run_sync(client.close)


def test_what_is_long_is_cut() -> None:
    assert shown(b"\xffab") == "\ufffdab" and len(shown("x" * 999)) == 201


def test_what_would_act_on_a_terminal_is_replaced() -> None:
    assert shown(b"\x1b[2J\r\na\x9b\xe2\x80\xae") == "\ufffd[2J\ufffd\ufffda\ufffd\ufffd"


def test_an_event_is_read_under_whichever_key() -> None:
    body = {"name": "tasks", "value": {"type": "add-task", "event": {"id": 7}}}
    assert (type_of(body), id_of(body)) == ("add-task", 7)
    assert (type_of({"value": 1}), id_of({"value": 1}), id_of({})) == ("", None, None)


@pytest.mark.parametrize("body", [b"", b"<html>", b"[1]"])
def test_what_is_no_object_says_what_came(body: bytes) -> None:
    with pytest.raises(Fails, match="this is no"):
        _ = Answer(200, None, body).object  # type: ignore[arg-type]


async def test_what_is_added_is_remembered(client):
    id = await client.add(text="a")
    assert client.added == [("task", id)]
    assert (await client.item(id))["text"] == "a"


async def test_an_item_that_is_not_there_fails(client):
    with pytest.raises(Fails, match="99 is not among the tasks"):
        await client.item(99)


async def test_an_insert_that_is_refused_fails(client):
    with pytest.raises(Fails, match="409"):
        await client.add("link", source=1, target=2, type="0")


async def test_a_socket_keeps_what_comes_and_gives_it_once(client):
    socket = await client.socket("tasks")
    a, b = await client.add(), await client.add()
    assert (await socket.event("add-task", b))["value"]["task"]["id"] == b
    assert (await socket.event("add-task", a))["value"]["task"]["id"] == a
    with pytest.raises(Fails, match="the event add-task of 1 should come"):
        await socket.event("add-task", a)


async def test_a_closed_socket_says_with_what(client):
    socket = await client.socket(token="wrong", start=False)
    assert await socket.closed() == 1008
    with pytest.raises(Fails, match="closed with 1008"):
        await socket.event("add-task")


async def test_a_socket_that_stays_open_fails(client):
    with pytest.raises(Fails, match="stays open"):
        await (await client.socket()).closed()


class TestOddFrames:
    """From a server that breaks the rules of the wire."""

    @pytest.fixture
    def speak(self, io_loop, app, gantt):
        """Opens a socket to a server that says what it is told to."""
        clients = []

        async def speak(*frames):
            class Speaker(websocket.WebSocketHandler):
                def open(self):
                    for frame in ('{"action":"start"}', *frames):
                        self.write_message(frame, binary=isinstance(frame, bytes))

            app.add_handlers(".*", [("/odd/api/v1", Speaker)])
            clients.append(Client(gantt.url + "/odd", "x", patience=3))
            return await clients[-1].socket()

        yield speak
        for client in clients:
            io_loop.run_sync(client.close)

    @pytest.mark.parametrize("frame", ["[1]", "1", "{", b"\xff"])
    async def test_one_that_is_no_object_fails_at_once(self, speak, frame):
        socket = await speak(frame)
        with pytest.raises(Fails, match="a frame is no object"):
            await socket.event("add-task")

    async def test_a_flood_is_not_kept(self, speak, monkeypatch):
        monkeypatch.setattr(client_module, "MOST_READ", 1 << 20)
        flood = orjson.dumps({"action": "event", "body": {"value": "x" * 100_000}}).decode()
        socket = await speak(*[flood] * 30)
        with pytest.raises(Fails, match="more than 1 MB came"):
            await socket.event("add-task")
        assert len(socket.events) <= 10

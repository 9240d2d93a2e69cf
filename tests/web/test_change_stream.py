"""The journal on a response that goes on, through both adapters."""

from __future__ import annotations

import asyncio
import socket

import orjson
import pytest
from tornado import routing, web
from tornado.iostream import IOStream, StreamClosedError

from gantt_tornado import Backend, routes
from gantt_tornado.live import tail
from gantt_tornado.testing import DATES
from gantt_tornado.web import change_stream
from gantt_tornado.web.delegate import EndpointRouter
from tests.conftest import VIEWER

pytestmark = pytest.mark.gen_test

#: In place of a token.
NOBODY = "X-Nobody: yes\r\n"


class Lines:
    """A response of which the lines are read one by one."""

    def __init__(self, stream: IOStream, head: bytes) -> None:
        self.stream = stream
        self.head = head

    async def line(self):
        return orjson.loads(await asyncio.wait_for(self.stream.read_until(b"\n"), 3))

    async def end(self):
        """What comes until the server ends it."""
        rest = await asyncio.wait_for(self.stream.read_until_close(), 3)
        return [orjson.loads(line) for line in rest.splitlines()]


@pytest.fixture(params=["", "/handlers"], ids=["delegate", "handler"])
def prefix(request):
    return request.param


@pytest.fixture
def app(backend):
    delegates = routing.Rule(routing.AnyMatches(), EndpointRouter(backend))
    return web.Application([delegates, *routes(backend, prefix="/handlers"), *routes(backend)])


@pytest.fixture
def follow(gantt, prefix):
    """Opens a response, with HTTP/1.0 so that its lines come as they are."""
    opened = []

    async def follow(query="", token="", project=""):
        stream = IOStream(socket.socket())
        opened.append(stream)
        await stream.connect(("127.0.0.1", int(gantt.url.rpartition(":")[2])))
        path = f"{prefix}{project}/data/changes{query}"
        if token != NOBODY:
            token = f"Remote-Token: {token or gantt.headers['Remote-Token']}\r\n"
        head = f"GET {path} HTTP/1.0\r\nHost: localhost\r\n{token}\r\n"
        await stream.write(head.encode())
        return Lines(stream, await stream.read_until(b"\r\n\r\n"))

    yield follow
    for stream in opened:
        stream.close()


async def position(gantt):
    return (await gantt.get()).json["seq"]


class TestReading:
    async def test_it_begins_at_the_horizon_and_goes_on(self, gantt, follow):
        await gantt.add("task", text="a <b> & c")
        lines = await follow()
        assert b"application/x-ndjson" in lines.head
        first = await lines.line()
        assert (first["seq"], first["action"], first["user"]) == (1, "add", "Eve")
        assert first["fields"]["text"] == [None, "a <b> & c"]
        await gantt.put("/data/task/1", {"text": "b"})
        second = await lines.line()
        assert (second["seq"], second["fields"]) == (2, {"text": ["a <b> & c", "b"]})

    async def test_each_line_has_the_position_to_go_on_from(self, gantt, follow):
        for _ in range(3):
            await gantt.add("task")
        lines = await follow("?live=0")
        first, *rest = await lines.end()
        again = await follow(f"?live=0&since={first['position']}")
        assert await again.end() == rest
        assert rest[-1]["position"] == await position(gantt)

    async def test_nothing_comes_twice_and_nothing_is_missing_while_others_write(
        self, backend, follow, monkeypatch
    ):
        monkeypatch.setattr(tail, "MOST_LINES", 5)
        await backend.insert("task", DATES)
        lines = await follow()
        for _ in range(10):
            await asyncio.gather(*(backend.insert("task", DATES) for _ in range(10)))
        assert [(await lines.line())["seq"] for _ in range(101)] == list(range(1, 102))

    async def test_an_empty_line_comes_when_nothing_else_does(self, backend, follow):
        object.__setattr__(backend.config, "ping_interval", 0.01)
        lines = await follow()
        assert await lines.stream.read_until(b"\n") == b"\n"

    async def test_a_row_that_only_made_room_says_so(self, backend):
        await backend.insert("task", DATES)
        (change,) = await backend.history()
        made = change._replace(action="update", cause_seq=2)
        told = [orjson.loads(backend.default._line(each)) for each in (change, made)]
        assert [each.get("makes_room") for each in told] == [None, True]


class TestGaps:
    @pytest.mark.parametrize("since", ["7", "9-abcdef", "1-000000", "x"])
    async def test_what_is_no_position_of_ours_is_refused(self, gantt, prefix, since):
        await gantt.add("task")
        answer = await gantt.get(f"{prefix}/data/changes?since={since}")
        assert (answer.status, answer.json["reload"]) == (409, True)

    async def test_what_has_been_forgotten_is_refused(self, backend, gantt, prefix):
        await gantt.add("task")
        first = await position(gantt)
        for _ in range(3):
            await gantt.add("task")
        await forget(backend, 3)
        answer = await gantt.get(f"{prefix}/data/changes?since={first}")
        assert answer.status == 409

    async def test_who_is_overtaken_by_the_horizon_is_told(self, backend, gantt, follow):
        for _ in range(4):
            await gantt.add("task")
        await forget(backend, 2)
        missed, last = await backend.default._missed(1)
        gap, *lines = [orjson.loads(line) for line in missed.splitlines()]
        assert gap["action"] == "gap" and gap["seq"] == 2
        assert [line["seq"] for line in lines] == [3, 4] and last == 4


async def forget(backend: Backend, seq: int) -> None:
    """Prune the journal up to a change."""
    project = backend.default
    project._most_changes = project.plan.seq - seq
    while await project.prune():
        pass
    assert project.plan.horizon == seq


class TestEnding:
    async def test_with_the_server(self, backend, gantt, follow):
        lines = await follow()
        await gantt.add("task")
        await lines.line()
        await backend.close()
        assert await lines.end() == []
        assert not backend.streams

    async def test_before_the_database_is_closed(self, backend, follow):
        lines = await follow()
        await backend.default.stop()
        assert await lines.end() == []

    async def test_with_the_token(self, backend, follow):
        lines = await follow(token=VIEWER)
        backend.sign_out("Vera")
        assert await lines.end() == []

    async def test_with_the_project(self, backend, follow):
        await backend.create_project("house")
        lines = await follow(project="/p/house")
        await backend.delete_project("house")
        assert await lines.end() == []

    async def test_an_anonymous_one_with_its_projects_being_public(self, backend, follow):
        for name in ("house", "bridge"):
            await backend.create_project(name)
            await backend.change_project(name, public=True)
        theirs, ours = await follow(token=NOBODY, project="/p/house"), await follow()
        signed_in = await follow(project="/p/house")
        other, root = await follow(token=NOBODY, project="/p/bridge"), await follow(token=NOBODY)
        await backend.change_project("house", public=False)
        assert await theirs.end() == []
        assert len(backend.streams) == 4
        await backend.project("house").insert("task", DATES)
        assert (await signed_in.line())["action"] == "add"
        await backend.project("bridge").insert("task", DATES)
        assert (await other.line())["action"] == "add"
        await backend.insert("task", DATES)
        assert [(await each.line())["seq"] for each in (ours, root)] == [1, 1]

    async def test_also_one_whom_the_application_let_in_as_anonymous(
        self, backend, gantt, listen, monkeypatch
    ):
        await backend.create_project("house")
        await backend.change_project("house", public=True)
        monkeypatch.setattr(backend, "authenticate", lambda handler: backend.anonymous)
        monkeypatch.setattr(gantt, "url", f"{gantt.url}/p/house")
        socket = await listen.open()
        await socket.frame("start")
        await backend.change_project("house", public=False)
        assert await socket.closed() == 1008

    async def test_who_was_signed_out_before_it_began_gets_none(
        self, backend, gantt, prefix, monkeypatch
    ):
        monkeypatch.setattr(backend.accounts, "stands", lambda user: False)
        answer = await gantt.get(f"{prefix}/data/changes?live=0")
        assert answer.status == 403 and not backend.streams

    async def test_with_the_client(self, backend, follow):
        lines = await follow()
        assert len(backend.streams) == 1
        lines.stream.close()
        while backend.streams:
            await asyncio.sleep(0)
        assert not backend.default.tail.is_followed

    async def test_only_so_many_are_open(
        self, backend, gantt, prefix, follow, monkeypatch, logged_errors
    ):
        monkeypatch.setattr(change_stream, "MOST", 1)
        lines = await follow()
        answer = await gantt.get(f"{prefix}/data/changes?live=0")
        assert (answer.status, answer.headers["Retry-After"]) == (503, "10")
        lines.stream.close()
        while backend.streams:
            await asyncio.sleep(0)
        assert (await gantt.get(f"{prefix}/data/changes?live=0")).status == 200

    async def test_nobody_takes_all_of_them(
        self, gantt, viewer, prefix, follow, monkeypatch, logged_errors
    ):
        monkeypatch.setattr(change_stream, "MOST_EACH", 2)
        for token in ("", NOBODY):
            for _ in range(2):
                await follow(token=token)
        for full in (gantt, gantt.anonymous()):
            assert (await full.get(f"{prefix}/data/changes?live=0")).status == 503
        assert (await viewer.get(f"{prefix}/data/changes?live=0")).status == 200

    async def test_some_are_kept_for_people_who_are_signed_in(
        self, gantt, prefix, follow, monkeypatch, logged_errors
    ):
        monkeypatch.setattr(change_stream, "MOST_ANONYMOUS", 1)
        await follow(token=NOBODY)
        path = f"{prefix}/data/changes?live=0"
        assert (await gantt.anonymous().get(path)).status == 503
        assert (await gantt.get(path)).status == 200

    async def test_who_reads_too_slowly_is_cut(self, backend, follow):
        object.__setattr__(backend.config, "body_timeout", 0.05)
        lines = await follow()
        for _ in range(12):
            await backend.insert("task", {"text": "x" * 900_000, **DATES})
        while backend.streams:
            await asyncio.sleep(0.01)
        with pytest.raises(StreamClosedError):
            while True:
                await lines.stream.read_until(b"\n", max_bytes=2_000_000)

"""Which plan a page has: restored backups, new databases and other settings, over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
from tornado.websocket import websocket_connect

from tests.browser.server import REAL, Server
from tests.support import DATES, Driven

#: What a page has of a plan: its load, and the ``ETag`` of that.
Had = dict[str, Any]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(REAL, tmp_path, demo=False)
    server.post("/data/task", text="Dig", **DATES)
    yield server
    server.stop()


def loaded(server: Server) -> Had:
    with urlopen(f"{server.url}/data", timeout=10) as answer:
        return {**json.load(answer), "etag": answer.headers["Etag"]}


def status(server: Server, etag: str) -> int:
    """The answer to a page that has this."""
    request = Request(f"{server.url}/data", headers={"If-None-Match": etag})
    try:
        with urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        error.close()
        return error.code


def save(server: Server, item: dict[str, Any], **fields: Any) -> tuple[int, dict[str, Any]]:
    """Save a row as the stock client does."""
    try:
        return 200, server.put(f"/data/task/{item['id']}", **{**item, **fields})
    except HTTPError as error:
        with error:
            return error.code, json.load(error)


def first_event(server: Server, since: str) -> str:
    """What a page is told first that listens from there."""

    async def listen() -> str:
        url = f"ws{server.url.removeprefix('http')}/api/v1?since={since}&token=token&ws=1"
        socket = await websocket_connect(url)
        await socket.write_message('{"action":"subscribe","name":"tasks"}')
        # Answered in its turn, where nothing was missed.
        await socket.write_message('{"action":"call","body":[]}')
        for _ in range(2):
            frame = json.loads(await socket.read_message() or "")
        assert socket.protocol is not None and socket.protocol.stream is not None
        stream = socket.protocol.stream
        socket.close()
        while not stream.closed():
            await asyncio.sleep(0)
        return str(frame["body"]["value"]["type"]) if frame["action"] == "event" else ""

    return asyncio.run(listen())


def seq_of(had: Had) -> int:
    return int(had["seq"].partition("-")[0])


def other_plans() -> dict[str, Callable[[Server], Had]]:
    """Name → what a page has of a plan before another is in its place, with the same number."""

    def edited(server: Server) -> Had:
        server.put("/data/task/1", text="Before")
        return loaded(server)

    def restored(server: Server, end: str = "stop") -> Had:
        copy = server.backup()
        had = edited(server)
        getattr(server, end)()
        server.restore(copy)
        server.start()
        server.put("/data/task/1", text="After")
        return had

    def restored_after_a_crash(server: Server) -> Had:
        return restored(server, "kill")

    def restored_under_a_page_of_before(server: Server) -> Had:
        had = loaded(server)
        copy = server.backup()
        edited(server)
        server.stop()
        server.restore(copy)
        server.start()
        return had

    def made_anew(server: Server) -> Had:
        had = edited(server)
        server.stop()
        server.restore(None)
        server.start()
        server.post("/data/task", text="Dig", **DATES)
        server.put("/data/task/1", text="After")
        return had

    def other_settings(**settings: str) -> Callable[[Server], Had]:
        def changed(server: Server) -> Had:
            had = edited(server)
            server.stop()
            server.start(**settings)
            return had

        return changed

    plans = (restored, restored_after_a_crash, restored_under_a_page_of_before, made_anew)
    return {
        **{plan.__name__: plan for plan in plans},
        "another date format": other_settings(date_format="%d-%m-%Y %H:%M"),
        "another zone": other_settings(timezone="Europe/Berlin"),
        "another way of text": other_settings(html="clean"),
    }


@pytest.fixture(params=other_plans().items(), ids=lambda param: param[0])
def had(request: pytest.FixtureRequest, server: Server) -> Had:
    """What a page had before."""
    had: Had = request.param[1](server)
    assert seq_of(loaded(server)) == seq_of(had), "the numbers have caught up"
    return had


def test_no_page_is_told_that_nothing_changed(server: Server, had: Had) -> None:
    assert status(server, had["etag"]) == 200


def test_every_page_is_told_to_load_again(server: Server, had: Had) -> None:
    assert first_event(server, had["seq"]) == "reload"


def test_no_edit_is_merged_on_what_the_page_had(server: Server, had: Had) -> None:
    before = loaded(server)["tasks"]
    code, answer = save(server, had["tasks"][0], progress=0.5)
    assert (code, answer["action"], answer["reload"]) == (409, "error", True)
    assert loaded(server)["tasks"] == before


def test_what_is_loaded_then_is_good(server: Server, had: Had) -> None:
    now = loaded(server)
    assert status(server, now["etag"]) == 304
    assert first_event(server, now["seq"]) == ""
    assert save(server, now["tasks"][0], progress=0.5)[0] == 200


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_after_a_mere_restart_pages_go_on(server: Server, end: str) -> None:
    had = loaded(server)
    server.put("/data/task/1", text="Told")
    now = loaded(server)
    getattr(server, end)()
    server.start()
    assert status(server, now["etag"]) == 304
    assert first_event(server, had["seq"]) == "add-task"
    assert first_event(server, now["seq"]) != "reload"
    assert save(server, had["tasks"][0], progress=0.5)[0] == 200


def test_two_plans_made_at_the_same_time_by_the_same_hands_are_two() -> None:
    """A clock set back would make one of them like the other."""
    plans = [Driven(), Driven()]
    for plan in plans:
        plan.store._now = lambda: 1_700_000_000_000
        plan.update("task", plan.task(), {"text": "Fill"})
    positions = [plan.plan.position(2) for plan in plans]
    assert plans[0].plan.number(positions[1]) != 2
    assert plans[1].plan.number(positions[1]) == 2
    for plan in plans:
        plan.close()


def test_a_clock_set_back_makes_no_other_plan_of_this_one() -> None:
    plan = Driven()
    clock = iter((3_000_000, 1_000, 2_000))
    plan.store._now = lambda: next(clock)
    task = plan.task()
    had, item = plan.plan.position(), plan.item("task", task)
    plan.update("task", task, {"text": "Fill"})
    assert plan.plan.number(had) == 1
    plan.update("task", task, {**item, "progress": 1})
    assert plan.item("task", task)["text"] == "Fill"
    plan.close()

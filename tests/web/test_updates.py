"""The shorter way of a PUT answers as the longer one does."""

import asyncio
import json

import pytest
from conftest import EDITOR, LISTED, VIEWER
from tornado import web

from gantt_tornado import routes
from gantt_tornado.testing import DATES, Client
from gantt_tornado.web.updates import UpdateRouter

pytestmark = pytest.mark.gen_test

#: What a request may say: headers beside the token, path, body.
REQUESTS = {
    "json": ({}, "/data/task/1", b'{"text":"A"}'),
    "form": ({"Content-Type": "application/x-www-form-urlencoded"}, "/data/task/1", b"text=A"),
    "one that changes nothing": ({}, "/data/task/1", b"{}"),
    "not json": ({"Content-Type": "application/json"}, "/data/task/1", b"{"),
    "a list": ({"Content-Type": "application/json"}, "/data/task/1", b"[]"),
    "no date": ({}, "/data/task/1", b'{"start_date":"never"}'),
    "a circle": ({}, "/data/task/1", b'{"parent":1}'),
    "no such task": ({}, "/data/task/99", b"{}"),
    "no id": ({}, "/data/task/new", b"{}"),
    "no such entity": ({}, "/data/tree/1", b"{}"),
    "an id that is no text": ({}, "/data/task/%FF", b"{}"),
    "no token": ({"Remote-Token": ""}, "/data/task/1", b"{}"),
    "a wrong token": ({"Remote-Token": "nobody"}, "/data/task/1", b"{}"),
    "a viewer": ({"Remote-Token": VIEWER}, "/data/task/1", b"{}"),
    "too much": ({}, "/data/task/1", b'{"text":"%s"}' % (b"x" * 5000)),
    "another host": ({"Origin": "https://evil.example"}, "/data/task/1", b"{}"),
    "a listed page": ({"Origin": LISTED}, "/data/task/1", b"{}"),
}


@pytest.fixture
def settings():
    return {"max_body": 4096}


@pytest.fixture
def app(backend):
    """Both ways side by side: the long one under a prefix."""
    short = (r"/data/([a-z]+)/([^/]+)", UpdateRouter(backend))
    return web.Application([short, *routes(backend, prefix="/long"), *routes(backend)])


@pytest.mark.parametrize("name", REQUESTS)
async def test_both_ways_answer_alike(gantt, name):
    headers, path, body = REQUESTS[name]
    await gantt.add("task", text="a")
    client = Client(gantt.http, gantt.url, {"Remote-Token": EDITOR, **headers})
    short, long = [await client.request("PUT", way + path, body) for way in ("", "/long")]
    assert seen(short) == seen(long)
    assert short.status == 200 or short.json["action"] == "error"


def seen(answer):
    told = {n: value for n, value in answer.headers.items() if n not in ("Date", "Server")}
    return answer.status, told, answer.body


async def test_a_store_that_fails_is_told_alike(gantt, backend, logged_errors):
    await gantt.add("task", text="a")
    backend._store.update = lambda *_: 1 / 0
    answer = await gantt.put("/data/task/1", {"text": "A"})
    assert (answer.status, answer.json["action"]) == (500, "error")
    assert "division" not in answer.json["message"]


async def test_a_closed_store_says_when_to_try_again(gantt, backend):
    await gantt.add("task", text="a")
    await backend.close()
    answer = await gantt.put("/data/task/1", {"text": "A"})
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")


async def test_it_is_in_the_access_log(gantt, caplog):
    await gantt.add("task", text="a")
    await gantt.put("/data/task/1?token=x", {"text": "A"})
    (line,) = [r.getMessage() for r in caplog.records if "PUT" in r.getMessage()]
    assert line.startswith("200 PUT /data/task/1?token=… (")


async def test_a_caller_that_hangs_up_has_its_row_saved(gantt, backend):
    await gantt.add("task", text="a")
    host, port = gantt.url.removeprefix("http://").split(":")
    _reader, writer = await asyncio.open_connection(host, port)
    body = json.dumps({"text": "A", **DATES}).encode()
    head = f"PUT /data/task/1 HTTP/1.1\r\nHost: x\r\nRemote-Token: {EDITOR}\r\n"
    changed = asyncio.Event()
    backend.on_change(lambda change: changed.set())
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    writer.close()
    await asyncio.wait_for(changed.wait(), 3)
    assert backend.item("task", 1)["text"] == "A"


async def test_an_application_with_a_sign_in_takes_the_long_way(backend):
    backend.authenticate = lambda handler: None
    request = type("Request", (), {"method": "PUT"})
    assert UpdateRouter(backend).find_handler(request, path_args=(b"task", b"1")) is None

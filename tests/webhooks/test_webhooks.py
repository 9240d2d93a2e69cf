"""From a write to a real receiver, over restarts."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest
from tornado import httpserver, web
from tornado.testing import bind_unused_port

from gantt_tornado import Backend, Config
from gantt_tornado.testing import DATES
from gantt_tornado.webhooks import delivery
from tests.conftest import ADMIN

pytestmark = pytest.mark.gen_test(timeout=60)

KEY = bytes(range(32))
SECRET = "whsec_" + base64.b64encode(KEY).decode()


class Receiver:
    """A program that is posted to."""

    def __init__(self) -> None:
        self.messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.ids: list[str] = []
        self.status = 200
        self.gate = asyncio.Event()
        self.gate.set()
        receiver = self

        class Hook(web.RequestHandler):
            async def post(self) -> None:
                await receiver.take(self)

        socket, port = bind_unused_port()
        self.url = f"http://127.0.0.1:{port}/hook"
        self.server = httpserver.HTTPServer(
            web.Application([("/hook", Hook)], log_function=lambda _: None)
        )
        self.server.add_sockets([socket])

    async def take(self, handler: web.RequestHandler) -> None:
        headers, body = handler.request.headers, handler.request.body
        id, stamp = headers["webhook-id"], headers["webhook-timestamp"]
        signed = hmac.digest(KEY, f"{id}.{stamp}.".encode() + body, hashlib.sha256)
        assert headers["webhook-signature"] == "v1," + base64.b64encode(signed).decode()
        self.ids.append(id)
        await self.gate.wait()
        handler.set_status(self.status)
        if self.status == 200:
            self.messages.put_nowait(orjson.loads(body))

    async def next(self) -> dict[str, Any]:
        return (await asyncio.wait_for(self.messages.get(), 20))["data"]


@pytest.fixture
def receiver(io_loop):
    receiver = io_loop.run_sync(lambda: _made())
    yield receiver
    receiver.gate.set()
    receiver.server.stop()


async def _made() -> Receiver:
    return Receiver()


@pytest.fixture
def settings(receiver, tmp_path, monkeypatch):
    monkeypatch.setattr(delivery, "FIRST_DELAY", 0.01)
    return {
        "webhooks": [{"url": receiver.url, "secret": SECRET, "allow_private": True}],
        "database": f"sqlite:///{tmp_path}/plan.db",
    }


async def test_a_committed_change_is_posted(backend, gantt, receiver):
    task = await gantt.add("task", text="a <b>")
    told = await receiver.next()
    assert (told["project"], told["id"], told["action"]) == ("default", task["id"], "add")
    assert told["fields"]["text"] == [None, "a <b>"]
    await gantt.delete(f"/data/task/{task['id']}")
    assert (await receiver.next())["action"] == "delete"


async def test_no_write_waits_for_it(backend, gantt, receiver):
    receiver.gate.clear()
    for number in range(5):
        await gantt.add("task", text=str(number))
    assert len(receiver.ids) <= 1
    assert len(backend.load()["tasks"]) == 5
    receiver.gate.set()
    assert [(await receiver.next())["seq"] for _ in range(5)] == [1, 2, 3, 4, 5]


async def test_an_admin_sees_how_far_it_is_behind(backend, gantt, receiver):
    receiver.gate.clear()
    for _ in range(3):
        await gantt.add("task")
    (hook,) = (await gantt.having(Remote_Token=ADMIN).get("/webhooks")).json["webhooks"]
    assert (hook["changes"], hook["url"]) == (3, receiver.url.removesuffix("/hook"))
    assert backend.state().webhook_changes == 3
    receiver.gate.set()
    for _ in range(3):
        await receiver.next()
    while backend.webhooks.lag()[0]["changes"]:
        await asyncio.sleep(0)


async def test_what_is_refused_comes_again(backend, gantt, receiver, monkeypatch):
    receiver.status = 500
    await gantt.add("task")
    while len(receiver.ids) < 3:
        await asyncio.sleep(0.005)
    receiver.status = 200
    assert (await receiver.next())["seq"] == 1
    assert len({*receiver.ids}) == 1


@asynccontextmanager
async def served(config: Config):
    async with Backend(config) as backend:
        yield backend


async def test_it_goes_on_after_a_restart_where_it_was(gantt_config, receiver, tmp_path):
    config = gantt_config.model_copy(update={"database": f"sqlite:///{tmp_path}/other.db"})
    async with served(config) as backend:
        await backend.create_project("house")
        await backend.insert("task", DATES)
        assert (await receiver.next())["seq"] == 1
        receiver.status = 500
        for _ in range(2):
            await backend.insert("task", DATES)
            await backend.project("house").insert("task", DATES)
    # A project that nobody has opened since is told of too.
    receiver.status = 200
    async with served(config) as backend:
        told = [await receiver.next() for _ in range(4)]
    seqs: dict[str, list[int]] = {}
    for each in told:
        seqs.setdefault(each["project"], []).append(each["seq"])
    assert seqs == {"default": [2, 3], "house": [1, 2]}
    async with served(config) as backend:
        await backend.insert("task", DATES)
        assert (await receiver.next())["seq"] == 4


async def test_a_hook_that_is_new_begins_with_what_comes(gantt_config, receiver, tmp_path):
    config = gantt_config.model_copy(update={"database": f"sqlite:///{tmp_path}/other.db"})
    async with served(config.model_copy(update={"webhooks": ()})) as backend:
        await backend.insert("task", DATES)
    async with served(config) as backend:
        await backend.insert("task", DATES)
        assert (await receiver.next())["seq"] == 2


async def test_of_a_new_project_all_is_told(backend, receiver):
    await backend.insert("task", DATES)
    await backend.create_project("house", copy_of="default")
    await backend.create_project("bridge", demo=True)
    await receiver.next()
    await backend.project("house").insert("task", DATES)
    first: dict[str, int] = {}
    while len(first) < 2:
        told = await receiver.next()
        first.setdefault(told["project"], told["seq"])
    # Of a copy, what is done to it.
    assert first == {"house": 2, "bridge": 1}


async def test_a_deleted_project_is_told_of_when_it_is_back(backend, receiver):
    await backend.create_project("house")
    receiver.status = 500
    await backend.project("house").insert("task", DATES)
    while not receiver.ids:
        await asyncio.sleep(0.005)
    await backend.delete_project("house")
    receiver.status = 200
    await backend.insert("task", DATES)
    seen = [(await receiver.next())["project"]]
    while seen[-1] != "default":
        seen.append((await receiver.next())["project"])
    await backend.restore_project("house")
    await backend.project("house").insert("task", DATES)
    while True:
        told = await receiver.next()
        if (told["project"], told["seq"]) == ("house", 2):
            break


async def test_what_the_journal_has_forgotten_is_a_gap(backend, receiver):
    receiver.status = 500
    for _ in range(4):
        await backend.insert("task", DATES)
    while not receiver.ids:
        await asyncio.sleep(0.005)
    # The first ones have been read; what comes now is forgotten before it is.
    for _ in range(4):
        await backend.insert("task", DATES)
    project = backend.default
    project._most_changes = 2
    while await project.prune():
        pass
    receiver.status = 200
    told = []
    while not told or told[-1].get("seq") != 8:
        told.append(await receiver.next())
    gaps = [each for each in told if "to" in each]
    assert len(gaps) == 1 and gaps[0]["to"] == 6
    seqs = [each["seq"] for each in told if "seq" in each]
    assert seqs == sorted(seqs) and gaps[0]["from"] - 1 in (0, *seqs)


def test_the_settings_name_what_is_wrong() -> None:
    fine = {"url": "https://hooks.example/x", "secret": SECRET}
    assert Config(webhooks=[fine]).webhooks[0].where == "https://hooks.example"
    for wrong, told in (
        ({"url": "ftp://hooks.example"}, "url"),
        ({"url": "https://eve:pw@hooks.example"}, "url"),
        ({"url": "https:///x"}, "url"),
        ({"url": "https://hooks.example:x"}, "url"),
        ({"secret": "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"}, "whsec_"),
        ({"projects": ["No Name"]}, "No Name"),
        ({"entities": ["tree"]}, "tree"),
        ({"retries": 3}, "retries"),
    ):
        with pytest.raises(ValueError, match=told):
            Config(webhooks=[fine | wrong])
    with pytest.raises(ValueError, match="URL of its own"):
        Config(webhooks=[fine, fine])
    assert SECRET not in repr(Config(webhooks=[fine]))

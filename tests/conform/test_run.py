"""The kit on our own server, which is our own wire test too, and on a naive one."""

from __future__ import annotations

import asyncio
import importlib.util
import re
import socket
from pathlib import Path

import pytest
from tornado import web
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from gantt_tornado import StartError
from gantt_tornado.conform.client import Client, Fails, NotOffered
from gantt_tornado.conform.rules import Rule, a_stream_is_seen
from gantt_tornado.conform.run import FAILS, HOLDS, NOT_OFFERED, Verdict, conform, summary
from tests.conftest import ADMIN, EDITOR

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.gen_test(timeout=120)


def reported(page: Path) -> list[tuple[str, str, str]]:
    """The table of both reports: rule, ours, the naive one's."""
    rows = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    cells = [tuple(cell.strip() for cell in row.strip("|").split("|")) for row in rows]
    return [(rule, ours, naive) for rule, ours, naive in cells if ours in OUTCOMES]


OUTCOMES = (HOLDS, FAILS, NOT_OFFERED)


def told(verdicts: list[Verdict]) -> list[tuple[str, str]]:
    return [(f"{each.rule.section}: {each.rule.text}", each.outcome) for each in verdicts]


@pytest.fixture
def reports() -> list[tuple[str, str, str]]:
    return reported(ROOT / "docs" / "conformance.md")


async def test_our_own_server_keeps_every_rule(backend, gantt, reports):
    verdicts = await conform(gantt.url, ADMIN)
    assert [str(each) for each in verdicts if each.outcome != HOLDS] == []
    assert told(verdicts) == [(rule, ours) for rule, ours, _ in reports]
    # The project is gone, and the plan has not been touched.
    assert [each.name for each in await backend.projects()] == ["default"]
    assert backend.default.plan.seq == 0


async def test_the_naive_server_breaks_what_the_docs_say(reports):
    spec = importlib.util.spec_from_file_location("naive", ROOT / "examples" / "naive.py")
    naive = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(naive)
    server = HTTPServer(naive.app)
    listening, port = bind_unused_port()
    server.add_sockets([listening])
    try:
        url = f"http://127.0.0.1:{port}"
        verdicts = await conform(url, "token", write_here=True, patience=0.5)
    finally:
        server.stop()
    # A busy machine makes gaps of its own.
    timed = f"events: {Rule('', a_stream_is_seen).text}"
    seen = [each for each in told(verdicts) if each[0] != timed]
    assert seen == [(rule, theirs) for rule, _, theirs in reports if rule != timed]
    # What was added is gone again.
    assert naive.ITEMS == {"task": {}, "link": {}}


class TestHere:
    async def test_what_was_added_is_deleted(self, backend, gantt):
        mine = await gantt.add("task", text="mine")
        rules = [Rule("events", check) for check in (add_some,)]
        (verdict,) = await conform(gantt.url, EDITOR, write_here=True, rules=rules)
        assert verdict.outcome == HOLDS
        assert [task["id"] for task in backend.load()["tasks"]] == [mine["id"]]


async def add_some(client: Client) -> None:
    """adds a task below another, and a link"""
    a = await client.add()
    b = await client.add(parent=a)
    await client.add("link", source=a, target=b, type="0")


async def fails(client: Client) -> None:
    """never holds"""
    raise Fails("something else came")


async def is_not_there(client: Client) -> None:
    """is not offered"""
    raise NotOffered("nothing of it")


async def breaks(client: Client) -> None:
    """meets what nobody expected"""
    raise KeyError("tid")


async def test_one_rule_that_breaks_harms_no_other(gantt):
    rules = [Rule("x", check) for check in (fails, breaks, is_not_there, add_some)]
    verdicts = await conform(gantt.url, ADMIN, rules=rules)
    assert [each.outcome for each in verdicts] == [FAILS, FAILS, NOT_OFFERED, HOLDS]
    assert str(verdicts[0]).splitlines() == [
        "fails        x: never holds",
        "             something else came",
    ]
    assert summary(verdicts) == "1 hold, 2 fail, 1 are not offered"


async def test_who_may_make_no_project_is_told_what_to_do(gantt):
    with pytest.raises(StartError, match=r"403.*--write-here"):
        await conform(gantt.url, EDITOR)


class TestWithoutAnswers:
    """A server that takes a request and never answers it."""

    @pytest.fixture
    def hang(self, app):
        asked: list[str] = []

        def hang(*methods: str) -> list[str]:
            class Silent(web.RequestHandler):
                SUPPORTED_METHODS = ("GET", "POST", "DELETE")

                async def answer(self, *_path: str) -> None:
                    asked.append(self.request.method)
                    if self.request.method in methods:
                        await asyncio.Event().wait()
                    self.set_status(201 if self.request.method == "POST" else 200)

                get = post = delete = answer

            app.add_handlers(".*", [("/silent/.*", Silent)])
            return asked

        return hang

    async def test_a_project_that_cannot_be_made_is_one_line(self, gantt, hang):
        asked = hang("POST", "DELETE")
        with pytest.raises(StartError, match=r"no project can be made.*POST"):
            await conform(f"{gantt.url}/silent", ADMIN, patience=0.06)
        # It may have been made all the same.
        assert asked == ["GET", "POST", "DELETE"]

    async def test_a_project_that_cannot_be_deleted_is_said_and_no_more(self, gantt, hang, caplog):
        hang("DELETE")
        rules = [Rule("x", is_not_there)]
        (verdict,) = await conform(f"{gantt.url}/silent", ADMIN, patience=0.06, rules=rules)
        assert verdict.outcome == NOT_OFFERED
        assert re.search("conform-[0-9a-f]+ is left behind: DELETE", caplog.text)


async def test_who_is_interrupted_leaves_no_project(backend, gantt):
    begun = asyncio.Event()

    async def waits(client: Client) -> None:
        """waits"""
        begun.set()
        await asyncio.Event().wait()

    task = asyncio.create_task(conform(gantt.url, ADMIN, rules=[Rule("x", waits)]))
    await begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [each.name for each in await backend.projects()] == ["default"]


async def test_where_nobody_listens_it_says_so():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(StartError, match="there is no backend"):
        await conform(f"http://127.0.0.1:{port}", "token")


def test_every_rule_of_the_docs_is_described_once(reports):
    rules = [rule for rule, _, _ in reports]
    assert len(rules) == len({*rules}) > 40
    assert all(re.match(r"\w+: \S", rule) for rule in rules)


def test_the_naive_server_is_no_longer_than_it_says() -> None:
    assert len((ROOT / "examples" / "naive.py").read_text().splitlines()) <= 80

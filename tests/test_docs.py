"""README and docs/: every link leads somewhere, every snippet runs."""

from __future__ import annotations

import asyncio
import re
import textwrap
from pathlib import Path
from typing import Any

import pytest
from tornado import web
from tornado.httpclient import AsyncHTTPClient
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port

from gantt_tornado import Backend, Config
from tests.browser.further_page import FURTHER
from tests.kanban import FAMILIES

ROOT = Path(__file__).parent.parent
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@every_page
def test_each_link_to_a_file_leads_to_one(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@every_page
def test_each_language_of_a_snippet_is_one_that_is_run(page: Path) -> None:
    assert {language for language, _ in BLOCK.findall(page.read_text())} <= {"", "html", "python"}


def test_the_tests_that_hold_a_guarantee_are_there() -> None:
    held = re.findall(r"`((?:\w+/)*(?:test_)?\w+\.py)`", (ROOT / "docs/guarantees.md").read_text())
    assert len(held) > 20
    assert [
        name for name in held if not any((ROOT / at / name).exists() for at in ("", "tests"))
    ] == []


def snippets(page: Path) -> list[str]:
    return [code for language, code in BLOCK.findall(page.read_text()) if language == "python"]


@pytest.mark.parametrize("page", ["README.md", "docs/embedding.md"])
@pytest.mark.gen_test
async def test_the_application_of_the_snippet_answers(
    page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, *_ = snippets(ROOT / page)
    monkeypatch.chdir(tmp_path)
    listening = asyncio.Event()
    socket, port = bind_unused_port()

    def listen(app: web.Application, _port: int) -> None:
        HTTPServer(app).add_sockets([socket])
        listening.set()

    monkeypatch.setattr(web.Application, "listen", listen)
    names: dict[str, Any] = {"your_routes": [], "SECRET": "for a test"}
    exec("async def scene():\n" + textwrap.indent(code, "    "), names)
    running = asyncio.ensure_future(names["scene"]())
    try:
        await asyncio.wait_for(listening.wait(), 10)
        url = f"http://127.0.0.1:{port}/gantt/data"
        answer = await AsyncHTTPClient().fetch(url, raise_error=False)
        assert (answer.code, b"forbidden" in answer.body) == (403, True)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def test_the_board_of_the_snippet_is_that_of_the_example() -> None:
    _, board = snippets(ROOT / "docs/embedding.md")
    names: dict[str, Any] = {}
    exec(board, names)
    declared = [(each.name, each.path, each.place) for each in names["FAMILIES"]]
    assert declared == [(each.name, each.path, each.place) for each in FAMILIES]
    Backend(Config(database="sqlite:///:memory:"), families=names["FAMILIES"])


def test_the_page_of_the_contract_is_the_one_that_is_driven_in_a_browser() -> None:
    _, _, section = (
        (ROOT / "docs/protocol.md").read_text().partition("## Assignments and baselines")
    )
    shown = next(code for language, code in BLOCK.findall(section) if language == "html")
    lines = [line.strip() for line in shown.splitlines()[1:-1]]
    assert len(lines) > 5 and [line for line in lines if line not in FURTHER] == []

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from html import unescape
from pathlib import Path
from typing import Any

import orjson
import pytest

from gantt_tornado.backend import Backend
from gantt_tornado.config import Config
from gantt_tornado.errors import Stale, StartError
from gantt_tornado.live.plan import Plan
from gantt_tornado.model import text
from gantt_tornado.model.dates import Calendar
from gantt_tornado.model.entities import ENTITIES
from gantt_tornado.store import text_conversion
from gantt_tornado.store.items import Store
from gantt_tornado.store.text_conversion import convert
from tests.support import DATES, Driven

#: As cleaned HTML, and as the letters that it shows.
TEXTS = [
    ("if x &lt; y", "if x < y"),
    ("a &lt; b &amp; c", "a < b & c"),
    ("R&D", "R&D"),
    ("?a=1&section=2", "?a=1&section=2"),
    ("<b>Dig</b>", "<b>Dig</b>"),
    ("Straße", "Straße"),
]


class Old(Driven):
    """A plan whose text is HTML."""

    def __init__(self) -> None:
        super().__init__()
        self.store = Store(self.database, Calendar(), markup=True)


@pytest.fixture
def old() -> Iterator[Driven]:
    plan = Old()
    yield plan
    plan.close()


def text_of(plan: Driven, id: int, field: str = "text") -> Any:
    return plan.item("task", id)[field]


def journal_of(plan: Driven, id: int) -> list[Any]:
    lines = plan.store.journal.history(1 << 60, 99, id)
    return [line.fields["text"] for line in lines]


@pytest.mark.parametrize("html, letters", TEXTS)
def test_cleaned_html_becomes_the_letters_that_it_showed(
    old: Driven, html: str, letters: str
) -> None:
    id = old.task(text=html, custom=[{"a": html}])
    assert convert(old.database, "text")
    assert (text_of(old, id), text_of(old, id, "custom")) == (letters, [{"a": letters}])


def test_the_journal_is_converted_too(old: Driven) -> None:
    id = old.task(text="a &lt; b")
    old.update("task", id, {"text": "a &lt; c"})
    convert(old.database, "text")
    assert journal_of(old, id) == [["a < b", "a < c"], [None, "a < b"]]


def test_what_pages_hold_in_the_old_way_is_of_another_plan(old: Driven) -> None:
    id = old.task(text="a &lt; b")
    old.task()
    had, item = Plan.of(old.store.read()).stored_position(), old.item("task", id)
    convert(old.database, "text")
    # As a server makes it, when all is converted.
    old.store = Store(old.database, old.calendar)
    assert Plan.of(old.store.read()).stored_position().mark != had.mark
    with pytest.raises(Stale):
        old.update("task", id, item)


def test_what_is_kept_as_before_is_the_same_plan(old: Driven) -> None:
    old.task()
    had = Plan.of(old.store.read()).stored_position()
    convert(old.database, "clean")
    assert Plan.of(old.store.read()).stored_position() == had


def test_a_delete_of_before_is_undone_with_letters(old: Driven) -> None:
    id = old.task(text="a &lt; b")
    (deleted,) = old.delete("task", id).changes
    convert(old.database, "text")
    old.undo(deleted.seq)
    assert text_of(old, id) == "a < b"


@pytest.mark.parametrize("entity, more", [("resource", {}), ("link", {})])
def test_every_entity_is_converted(old: Driven, entity: str, more: dict[str, Any]) -> None:
    if entity == "link":
        more = {"source": old.task(), "target": old.task()}
    id = old.insert(entity, {"note": "a &lt; b", **more}).id
    convert(old.database, "text")
    assert old.item(entity, id)["note"] == "a < b"


def test_it_is_done_once(old: Driven) -> None:
    id = old.task(text="&amp;lt;")
    assert [convert(old.database, "text") for _ in range(3)] == [True, False, False]
    assert text_of(old, id) == "&lt;"


@pytest.mark.parametrize("letters", [letters for _, letters in TEXTS])
def test_there_and_back_the_letters_are_the_same(old: Driven, letters: str) -> None:
    convert(old.database, "text")
    id = old.task(text=letters)
    convert(old.database, "clean")
    html = text_of(old, id)
    assert "<" not in html and unescape(html) == unescape(text.tell(letters))
    convert(old.database, "text")
    assert text_of(old, id) == letters


def test_more_rows_than_are_read_in_one_go(old: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_conversion, "SLICE", 2)
    ids = [old.task(text=f"{n} &lt; b") for n in range(5)]
    convert(old.database, "text")
    assert [text_of(old, id) for id in ids] == [f"{n} < b" for n in range(5)]


def test_a_damaged_line_of_the_journal_does_not_stop_it(old: Driven) -> None:
    id = old.task(text="a &lt; b")
    old.update("task", id, {"text": "c"})
    old.database.peewee.execute_sql("UPDATE change SET fields = '{ &lt;' WHERE seq = 1")
    convert(old.database, "text")
    assert journal_of(old, id) == [["a < b", "c"]]


def test_a_new_database_is_kept_as_the_configuration_says(old: Driven) -> None:
    convert(old.database, "text")
    assert not convert(old.database, "text")


def test_what_needs_no_conversion_keeps_its_bytes(old: Driven) -> None:
    id = old.insert("task", {**DATES, "note": "a & b > c"}).id
    before = old.database.execute("SELECT fields FROM task WHERE id = ?", (id,)).fetchone()
    convert(old.database, "text")
    assert old.database.execute("SELECT fields FROM task WHERE id = ?", (id,)).fetchone() == before
    assert orjson.loads(before[0])["note"] == "a & b > c"


def test_a_conversion_that_fails_half_way_leaves_all_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = Config(database=f"sqlite:///{tmp_path}/plan.db", html="clean")

    async def plant() -> None:
        async with Backend(config) as backend:
            for _ in range(2):
                await backend.insert("task", {**DATES, "text": "a &lt; b"})

    def fail(told: str) -> str:
        if "&" in told:
            if seen:
                raise OSError("the disk has failed")
            seen.append(told)
        return text.unclean(told)

    async def texts() -> list[str]:
        async with Backend(config) as backend:
            items = [backend.default.plan.item(ENTITIES["task"], id) for id in (1, 2)]
            written = [change.fields["text"][1] for change in await backend.history()]
            return [*(orjson.loads(item or b"")["text"] for item in items), *written]

    seen: list[str] = []
    asyncio.run(plant())
    monkeypatch.setitem(text_conversion.WAYS, "text", fail)
    with pytest.raises((OSError, StartError)):
        asyncio.run(Backend(Config(database=config.database)).start())
    monkeypatch.undo()
    assert asyncio.run(texts()) == ["a &lt; b"] * 4

from __future__ import annotations

import orjson
import pytest

from gantt_tornado.model import history
from gantt_tornado.model.change import Author, Change
from gantt_tornado.model.dates import Calendar
from gantt_tornado.model.entities import TASK

ANN = Author("ann", "page-a")


def change(**fields: list[object]) -> Change:
    return Change(7, 7, 1, TASK, 3, "update", ANN, 1_000, fields, dropped={"parent": 9})


def test_a_change_as_it_is_told() -> None:
    told = history.line(change(text=["a", "b"]), Calendar())
    assert told == {
        **{"seq": 7, "group": 7, "entity": "task", "id": 3, "action": "update", "user": "ann"},
        "at": "1970-01-01T00:00:01.000+00:00",
        **{"fields": {"text": ["a", "b"]}, "dropped": {"parent": 9}},
    }


def test_dates_are_in_the_servers_format_and_what_is_none_is_left() -> None:
    dates = ["2026-03-02 00:00:00", None]
    told = history.line(change(start_date=dates), Calendar("%d-%m-%Y %H:%M"))
    assert told["fields"]["start_date"] == ["02-03-2026 00:00", None]


def test_where_a_row_was_dropped_is_no_news() -> None:
    assert history.line(change(target=["", "next:7"]), Calendar())["fields"] == {}


def test_a_page_is_json() -> None:
    page = orjson.loads(history.history_page([change()], Calendar()))
    assert [each["seq"] for each in page["history"]] == [7]


@pytest.mark.parametrize("wanted, size", [(None, 50), (3, 3), (0, 0), (10_000, 500)])
def test_the_size_of_a_page(wanted: int | None, size: int) -> None:
    assert history.page_size(wanted) == size

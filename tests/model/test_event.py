"""What the Scheduler's events are, and how they are told so that its handler never throws."""

import orjson
import pytest

from gantt_tornado.errors import BadRequest
from gantt_tornado.model.dates import Calendar
from gantt_tornado.model.event import EVENT, is_exception

CALENDAR = Calendar()
SERIES = {
    "start_date": "2027-04-19 09:00",
    "end_date": "9999-02-01 00:00",
    "text": "ser",
    "rrule": "FREQ=DAILY;INTERVAL=1",
    "original_start": None,
    "recurring_event_id": None,
    "duration": 3600,
    "deleted": None,
    "$new": True,
}


def told(values):
    return [orjson.loads(value) for value in values]


def encoded(**state):
    state = {"recurring_event_id": 0, "event_pid": 0, **state}
    item = EVENT.encode(7, 9, 0x3FA9C1, state, CALENDAR)
    return orjson.loads(item)


def test_a_series_is_read_as_the_client_sends_it() -> None:
    values = EVENT.read(SERIES, CALENDAR).values
    assert values["rrule"] == "FREQ=DAILY;INTERVAL=1"
    assert (values["duration"], values["recurring_event_id"]) == (3600, 0)
    assert "$new" not in values


def test_a_revision_comes_back_under_a_name_that_the_client_sends() -> None:
    patch = EVENT.read({"text": "x", "$rev": 9, "$mark": "3fa9c1", "_rev": 4}, CALENDAR)
    assert (patch.rev, patch.mark) == (9, "3fa9c1")
    item = encoded(start_date="2027-04-19 09:00:00", end_date="2027-04-19 10:00:00")
    assert (item["$rev"], item["$mark"]) == (9, "3fa9c1")
    assert not item.keys() & {"_rev", "_mark"}


def test_an_exception_names_its_occurrence_to_the_minute() -> None:
    item = encoded(
        start_date="2027-04-21 11:05:00",
        end_date="2027-04-21 12:05:00",
        original_start="2027-04-21 09:00:00",
        recurring_event_id=7,
    )
    assert (item["original_start"], item["recurring_event_id"]) == ("2027-04-21 09:00", 7)


def test_what_is_no_exception_has_no_series() -> None:
    item = encoded(start_date="2027-04-19 09:00:00", end_date="2027-04-19 10:00:00")
    assert item["recurring_event_id"] is item["event_pid"] is None


def test_a_text_from_a_form_is_no_series_and_no_date() -> None:
    sent = {"rrule": "", "duration": "", "recurring_event_id": "", "deleted": ""}
    values = EVENT.read(sent, CALENDAR).values
    assert values == {"rrule": None, "duration": None, "recurring_event_id": 0, "deleted": None}


def test_an_added_event_stands_in_the_value_once() -> None:
    assert EVENT.tell("add", b'{"id":7}') == b'{"type":"add-event","event":{"id":7}}'


def test_a_delete_leaves_neither_a_series_nor_an_exception_nor_a_page_that_saves_nothing() -> None:
    first, second, third = told(EVENT.tell_gone(7))
    assert first["type"] == "update-event"
    assert first["event"] == {
        **dict.fromkeys(("rrule", "rec_type", "recurring_event_id", "event_pid")),
        "id": 7,
    }
    assert second == {"type": "delete-event", "event": {"id": 7}}
    assert third == {"type": "update-event", "event": {"id": 7}}


@pytest.mark.parametrize("name", ["start_date", "end_date", "original_start"])
def test_a_date_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(BadRequest, match=name):
        EVENT.read({name: "soon"}, CALENDAR)


def test_an_event_that_lost_its_dates_gets_some() -> None:
    state = {"text": "x", "recurring_event_id": 0, "event_pid": 0}
    mended = EVENT.sound(state, CALENDAR)
    assert mended["start_date"] == mended["end_date"]
    kept = {**state, "start_date": "2027-04-19 09:00:00", "end_date": "2027-04-19 10:00:00"}
    assert EVENT.sound(kept, CALENDAR) is kept


def test_an_exception_is_known_by_its_series() -> None:
    assert is_exception({"recurring_event_id": 7}) and is_exception({"event_pid": 7})
    assert not is_exception({"recurring_event_id": 0, "event_pid": 0})

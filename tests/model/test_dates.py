from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantt_tornado.model.dates import DAY_FIRST, ISO, MINUTES, Calendar, _stored, complete
from tests import support  # noqa: F401  (the profile of hypothesis)

FORMATS = (MINUTES, DAY_FIRST, ISO)
STORED = "2026-03-02 09:30:00"


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    "text",
    [
        "2026-03-02 09:30",
        "2026-03-02 09:30:00",
        "2026-03-02T09:30",
        "2026-03-02T09:30:00.000Z",
        "2026-03-02T10:30:00+01:00",
        "02-03-2026 09:30",
        "02-03-2026 09:30:00",
        "  2026-03-02 09:30  ",
    ],
)
def test_every_input_form_is_read_whatever_the_output_form(format: str, text: str) -> None:
    assert Calendar(format).parse(text) == STORED


@pytest.mark.parametrize("text", ["2026-03-02", "02-03-2026"])
def test_a_date_without_a_time_is_midnight(text: str) -> None:
    assert Calendar().parse(text) == "2026-03-02 00:00:00"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "1772443800",
        "20260302",
        "2026-W10-1",
        "2026-13-01 00:00",
        "2026-02-30 00:00",
        "30-02-2026 00:00",
        "2026-03-02 25:00",
        "2026/03/02",
        "03/02/2026",
        "0026-03-02 00:00",
        "2026-03-02 09:30 tomorrow",
        "\uff12\uff10\uff12\uff16-03-02",
    ],
)
def test_what_is_no_date_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        Calendar().parse(text)


@given(st.text(alphabet="0123456789-: TZ+.W\u0662a", max_size=30))
def test_reading_fails_in_one_way_only(text: str) -> None:
    try:
        stored = Calendar(zone="Pacific/Kiritimati").parse(text)
    except ValueError:
        return
    assert Calendar().parse(stored) == stored


@pytest.mark.parametrize(
    "text, zone",
    [
        ("9999-12-31T23:59:00-12:00", "UTC"),
        ("9999-12-31T23:59:00Z", "Asia/Tokyo"),
        ("1000-01-01T00:00:00Z", "America/New_York"),
    ],
)
def test_an_instant_that_its_zone_moves_out_of_the_calendar_is_refused(
    text: str, zone: str
) -> None:
    with pytest.raises(ValueError):
        Calendar(zone=zone).parse(text)


def test_an_instant_is_moved_to_the_wall_clock_of_the_zone() -> None:
    berlin = Calendar(zone="Europe/Berlin")
    assert berlin.parse("2026-07-01T10:00:00Z") == "2026-07-01 12:00:00"
    assert berlin.parse("2026-01-01T10:00:00Z") == "2026-01-01 11:00:00"


def test_a_wall_clock_time_is_not_moved() -> None:
    assert Calendar(zone="Europe/Berlin").parse("2026-07-01 10:00") == "2026-07-01 10:00:00"


def test_the_iso_form_is_utc_whatever_the_zone() -> None:
    calendar = Calendar(ISO, zone="Asia/Tokyo")
    assert calendar.show(calendar.parse("2026-07-01T10:00:00.000Z")) == "2026-07-01T10:00:00Z"


@pytest.mark.parametrize("format", [MINUTES, DAY_FIRST])
def test_seconds_that_are_not_shown_are_not_kept(format: str) -> None:
    assert Calendar(format).parse("2026-03-02 09:30:59") == STORED


def test_seconds_are_kept_where_they_are_shown() -> None:
    assert Calendar(ISO).show(Calendar(ISO).parse("2026-03-02 09:30:59")) == "2026-03-02T09:30:59Z"


@pytest.mark.parametrize(
    "format, shown",
    [
        (MINUTES, "2026-03-02 09:30"),
        (DAY_FIRST, "02-03-2026 09:30"),
        (ISO, "2026-03-02T09:30:00Z"),
    ],
)
def test_each_output_form(format: str, shown: str) -> None:
    assert Calendar(format).show(STORED) == shown


@pytest.mark.parametrize("format", FORMATS)
@given(moment=st.datetimes(min_value=datetime(1000, 1, 1)))
def test_what_is_shown_reads_back_as_what_is_stored(format: str, moment: datetime) -> None:
    calendar = Calendar(format)
    stored = calendar.parse(moment.isoformat(" "))
    assert calendar.parse(calendar.show(stored)) == stored


@pytest.mark.parametrize(
    "unit, end",
    [
        ("minute", "2026-03-02 09:32:00"),
        ("hour", "2026-03-02 11:30:00"),
        ("day", "2026-03-04 09:30:00"),
        ("week", "2026-03-16 09:30:00"),
    ],
)
def test_the_unit_says_how_long_a_duration_is(unit: str, end: str) -> None:
    calendar = Calendar(unit=unit)
    assert calendar.end(STORED, 2) == end
    assert calendar.duration(STORED, end) == 2


@pytest.mark.parametrize("length", [1e9, 1e300, -1e9, -739_000])
def test_a_duration_that_leads_out_of_the_calendar_is_refused(length: float) -> None:
    with pytest.raises(ValueError):
        Calendar().end(STORED, length)


def test_half_a_unit_is_rounded_up_as_the_client_does() -> None:
    assert Calendar().duration("2026-03-02 00:00:00", "2026-03-04 12:00:00") == 3
    assert Calendar().duration("2026-03-02 00:00:00", "2026-03-04 11:59:00") == 2


@pytest.mark.parametrize("format, days", [(MINUTES, 2), (ISO, 1)])
def test_today_is_the_day_of_the_zone_but_in_the_iso_form(format: str, days: int) -> None:
    # 25 hours apart, so that it is never the same day in both.
    zones = ("Pacific/Kiritimati", "Pacific/Pago_Pago")
    assert len({Calendar(format, zone=zone).today() for zone in zones}) == days


def test_today_is_a_midnight() -> None:
    assert Calendar(zone="Europe/Berlin").today().endswith(" 00:00:00")


# The three dates of a task.

PRESENT = {
    "start_date": "2026-03-02 00:00:00",
    "end_date": "2026-03-05 00:00:00",
    "duration": 3,
}


def dates(sent: dict[str, Any], changed: set[str] | None = None, **present: Any) -> dict[str, Any]:
    return complete(Calendar(), present, sent, sent.keys() if changed is None else changed)


def test_start_and_end_give_the_duration() -> None:
    assert dates({k: PRESENT[k] for k in ("start_date", "end_date")}) == PRESENT


def test_start_and_duration_give_the_end() -> None:
    assert dates({k: PRESENT[k] for k in ("start_date", "duration")}) == PRESENT


def test_end_and_duration_give_the_start() -> None:
    assert dates({k: PRESENT[k] for k in ("end_date", "duration")}) == PRESENT


def test_the_end_wins_over_the_duration() -> None:
    assert dates({**PRESENT, "duration": 9}) == PRESENT


def test_the_duration_wins_where_it_is_all_that_was_changed() -> None:
    longer = dates({**PRESENT, "duration": 4}, {"duration"}, **PRESENT)
    assert longer["end_date"] == "2026-03-06 00:00:00"


def test_a_start_that_comes_alone_moves_the_task() -> None:
    moved = dates({"start_date": "2026-03-03 00:00:00"}, **PRESENT)
    assert (moved["end_date"], moved["duration"]) == ("2026-03-06 00:00:00", 3)


def test_an_end_that_comes_alone_keeps_the_start() -> None:
    longer = dates({"end_date": "2026-03-07 00:00:00"}, **PRESENT)
    assert (longer["start_date"], longer["duration"]) == (PRESENT["start_date"], 5)


@pytest.mark.parametrize("known", ["start_date", "end_date", "duration"])
def test_one_of_the_three_is_not_enough(known: str) -> None:
    with pytest.raises(ValueError, match="two of"):
        dates({known: PRESENT[known]})


def test_an_end_before_the_start_is_refused() -> None:
    with pytest.raises(ValueError, match="before"):
        dates({"start_date": PRESENT["end_date"], "end_date": PRESENT["start_date"]})


def test_a_milestone_may_last_nothing() -> None:
    assert (
        dates({"start_date": PRESENT["start_date"], "duration": 0})["end_date"]
        == (PRESENT["start_date"])
    )


@given(start=st.integers(0, 10**7), minutes=st.integers(0, 10**6))
def test_in_minutes_the_three_dates_always_agree(start: int, minutes: int) -> None:
    calendar = Calendar(unit="minute")
    first = calendar.end("2000-01-01 00:00:00", start)
    done = complete(calendar, {}, {"start_date": first, "duration": minutes}, {"duration"})
    assert calendar.end(done["start_date"], done["duration"]) == done["end_date"]


def test_a_date_among_blanks_is_remembered_without_them() -> None:
    calendar = Calendar()
    _stored.cache_clear()
    for blanks in range(3):
        calendar.parse(" " * 1_000_000 * blanks + "2030-01-07 08:00")
    assert _stored.cache_info().currsize == 1


@pytest.mark.parametrize("text", ["2030-01-07 " + "0" * 1_000_000, "07-01-2030 " + "8" * 60])
def test_what_is_longer_than_any_date_is_not_remembered(text: str) -> None:
    _stored.cache_clear()
    with pytest.raises(ValueError, match="not a date"):
        Calendar().parse(text)
    assert _stored.cache_info().misses == 0

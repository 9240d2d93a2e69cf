"""Values of Python in fields."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

import pytest

from gantt_tornado.errors import BadRequest
from gantt_tornado.model.dates import Calendar
from gantt_tornado.model.entities import ENTITIES
from gantt_tornado.model.values import as_json

BERLIN = Calendar(zone="Europe/Berlin")
SUMMER = datetime(2026, 7, 1, 22, 30, tzinfo=UTC)


class Colour(StrEnum):
    red = "#f00"


class Size(IntEnum):
    small = 1


class Place(Enum):
    here = (1, 2)


class Text(str):
    """As a library's own kind of text is."""


class Rows(list):
    """As a library's own kind of list is."""


class Real(float):
    """As numpy's float64 is."""


@dataclass
class Money:
    amount: int


def read(value: Any, calendar: Calendar = BERLIN) -> Any:
    """A value in a field of an item, and in what stands in it."""
    edit = ENTITIES["resource"].read({"cost": value, "more": [{"a": value}]}, calendar)
    assert edit.values["more"] == [{"a": edit.values["cost"]}]
    return edit.values["cost"]


@pytest.mark.parametrize("value", ["", "Dig", "Gräben", 0, -7, 2**63 - 1, 0.5, True, None, [], {}])
def test_what_json_has_is_left_as_it_is(value: Any) -> None:
    assert read(value) == value and type(read(value)) is type(value)


def test_what_is_nested_is_left_as_it_is() -> None:
    value = {"a": [1, {"b": None, "c": "ü"}, []], "": {}}
    assert read(value) == value


@pytest.mark.parametrize(
    "calendar, shown",
    [
        (Calendar(), "2026-07-01 22:30"),
        (BERLIN, "2026-07-02 00:30"),
        (Calendar("%d-%m-%Y %H:%M", "Europe/Berlin"), "02-07-2026 00:30"),
        (Calendar("iso", "Europe/Berlin"), "2026-07-01T22:30:00Z"),
    ],
)
def test_an_instant_is_moved_to_the_wall_clock_of_the_plan(calendar: Calendar, shown: str) -> None:
    assert read(SUMMER, calendar) == shown
    assert read(SUMMER.astimezone(timezone(timedelta(hours=-5, minutes=-30))), calendar) == shown


def test_a_datetime_without_a_zone_is_on_the_wall_clock_already() -> None:
    assert read(datetime(2026, 7, 1, 22, 30, 15, 999)) == "2026-07-01 22:30"


def test_a_date_is_the_midnight_of_its_day() -> None:
    assert read(date(2026, 7, 1)) == "2026-07-01 00:00"


@pytest.mark.parametrize(
    "value, number",
    [
        (Decimal("12.50"), 12.5),
        (Decimal("12"), 12),
        (Decimal("-0.1"), -0.1),
        (Decimal("1e30"), 1e30),
        (Real(2.5), 2.5),
    ],
)
def test_a_decimal_is_a_number(value: Any, number: float) -> None:
    assert read(value) == number and type(read(value)) is type(number)


@pytest.mark.parametrize(
    "value, plain",
    [
        (Colour.red, "#f00"),
        (Size.small, 1),
        (Place.here, [1, 2]),
        (Text("Dig"), "Dig"),
        ((1, (2, "a")), [1, [2, "a"]]),
        (Rows([1, (2,)]), [1, [2]]),
        (MappingProxyType({"a": (1,)}), {"a": [1]}),
        (UUID(int=5), "00000000-0000-0000-0000-000000000005"),
        ([Decimal("0.5"), {"at": date(2026, 7, 1)}], [0.5, {"at": "2026-07-01 00:00"}]),
    ],
)
def test_what_has_one_plain_form_takes_it(value: Any, plain: Any) -> None:
    assert read(value) == plain and type(read(value)) is type(plain)


@pytest.mark.parametrize(
    "value, reason",
    [
        (b"Dig", "bytes"),
        ({1, 2}, "set"),
        (object(), "object"),
        (time(8), "time"),
        (timedelta(days=2), "timedelta"),
        (1j, "complex"),
        (Money(5), "Money"),
        ([[b"Dig"]], "bytes"),
        (2**63, "64 bits"),
        (-(2**64), "64 bits"),
        (float("nan"), "finite"),
        (Real("inf"), "finite"),
        (Decimal("NaN"), "finite"),
        (Decimal("sNaN"), "NaN"),
        (Decimal("1e999"), "finite"),
        ([1, {"a": (float("-inf"),)}], "finite"),
        (date(999, 1, 1), "four digits"),
        (datetime.max.replace(tzinfo=UTC), "outside the calendar"),
    ],
)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: ({"a": (value,)},)])
def test_anything_else_is_refused_by_the_name_of_its_field(
    value: Any, reason: str, wrap: Any
) -> None:
    with pytest.raises(BadRequest, match=f"^cost: .*{reason}"):
        ENTITIES["resource"].read({"cost": wrap(value)}, BERLIN)


@pytest.mark.parametrize("kind", [list, Rows])
def test_what_holds_itself_is_refused(kind: Any) -> None:
    value = kind()
    value.append(value)
    with pytest.raises(BadRequest, match="nested"):
        read(value)


@pytest.mark.parametrize("value", [1.5, Decimal(2), Colour.red, date(2026, 7, 1), None, (1,)])
def test_one_value_is_as_json_has_it(value: Any) -> None:
    assert type(as_json(value, BERLIN)) in (float, int, str, type(None), list)

"""Dates of a plan: three forms in, one form in the store, one form out.

In the store a date is the text ``YYYY-MM-DD HH:MM:SS``: it sorts, it compares, and it
names no time zone, because a plan is drawn on a wall calendar. A date that comes with
``Z`` or an offset is an instant; it is moved to the wall clock of the configured zone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final
from zoneinfo import ZoneInfo

MINUTES: Final = "%Y-%m-%d %H:%M"
DAY_FIRST: Final = "%d-%m-%Y %H:%M"
ISO: Final = "iso"
#: Characters; no date has as many. What was parsed is remembered by its text.
LONGEST: Final = 64

UNITS: Final = {
    "minute": timedelta(minutes=1),
    "hour": timedelta(hours=1),
    "day": timedelta(days=1),
    "week": timedelta(weeks=1),
}

_DAY_FIRST = re.compile(r"(\d\d)-(\d\d)-(\d{4})(?:[ T](.+))?")


@dataclass(frozen=True, slots=True)
class Calendar:
    """How this server reads and writes dates and counts durations.

    ``format`` is one of ``%Y-%m-%d %H:%M``, ``%d-%m-%Y %H:%M`` and ``iso``; ``unit`` is
    the length of a duration of 1. In ``iso`` the client sends and reads instants in
    UTC (``Date.toISOString``), so there the zone is UTC whatever was asked for.
    """

    format: str = MINUTES
    zone: str = "UTC"
    unit: str = "day"

    def parse(self, text: str) -> str:
        """The stored form of a date in any of the three input forms.

        Seconds are kept only where the output form shows them: a client sends back what
        it was shown, and a lost second would look like an edit.

        Raises:
            ValueError: not a date.
        """
        text = text.strip()
        if len(text) > LONGEST:
            raise ValueError("not a date")
        return _stored(text, "UTC" if self.format == ISO else self.zone, self.format == ISO)

    def show(self, stored: str) -> str:
        """The form that goes to the client."""
        if self.format == MINUTES:
            return stored[:16]
        if self.format == ISO:
            return f"{stored[:10]}T{stored[11:]}Z"
        return f"{stored[8:10]}-{stored[5:7]}-{stored[:4]} {stored[11:16]}"

    def end(self, start: str, duration: float) -> str:
        """The exclusive end of a task that starts at ``start`` and lasts ``duration`` units.

        Raises:
            ValueError: the end lies outside the calendar.
        """
        try:
            moment = datetime.fromisoformat(start) + duration * UNITS[self.unit]
        except OverflowError:
            raise ValueError("the duration leads out of the calendar") from None
        return self.parse(moment.isoformat(" "))

    def duration(self, start: str, end: str) -> int:
        """Units between two dates, rounded as the client rounds them (a half goes up)."""
        span = datetime.fromisoformat(end) - datetime.fromisoformat(start)
        return int(span / UNITS[self.unit] + 0.5)

    def today(self) -> str:
        zone = UTC if self.format == ISO else ZoneInfo(self.zone)
        return datetime.now(zone).strftime("%Y-%m-%d 00:00:00")


# A client sends all dates of a row with every edit of it, so the same few come again.
@lru_cache(maxsize=4096)
def _stored(text: str, zone: str, seconds: bool) -> str:
    moment = _read(text)
    if moment.tzinfo is not None:
        try:
            moment = moment.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        except OverflowError:
            raise ValueError("the date lies outside the calendar") from None
    if moment.year < 1000:
        raise ValueError("the year has four digits")
    moment = moment.replace(microsecond=0)
    return (moment if seconds else moment.replace(second=0)).isoformat(" ")


def _read(text: str) -> datetime:
    day_first = _DAY_FIRST.fullmatch(text)
    if day_first:
        day, month, year, time = day_first.groups()
        text = f"{year}-{month}-{day} {time or '00:00'}"
    elif not re.match(r"\d{4}-\d\d-\d\d", text):
        # fromisoformat would also take week dates and bare digits, which no client sends.
        raise ValueError("not a date")
    return datetime.fromisoformat(text)


#: The dates that an appointment needs.
SPAN: Final = ("start_date", "end_date")


def span(
    merged: Mapping[str, Any], sent: Mapping[str, Any], is_series: bool = False
) -> dict[str, Any]:
    """The dates of an appointment into which a writer's were merged.

    Two people who change one end each may leave the end before the start: then both are as the
    writer ``sent`` them. A series may end before it begins: then nothing is left of it.

    Raises:
        ValueError: a date is missing, or the end that was sent lies before the start.
    """
    for dates in (merged, sent):
        start, end = (dates.get(name) for name in SPAN)
        if start is None or end is None:
            raise ValueError("start_date and end_date are needed")
        if start <= end or is_series:
            return {"start_date": start, "end_date": end}
    raise ValueError("end_date lies before start_date")


def some_span(state: Mapping[str, Any], calendar: Calendar) -> dict[str, Any]:
    """Both dates of an appointment that may have lost one, or both."""
    start, end = (state.get(name) for name in SPAN)
    start = start or end or calendar.today()
    return {"start_date": start, "end_date": end or start}


def complete(
    calendar: Calendar, present: Mapping[str, Any], sent: Mapping[str, Any], changed: Set[str]
) -> dict[str, Any]:
    """The three dates of a task from any two of them, so that they always agree.

    ``sent`` holds those that the writer sent, ``changed`` names those of them that it
    changed. ``end_date`` wins over ``duration``, unless the duration is all that was
    changed; a start that comes alone moves the task and keeps its length.

    Raises:
        ValueError: fewer than two are known, or the end lies before the start.
    """
    start = sent.get("start_date", present.get("start_date"))
    end = sent.get("end_date")
    duration = sent.get("duration", present.get("duration"))
    if changed == {"duration"}:
        end = None
    if start is None and end is not None and duration is not None:
        start = calendar.end(end, -duration)
    if start is None or (end is None and duration is None):
        raise ValueError("two of start_date, end_date and duration are needed")
    if end is None:
        end = calendar.end(start, duration)
    if end < start:
        raise ValueError("end_date lies before start_date")
    return {
        "start_date": start,
        "end_date": end,
        "duration": calendar.duration(start, end),
    }

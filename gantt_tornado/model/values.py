"""What a program puts into a field, as JSON has it.

Requests bring nothing but JSON; applications have dates, decimals and the like.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from typing import Any, Final
from uuid import UUID

from gantt_tornado.model.dates import Calendar

#: The largest integer of SQLite, and the longest that JSON is written with.
_LARGEST: Final = (1 << 63) - 1


def as_json(value: Any, calendar: Calendar) -> Any:
    """A value as JSON has it: a date as a text in the plan's form and on its wall clock, a
    ``Decimal`` as a number, a ``UUID`` as a text, an ``Enum`` as its value, a tuple as a
    list. What stands in a list or an object is left as it is.

    Raises:
        ValueError: it has no place in JSON; the text says why.
    """
    if isinstance(value, Enum):
        return as_json(value.value, calendar)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int | float | Decimal):
        return _number(value)
    if isinstance(value, date):
        moment = value if isinstance(value, datetime) else datetime(*value.timetuple()[:3])
        return calendar.show(calendar.parse(moment.isoformat()))
    if isinstance(value, str):
        # Not str(value), which a subclass may have changed.
        return str.__str__(value)
    if isinstance(value, UUID):
        return str(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, list | tuple):
        return list(value)
    raise ValueError(f"{type(value).__name__} has no place in JSON")


def _number(value: float | Decimal) -> int | float:
    if isinstance(value, int):
        if not -_LARGEST <= value <= _LARGEST:
            raise ValueError("a number of more than 64 bits has no place in JSON")
        return int(value)
    number = float(value)
    if not math.isfinite(number):
        raise ValueError("a finite number is needed")
    whole = isinstance(value, Decimal) and number.is_integer() and abs(number) < 1 << 53
    return int(number) if whole else number

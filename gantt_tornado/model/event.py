"""The appointments of the Scheduler client: single ones, series and their exceptions. Pure.

Serves docs/protocol.md, "The Scheduler". The client drops keys that begin with ``_`` and keeps
those with ``$``, the reverse of the Gantt client; and its handler throws at what it does not
expect, after which its page saves nothing more.
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from pydantic import ConfigDict, TypeAdapter, with_config
from typing_extensions import TypedDict

from gantt_tornado.model.dates import SPAN
from gantt_tornado.model.entities import Date, Entity, Flag, Note, Number, Reference, Text

#: The series of which an event is an exception, in the client's present format and its old one.
SERIES: Final = ("recurring_event_id", "event_pid")
#: What makes an event a series, or one of a series.
_RECURRING: Final = ("rrule", "rec_type", *SERIES)


@with_config(ConfigDict(extra="allow"))
class EventFields(TypedDict, total=False):
    text: Text
    start_date: Date
    end_date: Date
    rrule: Note
    #: Seconds.
    duration: Number
    recurring_event_id: Reference
    #: Which occurrence an exception stands for.
    original_start: Date
    #: Of an exception: the occurrence does not take place.
    deleted: Flag
    rec_type: Note
    event_pid: Reference
    event_length: Note | Number


class Event(Entity):
    """The entity of the Scheduler's events."""

    def tell_gone(self, id: int) -> list[bytes]:
        plain = orjson.dumps({"id": id, **dict.fromkeys(_RECURRING)})
        return [
            # Else an exception stays, as one that is deleted, and at a series a page without
            # the plug-in throws.
            self.tell("update", plain),
            *super().tell_gone(id),
            # The client throws at a delete while the event's form is open, and saves nothing from
            # then on until it is told something at which it does not.
            self.tell("update", b'{"id":%d}' % id),
        ]


def is_exception(state: dict[str, Any]) -> bool:
    """Whether an event stands for one occurrence of a series."""
    return any(state.get(name) for name in SERIES)


#: Named as its client names it.
EVENT: Final = Event(
    "event",
    "events",
    SERIES,
    TypeAdapter(EventFields),
    frozenset(EventFields.__annotations__),
    dict.fromkeys(SERIES, "event"),
    {"text": "", "recurring_event_id": 0, "event_pid": 0},
    optional=frozenset(SERIES),
    # The client takes whatever is there for the id of a series.
    nullable=frozenset(SERIES),
    dates=("start_date", "end_date", "original_start"),
    in_load=False,
    word="event",
    path="events",
    spanned=True,
    put_off=True,
    never_null=frozenset(SPAN),
    rev_key="$rev",
    mark_key="$mark",
)

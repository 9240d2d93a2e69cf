"""Three-way merge of one item, by field. Pure: no socket, no SQL, no clock.

The client sends every field of a row, edited or not. What it *changed* is what differs
from the item as its writer last saw it, and only that is applied to the present state;
so two people who edit different fields of one task both keep their edit, and on the
same field the later wins.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import orjson

#: In place of a value where there is none, not even null.
_MISSING = object()

Fields = Mapping[str, Any]
#: A field's old and new value, as the journal keeps them.
Diff = dict[str, list[Any]]

#: Two of these determine the third, so for the merge the three are one field.
DATES = frozenset({"start_date", "end_date", "duration"})
#: Where a row stands: its order means something in its own branch alone.
PLACE = frozenset({"parent", "sortorder"})


def same(stored: Any, sent: Any) -> bool:
    """Whether the client means the stored value by what it sent.

    It sends ``null`` as ``""``, and in mode REST everything but text as its JSON.
    """
    if stored == sent and (type(stored) is type(sent) or bool not in (type(stored), type(sent))):
        return True
    if stored is None:
        return bool(sent == "")
    if isinstance(sent, str) and not isinstance(stored, str):
        return orjson.dumps(stored) == sent.encode("utf-8", "surrogatepass")
    return False


def as_lists(stored: Any, sent: Any) -> Any:
    """What was sent, with lists in place of objects that stand for one: the Scheduler sends
    ``[1, 2]`` as ``{"0": 1, "1": 2}``. Only where the stored value is a list is it one."""
    if isinstance(stored, list) and isinstance(sent, dict):
        places = [str(at) for at in range(len(sent))]
        sent = list(sent.values()) if list(sent) == places else sent
    if isinstance(stored, list) and isinstance(sent, list):
        known = [*stored, *[None] * len(sent)]
        return [as_lists(before, now) for before, now in zip(known, sent, strict=False)]
    if isinstance(stored, dict) and isinstance(sent, dict):
        return {name: as_lists(stored.get(name), value) for name, value in sent.items()}
    return sent


def changed(base: Fields, sent: Fields) -> dict[str, Any]:
    """The fields of ``sent`` that its writer changed, given what it had seen."""
    fields = {}
    for field, value in sent.items():
        before = base.get(field, _MISSING)
        # Mostly it came back as it went out; the rest is looked at more closely.
        if before == value and type(before) is type(value):
            continue
        if before is _MISSING or not same(before, value):
            fields[field] = value
    return fields


def diff(old: Fields, new: Fields) -> Diff:
    """What leads from ``old`` to ``new``: field → [old, new]; a missing field is None."""
    fields: Diff = {}
    for field, value in new.items():
        before = old.get(field, _MISSING)
        # Mostly the very same object: what a merge left alone.
        if before is value or (before == value and type(before) is type(value)):
            continue
        fields[field] = [None if before is _MISSING else before, value]
    for field in old:
        if field not in new:
            fields[field] = [old[field], None]
    return fields


def whole(fields: Iterable[str]) -> set[str]:
    """The fields that change together with the given ones, and themselves."""
    found = set(fields)
    if found & DATES:
        found |= DATES
    if found & PLACE:
        found |= PLACE
    return found


def seen_by(present: Fields, later: Iterable[tuple[Diff, bool]]) -> dict[str, Any]:
    """The item as a writer last knew it.

    ``later`` holds the changes made since the writer's ``_rev``, newest first, each
    with whether that writer made it and has it on its screen. All are taken back from
    the present state, then those are put on again: a writer knows its own before their
    echo arrives, but it does not know what others did between them.
    """
    base = dict(present)
    own: list[Diff] = []
    for fields, mine in later:
        for field, (old, _new) in fields.items():
            base[field] = old
        if mine:
            own.append(fields)
    for fields in reversed(own):
        for field, (_old, new) in fields.items():
            base[field] = new
    return base

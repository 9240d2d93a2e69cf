from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantt_tornado.errors import BadRequest
from gantt_tornado.model.dates import ISO, Calendar
from gantt_tornado.model.entities import ENTITIES, Entity
from tests import support  # noqa: F401  (the profile of hypothesis)

TASK, LINK = ENTITIES["task"], ENTITIES["link"]
EVERY = pytest.mark.parametrize("entity", ENTITIES.values(), ids=list(ENTITIES))
DATED = pytest.mark.parametrize(
    "entity", [each for each in ENTITIES.values() if each.dated], ids=lambda each: each.name
)


def read(entity: Entity, **sent: Any) -> dict[str, Any]:
    return entity.read(sent, Calendar()).values


@EVERY
def test_an_entity_is_found_by_its_own_name(entity: Entity) -> None:
    assert ENTITIES[entity.name] is entity
    assert entity.channel == entity.name + "s"


@EVERY
def test_references_point_to_entities_and_have_columns(entity: Entity) -> None:
    assert set(entity.references.values()) <= ENTITIES.keys()
    assert entity.references.keys() <= set(entity.place)


@EVERY
def test_custom_fields_of_any_json_kind_are_kept(entity: Entity) -> None:
    custom = {"a": 1, "b": [1, {"c": None}], "d": {"e": True}, "f": 0.5, "g": None, "h": "text"}
    assert read(entity, **custom) == custom


@EVERY
@pytest.mark.parametrize(
    "name", ["id", "$index", "_rev", "_x", "!nativeeditor_status", "undefined"]
)
def test_what_is_no_field_is_dropped(entity: Entity, name: str) -> None:
    assert read(entity, **{name: 1}) == {}


@pytest.mark.parametrize("name", ["sortorder", "target"])
def test_the_place_of_a_row_is_no_field(name: str) -> None:
    assert read(TASK, **{name: "7"}) == {}


@pytest.mark.parametrize("target, text", [("7", "7"), (7, "7"), ("next:7", "next:7"), (None, "")])
def test_where_a_row_was_dropped_is_kept_apart(target: Any, text: str) -> None:
    assert TASK.read({"target": target}, Calendar()).target == text


@EVERY
@pytest.mark.parametrize(
    "sent, rev",
    [(7, 7), ("7", 7), (0, 0), (-1, None), ("x", None), (None, None), (True, None), ([], None)],
)
def test_the_revision_is_read_if_it_is_one(entity: Entity, sent: Any, rev: int | None) -> None:
    assert entity.read({"_rev": sent}, Calendar()).rev == rev


@EVERY
@pytest.mark.parametrize("rev", [1 << 63, "9" * 19, 10**30, 1e30, 7.5, "1e3", "²"])
def test_a_revision_that_no_database_can_count_is_none(entity: Entity, rev: Any) -> None:
    assert entity.read({"_rev": rev}, Calendar()).rev is None


# Names of fields.


UNFIT = [
    "constructor",
    "hasOwnProperty",
    "toString",
    "__proto__",
    "<x>sortorder",
    "<x>id",
    "<x>$index",
    "a<b",
    "a\0",
    "a\nb",
    "\x7f",
    "\x9f",
    "\ud800",
    "x" * 101,
]


@EVERY
@pytest.mark.parametrize("name", UNFIT)
@pytest.mark.parametrize("wrap", [lambda f: f, lambda f: {"a": f}, lambda f: {"a": [[f]]}])
def test_a_field_that_cannot_be_called_so_is_refused_by_name(
    entity: Entity, name: str, wrap: Any
) -> None:
    with pytest.raises(BadRequest) as refused:
        entity.read(wrap({name: 5}), Calendar())
    assert repr(name[:30])[1:-1] in refused.value.message
    assert len(refused.value.message) < 150
    orjson.dumps(refused.value.message)


@EVERY
@pytest.mark.parametrize(
    "name", ["naïve", "a b", "x" * 100, "", "größe>2", "&lt;x&gt;", "12", "Ø\u2028"]
)
def test_a_custom_field_may_be_called_almost_anything(entity: Entity, name: str) -> None:
    assert read(entity, **{name: 5}) == {name: 5}


@EVERY
@pytest.mark.parametrize("sent", [{7: 1}, {None: 1}, {"a": {7: 1}}])
def test_the_name_of_a_field_is_a_text(entity: Entity, sent: Any) -> None:
    with pytest.raises(BadRequest, match="name"):
        entity.read(sent, Calendar())


# Fields.


@DATED
@pytest.mark.parametrize("empty", [None, ""])
@pytest.mark.parametrize("field", ["start_date", "end_date", "duration"])
def test_an_empty_date_was_not_sent(entity: Entity, field: str, empty: Any) -> None:
    assert read(entity, **{field: empty}) == {}


@DATED
@pytest.mark.parametrize("field", ["start_date", "end_date"])
@pytest.mark.parametrize("value", ["soon", 7, True, [], {}, "2026-13-01", "9999-12-31T23:59-12:00"])
def test_a_date_that_is_none_is_refused_by_name(entity: Entity, field: str, value: Any) -> None:
    with pytest.raises(BadRequest, match=field):
        read(entity, **{field: value})


@DATED
@pytest.mark.parametrize("value", [-1, "x", [], float("inf"), float("nan")])
def test_a_duration_that_is_none_is_refused_by_name(entity: Entity, value: Any) -> None:
    with pytest.raises(BadRequest, match="duration"):
        read(entity, duration=value)


@pytest.mark.parametrize("value, kept", [(0, 0), (1, 1), ("0.5", 0.5), ("", None), (None, None)])
def test_progress_is_a_share(value: Any, kept: Any) -> None:
    assert read(TASK, progress=value) == {"progress": kept}


@pytest.mark.parametrize("value", [True, 1, 0, [], {}, ["x"]])
def test_a_deadline_that_is_no_text_is_refused(value: Any) -> None:
    with pytest.raises(BadRequest, match="deadline"):
        read(TASK, deadline=value)


@pytest.mark.parametrize("value, kept", [("soon", "soon"), ("", None), (None, None)])
def test_a_deadline_is_a_text(value: Any, kept: Any) -> None:
    assert read(TASK, deadline=value) == {"deadline": kept}


@pytest.mark.parametrize("value", [-1, 1e300, 1001, "tall", [], {}, float("nan")])
def test_the_height_of_a_row_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(BadRequest, match="row_height"):
        read(TASK, row_height=value)


@pytest.mark.parametrize("value, kept", [(40, 40), ("40", 40), (0, 0), ("", None)])
def test_the_height_of_a_row(value: Any, kept: Any) -> None:
    assert read(TASK, row_height=value) == {"row_height": kept}


@pytest.mark.parametrize("value", [-0.1, 1.1, "half", [], float("nan")])
def test_progress_that_is_no_share_is_refused(value: Any) -> None:
    with pytest.raises(BadRequest, match="progress"):
        read(TASK, progress=value)


@pytest.mark.parametrize(
    "value, kept", [(True, True), ("true", True), ("false", False), (1, True), ("", None)]
)
@pytest.mark.parametrize("field", ["open", "unscheduled"])
def test_a_flag_comes_as_json_or_as_text(field: str, value: Any, kept: Any) -> None:
    assert read(TASK, **{field: value}) == {field: kept}


@pytest.mark.parametrize(
    "value, kept", [(7, 7), ("7", 7), ("", 0), (None, 0), ("0", 0), ("1697c0ff33", "1697c0ff33")]
)
def test_a_reference_is_a_number_or_a_row_not_yet_saved(value: Any, kept: Any) -> None:
    assert read(TASK, parent=value) == {"parent": kept}


@pytest.mark.parametrize("value", [[], {}, [1]])
def test_a_reference_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(BadRequest, match="parent"):
        read(TASK, parent=value)


@pytest.mark.parametrize("type", ["0", "1", "2", "3", 0, 3])
def test_the_four_types_of_link(type: Any) -> None:
    assert read(LINK, type=type) == {"type": str(type)}


@pytest.mark.parametrize("type", ["4", "", None, "00", "a", -1, [], "0\n"])
def test_a_fifth_type_of_link_is_refused(type: Any) -> None:
    with pytest.raises(BadRequest, match="type"):
        read(LINK, type=type)


@pytest.mark.parametrize("value, kept", [(7, "7"), (None, ""), (0.5, "0.5")])
def test_a_number_as_a_text_is_text(value: Any, kept: str) -> None:
    assert read(TASK, text=value) == {"text": kept}


@pytest.mark.parametrize("value", [[], {}, ["a"]])
def test_a_text_that_is_none_is_refused(value: Any) -> None:
    with pytest.raises(BadRequest, match="text"):
        read(TASK, text=value)


def test_a_refusal_does_not_repeat_what_was_sent() -> None:
    with pytest.raises(BadRequest) as refused:
        read(TASK, progress="<script>")
    assert "<script>" not in refused.value.message


# Text.


@EVERY
@given(st.text())
def test_text_is_kept_to_the_letter(entity: Entity, text: str) -> None:
    assert read(entity, note=text, more=[{"a": text}]) == {"note": text, "more": [{"a": text}]}


@EVERY
@pytest.mark.parametrize("wrap", [lambda t: t, lambda t: [t], lambda t: {"a": [t]}])
def test_half_a_character_is_no_text(entity: Entity, wrap: Any) -> None:
    with pytest.raises(BadRequest, match="character"):
        read(entity, note=wrap("a\ud800"))


@EVERY
@pytest.mark.parametrize("wrap", [lambda t: t, lambda t: [t], lambda t: {"a": [t]}])
def test_markup_is_cleaned_wherever_it_stands(entity: Entity, wrap: Any) -> None:
    sent = {"note": wrap("<script>x</script><b>a</b> < c")}
    values = entity.read(sent, Calendar(), markup=True).values
    assert values == {"note": wrap("<b>a</b> &lt; c")}


# Encoding.


def stored(entity: Entity) -> dict[str, Any]:
    dates = {"start_date": "2026-03-02 00:00:00", "end_date": "2026-03-05 00:00:00", "duration": 3}
    return {**dict.fromkeys(entity.place, 0), **(dates if entity.dated else {})}


@EVERY
def test_an_item_carries_its_id_and_revision(entity: Entity) -> None:
    item = orjson.loads(entity.encode(7, 9, 0xABC, stored(entity), Calendar()))
    assert (item["id"], item["_rev"], item["_mark"]) == (7, 9, "000abc")


@DATED
def test_dates_are_shown_in_the_one_form_of_the_server(entity: Entity) -> None:
    item = orjson.loads(entity.encode(7, 9, 0xABC, stored(entity), Calendar(ISO)))
    assert (item["start_date"], item["end_date"]) == (
        "2026-03-02T00:00:00Z",
        "2026-03-05T00:00:00Z",
    )


def test_a_drop_that_was_carried_out_is_cleared_in_the_echo() -> None:
    item = TASK.encode(7, 9, 0xABC, {**stored(TASK), "target": "next:5"}, Calendar())
    assert orjson.loads(item)["target"] == ""


def test_a_link_keeps_its_target() -> None:
    item = LINK.encode(7, 9, 0xABC, {"source": 1, "target": 2}, Calendar())
    assert orjson.loads(item)["target"] == 2

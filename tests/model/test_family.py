"""What an application may declare, and what is refused with the reason."""

import pytest

from gantt_tornado.model.dates import Calendar
from gantt_tornado.model.entities import TASK, Date, Number, Text
from gantt_tornado.model.event import EVENT
from gantt_tornado.model.family import check_families, family
from gantt_tornado.model.schema import GANTT

CALENDAR = Calendar()


def test_a_family_has_what_it_declares() -> None:
    card = family(
        "card",
        {"label": Text, "due": Date},
        {"column": "column", "row": "row"},
        optional=("row",),
        ordered=True,
        defaults={"label": ""},
    )
    assert (card.name, card.word, card.path, card.channel) == ("card", "card", "cards", "cards")
    assert card.place == ("column", "row", "sortorder")
    assert card.defaults == {"row": 0, "label": ""}
    assert (card.dates, card.in_load) == (("due",), False)


def test_its_fields_are_read_by_their_types_and_others_as_they_come() -> None:
    card = family("card", {"label": Text, "due": Date, "points": Number})
    sent = {"label": 7, "due": "24-12-2026", "points": "3", "tags": ["a"], "_rev": 4, "$x": 1}
    patch = card.read(sent, CALENDAR)
    assert patch.values == {
        "label": "7",
        "due": "2026-12-24 00:00:00",
        "points": 3,
        "tags": ["a"],
    }
    assert patch.rev == 4


def test_a_date_of_its_own_can_be_cleared_and_is_shown_as_all_dates() -> None:
    card = family("card", {"start_date": Date})
    assert card.read({"start_date": ""}, CALENDAR).values == {"start_date": None}
    item = card.encode(1, 1, 0, {"start_date": "2026-12-24 00:00:00"}, CALENDAR)
    assert b'"start_date":"2026-12-24 00:00"' in item
    assert b'"start_date":null' in card.encode(1, 1, 0, {"start_date": None}, CALENDAR)


def test_two_may_share_a_word_and_a_channel() -> None:
    link = family("cardlink", {}, {"source": "card"}, path="links", word="link")
    assert (link.name, link.word, link.channel, link.path) == ("cardlink", "link", "links", "links")


@pytest.mark.parametrize("name", ["task", "event", "Card", "", "card-link", "x" * 41, "7"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="can be called"):
        family(name, {})


@pytest.mark.parametrize("path", ["data", "api", "projects", "p", "vendor", "a/b", "Über"])
def test_a_path_that_is_the_servers_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match="can be served at"):
        family("card", {}, path=path)


@pytest.mark.parametrize("field", ["id", "sortorder", "target", "$x", "_x", "!x"])
def test_a_field_that_is_the_servers_is_refused(field: str) -> None:
    with pytest.raises(ValueError, match="cannot have a field"):
        family("card", {field: Text}, ordered=True)


def test_a_field_is_no_reference_too_and_what_is_optional_is_one() -> None:
    with pytest.raises(ValueError, match="cannot have a field 'row'"):
        family("card", {"row": Text}, {"row": "row"})
    with pytest.raises(ValueError, match="'row' is no reference"):
        family("card", {}, optional=("row",))


CARD = family("card", {})


@pytest.mark.parametrize(
    ("families", "why"),
    [
        ([CARD, CARD], "two families called 'card'"),
        ([CARD, family("map", {}, path="cards")], "'cards' is served already"),
        ([family("meeting", {}, path="events")], "'events' is served already"),
        ([family("note", {}, {"on": "board"})], "points to 'board'"),
    ],
)
def test_what_does_not_go_together_is_refused(families, why) -> None:
    with pytest.raises(ValueError, match=why):
        check_families(families, (*GANTT, EVENT))


def test_a_family_may_point_to_the_servers_items_and_to_its_own() -> None:
    note = family("note", {}, {"task": "task", "above": "note"}, optional=("above",))
    check_families([note], (TASK,))

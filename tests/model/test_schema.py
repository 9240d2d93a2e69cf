import pytest

from gantt_tornado.errors import NotFound
from gantt_tornado.model.entities import ENTITIES, LINK, TASK
from gantt_tornado.model.event import EVENT
from gantt_tornado.model.schema import GANTT, Schema


def test_the_gantt_clients_entities_are_there_in_their_order() -> None:
    assert list(GANTT) == list(ENTITIES.values())


def test_an_entity_is_found_by_its_name() -> None:
    assert Schema([*GANTT, EVENT]).named("event") is EVENT


def test_what_is_not_declared_is_not_there() -> None:
    with pytest.raises(NotFound, match="nothing called 'event'"):
        GANTT.named("event")


def test_what_may_point_to_an_item_is_known() -> None:
    assert (LINK, "source") in GANTT.pointing["task"]
    assert (TASK, "parent") in GANTT.pointing["task"]
    assert GANTT.pointing["resource"] == ()


def test_an_entity_is_found_by_its_channel() -> None:
    schema = Schema([*GANTT, EVENT])
    assert schema.told_on("events") == (EVENT,)
    assert schema.channels == {*GANTT.channels, "events"}
    assert schema.told_on("office") == ()

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantt_tornado.model import protocol
from gantt_tornado.model.protocol import Call, Subscribe, Unsubscribe, parse_frame, parse_target
from tests import support  # noqa: F401  (the profile of hypothesis)


@pytest.mark.parametrize(
    "text, frame",
    [
        ('{"action":"subscribe","name":"tasks"}', Subscribe("tasks")),
        ('{"action":"subscribe","name":"my own"}', Subscribe("my own")),
        ('{"action":"unsubscribe","name":"tasks"}', Unsubscribe("tasks")),
        ('{"action":"unsubscribe","key":"tasks"}', Unsubscribe("tasks")),
        ('{"action":"call","body":[]}', Call([])),
        ('{"action":"call","body":[{"id":"1"}]}', Call([{"id": "1"}])),
    ],
)
def test_what_a_client_says_is_understood(text: str, frame: protocol.Frame) -> None:
    assert parse_frame(text) == frame


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ping",
        "{",
        "[]",
        "7",
        "null",
        '"subscribe"',
        "{}",
        '{"action":"dance"}',
        '{"action":["subscribe"],"name":"tasks"}',
        '{"action":"subscribe"}',
        '{"action":"subscribe","name":""}',
        '{"action":"subscribe","name":7}',
        '{"action":"subscribe","name":{"a":1}}',
        '{"action":"subscribe","name":"%s"}' % ("x" * 201),
        '{"action":"subscribe","name":"\\ud800"}',
        '{"action":"call"}',
        '{"action":"call","body":{"id":"1"}}',
        "[" * 100_000,
        "\ud800",
    ],
)
def test_anything_else_is_ignored(text: str) -> None:
    assert parse_frame(text) is None


@given(st.text())
def test_no_text_raises(text: str) -> None:
    assert parse_frame(text) is None


@given(st.dictionaries(st.sampled_from(["action", "name", "key", "body"]), st.text() | st.none()))
def test_no_object_raises(message: dict[str, str | None]) -> None:
    parse_frame(orjson.dumps(message).decode())


@pytest.mark.parametrize(
    "target, place",
    [
        ("7", (False, 7)),
        ("next:7", (True, 7)),
        ("next:null", (True, 0)),
        ("", (False, 0)),
        ("null", (False, 0)),
        ("-7", (False, 0)),
        ("next:", (True, 0)),
        ("next:next:7", (True, 0)),
        ("7.5", (False, 0)),
        ("\u0667", (False, 0)),
        ("9" * 30, (False, 0)),
    ],
)
def test_where_a_row_was_dropped(target: str, place: tuple[bool, int]) -> None:
    assert parse_target(target) == place


def test_the_first_frame_names_the_connection() -> None:
    assert protocol.start("abc") == b'{"action":"start","body":"abc"}'


def test_the_answer_to_calls() -> None:
    frame = protocol.result([{"id": "1", "data": 2, "error": ""}])
    assert frame == b'{"action":"result","body":[{"id":"1","data":2,"error":""}]}'


def test_an_event_names_its_channel() -> None:
    frame = orjson.loads(protocol.event('ta"sks', b'{"a":1}'))
    assert frame == {"action": "event", "body": {"name": 'ta"sks', "value": {"a": 1}}}


@pytest.mark.parametrize("entity", ["task", "link", "resource"])
def test_an_item_stands_under_both_keys(entity: str) -> None:
    value = orjson.loads(protocol.item_value(f"add-{entity}", entity, b'{"id":7}'))
    assert value == {"type": f"add-{entity}", entity: {"id": 7}, "event": {"id": 7}}


def test_a_delete_names_the_id_alone() -> None:
    value = orjson.loads(protocol.deleted_value("link", 7))
    assert value == {"type": "delete-link", "link": {"id": 7}, "event": {"id": 7}}


def test_a_move_says_where_the_row_stands() -> None:
    value = orjson.loads(protocol.move_value(7, 2, 3, "next:5"))
    assert value["task"] == {"id": 7, "parent": 2, "index": 3, "target": "next:5"}
    assert value == {"type": "move-task", "task": value["task"], "event": value["task"]}


def test_a_reload_says_how_far_the_plan_is() -> None:
    assert orjson.loads(protocol.reload_value(9)) == {"type": "reload", "seq": 9}


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536, 100_000])
def test_a_frame_says_how_long_it_is(size: int) -> None:
    frame = protocol.websocket_frame(b"x" * size)
    extended = {126: 2, 127: 8}.get(frame[1], 0)
    length = int.from_bytes(frame[2 : 2 + extended]) if extended else frame[1]
    assert frame[0] == 0x81
    assert (length, frame[2 + extended :]) == (size, b"x" * size)

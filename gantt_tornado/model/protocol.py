"""The wire vocabulary of the live updates, pure: frames in, frames out.

Serves docs/protocol.md, "Socket". Values that hold an item are built from
bytes that are encoded once: the item stands twice in each event, under the key that
the released clients read (``task``, ``link``, …) and under ``event``, which the first
edition of the documentation names.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

import orjson

#: Close codes (RFC 6455, section 7.4).
GOING_AWAY: Final = 1001
UNSUPPORTED: Final = 1003
POLICY: Final = 1008
TRY_AGAIN_LATER: Final = 1013


@dataclass(frozen=True, slots=True)
class Subscribe:
    name: str


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    name: str


@dataclass(frozen=True, slots=True)
class Call:
    """Remote calls in the order in which their results are expected."""

    calls: list[Any]


Frame = Subscribe | Unsubscribe | Call

#: A longer channel name is no entity of anybody's; it would only fill the memory.
LONGEST_NAME: Final = 200


def parse_frame(text: str) -> Frame | None:
    """What a client says, or None for what nobody has defined. Never raises."""
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(message, dict):
        return None
    action = message.get("action")
    if action == "call":
        body = message.get("body")
        return Call(body) if isinstance(body, list) else None
    # The client's detach() says "key" where it means "name".
    name = message.get("name") or message.get("key")
    if not isinstance(name, str) or len(name) > LONGEST_NAME:
        return None
    if action == "subscribe":
        return Subscribe(name)
    if action == "unsubscribe":
        return Unsubscribe(name)
    return None


def number(text: str) -> int | None:
    """The number that a text spells in plain digits, such as an id or a change; None for
    any other text, and for more digits than a database can count."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None


def parse_target(target: str) -> tuple[bool, int]:
    """Where a row was dropped, as the client spells it: (below?, neighbour's id).

    ``7`` is above row 7, ``next:7`` below it. The id is 0 for ``next:null``, a drop
    into a branch without other rows, and for what cannot be read.
    """
    below = target.startswith("next:")
    neighbour = target.removeprefix("next:")
    return below, number(neighbour) or 0


def start(connection_id: str) -> bytes:
    """The first frame on a socket."""
    return orjson.dumps({"action": "start", "body": connection_id})


def result(results: list[dict[str, Any]]) -> bytes:
    """The answer to a call frame."""
    return orjson.dumps({"action": "result", "body": results})


def event(name: str, value: bytes) -> bytes:
    """An event frame's text; ``value`` is JSON already."""
    return b'{"action":"event","body":{"name":%s,"value":%s}}' % (orjson.dumps(name), value)


def item_value(kind: str, entity: str, item: bytes) -> bytes:
    """The value of ``kind`` (``add-task``, …) for an encoded item."""
    if entity == "event":
        return b'{"type":"%s","event":%s}' % (kind.encode(), item)
    return b'{"type":"%s","%s":%s,"event":%s}' % (kind.encode(), entity.encode(), item, item)


def deleted_value(entity: str, id: int) -> bytes:
    return item_value(f"delete-{entity}", entity, b'{"id":%d}' % id)


def placed_value(entity: str, item: bytes, before: int | None) -> bytes:
    """Where an item of the application's stands now: before which other, None for the last."""
    value = (entity.encode(), entity.encode(), item, item, orjson.dumps(before))
    return b'{"type":"move-%s","%s":%s,"event":%s,"before":%s}' % value


def move_value(id: int, parent: int, index: int, target: str) -> bytes:
    """Where a row stands now: its branch, its place in it from 0, and its neighbour.

    ``target`` is spelt as the client spells it: ``next:7`` below row 7, ``7`` above it,
    ``next:null`` alone in the branch.
    """
    place = orjson.dumps({"id": id, "parent": parent, "index": index, "target": target})
    return item_value("move-task", "task", place)


def reload_value(position: str) -> bytes:
    """What a page has is too old, or of another history: load again, the plan is at
    ``position`` now."""
    return b'{"type":"reload","seq":%s}' % orjson.dumps(position)


def websocket_frame(payload: bytes) -> bytes:
    """One unmasked text frame, as a server sends it (RFC 6455, section 5.2)."""
    size = len(payload)
    if size < 126:
        return struct.pack("!BB", 0x81, size) + payload
    if size < 65536:
        return struct.pack("!BBH", 0x81, 126, size) + payload
    return struct.pack("!BBQ", 0x81, 127, size) + payload

"""JSON that is kept in memory: items as clients get them, for as long as their plan is open."""

from __future__ import annotations

from typing import Any

import orjson


def encode_json(value: Any) -> bytes:
    """A value as JSON, in bytes of just that length. What ``orjson.dumps`` returns holds on to
    the 4 KB that it was written in, which is ten times an ordinary item.

    Raises:
        TypeError: it has no place in JSON.
    """
    encoded = orjson.dumps(value)
    return encoded[:-1] + encoded[-1:]

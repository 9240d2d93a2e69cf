"""Recorded frames in docs/protocol.md: what is sent, what is answered, what others are told."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

CONTRACT = Path(__file__).parent.parent / "docs" / "protocol.md"
_MARK = re.compile(r'(?<="[$_]mark":")[0-9a-f]{6}|(?<=-)[0-9a-f]{6}(?=")|(?<="request":")\w+')


@dataclass
class Exchange:
    """One request, its answer, and the event values that a socket is sent behind it."""

    verb: str
    path: str
    body: Any
    answer: Any = None
    told: list[Any] = field(default_factory=list)


def recorded(heading: str) -> list[Exchange]:
    """The exchanges in the block without a language below a heading of the contract."""
    _, _, section = CONTRACT.read_text().partition(f"\n## {heading}\n")
    block = re.search(r"^```\n(→.*?)^```", section.partition("\n## ")[0], re.M | re.S)
    assert block, f"nothing is recorded below {heading!r}"
    found: list[Exchange] = []
    for line in block[1].splitlines():
        mark, _, text = line.partition(" ")
        if mark == "→":
            verb, path, *body = text.split(" ", 2)
            found.append(Exchange(verb, path, orjson.loads(body[0]) if body else None))
        elif mark == "←":
            found[-1].answer = plain(text)
        else:
            assert mark == "⇠", line
            found[-1].told.append(plain(text))
    return found


def plain(text: str | bytes) -> Any:
    """JSON without what is random in it."""
    text = text.decode() if isinstance(text, bytes) else text
    return orjson.loads(_MARK.sub("", text))

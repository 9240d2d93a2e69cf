"""The tasks that are measured with: 300 bytes of JSON each, as clients get them."""

from __future__ import annotations

from typing import Any, Final

import orjson

#: Bytes of a task's JSON.
SIZE: Final = 300
#: Numbers start here, so that ids and revisions have seven digits and tasks one size.
FIRST: Final = 1_000_001

DEVICE: Final = "6f1c2d0e-5b0a-4a53-9d0f-0a4c2f7b8e11"


def fields(parent: int = 0) -> dict[str, Any]:
    """What a page sends for a new task."""
    return {
        "text": "Concrete the foundation of the northern wing".ljust(85, "."),
        "start_date": "2026-03-02 00:00",
        "end_date": "2026-03-07 00:00",
        "duration": 5,
        "progress": 0.25,
        "type": "task",
        "owner": "demo",
        "parent": parent,
    }


def item(id: int) -> dict[str, Any]:
    """A task as a client gets it."""
    return {"id": id, **fields(), "sortorder": "b00", "_mark": "3fa9c1", "_rev": id}


class Patch:
    """PUTs of one task as the stock client makes them: the whole row, with its ``_mark`` and
    ``_rev``, which come last."""

    def __init__(self, item: dict[str, Any]) -> None:
        path = f"/data/task/{item['id']}"
        self._rev = b'"%s","_rev":%d}' % (item["_mark"].encode(), item["_rev"])
        #: Bytes of the item's JSON.
        self.size = len(orjson.dumps(item))
        self._heads = []
        for progress in (0.75, 0.25):
            body = orjson.dumps({**item, "progress": progress})
            kept = body.removesuffix(self._rev)
            self._heads.append(request("PUT", path, body)[: -len(body)] + kept)

    def next(self) -> bytes:
        """The request that changes the task once more."""
        self._heads.reverse()
        return self._heads[1] + self._rev

    def answered(self, body: bytes) -> None:
        """Take the new ``_mark`` and ``_rev`` over, as a page does."""
        rev = body.rpartition(b'"_mark":')[2]
        if b'"_rev":' in rev:
            self._rev = rev.rstrip(b"}") + b"}"


def request(method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """An HTTP request as a page sends it."""
    lines = [
        f"{method} {path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Remote-Token: token",
        f"Remote-Device: {DEVICE}",
        *(f"{name.replace('_', '-')}: {value}" for name, value in headers.items()),
    ]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body

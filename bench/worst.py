"""What the worst requests that we know of do to the others: the time that each holds the
writer and, at once, the loop; the worst PUT of somebody else meanwhile; the memory it takes.

``ROWS=2000 python -m bench worst`` measures plans of so many rows; 20,000 by default.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.client import HTTPConnection
from itertools import pairwise
from pathlib import Path
from time import perf_counter, sleep
from urllib.parse import urlencode

import orjson

from bench import process, task
from bench.line import Line
from gantt_tornado.config import Config
from gantt_tornado.live.plan import Plan as StoredPlan
from gantt_tornado.model.change import NOBODY
from gantt_tornado.model.entities import ENTITIES
from gantt_tornado.store.continuity import Continuity
from gantt_tornado.store.database import Database
from gantt_tornado.store.items import Store
from gantt_tornado.store.text_conversion import convert

ROWS = int(os.environ.get("ROWS", 20_000))
#: Links between tasks of one branch.
LINKS = 2_000
#: Goals: milliseconds of the loop at once, of the writer for a row and for up to 2,000, MB.
LOOP, A_ROW, SMALL, MEMORY = 50, 0.06, 250, 64
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
JSON = {"Content-Type": "application/json"}


class Plan:
    """A server with tasks in a shape; the first stands alone and is what others edit."""

    def __init__(self, directory: Path, shape: str, rows: int) -> None:
        self.ids, self.beginning = _plant(directory / f"worst-{shape}.db", shape, rows)
        self.server = process.Process(["-m", "bench.watched", str(directory / f"worst-{shape}.db")])
        sleep(process.DELAY + 0.2)
        self.top = self.ids[1]

    def __enter__(self) -> Plan:
        return self

    def __exit__(self, *error: object) -> None:
        self.server.__exit__(*error)

    def fetch(
        self, method: str, path: str, body: bytes = b"", kind: str = "json", status: int = 200
    ) -> bytes:
        headers = {
            "Remote-Token": "token",
            "Remote-Device": task.DEVICE,
            **(FORM if kind == "form" else JSON),
        }
        connection = HTTPConnection("127.0.0.1", self.server.port, timeout=600)
        connection.request(method, path, body or None, headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        if answer.status != status:
            raise RuntimeError(f"unexpected answer to {method} {path}: {body[:500]!r}")
        return body

    def listen(self) -> socket.socket:
        """A socket of a page that has nothing of the plan yet."""
        found = socket.create_connection(("127.0.0.1", self.server.port))
        url = f"/api/v1?since={self.beginning}&token=token&ws=1"
        upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13"
        key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="
        found.sendall(f"GET {url} HTTP/1.1\r\nHost: here\r\n{upgrade}\r\n{key}\r\n\r\n".encode())
        return found

    def measure(self, name: str, rows: int, act: Callable[[], object]) -> Iterator[Line]:
        """The lines of one request, during which somebody else edits."""
        start = self.seen()["peak"]
        self.fetch("PUT", f"/data/task/{self.ids[0]}", b'{"progress":0}')
        done, worst = threading.Event(), [0.0]

        def edit() -> None:
            turn = 0
            while not done.is_set():
                turn += 1
                begun = perf_counter()
                body = orjson.dumps({"progress": turn % 2})
                self.fetch("PUT", f"/data/task/{self.ids[0]}", body)
                worst[0] = max(worst[0], perf_counter() - begun)
                sleep(0.002)

        editor = threading.Thread(target=edit)
        editor.start()
        sleep(0.1)
        act()
        # What is told of it, and told again, is a part of it.
        sleep(2 * process.DELAY)
        done.set()
        editor.join()
        seen = self.seen()
        most = SMALL if rows <= 2000 else rows * A_ROW
        yield Line(f"{name}: the writer", [seen["writer"] * 1e3], "ms", f"≤ {most:.0f} ms",
                   at_most=most)  # fmt: skip
        yield Line(f"{name}: the loop at once", [seen["loop"] * 1e3], "ms", f"≤ {LOOP} ms",
                   at_most=LOOP)  # fmt: skip
        yield Line(f"{name}: another's worst PUT", [worst[0] * 1e3], "ms")
        yield Line(f"{name}: memory", [max(0, seen["peak"] - start) / 1e6], "MB",
                   f"≤ {MEMORY} MB", at_most=MEMORY)  # fmt: skip

    def seen(self) -> dict[str, float]:
        seen: dict[str, float] = orjson.loads(self.fetch("GET", "/watched"))
        return seen


def _plant(path: Path, shape: str, rows: int) -> tuple[list[int], str]:
    """Tasks in a shape. Returns the ids, one alone, then the branch; and the position of a page
    that has nothing of it yet."""
    calendar = Config().calendar
    kind, link = ENTITIES["task"], ENTITIES["link"]
    database = Database(f"sqlite:///{path}")
    database.open()
    with database.peewee.atomic("IMMEDIATE"):
        # As the server does, which would make another plan of it otherwise.
        convert(database, Config().html)
    # Only now: it has the marks that a conversion changes.
    store = Store(database, calendar)
    ids: list[int] = []
    with database.peewee.atomic("IMMEDIATE"):
        for number in range(rows + 1):
            parents = {
                "flat": ids[1] if number > 1 else 0,
                "linked": ids[1] if number > 1 else 0,
                "chain": ids[-1] if number > 1 else 0,
                "comb": ids[-1 - number % 2] if number > 2 else ids[1] if number > 1 else 0,
            }
            edit = kind.read(task.fields(parents[shape]), calendar)
            ids.append(store.insert(kind, edit, NOBODY).id)
        if shape == "linked":
            for source, target in pairwise(ids[2:]):
                edit = link.read({"source": source, "target": target, "type": "0"}, calendar)
                store.insert(link, edit, NOBODY)
    planted = StoredPlan.of(store.read())
    Continuity(database.path).note({1: planted.stored_position()})
    database.close()
    return ids, str(planted.position(0))


def measure(directory: Path, seconds: float) -> Iterator[Line]:
    for shape in ("flat", "chain", "comb"):
        with Plan(directory, shape, ROWS) as plan:
            yield from _branch(plan, f"{ROWS} rows, {shape}")
    with Plan(directory, "linked", LINKS) as plan:
        yield from _branch(plan, f"{LINKS} rows linked in a row", 2 * LINKS)
    with Plan(directory, "flat", LINKS) as plan:
        yield from _bodies(plan)
        yield from _history(plan)
    with Plan(directory, "chain", 4000) as plan:
        yield from _deep(plan)


def _branch(plan: Plan, name: str, rows: int = ROWS) -> Iterator[Line]:
    yield from _replays(plan, name)
    path = f"/data/task/{plan.top}"
    body = orjson.dumps({"parent": plan.ids[0]})
    yield from plan.measure(f"move of {name}", 1, lambda: plan.fetch("PUT", path, body))
    yield from plan.measure(f"delete of {name}", rows, lambda: plan.fetch("DELETE", path))
    seq = f"/data/history?item={plan.top}&limit=1"
    (line,) = orjson.loads(plan.fetch("GET", seq))["history"]
    undo = f"/data/undo/{line['seq']}"
    yield from plan.measure(f"undo of a delete of {name}", rows, lambda: plan.fetch("POST", undo))


def _replays(plan: Plan, name: str) -> Iterator[Line]:
    subscribe = _masked(b'{"action":"subscribe","name":"tasks"}')
    last = b'{"type":"add-task","task":{"id":%d,' % max(plan.ids)

    def replay() -> None:
        with plan.listen() as page:
            page.settimeout(60)
            page.sendall(subscribe)
            received = b""
            while last not in received:
                chunk = page.recv(1 << 20)
                if not chunk:
                    raise ConnectionError("the server closed the socket")
                received = received[-len(last) :] + chunk

    yield from plan.measure(f"replay of {name}", 1, replay)
    unsubscribe = _masked(b'{"action":"unsubscribe","name":"tasks"}')

    def subscribe_often() -> None:
        with plan.listen() as page:
            for turn in range(150):
                plan.fetch("PUT", f"/data/task/{plan.ids[0]}", b'{"progress":%d}' % (turn % 2))
                try:
                    page.sendall(subscribe + unsubscribe)
                except ConnectionError:
                    return

    yield from plan.measure(f"150 replays of {name} that nobody reads", 1, subscribe_often)


def _masked(payload: bytes) -> bytes:
    """A text frame as a client sends it; the mask leaves it as it is."""
    return struct.pack("!BB", 0x81, 0x80 | len(payload)) + b"\0\0\0\0" + payload


def _bodies(plan: Plan) -> Iterator[Line]:
    path = "/data?gantt_mode=tasks"

    def post(form: dict[str, str]) -> Callable[[], bytes]:
        return lambda: plan.fetch("POST", path, urlencode(form).encode(), "form")

    ids = [str(10_000_000 + n) for n in range(20_000)]
    keys = {f"{id}_text": "" for id in ids[:9_990]}
    yield from plan.measure("a form of 20,000 ids and 10,000 keys", 20_000,
                            post({"ids": ",".join(ids), **keys}))  # fmt: skip
    own = {f"x{n}": task.fields(plan.top) for n in range(1_100)}
    rows = {f"{id}_{key}": str(value) for id, row in own.items() for key, value in row.items()}
    rows |= {f"{id}_!nativeeditor_status": "inserted" for id in own}
    yield from plan.measure("a form that adds 1,100 rows", 1_100,
                            post({"ids": ",".join(own), **rows}))  # fmt: skip
    gone = plan.ids[100:LINKS]
    marks = {f"{id}_!nativeeditor_status": "deleted" for id in gone}
    yield from plan.measure(f"a form that deletes {len(gone)} rows", len(gone),
                            post({"ids": ",".join(map(str, gone)), **marks}))  # fmt: skip
    one = f"/data/task/{plan.ids[2]}"
    bodies = {
        "a MB of lists": (400, b'{"a":[%s[]]}' % (b"[]," * 340_000)),
        "a MB of 19,000 lists of numbers": (200, b'{"a":[%s[]]}' % (b"[1,2,3,4,5,6]," * 19_000)),
        "a MB of keys in one object": (200, _keys(b'{"a":{%s}}', 80_000)),
        "10,000 keys in one item": (200, _keys(b"{%s}", 10_000)),
        "a text of a MB": (200, orjson.dumps({"text": "<b>&" * 250_000})),
    }
    for name, (status, body) in bodies.items():
        put = partial(plan.fetch, "PUT", one, body, status=status)
        yield from plan.measure(name, 1, put)
    refused = orjson.dumps({"parent": 1 << 40, "text": "x" * 1_000_000})

    def refuse() -> None:
        for _ in range(60):
            plan.fetch("PUT", one, refused, status=409)

    yield from plan.measure("sixty refused PUTs of a MB", 1, refuse)


def _keys(around: bytes, count: int) -> bytes:
    return around % b",".join([b'"k%d":1' % n for n in range(count)])


def _history(plan: Plan) -> Iterator[Line]:
    one = f"/data/task/{plan.ids[3]}"
    for n in range(150):
        plan.fetch("PUT", one, orjson.dumps({"text": chr(97 + n % 26) * 1_000_000}))
    sleep(2 * process.DELAY)

    def read() -> None:
        readers = [
            threading.Thread(target=plan.fetch, args=("GET", "/data/history?limit=500"))
            for _ in range(8)
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()

    yield from plan.measure("eight readers of a history of 150 changes of a MB", 8, read)


def _deep(plan: Plan) -> Iterator[Line]:
    path = "/data?gantt_mode=tasks"
    moved = plan.ids[1000:1300]
    # Each to the end of the chain, which is below it: all are refused.
    form = {f"{id}_!nativeeditor_status": "updated" for id in moved}
    form |= {f"{id}_parent": str(plan.ids[-1 - n]) for n, id in enumerate(moved)}
    body = urlencode({"ids": ",".join(map(str, moved)), **form}).encode()
    yield from plan.measure("300 cycle checks on a chain of 4,000", 300,
                            lambda: plan.fetch("POST", path, body, "form"))  # fmt: skip
    one = plan.ids[2]
    for n in range(8_000):
        plan.fetch("PUT", f"/data/task/{one}", orjson.dumps({"progress": n % 2}))
    same = [f"{one}", *(f"0{'0' * n}{one}" for n in range(14))]
    old = {f"{id}_!nativeeditor_status": "updated" for id in same}
    old |= {f"{id}_text": id for id in same} | {f"{id}__rev": str(one) for id in same}
    late = urlencode({"ids": ",".join(same), **old}).encode()
    yield from plan.measure("15 rows with a _rev of 8,000 changes ago", 15,
                            lambda: plan.fetch("POST", path, late, "form"))  # fmt: skip

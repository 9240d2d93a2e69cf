"""``GET /data``: how long it takes, and what it does to whoever writes meanwhile."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median
from time import perf_counter

import orjson

from bench import plan, process, task
from bench.connection import Connection
from bench.crowd import Crowd
from bench.latency import delivered
from bench.line import Line
from bench.loop import Loop
from bench.numbers import percentile

SMALL, LARGE = 10_000, 100_000
#: Snapshots in a run.
LOADS = {SMALL: 30, LARGE: 7}
RUNS = 3
#: Snapshots and PUTs a second, for the effect of the one on the other.
LOADS_BESIDE, PUTS = 4, 50
SUBSCRIBERS = 100
#: Milliseconds.
UNCHANGED, CHANGED, CHANGED_LARGE, BESIDE = 2, 5, 40, 10

LOAD = task.request("GET", "/data")
PACKED = task.request("GET", "/data", Accept_Encoding="gzip")


def measure(directory: Path, seconds: float) -> Iterator[Line]:
    with process.ours(plan.plant(directory / "loads.db", SMALL)) as server:
        loop = Loop()
        yield from _alone(loop, server.port, SMALL)
        yield from _beside(loop, server.port, seconds)
    with process.ours(plan.plant(directory / "loads.db", LARGE)) as server:
        yield from _alone(Loop(), server.port, LARGE)


def edits_of(loop: Loop, port: int, ids: range) -> list[task.Patch]:
    """What a page can edit, without a load of the whole plan."""
    connection = Connection(loop, port)
    edits = []
    for id in ids:
        path = f"/data/task/{id}"
        body, _ = connection.fetch(task.request("PUT", path, b'{"progress":0.5}'))
        edits.append(task.Patch(orjson.loads(body)["item"]))
    connection.close()
    return edits


def _alone(loop: Loop, port: int, tasks: int) -> Iterator[Line]:
    reader, writer = Connection(loop, port), Connection(loop, port)
    (edit,) = edits_of(loop, port, range(task.FIRST, task.FIRST + 1))
    reader.fetch(LOAD)

    def change() -> None:
        edit.answered(writer.fetch(edit.next())[0])

    unchanged, changed, packed, known = [], [], [], []
    for _ in range(RUNS):
        unchanged.append(median([reader.fetch(LOAD)[1] for _ in range(LOADS[tasks])]))
        seconds = []
        for _ in range(LOADS[tasks]):
            change()
            seconds.append(reader.fetch(LOAD)[1])
        changed.append(median(seconds))
        change()
        packed.append(reader.fetch(PACKED)[1])
        known.append(_not_modified(loop, reader, port))
    reader.close()
    writer.close()
    large = tasks == LARGE
    name = f"GET /data, {tasks} tasks"
    yield _line(f"{name}, unchanged", unchanged, None if large else UNCHANGED)
    yield _line(f"{name}, after one change", changed, CHANGED_LARGE if large else CHANGED)
    yield _line(f"{name}, after one change, gzip", packed, None)
    yield _line(f"{name}, 304", known, None)


def _not_modified(loop: Loop, reader: Connection, port: int) -> float:
    body, _ = reader.fetch(task.request("GET", "/data"))
    seq = orjson.loads(body)["seq"]
    request = task.request("GET", "/data", If_None_Match=f'"{seq}"')
    return median([reader.fetch(request, b"304")[1] for _ in range(30)])


def _beside(loop: Loop, port: int, seconds: float) -> Iterator[Line]:
    edits = edits_of(loop, port, range(task.FIRST + 1, task.FIRST + 51))
    count = max(25, int(1.5 * PUTS * seconds))
    kinds = {"no loads": None, "4 loads": LOAD, "4 loads with gzip": PACKED}
    told: dict[str, list[float]] = {kind: [] for kind in kinds}
    answered: dict[str, list[float]] = {kind: [] for kind in kinds}
    for _ in range(RUNS):
        for kind, request in kinds.items():
            crowd = Crowd(loop, port, SUBSCRIBERS)
            stop = _loading(loop, port, request, count / PUTS) if request else []
            deliveries, answers = delivered(loop, port, edits, crowd, count, PUTS)
            for connection in stop:
                connection.close()
            crowd.close()
            told[kind].append(percentile(deliveries, 99))
            answered[kind].append(percentile(answers, 99))
    beside = f"{PUTS} PUTs a second and {{}} ({SMALL} tasks)"
    for kind in kinds:
        name = beside.format(kind)
        yield _line(f"PUT to delivered, p99, {name}", told[kind], None)
        yield _line(f"PUT to its answer, p99, {name}", answered[kind], None)
    for kind in ("4 loads", "4 loads with gzip"):
        more = [a - b for a, b in zip(told[kind], told["no loads"], strict=True)]
        name = f"PUT to delivered, p99, what {kind} a second add"
        yield Line(name, more, "ms", f"≤ {BESIDE} ms", at_most=BESIDE, number=5)
        more = [a - b for a, b in zip(answered[kind], answered["no loads"], strict=True)]
        name = f"PUT to its answer, p99, what {kind} a second add"
        yield Line(name, more, "ms", f"≤ {BESIDE} ms", at_most=BESIDE, number=5)


def _loading(loop: Loop, port: int, request: bytes, seconds: float) -> list[Connection]:
    """Put loads on the clock, each on a connection of its own."""
    connections = [Connection(loop, port) for _ in range(int(seconds * LOADS_BESIDE) + 1)]
    for number, connection in enumerate(connections):

        def send(connection: Connection = connection) -> None:
            connection.send(request, lambda _body, _seconds: None)

        # delivered() warms up for 1.1 s, and its clock starts 0.1 s later.
        loop.at(perf_counter() + 1.2 + number / LOADS_BESIDE, send)
    return connections


def _line(name: str, seconds: list[float], most: float | None) -> Line:
    # Those of _beside are milliseconds already.
    runs = seconds if "PUT to" in name else [each * 1e3 for each in seconds]
    return Line(name, runs, "ms", f"≤ {most} ms" if most else "", at_most=most, number=5)

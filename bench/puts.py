"""Answered PUTs a second, each of them on the disk before its answer.

The peer is a bare Tornado handler that keeps nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter

import orjson

from bench import plan, process, task
from bench.connection import Connection
from bench.crowd import Crowd
from bench.line import Line
from bench.loop import Loop
from bench.numbers import percentile

TASKS = 1_000
SUBSCRIBERS = 100
CONCURRENCY = (1, 8, 64)
RUNS = 3
#: Goals: the part of the bare handler's rate that ours shall reach.
ALONE = {1: 0.3, 8: None, 64: 0.8}
WATCHED = {1: None, 8: None, 64: 0.65}


@dataclass(slots=True)
class Editors:
    """Connections that edit tasks, each the next one as soon as the last is answered."""

    loop: Loop
    connections: list[Connection]
    edits: list[task.Patch]
    latencies: list[float] = field(default_factory=list)
    _next: int = 0
    _stopped: bool = False
    _open: int = 0

    def run(self, seconds: float) -> float:
        """Patch for a while; returns how many edits a second were answered."""
        self.latencies.clear()
        self._stopped = False
        start = perf_counter()
        for connection in self.connections:
            self._open += 1
            self._edit(connection)
        self.loop.sleep(seconds)
        rate = len(self.latencies) / (perf_counter() - start)
        self._stopped = True
        self.loop.run(lambda: not self._open, 30)
        return rate

    def _edit(self, connection: Connection) -> None:
        edit = self.edits[self._next % len(self.edits)]
        self._next += 1

        def answered(body: bytes, seconds: float) -> None:
            edit.answered(body)
            self.latencies.append(seconds)
            if self._stopped:
                self._open -= 1
            else:
                self._edit(connection)

        connection.send(edit.next(), answered)


def load(loop: Loop, port: int) -> list[task.Patch]:
    """What a page can edit: the tasks as the server answers them."""
    connection = Connection(loop, port)
    body, _ = connection.fetch(task.request("GET", "/data"))
    connection.close()
    return [task.Patch(item) for item in orjson.loads(body)["tasks"]]


def measure(directory: Path, seconds: float) -> Iterator[Line]:
    with ExitStack() as stack:
        ours = stack.enter_context(process.ours(plan.plant(directory / "puts.db", TASKS)))
        bare = stack.enter_context(process.peer("bare"))
        loop = Loop()
        edits = load(loop, ours.port)
        for concurrency in CONCURRENCY:
            yield from _compare(loop, ours.port, bare.port, edits, concurrency, seconds)


def _compare(
    loop: Loop, ours: int, bare: int, edits: list[task.Patch], concurrency: int, seconds: float
) -> Iterator[Line]:
    alone, watched, peer = [], [], []
    latencies: dict[tuple[str, int], list[float]] = {}

    def remember(series: str, editors: Editors) -> None:
        for percent in (50, 99):
            times = latencies.setdefault((series, percent), [])
            times.append(percentile(editors.latencies, percent) * 1e3)

    mine = Editors(loop, [Connection(loop, ours) for _ in range(concurrency)], edits)
    fakes = [task.Patch(task.item(task.FIRST + n)) for n in range(TASKS)]
    theirs = Editors(loop, [Connection(loop, bare) for _ in range(concurrency)], fakes)
    mine.run(seconds / 4)
    theirs.run(seconds / 4)
    for _ in range(RUNS):
        alone.append(mine.run(seconds))
        remember("ours", mine)
        peer.append(theirs.run(seconds))
        remember("bare handler", theirs)
        crowd = Crowd(loop, ours, SUBSCRIBERS)
        watched.append(mine.run(seconds))
        crowd.close()
    for connection in [*mine.connections, *theirs.connections]:
        connection.close()
    name = f"durable PUTs, concurrency {concurrency}"
    yield _line(f"{name}", alone, peer, ALONE[concurrency])
    yield _line(f"{name}, {SUBSCRIBERS} subscribers", watched, peer, WATCHED[concurrency])
    yield Line(f"bare handler, concurrency {concurrency}", peer, "/s", number=3)
    for (series, percent), times in latencies.items():
        point = ("puts", f"{series}, p{percent}", concurrency)
        name = f"latency of a PUT, concurrency {concurrency}, {series}, p{percent}"
        yield Line(name, times, "ms", number=3, point=point)


def _line(name: str, runs: list[float], peer: list[float], least: float | None) -> Line:
    goal = f"≥ {least} of the bare handler" if least else ""
    return Line(name, runs, "/s", goal, peer, at_least=least, number=3)

"""Single events at the hub, each in a write of its own: deliveries a second.

Beside it the loop in C, which sends the same bytes to the same sockets, the same loop in
Python, and a naive Tornado server that gives a dict to each client's ``write_message``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter

from bench import floor, process, task
from bench.connection import Connection
from bench.crowd import Crowd
from bench.line import Line
from bench.loop import Loop

SIZES = (10, 100, 300, 1_000)
#: Those that a goal is set for.
WITH_GOALS = (100, 1_000)
#: Runs for a size with a goal, and for the others, which are only drawn.
RUNS, DRAWN = 5, 2
#: Deliveries in a run for each second that other measurements run.
DELIVERIES = {"hub": 60_000, "c": 60_000, "python": 60_000, "naive": 12_000}
OF_C, OF_NAIVE = 0.9, 5


class Driver:
    """A server that is told to deliver, and the crowd that counts what comes."""

    def __init__(self, loop: Loop, port: int, size: int, arguments: str) -> None:
        self.crowd = Crowd(loop, port, size)
        self._loop = loop
        self._connection = Connection(loop, port)
        self._arguments = arguments
        self._sizes: list[bytes] = []
        self._go(1)
        loop.sleep(0.2)
        #: Bytes of an event.
        self.event = int(self._sizes[0].rpartition(b":")[2].rstrip(b"} "))

    def run(self, deliveries: int, batch: int = 1) -> float:
        """Deliveries a second."""
        size = len(self.crowd.sockets)
        events = max(1, deliveries // size // batch) * batch
        self._go(events, by="by=nobody")
        self._loop.run(lambda: bool(self._sizes), 30)
        end = self.crowd.total + events * size * self.event
        start = perf_counter()
        self._go(events, batch)
        seconds = self.crowd.receive(end, 120) - start
        self._loop.run(lambda: bool(self._sizes), 30)
        return events * size / seconds

    def close(self) -> None:
        self.crowd.close()
        self._connection.close()

    def _go(self, events: int, batch: int = 1, by: str = "") -> None:
        self._sizes.clear()
        path = f"/go?{by or self._arguments}&events={events}&batch={batch}"
        self._connection.send(
            task.request("POST", path, b"{}"), lambda body, _: self._sizes.append(body)
        )


def measure(directory: Path, seconds: float) -> Iterator[Line]:
    with ExitStack() as stack:
        hub = stack.enter_context(process.hub(directory))
        naive = stack.enter_context(process.peer("naive"))
        for size in SIZES:
            yield from _compare(Loop(), hub.port, naive.port, size, seconds)


def _compare(loop: Loop, hub: int, naive: int, size: int, seconds: float) -> Iterator[Line]:
    runs: dict[str, list[float]] = {"hub": [], "c": [], "python": [], "naive": []}
    for _ in range(RUNS if size in WITH_GOALS else DRAWN):
        for name, rates in runs.items():
            if name == "c" and floor.compiler() is None:
                continue
            driver = Driver(loop, naive if name == "naive" else hub, size, f"by={name}")
            driver.run(int(DELIVERIES[name] * seconds / 10))
            rates.append(driver.run(int(DELIVERIES[name] * seconds)))
            driver.close()
            loop.sleep(0.1)
    goal = size in WITH_GOALS
    name = f"single events, {size} subscribers"
    if runs["c"]:
        yield _line(f"{name}: the C loop", runs["c"], "C loop", size)
        yield _line(name, runs["hub"], "ours", size, runs["c"], OF_C if goal else None, "C loop")
        yield _line(f"{name}: a loop of socket.send in Python", runs["python"], "", 0, runs["c"])
    yield _line(f"{name}: naive Tornado", runs["naive"], "naive Tornado", size)
    name = f"{name}, against naive Tornado"
    drawn = "" if runs["c"] else "ours"
    least = OF_NAIVE if goal else None
    yield _line(name, runs["hub"], drawn, size, runs["naive"], least, "naive")


def _line(
    name: str,
    runs: list[float],
    series: str,
    size: int,
    against: list[float] | None = None,
    least: float | None = None,
    peer: str = "",
) -> Line:
    goal = f"≥ {least} times {peer}" if least else ""
    point = ("deliveries", series, size) if series else None
    return Line(name, runs, "/s", goal, against or (), at_least=least, number=1, point=point)

"""From a PUT to the last of 100 subscribers.

At 10 a second each event goes out at once; at 50 a second the pacing of the wire
contract collects them. Beside it the answers of the bare handler at the same pace, which
keeps nothing and tells nobody: between two requests the machine falls asleep.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

from bench import plan, process, task
from bench.connection import Connection
from bench.crowd import Arrivals, Crowd
from bench.line import Line
from bench.loop import Loop
from bench.numbers import percentile
from bench.puts import load

TASKS = 1_000
SUBSCRIBERS = 100
RUNS = 3
#: PUTs in a run for each second that other measurements run.
PUTS = {10: 50, 50: 150}
#: Goals by rate: milliseconds at p50 and p99.
GOALS: dict[int, tuple[float | None, float]] = {10: (2, 5), 50: (None, 80)}


class Editor:
    """Edits a task at each tick of a clock, whether or not the last edit is answered."""

    def __init__(self, loop: Loop, port: int, edits: list[task.Patch]) -> None:
        self.sent: list[float] = []
        self.latencies: list[float] = []
        self._loop, self._port, self._edits = loop, port, edits
        self._free: list[Connection] = []
        self._next = 0

    def warm(self, connections: int) -> None:
        """Open connections before the clock starts, as browsers keep some."""
        busy = len(self.latencies) + connections
        for _ in range(connections):
            self.edit()
        self._loop.run(lambda: len(self.latencies) == busy, 10)
        self.sent.clear()
        self.latencies.clear()

    def schedule(self, count: int, rate: float) -> None:
        """Put so many edits on the clock."""
        start = perf_counter() + 0.1
        for number in range(count):
            self._loop.at(start + number / rate, self.edit)

    def edit(self) -> None:
        connection = self._free.pop() if self._free else Connection(self._loop, self._port)
        edit = self._edits[self._next % len(self._edits)]
        self._next += 1

        def answered(body: bytes, seconds: float) -> None:
            edit.answered(body)
            self.latencies.append(seconds)
            self._free.append(connection)

        self.sent.append(perf_counter())
        connection.send(edit.next(), answered)

    def close(self) -> None:
        for connection in self._free:
            connection.close()


def delivered(
    loop: Loop, port: int, edits: list[task.Patch], crowd: Crowd, count: int, rate: float
) -> tuple[list[float], list[float]]:
    """Milliseconds from each of ``count`` PUTs to the last of the crowd, and to its answer.

    The tasks of ``edits`` are of one size, so each event is as long as the first.
    """
    editor = Editor(loop, port, edits)
    # Half a second after the last has come, all are told how many there are; that opens a
    # window of the pacing.
    loop.sleep(0.8)
    before = crowd.total
    editor.edit()
    loop.sleep(0.3)
    arrivals = Arrivals(loop, crowd.sockets, (crowd.total - before) // len(crowd.sockets))
    editor.sent.clear()
    editor.latencies.clear()
    editor.schedule(count, rate)
    loop.run(lambda: len(arrivals.times) == count, count / rate + 10)
    loop.sleep(0.1)
    editor.close()
    told = [(t - s) * 1e3 for s, t in zip(editor.sent, arrivals.times, strict=True)]
    return told, [seconds * 1e3 for seconds in editor.latencies]


def measure(directory: Path, seconds: float) -> Iterator[Line]:
    with process.ours(plan.plant(directory / "latency.db", TASKS)) as server:
        loop = Loop()
        edits = load(loop, server.port)
        edits = [edit for edit in edits if edit.size == edits[-1].size]
        for rate, (p50, p99) in GOALS.items():
            runs = []
            for _ in range(RUNS):
                crowd = Crowd(loop, server.port, SUBSCRIBERS)
                count = max(10, int(PUTS[rate] * seconds))
                runs.append(delivered(loop, server.port, edits, crowd, count, rate)[0])
                crowd.close()
            name = f"PUT to the last of {SUBSCRIBERS} subscribers, {rate} PUTs/s"
            yield _line(f"{name}, p50", runs, 50, p50)
            yield _line(f"{name}, p99", runs, 99, p99)
    with process.peer("bare") as bare:
        rate = min(GOALS)
        runs = [_answered(Loop(), bare.port, int(PUTS[rate] * seconds), rate) for _ in range(RUNS)]
        for percent in (50, 99):
            name = f"PUT to the answer of the bare handler, {rate} PUTs/s, p{percent}"
            yield _line(name, runs, percent, None)


def _answered(loop: Loop, port: int, count: int, rate: float) -> list[float]:
    """Milliseconds from each of ``count`` PUTs to its answer."""
    editor = Editor(loop, port, [task.Patch(task.item(task.FIRST))])
    editor.warm(1)
    editor.schedule(count, rate)
    loop.run(lambda: len(editor.latencies) == count, count / rate + 10)
    editor.close()
    return [seconds * 1e3 for seconds in editor.latencies]


def _line(name: str, runs: list[list[float]], percent: float, most: float | None) -> Line:
    goal = f"≤ {most:g} ms" if most else ""
    return Line(
        name, [percentile(run, percent) for run in runs], "ms", goal, at_most=most, number=4
    )

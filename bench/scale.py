"""What a write costs in a plan of 100 tasks and in one of 100,000, and with a long journal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median

import orjson

from bench import plan, process, task
from bench.connection import Connection
from bench.line import Line
from bench.loads import edits_of
from bench.loop import Loop

SMALL, LARGE = 100, 100_000
#: Lines more in the journal.
JOURNAL = 200_000
RUNS = 3
#: Writes of a kind in a run; the small plan has less than a hundred tasks to delete.
WRITES = 100
DELETES = 20
FLAT = 1.5


class Writer:
    """Writes to one server, one at a time."""

    def __init__(self, loop: Loop, port: int) -> None:
        self._connection = Connection(loop, port)
        (self._edit,) = edits_of(loop, port, range(task.FIRST + 1, task.FIRST + 2))
        self._last = task.FIRST + 99
        self._moves = 0

    def put(self) -> float:
        body, seconds = self._connection.fetch(self._edit.next())
        self._edit.answered(body)
        return seconds

    def move(self) -> float:
        """A row of the first branch to the top or back down, as a drop sends it."""
        self._moves += 1
        id = task.FIRST + 10 + self._moves % 10
        target = f"next:{task.FIRST + 40 + self._moves % 7}"
        body = orjson.dumps({"parent": task.FIRST, "target": target})
        return self._connection.fetch(task.request("PUT", f"/data/task/{id}", body))[1]

    def delete(self) -> float:
        """The last row of the first branch."""
        self._last -= 1
        return self._connection.fetch(task.request("DELETE", f"/data/task/{self._last}"))[1]


def measure(directory: Path, seconds: float) -> Iterator[Line]:
    with ExitStack() as stack:

        def writer(name: str, tasks: int, journal: int = 0) -> Writer:
            database = plan.plant(directory / f"scale-{name}.db", tasks, journal)
            return Writer(Loop(), stack.enter_context(process.ours(database)).port)

        small = writer("small", SMALL)
        large = writer("large", LARGE)
        long = writer("long", SMALL, JOURNAL)
        for verb in ("put", "move", "delete"):
            yield from _compare(verb, small, large, long)


def _compare(verb: str, small: Writer, large: Writer, long: Writer) -> Iterator[Line]:
    runs: dict[str, list[float]] = {"small": [], "large": [], "long": []}
    count = DELETES if verb == "delete" else WRITES
    acts: dict[str, Callable[[], float]] = {
        "small": getattr(small, verb),
        "large": getattr(large, verb),
        "long": getattr(long, verb),
    }
    for act in acts.values():
        act()
    for _ in range(RUNS):
        times: dict[str, list[float]] = {name: [] for name in acts}
        # They take turns, so that a disk that slows down slows all of them.
        for _ in range(count):
            for name, act in acts.items():
                times[name].append(act() * 1e3)
        for name, milliseconds in times.items():
            runs[name].append(median(milliseconds))
    word = "PUT" if verb == "put" else verb
    goal = f"≤ {FLAT} times that of {SMALL} tasks"
    yield Line(f"a {word}, {SMALL} tasks", runs["small"], "ms", number=7)
    for name, what in (("large", f"{LARGE} tasks"), ("long", f"{JOURNAL} changes more")):
        yield Line(
            f"a {word}, {what}", runs[name], "ms", goal, runs["small"], at_most=FLAT, number=7
        )

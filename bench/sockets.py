"""Connections: the memory of 10,000 idle ones, and 1,000 that reconnect at once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from time import perf_counter

import orjson

from bench import machine, plan, process, task
from bench.connection import Connection
from bench.crowd import Crowd
from bench.latency import Editor
from bench.line import Line
from bench.loop import Loop
from bench.numbers import percentile
from bench.puts import load

TASKS = 1_000
IDLE, RECONNECTING = 10_000, 1_000
RUNS = 3
#: Changes that those who reconnect have missed.
MISSED = 100
PUTS = 50
#: Connections of those who write.
WRITERS = 8
#: MiB, seconds and milliseconds.
MEMORY, SERVED, WRITES = 250, 3, 50


def measure(directory: Path, seconds: float) -> Iterator[Line]:
    database = plan.plant(directory / "sockets.db", TASKS)
    with process.ours(database) as server:
        yield from _idle(server)
    with process.ours(database) as server:
        yield from _reconnecting(server.port, seconds)


def _idle(server: process.Process) -> Iterator[Line]:
    loop = Loop()
    idle = min(IDLE, machine.raise_file_limit() - 100)
    before = server.memory()
    crowd = Crowd(loop, server.port, idle)
    loop.sleep(1)
    memory = server.memory()
    crowd.close()
    name = f"{idle} idle sockets, resident memory"
    yield Line(name, [memory / 2**20], "MiB", f"≤ {MEMORY} MiB", at_most=MEMORY, number=6)
    yield Line("memory of a socket", [(memory - before) / idle / 1024], "KiB", number=6)


def _reconnecting(port: int, seconds: float) -> Iterator[Line]:
    loop = Loop()
    edits = load(loop, port)[:MISSED]
    writer = Connection(loop, port)
    body, _ = writer.fetch(task.request("GET", "/data"))
    since = orjson.loads(body)["seq"]
    for edit in edits:
        edit.answered(writer.fetch(edit.next())[0])
    writer.close()
    served, answers = [], []
    for _ in range(RUNS):
        time, latencies = _once(loop, port, edits, since, int(PUTS * max(2.0, seconds)))
        served.append(time)
        answers.append(percentile(latencies, 99) * 1e3)
        loop.sleep(1)
    name = f"{RECONNECTING} sockets reconnect at once, {MISSED} tasks replayed to each"
    yield Line(f"{name}", served, "s", f"≤ {SERVED} s", at_most=SERVED, number=6)
    name = f"PUTs meanwhile, {PUTS}/s, p99"
    yield Line(name, answers, "ms", f"≤ {WRITES} ms", at_most=WRITES, number=6)


def _once(
    loop: Loop, port: int, edits: list[task.Patch], since: str, count: int
) -> tuple[float, list[float]]:
    """Seconds until all are served, and those of each PUT meanwhile."""
    editor = Editor(loop, port, edits)
    # Those who write are connected already; a new connection would stand behind all others.
    editor.warm(WRITERS)
    editor.schedule(count, PUTS)
    loop.sleep(0.3)
    start = perf_counter()
    crowd = Crowd(loop, port, RECONNECTING, f"since={since}")
    seconds = perf_counter() - start
    # Each is told of each task that changed: added and updated, with the item twice.
    if crowd.greetings < RECONNECTING * MISSED * 4 * task.SIZE:
        raise RuntimeError("not all who reconnected were told what they missed")
    loop.run(lambda: len(editor.latencies) == count, count / PUTS + 10)
    editor.close()
    crowd.close()
    return seconds, editor.latencies

"""A sustained stream: several events a write, as the pacing collects them.

The C loop beside it sends singly.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from bench import floor, process
from bench.deliveries import Driver
from bench.line import Line
from bench.loop import Loop

SIZES = (100, 1_000)
BATCHES = (8, 32)
RUNS = 5
#: Deliveries in a run for each second that other measurements run.
DELIVERIES = {8: 400_000, 32: 1_000_000, 1: 60_000}
OF_C = 6
#: Events whose order is looked at.
LOOKED_AT = 3_200


def measure(directory: Path, seconds: float) -> Iterator[Line]:
    with process.hub(directory) as hub:
        loop = Loop()
        for size in SIZES:
            for batch in BATCHES:
                yield _compare(loop, hub.port, size, batch, seconds)
        yield Line(
            f"events of a stream of {LOOKED_AT} that came, in order",
            [_in_order(loop, hub.port)],
            "",
            f"{LOOKED_AT}",
            at_least=LOOKED_AT,
            number=2,
        )


def _compare(loop: Loop, port: int, size: int, batch: int, seconds: float) -> Line:
    ours, peer = [], []
    for _ in range(RUNS):
        driver = Driver(loop, port, size, "by=hub")
        driver.run(int(DELIVERIES[batch] * seconds / 10), batch)
        ours.append(driver.run(int(DELIVERIES[batch] * seconds), batch))
        driver.close()
        if floor.compiler():
            driver = Driver(loop, port, size, "by=c")
            peer.append(driver.run(int(DELIVERIES[1] * seconds)))
            driver.close()
        loop.sleep(0.1)
    name = f"a stream, {batch} events a write, {size} subscribers"
    least = OF_C if peer else None
    return Line(name, ours, "/s", f"≥ {OF_C} times the C loop", peer, at_least=least, number=2)


def _in_order(loop: Loop, port: int) -> int:
    """How many events of a stream one of a hundred sockets got before one was missing."""
    driver = Driver(loop, port, 100, "by=hub")
    sock, received = driver.crowd.sockets[50], bytearray()

    def keep() -> None:
        part = sock.recv(1 << 20)
        received.extend(part)
        driver.crowd.total += len(part)

    loop.watch(sock, keep)
    driver.run(LOOKED_AT * 100, 8)
    driver.close()
    ids = [int(id) for id in re.findall(rb'"task":{"id":(\d+)', received)]
    return next((n for n, id in enumerate(ids) if id != ids[0] + n), len(ids))

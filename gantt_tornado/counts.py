"""What a server has done since it started, in plain numbers for ``GET /metrics``.

They are written on the loop alone, where an ``int`` costs a tenth of what a client library's
counter with its lock does. Nothing in them names a person, a project or an address.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from typing import Final

#: Upper bounds, in seconds: of a request, of a transaction, and of how late the loop is.
REQUEST: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
COMMIT: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5)
LAG: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
#: Jobs in one transaction.
BATCH: Final = (1, 2, 4, 8, 16, 32, 64, 128)
#: Stands for every request that is of no endpoint: files, and addresses that there are not.
OTHER: Final = "other"


class Histogram:
    """How many values were up to each bound, and all of them together."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        #: One a bound, and those beyond the last.
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def note(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class Requests:
    """Those to one endpoint: how many had each status, and how long they took in seconds."""

    __slots__ = ("durations", "statuses")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.durations = Histogram(REQUEST)


@dataclass(slots=True)
class Counts:
    """All that is counted.

    Attributes:
        requests: by the endpoint, ``PUT /data/{entity}/{id}``.
        commits: seconds of each transaction that was committed, its sync included.
        batches: jobs in each of them.
        lag: seconds by which the loop was late for something that was due.
        events: those that were published.
        deliveries: buffers of events that were handed to a socket.
        delivered_bytes: bytes in them.
        replays: channels of pages that were told what they had missed.
        reloads: pages that were told to load again.
        resends: items that were told once more.
        merges: writes into which others' edits were merged.
        dropped: fields of writes that others had made impossible.
        slow: connections that were closed because their client read too slowly.
        refused_tokens: requests and sockets with a token that is not known.
    """

    requests: dict[str, Requests] = field(default_factory=dict)
    commits: Histogram = field(default_factory=lambda: Histogram(COMMIT))
    batches: Histogram = field(default_factory=lambda: Histogram(BATCH))
    lag: Histogram = field(default_factory=lambda: Histogram(LAG))
    events: int = 0
    deliveries: int = 0
    delivered_bytes: int = 0
    replays: int = 0
    reloads: int = 0
    resends: int = 0
    merges: int = 0
    dropped: int = 0
    slow: int = 0
    refused_tokens: int = 0

    def request(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a request that has been answered."""
        requests = self.requests.get(endpoint)
        if requests is None:
            requests = self.requests[endpoint] = Requests()
        requests.statuses[status] = requests.statuses.get(status, 0) + 1
        requests.durations.note(seconds)


@dataclass(frozen=True, slots=True)
class State:
    """What is so just now.

    Attributes:
        queue: jobs that the writer has not begun.
        sockets: those that are open.
        projects: those that are in memory.
        journal: changes of them that can be replayed and undone.
        webhook_changes: changes that are still to be sent to webhooks.
        webhook_seconds: since when a message of one is not taken, the longest.
    """

    queue: int
    sockets: int
    projects: int
    journal: int
    webhook_changes: int
    webhook_seconds: float

"""How much one person, and one address, may do. Lives on the loop.

What comes too fast is put off before it is refused: the stock client leaves a refused row behind on
its screen, and a script only wants to be slowed down. A token is one person's, so a limit for each
person is one for each token too.
"""

from __future__ import annotations

import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Final

from gantt_tornado.config import Config, network_of, trusts
from gantt_tornado.errors import TooMany
from gantt_tornado.model.user import User

#: Writes, or calls, that one may send at once before any is put off.
BURST: Final = 1000
#: Seconds that one is put off at most.
LONGEST_DELAY: Final = 5.0
#: Projects that are opened in this time, in seconds.
MINUTE: Final = 60.0
#: People and addresses that are remembered; of more, those that were seen last.
MOST_KNOWN: Final = 10_000

#: Who is counted, and how many times as much they may do as one person.
Keys = Sequence[tuple[str, float]]


class Rate:
    """How often something may be done.

    Args:
        each: seconds for one of it; 0 for no limit.
        burst: how many may come at once.
        patience: seconds that one may be put off.
    """

    def __init__(
        self,
        each: float,
        burst: float,
        patience: float = 0,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._each = each
        self._burst = burst
        self._patience = patience
        self._now = now
        # Who → when all that they have done would have been done at an even pace.
        self._due: OrderedDict[str, float] = OrderedDict()

    def take(self, keys: Keys, count: int = 1) -> float:
        """Do it, so often. Returns the seconds that it has to be put off.

        Raises:
            TooMany: it would be too long; nothing is counted.
        """
        if not self._each or not keys:
            return 0.0
        now = self._now()
        dues = [self._next(key, times, count, now) for key, times in keys]
        delay = max(due - now - self._each * self._burst for due in dues)
        if delay > self._patience:
            raise TooMany(
                "This comes too fast. Please try again in a moment.",
                retry_after=math.ceil(delay - self._patience),
            )
        for (key, _), due in zip(keys, dues, strict=True):
            self._due[key] = due
            self._due.move_to_end(key)
        while len(self._due) > MOST_KNOWN:
            self._due.popitem(last=False)
        return max(0.0, delay)

    def _next(self, key: str, times: float, count: int, now: float) -> float:
        # For one who may do more, each takes less, and so their burst is larger.
        return max(self._due.get(key, now), now) + self._each / times * count


class Limits:
    """The limits of a server, as it is configured."""

    def __init__(self, config: Config, now: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        #: Whether there are any of writes and of projects: each request asks.
        self.are_used = bool(config.writes_a_second or config.projects_a_minute)
        self._most_sockets = config.sockets_a_person
        self._sockets: Counter[str] = Counter()
        self._writes = Rate(_each(config.writes_a_second), BURST, LONGEST_DELAY, now)
        self._calls = Rate(_each(config.calls_a_second), BURST, LONGEST_DELAY, now)
        opened = config.projects_a_minute
        self._opened = Rate(_each(opened) * MINUTE, opened, 0, now)

    def keys(self, user: User | None, address: str) -> Keys:
        """As whom somebody is counted."""
        keys = [(f"person {user.name}", 1.0)] if user is not None and user.name else []
        times = self._config.address_times
        if times and address and not trusts(self._config.unlimited, address):
            keys.append((f"address {network_of(address)}", times))
        return keys

    def write(self, keys: Keys) -> float:
        """Count a write. Returns the seconds that it has to be put off.

        Raises:
            TooMany: it is refused.
        """
        return self._writes.take(keys)

    def call(self, keys: Keys, count: int) -> float:
        """The same for remote calls."""
        return self._calls.take(keys, count)

    def open_project(self, keys: Keys) -> None:
        """Count a project that is read into memory.

        Raises:
            TooMany: it is refused.
        """
        self._opened.take(keys)

    def open_socket(self, keys: Keys) -> bool:
        """Count a socket, unless there are too many. Returns whether it is counted."""
        most = self._most_sockets
        if most and any(self._sockets[key] >= most * times for key, times in keys):
            return False
        self._sockets.update(key for key, _ in keys)
        return True

    def close_socket(self, keys: Keys) -> None:
        """Count one that was counted no more."""
        for key, _ in keys:
            self._sockets[key] -= 1
            if self._sockets[key] <= 0:
                del self._sockets[key]


def _each(a_second: float) -> float:
    return 1 / a_second if a_second else 0.0

"""Delivering committed changes to webhooks: in order, one request under way a hook, for ever.

What is to be sent stands in the journal, and how far each hook got in a table beside it; nothing
is queued here. So no write ever waits for a hook, and no hook for another. Lives on the loop.

Serves docs/protocol.md, "Webhooks".
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, Protocol

from gantt_tornado.config import Webhook
from gantt_tornado.model.change import Change
from gantt_tornado.model.dates import Calendar
from gantt_tornado.model.webhook_message import Message, change_message, gap_message
from gantt_tornado.webhooks.poster import Outcome

log = logging.getLogger(__name__)

#: Seconds until a message is sent again, the first time and at most; each time twice as long.
FIRST_DELAY: Final = 1.0
LONGEST_DELAY: Final = 300.0
#: Seconds between two notes of how far a hook got. What it has had since is sent again after a
#: crash, under the same id.
NOTE_EVERY: Final = 1.0


class Missed(Protocol):
    """Changes after one, as the journal has them."""

    @property
    def horizon(self) -> int: ...

    @property
    def changes(self) -> list[Change]: ...

    @property
    def last(self) -> int: ...


#: Reads changes of a project, by its number, after one.
ReadMissed = Callable[[int, int], Awaitable[Missed]]
#: Notes how far a hook, by its key, has got in projects.
Note = Callable[[str, Mapping[int, int]], Awaitable[None]]
#: Sends a message once.
Post = Callable[[Mapping[str, str], bytes], Awaitable[Outcome]]


@dataclass(slots=True)
class Progress:
    """How far a hook has got in a project: all up to change ``seq`` of ``last``."""

    name: str
    seq: int
    last: int


class Delivery:
    """All messages of one hook.

    Args:
        progress: by the project's number.
        number: of the hook in the configuration, from 1; several may lead to one host.
    """

    def __init__(
        self,
        hook: Webhook,
        progress: dict[int, Progress],
        calendar: Calendar,
        read: ReadMissed,
        note: Note,
        post: Post,
        number: int = 1,
    ) -> None:
        self._hook = hook
        self._number = number
        self._progress = progress
        self._calendar = calendar
        self._read = read
        self._note = note
        self._post = post
        self._noted = {project: each.seq for project, each in progress.items()}
        self._noted_at = 0.0
        # Projects that may have something to be sent, in turn.
        self._waiting = dict.fromkeys(progress)
        self._news = asyncio.Event()
        # A project is deleted: what waits to be sent again may be of it.
        self._removal = asyncio.Event()
        # Of the message that is not taken: how often, why, and since when there has been one.
        self._failures = 0
        self._failure = ""
        self._since: float | None = None

    def committed(self, project: int, seq: int) -> None:
        """A project has come to change ``seq``."""
        progress = self._progress.get(project)
        if progress is not None:
            progress.last = max(progress.last, seq)
            self._waiting[project] = None
            self._news.set()

    def added(self, project: int, name: str, seq: int, last: int) -> None:
        """There is a project more, of which all after ``seq`` is to be sent; one that is known
        goes on as it does."""
        if self._hook.hears_of(name) and project not in self._progress:
            self._progress[project] = Progress(name, seq, last)
            self._noted[project] = seq
            self.committed(project, last)

    def removed(self, project: int) -> None:
        """A project has been deleted."""
        self._progress.pop(project, None)
        self._waiting.pop(project, None)
        self._noted.pop(project, None)
        self._removal.set()

    def lag(self) -> dict[str, Any]:
        """The hook's ``number`` and ``url``, and what is still to be sent: ``changes``, ``seconds``
        since the oldest of them could not be sent the first time, and how often and why the last
        attempt failed."""
        return {
            "number": self._number,
            "url": self._hook.where,
            "changes": sum(each.last - each.seq for each in self._progress.values()),
            "seconds": 0.0 if self._since is None else round(time.monotonic() - self._since, 1),
            "failures": self._failures,
            "error": self._failure,
        }

    async def run(self) -> None:
        """Deliver until cancelled."""
        while True:
            if not self._waiting:
                # Cleared first: there may be news while it is noted.
                self._news.clear()
                await self.note()
                await self._news.wait()
                continue
            project = next(iter(self._waiting))
            del self._waiting[project]
            try:
                await self._deliver_some(project)
            except Exception:
                # Whatever it was, what is committed later is not to be lost for it.
                log.exception("a webhook's messages could not be read")
                self._waiting[project] = None
                await asyncio.sleep(FIRST_DELAY)

    async def note(self) -> None:
        """Note how far it has got, if that is news."""
        now = {project: each.seq for project, each in self._progress.items()}
        news = {project: seq for project, seq in now.items() if self._noted.get(project) != seq}
        if news:
            await self._note(self._hook.key, news)
            self._noted |= news
            self._noted_at = time.monotonic()

    async def _deliver_some(self, project: int) -> None:
        """Send some changes of a project. Where there may be more, it is its turn again behind
        the others."""
        progress = self._progress.get(project)
        if progress is None:
            return

        def is_there() -> bool:
            # One that was deleted and taken back has begun anew.
            return self._progress.get(project) is progress

        missed = await self._read(project, progress.seq)
        if missed.horizon > progress.seq and is_there():
            # The first that is left has the same time also after a crash.
            first = next((each.at for each in missed.changes), time.time_ns() // 1_000_000)
            gap = gap_message(progress.name, progress.seq, missed.horizon, first)
            await self._deliver(gap, is_there)
            progress.seq = missed.horizon
        for change in missed.changes:
            if not is_there():
                return
            if self._hook.tells(change.entity.name):
                message = change_message(progress.name, change, self._calendar)
                await self._deliver(message, is_there)
            progress.seq = change.seq
            if time.monotonic() > self._noted_at + NOTE_EVERY:
                await self.note()
        # Lines that cannot be read are passed over.
        progress.seq = max(progress.seq, missed.last)
        if missed.changes and is_there():
            self._waiting[project] = None

    async def _deliver(self, message: Message, is_there: Callable[[], bool]) -> None:
        """Send a message until it is taken, or its project is not there any more."""
        delay = FIRST_DELAY
        while True:
            headers = message.headers(self._hook.secret_bytes, int(time.time()))
            outcome = await self._post(headers, message.body)
            if not outcome.failure:
                self._taken()
                return
            self._not_taken(outcome.failure)
            # What has been taken before is not to be sent again after a crash.
            await self.note()
            await self._wait(max(delay, outcome.wait) * random.uniform(1, 1.25), is_there)
            if not is_there():
                self._forget_failures()
                return
            delay = min(2 * delay, LONGEST_DELAY)

    async def _wait(self, seconds: float, is_there: Callable[[], bool]) -> None:
        """Wait so long, or until a project is not there any more."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while is_there():
                    self._removal.clear()
                    await self._removal.wait()

    @property
    def _name(self) -> str:
        return f"the webhook {self._number} ({self._hook.where})"

    def _taken(self) -> None:
        if self._failures:
            log.warning("%s takes messages again", self._name)
        self._forget_failures()

    def _forget_failures(self) -> None:
        self._failures, self._failure, self._since = 0, "", None

    def _not_taken(self, failure: str) -> None:
        if not self._failures:
            self._since = time.monotonic()
        if failure != self._failure:
            # Once, not for each attempt until somebody comes.
            log.warning("%s does not take a message: %s", self._name, failure)
        self._failures += 1
        self._failure = failure

"""All webhooks of a server. Lives on the loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from gantt_tornado.config import Webhook
from gantt_tornado.model.dates import Calendar
from gantt_tornado.webhooks.delivery import Delivery, Note, Progress, ReadMissed
from gantt_tornado.webhooks.poster import Poster

log = logging.getLogger(__name__)


class Reached(Protocol):
    """How far a hook got in a project, see :mod:`gantt_tornado.store.webhook_positions`."""

    @property
    def project(self) -> int: ...

    @property
    def name(self) -> str: ...

    @property
    def seq(self) -> int: ...

    @property
    def last(self) -> int: ...

    @property
    def deleted(self) -> bool: ...


class Webhooks:
    """The hooks of the configuration, each with a task of its own.

    Args:
        read: reads changes from the journal, beside the writer.
        note: notes how far a hook got.
    """

    def __init__(
        self, hooks: Sequence[Webhook], calendar: Calendar, read: ReadMissed, note: Note
    ) -> None:
        self._hooks = hooks
        self._calendar = calendar
        self._read = read
        self._note = note
        self._deliveries: list[Delivery] = []
        self._posters: list[Poster] = []
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def heard(self) -> Mapping[str, Callable[[str], bool]]:
        """By the key of each hook, whether it hears of the project of a name."""
        return {hook.key: hook.hears_of for hook in self._hooks}

    def start(self, reached: Mapping[str, Sequence[Reached]]) -> None:
        """Go on where each hook, by its key, has got."""
        for number, hook in enumerate(self._hooks, 1):
            progress = {
                each.project: Progress(each.name, each.seq, each.last)
                for each in reached[hook.key]
                if not each.deleted
            }
            poster = Poster(hook.url, hook.allow_private)
            ways = (self._calendar, self._read, self._note, poster.post)
            delivery = Delivery(hook, progress, *ways, number)
            self._posters.append(poster)
            self._deliveries.append(delivery)
            self._tasks.append(asyncio.create_task(delivery.run()))

    def committed(self, project: int, seq: int) -> None:
        """A project, by its number, has come to change ``seq``. Waits for nothing."""
        for delivery in self._deliveries:
            delivery.committed(project, seq)

    def added(self, project: int, name: str, seq: int) -> None:
        """There is a project more: all after change ``seq`` is to be sent."""
        for delivery in self._deliveries:
            delivery.added(project, name, seq, seq)

    def restored(self, reached: Mapping[str, Sequence[Reached]]) -> None:
        """A deleted project is back: each hook goes on in it where it was."""
        for hook, delivery in zip(self._hooks, self._deliveries, strict=True):
            for each in reached[hook.key]:
                if not each.deleted:
                    delivery.added(each.project, each.name, each.seq, each.last)

    def removed(self, project: int) -> None:
        """A project has been deleted."""
        for delivery in self._deliveries:
            delivery.removed(project)

    def lag(self) -> list[dict[str, Any]]:
        """What is still to be sent, hook by hook."""
        return [delivery.lag() for delivery in self._deliveries]

    async def close(self) -> None:
        """End, and note how far each has got: a message under way is sent again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for delivery in self._deliveries:
            try:
                await delivery.note()
            except Exception:
                log.exception("how far a webhook has got could not be noted")
        for poster in self._posters:
            poster.close()

"""Who may subscribe to a channel of the application's own."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from gantt_tornado.model.schema import GANTT, Schema
from gantt_tornado.model.user import User

log = logging.getLogger(__name__)

#: Asked whether a user may subscribe.
Guard = Callable[[User], bool | Awaitable[bool]]


class Guards:
    """The guards of a project's channels."""

    def __init__(self, schema: Schema = GANTT) -> None:
        # Of these the role in the project decides alone.
        self.built_in = {"presence", *schema.channels}
        self._guards: dict[str, Guard] = {}

    def add(self, channel: str, guard: Guard) -> None:
        """Let ``guard`` decide from now on who may subscribe.

        Raises:
            ValueError: the channel is one of ours, or has a guard already.
        """
        if channel in self.built_in:
            raise ValueError(f"{channel!r} is for everybody who may read the project")
        if channel in self._guards:
            raise ValueError(f"{channel!r} has a guard already")
        self._guards[channel] = guard

    async def allow(self, channel: str, user: User) -> bool:
        """Whether a user may subscribe. A guard that raises lets nobody in."""
        allowed = self.ask(channel, user)
        return allowed if isinstance(allowed, bool) else await allowed

    def ask(self, channel: str, user: User) -> bool | Coroutine[Any, Any, bool]:
        """The same, at once where the guard does not wait."""
        guard = self._guards.get(channel)
        if guard is None:
            return True
        try:
            allowed = guard(user)
            return self._said(channel, allowed) if inspect.isawaitable(allowed) else bool(allowed)
        except Exception:
            log.exception("the guard of %r failed", channel)
            return False

    async def _said(self, channel: str, allowed: Awaitable[bool]) -> bool:
        try:
            return bool(await allowed)
        except Exception:
            log.exception("the guard of %r failed", channel)
            return False

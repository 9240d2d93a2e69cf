"""``GET /data/changes``: the changes of a project on a response that goes on.

It ends as a socket does: with the user's token, with the project or its being public, and with the
server.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Final

from gantt_tornado.backend import Backend
from gantt_tornado.errors import Unavailable
from gantt_tornado.model.user import User
from gantt_tornado.project import Project

log = logging.getLogger(__name__)

#: Those that may be open at a time: all, those of people who are not signed in, and those of one
#: person, or of one address of somebody who is not.
MOST: Final = 100
MOST_ANONYMOUS: Final = 50
MOST_EACH: Final = 20
#: Seconds after which one should try again.
RETRY_AFTER: Final = 10


class ChangeStream:
    """One that is open, until :meth:`end` is called.

    Args:
        seq: the change after which it begins.
        goes_on: whether it waits for changes to come.
        address: where the request comes from.

    Raises:
        Forbidden: the user would not be let in any more.
        Unavailable: too many are open.
    """

    def __init__(
        self,
        backend: Backend,
        project: Project,
        user: User | None,
        seq: int,
        goes_on: bool,
        address: str = "",
    ) -> None:
        name = user.name if user is not None else ""
        self.counted = (bool(name), name or address)
        if not self._has_room([each.counted for each in backend.streams]):
            raise Unavailable("Too many follow the changes.", retry_after=RETRY_AFTER)
        #: Whose token it ends with.
        self.user = user
        self._backend = backend
        self._project = project
        self._seq = seq
        self._heartbeat = backend.config.ping_interval if goes_on else None
        self._is_cut = False
        backend.open_session(self)
        self._follower = project.tail.follow(project.plan.seq)
        backend.streams.add(self)

    def _has_room(self, others: list[tuple[bool, str]]) -> bool:
        is_signed_in, _ = self.counted
        anonymous = [each for each in others if not each[0]]
        if not is_signed_in and len(anonymous) >= MOST_ANONYMOUS:
            return False
        return len(others) < MOST and others.count(self.counted) < MOST_EACH

    @property
    def project_name(self) -> str:
        return self._project.name

    async def pieces(self) -> AsyncGenerator[bytes]:
        """Lines, some at a time."""
        try:
            async with self._project as project:
                lines = project.follow(self._seq, self._follower, self._heartbeat)
                async with aclosing(lines):
                    async for piece in lines:
                        if self._is_cut:
                            return
                        yield piece
        except Exception:
            # The head has been sent, so a client sees only that it ends.
            log.exception("the changes of a project could not be told")

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        """Send nothing more."""
        self._is_cut = True
        self._follower.close()

    def end(self) -> None:
        """It is over."""
        self._follower.leave()
        self._backend.streams.discard(self)
        self._backend.sessions.closed(self)

"""Open sockets, and what else goes on for somebody, by whom they belong to.

They are closed when the user's token expires or is revoked, or when the project is not public any
more.

A page whose token no longer counts is told so with 1008, as if it had come with it just now.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol

from gantt_tornado.model import protocol
from gantt_tornado.model.user import User


class Session(Protocol):
    """An open socket, or another thing that goes on, of a user in a project."""

    user: User | None

    @property
    def project_name(self) -> str: ...

    def close(self, code: int | None = None, reason: str | None = None) -> None: ...


class Stream(Session, Protocol):
    """A response that follows the changes of a project."""

    @property
    def counted(self) -> tuple[bool, str]:
        """As whom it is counted: whether somebody signed in has it, and the person's name or
        the address."""


class Calls:
    """Remote calls by POST that are carried out: those that have begun end, and no other begins."""

    def __init__(self, user: User, project_name: str) -> None:
        self.user: User | None = user
        self.project_name = project_name
        self.is_over = False

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        self.is_over = True


class Sessions:
    """Those that are open."""

    def __init__(self) -> None:
        self._open: set[Session] = set()
        # No earlier than this does one expire: mostly there is nothing to look at.
        self._next = math.inf

    def opened(self, session: Session) -> None:
        self._open.add(session)
        self._next = min(self._next, _expires(session))

    def closed(self, session: Session) -> None:
        self._open.discard(session)

    def expire(self, now: float) -> None:
        """Close those whose token has expired; ``now`` is in seconds since 1970."""
        if now < self._next:
            return
        self._end(lambda session: _expires(session) <= now)
        self._next = min(map(_expires, self._open), default=math.inf)

    def check(self, stands: Callable[[User, str], bool]) -> None:
        """Close those of users who would not be let into the project, by its name, any more."""
        self._end(
            lambda session: (
                session.user is not None and not stands(session.user, session.project_name)
            )
        )

    def sign_out(self, name: str) -> int:
        """Close all of one user. Returns how many there were."""
        return self._end(lambda session: session.user is not None and session.user.name == name)

    def _end(self, is_over: Callable[[Session], bool]) -> int:
        over = [session for session in self._open if is_over(session)]
        for session in over:
            self._open.discard(session)
            session.close(protocol.POLICY, "Unauthorized")
        return len(over)


def _expires(session: Session) -> float:
    if session.user is None or session.user.expires is None:
        return math.inf
    return session.user.expires

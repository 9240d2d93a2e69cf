from __future__ import annotations

import pytest

from gantt_tornado.live.sessions import Sessions
from gantt_tornado.model.user import Role, User


class Socket:
    def __init__(self, user: User | None) -> None:
        self.user = user
        self.project_name = "house"
        self.closed: list[tuple[int | None, str | None]] = []

    def close(self, code: int | None = None, reason: str | None = None) -> None:
        self.closed.append((code, reason))


UNAUTHORIZED = [(1008, "Unauthorized")]


def user(name: str = "eve", expires: float | None = None) -> User:
    return User(name, Role.editor, expires=expires)


@pytest.fixture
def sessions() -> Sessions:
    return Sessions()


def opened(sessions: Sessions, who: User | None) -> Socket:
    socket = Socket(who)
    sessions.opened(socket)
    return socket


def test_a_socket_is_closed_when_its_token_expires(sessions: Sessions) -> None:
    socket = opened(sessions, user(expires=100))
    sessions.expire(99.9)
    assert socket.closed == []
    sessions.expire(100)
    assert socket.closed == UNAUTHORIZED


def test_one_that_expires_later_is_closed_later(sessions: Sessions) -> None:
    first, last = opened(sessions, user(expires=100)), opened(sessions, user(expires=200))
    sessions.expire(100)
    assert (first.closed, last.closed) == (UNAUTHORIZED, [])
    sessions.expire(200)
    assert last.closed == UNAUTHORIZED


def test_one_that_came_later_may_expire_first(sessions: Sessions) -> None:
    opened(sessions, user(expires=200))
    socket = opened(sessions, user(expires=100))
    sessions.expire(150)
    assert socket.closed == UNAUTHORIZED


@pytest.mark.parametrize("who", [None, user()])
def test_one_without_an_end_stays(sessions: Sessions, who: User | None) -> None:
    socket = opened(sessions, who)
    opened(sessions, user(expires=1))
    sessions.expire(1e12)
    assert socket.closed == []


def test_one_that_was_closed_is_not_closed_again(sessions: Sessions) -> None:
    socket = opened(sessions, user(expires=100))
    sessions.closed(socket)
    sessions.expire(200)
    assert socket.closed == []


def test_one_is_closed_once(sessions: Sessions) -> None:
    socket = opened(sessions, user(expires=100))
    sessions.expire(200)
    sessions.expire(300)
    assert sessions.sign_out("eve") == 0
    assert socket.closed == UNAUTHORIZED


def test_sockets_of_revoked_tokens_are_closed(sessions: Sessions) -> None:
    eve, carl, nobody = (opened(sessions, who) for who in (user("eve"), user("carl"), None))
    sessions.check(lambda who, project: who.name == "carl" and project == "house")
    assert (eve.closed, carl.closed, nobody.closed) == (UNAUTHORIZED, [], [])


def test_signing_out_closes_every_socket_of_one_user(sessions: Sessions) -> None:
    first, second = opened(sessions, user("eve")), opened(sessions, user("eve"))
    other, nobody = opened(sessions, user("carl")), opened(sessions, None)
    assert sessions.sign_out("eve") == 2
    assert first.closed == second.closed == UNAUTHORIZED
    assert other.closed == nobody.closed == []

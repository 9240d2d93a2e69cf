from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from gantt_tornado.entrance import AT_ONCE, Entrance, entrances


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def entrance(stack: ExitStack) -> Entrance:
    (entrance,) = entrances([socket.create_server(("127.0.0.1", 0), backlog=100)])
    assert isinstance(entrance, Entrance)
    return stack.enter_context(entrance)


def knock(stack: ExitStack, entrance: Entrance, times: int) -> None:
    for _ in range(times):
        stack.enter_context(socket.create_connection(entrance.getsockname()))


def turn(stack: ExitStack, entrance: Entrance) -> int:
    """How many come in until nobody seems to wait, as Tornado lets them in."""
    for count in range(128):
        try:
            stack.enter_context(entrance.accept()[0])
        except BlockingIOError:
            return count
    return 128


def test_a_few_come_in_at_a_time_and_none_is_forgotten(
    stack: ExitStack, entrance: Entrance
) -> None:
    knock(stack, entrance, 2 * AT_ONCE + 1)
    turns = [turn(stack, entrance) for _ in range(4)]
    assert turns == [AT_ONCE, AT_ONCE, 1, 0]


def test_each_turn_counts_anew(stack: ExitStack, entrance: Entrance) -> None:
    for _ in range(3):
        knock(stack, entrance, AT_ONCE - 1)
        assert turn(stack, entrance) == AT_ONCE - 1


def test_nobody_waits_for_a_caller_that_is_not_there(stack: ExitStack, entrance: Entrance) -> None:
    assert turn(stack, entrance) == 0


def test_who_comes_in_can_talk(stack: ExitStack, entrance: Entrance) -> None:
    caller = stack.enter_context(socket.create_connection(entrance.getsockname()))
    inside = stack.enter_context(entrance.accept()[0])
    caller.sendall(b"hello")
    assert inside.recv(5) == b"hello"
    assert not isinstance(inside, Entrance)

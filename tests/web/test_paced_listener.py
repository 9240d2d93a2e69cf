from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from tornado.netutil import add_accept_handler

from gantt_tornado.web import paced_listener as paced_listener_module
from gantt_tornado.web.paced_listener import AT_ONCE, PacedListener, paced_listeners, raise_limit


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def listener(stack: ExitStack) -> PacedListener:
    (listener,) = paced_listeners([socket.create_server(("127.0.0.1", 0), backlog=100)])
    assert isinstance(listener, PacedListener)
    return stack.enter_context(listener)


def knock(stack: ExitStack, listener: PacedListener, times: int) -> None:
    for _ in range(times):
        stack.enter_context(socket.create_connection(listener.getsockname()))


def turn(stack: ExitStack, listener: PacedListener) -> int:
    """How many come in until nobody seems to wait, as Tornado lets them in."""
    for count in range(128):
        try:
            stack.enter_context(listener.accept()[0])
        except BlockingIOError:
            return count
    return 128


def test_a_few_come_in_at_a_time_and_none_is_forgotten(
    stack: ExitStack, listener: PacedListener
) -> None:
    knock(stack, listener, 2 * AT_ONCE + 1)
    turns = [turn(stack, listener) for _ in range(4)]
    assert turns == [AT_ONCE, AT_ONCE, 1, 0]


def test_each_turn_counts_anew(stack: ExitStack, listener: PacedListener) -> None:
    for _ in range(3):
        knock(stack, listener, AT_ONCE - 1)
        assert turn(stack, listener) == AT_ONCE - 1


def test_nobody_waits_for_a_caller_that_is_not_there(
    stack: ExitStack, listener: PacedListener
) -> None:
    assert turn(stack, listener) == 0


def test_who_comes_in_can_talk(stack: ExitStack, listener: PacedListener) -> None:
    caller = stack.enter_context(socket.create_connection(listener.getsockname()))
    inside = stack.enter_context(listener.accept()[0])
    caller.sendall(b"hello")
    assert inside.recv(5) == b"hello"
    assert not isinstance(inside, PacedListener)


class Host:
    """Lets connections in as Tornado does, on a loop."""

    def __init__(self, listener: PacedListener) -> None:
        self.inside: list[socket.socket] = []
        self.came = asyncio.Event()
        self.tries = 0
        listener._check_descriptors = self.look(listener._check_descriptors)  # type: ignore[method-assign]
        self.stop = add_accept_handler(listener, self.let_in)

    def look(self, check: Any) -> Any:
        def looked() -> None:
            self.tries += 1
            check()

        return looked

    def let_in(self, connection: socket.socket, _address: object) -> None:
        self.inside.append(connection)
        self.came.set()

    async def someone(self) -> socket.socket:
        await asyncio.wait_for(self.came.wait(), 3)
        self.came.clear()
        return self.inside.pop()


@pytest.fixture
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paced_listener_module, "PAUSE", 0.01)


def free_descriptor() -> int:
    with socket.socket() as probe:
        return probe.fileno()


def test_without_room_nobody_comes_in_until_somebody_goes(
    stack: ExitStack, listener: PacedListener, caplog: pytest.LogCaptureFixture, short_pause: None
) -> None:
    async def scene() -> None:
        host = Host(listener)
        knock(stack, listener, 1)
        (await host.someone()).close()
        # What is free for the caller is the last; it takes it before it is let in.
        listener._limit = free_descriptor()
        knock(stack, listener, 1)
        while host.tries < 6:
            await asyncio.sleep(0.005)
        assert host.inside == []
        listener._limit = 1 << 20
        (await host.someone()).close()
        host.stop()

    asyncio.run(scene())
    assert len([line for line in caplog.records if line.levelname == "ERROR"]) == 1


def test_a_pause_takes_no_turns_of_the_loop(stack: ExitStack, listener: PacedListener) -> None:
    async def scene() -> None:
        host = Host(listener)
        listener._limit = 0
        knock(stack, listener, 1)
        for _ in range(1000):
            await asyncio.sleep(0)
        assert host.tries == 1
        host.stop()

    asyncio.run(scene())


def test_an_entrance_that_was_closed_in_a_pause_stays_closed(
    stack: ExitStack, listener: PacedListener, short_pause: None
) -> None:
    async def scene() -> None:
        host = Host(listener)
        listener._limit = 0
        knock(stack, listener, 1)
        while not host.tries:
            await asyncio.sleep(0)
        host.stop()
        listener.close()
        await asyncio.sleep(0.03)

    asyncio.run(scene())


def test_some_descriptors_are_kept_for_others() -> None:
    most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    (listener,) = paced_listeners([socket.create_server(("127.0.0.1", 0))])
    assert isinstance(listener, PacedListener)
    with listener:
        assert most * 3 // 4 < listener._limit < most


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux sees to that")
def test_who_takes_nothing_is_cut_off_after_some_time(stack: ExitStack) -> None:
    (listener,) = paced_listeners([socket.create_server(("127.0.0.1", 0))], patience=1.5)
    stack.enter_context(listener)
    knock(stack, listener, 1)
    inside = stack.enter_context(listener.accept()[0])
    assert inside.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 1500


def test_the_limit_of_the_shell_is_raised() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[0] - 1, before[1]))
    try:
        raise_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

from __future__ import annotations

import tracemalloc
import weakref

import pytest

from gantt_tornado.live import positions as acks_module
from gantt_tornado.live.positions import Positions, page_url
from gantt_tornado.model.marks import Position

URL = "/api/v1?since=3"
TASKS = frozenset({"tasks"})
AT_7, AT_9 = Position(7, 0xABC), Position(9, 0xDEF)


class Socket:
    """Stands for a handler."""


@pytest.fixture
def first() -> Socket:
    return Socket()


@pytest.fixture
def second() -> Socket:
    return Socket()


@pytest.mark.parametrize(
    "uri, url",
    [
        ("/api/v1?since=3", "/api/v1?since=3"),
        ("/api/v1?since=3&token=abc&ws=1", "/api/v1?since=3"),
        ("/api/v1?token=abc&ws=1", "/api/v1"),
        ("/api/v1", "/api/v1"),
        ("/api/v1?since=3&tab=x&token=abc&ws=1", "/api/v1?since=3&tab=x"),
    ],
)
def test_a_page_is_known_by_its_url_without_the_token(uri: str, url: str) -> None:
    assert page_url(uri) == url


def test_a_page_that_comes_for_the_first_time_has_acknowledged_nothing(first: Socket) -> None:
    positions = Positions()
    positions.made_handshake(URL)
    assert positions.opened(URL, first) == {}


def test_a_page_that_made_no_handshake_is_nobody(first: Socket, second: Socket) -> None:
    positions = Positions()
    positions.opened(URL, first)
    positions.arrived(URL, first, TASKS, AT_7)
    assert positions.opened(URL, second) == {}


def test_a_page_that_returns_is_known_by_what_arrived(first: Socket, second: Socket) -> None:
    positions = Positions()
    positions.made_handshake(URL)
    positions.opened(URL, first)
    positions.arrived(URL, first, frozenset({"tasks", "links"}), AT_7)
    positions.arrived(URL, first, TASKS, AT_9)
    assert positions.opened(URL, second) == {"tasks": AT_9, "links": AT_7}


def test_two_pages_behind_one_url_cannot_be_told_apart(first: Socket, second: Socket) -> None:
    positions = Positions()
    positions.made_handshake(URL)
    positions.opened(URL, first)
    positions.arrived(URL, first, TASKS, AT_7)
    positions.made_handshake(URL)
    assert positions.opened(URL, second) == {}


def test_an_older_socket_of_a_page_acknowledges_nothing_more(first: Socket, second: Socket) -> None:
    positions = Positions()
    positions.made_handshake(URL)
    positions.opened(URL, first)
    positions.opened(URL, second)
    positions.arrived(URL, first, TASKS, AT_7)
    assert positions.opened(URL, Socket()) == {}


def test_what_a_page_is_told_is_its_own_to_keep(first: Socket) -> None:
    positions = Positions()
    positions.made_handshake(URL)
    told = positions.opened(URL, first)
    positions.arrived(URL, first, TASKS, AT_7)
    assert told == {}


def test_the_oldest_pages_are_forgotten_first(
    monkeypatch: pytest.MonkeyPatch, first: Socket
) -> None:
    monkeypatch.setattr(acks_module, "MOST_PAGES", 2)
    positions = Positions()
    for url in ("/1", "/2", "/3"):
        positions.made_handshake(url)
        positions.opened(url, first)
        positions.arrived(url, first, TASKS, AT_7)
    assert [positions.opened(url, first) for url in ("/1", "/2", "/3")] == [
        {},
        {"tasks": AT_7},
        {"tasks": AT_7},
    ]


def test_a_page_takes_as_little_memory_with_a_long_url() -> None:
    positions = Positions()
    tracemalloc.start()
    for number in range(100):
        positions.made_handshake(f"/api/v1?since={number}" + "x" * 60_000)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 100 * 1000


def test_a_page_keeps_no_socket_alive() -> None:
    positions, socket = Positions(), Socket()
    positions.made_handshake(URL)
    positions.opened(URL, socket)
    positions.arrived(URL, socket, TASKS, AT_7)
    gone = weakref.ref(socket)
    del socket
    assert gone() is None
    assert positions.opened(URL, Socket()) == {"tasks": AT_7}


def test_channels_that_are_not_replayed_are_not_remembered(first: Socket, second: Socket) -> None:
    positions = Positions()
    positions.made_handshake(URL)
    positions.opened(URL, first)
    positions.arrived(URL, first, frozenset({"tasks", "x" * 200}), AT_7)
    assert positions.opened(URL, second) == {"tasks": AT_7}

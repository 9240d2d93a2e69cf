"""Order, repetition and notes of one hook, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any

import orjson
import pytest

from gantt_tornado.config import Webhook
from gantt_tornado.model.change import Author, Change
from gantt_tornado.model.dates import Calendar
from gantt_tornado.model.entities import LINK, TASK, Entity
from gantt_tornado.store.journal import Missed
from gantt_tornado.webhooks.delivery import LONGEST_DELAY, Delivery, Progress
from gantt_tornado.webhooks.poster import Outcome
from tests.support import Loop

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
URL = "https://hooks.example/x?key=private"


class World:
    """Journals, a receiver, and a clock that is turned."""

    def __init__(self, loop: Loop) -> None:
        self.loop = loop
        self.journals: dict[int, list[Change]] = {1: []}
        self.horizon = 0
        self.outcomes: list[Outcome] = []
        self.sent: list[tuple[float, Mapping[str, str], Any]] = []
        self.notes: list[dict[int, int]] = []
        self.under_way = 0
        #: Called while a position is noted.
        self.noting: Callable[[], object] = lambda: None
        self.delivery: Delivery

    def hook(self, seq: int = 0, **options: Any) -> Delivery:
        hook = Webhook(url=URL, secret=SECRET, **options)
        progress = {project: Progress(f"p{project}", seq, 0) for project in self.journals}
        self.delivery = Delivery(hook, progress, Calendar(), self.read, self.note, self.post, 2)
        self.task = self.loop.create_task(self.delivery.run())
        return self.delivery

    def commit(self, *seqs: int, project: int = 1, entity: Entity = TASK) -> None:
        for seq in seqs:
            change = Change(seq, seq, project, entity, seq, "add", Author("ann"), 0, {})
            self.journals[project].append(change)
            if hasattr(self, "delivery"):
                self.delivery.committed(project, seq)

    async def read(self, project: int, seq: int) -> Missed:
        await asyncio.sleep(0)
        changes = [each for each in self.journals[project] if each.seq > max(seq, self.horizon)]
        last = changes[:3][-1].seq if changes else max(seq, self.horizon)
        return Missed(self.horizon, changes[:3], last)

    async def note(self, hook: str, positions: Mapping[int, int]) -> None:
        await asyncio.sleep(0)
        self.noting()
        self.notes.append(dict(positions))

    async def post(self, headers: Mapping[str, str], body: bytes) -> Outcome:
        self.under_way += 1
        assert self.under_way == 1
        await asyncio.sleep(0)
        self.under_way -= 1
        self.sent.append((self.loop.time(), headers, orjson.loads(body)))
        return self.outcomes.pop(0) if self.outcomes else Outcome()

    def turn(self, seconds: float = 0.01) -> None:
        self.loop.run_until_complete(asyncio.sleep(seconds))

    @property
    def seqs(self) -> list[int]:
        return [told["data"].get("seq", -1) for _, _, told in self.sent]


@pytest.fixture
def world() -> Iterator[World]:
    loop = Loop()
    world = World(loop)
    yield world
    world.task.cancel()
    loop.run_until_complete(asyncio.gather(world.task, return_exceptions=True))
    loop.close()


FAILED = Outcome("HTTP 500")


def test_changes_are_sent_in_their_order(world: World) -> None:
    world.commit(*range(1, 9))
    world.hook()
    world.turn()
    assert world.seqs == list(range(1, 9))
    world.commit(9, 10)
    world.turn()
    assert world.seqs == list(range(1, 11))


def test_one_goes_on_after_its_position(world: World) -> None:
    world.commit(1, 2, 3)
    world.hook(seq=2)
    world.turn()
    assert world.seqs == [3]


def test_what_is_not_taken_is_sent_again_and_nothing_overtakes_it(world: World) -> None:
    world.outcomes = [FAILED] * 3
    world.commit(1, 2)
    world.hook()
    world.turn(60)
    assert world.seqs == [1, 1, 1, 1, 2]
    assert len({headers["webhook-id"] for _, headers, _ in world.sent}) == 2
    assert len({orjson.dumps(told) for _, _, told in world.sent}) == 2


def test_each_time_it_waits_longer(world: World) -> None:
    world.outcomes = [FAILED] * 12
    world.commit(1)
    world.hook()
    world.turn(3000)
    times = [at for at, _, _ in world.sent]
    waits = [later - at for at, later in pairwise(times)]
    for count, wait in enumerate(waits):
        delay = min(2**count, LONGEST_DELAY)
        assert delay <= wait <= 1.26 * delay


def test_it_waits_as_long_as_it_is_asked_to(world: World) -> None:
    world.outcomes = [Outcome("HTTP 503", 100)]
    world.commit(1)
    world.hook()
    world.turn(99)
    assert len(world.sent) == 1
    world.turn(30)
    assert len(world.sent) == 2


def test_an_attempt_has_the_time_of_its_own(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.time", lambda: 1000 + world.loop.time())
    world.outcomes = [FAILED] * 4
    world.commit(1)
    world.hook()
    world.turn(100)
    stamps = [int(headers["webhook-timestamp"]) for _, headers, _ in world.sent]
    assert stamps == sorted(stamps) and stamps[-1] - stamps[0] >= 15


def test_what_it_has_not_asked_for_is_passed_over(world: World) -> None:
    world.hook(entities=("task",))
    world.commit(1)
    world.commit(2, entity=LINK)
    world.commit(3)
    world.turn()
    assert world.seqs == [1, 3]
    assert world.delivery.lag()["changes"] == 0
    assert world.notes[-1] == {1: 3}


def test_a_gap_is_told_once_in_its_place(world: World) -> None:
    world.commit(*range(1, 8))
    world.horizon = 5
    world.outcomes = [FAILED]
    world.hook(seq=2)
    world.turn(10)
    assert [told["type"] for _, _, told in world.sent] == ["gap", "gap", "task.add", "task.add"]
    first, again = (told["data"] for _, _, told in world.sent[:2])
    assert first == again == {"project": "p1", "from": 3, "to": 5}
    assert world.seqs[2:] == [6, 7]


@pytest.mark.parametrize("left, alike", [(1, True), (0, False)])
def test_a_gap_that_comes_again_is_the_same_message_or_has_another_id(
    world: World, monkeypatch: pytest.MonkeyPatch, left: int, alike: bool
) -> None:
    monkeypatch.setattr("time.time_ns", lambda: int(world.loop.time() * 1e9))
    world.commit(*range(1, 6 + left))
    world.horizon = 5
    world.outcomes = [FAILED] * 2
    world.hook(seq=2)
    world.delivery.committed(1, 5)
    world.turn(0.5)
    world.task.cancel()
    world.turn(10)
    # After a crash.
    world.hook(seq=2)
    world.delivery.committed(1, 5)
    world.turn(0.5)
    (_, first, told), (_, again, retold) = world.sent[:2]
    assert (first["webhook-id"] == again["webhook-id"]) is (told == retold) is alike


def test_what_is_forgotten_meanwhile_is_a_gap_too(world: World) -> None:
    world.outcomes = [FAILED] * 4
    world.commit(*range(1, 10))
    world.hook()
    world.turn(1)
    world.horizon = 7
    world.turn(100)
    told = [told["data"] for _, _, told in world.sent[4:]]
    # What had been read before is sent all the same.
    assert [each.get("seq") for each in told] == [1, 2, 3, None, 8, 9]
    assert told[3] == {"project": "p1", "from": 4, "to": 7}


def test_projects_take_turns(world: World) -> None:
    world.journals = {1: [], 2: []}
    world.commit(*range(1, 9), project=1)
    world.commit(1, 2, project=2)
    world.hook()
    world.turn()
    projects = [told["data"]["project"] for _, _, told in world.sent]
    assert projects == ["p1"] * 3 + ["p2"] * 2 + ["p1"] * 5


class TestNotes:
    def test_it_notes_when_all_is_sent(self, world: World) -> None:
        world.hook()
        world.commit(1, 2)
        world.turn()
        assert world.notes[-1] == {1: 2}
        count = len(world.notes)
        world.turn(100)
        assert len(world.notes) == count

    def test_it_notes_what_was_taken_before_one_that_is_not(self, world: World) -> None:
        world.outcomes = [Outcome(), FAILED, FAILED]
        world.commit(1, 2)
        world.hook()
        world.turn(0.5)
        assert world.notes[-1] == {1: 1}

    def test_what_is_committed_while_it_notes_is_sent(self, world: World) -> None:
        world.hook()
        world.noting = lambda: world.seqs == [1, 2] and world.commit(3)
        world.commit(1, 2)
        world.turn()
        assert world.seqs == [1, 2, 3]

    def test_a_gap_that_was_told_is_not_told_again_after_a_crash(self, world: World) -> None:
        world.commit(*range(1, 8))
        world.horizon = 5
        world.outcomes = [Outcome(), *[FAILED] * 3]
        world.hook(seq=2)
        world.turn(1)
        assert world.notes[-1] == {1: 5}

    def test_at_the_end_it_notes_what_was_taken(self, world: World) -> None:
        world.commit(1, 2, 3)
        world.outcomes = [Outcome(), Outcome(), *[FAILED] * 9]
        delivery = world.hook()
        world.turn(1)
        world.task.cancel()
        world.turn()
        world.loop.run_until_complete(delivery.note())
        assert world.notes[-1] == {1: 2}


class TestProjects:
    def test_of_one_that_is_added_all_is_sent(self, world: World) -> None:
        delivery = world.hook()
        world.journals[2] = []
        delivery.added(2, "house", 0, 0)
        world.commit(1, project=2)
        world.turn()
        assert [told["data"]["project"] for _, _, told in world.sent] == ["house"]

    def test_one_that_it_does_not_hear_of_is_not(self, world: World) -> None:
        delivery = world.hook(projects=("bridge",))
        world.journals[2] = []
        delivery.added(2, "house", 0, 0)
        world.commit(1, project=2)
        world.turn()
        assert world.sent == []

    def test_of_one_that_is_deleted_nothing_more_is_sent(self, world: World) -> None:
        world.outcomes = [FAILED]
        world.commit(1, 2)
        delivery = world.hook()
        world.turn(0.5)
        delivery.removed(1)
        world.turn(100)
        assert world.seqs == [1]

    def test_one_that_is_deleted_holds_up_no_other(self, world: World) -> None:
        world.journals = {1: [], 2: []}
        world.outcomes = [FAILED] * 7
        delivery = world.hook()
        world.commit(1, 2)
        world.turn(80)
        world.commit(1, project=2)
        assert (set(world.seqs), delivery.lag()["failures"]) == ({1}, 7)
        delivery.removed(1)
        # At once, not when it would have been sent again.
        world.turn()
        assert [told["data"]["project"] for _, _, told in world.sent[7:]] == ["p2"]
        lag = delivery.lag()
        assert (lag["changes"], lag["failures"], lag["seconds"], lag["error"]) == (0, 0, 0, "")

    def test_while_another_is_deleted_it_waits_as_long_as_before(self, world: World) -> None:
        world.journals = {1: [], 2: []}
        world.outcomes = [Outcome("HTTP 503", 100)]
        delivery = world.hook()
        world.commit(1)
        world.turn(50)
        delivery.removed(2)
        world.turn(49)
        assert world.seqs == [1]
        world.turn(30)
        assert world.seqs == [1, 1]

    def test_one_that_is_taken_back_meanwhile_goes_on_where_it_was(self, world: World) -> None:
        world.outcomes = [Outcome(), Outcome("HTTP 503", 50)]
        delivery = world.hook()
        world.commit(1, 2, 3)
        world.turn(10)
        assert world.notes[-1] == {1: 1}
        delivery.removed(1)
        delivery.added(1, "p1", 1, 3)
        world.turn(100)
        assert world.seqs == [1, 2, 2, 3]


class TestLag:
    def test_nothing_is_behind(self, world: World) -> None:
        delivery = world.hook()
        world.commit(1)
        world.turn()
        assert delivery.lag() == {
            **{"number": 2, "url": "https://hooks.example", "changes": 0, "seconds": 0.0},
            **{"failures": 0, "error": ""},
        }

    def test_it_says_how_far_it_is_behind_and_why(
        self, world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr("time.monotonic", world.loop.time)
        world.outcomes = [FAILED] * 4
        delivery = world.hook()
        world.commit(1, 2, 3)
        world.turn(10)
        lag = delivery.lag()
        assert (lag["changes"], lag["failures"], lag["error"]) == (3, 4, "HTTP 500")
        assert 9 < lag["seconds"] <= 10
        world.turn(20)
        assert delivery.lag()["failures"] == delivery.lag()["seconds"] == 0
        assert caplog.text.count("does not take a message: HTTP 500") == 1
        assert "the webhook 2 (https://hooks.example) takes messages again" in caplog.text
        assert "private" not in caplog.text


def test_a_journal_that_cannot_be_read_is_read_again(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    read: Callable[[int, int], Any] = world.read

    async def fail_once(project: int, seq: int) -> Missed:
        world.read = read  # type: ignore[method-assign]
        delivery._read = read
        raise OSError("a disk")

    world.read = fail_once  # type: ignore[method-assign]
    delivery = world.hook()
    world.commit(1)
    world.turn(5)
    assert world.seqs == [1]

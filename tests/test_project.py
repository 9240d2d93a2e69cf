"""One plan, as an embedding application holds it."""

import asyncio
import html
import threading
from contextlib import asynccontextmanager
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

import orjson
import pytest

from gantt_tornado import Backend, BatchRow, GanttError
from gantt_tornado.errors import BadRequest, Conflict, NotFound, Unavailable
from gantt_tornado.live import delayed
from gantt_tornado.live.resend import Resend
from gantt_tornado.model.entities import ENTITIES, Entity
from gantt_tornado.model.marks import Position
from gantt_tornado.store import writer
from tests.live.test_hub import Page
from tests.support import most_in_a_turn, number_of

pytestmark = pytest.mark.gen_test

DATES = {"start_date": "2030-01-07 00:00", "duration": 2}


@pytest.fixture
def settings(tmp_path):
    """A file here: some of these tests start a second backend where the first has ended."""
    return {"database": f"sqlite:///{tmp_path}/gantt.db"}


async def tasks(backend, *texts, **fields):
    rows = [await backend.insert("task", {"text": text, **DATES, **fields}) for text in texts]
    return [row.id for row in rows]


def order(backend):
    return [task["text"] for task in backend.load()["tasks"]]


class TestText:
    """Here it is to the letter, whatever the clients are told."""

    LETTERS = "if x<y then R&D &copy; &lt;"

    async def test_what_goes_in_comes_out(self, backend):
        outcome = await backend.insert("task", {**DATES, "text": self.LETTERS, "a": [self.LETTERS]})
        loaded = backend.load()["tasks"]
        for item in (orjson.loads(outcome.item), backend.item("task", outcome.id), *loaded):
            assert (item["text"], item["a"]) == (self.LETTERS, [self.LETTERS])

    async def test_an_update_and_an_undo(self, backend):
        (a,) = await tasks(backend, "Dig")
        outcome = await backend.update("task", a, {"text": self.LETTERS})
        assert orjson.loads(outcome.item)["text"] == self.LETTERS
        await backend.delete("task", a)
        outcome = await backend.undo(backend.default.plan.seq)
        assert orjson.loads(outcome.item)["text"] == self.LETTERS

    async def test_callbacks_and_the_history(self, backend):
        heard = []
        backend.on_change(heard.append)
        await tasks(backend, self.LETTERS)
        await asyncio.sleep(0)
        (line,) = await backend.history()
        for change in (*heard, line):
            assert change.fields["text"][1] == self.LETTERS
        assert orjson.loads(heard[0].item)["text"] == self.LETTERS

    async def test_what_clients_are_told_is_no_letter_to_a_program(self, backend):
        (a,) = await tasks(backend, "a &lt; b")
        assert backend.item("task", a)["text"] == "a &lt; b"
        assert b"a &amp;lt; b" in b"".join(backend.default.plan.load())

    @pytest.mark.parametrize("value", ["\ud800", ["a\udfff"], {"a": "\ud800"}])
    async def test_half_a_character_is_refused(self, backend, value):
        with pytest.raises(BadRequest, match="character"):
            await backend.insert("task", {**DATES, "note": value})

    @pytest.mark.parametrize("before, after", [("clean", "text"), ("text", "clean")])
    async def test_a_plan_that_was_kept_otherwise_is_drawn_as_before(
        self, gantt_config, before, after
    ):
        def configured(kept):
            return Backend(gantt_config.model_copy(update={"html": kept}))

        one = configured(before)
        await one.start()
        (a,) = await tasks(one, "a < b & c")
        drawn = html.unescape(orjson.loads(one.default.plan.item(ENTITIES["task"], a))["text"])
        await one.close()
        two = configured(after)
        await two.start()
        assert (
            html.unescape(orjson.loads(two.default.plan.item(ENTITIES["task"], a))["text"]) == drawn
        )
        expected = {"text": "a < b & c", "clean": "a &lt; b &amp; c"}[after]
        assert two.item("task", a)["text"] == expected
        assert [line.fields["text"][1] for line in await two.history()] == [expected]
        await two.close()


class TestWrites:
    async def test_what_was_inserted_can_be_read(self, backend):
        (a,) = await tasks(backend, "Dig")
        assert backend.item("task", a)["text"] == "Dig"
        assert backend.load()["tasks"] == [backend.item("task", a)]

    async def test_what_a_long_batch_was_refused_is_noted_in_steps(self, backend, monkeypatch):
        monkeypatch.setattr(writer, "LONGEST_TURN", 0)
        (a,) = await tasks(backend, "Dig")
        most = most_in_a_turn(monkeypatch, Resend, "refused")
        await backend.batch("task", [BatchRow("", str(a), {})] * 10)
        assert most() == 1

    async def left(self, backend, monkeypatch):
        """A task that is left by a branch, and another; the branch; how often in one turn."""
        monkeypatch.setattr(writer, "LONGEST_TURN", 0)
        monkeypatch.setattr(delayed, "LONGEST", 0)
        parent, other = await tasks(backend, "Old", "Other")
        (branch,) = await tasks(backend, "Branch", parent=parent)
        below = await tasks(backend, *"abcde", parent=branch)
        await backend.update("task", branch, {"parent": 0})
        return parent, other, [branch, *below], most_in_a_turn(monkeypatch, Resend, "touch")

    async def all_due(self, backend, branch):
        while not all(id in backend.default._resend._due for id in branch):
            await asyncio.sleep(0)

    async def test_what_went_with_a_task_that_a_branch_had_left_is_gathered_in_steps(
        self, backend, monkeypatch
    ):
        parent, _, branch, most = await self.left(backend, monkeypatch)
        await backend.delete("task", parent)
        await self.all_due(backend, branch)
        assert most() < len(branch)

    async def test_what_a_refused_move_may_have_taken_along_is_gathered_in_steps(
        self, backend, monkeypatch
    ):
        parent, other, branch, most = await self.left(backend, monkeypatch)
        await backend.delete("task", parent)
        backend.default._resend._due._due.clear()
        with pytest.raises(BadRequest):
            await backend.update("task", other, {"parent": parent, "progress": "x"})
        await self.all_due(backend, branch)
        assert most() < len(branch)

    async def test_what_a_batch_was_refused_is_noted_before_it_is_answered(
        self, backend, monkeypatch
    ):
        monkeypatch.setattr(writer, "LONGEST_TURN", 0)
        rows = [BatchRow("", str(id), {}) for id in await tasks(backend, "Dig", "Lay", "Fill")]
        noted = []
        monkeypatch.setattr(Resend, "refused", lambda _, kind, id, *rest: noted.append(id))
        await backend.batch("task", rows)
        assert noted == [int(row.id) for row in rows]

    @pytest.mark.parametrize(
        "fields", [{"text": "a" * 40_000}, {"list": [1] * 600}, {f"k{n}": 1 for n in range(600)}]
    )
    async def test_the_loop_does_not_read_large_fields(self, backend, monkeypatch, fields):
        threads, read = [], Entity.read

        def noting(self, *args):
            threads.append(threading.current_thread())
            return read(self, *args)

        monkeypatch.setattr(Entity, "read", noting)
        (a,) = await tasks(backend, "Dig", **fields)
        await backend.update("task", a, fields)
        assert threading.main_thread() not in threads
        await backend.update("task", a, {"text": "Dig"})
        assert threads[-1] is threading.main_thread()

    async def test_an_update(self, backend):
        (a,) = await tasks(backend, "Dig")
        await backend.update("task", a, {"text": "Dig deep"})
        assert backend.item("task", a)["text"] == "Dig deep"

    async def test_a_delete(self, backend):
        (a,) = await tasks(backend, "Dig")
        await backend.delete("task", a)
        with pytest.raises(NotFound):
            backend.item("task", a)

    async def test_a_delete_of_what_is_gone_is_no_error(self, backend):
        outcome = await backend.delete("task", 99)
        assert outcome.changes == ()

    async def test_pages_are_told(self, backend, listen):
        socket = await listen("tasks")
        (a,) = await tasks(backend, "Dig")
        assert (await socket.value("add-task"))["task"]["id"] == a

    @pytest.mark.parametrize(
        "fields, error",
        [({"text": "no dates"}, BadRequest), ({**DATES, "parent": 99}, Conflict)],
    )
    async def test_a_refusal_is_raised(self, backend, fields, error):
        with pytest.raises(error) as raised:
            await backend.insert("task", fields)
        assert isinstance(raised.value, GanttError) and raised.value.message

    @pytest.mark.parametrize("id", [99, 0, -1, 2**63])
    async def test_an_update_of_nothing_is_raised(self, backend, id):
        with pytest.raises(NotFound):
            await backend.update("task", id, {"text": "x"})

    @pytest.mark.parametrize("entity", ["nonsense", "tasks", "", "Task"])
    async def test_an_unknown_entity_is_raised(self, backend, entity):
        with pytest.raises(NotFound):
            await backend.insert(entity, {})
        with pytest.raises(NotFound):
            backend.item(entity, 1)

    async def test_a_write_after_the_end_is_refused(self, backend):
        await backend.close()
        with pytest.raises(Unavailable):
            await tasks(backend, "Dig")

    async def test_a_caller_who_gives_up_does_not_undo_the_write(self, backend, held):
        with held():
            adding = asyncio.ensure_future(tasks(backend, "Dig"))
            await asyncio.sleep(0)
            adding.cancel()
        await tasks(backend, "Build")
        assert order(backend) == ["Dig", "Build"]

    async def test_many_at_once_are_all_kept(self, backend):
        await asyncio.gather(*[tasks(backend, str(number)) for number in range(200)])
        assert order(backend) == [str(number) for number in range(200)]


class Trade(StrEnum):
    mason = "mason"


class TestValuesOfPython:
    """Fields come as a program has them, not only as JSON."""

    async def test_dates_are_taken_as_objects(self, backend):
        dates = {"start_date": datetime(2030, 1, 7, 8), "end_date": date(2030, 1, 9)}
        task = (await backend.insert("task", {"text": "Dig", **dates})).id
        item = backend.item("task", task)
        assert item["start_date"] == "2030-01-07 08:00"
        assert (item["end_date"], item["duration"]) == ("2030-01-09 00:00", 2)

    async def test_a_date_object_is_the_same_as_its_text(self, backend):
        (a,) = await tasks(backend, "a")
        outcome = await backend.update("task", a, {"start_date": date(2030, 1, 7)})
        assert outcome.changes == ()

    async def test_decimals_are_numbers(self, backend):
        numbers = {"progress": Decimal("0.5"), "cost": Decimal("12.50"), "duration": Decimal(3)}
        (a,) = await tasks(backend, "a", **numbers)
        item = backend.item("task", a)
        assert (item["progress"], item["cost"], item["duration"]) == (0.5, 12.5, 3)

    async def test_custom_fields_have_them_too(self, backend):
        mine = {"deadline": date(2030, 2, 1), "trade": Trade.mason, "marks": (1, Decimal("0.5"))}
        (a,) = await tasks(backend, Decimal(7), **mine)
        item = backend.item("task", a)
        assert (item["text"], item["deadline"]) == ("7", "2030-02-01 00:00")
        assert (item["trade"], item["marks"]) == ("mason", [1, 0.5])

    @pytest.mark.parametrize("value", [b"x", {1}, object(), float("nan"), [{1}]])
    @pytest.mark.parametrize("field", ["text", "progress", "start_date", "parent", "mine"])
    async def test_what_is_no_json_is_refused_by_its_field(self, backend, field, value):
        (a,) = await tasks(backend, "a")
        with pytest.raises(BadRequest, match=field):
            await backend.insert("task", {**DATES, field: value})
        with pytest.raises(BadRequest, match=field):
            await backend.update("task", a, {field: value})

    @pytest.mark.parametrize("name", [1, None, b"x", ("a",), "\ud800"])
    async def test_a_field_is_called_by_a_text(self, backend, name):
        (a,) = await tasks(backend, "a")
        with pytest.raises(BadRequest, match="field"):
            await backend.insert("task", {**DATES, name: 1})
        with pytest.raises(BadRequest, match="field"):
            await backend.update("task", a, {name: 1})


class TestMoves:
    async def test_above_a_row(self, backend):
        a, _, c = await tasks(backend, "a", "b", "c")
        await backend.move(c, before=a)
        assert order(backend) == ["c", "a", "b"]

    async def test_below_a_row(self, backend):
        a, _, c = await tasks(backend, "a", "b", "c")
        await backend.move(c, after=a)
        assert order(backend) == ["a", "c", "b"]

    async def test_to_another_branch(self, backend):
        a, b = await tasks(backend, "a", "b")
        await backend.move(a, parent=b)
        assert order(backend) == ["b", "a"]
        assert backend.item("task", a)["parent"] == b

    async def test_beside_a_row_of_another_branch(self, backend):
        a, b = await tasks(backend, "a", "b")
        (c,) = await tasks(backend, "c", parent=b)
        await backend.move(a, before=c)
        assert order(backend) == ["b", "a", "c"]

    async def test_to_the_top(self, backend):
        (a,) = await tasks(backend, "a")
        (b,) = await tasks(backend, "b", parent=a)
        await backend.move(b, parent=0)
        assert backend.item("task", b)["parent"] == 0

    async def test_the_same_move_twice(self, backend):
        a, b = await tasks(backend, "a", "b")
        await backend.move(b, before=a)
        await backend.move(a, before=b)
        await backend.move(b, before=a)
        assert order(backend) == ["b", "a"]

    async def test_below_itself_is_refused(self, backend):
        (a,) = await tasks(backend, "a")
        with pytest.raises(Conflict):
            await backend.move(a, parent=a)

    @pytest.mark.parametrize("where", [{"before": 99}, {"after": 99}])
    async def test_beside_nothing_is_refused(self, backend, where):
        (a,) = await tasks(backend, "a")
        with pytest.raises(NotFound):
            await backend.move(a, **where)

    async def test_between_two_rows(self, backend):
        a, _, c, d = await tasks(backend, "a", "b", "c", "d")
        await backend.move(a, after=c, before=d)
        assert order(backend) == ["b", "c", "a", "d"]

    async def test_between_the_two_rows_where_it_stands(self, backend):
        a, b, c = await tasks(backend, "a", "b", "c")
        await backend.move(b, after=a, before=c)
        assert order(backend) == ["a", "b", "c"]

    async def test_between_two_rows_that_do_not_adjoin_is_refused(self, backend):
        a, b, c, d = await tasks(backend, "a", "b", "c", "d")
        (e,) = await tasks(backend, "e", parent=c)
        seq = backend.default.plan.seq
        for after, before in ((a, c), (b, a), (c, e), (e, d), (b, b)):
            with pytest.raises(BadRequest, match=f"below {after} and above {before}"):
                await backend.move(d if d != before else a, after=after, before=before)
        assert backend.default.plan.seq == seq

    async def test_to_a_parent_that_is_not_the_neighbours_is_refused(self, backend):
        a, b = await tasks(backend, "a", "b")
        (c,) = await tasks(backend, "c", parent=b)
        for where in ({"before": c}, {"after": c}):
            with pytest.raises(BadRequest, match="the neighbour's"):
                await backend.move(a, parent=0, **where)
        await backend.move(a, parent=b, before=c)
        assert order(backend) == ["b", "a", "c"]

    async def test_beside_itself_is_refused(self, backend):
        (a,) = await tasks(backend, "a")
        for where in ({"before": a}, {"after": a}):
            with pytest.raises(BadRequest, match="itself"):
                await backend.move(a, **where)

    async def test_to_nowhere_is_refused(self, backend):
        (a,) = await tasks(backend, "a")
        with pytest.raises(BadRequest, match="place"):
            await backend.move(a)

    @pytest.mark.parametrize("where", [{"before": 0}, {"after": 0}])
    async def test_no_row_is_called_0(self, backend, where):
        (a,) = await tasks(backend, "a")
        with pytest.raises(NotFound):
            await backend.move(a, **where)

    async def test_a_missing_row_is_refused(self, backend):
        with pytest.raises(NotFound):
            await backend.move(99, parent=0)


class TestPublish:
    async def test_a_custom_action_reaches_its_subscribers(self, backend, listen):
        socket = await listen("resources-of-mine")
        value = {"type": "custom-action", "payload": [1, {"a": None}]}
        backend.publish("resources-of-mine", value)
        assert await socket.event() == {"name": "resources-of-mine", "value": value}

    async def test_it_reaches_nobody_else(self, backend, listen):
        socket = await listen("tasks")
        backend.publish("news", 1)
        await socket.quiet()

    async def test_it_may_go_to_a_channel_of_ours(self, backend, listen):
        socket = await listen("tasks")
        backend.publish("tasks", {"type": "custom-action"})
        await socket.event("custom-action")

    @pytest.mark.parametrize("value", [{1, 2}, object(), {"a": {1}}, 2**70])
    async def test_what_is_no_json_is_refused(self, backend, value):
        with pytest.raises(BadRequest, match="news"):
            backend.publish("news", value)

    async def test_every_one_of_many_is_told_in_order(self, backend, listen):
        socket = await listen("news")
        for number in range(100):
            backend.publish("news", number)
        assert [await socket.value() for _ in range(100)] == list(range(100))

    async def test_without_a_listener_it_is_no_error(self, backend):
        backend.publish("news", 1)


class TestPublishBehindWrites:
    async def test_what_is_published_after_a_write_comes_behind_it(self, backend, listen):
        socket = await listen("tasks", "news")
        for number in range(20):
            await tasks(backend, str(number))
            backend.publish("news", number)
        names = [(await socket.event())["name"] for _ in range(40)]
        assert names == ["tasks", "news"] * 20

    async def test_what_a_callback_publishes_comes_behind_its_change(
        self, backend, listen, held, monkeypatch
    ):
        monkeypatch.setattr(writer, "BATCH", 1)
        backend.on_change(lambda change: backend.publish("news", change.seq))
        socket = await listen("tasks", "news")
        with held():
            adding = [asyncio.ensure_future(tasks(backend, text)) for text in "abc"]
            await asyncio.sleep(0)
            done = threading.Event()
            backend._writer.submit(done.set)
        # The loop stands still meanwhile, so it takes all of them over in one turn.
        done.wait(10)
        await asyncio.gather(*adding)
        names = [(await socket.event())["name"] for _ in range(6)]
        assert names == ["tasks", "news"] * 3

    async def test_what_is_published_while_nothing_is_written_is_told_at_once(self, backend):
        page = Page()
        backend.default.hub.subscribe(page, "news")
        backend.publish("news", 1)
        assert page.had == [1]


class TestOnChange:
    async def test_a_callback_has_run_before_the_write_returns(self, backend):
        seen = []
        backend.on_change(lambda change: seen.append(change.seq))
        for count in range(1, 21):
            await tasks(backend, "a")
            assert seen == list(range(1, count + 1))

    async def test_it_finds_the_change_in_the_plan(self, backend):
        seen = []
        backend.on_change(lambda change: seen.append(backend.item("task", change.id)["text"]))
        await tasks(backend, "a", "b")
        assert seen == ["a", "b"]

    async def test_no_write_waits_for_an_async_one(self, backend):
        gate, seen = asyncio.Event(), []

        async def late(change):
            await gate.wait()
            seen.append(change.seq)

        backend.on_change(late)
        await tasks(backend, "a", "b", "c")
        assert seen == []
        gate.set()
        await backend.close()
        assert seen == [1, 2, 3]

    async def test_an_async_one_that_does_not_end_is_cancelled_at_the_end(self, backend):
        ended = []

        async def never(change):
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(change.seq)

        backend.default._callbacks._grace = 0
        backend.on_change(never)
        await tasks(backend, "a")
        await backend.close()
        assert ended == [1]

    async def test_an_async_one_may_write(self, backend, gantt, listen):
        async def answer(change):
            if change.action == "add":
                await backend.update("task", change.id, {"text": "B"})

        backend.on_change(answer)
        socket = await listen("tasks")
        await gantt.add("task", text="A")
        await socket.event("add-task")
        assert (await socket.value("update-task"))["task"]["text"] == "B"

    async def test_changes_come_in_the_order_of_commits(self, backend):
        seen = []
        backend.on_change(lambda change: seen.append(change.seq))
        await asyncio.gather(*[tasks(backend, "a") for _ in range(20)])
        await asyncio.sleep(0)
        assert seen == list(range(1, 21))

    async def test_a_change_says_who_did_what(self, backend, colleague):
        seen = []
        backend.on_change(seen.append)
        task = await colleague.add("task", text="Dig")
        (change,) = seen
        assert (change.action, change.entity.name, change.id) == ("add", "task", task["id"])
        assert (change.author.user, change.seq) == ("Carl", task["_rev"])

    async def test_each_part_of_a_cascade_is_a_change(self, backend):
        (a,) = await tasks(backend, "a")
        (b,) = await tasks(backend, "b", parent=a)
        await asyncio.sleep(0)
        seen = []
        backend.on_change(lambda change: seen.append((change.action, change.id)))
        await backend.delete("task", a)
        await asyncio.sleep(0)
        assert seen == [("delete", b), ("delete", a)]

    async def test_a_refused_write_is_no_change(self, backend):
        seen = []
        backend.on_change(seen.append)
        with pytest.raises(BadRequest):
            await backend.insert("task", {})
        assert not seen

    async def test_a_callback_that_raises_harms_nobody(self, backend, gantt, listen, logged_errors):
        seen = []
        backend.on_change(lambda change: 1 / 0)
        backend.on_change(seen.append)
        socket = await listen("tasks")
        await gantt.add("task")
        await socket.event("add-task")
        assert len(seen) == 1

    async def test_it_can_be_ended(self, backend):
        seen = []
        end = backend.on_change(seen.append)
        end()
        await tasks(backend, "a")
        await asyncio.sleep(0)
        assert not seen

    async def test_one_that_ends_itself_does_not_hide_the_change_from_the_next(self, backend):
        seen = []
        end = backend.on_change(lambda change: end())
        backend.on_change(seen.append)
        await tasks(backend, "a")
        await asyncio.sleep(0)
        assert len(seen) == 1

    async def test_two_of_the_same_are_ended_one_by_one(self, backend):
        seen = []
        first = backend.on_change(seen.append)
        backend.on_change(seen.append)
        first()
        await tasks(backend, "a")
        await asyncio.sleep(0)
        assert len(seen) == 1

    async def test_a_callback_may_write(self, backend, listen):
        socket = await listen("tasks")
        loop = asyncio.get_running_loop()
        writes = []

        def answer(change):
            if change.action == "add":
                writes.append(loop.create_task(backend.update("task", change.id, {"text": "B"})))

        backend.on_change(answer)
        await tasks(backend, "a")
        assert (await socket.value("add-task"))["task"]["text"] == "a"
        assert (await socket.value("update-task"))["task"]["text"] == "B"

    async def test_a_callback_may_publish(self, backend, gantt, listen):
        backend.on_change(lambda change: backend.publish("news", change.seq))
        socket = await listen("news")
        await gantt.add("task")
        assert await socket.value() == 1


@pytest.fixture
def fails(monkeypatch, logged_errors):
    """Have a method raise once: the next time that it is called, or the ``at``-th."""

    def fails(owner, name, *, behind=False, at=1):
        whole = getattr(owner, name)
        calls = []

        def once(*args):
            calls.append(args)
            if len(calls) < at:
                return whole(*args)
            monkeypatch.setattr(owner, name, whole)
            if behind:
                whole(*args)
            raise RuntimeError("once")

        monkeypatch.setattr(owner, name, once)

    return fails


@pytest.fixture
def page(backend):
    return listening(backend)


def listening(backend):
    """A page that listens to tasks and links, and an event whenever it is sent something."""
    page = Page()
    page.told = asyncio.Event()
    page.sent = page.told.set
    backend.default.hub.subscribe(page, "tasks")
    backend.default.hub.subscribe(page, "links")
    return page


class TestWhatCannotBeTold:
    """Something fails between a commit and its telling: the plan is read again."""

    PLACES = (
        "plan.apply",
        "plan._apply_ordered",
        "behind plan.apply",
        "_events",
        "hub.publish",
        "_resend.written",
    )

    @pytest.fixture(params=PLACES)
    def fault(self, request, backend, fails):
        path = request.param.removeprefix("behind ").split(".")
        owner = getattr(backend.default, path[0]) if len(path) == 2 else backend.default
        return lambda: fails(owner, path[-1], behind="behind" in request.param)

    async def test_the_plan_has_it_all_the_same(self, backend, page, fault):
        a, b = await tasks(backend, "a", "b")
        fault()
        await backend.update("task", a, {"text": "A"})
        await told(page, "reload")
        assert order(backend) == ["A", "b"]
        assert number_of(backend.load()["seq"]) == 3
        await backend.delete("task", b)
        assert order(backend) == ["A"]

    async def test_every_page_is_told_to_load_again_once(self, backend, page, fault):
        await tasks(backend, "a")
        fault()
        await tasks(backend, "b")
        await told(page, "reload")
        await tasks(backend, "c")
        await told(page, "add-task", seq=3)
        reloads = [value for value in page.had if value["type"] == "reload"]
        # Once on each channel.
        assert [number_of(each["seq"]) for each in reloads] == [2] * 2

    async def test_what_is_written_meanwhile_is_told_behind_it_or_in_it(self, backend, page, fault):
        fault()
        await asyncio.gather(*[tasks(backend, str(number)) for number in range(300)])
        await told(page, "reload")
        await tasks(backend, "last")
        await told(page, "add-task", seq=301)
        kinds = [value["type"] for value in page.had]
        assert "reload" in kinds
        behind = page.had[len(kinds) - kinds[::-1].index("reload") :]
        reloads = [value for value in page.had if value["type"] == "reload"]
        reached = max(number_of(value["seq"]) for value in reloads)
        added = [value["task"]["id"] for value in behind if value["type"] == "add-task"]
        assert added == list(range(reached + 1, 302))
        assert len(order(backend)) == 301

    async def test_what_went_well_before_is_told(self, backend, page, fails, held):
        with held():
            adding = [asyncio.ensure_future(tasks(backend, text)) for text in "abc"]
            await asyncio.sleep(0)
        fails(backend.default, "_events", at=2)
        await asyncio.gather(*adding)
        await told(page, "reload")
        assert [value["type"] for value in page.had] == ["add-task", "reload", "reload"]

    async def test_callbacks_hear_of_each_change_once(self, backend, page, fault):
        seen = []
        backend.on_change(lambda change: seen.append(change.seq))
        fault()
        await tasks(backend, "a", "b", "c")
        await told(page, "reload")
        await tasks(backend, "d")
        assert seen == [1, 2, 3, 4]

    @pytest.fixture
    def stale(self, backend, fails, held, monkeypatch):
        """Inside ``async with stale(one, other):`` two writes were committed, the first could not
        be told, and the plan is not yet read again."""

        @asynccontextmanager
        async def stale(*writes):
            monkeypatch.setattr(writer, "BATCH", 1)
            fails(backend.default.plan, "_apply_ordered")
            writes = [asyncio.ensure_future(write) for write in writes]
            await asyncio.sleep(0)
            with held():
                await asyncio.gather(*writes)
                yield

        return stale

    async def test_nothing_is_told_until_then(self, backend, page, stale):
        backend.default._resend._due._delay = 0
        async with stale(tasks(backend, "a")):
            adding = asyncio.ensure_future(tasks(backend, "b"))
            backend.default._resend.touch(ENTITIES["task"], 1, "", disputed=True)
            for _ in range(20):
                await asyncio.sleep(0)
            assert page.had == []
        await adding
        await told(page, "reload")
        assert (page.had[0]["type"], number_of(page.had[0]["seq"])) == ("reload", 1)

    async def test_a_load_until_then_leads_to_what_it_lacks(self, backend, stale):
        (a,) = await tasks(backend, "a")
        async with stale(backend.update("task", a, {"text": "A"})):
            since = backend.default.plan.number(Position.read(backend.load()["seq"]))
        await backend.history()
        page = Page(since)
        backend.default.hub.subscribe(page, "tasks")
        assert [value["type"] for value in page.had] == ["add-task", "update-task", "move-task"]
        assert page.had[0]["task"]["text"] == "A"

    async def test_who_comes_until_then_is_told_too(self, backend, stale):
        page = listening(backend)
        async with stale(tasks(backend, "a")):
            late = listening(backend)
        await told(page, "reload")
        await told(late, "reload")

    async def test_no_write_of_that_time_is_applied_before(self, backend, stale, page):
        async with stale(tasks(backend, "a"), tasks(backend, "b")):
            assert (number_of(backend.load()["seq"]), page.had) == (0, [])
        await told(page, "reload")
        await tasks(backend, "c")
        await told(page, "add-task", seq=3)
        assert order(backend) == ["a", "b", "c"]

    async def test_a_store_that_fails_too_is_asked_again(self, backend, page, fails, monkeypatch):
        monkeypatch.setattr("gantt_tornado.project.REREAD_EVERY", 0)
        fails(backend.default.plan, "apply")
        fails(backend.default._store, "rows")
        await tasks(backend, "a")
        await told(page, "reload")
        assert order(backend) == ["a"]

    async def test_the_end_does_not_wait_for_it(self, backend, fails, monkeypatch):
        monkeypatch.setattr("gantt_tornado.project.REREAD_EVERY", 3600)
        fails(backend.default.plan, "apply")
        fails(backend.default._store, "rows")
        await tasks(backend, "a")
        await backend.close()
        assert backend.default._rereading.done()

    async def test_a_page_that_asks_for_what_it_missed_can_go_on(
        self, backend, gantt, listen, fails
    ):
        socket = await listen("tasks", since=0)
        fails(backend.default.plan, "apply")
        await gantt.add("task", text="a")
        assert number_of((await socket.value("reload"))["seq"]) == 1
        await gantt.add("task", text="b")
        assert (await socket.value("add-task"))["task"]["text"] == "b"
        await socket.quiet()


async def told(page, type, seq=None):
    """Wait until a page has had an event of this type, and of this revision."""

    def there():
        values = [value for value in page.had if value["type"] == type]
        return any(seq in (None, value.get("task", {}).get("_rev")) for value in values)

    while not there():
        page.told.clear()
        await asyncio.wait_for(page.told.wait(), 3)

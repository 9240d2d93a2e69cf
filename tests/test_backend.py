"""The backend, as an embedding application holds it."""

import asyncio
import html
import threading

import orjson
import pytest

from gantt_tornado import Backend, Config, GanttError, User
from gantt_tornado.auth import Role
from gantt_tornado.entities import ENTITIES, Entity
from gantt_tornado.errors import BadRequest, Conflict, NotFound, StartError, Unavailable
from tests.test_hub import Page

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
        outcome = await backend.undo(backend.plan.seq)
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
        assert b"a &amp;lt; b" in b"".join(backend.plan.load())

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
        drawn = html.unescape(orjson.loads(one.plan.item(ENTITIES["task"], a))["text"])
        await one.close()
        two = configured(after)
        await two.start()
        assert html.unescape(orjson.loads(two.plan.item(ENTITIES["task"], a))["text"]) == drawn
        expected = {"text": "a < b & c", "clean": "a &lt; b &amp; c"}[after]
        assert two.item("task", a)["text"] == expected
        assert [line.fields["text"][1] for line in await two.history()] == [expected]
        await two.close()


class TestWrites:
    async def test_what_was_inserted_can_be_read(self, backend):
        (a,) = await tasks(backend, "Dig")
        assert backend.item("task", a)["text"] == "Dig"
        assert backend.load()["tasks"] == [backend.item("task", a)]

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


class TestOnChange:
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


class TestAuthenticate:
    """The application's own sign-in decides."""

    @pytest.fixture
    def authenticate(self):
        async def who(handler):
            await asyncio.sleep(0)
            roles = {"eve": Role.editor, "vera": Role.viewer}
            name = handler.request.headers.get("Cookie", "")
            return User(name, roles[name]) if name in roles else None

        return who

    async def test_an_editor_may_write(self, gantt, listen):
        gantt.headers["Cookie"] = "eve"
        socket = await listen("tasks")
        await gantt.add("task")
        await socket.event("add-task")

    async def test_a_viewer_may_listen_and_not_write(self, gantt, listen):
        gantt.headers["Cookie"] = "vera"
        await listen("tasks")
        assert (await gantt.post("/data/task", DATES)).status == 403

    @pytest.mark.parametrize("path", ["/data", "/api/v1"])
    async def test_a_stranger_gets_nothing_whatever_the_token(self, gantt, path):
        assert (await gantt.get(path)).status == 403

    async def test_a_strangers_socket_is_closed_with_1008(self, listen):
        assert await (await listen.open()).closed() == 1008

    async def test_the_journal_has_the_applications_name(self, backend, gantt):
        seen = []
        backend.on_change(lambda change: seen.append(change.author.user))
        await gantt.having(Cookie="eve").add("task")
        assert seen == ["eve"]


class TestRestart:
    async def test_a_plan_is_as_it_was(self, backend, gantt, gantt_config):
        a, b = await tasks(backend, "a", "b")
        await backend.insert("link", {"source": a, "target": b})
        await backend.move(b, before=a)
        before = (await gantt.get()).json
        await backend.close()
        again = Backend(gantt_config)
        await again.start()
        assert again.load() == before
        await again.close()

    async def test_numbers_go_on(self, backend, gantt_config):
        (a,) = await tasks(backend, "a")
        await backend.delete("task", a)
        await backend.close()
        again = Backend(gantt_config)
        await again.start()
        (b,) = await tasks(again, "b")
        await again.close()
        assert b > a

    async def test_closing_twice_is_no_error(self, backend):
        await backend.close()
        await backend.close()

    async def test_closing_what_never_began_is_no_error(self):
        await Backend(Config(database="sqlite:///:memory:")).close()

    async def test_the_file_is_free_after_a_close(self, backend, gantt_config):
        await backend.close()
        again = Backend(gantt_config)
        await again.start()
        await again.close()

    async def test_a_file_that_is_served_is_refused(self, backend, gantt_config):
        with pytest.raises(StartError, match="another server"):
            await Backend(gantt_config).start()

    async def test_closing_what_could_not_begin_is_no_error(self, backend, gantt_config):
        other = Backend(gantt_config)
        with pytest.raises(StartError):
            await other.start()
        await other.close()

    async def test_a_refused_start_leaves_the_first_alone(self, backend, gantt, gantt_config):
        with pytest.raises(StartError):
            await Backend(gantt_config).start()
        await gantt.add("task")

    async def test_what_the_last_server_had_to_repeat_is_repeated(self, backend, gantt_config):
        """A client may have dropped the replay, with an answer of that server under way."""
        (a,) = await tasks(backend, "a")
        await backend.close()
        again = Backend(gantt_config)
        await again.start()
        page, told = Page(since=again.plan.seq), asyncio.Event()
        again.hub.subscribe(page, "tasks")
        page.sent = told.set
        await told.wait()
        await again.close()
        assert [value["type"] for value in page.had] == ["add-task", "update-task", "move-task"]
        assert page.had[0]["task"]["id"] == a


class TestDemo:
    async def test_a_new_database_has_it(self):
        backend = Backend(Config(database="sqlite:///:memory:"))
        await backend.start()
        loaded = backend.load()
        await backend.close()
        assert 18 <= len(loaded["tasks"]) <= 25 and loaded["links"]

    async def test_it_does_not_come_back(self, tmp_path):
        config = Config(database=f"sqlite:///{tmp_path}/demo.db")
        backend = Backend(config)
        await backend.start()
        for task in backend.load()["tasks"]:
            await backend.delete("task", task["id"])
        await backend.close()
        again = Backend(config)
        await again.start()
        assert again.load()["tasks"] == []
        await again.close()

"""The backend, as an embedding application holds it."""

import asyncio
import threading

import pytest

from gantt_tornado import Backend, Config, User
from gantt_tornado.errors import StartError, Unavailable
from gantt_tornado.live.touches import TOGETHER
from gantt_tornado.model.user import Role
from tests.live.test_hub import Page
from tests.support import number_of
from tests.test_project import DATES, tasks

pytestmark = pytest.mark.gen_test


@pytest.fixture
def settings(tmp_path):
    """A file here: some of these tests start a second backend where the first has ended."""
    return {"database": f"sqlite:///{tmp_path}/gantt.db"}


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


class TestStart:
    async def test_a_plan_is_open_within_async_with(self, gantt_config):
        async with Backend(gantt_config) as backend:
            await tasks(backend, "a")
        with pytest.raises(Unavailable):
            await tasks(backend, "b")

    async def test_it_is_closed_after_an_error_too(self, gantt_config):
        with pytest.raises(ZeroDivisionError):
            async with Backend(gantt_config):
                raise ZeroDivisionError
        async with Backend(gantt_config):
            """The file is free."""

    async def test_a_write_before_the_start_says_what_is_missing(self):
        backend = Backend(Config(database="sqlite:///:memory:"))
        calls = (
            backend.insert("task", DATES),
            backend.update("task", 1, {"text": "x"}),
            backend.delete("task", 1),
            backend.undo(1),
            backend.history(),
        )
        for call in calls:
            with pytest.raises(Unavailable, match=r"start\(\)"):
                await call


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

    async def test_the_end_notes_its_position_behind_one_that_is_being_noted(
        self, gantt_config, monkeypatch
    ):
        began, ended, noted = threading.Event(), threading.Event(), []

        def note(self, position):
            noted.append(position.seq)
            if position.seq == 1 and not began.is_set():
                began.set()
                ended.wait(10)
            noted.append("done")

        monkeypatch.setattr("gantt_tornado.store.continuity.Continuity.note", note)
        monkeypatch.setattr("gantt_tornado.backend.NOTE_EVERY", 0.01)
        backend = Backend(gantt_config)
        await backend.start()
        await tasks(backend, "a")
        loop = asyncio.get_running_loop()
        assert await loop.run_in_executor(None, began.wait, 10)
        closing = asyncio.ensure_future(backend.close())
        await loop.run_in_executor(None, backend._writer._thread.join)
        for _ in range(20):
            await loop.run_in_executor(None, lambda: None)
        ended.set()
        await closing
        assert noted[noted.index(1) :] == [1, "done", 1, "done"]

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
        page, told = Page(since=again.default.plan.seq), asyncio.Event()
        again.default.hub.subscribe(page, "tasks")
        page.sent = told.set
        await told.wait()
        await again.close()
        assert [value["type"] for value in page.had] == ["add-task", "update-task", "move-task"]
        assert page.had[0]["task"]["id"] == a

    async def test_what_was_written_long_before_is_not_repeated(
        self, backend, gantt_config, monkeypatch
    ):
        clock = {"ms": 1 << 41}
        monkeypatch.setattr(backend._store, "_now", lambda: clock["ms"])
        (early,) = await tasks(backend, "early")
        clock["ms"] += 1
        (late,) = await tasks(backend, "late")
        clock["ms"] += int(2 * TOGETHER * 1000)
        (last,) = await tasks(backend, "last")
        await backend.close()
        async with Backend(gantt_config) as again:
            due = again.default._resend._due
            assert [id in due for id in (early, late, last)] == [False, True, True]


class TestDemo:
    async def test_a_plan_of_ones_own_starts_empty(self):
        async with Backend(Config(database="sqlite:///:memory:")) as backend:
            loaded = backend.load()
            assert (loaded["tasks"], number_of(loaded["seq"])) == ([], 0)

    async def test_a_new_database_has_it_where_it_is_wanted(self):
        backend = Backend(Config(database="sqlite:///:memory:", demo=True))
        await backend.start()
        loaded = backend.load()
        await backend.close()
        assert 18 <= len(loaded["tasks"]) <= 25 and loaded["links"]

    async def test_it_does_not_come_back(self, tmp_path):
        config = Config(database=f"sqlite:///{tmp_path}/demo.db", demo=True)
        backend = Backend(config)
        await backend.start()
        for task in backend.load()["tasks"]:
            await backend.delete("task", task["id"])
        await backend.close()
        again = Backend(config)
        await again.start()
        assert again.load()["tasks"] == []
        await again.close()

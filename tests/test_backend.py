"""The backend, as an embedding application holds it."""

import asyncio
import contextlib
import sqlite3
import threading
import time

import jwt
import pytest

from gantt_tornado import Backend, Config, User
from gantt_tornado.config import Jwt, sha256_of
from gantt_tornado.errors import BadRequest, Conflict, NotFound, StartError, Unavailable
from gantt_tornado.live.touches import TOGETHER
from gantt_tornado.model.user import Role
from gantt_tornado.store import journal as journal_module
from gantt_tornado.store.database import Database
from gantt_tornado.store.tokens import StoredTokens
from tests.conftest import COLLEAGUE
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

    async def test_it_is_told_the_project(self, backend, gantt, listen):
        await backend.create_project("house")
        asked = []

        def who(handler):
            asked.append(handler.project)
            return User("eve", Role.viewer)

        backend.authenticate = who
        for path, status in (("/data", 200), ("/p/house/data", 200), ("/p/nowhere/data", 404)):
            assert (await gantt.get(path)).status == status
        gantt.url += "/p/house"
        await (await listen.open()).frame()
        house = backend.project("house")
        assert asked == [backend.default, house, None, house]

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

        def note(self, positions):
            noted.append(positions[1].seq)
            if positions[1].seq == 1 and not began.is_set():
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

    async def test_a_file_without_its_first_project_is_refused_in_one_line(
        self, backend, gantt_config
    ):
        await backend.close()
        path = gantt_config.database.removeprefix("sqlite:///")
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            database.execute("DELETE FROM project")
        with pytest.raises(StartError, match="it has no project 'default'"):
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
        monkeypatch.setattr(backend.default._store, "_now", lambda: clock["ms"])
        (early,) = await tasks(backend, "early")
        clock["ms"] += 1
        (late,) = await tasks(backend, "late")
        clock["ms"] += int(2 * TOGETHER * 1000)
        (last,) = await tasks(backend, "last")
        await backend.close()
        async with Backend(gantt_config) as again:
            due = again.default._resend._due
            assert [id in due for id in (early, late, last)] == [False, True, True]

    async def test_the_journal_is_brought_within_its_limit(
        self, backend, gantt_config, monkeypatch
    ):
        await tasks(backend, *"abcde")
        await backend.close()
        monkeypatch.setattr(journal_module, "PRUNED_AT_ONCE", 1)
        async with Backend(gantt_config.model_copy(update={"journal_changes": 2})) as again:
            while again.default.plan.horizon < 3:
                await again.history()
            assert [change.seq for change in await again.history()] == [5, 4]
            assert not await again._prune_once()


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


class TestTokens:
    """What another process does to the tokens of the database is noticed."""

    @pytest.fixture
    def stored(self, backend, gantt_config):
        """The tokens, as the command has them."""
        database = Database(gantt_config.database)
        database.join()
        yield StoredTokens(database)
        database.leave()

    @pytest.fixture
    def ann(self, io_loop, backend, stored):
        """A token, and what the server knows of it."""
        id = stored.create(sha256_of("ann"), "ann", "editor")
        io_loop.run_sync(backend._read_tokens)
        return id

    async def test_one_that_was_made_meanwhile_is_good(self, gantt, ann):
        assert (await gantt.having(Remote_Token="ann").post("/data/task", DATES)).status == 200

    async def test_one_that_was_there_before_the_start_is_good(self, gantt_config, backend, ann):
        await backend.close()
        async with Backend(gantt_config) as again:
            assert again.accounts.verify("ann") == User("ann", Role.editor)

    async def test_the_journal_has_its_user(self, gantt, ann, changes):
        await gantt.having(Remote_Token="ann").add("task")
        assert (await changes.next()).author.user == "ann"

    async def test_sockets_of_a_revoked_one_are_closed(self, gantt, listen, stored, ann):
        socket, other = await listen(token="ann"), await listen()
        stored.revoke(ann)
        assert await socket.closed() == 1008
        assert (await gantt.having(Remote_Token="ann").get("/data")).status == 403
        assert await (await listen.open(token="ann")).closed() == 1008
        await other.quiet()

    async def test_sockets_of_one_that_lost_rights_are_closed(self, backend, listen, stored, ann):
        socket = await listen(token="ann")
        with stored._database.peewee.atomic():
            stored._database.execute("UPDATE token SET role = 'viewer', revision = 1000")
        assert await socket.closed() == 1008
        await listen(token="ann")

    async def test_sockets_of_one_that_expires_are_closed(self, backend, gantt, listen, stored):
        stored.create(sha256_of("brief"), "bob", "editor", expires=time.time() + 0.4)
        await backend._read_tokens()
        socket = await listen(token="brief")
        assert await socket.closed() == 1008
        assert (await gantt.having(Remote_Token="brief").get("/data")).status == 403

    async def test_expiry_needs_no_database(self, backend, listen, stored, monkeypatch):
        stored.create(sha256_of("brief"), "bob", "editor", expires=time.time() + 0.4)
        await backend._read_tokens()
        monkeypatch.setattr(backend._tokens, "changed", lambda: None)
        assert await (await listen(token="brief")).closed() == 1008

    async def test_a_look_that_fails_ends_no_looking(
        self, backend, listen, stored, ann, monkeypatch, logged_errors
    ):
        socket, look = await listen(token="ann"), backend._tokens.changed
        failed = asyncio.Event()

        def fail():
            backend._writer._loop.call_soon_threadsafe(failed.set)
            raise RuntimeError("no")

        monkeypatch.setattr(backend._tokens, "changed", fail)
        await failed.wait()
        monkeypatch.setattr(backend._tokens, "changed", look)
        stored.revoke(ann)
        assert await socket.closed() == 1008

    async def test_who_is_signed_out_while_waiting_for_a_slot_is_not_let_in(
        self, backend, listen, stored, ann
    ):
        slots = backend.connection_slots
        await asyncio.gather(*[slots.acquire() for _ in range(slots._value)])
        opening = asyncio.ensure_future(listen.open(token="ann"))
        while not backend.sessions._open:
            await asyncio.sleep(0)
        stored.revoke(ann)
        await backend._read_tokens()
        slots.release()
        assert await (await opening).closed() == 1008

    async def test_sockets_that_have_gone_are_forgotten(self, backend, gantt, listen, ann):
        await (await listen(token="ann")).close()
        without_key = gantt.having(Upgrade="websocket", Connection="Upgrade")
        assert (await without_key.get("/api/v1")).status == 426
        assert not backend.sessions._open


class TestSignOut:
    """Signing somebody out closes the sockets of that user alone."""

    @pytest.mark.parametrize("user", ["Eve", User("Eve", Role.editor)])
    async def test_the_sockets_of_a_user_are_closed(self, backend, listen, user):
        sockets = [await listen(), await listen()]
        carl = await listen(token=COLLEAGUE)
        assert backend.sign_out(user) == 2
        assert [await socket.closed() for socket in sockets] == [1008, 1008]
        await carl.quiet()

    async def test_nobody_is_signed_out_twice(self, backend, listen):
        await listen()
        assert [backend.sign_out("Eve"), backend.sign_out("Eve")] == [1, 0]


class TestJsonWebTokens:
    """A company's own sign-in."""

    KEY = "a secret of thirty-two bytes, or more"

    @pytest.fixture
    def settings(self, settings):
        return settings | {"jwt": Jwt(key=self.KEY, audience="plan")}

    def signed(self, lasts=60.0, **claims):
        stated = {"sub": "ann", "role": "editor", "aud": "plan", "exp": time.time() + lasts}
        return jwt.encode(stated | claims, self.KEY, "HS256")

    async def test_one_writes_and_listens(self, gantt, listen, changes):
        token = self.signed()
        socket = await listen("tasks", token=token)
        await gantt.having(Remote_Token=token).add("task")
        await socket.event("add-task")
        assert (await changes.next()).author.user == "ann"

    async def test_a_wrong_one_is_refused(self, gantt, listen):
        token = self.signed(aud="other")
        assert (await gantt.having(Remote_Token=token).get("/data")).status == 403
        assert await (await listen.open(token=token)).closed() == 1008

    async def test_a_socket_is_closed_when_its_token_expires(self, gantt, listen):
        token = self.signed(lasts=1.2)
        socket = await listen(token=token)
        assert await socket.closed() == 1008
        assert (await gantt.having(Remote_Token=token).get("/data")).status == 403

    async def test_no_token_stands_in_the_log(self, gantt, caplog):
        token = self.signed()
        await gantt.anonymous().get(f"/data?token={token}")
        await gantt.anonymous().get(f"/data?token={token}x")
        assert not [each for each in caplog.records if token[:20] in each.getMessage()]

    async def test_a_key_that_cannot_be_used_stops_the_start(self):
        with pytest.raises(StartError, match="32 bytes"):
            Backend(Config(jwt=Jwt(key="short", audience="plan")))


class TestProjects:
    """What happens to a project while it is opened, copied or gone."""

    async def opening(self, backend, monkeypatch, meanwhile):
        """Open a project; after its plan was read, something happens to it."""
        await backend.create_project("house")
        await backend.project("house").insert("task", DATES)
        backend.project("house").forget()
        read = backend._read_plan

        async def slow(store):
            plan = await read(store)
            await meanwhile()
            return plan

        monkeypatch.setattr(backend, "_read_plan", slow)
        return backend.project("house")

    async def test_one_that_is_archived_while_it_is_opened_is_not_changed(
        self, backend, monkeypatch
    ):
        house = await self.opening(
            backend, monkeypatch, lambda: backend.change_project("house", archived=True)
        )
        with pytest.raises(Conflict):
            await house.insert("task", DATES)

    async def test_one_that_is_deleted_while_it_is_opened_is_not_there(self, backend, monkeypatch):
        house = await self.opening(backend, monkeypatch, lambda: backend.delete_project("house"))
        with pytest.raises(NotFound):
            await house.insert("task", DATES)
        assert not house.is_open

    async def test_who_waits_for_one_when_the_server_ends_is_answered(
        self, backend, gantt, monkeypatch, logged_errors
    ):
        await backend.create_project("house")
        begun = asyncio.Event()

        async def endless(_store):
            begun.set()
            await asyncio.Event().wait()

        monkeypatch.setattr(backend, "_read_plan", endless)
        asked = asyncio.ensure_future(gantt.get("/p/house/data"))
        await begun.wait()
        await backend.close()
        answer = await asked
        assert (answer.status, answer.headers["Retry-After"]) == (503, "2")

    async def test_a_name_that_is_used_again_shows_nothing_of_before(self, backend):
        await backend.create_project("house")
        house = backend.project("house")
        await house.insert("task", DATES)
        await backend.delete_project("house")
        while await backend._writer.submit(lambda: backend._registry.forget(1 << 50)):
            pass
        await backend.create_project("house")
        assert (await house.insert("task", DATES)).id == 1
        async with house:
            assert len(house.load()["tasks"]) == 1

    async def test_pruning_passes_over_what_is_deleted_or_forgotten(self, backend):
        for name in ("gone", "idle"):
            await backend.create_project(name)
            await backend.project(name).insert("task", DATES)
        await backend.delete_project("gone")
        backend.project("idle").forget()
        while await backend._writer.submit(lambda: backend._registry.forget(1 << 50)):
            pass
        assert not await backend._prune_once()

    async def test_pruning_goes_on_while_a_project_is_forgotten(self, backend, held):
        await backend.create_project("house")
        house = backend.project("house")
        await house.insert("task", DATES)
        with held():
            pruning = asyncio.ensure_future(house.prune())
            await asyncio.sleep(0)
            house.forget()
        assert not await pruning

    async def test_a_copy_beside_a_job_that_comes_to_nothing_is_whole(
        self, backend, held, monkeypatch
    ):
        """The writer undoes the batch and runs each of its jobs again."""
        monkeypatch.setattr("gantt_tornado.store.projects.SLICE", 1)
        await tasks(backend, *"abc")

        def half():
            backend._database.execute("UPDATE project SET title = 'half'")
            raise BadRequest("no")

        copying = asyncio.ensure_future(backend.create_project("copy", copy_of="default"))
        while not copying.done():
            with held(), contextlib.suppress(RuntimeError):
                failing = backend._writer.submit(half)
                await asyncio.sleep(0)
            with pytest.raises(BadRequest):
                await failing
            for _ in range(3):
                await asyncio.sleep(0)
        assert (await copying).tasks == 3
        async with backend.project("copy") as copy:
            assert [task["text"] for task in copy.load()["tasks"]] == ["a", "b", "c"]

    async def test_only_what_is_asked_for_is_counted(self, backend, monkeypatch):
        await backend.create_project("house")
        listed = await backend.projects(shows=lambda name: name == "house")
        assert [each.name for each in listed] == ["house"]

    async def test_a_project_that_was_opened_goes_on_after_a_crash(self, backend, gantt_config):
        """Its pages need not load again: its position was noted when it was opened."""
        await backend.create_project("house", demo=True)
        async with backend.project("house") as house:
            position = house.plan.position()
            noted = await asyncio.get_running_loop().run_in_executor(
                None, backend._continuity._known
            )
            assert noted[house.info.id].seq == position.seq

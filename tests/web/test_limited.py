"""What one person may do, as clients meet it."""

import asyncio

import pytest

from gantt_tornado import limits
from tests.conftest import COLLEAGUE


@pytest.fixture
def burst(monkeypatch):
    """Two of a kind may come at once, and nothing is put off for long."""
    monkeypatch.setattr(limits, "BURST", 2)
    monkeypatch.setattr(limits, "LONGEST_DELAY", 0.02)


class TestWrites:
    @pytest.fixture
    def settings(self, burst):
        return {"writes_a_second": 50}

    @pytest.mark.gen_test
    async def test_too_many_are_refused_by_both_adapters(self, gantt, colleague, backend):
        def by_handlers(handler):
            return backend.accounts.verify(handler.request.headers["Remote-Token"])

        for authenticate, client in ((None, gantt), (by_handlers, colleague)):
            backend.authenticate = authenticate
            sent = [client.put("/data/task/9", {}) for _ in range(20)]
            answers = await asyncio.gather(*sent)
            refused = [each for each in answers if each.status == 429]
            assert 0 < len(refused) < 20
            assert refused[0].json["code"] == "too-many" and refused[0].json["action"] == "error"
            assert refused[0].headers["Retry-After"] == "1"

    @pytest.mark.gen_test
    async def test_others_and_those_who_read_are_not_held_up(self, gantt, colleague):
        await asyncio.gather(*[gantt.put("/data/task/9", {}) for _ in range(20)])
        assert (await colleague.put("/data/task/9", {})).status == 404
        assert {(await gantt.get("/data")).status for _ in range(10)} == {200}

    @pytest.mark.gen_test
    async def test_what_is_put_off_is_done(self, gantt, backend):
        backend.limits._writes._patience = 5.0
        answers = await asyncio.gather(*[gantt.add("task", text="Dig") for _ in range(4)])
        assert len({each["id"] for each in answers}) == 4


class TestCalls:
    @pytest.fixture
    def settings(self, burst):
        return {"calls_a_second": 50}

    @pytest.fixture(autouse=True)
    def ping(self, backend):
        backend.services.add("clock.ping", lambda user: "pong")

    def calls(self, count):
        return [{"id": str(each), "name": "clock.ping", "args": []} for each in range(count)]

    @pytest.mark.gen_test
    async def test_by_post(self, gantt, colleague):
        assert (await gantt.post("/api/v1", self.calls(2))).status == 200
        assert (await gantt.post("/api/v1", self.calls(50))).status == 429
        assert (await colleague.post("/api/v1", self.calls(2))).status == 200

    @pytest.mark.gen_test
    async def test_on_a_socket_each_is_answered(self, listen):
        socket = await listen("tasks")
        results = await socket.call(*self.calls(50))
        # Each counts for itself: the first are done.
        refused = [each for each in results if each["error"]]
        assert len(results) == 50 > len(refused) > 40
        assert all("too fast" in each["error"] for each in refused)


class TestSockets:
    @pytest.fixture
    def settings(self):
        return {"sockets_a_person": 2}

    @pytest.mark.gen_test
    async def test_one_too_many_is_told_to_come_later(self, listen, backend):
        one, _ = await listen("tasks"), await listen("tasks")
        third = await listen.open()
        with pytest.raises(AssertionError):
            await third.frame()
        assert third.connection.close_code == 1013
        await listen("tasks", token=COLLEAGUE)
        one.connection.close()
        while len(backend.default.connections) > 2:
            await asyncio.sleep(0)
        await listen("tasks")


class TestProjects:
    @pytest.fixture
    def settings(self):
        return {"projects_a_minute": 2}

    @pytest.mark.gen_test
    async def test_no_more_are_opened_by_one_person(self, gantt, colleague, backend):
        for name in ("a", "b", "c"):
            await backend.create_project(name)
        answers = [await gantt.get(f"/p/{name}/data") for name in ("a", "b", "c", "a")]
        assert [each.status for each in answers] == [200, 200, 429, 200]
        assert (await colleague.get("/p/c/data")).status == 200
        # It is open now.
        assert (await gantt.get("/p/c/data")).status == 200

    @pytest.mark.gen_test
    async def test_nor_by_sockets(self, listen, backend, gantt):
        backend.limits._opened.take([("person Eve", 1.0)], 2)
        await backend.create_project("a")
        gantt.url += "/p/a"
        with pytest.raises(Exception, match="429"):
            await listen.open()


class TestItems:
    @pytest.fixture
    def settings(self):
        return {"max_items": 2}

    @pytest.mark.gen_test
    async def test_a_plan_has_no_more(self, gantt, backend):
        first = await gantt.add("task", text="a")
        await gantt.add("task", text="b")
        refused = await gantt.post("/data/task", {"text": "c", "start_date": "2030-01-07"})
        assert (refused.status, refused.json["code"]) == (413, "too-large")
        assert (await gantt.put(f"/data/task/{first['id']}", {"text": "d"})).status == 200
        batch = "ids=1&1_text=x&1_start_date=2030-01-07&1_!nativeeditor_status=inserted"
        assert (await gantt.post("/data", batch)).status == 413
        # Where there are more already, none need go for the rest to be worked on.
        backend.default._max_items = 1
        batch = f"ids={first['id']}&{first['id']}_text=e"
        batch += f"&{first['id']}_!nativeeditor_status=updated"
        assert (await gantt.post("/data", batch)).status == 200
        backend.default._max_items = 2
        await gantt.delete(f"/data/task/{first['id']}")
        await gantt.add("task", text="e")

"""What every page may call, over its socket and by POST."""

from __future__ import annotations

from typing import Any

import pytest

from gantt_tornado.accounts import Accounts
from gantt_tornado.model.user import User
from gantt_tornado.testing import DATES
from tests.conftest import COLLEAGUE, VIEWER

pytestmark = pytest.mark.gen_test

NAMES = {"live": {"presence": 1, "here": 1}, "plan": {"history": 1, "undo": 1}}


@pytest.fixture
def call(gantt):
    """The data of a call by POST, or its error as text."""

    async def call(name: str, *args: Any, token: str = "", **headers: str) -> Any:
        client = gantt.having(Remote_Token=token or gantt.headers["Remote-Token"], **headers)
        answer = await client.post("/api/v1", [{"id": "1", "name": name, "args": args}])
        (result,) = answer.json
        return result["error"] or result["data"]

    return call


async def test_only_pages_with_since_learn_of_them(gantt):
    assert (await gantt.get("/api/v1?since=0")).json["api"] == NAMES
    assert (await gantt.get("/api/v1?since=")).json["api"] == {}


class TestSignedOut:
    """Of calls by POST none begins when their user's rights have ended."""

    @pytest.fixture
    def done(self, backend):
        """What the calls did; each signs their user out in its way."""
        done: list[str] = []

        async def leave(user: User, how: str) -> str:
            done.append(how)
            if how == "revoked":
                backend.sign_in_anew(Accounts(backend.config.model_copy(update={"tokens": ()})))
            elif how == "signed out":
                backend.sign_out(user)
            elif how == "private":
                await backend.change_project("house", public=False)
            return how

        backend.project("house").services.add("one.leaves", leave)
        return done

    @pytest.mark.parametrize("how", ["revoked", "signed out", "private"])
    async def test_the_next_is_not_carried_out(self, backend, gantt, done, how, monkeypatch):
        await backend.create_project("house")
        if how == "private":
            await backend.change_project("house", public=True)
            monkeypatch.setattr(backend, "authenticate", lambda handler: backend.anonymous)
        calls = [{"id": str(n), "name": "one.leaves", "args": [how]} for n in range(3)]
        answer = await gantt.post("/p/house/api/v1", calls)
        assert done == [how]
        refused = "You are not allowed to do this."
        assert [(each["id"], each["error"]) for each in answer.json] == [
            *(("0", ""), ("1", refused), ("2", refused)),
        ]
        assert not backend.sessions._open

    @pytest.mark.parametrize("what", ["a call", "a write"])
    async def test_none_that_was_put_off_meanwhile(self, backend, gantt, monkeypatch, what):
        seen: list[str] = []

        def put_off(*_: Any) -> float:
            backend.sign_in_anew(Accounts(backend.config.model_copy(update={"tokens": ()})))
            return 0.001

        monkeypatch.setattr(backend.limits, "are_used", True)
        backend.services.add("one.leaves", lambda user: seen.append(user.name))
        if what == "a call":
            monkeypatch.setattr(backend.limits, "call", put_off)
            answer = await gantt.post("/api/v1", [{"id": "1", "name": "one.leaves"}])
            assert isinstance(answer.json, list)
        else:
            monkeypatch.setattr(backend.limits, "write", put_off)
            answer = await gantt.post("/data/task", DATES)
        assert answer.status == 403 and seen == [] and backend.default.plan.seq == 0


class TestPresence:
    async def test_it_tells_who_is_here(self, listen, call):
        await listen()
        assert (await call("live.presence"))["people"][0]["name"] == "Eve"

    async def test_a_page_says_where_it_is_on_its_socket(self, gantt, listen, call):
        task = (await gantt.add("task"))["id"]
        socket = await listen(token=COLLEAGUE)
        for args, told in (
            ([task], [{"id": task, "how": "selected"}]),
            ([str(task), "open"], [{"id": task, "how": "open"}]),
            ([None], []),
        ):
            (result,) = await socket.call({"id": "1", "name": "live.here", "args": args})
            assert result["error"] == ""
            assert (await call("live.presence"))["people"][0]["items"] == told

    @pytest.mark.parametrize(
        "args", [[99], ["x"], [1.5], [True], [[]], [1, "away"], [1, "open", 2]]
    )
    async def test_what_is_no_place_is_an_error(self, gantt, listen, args):
        await gantt.add("task")
        socket = await listen()
        (result,) = await socket.call({"id": "1", "name": "live.here", "args": args})
        assert result["error"] not in ("", "the call failed")

    async def test_a_post_is_nowhere(self, gantt, call):
        await gantt.add("task")
        assert "open socket" in await call("live.here", 1)


class TestPlan:
    async def test_the_history_is_that_of_the_address(self, gantt, call):
        for text in ("a", "b"):
            await gantt.add("task", text=text)
        await gantt.put("/data/task/1", {"text": "c"})
        for args, query in (
            ([], ""),
            ([{"item": 1}], "?item=1"),
            ([{"item": "1", "limit": 1}], "?item=1&limit=1"),
            ([{"before": 3, "limit": 1}], "?before=3&limit=1"),
            ([{"limit": 10_000}], "?limit=10000"),
        ):
            expected = (await gantt.get(f"/data/history{query}")).json
            assert await call("plan.history", *args) == expected

    @pytest.mark.parametrize(
        "args", [["x"], [1], [{"item": "x"}], [{"limit": -1}], [{"a": 1}], [{}, 1]]
    )
    async def test_what_is_no_question_is_an_error(self, call, args):
        told = await call("plan.history", *args)
        assert isinstance(told, str) and told != "the call failed"

    async def test_an_undo_is_that_of_the_address(self, gantt, call, changes):
        task = await gantt.add("task", text="a")
        change = (await gantt.put("/data/task/1", {"text": "b"})).json["change"]
        done = await call("plan.undo", change, Remote_Device="page-1")
        assert (done["action"], done["item"]["text"]) == ("undone", "a")
        undo = await changes.until(lambda each: each.seq == done["change"])
        assert (undo.author.user, undo.author.client_id, undo.id) == ("Eve", "page-1", task["id"])

    async def test_a_page_undoes_on_its_socket(self, gantt, listen, changes):
        await gantt.add("task", text="a")
        socket = await listen(tab="page-2")
        await socket.call({"id": "1", "name": "plan.undo", "args": ["1"]})
        undo = await changes.until(lambda each: each.action == "delete")
        assert undo.author.client_id == "page-2"

    @pytest.mark.parametrize("args", [[], [None], ["x"], [99], [1, 2]])
    async def test_what_cannot_be_undone_is_an_error(self, call, args):
        told = await call("plan.undo", *args)
        assert isinstance(told, str) and told != "the call failed"

    async def test_a_viewer_undoes_nothing(self, backend, gantt, call):
        await gantt.add("task")
        assert "not allowed" in await call("plan.undo", 1, token=VIEWER)
        assert len(backend.load()["tasks"]) == 1

from __future__ import annotations

import asyncio
from typing import Any

import orjson
import pytest

from gantt_tornado.live.services import MOST_ANSWERED, MOST_CALLS, Caller, Services, refused
from gantt_tornado.model import protocol
from gantt_tornado.model.user import Role, User

ANN = User("ann", Role.viewer)


@pytest.fixture
def services() -> Services:
    services = Services()
    services.add("math.add", lambda user, a, b: a + b)
    return services


def call(services: Services, *calls: Any) -> list[dict[str, Any]]:
    return asyncio.run(services.call_all(list(calls), Caller(ANN, "page-a")))


def test_without_services_the_handshake_is_the_documented_one() -> None:
    assert orjson.dumps(Services().handshake()) == b'{"api":{},"data":{},"websocket":true}'


def test_the_handshake_names_services_and_constants(services: Services) -> None:
    services.add("math.sub", lambda user, a, b: a - b)
    services.constant("version", 3)
    body = services.handshake()
    assert (body["api"], body["data"]) == ({"math": {"add": 1, "sub": 1}}, {"version": 3})


@pytest.mark.parametrize("name", ["", "add", "math.", ".add", "a.b.c", "math.a b", "1.2"])
def test_a_name_of_another_form_is_refused(services: Services, name: str) -> None:
    with pytest.raises(ValueError, match=r"service\.method"):
        services.add(name, print)


def test_a_call_is_answered_with_its_id(services: Services) -> None:
    answers = call(services, {"id": "1", "name": "math.add", "args": [1, 2]})
    assert answers == [{"id": "1", "data": 3, "error": ""}]


def test_results_come_in_the_order_of_the_calls(services: Services) -> None:
    async def late(user: User) -> str:
        await asyncio.sleep(0)
        return "late"

    services.add("slow.one", late)
    calls = [{"id": "1", "name": "slow.one"}, {"id": "2", "name": "math.add", "args": [1, 1]}]
    assert [answer["data"] for answer in call(services, *calls)] == ["late", 2]


def test_a_method_learns_who_calls(services: Services) -> None:
    services.add("who.am", lambda user: user.name)
    assert call(services, {"id": "1", "name": "who.am", "args": []})[0]["data"] == "ann"


def test_a_call_that_fails_harms_no_other(services: Services) -> None:
    broken = {"id": "1", "name": "math.add", "args": ["a", 1]}
    right = {"id": "2", "name": "math.add", "args": [1, 1]}
    first, second = call(services, broken, right)
    assert (first["data"], first["error"]) == (None, "the call failed")
    assert (second["data"], second["error"]) == (2, "")


@pytest.mark.parametrize(
    "odd",
    [
        None,
        "math.add",
        {},
        {"id": "1"},
        {"id": "1", "name": "math.sub"},
        {"id": "1", "name": ["math.add"]},
        {"id": "1", "name": "math.add", "args": {"a": 1}},
        {"id": "1", "name": "math.add", "args": [1, 2, 3]},
        {"id": "1", "name": "add.__class__", "args": []},
    ],
)
def test_an_odd_call_is_answered_with_an_error(services: Services, odd: Any) -> None:
    assert call(services, odd)[0]["error"]


def test_a_result_that_is_not_json_harms_no_other(services: Services) -> None:
    services.add("odd.one", lambda user: {1, 2})
    calls = [{"id": "1", "name": "odd.one"}, {"id": "2", "name": "math.add", "args": [1, 1]}]
    answers = orjson.loads(protocol.result(call(services, *calls)))["body"]
    assert (bool(answers[0]["error"]), answers[1]["data"]) == (True, 2)


#: As deep as a request may have it.
DEEP = orjson.loads(b"[" * 1000 + b"]" * 1000)


@pytest.mark.parametrize("odd", [{"id": DEEP}, {"name": DEEP}, {"name": "math.add", "args": DEEP}])
def test_what_is_too_deep_harms_no_other(services: Services, odd: Any) -> None:
    calls = [odd, {"id": "2", "name": "math.add", "args": [1, 1]}]
    answers = orjson.loads(protocol.result(call(services, *calls)))["body"]
    assert (bool(answers[0]["error"]), answers[1]["data"]) == (True, 2)


@pytest.mark.parametrize("depth", range(240, 256))
def test_a_result_that_is_too_deep_for_a_frame_harms_no_other(
    services: Services, depth: int
) -> None:
    services.add("odd.one", lambda user: orjson.loads(b"[" * depth + b"]" * depth))
    calls = [{"id": "1", "name": "odd.one"}, {"id": "2", "name": "math.add", "args": [1, 1]}]
    assert orjson.loads(protocol.result(call(services, *calls)))["body"][1]["data"] == 2


def test_what_failed_is_told_to_the_log_alone(
    services: Services, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(user: User) -> None:
        raise RuntimeError("the password is 123")

    services.add("odd.one", fail)
    assert "123" not in call(services, {"id": "1", "name": "odd.one"})[0]["error"]
    assert "123" in caplog.text


def test_one_frame_carries_only_so_many_calls(services: Services) -> None:
    one = {"id": "1", "name": "math.add", "args": [1, 1]}
    answers = call(services, *[one] * (MOST_CALLS + 2))
    assert [bool(answer["error"]) for answer in answers] == [False] * MOST_CALLS + [True] * 2


class TestBuiltIn:
    @pytest.fixture
    def services(self, services: Services) -> Services:
        services.build_in("plan.who", lambda caller: [caller.user.name, caller.client_id])
        return services

    def test_it_learns_who_calls_and_from_which_page(self, services: Services) -> None:
        assert call(services, {"id": "1", "name": "plan.who"})[0]["data"] == ["ann", "page-a"]

    def test_only_a_page_that_is_told_more_learns_of_it(self, services: Services) -> None:
        assert "plan" not in services.handshake()["api"]
        assert services.handshake({})["api"] == {"math": {"add": 1}, "plan": {"who": 1}}

    def test_one_of_the_applications_wins(self, services: Services) -> None:
        services.add("plan.who", lambda user: "mine")
        assert call(services, {"id": "1", "name": "plan.who"})[0]["data"] == "mine"
        assert services.handshake({})["api"]["plan"] == {"who": 1}


def test_of_very_many_only_those_are_refused_that_somebody_waits_for() -> None:
    waiting = [{"id": id, "name": "math.add"} for id in ("7", 0)]
    silent = [{"id": id} for id in ("", None)]
    calls = [*[None] * MOST_ANSWERED, *silent, *waiting]
    assert refused(calls, "no") == [{"id": id, "data": None, "error": "no"} for id in ("7", 0)]
    calls = [*[None] * MOST_ANSWERED, {"id": "7"}]
    assert len(refused(calls[1:], "no")) == MOST_ANSWERED

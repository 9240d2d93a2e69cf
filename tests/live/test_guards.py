from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from gantt_tornado.live.guards import Guard, Guards
from gantt_tornado.model.schema import GANTT
from gantt_tornado.model.user import Role, User

EVE, CARL = User("eve", Role.viewer), User("carl", Role.admin)


def allowed(guard: Guard, user: User = EVE) -> bool:
    guards = Guards()
    guards.add("payroll", guard)
    return asyncio.run(guards.allow("payroll", user))


def test_a_function_decides() -> None:
    is_eve: Callable[[User], bool] = lambda user: user.name == "eve"  # noqa: E731
    assert allowed(is_eve, EVE)
    assert not allowed(is_eve, CARL)


def test_a_coroutine_function_decides() -> None:
    async def is_eve(user: User) -> bool:
        await asyncio.sleep(0)
        return user.name == "eve"

    assert allowed(is_eve, EVE)
    assert not allowed(is_eve, CARL)


def test_a_channel_without_a_guard_is_for_everybody() -> None:
    guards = Guards()
    guards.add("payroll", lambda user: False)
    assert asyncio.run(guards.allow("news", EVE))


def test_a_guard_that_fails_lets_nobody_in(caplog: pytest.LogCaptureFixture) -> None:
    def fail(user: User) -> bool:
        raise RuntimeError("no")

    assert not allowed(fail)
    assert "payroll" in caplog.text


@pytest.mark.parametrize("channel", sorted({"presence", *GANTT.channels}))
def test_our_own_channels_have_no_guard(channel: str) -> None:
    with pytest.raises(ValueError, match=channel):
        Guards().add(channel, lambda user: False)


def test_there_are_as_many_channels_as_kinds_of_item_and_one_of_people() -> None:
    assert {"tasks", "links", "resources", "assignments", "baselines", "presence"} == {
        "presence",
        *GANTT.channels,
    }


def test_a_channel_has_one_guard() -> None:
    guards = Guards()
    guards.add("payroll", lambda user: False)
    with pytest.raises(ValueError, match="already"):
        guards.add("payroll", lambda user: True)

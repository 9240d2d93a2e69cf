"""The finds of the fuzz as the client sees them: what it is told decides what becomes of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .replay import Replay, cut_down

CASES = Path(__file__).with_name("cases")


@pytest.fixture
def replay(browser):
    replay = Replay(browser)
    yield replay
    replay.close()


def case(name: str):
    return json.loads((CASES / f"{name}.json").read_text())


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("link-echo-before-answer", "not there: tasks 93"),
        ("row-below-one-put-off", "elsewhere: tasks 136"),
        ("link-back-while-its-delete-is-under-way", "not deleted: links 87"),
        ("own-row-told-before-its-answer", "not there: tasks 111"),
    ],
)
def test_the_client_comes_to_harm_by_what_is_not_sent_any_more(replay, name, fault):
    assert replay.fault(case(name)) == fault


def test_a_row_below_one_that_was_put_off_comes_to_its_place(replay):
    assert replay.fault(case("row-below-one-attached-again")) == ""


def test_a_link_goes_when_it_is_told_as_gone_behind_its_answer(replay):
    told = case("link-back-while-its-delete-is-under-way")
    again = next(step for step in told["steps"] if step["at"] == 1300) | {"at": 5300}
    assert replay.fault({**told, "steps": [*told["steps"], again]}) == ""


def test_a_row_of_ones_own_comes_when_it_is_told_once_more(replay):
    told = case("own-row-told-before-its-answer")
    again = next(step for step in told["steps"] if step["at"] == 2500) | {"at": 6500}
    assert replay.fault({**told, "steps": [*told["steps"], again]}) == ""


def test_a_case_is_cut_down_to_the_steps_that_it_needs(replay):
    needed = case("link-echo-before-answer")
    idle = [{"at": at, "op": "0"} for at in (10, 20, 30)]
    padded = {**needed, "steps": [*idle, *needed["steps"]]}
    assert len(cut_down(padded, replay.fault)["steps"]) <= len(needed["steps"])

"""``gantt-tornado conform URL``: what it prints, and its status."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import pytest

from gantt_tornado import StartError, cli, conform_command
from gantt_tornado.conform.rules import RULES
from gantt_tornado.conform.run import FAILS, HOLDS, NOT_OFFERED, Verdict


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the kit is asked for, and under ``outcomes`` what it finds."""
    found: dict[str, Any] = {"outcomes": []}

    async def conform(url: str, token: str, *, write_here: bool, told: Any) -> list[Verdict]:
        if found["outcomes"] is None:
            raise StartError("there is no backend")
        found.update(url=url, token=token, write_here=write_here)
        verdicts = [
            Verdict(rule, outcome) for rule, outcome in zip(RULES, found["outcomes"], strict=False)
        ]
        for verdict in verdicts:
            told(verdict)
        return verdicts

    monkeypatch.setattr(conform_command, "conform", conform)
    return found


def run(*arguments: str) -> int:
    return cli.main(["conform", "http://127.0.0.1:1", "--token", "T", *arguments])


@pytest.mark.parametrize(
    "outcomes, status",
    [([HOLDS, NOT_OFFERED], 0), ([HOLDS, FAILS, HOLDS], 1), (None, cli.CANNOT_START)],
)
def test_its_status_says_whether_something_fails(
    found: dict[str, Any], outcomes: list[str] | None, status: int
) -> None:
    found["outcomes"] = outcomes
    assert run() == status


def test_it_prints_each_rule_and_the_counts(
    found: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    found["outcomes"] = [HOLDS, FAILS]
    run("--write-here")
    first, _, last = capsys.readouterr().out.splitlines()
    assert first.startswith("holds        handshake: ") and last.startswith("1 hold, 1 fail")
    told = (found["url"], found["token"], found["write_here"])
    assert told == ("http://127.0.0.1:1", "T", True)


@pytest.mark.parametrize(
    "arguments", [["conform"], ["conform", "http://x"], ["conform", "x.example", "--token", "T"]]
)
def test_what_is_missing_is_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == cli.CANNOT_START
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("signalled, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_one_that_is_ended_cleans_up_and_is_one_line(
    signalled: int,
    status: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    cleaned: list[int] = []

    async def conform(*_: Any, **__: Any) -> list[Verdict]:
        try:
            os.kill(os.getpid(), signalled)
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(0)
            cleaned.append(signalled)
        return []

    monkeypatch.setattr(conform_command, "conform", conform)
    assert run() == status
    assert cleaned == [signalled] and capsys.readouterr().err.count("\n") == 1

from __future__ import annotations

import pytest

from gantt_tornado.live import tail as tail_module
from gantt_tornado.live.tail import Tail
from gantt_tornado.model.change import NOBODY, Change
from gantt_tornado.model.entities import TASK


def change(seq: int) -> Change:
    return Change(seq, seq, 1, TASK, seq, "add", NOBODY, 0, {})


def encode(change: Change) -> bytes:
    if change.seq == 13:
        raise ValueError("it cannot be told")
    return b"%d" % change.seq


@pytest.fixture
def tail() -> Tail:
    return Tail(encode)


def add(tail: Tail, *seqs: int) -> None:
    tail.add(change(seq) for seq in seqs)


def after(tail: Tail, seq: int) -> list[int] | None:
    lines = tail.after(seq)
    return None if lines is None else [seq for seq, _ in lines]


def test_who_follows_has_what_comes(tail: Tail) -> None:
    tail.follow(4)
    add(tail, 5, 6)
    assert (after(tail, 4), after(tail, 5), after(tail, 6)) == ([5, 6], [6], [])


def test_what_was_before_is_not_there(tail: Tail) -> None:
    tail.follow(4)
    add(tail, 5)
    assert after(tail, 3) is None


def test_what_was_committed_before_somebody_followed_is_not_told_again(tail: Tail) -> None:
    tail.follow(4)
    add(tail, 3, 4, 5)
    assert after(tail, 4) == [5]


def test_a_second_one_finds_what_the_first_keeps(tail: Tail) -> None:
    tail.follow(4)
    add(tail, 5)
    tail.follow(5)
    assert after(tail, 4) == [5]


def test_when_all_have_left_nothing_is_kept(tail: Tail) -> None:
    one = tail.follow(4)
    add(tail, 5)
    one.leave()
    assert not tail.is_followed
    tail.follow(7)
    assert (after(tail, 7), after(tail, 5)) == ([], None)


def test_only_so_many_lines_are_kept(tail: Tail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "MOST_LINES", 3)
    tail.follow(0)
    add(tail, *range(1, 6))
    assert (after(tail, 1), after(tail, 2)) == (None, [3, 4, 5])


def test_only_so_many_bytes_are_kept(tail: Tail, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_module, "MOST_BYTES", 3)
    tail.follow(0)
    add(tail, 8, 9, 10)
    assert (after(tail, 7), after(tail, 8)) == (None, [9, 10])


def test_what_cannot_be_told_leaves_no_gap_unseen(
    tail: Tail, caplog: pytest.LogCaptureFixture
) -> None:
    tail.follow(11)
    add(tail, 12, 13, 14)
    assert (after(tail, 11), after(tail, 13)) == (None, [14])
    assert "change 13" in caplog.text

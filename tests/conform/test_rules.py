"""What the rules say of themselves; tests/conform/test_run.py has them tried, and failing."""

from __future__ import annotations

import pytest

from gantt_tornado.conform.client import Fails
from gantt_tornado.conform.rules import RULES, Rule, both_keys, expect

every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.check.__name__)


@every_rule
def test_each_says_in_a_line_what_holds(rule: Rule) -> None:
    assert rule.text and not rule.text.endswith(".") and "|" not in rule.text


def test_none_stands_twice() -> None:
    assert len({rule.check for rule in RULES}) == len({rule.text for rule in RULES}) == len(RULES)


def test_those_of_a_section_stand_together() -> None:
    sections = [rule.section for rule in RULES]
    first = list(dict.fromkeys(sections))
    assert sections == sorted(sections, key=first.index)


def test_what_is_not_so_says_what_came() -> None:
    expect(True, "x")
    with pytest.raises(Fails, match="this came: x"):
        expect(False, "x")


@pytest.mark.parametrize(
    "value", [None, {"event": {}}, {"task": {}}, {"task": {"id": 1}, "event": {"id": 2}}]
)
def test_both_keys_are_needed_and_the_same(value: object) -> None:
    both_keys({"task": {"id": 1}, "event": {"id": 1}}, "task")
    with pytest.raises(Fails):
        both_keys(value, "task")

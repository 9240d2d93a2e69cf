"""A Gantt and a Scheduler on one socket, in two tabs, on lines that reorder."""

from __future__ import annotations

import pytest

from . import tabs as plans
from .scheduler import agree, client, serve, shown, silent
from .tabs import Tab, open_window


@pytest.fixture
def kind():
    return "team"


@pytest.fixture
def team(browser, server, line):
    """Two tabs on bad lines, and the judge."""
    one, other = (line(0.03, 0.06, seed).url for seed in (1, 2))
    opened = []
    for url, each in ((one, "team"), (other, "team"), (server.url, "judge")):
        window = open_window(browser)
        serve(window, client())
        opened.append(Tab(window, each, url, each))
    yield [tab.ready() for tab in opened]
    faults = [(tab.name, fault[:300]) for tab in opened for fault in tab.faults()]
    for tab in opened:
        tab.page.context.close()
    assert not faults, faults


EVENT = """scheduler.addEvent({ text: it, start_date: new Date(2027, 3, 20, 9),
  end_date: new Date(2027, 3, 20, 10) })"""
TASK = "gantt.addTask({ text: it, start_date: '2026-11-23 00:00', duration: 2 }, 15)"
RENAME = """(([was, text]) => {
  const event = Object.values(scheduler._events).find((each) => each.text === was);
  event.text = text;
  scheduler.callEvent("onEventChanged", [event.id, event]);
})(it)"""


def test_both_widgets_follow_what_is_done_in_either(team, server):
    one, two, judge = team
    one.edit("10", text="Concrete")
    one.run(EVENT, "Dentist")
    two.run(EVENT, "Jour fixe")
    two.edit("12", progress=0.5)
    # Both at once in one tab: ids in flight of one widget are none of the other's.
    for text in ("Pour", "Pour again"):
        two.run(
            "gantt.addTask({ text: it, start_date: '2026-11-23 00:00', duration: 2 }, 15)", text
        )
    plans.agree(server, one, two, order=False)
    agree(judge, one, two)
    assert [row[2] for row in shown(one)] == ["Dentist", "Jour fixe"]
    one.run(RENAME, ["Jour fixe", "Weekly"])
    two.run(RENAME, ["Dentist", "Doctor"])
    one.delete("10")
    plans.agree(server, one, two, order=False)
    agree(judge, one, two)
    assert [row[2] for row in shown(two)] == ["Doctor", "Weekly"]
    assert not silent(one) and not silent(two)
    assert len(one.sockets) == len(two.sockets) == 1

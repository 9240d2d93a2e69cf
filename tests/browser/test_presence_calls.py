"""People see each other, and calls end, on pages with the released client's own RemoteEvents."""

from __future__ import annotations

import pytest

from .tabs import FAILED_REQUEST

ANN = {"token": "anns", "user": "ann", "name": "Ann Lee", "color": "#102030"}
BOB = {"token": "bobs", "user": "bob", "name": "Bob Ray"}
#: Opens what a page with ``since`` would, for somebody, and keeps who is told to be here.
ENTER = """(async () => {
  window.here = new gantt.ext.liveUpdates.RemoteEvents("/api/v1?since=0", it);
  window.remote = await here.ready();
  window.people = [];
  here.on("presence", (value) => { window.people = value.people; });
  await probe.until(() => people.length);
})()"""
#: How a call ended that is made by POST, as by a page whose socket is not open yet.
POSTED = """(async () => {
  const sends = remote._mode;
  remote._mode = 1;
  const token = remote._token;
  remote._token = it.token ?? token;
  try {
    return await remote.api.live.here(it.argument).then(() => "done", (error) => error);
  } finally {
    remote._mode = sends;
    remote._token = token;
  }
})()"""


@pytest.fixture
def kind():
    return "since"


@pytest.fixture
def settings():
    return {"tokens": [{"token": "token", "user": "demo", "role": "admin"}, ANN, BOB]}


def sees(tab, display, item):
    """Wait until a page is told who has which item."""
    tab.until(
        "people.some((p) => p.display === it[0] && p.items.some(({ id }) => id === it[1]))",
        [display, item],
    )


def test_two_tabs_see_each_others_names_and_rows(server, tabs):
    first, second = tabs
    first.run(ENTER, "anns")
    second.run(ENTER, "bobs")
    first.run("remote.api.live.here(10)")
    second.run("remote.api.live.here('11', 'open')")
    for tab in tabs:
        sees(tab, "Ann Lee", 10)
        sees(tab, "Bob Ray", 11)
    people = first.run("remote.api.live.presence()")["people"]
    assert {each["name"]: each["color"] for each in people}["ann"] == ANN["color"]
    assert first.run("remote.data.user.name") == "ann"
    # The line is cut, and the client comes back by itself: where it was it has to say again.
    second.run("remote._socket.close()")
    first.until("!people.some(({ name }) => name === 'bob')")
    first.until("people.some(({ name, items }) => name === 'bob' && !items.length)")
    history = second.run("remote.api.plan.history({ limit: 1 })")["history"]
    assert len(history) == 1

    # A promise that is never kept would hang the page.
    tab = first
    tab.excuse(FAILED_REQUEST)
    assert "socket" in tab.run(POSTED, {"argument": 10})
    assert "not known" in tab.run(POSTED, {"argument": 10, "token": "wrong"})
    assert tab.run(POSTED, {"argument": "x" * 70_000}) == "Network Error"
    assert "not a number" in tab.run("remote.api.live.here('nowhere').catch((error) => error)")

"""The released Scheduler in two tabs: what one does, the other shows, and neither stops saving."""

from __future__ import annotations

import pytest

from .calendar_fuzz import CalendarFuzz
from .scheduler import agree, client, serve, shown, silent
from .tabs import Tab, open_window


@pytest.fixture(scope="module")
def client_folder():
    return client()


@pytest.fixture
def kind():
    return "calendar"


@pytest.fixture
def settings():
    return {"demo": False}


@pytest.fixture
def calendars(browser, client_folder, server):
    """Opens tabs with the Scheduler, the last of which is the judge."""
    opened = []

    def calendars(*urls, kind="calendar", judge=None):
        kinds = [*(kind for _ in urls), "judge"]
        for url, each in zip((*urls, judge or server.url), kinds, strict=True):
            window = open_window(browser)
            serve(window, client_folder)
            opened.append(Tab(window, each, url, each))
        return [tab.ready() for tab in opened]

    yield calendars
    faults = [(tab.name, fault[:300]) for tab in opened for fault in tab.faults()]
    for tab in opened:
        tab.page.context.close()
    assert not faults, faults


RULE = {"rrule": "FREQ=DAILY;INTERVAL=1", "duration": 3600}
NEVER = "9999-02-01 00:00"
#: The event of a text that has an id of the server's.
STORED = "Object.values(scheduler._events).find((e) => e.text === it && e.id < 1e12)"
ADD = """(it.start_date = scheduler.templates.parse_date(it.start_date),
  it.end_date = scheduler.templates.parse_date(it.end_date), scheduler.addEvent(it))"""
#: What a drag of one occurrence comes to, and what the form of a series does.
MOVE_ONE = """(([series, day]) => {
  const day0 = new Date(2027, 3, day);
  const one = scheduler.getEvent(scheduler.getEvents(day0, scheduler.date.add(day0, 1, "day"))
    .find(({ id }) => String(id).startsWith(`${series}#`)).id);
  one.start_date = new Date(2027, 3, day, 11, 5);
  one.end_date = new Date(2027, 3, day, 12, 5);
  scheduler.callEvent("onEventChanged", [one.id, one]);
})(it)"""
DELETE_ONE = """(([series, day]) => {
  const day0 = new Date(2027, 3, day);
  scheduler.deleteEvent(scheduler.getEvents(day0, scheduler.date.add(day0, 1, "day"))
    .find(({ id }) => String(id).startsWith(`${series}#`)).id);
})(it)"""
EDIT = """(([id, fields]) => {
  const event = scheduler.getEvent(id);
  for (const [name, value] of Object.entries(fields))
    event[name] = name.endsWith("_date") ? scheduler.templates.parse_date(value) : value;
  scheduler.callEvent("onEventChanged", [id, event]);
  scheduler.updateEvent(id);
})(it)"""


def add(tab, text, start="2027-04-22 09:00", end="2027-04-22 10:00", **more):
    """Add an event as its user would, wait until it is stored, return its id."""
    tab.run(ADD, {"text": text, "start_date": start, "end_date": end, **more})
    tab.until(f"Boolean({STORED})", text)
    return str(tab.run(f"{STORED}.id", text))


def add_series(tab, text="Standup"):
    return add(tab, text, "2027-04-19 09:00", NEVER, **RULE)


def edit(tab, id, **fields):
    tab.run(EDIT, [id, fields])


def hours(tab, text):
    """When the events of a title begin in the first days."""
    return [row[0][8:] for row in shown(tab) if row[2] == text and row[0] < "2027-04-24"]


@pytest.mark.parametrize("page", ["scheduler", "calendar"])
def test_an_event_is_added_edited_and_deleted(calendars, server, page):
    one, two, judge = calendars(server.url, server.url, kind=page)
    id = add(one, "Dentist")
    server.put(f"/events/{id}", users=[1, 2])
    two.until("scheduler.getEvent(it)?.users", id)
    edit(two, id, text="Doctor <b>", start_date="2027-04-23 09:00", end_date="2027-04-23 10:00")
    one.until("scheduler.getEvent(it).text === 'Doctor &lt;b>'", id)
    agree(judge, one, two)
    (stored,) = server.get("/events")["data"]
    assert stored["users"] == [1, 2]
    one.run("scheduler.deleteEvent(it)", id)
    two.until("!scheduler.getEvent(it)", id)
    agree(judge, one, two)


def test_a_series_with_its_exceptions(calendars, server):
    one, two, judge = tabs = calendars(server.url, server.url)
    series = add_series(one)
    agree(judge, one, two)
    assert hours(two, "Standup") == [f"{day} 09:00" for day in range(19, 24)]
    one.run(MOVE_ONE, [series, 21])
    agree(judge, one, two)
    assert "21 11:05" in hours(two, "Standup")
    two.run(DELETE_ONE, [series, 20])
    agree(judge, one, two)
    assert hours(one, "Standup") == ["19 09:00", "21 11:05", "22 09:00", "23 09:00"]
    # The moved one is deleted too: a POST and a DELETE.
    moved = one.run(
        "Object.values(scheduler._events).find((e) => e.original_start && !e.deleted).id"
    )
    two.run("scheduler.deleteEvent(it)", moved)
    agree(judge, one, two)
    assert hours(one, "Standup") == ["19 09:00", "22 09:00", "23 09:00"]
    # All of it, then what follows from the 23rd on.
    edit(one, series, text="Standing")
    agree(judge, one, two)
    assert hours(two, "Standing") == ["19 09:00", "22 09:00", "23 09:00"]
    until = "FREQ=DAILY;INTERVAL=1;UNTIL=20270423T085959Z"
    edit(one, series, end_date="2027-04-23 08:59", rrule=until)
    add(one, "Later", "2027-04-23 10:00", NEVER, **RULE)
    agree(judge, one, two)
    assert hours(two, "Standing") == ["19 09:00", "22 09:00"]
    assert hours(two, "Later") == ["23 10:00"]
    # All of it goes, and comes back with what was moved and deleted.
    two.run("scheduler.deleteEvent(it)", series)
    agree(judge, one, two)
    assert hours(one, "Standing") == []
    change = server.get(f"/data/history?item={series}&limit=1")["history"][0]["seq"]
    server.post(f"/data/undo/{change}")
    agree(judge, one, two)
    assert hours(one, "Standing") == ["19 09:00", "22 09:00"]
    # Back to a single one.
    edit(one, series, rrule="", end_date="2027-04-19 10:00")
    agree(judge, one, two)
    assert hours(two, "Standing")[0] == "19 09:00"
    assert not any(silent(tab) for tab in tabs[:2])


def test_an_exception_of_a_series_that_has_no_id_yet(calendars, server, line):
    slow = line(delay=0.05)
    one, two, judge = calendars(slow.url, server.url)
    # The client makes an exception itself while its series is under way.
    fields = {"text": "Run", "start_date": "2027-04-19 09:00", "end_date": NEVER, **RULE}
    one.run(f"window.fresh = {ADD}", fields)
    one.run(f"it[0] = window.fresh, {MOVE_ONE}", [None, 21])
    agree(judge, one, two)
    assert hours(two, "Run") == ["19 09:00", "20 09:00", "21 11:05", "22 09:00", "23 09:00"]
    rows = server.get("/events")["data"]
    (series,) = [each["id"] for each in rows if each.get("rrule")]
    assert [each["recurring_event_id"] for each in rows if not each.get("rrule")] == [series]


def test_an_event_that_is_deleted_while_its_form_is_open_keeps_no_tab_from_saving(
    calendars, server
):
    one, two, _ = calendars(server.url, server.url)
    first, other = add(one, "First"), add(one, "Other")
    two.until("scheduler.getEvent(it)", other)
    # The client's own handler throws there.
    two.excuse("reading '_lightbox_id'")
    two.run("scheduler.showLightbox(it)", first)
    one.run("scheduler.deleteEvent(it)", first)
    one.until("dp.updatedRows.length === 0")
    two.until("!dp._silent_mode")
    edit(two, other, text="Saved")
    one.until("scheduler.getEvent(it).text === 'Saved'", other)
    two.run("scheduler.endLightbox(false)")
    assert not silent(two)


def test_a_page_without_the_plug_in_outlives_the_delete_of_a_series(calendars, server):
    one, two, _ = calendars(server.url, server.url, kind="no-series")
    series = server.post(
        "/events", text="Daily", start_date="2027-04-19 09:00", end_date=NEVER, **RULE
    )["tid"]
    id = add(one, "Single")
    two.until("scheduler.getEvent(it[0]) && scheduler.getEvent(it[1])", [series, id])
    server.delete(f"/events/{series}")
    one.until("!scheduler.getEvent(it)", series)
    edit(two, id, text="Saved")
    one.until("scheduler.getEvent(it).text === 'Saved'", id)
    assert not silent(one) and not silent(two)


def test_what_another_adds_and_edits_while_a_tab_adds_something_is_there(calendars, server, line):
    slow = line(delay=0.4)
    one, two, judge = calendars(slow.url, server.url)
    two.run(ADD, {"text": "Mine", "start_date": "2027-04-20 09:00", "end_date": "2027-04-20 10:00"})
    one.run(ADD, {"text": "Slow", "start_date": "2027-04-21 09:00", "end_date": "2027-04-21 10:00"})
    two.until(f"Boolean({STORED})", "Mine")
    id = two.run(f"{STORED}.id", "Mine")
    # It is put off by the tab that adds, and changed meanwhile.
    edit(two, id, text="Changed")
    agree(judge, one, two)
    assert hours(one, "Changed") == ["20 09:00"]


def test_a_project_has_its_own(calendars, server):
    server.post("/projects", name="house")
    house = f"{server.url}/p/house"
    one, two, other, judge = calendars(house, house, server.url, judge=house)
    id = add(one, "Roof")
    two.until("scheduler.getEvent(it)", id)
    agree(judge, one, two)
    assert shown(other) == []


# Random hands.


def test_tabs_under_random_hands_end_equal(browser, tmp_path, client_folder):
    CalendarFuzz(browser, tmp_path, client_folder, seed=1, seconds=4).run()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 200))
def test_a_hundred_runs_end_equal(browser, tmp_path, client_folder, seed):
    CalendarFuzz(browser, tmp_path, client_folder, seed=seed, seconds=14).run()

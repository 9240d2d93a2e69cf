"""The Scheduler's requests, to the letter as its released client sends them."""

import pytest
from tornado import web

from gantt_tornado import routes
from tests.conftest import EDITOR, SECRET, VIEWER

pytestmark = pytest.mark.gen_test

EVENT = {"start_date": "2027-04-22 09:00", "end_date": "2027-04-22 10:00", "text": "new"}
SERIES = {
    "start_date": "2027-04-19 09:00",
    "end_date": "9999-02-01 00:00",
    "text": "ser",
    "rrule": "FREQ=DAILY;INTERVAL=1",
    "original_start": None,
    "recurring_event_id": None,
    "duration": 3600,
    "deleted": None,
    "$new": True,
}
EXCEPTION = {
    "start_date": "2027-04-21 11:05",
    "end_date": "2027-04-21 12:05",
    "rrule": None,
    "duration": None,
    "original_start": "2027-04-21 09:00",
    "text": "ser",
}
FORM = "start_date=2027-04-22%2009%3A00&end_date=2027-04-22%2010%3A00&text=new"


async def add(gantt, fields=EVENT, **more):
    answer = await gantt.post("/events", {**fields, **more})
    assert answer.json["action"] == "inserted", answer.json
    return answer.json["tid"]


async def stored(gantt, query=""):
    return {each["id"]: each for each in (await gantt.get(f"/events{query}")).json["data"]}


async def test_an_event_is_added_changed_and_deleted(gantt, listen):
    socket = await listen("events")
    id = await add(gantt)
    value = await socket.value("add-event")
    assert (value["event"]["id"], value["event"]["text"]) == (id, "new")
    answer = await gantt.put(f"/events/{id}", {**EVENT, "text": "moved", "rrule": ""})
    assert (answer.status, answer.json["action"], answer.json["tid"]) == (200, "updated", id)
    assert (await socket.value("update-event"))["event"]["text"] == "moved"
    answer = await gantt.delete(f"/events/{id}")
    assert (answer.status, answer.json["action"], answer.json["tid"]) == (200, "deleted", id)
    assert (await socket.until("delete-event"))["value"]["event"] == {"id": id}
    assert await stored(gantt) == {}


async def test_a_week_is_loaded_with_what_reaches_into_it(gantt):
    inside = await add(gantt)
    until = await add(gantt, start_date="2027-04-18 09:00", end_date="2027-04-19 00:00")
    across = await add(gantt, start_date="2027-04-01 09:00", end_date="2027-05-19 00:00")
    from_end = await add(gantt, start_date="2027-04-26 00:00", end_date="2027-04-26 01:00")
    series = await add(gantt, SERIES)
    week = await stored(gantt, "?timeshift=-120&from=2027-04-19&to=2027-04-26")
    assert week.keys() == {inside, across, series}
    assert (await stored(gantt)).keys() == {inside, until, across, from_end, series}


async def test_an_exception_comes_with_its_series_wherever_it_was_moved(gantt):
    series = await add(gantt, SERIES)
    moved = {**EXCEPTION, "start_date": "2027-06-01 09:00", "end_date": "2027-06-01 10:00"}
    id = await add(gantt, moved, recurring_event_id=str(series))
    assert id in await stored(gantt, "?from=2027-04-19&to=2027-04-26")


async def test_a_bound_that_is_no_date_is_named(gantt):
    answer = await gantt.get("/events?from=soon")
    assert (answer.status, answer.json["message"]) == (400, "from is not a date.")


async def test_a_load_that_is_known_already_is_not_sent_again(gantt):
    answer = await gantt.get("/events")
    again = await gantt.having(If_None_Match=answer.headers["Etag"]).get("/events")
    assert (again.status, again.body) == (304, b"")
    await add(gantt)
    assert (await gantt.having(If_None_Match=answer.headers["Etag"]).get("/events")).status == 200


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"text": "x"}, "start_date and end_date are needed"),
        ({**EVENT, "end_date": ""}, "start_date and end_date are needed"),
        ({**EVENT, "end_date": "2027-04-22 08:00"}, "end_date lies before start_date"),
        ({**EVENT, "start_date": "soon"}, "start_date: not a date"),
        ({**EVENT, "recurring_event_id": "77"}, "is not there"),
    ],
)
async def test_what_no_page_could_draw_is_refused_with_200_and_stored_nowhere(gantt, fields, why):
    answer = await gantt.post("/events", fields)
    assert (answer.status, answer.json["action"]) == (200, "error")
    assert why in answer.json["message"]
    assert await stored(gantt) == {}


@pytest.mark.parametrize("verb, path", [("POST", ""), ("PUT", "/1"), ("DELETE", "/1")])
async def test_who_may_not_write_is_told_with_200(gantt, verb, path):
    id = await add(gantt)
    for client in (gantt.anonymous(), gantt.having(Remote_Token=VIEWER)):
        body = None if verb == "DELETE" else EVENT
        answer = await client.request(verb, f"/events{path}", body)
        assert (answer.status, answer.json["code"]) == (200, "forbidden")
    assert (await stored(gantt)).keys() == {id}


async def test_the_token_of_a_write_may_stand_in_the_url_here_alone(gantt):
    stranger = gantt.anonymous()
    answer = await stranger.post(f"/events?token={EDITOR}", EVENT)
    assert answer.json["action"] == "inserted"
    answer = await stranger.put(f"/events/{answer.json['tid']}?token={EDITOR}", {"text": "x"})
    assert answer.json["action"] == "updated"
    answer = await stranger.post(f"/data/resource?token={EDITOR}", {"text": "x"})
    assert answer.status == 403
    answer = await stranger.post(f"/events?token={SECRET}wrong", EVENT)
    assert (answer.status, answer.json["code"]) == (200, "forbidden")


async def test_a_page_of_another_host_writes_nothing_with_a_token_in_the_url(gantt):
    evil = gantt.anonymous().having(Origin="https://evil.example")
    answer = await evil.post(f"/events?token={EDITOR}", EVENT)
    assert (answer.status, answer.json["code"]) == (200, "forbidden")
    assert await stored(gantt) == {}


async def test_the_log_has_a_refusal_as_one_and_no_token(gantt, caplog):
    await gantt.anonymous().post(f"/events?token={VIEWER}", EVENT)
    lines = [each.getMessage() for each in caplog.records if each.name == "tornado.access"]
    assert any(line.startswith("403 POST /events?token=… ") for line in lines), lines


async def test_a_form_of_mode_rest(gantt):
    answer = await gantt.post("/events", f"{FORM}&rrule=&recurring_event_id=&deleted=")
    id = answer.json["tid"]
    answer = await gantt.put(f"/events/{id}", "text=changed&deleted=")
    event = (await stored(gantt))[id]
    assert (event["text"], event["rrule"]) == ("changed", None)


async def test_mode_json(gantt):
    url = "/events?editing=true"
    answer = await gantt.post(url, {"id": 1764094000001, "action": "inserted", "data": EVENT})
    id = answer.json["tid"]
    assert answer.json["action"] == "inserted" and id < 1000
    answer = await gantt.post(url, {"id": id, "action": "updated", "data": {"text": "b"}})
    assert (answer.json["action"], (await stored(gantt))[id]["text"]) == ("updated", "b")
    answer = await gantt.post(url, {"id": id, "action": "deleted", "data": {}})
    assert (answer.json["action"], await stored(gantt)) == ("deleted", {})


async def test_mode_post(gantt):
    url = "/events?editing=true"
    answer = await gantt.post(url, f"{FORM}&id=1764094000001&!nativeeditor_status=inserted")
    id = answer.json["tid"]
    answer = await gantt.post(url, f"id={id}&!nativeeditor_status=updated&text=b")
    assert (answer.json["action"], (await stored(gantt))[id]["text"]) == ("updated", "b")
    answer = await gantt.post(url, f"id={id}&!nativeeditor_status=deleted")
    assert (answer.json["action"], await stored(gantt)) == ("deleted", {})


async def test_a_batch_of_mode_post(gantt):
    rows = "&".join(f"{id}_{FORM.replace('&', f'&{id}_')}" for id in (11, 12))
    states = "&".join(f"{id}_!nativeeditor_status=inserted" for id in (11, 12))
    answer = await gantt.post("/events?editing=true", f"ids=11,12&{rows}&{states}")
    assert answer.body.count(b'<action type="inserted"') == 2
    assert len(await stored(gantt)) == 2


async def test_an_array_that_came_back_as_an_object_is_an_array_where_it_was_one(gantt):
    id = await add(gantt, users=[1, 2], place={"0": "a"})
    sent = {"users": {"0": 1, "1": 3}, "place": {"0": "b"}, "more": {"0": 1}}
    await gantt.put(f"/events/{id}", sent)
    event = (await stored(gantt))[id]
    assert (event["users"], event["place"], event["more"]) == ([1, 3], {"0": "b"}, {"0": 1})


async def test_two_who_edit_different_fields_both_keep_their_edit(gantt, colleague):
    answer = await gantt.post("/events", EVENT)
    item = answer.json["item"]
    await gantt.put(f"/events/{item['id']}", {**item, "text": "Dentist"})
    moved = {"start_date": "2027-04-23 09:00", "end_date": "2027-04-23 10:00"}
    await colleague.put(f"/events/{item['id']}", {**item, **moved})
    event = (await stored(gantt))[item["id"]]
    assert (event["text"], event["start_date"]) == ("Dentist", "2027-04-23 09:00")


async def test_both_ends_changed_by_two_never_leave_the_end_before_the_start(gantt, colleague):
    item = (await gantt.post("/events", EVENT)).json["item"]
    path = f"/events/{item['id']}"
    await gantt.put(path, {**item, "start_date": "2027-04-22 09:50"})
    answer = await colleague.put(path, {**item, "end_date": "2027-04-22 09:30"})
    event = answer.json["item"]
    assert (event["start_date"], event["end_date"]) == ("2027-04-22 09:00", "2027-04-22 09:30")


async def test_a_put_to_what_is_gone_is_answered_as_saved_and_told_as_gone(gantt, listen):
    id = await add(gantt)
    await gantt.delete(f"/events/{id}")
    socket = await listen("events")
    answer = await gantt.put(f"/events/{id}", {"text": "late"})
    assert (answer.status, answer.json["action"], answer.json["gone"]) == (200, "updated", True)
    assert (await socket.until("delete-event"))["value"]["event"] == {"id": id}


async def test_what_never_was_is_refused_and_what_was_never_saved_is_deleted(gantt):
    answer = await gantt.put("/events/77", {"text": "x"})
    assert (answer.status, answer.json["code"]) == (200, "not-found")
    answer = await gantt.delete("/events/$dnd_recurring_placeholder")
    assert (answer.status, answer.json["action"]) == (200, "deleted")


# Series.


async def test_a_deleted_occurrence_is_told_as_an_event_that_is_deleted(gantt, listen):
    series = await add(gantt, SERIES)
    socket = await listen("events")
    id = await add(gantt, EXCEPTION, recurring_event_id=str(series), deleted=True)
    event = (await socket.value("add-event"))["event"]
    assert (event["id"], event["deleted"], event["recurring_event_id"]) == (id, True, series)
    assert event["original_start"] == "2027-04-21 09:00"


async def test_the_delete_of_an_exception_deletes_its_occurrence(gantt, listen):
    series = await add(gantt, SERIES)
    id = await add(gantt, EXCEPTION, recurring_event_id=series)
    socket = await listen("events")
    answer = await gantt.delete(f"/events/{id}")
    assert answer.json["action"] == "deleted"
    assert (await socket.value("update-event"))["event"]["deleted"] is True
    assert (await stored(gantt))[id]["deleted"] is True
    assert (await gantt.delete(f"/events/{id}")).json["change"] is None


async def test_a_change_of_a_series_keeps_its_exceptions(gantt):
    series = await add(gantt, SERIES)
    id = await add(gantt, EXCEPTION, recurring_event_id=series)
    rule = "FREQ=DAILY;INTERVAL=1;UNTIL=20270423T085959Z"
    until = {"end_date": "2027-04-23 08:59", "rrule": rule}
    await gantt.put(f"/events/{series}", {**SERIES, **until})
    assert (await stored(gantt)).keys() == {series, id}
    await gantt.put(f"/events/{series}", {**SERIES, "rrule": ""})
    assert (await stored(gantt)).keys() == {series, id}


async def test_a_series_may_end_before_it_begins(gantt):
    series = await add(gantt, SERIES)
    answer = await gantt.put(f"/events/{series}", {**SERIES, "end_date": "2027-04-19 08:59"})
    assert answer.json["action"] == "updated"


async def test_the_delete_of_a_series_takes_its_exceptions_and_undo_brings_all_back(gantt, listen):
    series = await add(gantt, SERIES)
    id = await add(gantt, EXCEPTION, recurring_event_id=series)
    before = await stored(gantt)
    change = (await gantt.delete(f"/events/{series}")).json["change"]
    assert await stored(gantt) == {}
    socket = await listen("events")
    undone = await gantt.post(f"/data/undo/{change}")
    assert undone.status == 200
    added = [(await socket.value("add-event"))["event"]["id"] for _ in range(2)]
    assert added == [series, id]
    after = await stored(gantt)
    for each in (*before.values(), *after.values()):
        del each["$rev"], each["$mark"]
    assert after == before


async def test_an_exception_finds_the_series_that_its_page_has_just_added(gantt):
    page = gantt.having(Remote_Device="page-1")
    series = await add(page, SERIES)
    id = await add(page, EXCEPTION, recurring_event_id="1764094000001")
    assert (await stored(gantt))[id]["recurring_event_id"] == series
    await page.put(f"/events/{id}", {**EXCEPTION, "recurring_event_id": "1764094000001"})
    assert (await stored(gantt))[id]["recurring_event_id"] == series


async def test_an_exception_of_a_series_that_never_comes_is_refused(gantt, backend):
    backend.default.series._patience = 0
    answer = await gantt.post("/events", {**EXCEPTION, "recurring_event_id": "1764094000001"})
    assert (answer.status, answer.json["code"]) == (200, "conflict")


async def test_the_old_format(gantt):
    legacy = {**EVENT, "rec_type": "day_1___", "event_length": 3600, "event_pid": 0}
    series = await add(gantt, legacy)
    hidden = {**EVENT, "rec_type": "none", "event_pid": series, "event_length": "1808384400"}
    answer = await gantt.post("/events", hidden)
    assert answer.json["action"] == "deleted"
    event = (await stored(gantt))[answer.json["tid"]]
    assert (event["event_pid"], event["event_length"]) == (series, "1808384400")


async def test_history_and_replay_are_those_of_all_items(gantt, backend, listen):
    since = backend.default.plan.seq
    id = await add(gantt, EVENT)
    await gantt.put(f"/events/{id}", {"text": "<b>"})
    (last, _) = (await gantt.get(f"/data/history?item={id}")).json["history"]
    assert (last["entity"], last["user"], last["fields"]) == (
        "event",
        "Eve",
        {"text": ["new", "<b>"]},
    )
    socket = await listen("events", since=since)
    assert (await socket.value("add-event"))["event"]["text"] == "&lt;b>"
    assert (await socket.value("update-event"))["event"]["id"] == id


async def test_a_project_has_events_of_its_own(backend, gantt):
    await backend.create_project("house")
    gantt_root = await add(gantt)
    answer = await gantt.post("/p/house/events", {**EVENT, "text": "house"})
    assert answer.json["tid"] == 1
    assert [each["text"] for each in (await gantt.get("/p/house/events")).json["data"]] == ["house"]
    assert (await stored(gantt)).keys() == {gantt_root}
    copied = await backend.create_project("copy", copy_of="house")
    assert copied.name == "copy"
    assert len((await gantt.get("/p/copy/events")).json["data"]) == 1


async def test_a_plan_that_is_read_anew_has_all_of_it(gantt, backend, logged_errors):
    series = await add(gantt, SERIES)
    id = await add(gantt, EXCEPTION, recurring_event_id=series)
    before = await gantt.get("/events?from=2027-04-19&to=2027-04-20")
    backend.default._read_again()
    await backend.default._rereading
    after = await gantt.get("/events?from=2027-04-19&to=2027-04-20")
    assert after.json["data"] == before.json["data"]
    assert {series, id} == {each["id"] for each in after.json["data"]}


class TestInAnApplication:
    @pytest.fixture
    def settings(self):
        return {"max_body": 1024}

    @pytest.fixture
    def app(self, backend):
        return web.Application(routes(backend, page=False))

    async def test_its_refusals_have_the_status_200_too(self, gantt, viewer):
        assert (await viewer.post("/events", EVENT)).json["code"] == "forbidden"
        answer = await gantt.post("/events", {**EVENT, "text": "x" * 2000})
        assert (answer.status, answer.json["code"]) == (200, "too-large")
        answer = await gantt.anonymous().post(f"/events?token={EDITOR}", EVENT)
        assert answer.json["action"] == "inserted"
        assert (await gantt.anonymous().get("/events?from=soon")).status == 400


class TestSwitchedOff:
    @pytest.fixture
    def settings(self):
        return {"scheduler": False}

    @pytest.fixture
    def app(self, backend):
        class Own(web.RequestHandler):
            def get(self):
                self.write("mine")

        return web.Application([("/events", Own), *routes(backend)])

    async def test_the_path_and_the_channel_are_the_applications(self, backend, gantt, listen):
        backend.guard("events", lambda user: user.name == "Eve")
        assert (await gantt.get("/events")).body == b"mine"
        socket = await listen("events")
        backend.publish("events", {"type": "own"})
        assert await socket.value("own") == {"type": "own"}

    async def test_there_is_no_such_entity(self, gantt):
        assert (await gantt.post("/data/event", EVENT)).status == 404

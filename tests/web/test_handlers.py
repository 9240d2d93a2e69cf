"""REST, as docs/protocol.md has it, and what the stock client needs of it."""

import asyncio
import gc
import re
from typing import ClassVar
from urllib.parse import urlencode

import orjson
import pytest
from tornado.httpclient import HTTPRequest
from tornado.iostream import StreamClosedError
from tornado.tcpclient import TCPClient

from gantt_tornado.errors import GanttError, Unavailable
from gantt_tornado.model.change import BatchRow
from gantt_tornado.web import requests
from gantt_tornado.web.requests import Body
from tests.support import number_of

pytestmark = pytest.mark.gen_test

DATES = {"start_date": "2030-01-07 00:00", "duration": 2}
WRITES = [
    ("POST", "/data/task"),
    ("PUT", "/data/task/1"),
    ("DELETE", "/data/task/1"),
    ("POST", "/data"),
    ("POST", "/data/undo/1"),
]
#: An id as the client gives one to a row until that is saved.
UNSAVED = 1795612125026
BELOW_NOTHING = {"text": "x", "parent": 999, **DATES}
OPTIONAL = ["resource", "assignment", "baseline"]


def deep(text, *names):
    """JSON with lists at ``@`` as deep as a body may have them, and Python cannot print them."""
    return (text % names).replace("@", "[" * 1000 + "]" * 1000).encode()


def is_error(answer, status):
    """Whether the stock client takes the row for refused, and a person learns why."""
    body = answer.json
    return answer.status == status and body["action"] == "error" and len(body["message"]) > 5


async def tasks(gantt, *texts, **fields):
    return [(await gantt.add("task", text=text, **fields))["id"] for text in texts]


async def order(gantt):
    return [task["text"] for task in (await gantt.get()).json["tasks"]]


async def connect(gantt):
    return await TCPClient().connect("127.0.0.1", int(gantt.url.rpartition(":")[2]))


class TestLoad:
    async def test_what_stands_between_keeps_packed_and_plain_apart(self, gantt):
        vary = (await gantt.get()).headers["Vary"]
        assert "Accept-Encoding" in [each.strip() for each in vary.split(",")]

    async def test_an_empty_plan_has_both_lists_and_a_number(self, gantt):
        answer = await gantt.get()
        assert answer.status == 200
        assert answer.json == {"tasks": [], "links": [], "seq": answer.json["seq"]}
        assert number_of(answer.json["seq"]) == 0

    async def test_seq_is_the_number_of_the_last_change_and_its_mark(self, gantt):
        task = await gantt.add("task")
        assert (await gantt.get()).json["seq"] == f"{task['_rev']}-{task['_mark']}"

    async def test_an_item_is_loaded_as_it_was_answered(self, gantt):
        task = await gantt.add("task", text="Dig")
        assert (await gantt.get()).json["tasks"] == [task]

    @pytest.mark.parametrize("entity", OPTIONAL)
    async def test_an_optional_entity_appears_with_its_first_row(self, gantt, entity):
        task = await gantt.add("task")
        path = "/data?assignments=1"
        assert entity + "s" not in (await gantt.get(path)).json
        item = await gantt.add(entity, task_id=task["id"], **DATES)
        assert (await gantt.get(path)).json[entity + "s"] == [item]

    @pytest.mark.parametrize("query", ["", "?assignments=", "?assignments=0", "?assignments"])
    async def test_assignments_are_for_those_who_ask(self, gantt, query):
        await gantt.add("assignment", task_id=(await gantt.add("task"))["id"])
        assert "assignments" not in (await gantt.get(f"/data{query}")).json

    async def test_neither_load_is_taken_for_the_other(self, gantt):
        task = await gantt.add("task", note="x" * 40_000)
        await gantt.add("assignment", task_id=task["id"])
        for _ in range(2):
            with_them, without = [await gantt.get(f"/data?assignments={n}") for n in (1, 0)]
            assert ("assignments" in with_them.json, "assignments" in without.json) == (True, False)
        assert with_them.headers["Etag"] != without.headers["Etag"]
        other = gantt.having(If_None_Match=with_them.headers["Etag"])
        assert (await other.get()).status == 200
        assert (await other.get("/data?assignments=1")).status == 304

    async def test_what_the_client_makes_of_assignments_is_not_kept(self, gantt):
        task = await gantt.add("task", undefined=[{"id": 7, "task_id": 1}])
        assert "undefined" not in task

    async def test_tasks_come_in_the_order_in_which_they_are_drawn(self, gantt):
        first, second = await tasks(gantt, "first", "second")
        await tasks(gantt, "below first", parent=first)
        await tasks(gantt, "below second", parent=second)
        assert await order(gantt) == ["first", "below first", "second", "below second"]

    async def test_its_etag_is_its_seq(self, gantt):
        await gantt.add("task")
        answer = await gantt.get()
        assert answer.headers["Etag"] == f'"{answer.json["seq"]}"'

    @pytest.mark.parametrize("tag", ["{}", "W/{}", '"7", {}'])
    async def test_what_the_client_has_is_not_sent_again(self, gantt, tag):
        etag = (await gantt.get()).headers["Etag"]
        gantt.headers["If-None-Match"] = tag.format(etag)
        answer = await gantt.get()
        assert (answer.status, answer.body, answer.headers["Etag"]) == (304, b"", etag)

    @pytest.mark.parametrize("tag", ['"1"', "{}", '"0"', '"0{}"', '"{}0"', "junk"])
    async def test_another_tag_gets_the_whole(self, gantt, tag):
        seq = (await gantt.get()).json["seq"]
        gantt.headers["If-None-Match"] = tag.format(seq)
        assert (await gantt.get()).status == 200

    async def test_a_change_makes_the_tag_an_old_one(self, gantt):
        gantt.headers["If-None-Match"] = (await gantt.get()).headers["Etag"]
        await gantt.add("task")
        assert (await gantt.get()).status == 200

    async def test_a_refused_write_leaves_the_tag(self, gantt):
        tag = (await gantt.get()).headers["Etag"]
        await gantt.post("/data/task", {"text": "no dates"})
        assert (await gantt.get()).headers["Etag"] == tag

    async def test_head_has_the_length_and_no_body(self, gantt):
        await gantt.add("task")
        whole, head = await gantt.get(), await gantt.request("HEAD", "/data")
        assert (head.status, head.body) == (200, b"")
        assert int(head.headers["Content-Length"]) == len(whole.body)
        assert head.headers["Etag"] == whole.headers["Etag"]

    async def test_head_answers_304_too(self, gantt):
        gantt.headers["If-None-Match"] = (await gantt.get()).headers["Etag"]
        assert (await gantt.request("HEAD", "/data")).status == 304

    @pytest.mark.parametrize("junk", ["?dhxr1699=1", "?dhxr1=1&x=%20&&=", "?"])
    async def test_junk_in_the_query_is_ignored(self, gantt, junk):
        assert number_of((await gantt.get("/data" + junk)).json["seq"]) == 0

    async def test_it_is_json_that_nobody_may_guess_otherwise(self, gantt):
        headers = (await gantt.get()).headers
        assert headers["Content-Type"] == "application/json; charset=UTF-8"
        assert headers["X-Content-Type-Options"] == "nosniff"

    async def test_a_large_plan_arrives_whole(self, backend, gantt):
        for number in range(6):
            await backend.insert("task", {"text": "x" * 400_000, "n": number, **DATES})
        assert [task["n"] for task in (await gantt.get()).json["tasks"]] == list(range(6))

    async def test_a_reader_that_hangs_up_half_way_is_no_error(self, backend, gantt):
        for _ in range(7):
            await backend.insert("task", {"text": "x" * 900_000, **DATES})
        stream = await connect(gantt)
        await stream.write(b"GET /data HTTP/1.1\r\nHost: x\r\n\r\n")
        await stream.read_until(b"\r\n\r\n")
        stream.close()
        assert (await gantt.get()).status == 200


class TestAnswers:
    async def test_insert(self, gantt):
        answer = await gantt.post("/data/task", {"text": "Dig", **DATES})
        body = answer.json
        assert (answer.status, body["action"]) == (200, "inserted")
        (id, item) = (body["item"]["id"], body["item"])
        assert body == {"action": "inserted", "tid": id, "change": item["_rev"], "item": item}

    async def test_update(self, gantt):
        task = await gantt.add("task")
        answer = await gantt.put(f"/data/task/{task['id']}", {"text": "Dig"})
        mark = answer.json["item"]["_mark"]
        item = {**task, "text": "Dig", "_rev": task["_rev"] + 1, "_mark": mark}
        done = {"action": "updated", "tid": task["id"], "change": item["_rev"], "item": item}
        assert answer.json == done

    async def test_an_update_that_changed_nothing_is_no_change(self, gantt):
        task = await gantt.add("task", text="Dig")
        answer = await gantt.put(f"/data/task/{task['id']}", {"text": "Dig"})
        assert answer.json["change"] is None

    async def test_an_add_that_is_sent_again_names_the_change_that_was_made(self, gantt):
        page = gantt.having(Idempotency_Key="k")
        answers = [await page.post("/data/task", DATES) for _ in range(2)]
        assert [answer.json["change"] for answer in answers] == [1, 1]

    async def test_the_change_of_an_answer_can_be_undone(self, gantt):
        task = await gantt.add("task", text="Dig")
        answer = await gantt.put(f"/data/task/{task['id']}", {"text": "Fill"})
        undone = (await gantt.post(f"/data/undo/{answer.json['change']}")).json
        assert (undone["item"]["text"], undone["change"]) == ("Dig", 3)

    async def test_delete(self, gantt):
        task = await gantt.add("task")
        answer = await gantt.delete(f"/data/task/{task['id']}")
        done = {"action": "deleted", "tid": task["id"], "change": task["_rev"] + 1}
        assert (answer.status, answer.json) == (200, done)

    async def test_a_new_item_has_every_field_that_the_client_draws(self, gantt):
        task = await gantt.add("task", text="Dig")
        assert task == {
            "id": task["id"],
            "text": "Dig",
            "progress": 0,
            "type": "task",
            "parent": 0,
            "sortorder": task["sortorder"],
            "start_date": "2030-01-07 00:00",
            "end_date": "2030-01-09 00:00",
            "duration": 2,
            "_rev": task["_rev"],
            "_mark": task["_mark"],
        }

    async def test_a_new_link_ends_one_task_before_another_starts(self, gantt):
        first, second = await tasks(gantt, "a", "b")
        link = await gantt.add("link", source=first, target=second)
        expected = {"source": first, "target": second, "type": "0"}
        ours = {name: link[name] for name in ("id", "_rev", "_mark")}
        assert link == {**expected, **ours}

    async def test_ids_are_unique_across_entities(self, gantt):
        first, second = await tasks(gantt, "a", "b")
        link = await gantt.add("link", source=first, target=second)
        resource = await gantt.add("resource")
        assignment = await gantt.add("assignment", task_id=first)
        ids = [first, second, link["id"], resource["id"], assignment["id"]]
        assert len(set(ids)) == 5

    async def test_an_id_is_not_given_twice(self, gantt):
        (first,) = await tasks(gantt, "a")
        await gantt.delete(f"/data/task/{first}")
        assert await tasks(gantt, "b") != [first]

    async def test_the_clients_own_id_is_not_kept(self, gantt):
        task = await gantt.add("task", id=1699, text="Dig")
        assert task["id"] != 1699

    async def test_an_update_that_changes_nothing_keeps_the_revision(self, gantt):
        task = await gantt.add("task", text="Dig")
        answer = await gantt.put(f"/data/task/{task['id']}", task)
        assert answer.json["item"] == task

    async def test_an_update_changes_only_the_fields_that_it_names(self, gantt):
        task = await gantt.add("task", text="Dig", holder="Eve")
        answer = await gantt.put(f"/data/task/{task['id']}", {"progress": 0.5})
        ours = {"_rev": task["_rev"] + 1, "_mark": answer.json["item"]["_mark"]}
        assert answer.json["item"] == {**task, "progress": 0.5, **ours}

    async def test_deleting_what_is_gone_succeeds(self, gantt):
        task = await gantt.add("task")
        for _ in range(2):
            answer = await gantt.delete(f"/data/task/{task['id']}")
            assert (answer.status, answer.json["action"]) == (200, "deleted")

    @pytest.mark.parametrize("id", ["1699000000001", "new", "-1", "9" * 30])
    async def test_deleting_what_never_was_succeeds(self, gantt, id):
        answer = await gantt.delete(f"/data/task/{id}")
        assert (answer.status, answer.json["action"]) == (200, "deleted")

    async def test_a_delete_through_another_entity_deletes_nothing(self, gantt):
        task = await gantt.add("task")
        await gantt.delete(f"/data/link/{task['id']}")
        assert (await gantt.get()).json["tasks"] == [task]

    async def test_a_post_that_is_sent_again_adds_no_second_item(self, gantt):
        sender = gantt.having(Idempotency_Key="page-1")
        first, second = [await sender.add("task", text="Dig") for _ in range(2)]
        assert first == second
        assert (await gantt.get()).json["tasks"] == [first]


class TestSentAgain:
    """A write whose answer was lost, sent again with its ``Idempotency-Key`` when others have
    worked on the same meanwhile."""

    @pytest.fixture
    def sender(self, gantt):
        return gantt.having(Idempotency_Key="page:1", Remote_Device="page")

    async def test_a_put_does_not_overwrite_a_later_edit(self, gantt, sender):
        task = await gantt.add("task", text="Dig")
        path, mine = f"/data/task/{task['id']}", {"text": "Mine"}
        first = (await sender.put(path, mine)).json
        await gantt.put(path, {"text": "Later"})
        again = (await sender.put(path, mine)).json
        assert (again["action"], again["change"]) == ("updated", first["change"])
        assert again["item"]["text"] == "Later" == (await gantt.get()).json["tasks"][0]["text"]

    async def test_a_put_with_its_rev_does_not_either(self, gantt, sender):
        task = await gantt.add("task", text="Dig")
        path, mine = f"/data/task/{task['id']}", {**task, "text": "Mine"}
        await sender.put(path, mine)
        await gantt.put(path, {"text": "Later"})
        assert (await sender.put(path, mine)).json["item"]["text"] == "Later"

    async def test_a_put_to_what_is_gone_by_then_is_told_so(self, gantt, sender):
        task = await gantt.add("task", text="Dig")
        path = f"/data/task/{task['id']}"
        await sender.put(path, {"text": "Mine"})
        await gantt.delete(path)
        assert (await sender.put(path, {"text": "Mine"})).json["gone"] is True

    async def test_a_delete_does_not_take_away_what_was_brought_back(self, gantt, sender):
        task = await gantt.add("task", text="Dig")
        path = f"/data/task/{task['id']}"
        below = await gantt.add("task", parent=task["id"])
        first = (await sender.delete(path)).json
        await gantt.post(f"/data/undo/{first['change']}")
        assert (await sender.delete(path)).json == first
        ids = [each["id"] for each in (await gantt.get()).json["tasks"]]
        assert ids == [task["id"], below["id"]]

    async def test_an_undo_is_done_once(self, gantt, sender):
        task = await gantt.add("task", text="Dig")
        path = f"/data/task/{task['id']}"
        edit = (await gantt.put(path, {"text": "Mine"})).json
        undo = f"/data/undo/{edit['change']}"
        first = (await sender.post(undo)).json
        await gantt.put(path, {"text": "Mine"})
        again = (await sender.post(undo)).json
        assert again["change"] == first["change"] and again["item"]["text"] == "Mine"

    async def test_an_undo_of_an_add_is_done_once(self, gantt, sender):
        task = await gantt.add("task", text="Dig")
        undo = f"/data/undo/{task['id']}"
        first = (await sender.post(undo)).json
        again = (await sender.post(undo)).json
        assert (again["change"], again["item"]) == (first["change"], None)

    async def test_a_key_counts_for_its_item_and_its_verb(self, gantt, sender):
        task = await gantt.add("task", text="Dig")
        other = await gantt.add("task", text="Fill")
        for each in (task, other):
            answer = await sender.put(f"/data/task/{each['id']}", {"text": "Mine"})
            assert answer.json["item"]["text"] == "Mine"
        assert (await sender.post("/data/task", DATES)).json["action"] == "inserted"
        assert (await sender.delete(f"/data/task/{task['id']}")).json["change"]
        ids = [each["id"] for each in (await gantt.get()).json["tasks"]]
        assert task["id"] not in ids

    async def test_another_key_is_another_edit(self, gantt, sender):
        task = await gantt.add("task", text="Dig")
        path = f"/data/task/{task['id']}"
        await sender.put(path, {"text": "Mine"})
        await gantt.put(path, {"text": "Later"})
        answer = await sender.having(Idempotency_Key="page:2").put(path, {"text": "Mine"})
        assert answer.json["item"]["text"] == "Mine"


class TestRefusals:
    """Each body has what the stock client needs in order to take the row back."""

    @pytest.mark.parametrize(
        "path",
        [
            "/data/",
            "/data/nonsense",
            "/data/nonsense/1",
            "/data/task/1/2",
            "/data/../x/",
            "/data/T",
        ],
    )
    @pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "PATCH", "BREW"])
    async def test_an_unknown_address(self, gantt, path, method):
        body = None if method in ("GET", "DELETE", "BREW") else {}
        answer = await gantt.request(method, path, body)
        assert is_error(answer, 404) or is_error(answer, 405)

    @pytest.mark.parametrize("id", ["new", "7"])
    @pytest.mark.parametrize("method", ["PUT", "DELETE"])
    async def test_an_unknown_entity_is_not_found_whatever_the_id(self, gantt, method, id):
        body = {} if method == "PUT" else None
        assert is_error(await gantt.request(method, f"/data/nonsense/{id}", body), 404)

    @pytest.mark.parametrize(
        "method, path",
        [
            ("GET", "/data/task"),
            ("GET", "/data/task/1"),
            ("POST", "/data/task/1"),
            ("PUT", "/data/task"),
            ("DELETE", "/data/task"),
            ("PUT", "/data"),
            ("DELETE", "/data"),
            ("PATCH", "/data/task/1"),
            ("BREW", "/data/task/1"),
            ("BREW", "/data"),
        ],
    )
    async def test_a_wrong_method(self, gantt, method, path):
        assert is_error(await gantt.request(method, path), 405)

    @pytest.mark.parametrize("id", ["77", "new", "0", "-1", "1.5", "9" * 30, "%D9%A3", "1%00"])
    async def test_an_update_of_what_is_not_there(self, gantt, id):
        assert is_error(await gantt.put(f"/data/task/{id}", {"text": "x"}), 404)

    @pytest.mark.parametrize("fields", [{"text": "x"}, {"parent": 0, "_rev": 3}])
    async def test_an_edit_of_a_row_with_an_id_of_the_clients_own(self, gantt, fields):
        assert is_error(await gantt.put(f"/data/task/{UNSAVED}", fields), 404)

    async def test_an_update_of_what_was_deleted_says_so(self, gantt):
        task = await gantt.add("task")
        await gantt.delete(f"/data/task/{task['id']}")
        answer = await gantt.put(f"/data/task/{task['id']}", {"text": "x"})
        gone = {"action": "deleted", "tid": task["id"], "gone": True}
        assert (answer.status, answer.json) == (
            200,
            gone | {"message": "This task has been deleted."},
        )

    async def test_in_mode_json_an_update_of_what_was_deleted_says_so(self, gantt):
        task = await gantt.add("task")
        await gantt.delete(f"/data/task/{task['id']}")
        row = {"id": task["id"], "action": "updated", "data": {"text": "x"}}
        answer = await gantt.post("/data?gantt_mode=tasks", row)
        assert (answer.json["action"], answer.json["gone"]) == ("deleted", True)

    async def test_a_row_is_added_and_changed_in_one_batch(self, backend):
        rows = [
            BatchRow("inserted", "t1", {"text": "a", **DATES}),
            BatchRow("updated", "t1", {"text": "A"}),
        ]
        added, changed = await backend.batch("task", rows)
        assert (added.id, changed.id) == (changed.id, backend.load()["tasks"][0]["id"])
        assert backend.item("task", added.id)["text"] == "A"

    async def test_of_a_batch_an_id_with_control_characters_is_left_out(self, gantt):
        rows = "&".join(
            f"{id}_!nativeeditor_status=inserted&{id}_text=x&{id}_start_date=2030-01-07"
            f"&{id}_duration=1"
            for id in ("5", "6%07")
        )
        answer = await gantt.post("/data?gantt_mode=tasks", f"{rows}&ids=5,6%07")
        assert answer.status == 200 and b'sid="5"' in answer.body
        assert b"\x07" not in answer.body and b'sid="6' not in answer.body

    async def test_in_a_batch_an_update_of_what_was_deleted_says_so(self, gantt):
        id = (await gantt.add("task"))["id"]
        await gantt.delete(f"/data/task/{id}")
        form = f"{id}_!nativeeditor_status=updated&{id}_text=x&ids={id}"
        answer = await gantt.post("/data?gantt_mode=tasks", form)
        assert f'<action type="deleted" sid="{id}" tid="{id}"/>' in answer.body.decode()

    async def test_an_id_that_is_no_text(self, gantt):
        assert is_error(await gantt.put("/data/task/%FF", {}), 400)

    @pytest.mark.parametrize(
        "body", [b"{", b"[]", b"null", b'"text"', b"{]}", b"\xff", b'{"a":NaN}', b'{"a":"\xff"}']
    )
    async def test_a_body_that_is_no_json_object(self, gantt, body):
        sender = gantt.having(Content_Type="application/json")
        assert is_error(await sender.post("/data/task", body), 400)

    @pytest.mark.parametrize("body", [b"a=%FF", b"\xff=1", b"a=1&" * 20_000])
    async def test_a_form_that_cannot_be_read(self, gantt, body):
        assert is_error(await gantt.post("/data/task", body), 400)

    async def test_no_body_at_all(self, gantt):
        assert is_error(await gantt.post("/data/task"), 400)

    @pytest.mark.parametrize(
        "field, value",
        [
            ("start_date", "tomorrow"),
            ("start_date", "2030-13-01 00:00"),
            ("start_date", "9999-12-31T23:59:59-12:00"),
            ("start_date", "0001-01-01T00:00:00+12:00"),
            ("start_date", "0099-01-01 00:00"),
            ("start_date", 1699),
            ("start_date", {"$date": 1}),
            ("end_date", "2029-01-01 00:00"),
            ("duration", -1),
            ("duration", "long"),
            ("duration", 1e300),
            ("duration", "nan"),
            ("progress", 1.5),
            ("progress", -0.1),
            ("progress", "half"),
            ("progress", "nan"),
            ("progress", "inf"),
            ("text", {"a": 1}),
            ("text", ["a"]),
            ("open", "perhaps"),
            ("parent", 1.5),
            ("parent", [1]),
            ("parent", True),
            ("parent", False),
            ("target", True),
            ("target", [7]),
            ("target", {"id": 7}),
        ],
    )
    async def test_a_value_that_the_field_cannot_hold_is_named(self, gantt, field, value):
        answer = await gantt.post("/data/task", {**DATES, field: value})
        assert is_error(answer, 400)
        assert field in answer.json["message"]

    @pytest.mark.parametrize("name", ["<x>sortorder", "<x>id", "<b>", "a\n", "x" * 5000])
    async def test_a_field_that_cannot_be_called_so_is_named(self, gantt, name):
        task = await gantt.add("task")
        path = f"/data/task/{task['id']}"
        form = urlencode({name: "5"})
        # A batch of one, answered as a form is.
        single = f"id={task['id']}&!nativeeditor_status=updated&{form}"
        for answer in (
            await gantt.post("/data/task", {**DATES, name: 5}),
            await gantt.put(path, {name: 5}),
            await gantt.put(path, {"custom": [{name: 5}]}),
            await gantt.put(path, form),
            await gantt.post("/data", single),
        ):
            assert is_error(answer, 400)
            assert repr(name[:30])[1:-1] in answer.json["message"]
            assert len(answer.json["message"]) < 200
        assert (await gantt.get()).json["tasks"] == [task]

    async def test_a_row_of_a_batch_with_a_field_that_cannot_be_called_so(self, gantt):
        one, two = await tasks(gantt, "a", "b")
        rows = {f"{one}_text": "c", f"{two}_text": "d", f"{two}_<x>sortorder": "a"}
        rows |= {f"{id}_!nativeeditor_status": "updated" for id in (one, two)}
        answer = await gantt.post("/data", urlencode({"ids": f"{one},{two}", **rows}))
        assert re.findall(rb'type="(\w+)"', answer.body) == [b"updated", b"error"]
        assert await order(gantt) == ["c", "b"]

    @pytest.mark.parametrize("number", [1 << 63, 1 << 64, 10**30, -(1 << 63), 1e30, 1e300, 0.5])
    @pytest.mark.parametrize("spelling", [b"%s", b'"%s"'], ids=["number", "text"])
    @pytest.mark.parametrize(
        "entity, field",
        [
            ("task", "_rev"),
            ("task", "target"),
            ("task", "parent"),
            ("task", "id"),
            ("link", "source"),
            ("link", "target"),
            ("link", "_rev"),
            ("assignment", "task_id"),
        ],
    )
    async def test_a_number_that_no_database_can_count(
        self, gantt, entity, field, number, spelling
    ):
        first, second = await tasks(gantt, "a", "b")
        fields = {"link": {"source": first, "target": second}, "assignment": {"task_id": first}}
        item = await gantt.add(entity, **fields.get(entity, {}))
        body = b'{"note":"y","%s":%s}' % (field.encode(), spelling % str(number).encode())
        json = gantt.having(Content_Type="application/json")
        for answer in (
            await json.put(f"/data/{entity}/{item['id']}", body),
            await json.post(f"/data/{entity}", body),
            await gantt.put(f"/data/{entity}/{item['id']}", urlencode({field: number})),
        ):
            assert answer.status == 200 or 400 <= answer.status < 410
        assert (await gantt.get()).status == 200

    @pytest.mark.parametrize("number", ["9223372036854775808", "9" * 30, "-1", "1e3", "0x10"])
    @pytest.mark.parametrize(
        "method, path",
        [
            ("PUT", "/data/task/{}"),
            ("DELETE", "/data/task/{}"),
            ("POST", "/data/undo/{}"),
            ("GET", "/data/history?item={}"),
            ("GET", "/data/history?before={}"),
            ("GET", "/data/history?limit={}"),
        ],
    )
    async def test_a_number_in_an_address_that_no_database_can_count(
        self, gantt, method, path, number
    ):
        body = {"text": "x"} if method == "PUT" else None
        answer = await gantt.request(method, path.format(number), body)
        assert answer.status < 500

    @pytest.mark.parametrize("depth", [300, 1010])
    async def test_a_custom_field_too_deep_to_be_stored(self, gantt, depth):
        nested = b"[" * depth + b"]" * depth
        body = b'{"start_date":"2030-01-07","duration":1,"custom":' + nested + b"}"
        sender = gantt.having(Content_Type="application/json")
        assert is_error(await sender.post("/data/task", body), 400)

    @pytest.mark.parametrize("field", ["target", "parent", "text", "start_date", "progress"])
    async def test_a_declared_field_too_deep_to_be_read(self, gantt, field):
        task = await gantt.add("task")
        body = deep('{"%s":@}', field)
        sender = gantt.having(Content_Type="application/json")
        for answer in (
            await sender.post("/data/task", body),
            await sender.put(f"/data/task/{task['id']}", body),
        ):
            assert is_error(answer, 400)

    @pytest.mark.parametrize("field", ["id", "action"])
    async def test_in_mode_json_an_id_or_an_action_too_deep_to_be_read(self, gantt, field):
        body = deep('{"data":{},"%s":@}', field)
        sender = gantt.having(Content_Type="application/json")
        assert is_error(await sender.post("/data?gantt_mode=tasks", body), 400)

    @pytest.mark.parametrize("field", ["target", "parent"])
    async def test_of_a_batch_a_row_with_a_field_too_deep_to_be_read(self, gantt, field):
        task = await gantt.add("task")
        row = {"data": {field: None}, "action": "updated", "id": task["id"]}
        body = orjson.dumps(row).replace(b"null", deep("@"))
        sender = gantt.having(Content_Type="application/json")
        assert is_error(await sender.post("/data?gantt_mode=tasks", body), 400)

    @pytest.mark.parametrize("type", ["4", "-1", "", "x", "<b>"])
    async def test_a_link_of_no_known_type(self, gantt, type):
        first, second = await tasks(gantt, "a", "b")
        answer = await gantt.post("/data/link", {"source": first, "target": second, "type": type})
        assert is_error(answer, 400)

    @pytest.mark.parametrize("sent", [{"start_date": "2030-01-07"}, {"duration": 3}, {}])
    async def test_a_task_with_fewer_than_two_dates(self, gantt, sent):
        assert is_error(await gantt.post("/data/task", sent), 400)

    async def test_a_refused_write_stores_nothing(self, gantt):
        await gantt.post("/data/task", {"text": "no dates"})
        loaded = (await gantt.get()).json
        assert (loaded["tasks"], number_of(loaded["seq"])) == ([], 0)

    async def test_an_error_is_told_on_options_of_nowhere(self, gantt):
        answer = await gantt.request("OPTIONS", "/data/nowhere/at/all")
        assert answer.status in (204, 404)


class TestRefusedIsFreed:
    """What was sent with a refused request is as large as it may be; the collector, which comes
    round after thousands of them, is not what it waits for."""

    @pytest.fixture
    def kept(self):
        """The errors since then that only the collector frees."""

        def kept():
            gc.collect()
            return [each for each in gc.garbage if isinstance(each, GanttError)]

        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        yield kept
        gc.set_debug(0)
        gc.garbage.clear()
        gc.enable()

    @pytest.mark.parametrize(
        "method, path, body",
        [
            ("PUT", "/data/task/1", BELOW_NOTHING),
            ("PUT", "/data/task/999", DATES),
            ("POST", "/data/task", BELOW_NOTHING),
            ("POST", "/data", {"id": 1, "action": "updated", "data": BELOW_NOTHING}),
            ("POST", "/data", b"ids=1&1_parent=999&1_!nativeeditor_status=updated"),
        ],
    )
    async def test_by_a_rule(self, gantt, kept, method, path, body):
        await gantt.add("task", **DATES)
        assert (await gantt.request(method, path, body)).body
        # The writer has let go of it when it has another.
        await gantt.add("task", **DATES)
        assert kept() == []

    @pytest.mark.parametrize("method, path", WRITES)
    async def test_for_want_of_a_right(self, viewer, kept, method, path):
        body = None if method == "DELETE" else DATES
        assert is_error(await viewer.request(method, path, body), 403)
        assert kept() == []


class TestTooLarge:
    @pytest.fixture
    def settings(self):
        return {"max_body": 2048}

    @pytest.mark.parametrize("size", [3_000, 3_000_000])
    @pytest.mark.parametrize(
        "method, path", [("POST", "/data/task"), ("POST", "/data"), ("PUT", "/data/task/1")]
    )
    async def test_a_body_over_the_limit(self, gantt, method, path, size):
        assert is_error(await gantt.request(method, path, {"text": "x" * size, **DATES}), 413)

    @pytest.mark.parametrize("method, path", [("POST", "/data/task"), ("PUT", "/data/task/1")])
    async def test_a_chunked_body_over_the_limit(self, gantt, method, path):
        async def produce(write):
            for _ in range(40):
                await write(b"x" * 50_000)

        url = gantt.url + path
        request = HTTPRequest(url, method, gantt.headers, body_producer=produce)
        response = await gantt.http.fetch(request, raise_error=False)
        assert response.code == 413 and orjson.loads(response.body)["action"] == "error"

    async def test_a_body_within_the_limit_is_taken(self, gantt):
        assert (await gantt.post("/data/task", {"text": "x" * 1900, **DATES})).status == 200

    async def test_a_refused_body_stores_nothing(self, gantt):
        await gantt.post("/data/task", {"text": "x" * 3_000, **DATES})
        assert number_of((await gantt.get()).json["seq"]) == 0

    @pytest.mark.parametrize("token", ["wrong", ""])
    @pytest.mark.parametrize("method, path", [("POST", "/data/task"), ("PUT", "/data/task/1")])
    async def test_a_stranger_with_a_large_body_learns_why(self, gantt, method, path, token):
        stranger = gantt.having(Remote_Token=token)
        assert is_error(await stranger.request(method, path, {"text": "x" * 3_000_000}), 403)


class TestTooManyRows:
    """One request writes no more rows than others can wait for."""

    @pytest.fixture
    def settings(self):
        return {"max_rows_a_write": 100}

    async def branch(self, backend):
        top = (await backend.insert("task", DATES)).id
        for _ in range(100):
            await backend.insert("task", {**DATES, "parent": top})
        return top

    async def test_a_batch(self, gantt):
        ids = [f"x{n}" for n in range(101)]
        form = {"ids": ",".join(ids), **{f"{id}_!nativeeditor_status": "inserted" for id in ids}}
        answer = await gantt.post("/data?gantt_mode=tasks", urlencode(form))
        assert is_error(answer, 413)
        assert (await gantt.get()).json["tasks"] == []

    async def test_a_branch(self, gantt, backend):
        branch = await self.branch(backend)
        assert is_error(await gantt.delete(f"/data/task/{branch}"), 413)
        assert len((await gantt.get()).json["tasks"]) == 101

    async def test_of_a_batch_that_deletes_branches_those_that_fit_are_deleted(
        self, gantt, backend
    ):
        branch = await self.branch(backend)
        (other,) = await tasks(gantt, "other")
        form = {"ids": f"{other},{branch}", f"{other}_!nativeeditor_status": "deleted"}
        form[f"{branch}_!nativeeditor_status"] = "deleted"
        answer = await gantt.post("/data?gantt_mode=tasks", urlencode(form))
        assert re.findall(rb'type="(\w+)"', answer.body) == [b"deleted", b"error"]
        assert len((await gantt.get()).json["tasks"]) == 101


class TestHistory:
    async def test_pages_of_large_changes_hold_them_all(self, gantt):
        task = await gantt.add("task", text="a" * 600_000)
        await gantt.put(f"/data/task/{task['id']}", {"text": "b" * 600_000})
        found, before = [], ""
        while lines := (await gantt.get(f"/data/history?before={before}")).json["history"]:
            found.append([line["seq"] for line in lines])
            before = lines[-1]["seq"]
        assert found == [[2], [1]]


class TestRights:
    async def test_the_anonymous_may_read(self, gantt):
        assert (await gantt.anonymous().get()).status == 200

    async def test_a_token_in_the_query_may_read(self, gantt, gantt_token):
        answer = await gantt.anonymous().get(f"/data?token={gantt_token}")
        assert answer.status == 200

    @pytest.mark.parametrize("token", ["wrong", "Token", "%C3%A4"])
    async def test_a_wrong_token_may_not_even_read(self, gantt, token):
        answer = await gantt.anonymous().get(f"/data?token={token}")
        assert is_error(answer, 403)

    @pytest.mark.parametrize("method, path", WRITES)
    async def test_a_viewer_may_not_write(self, viewer, method, path):
        body = None if method == "DELETE" else DATES
        assert is_error(await viewer.request(method, path, body), 403)

    @pytest.mark.parametrize("method, path", WRITES)
    async def test_nobody_writes_without_a_token(self, gantt, method, path):
        body = None if method == "DELETE" else DATES
        assert is_error(await gantt.anonymous().request(method, path, body), 403)

    async def test_a_token_in_the_query_may_not_write(self, gantt, gantt_token):
        answer = await gantt.anonymous().post(f"/data/task?token={gantt_token}", DATES)
        assert is_error(answer, 403)

    async def test_a_viewer_may_read(self, viewer):
        assert (await viewer.get()).status == 200

    async def test_a_wrong_token_is_not_taken_for_nobody(self, gantt):
        assert is_error(await gantt.having(Remote_Token="wrong").get(), 403)

    async def test_the_journal_knows_who_wrote(self, gantt, colleague):
        task = await gantt.add("task")
        await colleague.put(f"/data/task/{task['id']}", {"text": "Dig"})
        lines = (await gantt.get("/data/history")).json["history"]
        assert [line["user"] for line in lines] == ["Carl", "Eve"]


class TestNobodyReads:
    @pytest.fixture
    def settings(self):
        return {"anonymous": ""}

    async def test_the_anonymous_may_not_read(self, gantt):
        assert is_error(await gantt.anonymous().get(), 403)

    async def test_the_anonymous_may_not_ask_for_the_head(self, gantt):
        assert (await gantt.anonymous().request("HEAD", "/data")).status == 403

    async def test_the_anonymous_may_not_read_the_history(self, gantt):
        assert is_error(await gantt.anonymous().get("/data/history"), 403)

    async def test_an_unchanged_plan_is_not_confirmed_to_strangers(self, gantt):
        stranger = gantt.anonymous().having(If_None_Match='"0"')
        assert is_error(await stranger.get(), 403)


class TestOrigins:
    """A browser adds cookies to what another host's page sends; the stock client adds none."""

    @pytest.mark.parametrize(
        "origin", ["https://evil.example", "null", "http://localhost:1", "http://["]
    )
    @pytest.mark.parametrize("method, path", [("POST", "/data/task"), ("PUT", "/data/task/1")])
    async def test_a_page_of_another_host_may_not_write(self, gantt, method, path, origin):
        answer = await gantt.having(Origin=origin).request(method, path, DATES)
        assert is_error(answer, 403)

    async def test_our_own_page_may_write(self, gantt):
        answer = await gantt.having(Origin=gantt.url).post("/data/task", DATES)
        assert answer.status == 200

    async def test_a_listed_page_may_write_and_read_the_answer(self, gantt):
        answer = await gantt.having(Origin="https://intranet.example").post("/data/task", DATES)
        assert answer.status == 200
        assert answer.headers["Access-Control-Allow-Origin"] == "https://intranet.example"

    @pytest.mark.parametrize("method, path", [("POST", "/data/task"), ("PUT", "/data/task/1")])
    async def test_a_listed_page_may_read_an_error_too(self, gantt, method, path):
        answer = await gantt.having(Origin="https://intranet.example").request(method, path, {})
        assert answer.status in (400, 404)
        assert answer.headers["Access-Control-Allow-Origin"] == "https://intranet.example"

    async def test_another_page_may_not_read_the_answer(self, gantt):
        answer = await gantt.having(Origin="https://evil.example").get()
        assert "Access-Control-Allow-Origin" not in answer.headers

    async def test_a_browser_may_ask_beforehand(self, gantt):
        asking = gantt.anonymous().having(Origin="https://intranet.example")
        headers = (await asking.request("OPTIONS", "/data/task/7")).headers
        assert {"PUT", "DELETE"} <= set(re.split(", ", headers["Access-Control-Allow-Methods"]))
        allowed = set(re.split(", ", headers["Access-Control-Allow-Headers"]))
        # All that gantt-live.js sends.
        assert allowed >= {"Remote-Token", "Content-Type", "Remote-Device", "Idempotency-Key"}

    async def test_a_listed_page_may_read_when_to_try_again(self, gantt):
        answer = await gantt.having(Origin="https://intranet.example").get()
        exposed = answer.headers["Access-Control-Expose-Headers"]
        assert set(re.split(", ", exposed)) == {"ETag", "Retry-After", "X-Request-Id"}

    async def test_a_page_of_another_host_is_not_invited(self, gantt):
        asking = gantt.having(Origin="https://evil.example")
        answer = await asking.request("OPTIONS", "/data/task/7")
        assert "Access-Control-Allow-Origin" not in answer.headers


class TestFailures:
    """What goes wrong on our side is told without private detail, and the token is not logged."""

    @pytest.fixture
    def broken(self, backend, monkeypatch):
        def fail(*args, **kwargs):
            raise RuntimeError("private detail")

        for name in ("insert", "update", "delete"):
            monkeypatch.setattr(backend.default._store, name, fail)

    @pytest.mark.parametrize(
        "method, path",
        [("POST", "/data/task"), ("PUT", "/data/task/1"), ("DELETE", "/data/task/1")],
    )
    async def test_a_store_that_raises(self, gantt, broken, logged_errors, method, path):
        answer = await gantt.request(method, path, None if method == "DELETE" else DATES)
        assert is_error(answer, 500)
        assert b"private" not in answer.body

    async def test_a_load_that_raises(self, backend, gantt, monkeypatch, logged_errors):
        monkeypatch.setattr(backend.default, "plan", None)
        answer = await gantt.anonymous().get("/data?token=" + gantt.headers["Remote-Token"])
        assert is_error(answer, 500)

    async def test_its_traceback_is_in_the_log(self, gantt, broken, logged_errors):
        await gantt.post("/data/task", DATES)
        assert any(
            record.exc_info for record in logged_errors.records if record.levelname == "ERROR"
        )

    async def test_a_failure_leaves_the_next_request_unharmed(self, gantt, broken, logged_errors):
        await gantt.post("/data/task", DATES)
        assert (await gantt.get()).status == 200

    async def test_a_store_that_cannot_take_it_asks_to_try_again(
        self, backend, gantt, monkeypatch, logged_errors
    ):
        def refuse(*args, **kwargs):
            raise Unavailable("Please try again.", detail="private", retry_after=2)

        monkeypatch.setattr(backend.default._store, "insert", refuse)
        answer = await gantt.post("/data/task", DATES)
        assert is_error(answer, 503) and answer.headers["Retry-After"] == "2"
        assert b"private" not in answer.body

    async def test_a_refusal_leaves_no_traceback(self, gantt, caplog):
        await gantt.post("/data/task", {"text": "no dates"})
        await gantt.put("/data/task/9", {})
        assert not [record for record in caplog.records if record.exc_info]

    async def test_a_token_in_the_query_is_not_logged(self, gantt, gantt_token, caplog):
        stranger = gantt.anonymous()
        for path in (
            "/data",
            "/data/",
            "/data/task",
            "/data/task/1",
            "/data/history",
            "/api/v1",
            "/x",
            "/",
        ):
            await stranger.get(f"{path}?a=1&token={gantt_token}&b=2")
            await stranger.request("BREW", f"{path}?token={gantt_token}")
            await stranger.put(f"{path}?token={gantt_token}")
        assert gantt_token not in caplog.text

    async def test_a_percent_encoded_token_is_not_logged(self, gantt, gantt_token, caplog):
        await gantt.anonymous().get(f"/data?%74oken={gantt_token}")
        assert gantt_token not in caplog.text


class TestDamage:
    """What an older version let in, or a disk has eaten, harms nobody who asks for the rest."""

    @pytest.fixture
    def write(self, backend):
        """Writes to the database behind the server's back."""

        def write(sql, *params):
            return backend._writer.submit(lambda: backend._database.execute(sql, params))

        return write

    async def test_a_line_of_the_journal_that_is_none(self, gantt, write):
        await tasks(gantt, "a", "b")
        await write("UPDATE change SET fields = '[1]' WHERE seq = 1")
        assert [line["seq"] for line in (await gantt.get("/data/history")).json["history"]] == [2]
        assert is_error(await gantt.post("/data/undo/1"), 404)
        assert (await gantt.post("/data/undo/2")).status == 200

    async def test_a_line_with_a_date_that_is_none(self, gantt, write):
        await tasks(gantt, "a")
        await write("""UPDATE change SET fields = '{"start_date":[null,5]}'""")
        (line,) = (await gantt.get("/data/history")).json["history"]
        assert line["fields"] == {"start_date": [None, 5]}


class TestForms:
    """Mode REST: the same, as a form, with arrays and objects as JSON."""

    async def test_insert(self, gantt):
        form = urlencode({**DATES, "text": "Dig & build", "progress": "0.5"})
        item = (await gantt.post("/data/task", form)).json["item"]
        assert (item["text"], item["progress"], item["duration"]) == ("Dig & build", 0.5, 2)

    async def test_arrays_and_objects_are_json(self, gantt):
        form = urlencode({**DATES, "owners": '[{"id":5}]', "more": '{"a":[1,null]}'})
        item = (await gantt.post("/data/task", form)).json["item"]
        assert (item["owners"], item["more"]) == ([{"id": 5}], {"a": [1, None]})

    @pytest.mark.parametrize("text", ["[draft]", "{x", "[1", "[[[["])
    async def test_text_that_only_looks_like_json_stays_text(self, gantt, text):
        form = urlencode({**DATES, "text": text, "note": text})
        item = (await gantt.post("/data/task", form)).json["item"]
        assert (item["text"], item["note"]) == (text, text)

    @pytest.mark.parametrize("text", ["[1]", '{"a":1}', "[]"])
    async def test_a_text_that_is_json_stays_text(self, gantt, text):
        form = urlencode({**DATES, "text": text})
        assert (await gantt.post("/data/task", form)).json["item"]["text"] == text

    async def test_an_empty_field_is_kept_as_it_was_sent(self, gantt):
        form = urlencode({**DATES, "text": "", "note": ""})
        item = (await gantt.post("/data/task", form)).json["item"]
        assert (item["text"], item["note"]) == ("", "")

    async def test_the_whole_row_sent_back_changes_nothing(self, gantt):
        task = await gantt.add("task", weight=5, flag=True, nothing=None, owners=[1], deep={"a": 1})
        row = {k: v if isinstance(v, str) else orjson.dumps(v).decode() for k, v in task.items()}
        answer = await gantt.put(f"/data/task/{task['id']}", urlencode(row | {"nothing": ""}))
        assert answer.json["item"] == task

    async def test_the_clients_own_notes_are_dropped(self, gantt):
        form = urlencode({**DATES, "!nativeeditor_status": "inserted", "$open": "true", "_x": "1"})
        item = (await gantt.post("/data/task", form)).json["item"]
        assert not {"!nativeeditor_status", "$open", "_x"} & item.keys()


class TestPostMode:
    """Modes POST and JSON: ``POST /data?editing=true&gantt_mode=…`` with the action inside."""

    PATH = "/data?editing=true&gantt_mode=tasks"

    async def test_insert(self, gantt):
        form = {"id": "17", "!nativeeditor_status": "inserted", "text": "Dig", **DATES}
        body = (await gantt.post(self.PATH, urlencode(form))).json
        assert (body["action"], body["item"]["text"]) == ("inserted", "Dig")
        assert body["tid"] == body["item"]["id"]

    async def test_update(self, gantt):
        task = await gantt.add("task")
        form = {"id": task["id"], "!nativeeditor_status": "updated", "text": "Dig"}
        body = (await gantt.post(self.PATH, urlencode(form))).json
        assert (body["action"], body["item"]["text"]) == ("updated", "Dig")

    async def test_order(self, gantt):
        first, second = await tasks(gantt, "a", "b")
        form = {"id": second, "!nativeeditor_status": "order", "target": first, "parent": 0}
        assert (await gantt.post(self.PATH, urlencode(form))).json["action"] == "updated"
        assert await order(gantt) == ["b", "a"]

    async def test_delete(self, gantt):
        task = await gantt.add("task")
        form = {"id": task["id"], "!nativeeditor_status": "deleted"}
        body = (await gantt.post(self.PATH, urlencode(form))).json
        assert body == {"action": "deleted", "tid": task["id"], "change": 2}

    async def test_links(self, gantt):
        first, second = await tasks(gantt, "a", "b")
        form = {"!nativeeditor_status": "inserted", "source": first, "target": second, "type": "0"}
        answer = await gantt.post("/data?gantt_mode=links", urlencode(form))
        assert answer.json["item"]["source"] == first

    async def test_tasks_where_no_mode_is_given(self, gantt):
        form = {"!nativeeditor_status": "inserted", **DATES}
        assert (await gantt.post("/data", urlencode(form))).json["item"]["type"] == "task"

    @pytest.mark.parametrize("action", ["exploded", "", "None"])
    async def test_an_unknown_action(self, gantt, action):
        form = urlencode({"id": "1", "!nativeeditor_status": action})
        assert is_error(await gantt.post(self.PATH, form), 400)

    @pytest.mark.parametrize("mode", ["nonsense", "", "task/../x", "projects"])
    async def test_an_unknown_mode(self, gantt, mode):
        form = urlencode({"!nativeeditor_status": "inserted", **DATES})
        assert is_error(await gantt.post(f"/data?gantt_mode={mode}", form), 404)

    async def test_deleting_a_row_that_was_never_saved_succeeds(self, gantt):
        form = urlencode({"id": "new", "!nativeeditor_status": "deleted"})
        answer = await gantt.post(self.PATH, form)
        assert (answer.status, answer.json["action"]) == (200, "deleted")

    async def test_json_insert(self, gantt):
        sent = {"id": 17, "action": "inserted", "data": {"text": "Dig", **DATES}}
        body = (await gantt.post(self.PATH, sent)).json
        assert (body["action"], body["item"]["text"]) == ("inserted", "Dig")

    async def test_json_update(self, gantt):
        task = await gantt.add("task")
        sent = {"id": task["id"], "action": "updated", "data": {"text": "Dig"}}
        assert (await gantt.post(self.PATH, sent)).json["item"]["text"] == "Dig"

    async def test_json_delete(self, gantt):
        task = await gantt.add("task")
        sent = {"id": task["id"], "action": "deleted", "data": {}}
        assert (await gantt.post(self.PATH, sent)).json["action"] == "deleted"

    @pytest.mark.parametrize("data", [None, 5, "x", [1]])
    async def test_json_data_that_is_no_object(self, gantt, data):
        sent = {"id": 17, "action": "inserted", "data": data}
        assert is_error(await gantt.post(self.PATH, sent), 400)

    async def test_json_refusals_are_told(self, gantt):
        sent = {"id": 9999, "action": "updated", "data": {"text": "x"}}
        assert is_error(await gantt.post(self.PATH, sent), 404)


class TestRowsThatWereNeverSaved:
    """The client sends one that was dragged while its POST was refused as if it were there."""

    ROW: ClassVar = {"text": "x", "parent": 0, "target": f"next:{UNSAVED + 1}", **DATES}

    async def test_such_a_row_is_added(self, gantt):
        answer = (await gantt.put(f"/data/task/{UNSAVED}", self.ROW)).json
        assert (answer["action"], answer["item"]["text"]) == ("inserted", "x")
        assert answer["tid"] == answer["item"]["id"] < UNSAVED

    async def test_one_below_another_such_is_refused(self, gantt):
        row = {**self.ROW, "parent": UNSAVED + 1}
        assert is_error(await gantt.put(f"/data/task/{UNSAVED}", row), 409)

    async def test_one_whose_answer_was_lost_is_added_once(self, gantt):
        gantt.headers["Remote-Device"] = "page"
        for _ in range(2):
            await gantt.put(f"/data/task/{UNSAVED}", self.ROW)
        assert await order(gantt) == ["x"]

    async def test_in_mode_json(self, gantt):
        sent = {"id": UNSAVED, "action": "order", "data": self.ROW}
        assert (await gantt.post("/data?gantt_mode=tasks", sent)).json["action"] == "inserted"

    async def test_in_a_batch(self, gantt):
        form = {f"{UNSAVED}_{name}": value for name, value in self.ROW.items()}
        form |= {f"{UNSAVED}_!nativeeditor_status": "order", "ids": UNSAVED}
        answer = await gantt.post("/data?gantt_mode=tasks", urlencode(form))
        assert f'type="inserted" sid="{UNSAVED}"' in answer.body.decode()


class TestBatch:
    """The stock client needs XML here; it misreads JSON."""

    PATH = "/data?editing=true&gantt_mode=tasks"

    def form(self, *rows):
        fields = {"ids": ",".join(str(row["id"]) for row in rows)}
        for row in rows:
            fields |= {f"{row['id']}_{key}": value for key, value in row.items()}
        return urlencode(fields)

    def row(self, id, action, **fields):
        return {"id": id, "!nativeeditor_status": action, **fields}

    async def test_each_row_gets_its_line(self, gantt):
        first, second = await tasks(gantt, "a", "b")
        rows = [self.row(first, "updated", text="A"), self.row(second, "deleted")]
        answer = await gantt.post(self.PATH, self.form(*rows))
        assert answer.headers["Content-Type"].startswith("text/xml")
        lines = [
            f'<action type="updated" sid="{first}" tid="{first}" change="3"/>',
            f'<action type="deleted" sid="{second}" tid="{second}" change="4"/>',
        ]
        assert all(line in answer.body.decode() for line in lines)

    async def test_its_rows_are_one_group_of_the_history(self, gantt):
        first, second = await tasks(gantt, "a", "b")
        rows = [self.row(first, "updated", text="A"), self.row(second, "deleted")]
        await gantt.post(self.PATH, self.form(*rows))
        history = (await gantt.get("/data/history")).json["history"]
        assert [line["group"] for line in history] == [3, 3, 2, 1]

    async def test_it_is_undone_as_a_whole_but_for_what_others_changed(self, gantt, colleague):
        first, second = await tasks(gantt, "a", "b")
        rows = [self.row(first, "updated", text="A"), self.row(second, "updated", text="B")]
        await gantt.post(self.PATH, self.form(*rows))
        await colleague.put(f"/data/task/{second}", {"text": "C"})
        undone = (await gantt.post("/data/undo/3")).json
        message = "Carl has changed this since: text."
        left = {"entity": "task", "id": second, "user": "Carl", "message": message}
        assert (undone["item"]["text"], undone["left"]) == ("a", [left])

    async def test_the_whole_answer_is_one_data_element(self, gantt):
        (task,) = await tasks(gantt, "a")
        answer = await gantt.post(self.PATH, self.form(self.row(task, "updated", text="A")))
        line = rf'<data><action type="updated" sid="{task}" tid="{task}" change="2"/></data>'
        assert answer.body.decode().endswith(line)

    async def test_a_new_row_learns_its_id(self, gantt):
        answer = await gantt.post(self.PATH, self.form(self.row(1699, "inserted", **DATES)))
        task = (await gantt.get()).json["tasks"][0]
        assert f'type="inserted" sid="1699" tid="{task["id"]}"' in answer.body.decode()

    async def test_a_child_may_name_its_parent_by_the_clients_id(self, gantt):
        rows = [
            self.row(1699, "inserted", text="up", **DATES),
            self.row(1700, "inserted", text="down", parent=1699, **DATES),
        ]
        await gantt.post(self.PATH, self.form(*rows))
        up, down = (await gantt.get()).json["tasks"]
        assert down["parent"] == up["id"]

    async def test_a_row_that_fails_harms_no_other(self, gantt):
        (task,) = await tasks(gantt, "a")
        rows = [self.row(9999, "updated", text="x"), self.row(task, "updated", text="A")]
        answer = await gantt.post(self.PATH, self.form(*rows))
        assert 'type="error" sid="9999"' in answer.body.decode()
        assert await order(gantt) == ["A"]

    async def test_a_message_is_safe_in_xml(self, gantt):
        answer = await gantt.post(self.PATH, self.form(self.row('"<&', "exploded")))
        assert b'"<&' not in answer.body and b"&lt;&amp;" in answer.body

    async def test_deleting_a_row_that_was_never_saved_succeeds(self, gantt):
        answer = await gantt.post(self.PATH, self.form(self.row("new", "deleted")))
        assert b'type="deleted" sid="new"' in answer.body


class TestDates:
    @pytest.mark.parametrize(
        "sent",
        [
            "2030-01-07 08:30",
            "2030-01-07 08:30:59",
            "2030-01-07T08:30",
            "2030-01-07T08:30:00Z",
            "2030-01-07T08:30:00.000Z",
            "2030-01-07T10:30:00+02:00",
            "2030-01-07 03:30-05:00",
            "07-01-2030 08:30",
        ],
    )
    async def test_each_input_form_gives_one_output_form(self, gantt, sent):
        task = await gantt.add("task", start_date=sent, duration=1)
        assert (task["start_date"], task["end_date"]) == ("2030-01-07 08:30", "2030-01-08 08:30")

    async def test_a_date_without_a_time_is_its_midnight(self, gantt):
        task = await gantt.add("task", start_date="2030-01-07", duration=1)
        assert task["start_date"] == "2030-01-07 00:00"

    async def test_an_end_and_a_duration_give_the_start(self, gantt):
        task = await gantt.add("task", end_date="2030-01-09 00:00", duration=2)
        assert task["start_date"] == "2030-01-07 00:00"

    async def test_the_end_wins_over_the_duration(self, gantt):
        task = await gantt.add("task", start_date="2030-01-07", end_date="2030-01-10", duration=9)
        assert task["duration"] == 3

    async def test_a_changed_duration_moves_the_end(self, gantt):
        task = await gantt.add("task")
        answer = await gantt.put(f"/data/task/{task['id']}", {"duration": 5})
        assert answer.json["item"]["end_date"] == "2030-01-12 00:00"

    async def test_a_duration_changed_in_a_whole_row_moves_the_end(self, gantt):
        task = await gantt.add("task")
        answer = await gantt.put(f"/data/task/{task['id']}", {**task, "duration": 5})
        assert answer.json["item"]["end_date"] == "2030-01-12 00:00"

    async def test_a_start_that_comes_alone_keeps_the_length(self, gantt):
        task = await gantt.add("task")
        answer = await gantt.put(f"/data/task/{task['id']}", {"start_date": "2030-02-01"})
        item = answer.json["item"]
        assert (item["end_date"], item["duration"]) == ("2030-02-03 00:00", 2)

    @pytest.mark.parametrize("field", ["start_date", "end_date", "duration"])
    async def test_an_empty_date_keeps_the_one_there_is(self, gantt, field):
        task = await gantt.add("task")
        answer = await gantt.put(f"/data/task/{task['id']}", {"text": "Dig", field: ""})
        assert answer.json["item"][field] == task[field]

    @pytest.mark.parametrize("sent", [{"unscheduled": True}, {"type": "project"}])
    async def test_dates_may_be_left_out_where_none_are_drawn(self, gantt, sent):
        answer = await gantt.post("/data/task", sent)
        assert answer.json["item"]["start_date"]

    async def test_the_last_day_of_the_calendar_is_a_date(self, gantt):
        answer = await gantt.post("/data/task", {"start_date": "9999-12-31", "duration": 0})
        assert answer.json["item"]["start_date"] == "9999-12-31 00:00"


@pytest.mark.parametrize(
    "settings, shown",
    [
        ({"date_format": "%Y-%m-%d %H:%M"}, "2030-01-07 08:30"),
        ({"date_format": "%d-%m-%Y %H:%M"}, "07-01-2030 08:30"),
        ({"date_format": "iso"}, "2030-01-07T08:30:00Z"),
        ({"timezone": "Europe/Berlin"}, "2030-01-07 09:30"),
    ],
)
class TestFormats:
    """An instant, as each format and zone shows it."""

    SENT = "2030-01-07T08:30:00Z"

    async def test_an_answer(self, gantt, shown):
        assert (await gantt.add("task", start_date=self.SENT, duration=1))["start_date"] == shown

    async def test_a_load(self, gantt, shown):
        await gantt.add("task", start_date=self.SENT, duration=1)
        assert (await gantt.get()).json["tasks"][0]["start_date"] == shown

    async def test_an_event(self, gantt, listen, shown):
        socket = await listen("tasks")
        await gantt.add("task", start_date=self.SENT, duration=1)
        assert (await socket.value())["task"]["start_date"] == shown

    async def test_what_is_shown_is_understood_again(self, gantt, shown):
        task = await gantt.add("task", start_date=self.SENT, duration=1)
        answer = await gantt.put(f"/data/task/{task['id']}", task)
        assert answer.json["item"] == task


class TestOrder:
    async def test_a_new_row_comes_last(self, gantt):
        await tasks(gantt, "a", "b", "c")
        assert await order(gantt) == ["a", "b", "c"]

    @pytest.mark.parametrize(
        "target, expected",
        [
            ("{a}", ["c", "a", "b"]),
            ("{b}", ["a", "c", "b"]),
            ("next:{a}", ["a", "c", "b"]),
            ("next:{b}", ["a", "b", "c"]),
            ("next:null", ["a", "b", "c"]),
            ("junk", ["a", "b", "c"]),
            ("next:99999", ["a", "b", "c"]),
        ],
    )
    async def test_a_row_is_dropped_on_a_target(self, gantt, target, expected):
        a, b, c = await tasks(gantt, "a", "b", "c")
        await gantt.put(f"/data/task/{c}", {"target": target.format(a=a, b=b)})
        assert await order(gantt) == expected

    async def test_a_target_may_be_a_number(self, gantt):
        a, b = await tasks(gantt, "a", "b")
        await gantt.put(f"/data/task/{b}", {"target": a})
        assert await order(gantt) == ["b", "a"]

    async def test_a_target_may_come_with_a_new_row(self, gantt):
        (a,) = await tasks(gantt, "a")
        await gantt.add("task", text="b", target=a)
        assert await order(gantt) == ["b", "a"]

    async def test_a_drop_into_an_empty_branch(self, gantt):
        a, b = await tasks(gantt, "a", "b")
        await gantt.put(f"/data/task/{a}", {"parent": b, "target": "next:null"})
        assert await order(gantt) == ["b", "a"]

    async def test_a_drop_into_another_branch_beside_a_row(self, gantt):
        a, b = await tasks(gantt, "a", "b")
        (c,) = await tasks(gantt, "c", parent=b)
        await gantt.put(f"/data/task/{a}", {"parent": b, "target": str(c)})
        assert await order(gantt) == ["b", "a", "c"]

    async def test_a_subtree_moves_with_its_top(self, gantt):
        a, b = await tasks(gantt, "a", "b")
        await tasks(gantt, "below a", parent=a)
        await gantt.put(f"/data/task/{a}", {"target": f"next:{b}"})
        assert await order(gantt) == ["b", "a", "below a"]

    async def test_a_stale_target_is_ignored(self, gantt):
        a, b = await tasks(gantt, "a", "b")
        await gantt.put(f"/data/task/{b}", {"target": str(a)})
        await gantt.put(f"/data/task/{a}", {"target": str(b)})
        await gantt.put(f"/data/task/{b}", {"target": str(a), "text": "B"})
        assert await order(gantt) == ["a", "B"]

    async def test_the_echo_clears_the_target(self, gantt):
        a, b = await tasks(gantt, "a", "b")
        answer = await gantt.put(f"/data/task/{b}", {"target": str(a)})
        assert answer.json["item"]["target"] == ""

    async def test_sortorder_is_the_servers_alone(self, gantt):
        _, b = await tasks(gantt, "a", "b")
        await gantt.put(f"/data/task/{b}", {"sortorder": "0"})
        assert await order(gantt) == ["a", "b"]

    async def test_the_order_is_kept_in_the_load_after_many_drops(self, gantt):
        ids = await tasks(gantt, *"abcde")
        for id in ids:
            await gantt.put(f"/data/task/{id}", {"target": str(ids[0] if id != ids[0] else ids[1])})
        keys = [task["sortorder"] for task in (await gantt.get()).json["tasks"]]
        assert keys == sorted(keys) and len(set(keys)) == 5


class TestRules:
    """409, with a message that a planner understands."""

    async def refused(self, gantt, method, path, body, words):
        answer = await gantt.request(method, path, body)
        assert is_error(answer, 409)
        assert words in answer.json["message"]

    async def test_a_task_below_itself(self, gantt):
        (a,) = await tasks(gantt, "a")
        await self.refused(gantt, "PUT", f"/data/task/{a}", {"parent": a}, "inside itself")

    async def test_a_task_below_its_own_child(self, gantt):
        (a,) = await tasks(gantt, "a")
        (b,) = await tasks(gantt, "b", parent=a)
        (c,) = await tasks(gantt, "c", parent=b)
        await self.refused(gantt, "PUT", f"/data/task/{a}", {"parent": c}, "own subtasks")

    @pytest.mark.parametrize("parent", [9999, "1699000000001", "tmp", -1])
    async def test_a_task_below_an_unknown_parent(self, gantt, parent):
        body = {**DATES, "parent": parent}
        await self.refused(gantt, "POST", "/data/task", body, "not there")

    @pytest.mark.parametrize("source", [9999, "tmp", 0, ""])
    async def test_a_link_from_an_unknown_task(self, gantt, source):
        (a,) = await tasks(gantt, "a")
        body = {"source": source, "target": a, "type": "0"}
        await self.refused(gantt, "POST", "/data/link", body, "not there")

    async def test_a_link_without_ends(self, gantt):
        await self.refused(gantt, "POST", "/data/link", {"type": "0"}, "not there")

    async def test_a_link_to_a_link(self, gantt):
        a, b = await tasks(gantt, "a", "b")
        link = await gantt.add("link", source=a, target=b)
        body = {"source": a, "target": link["id"]}
        await self.refused(gantt, "POST", "/data/link", body, "not there")

    async def test_a_link_to_itself(self, gantt):
        (a,) = await tasks(gantt, "a")
        body = {"source": a, "target": a}
        await self.refused(gantt, "POST", "/data/link", body, "itself")

    async def test_a_link_doubled(self, gantt):
        a, b = await tasks(gantt, "a", "b")
        body = {"source": a, "target": b, "type": "1"}
        await gantt.add("link", **body)
        await self.refused(gantt, "POST", "/data/link", body, "already")

    async def test_a_link_that_closes_a_circle(self, gantt):
        a, b, c = await tasks(gantt, "a", "b", "c")
        await gantt.add("link", source=a, target=b)
        await gantt.add("link", source=b, target=c)
        await self.refused(gantt, "POST", "/data/link", {"source": c, "target": a}, "circle")

    async def test_a_link_turned_into_a_circle(self, gantt):
        a, b, c = await tasks(gantt, "a", "b", "c")
        await gantt.add("link", source=a, target=b)
        other = await gantt.add("link", source=b, target=c)
        body = {"target": a}
        await self.refused(gantt, "PUT", f"/data/link/{other['id']}", body, "circle")

    async def test_a_link_changed_into_a_twin(self, gantt):
        a, b = await tasks(gantt, "a", "b")
        await gantt.add("link", source=a, target=b, type="0")
        other = await gantt.add("link", source=a, target=b, type="1")
        await self.refused(gantt, "PUT", f"/data/link/{other['id']}", {"type": "0"}, "already")

    async def test_an_assignment_to_an_unknown_task(self, gantt):
        await self.refused(gantt, "POST", "/data/assignment", {"task_id": 9999}, "not there")

    async def test_two_moves_that_only_together_make_a_circle(self, gantt, held):
        a, b = await tasks(gantt, "a", "b")
        with held():
            both = asyncio.gather(
                gantt.put(f"/data/task/{a}", {"parent": b}),
                gantt.put(f"/data/task/{b}", {"parent": a}),
            )
            await asyncio.sleep(0)
        assert sorted(answer.status for answer in await both) == [200, 409]

    async def test_a_rule_that_is_broken_stores_nothing(self, gantt):
        (a,) = await tasks(gantt, "a")
        before = (await gantt.get()).body
        await gantt.put(f"/data/task/{a}", {"text": "x", "parent": a})
        assert (await gantt.get()).body == before


class TestDeletes:
    async def test_a_subtree_goes_with_its_top(self, gantt):
        (a,) = await tasks(gantt, "a")
        (b,) = await tasks(gantt, "b", parent=a)
        await tasks(gantt, "c", parent=b)
        await gantt.delete(f"/data/task/{a}")
        assert (await gantt.get()).json["tasks"] == []

    async def test_links_go_with_either_end(self, gantt):
        a, b, c = await tasks(gantt, "a", "b", "c")
        await gantt.add("link", source=a, target=b)
        await gantt.add("link", source=b, target=c)
        await gantt.delete(f"/data/task/{b}")
        assert (await gantt.get()).json["links"] == []

    async def test_assignments_and_baselines_go_with_their_task(self, gantt):
        (a,) = await tasks(gantt, "a")
        await gantt.add("assignment", task_id=a)
        await gantt.add("baseline", task_id=a, **DATES)
        await gantt.delete(f"/data/task/{a}")
        assert (await gantt.get()).json.keys() == {"tasks", "links", "seq"}

    async def test_the_clients_own_cascade_finds_all_gone_and_succeeds(self, gantt):
        (a,) = await tasks(gantt, "a")
        b, c = await tasks(gantt, "b", "c", parent=a)
        link = await gantt.add("link", source=b, target=c)
        paths = [f"/data/task/{a}", f"/data/link/{link['id']}", f"/data/task/{b}"]
        answers = [await gantt.delete(path) for path in paths]
        assert [answer.json["action"] for answer in answers] == ["deleted"] * 3

    async def test_a_deleted_link_leaves_its_tasks(self, gantt):
        a, b = await tasks(gantt, "a", "b")
        link = await gantt.add("link", source=a, target=b)
        await gantt.delete(f"/data/link/{link['id']}")
        assert await order(gantt) == ["a", "b"]


EVIL = '<b>bold</b><img src=x onerror="alert(1)"><script>alert(2)</script>'
#: A text to the letter, and as the client is told it.
TEXTS = [
    ("if x<y then", "if x&lt;y then"),
    ("<Kunde>", "&lt;Kunde>"),
    (EVIL, EVIL.replace("<", "&lt;")),
    ("R&D", "R&D"),
    ("&lt; &#60;", "&amp;lt; &amp;#60;"),
    ("?a=1&section=2", "?a=1&amp;section=2"),
    ("a > b", "a > b"),
    ('5" pipe', '5" pipe'),
    ("it's", "it's"),
    ("Straße 日本 🏗", "Straße 日本 🏗"),
]


class TestText:
    """Text is kept to the letter, and told as HTML that is drawn as just this text."""

    @pytest.mark.parametrize("letters, told", TEXTS)
    async def test_every_text_is_stored_to_the_letter(self, backend, gantt, letters, told):
        task = await gantt.add("task", text=told)
        assert task["text"] == told
        assert (await gantt.get()).json["tasks"] == [task]
        assert backend.item("task", task["id"])["text"] == letters
        assert backend.load()["tasks"][0]["text"] == letters

    @pytest.mark.parametrize("text", ["if x<y then", "<Kunde>", "a<b", "R&D", "&copy", EVIL])
    async def test_a_script_need_not_tell_it(self, backend, gantt, text):
        task = await gantt.add("task", text=text)
        assert backend.item("task", task["id"])["text"] == text

    @pytest.mark.parametrize("wrap", [lambda t: t, lambda t: [t], lambda t: [{"a": {"b": [t]}}]])
    async def test_custom_fields_at_any_depth(self, backend, gantt, wrap):
        task = await gantt.add("task", custom=wrap("&lt;<"))
        assert task["custom"] == wrap("&lt;&lt;")
        assert backend.item("task", task["id"])["custom"] == wrap("<<")

    @pytest.mark.parametrize("field", ["type", "color", "textColor", "css"])
    async def test_fields_that_become_attributes(self, gantt, field):
        assert "<" not in (await gantt.add("task", **{field: EVIL}))[field]

    async def test_an_update_a_form_and_a_resource(self, backend, gantt):
        task = await gantt.add("task")
        path = f"/data/task/{task['id']}"
        form = urlencode({"text": "a<b &lt;", "custom": orjson.dumps(["<", "&lt;"])})
        for body in ({"text": "a<b &lt;", "custom": ["<", "&lt;"]}, form):
            item = (await gantt.put(path, body)).json["item"]
            assert (item["text"], item["custom"]) == ("a&lt;b &lt;", ["&lt;", "&lt;"])
            assert backend.item("task", task["id"])["text"] == "a<b <"
        assert (await gantt.add("resource", text="a<b"))["text"] == "a&lt;b"

    async def test_an_ampersand_that_json_spells_otherwise(self, backend, gantt):
        task = await gantt.add("task")
        json = gantt.having(Content_Type="application/json")
        await json.put(f"/data/task/{task['id']}", rb'{"text":"a \u0026lt; b"}')
        assert backend.item("task", task["id"])["text"] == "a < b"

    @pytest.mark.parametrize("rows", [1, 2])
    async def test_a_batch(self, backend, gantt, rows):
        ids = await tasks(gantt, *"ab"[:rows])
        form = {"ids": ",".join(map(str, ids))}
        for id in ids:
            form |= {f"{id}_!nativeeditor_status": "updated", f"{id}_text": "a &lt; b&c"}
        await gantt.post("/data", urlencode(form))
        assert {backend.item("task", id)["text"] for id in ids} == {"a < b&c"}

    async def test_modes_json_and_post(self, backend, gantt):
        (id,) = await tasks(gantt, "a")
        sent = {"id": id, "action": "updated", "data": {"text": "a &lt; b"}}
        assert (await gantt.post("/data", sent)).json["item"]["text"] == "a &lt; b"
        form = {"id": id, "!nativeeditor_status": "updated", "text": "c &lt; d"}
        assert (await gantt.post("/data", urlencode(form))).json["item"]["text"] == "c &lt; d"
        assert backend.item("task", id)["text"] == "c < d"

    async def test_what_was_told_sent_back_is_no_edit(self, gantt):
        task = await gantt.add("task", text="a < b & c &copy <i>d</i>", custom=["&lt;"])
        answer = await gantt.put(f"/data/task/{task['id']}", task)
        assert answer.json["item"] == task

    async def test_two_edits_of_one_text_are_merged_by_what_is_meant(self, gantt):
        task = await gantt.add("task", text="a < b")
        path = f"/data/task/{task['id']}"
        await gantt.put(path, {"text": "a < c", "_rev": task["_rev"]})
        item = (await gantt.put(path, {**task, "progress": 1})).json["item"]
        assert (item["text"], item["progress"]) == ("a &lt; c", 1)

    async def test_the_history_has_the_letters(self, gantt):
        task = await gantt.add("task", text="a < b")
        await gantt.put(f"/data/task/{task['id']}", {"text": "&amp;lt;"})
        newest, _ = (await gantt.get("/data/history")).json["history"]
        assert newest["fields"]["text"] == ["a < b", "&lt;"]

    async def test_an_undo_answers_with_what_is_drawn(self, gantt):
        task = await gantt.add("task", text="a < b")
        await gantt.delete(f"/data/task/{task['id']}")
        assert (await gantt.post("/data/undo/2")).json["item"]["text"] == "a &lt; b"

    async def test_it_is_told_on_the_socket(self, gantt, listen):
        socket = await listen("tasks")
        task = await gantt.add("task", text="a < b")
        assert (await socket.value("add-task"))["task"] == task

    async def test_a_page_that_was_away_is_told_too(self, gantt, listen):
        task = await gantt.add("task", text="a < b")
        socket = await listen("tasks", since=0)
        assert (await socket.value("add-task"))["task"] == task


class TestMarkup:
    """``html = "clean"``: text is HTML, and what could run is taken out of it."""

    @pytest.fixture
    def gantt_config(self, gantt_config):
        return gantt_config.model_copy(update={"html": "clean"})

    async def test_text_keeps_harmless_tags_alone(self, backend, gantt):
        task = await gantt.add("task", text=EVIL)
        assert "<b>bold</b>" in task["text"]
        assert "onerror" not in task["text"] and "script" not in task["text"]
        assert backend.item("task", task["id"]) == task == backend.load()["tasks"][0]

    @pytest.mark.parametrize("value", [EVIL, [EVIL], {"a": EVIL}, [{"a": [{"b": EVIL}]}]])
    async def test_custom_fields_at_any_depth(self, gantt, value):
        task = await gantt.add("task", custom=value)
        assert b"onerror" not in orjson.dumps(task) and b"alert(2)" not in orjson.dumps(task)

    async def test_an_update_is_cleaned_too(self, gantt):
        task = await gantt.add("task")
        answer = await gantt.put(f"/data/task/{task['id']}", {"text": EVIL})
        assert b"onerror" not in answer.body

    async def test_a_form_and_a_batch_are_cleaned_too(self, gantt):
        form = urlencode({**DATES, "text": EVIL, "custom": orjson.dumps([EVIL])})
        task = (await gantt.post("/data/task", form)).json["item"]
        assert b"onerror" not in orjson.dumps(task)
        form = {"ids": task["id"], f"{task['id']}_!nativeeditor_status": "updated"}
        await gantt.post("/data", urlencode({**form, f"{task['id']}_text": EVIL}))
        assert b"onerror" not in (await gantt.get()).body

    @pytest.mark.parametrize("text", ["R&D", "a > b", "&lt;b&gt;", "&amp;", "it's", "日本"])
    async def test_text_without_tags_is_kept_to_the_letter(self, gantt, text):
        assert (await gantt.add("task", text=text))["text"] == text

    async def test_cleaned_text_sent_back_is_no_edit(self, gantt):
        task = await gantt.add("task", text="a < b & c <i>d</i>")
        answer = await gantt.put(f"/data/task/{task['id']}", {"text": task["text"]})
        assert answer.json["item"]["_rev"] == task["_rev"]


class TestFields:
    @pytest.mark.parametrize(
        "value",
        [0, -5, 1.5, True, False, None, "", "x", [], {}, [1, "a", None, [2]], {"a": {"b": [1]}}],
    )
    async def test_a_custom_field_of_any_kind_comes_back(self, gantt, value):
        await gantt.add("task", custom=value)
        back = (await gantt.get()).json["tasks"][0]["custom"]
        assert back == value and type(back) is type(value)

    @pytest.mark.parametrize("body", [b'{"note":1,"note":2}', b"note=1&note=2"])
    async def test_of_a_field_that_comes_twice_the_last_counts(self, gantt, body):
        task = await gantt.add("task")
        item = (await gantt.put(f"/data/task/{task['id']}", body)).json["item"]
        assert str(item["note"]) == "2"

    @pytest.mark.parametrize("name", ["$open", "$index", "_private", "!nativeeditor_status"])
    async def test_what_the_client_keeps_for_itself_is_dropped(self, gantt, name):
        assert name not in await gantt.add("task", **{name: 1})

    @pytest.mark.parametrize("field", ["progress", "open", "unscheduled"])
    async def test_an_empty_text_is_null_where_a_field_is_no_text(self, gantt, field):
        assert not (await gantt.add("task", **{field: ""}))[field]

    async def test_an_empty_parent_is_the_top(self, gantt):
        assert (await gantt.add("task", parent=""))["parent"] == 0

    async def test_a_null_text_is_empty(self, gantt):
        assert (await gantt.add("task", text=None))["text"] == ""

    async def test_a_number_as_text_is_text(self, gantt):
        assert (await gantt.add("task", text=42))["text"] == "42"

    async def test_a_parent_as_text_is_a_number(self, gantt):
        (a,) = await tasks(gantt, "a")
        assert (await gantt.add("task", parent=str(a)))["parent"] == a

    @pytest.mark.parametrize("name", ["id", "rev", "project", "fields", "seq", "event", "tid"])
    async def test_a_custom_field_may_be_called_like_one_of_ours(self, gantt, name):
        task = await gantt.add("task", text="Dig", **{name: "mine"})
        other = await gantt.add("task", text="Build")
        assert {type(task["id"]), type(other["id"])} == {int}
        assert name == "id" or task[name] == "mine"

    async def test_a_revision_that_is_not_the_items_is_refused_and_the_page_told(self, gantt):
        task = await gantt.add("task", text="Dig")
        answer = await gantt.put(f"/data/task/{task['id']}", {"text": "x", "_rev": 10**15})
        assert is_error(answer, 409) and answer.json["reload"] is True
        assert (await gantt.get()).json["tasks"] == [task]

    async def test_so_is_one_of_a_batch(self, gantt):
        task = await gantt.add("task", text="Dig")
        id = task["id"]
        form = {f"{id}_!nativeeditor_status": "updated", f"{id}__rev": 99, "ids": id}
        answer = await gantt.post("/data?gantt_mode=tasks", urlencode(form))
        assert b'type="error"' in answer.body and b'reload="true"' in answer.body

    async def test_another_refusal_makes_no_page_load_again(self, gantt):
        answer = await gantt.post("/data/task", {**DATES, "parent": 99})
        assert is_error(answer, 409) and "reload" not in answer.json

    @pytest.mark.parametrize("rev", ["", "x", -1, 1.5, None, [1], True, "9" * 30])
    async def test_a_revision_that_is_none_is_ignored(self, gantt, rev):
        task = await gantt.add("task")
        answer = await gantt.put(f"/data/task/{task['id']}", {"text": "x", "_rev": rev})
        assert answer.json["item"]["text"] == "x"


class TestMerge:
    """Two people with one row: what each *changed* counts, not what each sent."""

    async def test_edits_of_different_fields_are_both_kept(self, gantt, colleague):
        task = await gantt.add("task", text="Dig")
        path = f"/data/task/{task['id']}"
        await gantt.put(path, {**task, "text": "Dig deep"})
        item = (await colleague.put(path, {**task, "progress": 0.5})).json["item"]
        assert (item["text"], item["progress"]) == ("Dig deep", 0.5)

    async def test_on_the_same_field_the_later_wins(self, gantt, colleague):
        task = await gantt.add("task", text="Dig")
        path = f"/data/task/{task['id']}"
        await gantt.put(path, {**task, "text": "first"})
        item = (await colleague.put(path, {**task, "text": "second"})).json["item"]
        assert item["text"] == "second"

    async def test_without_a_revision_all_fields_are_applied(self, gantt, colleague):
        task = await gantt.add("task", text="Dig")
        path = f"/data/task/{task['id']}"
        await gantt.put(path, {"text": "Dig deep"})
        item = (await colleague.put(path, {"text": "Dig", "progress": 0.5})).json["item"]
        assert (item["text"], item["progress"]) == ("Dig", 0.5)

    async def test_custom_fields_are_merged_one_by_one(self, gantt, colleague):
        task = await gantt.add("task", a=[1], b={"x": 1})
        path = f"/data/task/{task['id']}"
        await gantt.put(path, {**task, "a": [2]})
        item = (await colleague.put(path, {**task, "b": {"x": 2}})).json["item"]
        assert (item["a"], item["b"]) == ([2], {"x": 2})

    async def test_the_dates_of_two_writers_are_not_mixed(self, gantt, colleague):
        task = await gantt.add("task")
        path = f"/data/task/{task['id']}"
        await gantt.put(path, {**task, "start_date": "2030-02-01 00:00", "end_date": ""})
        item = (await colleague.put(path, {**task, "duration": 5})).json["item"]
        assert (item["start_date"], item["end_date"]) == ("2030-01-07 00:00", "2030-01-12 00:00")

    async def test_a_device_knows_its_own_write_before_the_echo(self, gantt):
        page = gantt.having(Remote_Device="page-1")
        task = await page.add("task", text="Dig")
        path = f"/data/task/{task['id']}"
        await page.put(path, {**task, "text": "changed"})
        item = (await page.put(path, {**task, "text": "Dig"})).json["item"]
        assert item["text"] == "Dig"

    async def test_without_a_device_the_old_value_counts_as_untouched(self, gantt):
        task = await gantt.add("task", text="Dig")
        path = f"/data/task/{task['id']}"
        await gantt.put(path, {**task, "text": "changed"})
        item = (await gantt.put(path, {**task, "text": "Dig"})).json["item"]
        assert item["text"] == "changed"

    async def test_a_device_does_not_know_what_another_did(self, gantt, colleague):
        mine, theirs = gantt.having(Remote_Device="page-1"), colleague.having(Remote_Device="2")
        task = await mine.add("task", text="Dig")
        path = f"/data/task/{task['id']}"
        await theirs.put(path, {**task, "text": "theirs"})
        item = (await mine.put(path, {**task, "progress": 0.5})).json["item"]
        assert (item["text"], item["progress"]) == ("theirs", 0.5)

    async def test_a_row_moved_by_another_stays_where_it_is(self, gantt, colleague):
        a, b = await tasks(gantt, "a", "b")
        task = (await gantt.get()).json["tasks"][1]
        await gantt.put(f"/data/task/{b}", {**task, "target": str(a)})
        await colleague.put(f"/data/task/{b}", {**task, "text": "B"})
        assert await order(gantt) == ["B", "a"]


async def test_a_body_of_which_the_rest_never_comes_is_no_error(gantt):
    stream = await connect(gantt)
    token = gantt.headers["Remote-Token"]
    head = f"POST /data/task HTTP/1.1\r\nHost: x\r\nRemote-Token: {token}\r\n"
    await stream.write(f"{head}Content-Length: 1000\r\n\r\n{{".encode())
    stream.close()
    assert number_of((await gantt.get()).json["seq"]) == 0


async def test_a_request_that_is_no_http_harms_nobody(gantt):
    stream = await connect(gantt)
    await stream.write(b"\x16\x03\x01 hello\r\n\r\n")
    with pytest.raises(StreamClosedError):
        await stream.read_until(b"never")
    assert (await gantt.get()).status == 200


async def test_a_connection_carries_one_request_after_another(gantt):
    (a,) = await tasks(gantt, "a")
    token = f"Host: x\r\nRemote-Token: {gantt.headers['Remote-Token']}\r\n"
    stream = await connect(gantt)
    for text in ("A", "B"):
        body = f'{{"text":"{text}"}}'
        head = f"PUT /data/task/{a} HTTP/1.1\r\n{token}Content-Length: {len(body)}\r\n\r\n"
        await stream.write((head + body).encode())
    await stream.write(f"GET /data HTTP/1.1\r\n{token}Connection: close\r\n\r\n".encode())
    received = await stream.read_until_close()
    assert received.count(b"HTTP/1.1 200 OK") == 3
    places = [received.index(each) for each in (b'"text":"A"', b'"text":"B"', b'"seq":"3-')]
    assert places == sorted(places)


ANYWHERE = [
    ("POST", "/data/task"),
    ("PUT", "/data/task/1"),
    ("POST", "/api/v1"),
    ("POST", "/data/undo/1"),
    ("GET", "/data"),
    ("GET", "/data/history"),
    ("POST", "/data/no/such/route"),
    ("GET", "/index.html"),
    ("POST", "/"),
    ("DELETE", "/no/such/file"),
]
everywhere = pytest.mark.parametrize("method, path", ANYWHERE)


async def begin(gantt, method, path, *headers):
    """A connection on which the headers of a request were sent."""
    stream = await connect(gantt)
    lines = [f"{method} {path} HTTP/1.1", "Host: x", *headers, "", ""]
    await stream.write("\r\n".join(lines).encode())
    return stream


async def told(stream):
    """The status of an answer and what it says, on a connection that the server ends."""
    answer = await asyncio.wait_for(stream.read_until_close(), 3)
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), body


class TestBodies:
    """No body is of any size or takes any time, wherever it is sent."""

    @pytest.fixture
    def settings(self):
        return {"max_body": 2048}

    @pytest.fixture
    def drops(self, monkeypatch):
        """A server that reads little of what it refuses."""
        monkeypatch.setattr(requests, "MOST_DROPPED", 10_000)

    @everywhere
    async def test_a_body_without_an_end_is_answered(self, gantt, drops, method, path):
        stream = await begin(gantt, method, path, "Content-Length: 100000000000")
        await stream.write(b"x" * 20_000)
        # Nobody has said who they are.
        assert (await told(stream))[0] in (403, 413)

    @everywhere
    async def test_chunks_without_an_end_are_answered(self, gantt, drops, method, path):
        stream = await begin(gantt, method, path, "Transfer-Encoding: chunked")
        await stream.write((b"1000\r\n" + b"x" * 0x1000 + b"\r\n") * 5)
        assert (await told(stream))[0] in (403, 413)

    async def test_the_answer_is_one_that_the_client_reads(self, gantt, drops):
        stream = await begin(gantt, "POST", "/data/undo/1", "Content-Length: 100000000000")
        await stream.write(b"x" * 20_000)
        assert orjson.loads((await told(stream))[1])["action"] == "error"

    @everywhere
    async def test_who_asks_before_sending_is_told_before_sending(self, gantt, method, path):
        stream = await begin(gantt, method, path, "Content-Length: 1000000", "Expect: 100-continue")
        assert (await told(stream))[0] in (403, 404, 413)

    async def test_who_asks_and_may_send_is_told_to_go_on(self, gantt):
        token = f"Remote-Token: {gantt.headers['Remote-Token']}"
        body = b'{"text":"x","start_date":"2030-01-07","duration":1}'
        stream = await begin(
            gantt,
            "POST",
            "/data/task",
            token,
            f"Content-Length: {len(body)}",
            "Expect: 100-continue",
        )
        await stream.read_until(b"100 (Continue)\r\n\r\n")
        await stream.write(body)
        await stream.read_until(b'"action":"inserted"')
        stream.close()

    @pytest.mark.parametrize(
        "method, path",
        [("POST", "/data/task"), ("POST", "/data/undo/1"), ("POST", "/data/x/y/z"), ("POST", "/")],
    )
    async def test_a_refused_request_leaves_its_connection_usable(self, gantt, method, path):
        # It was read to its end, so nothing of its answer was lost in a reset.
        stream = await begin(gantt, method, path, "Content-Length: 500000")
        await stream.write(b"x" * 500_000)
        await stream.write(b"GET /data HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        status, rest = await told(stream)
        assert status >= 400 and b'"tasks"' in rest

    @pytest.mark.parametrize(
        "method, path", [("PUT", "/data/task/1"), ("POST", "/data/task"), ("POST", "/api/v1")]
    )
    async def test_of_a_client_that_goes_while_it_sends_nothing_is_kept(
        self, gantt, monkeypatch, method, path
    ):
        bodies, gone = [], asyncio.Event()
        take, abandon = Body.take, Body.abandon
        monkeypatch.setattr(Body, "take", lambda it, part: bodies.append(it) or take(it, part))
        monkeypatch.setattr(Body, "abandon", lambda it: (abandon(it), gone.set()))
        stream = await begin(gantt, method, path, "Content-Length: 1000")
        await stream.write(b"x" * 10)
        while not bodies:
            await asyncio.sleep(0)
        stream.close()
        await asyncio.wait_for(gone.wait(), 3)
        assert [body._chunks for body in bodies] == [[]]

    async def test_a_client_that_goes_while_it_sends_leaves_nothing_waiting(self, gantt, caplog):
        for method, path in ANYWHERE:
            stream = await begin(gantt, method, path, "Content-Length: 1000")
            await stream.write(b"x" * 10)
            stream.close()
        assert (await gantt.get()).status == 200
        while [task for task in asyncio.all_tasks() if "_execute" in repr(task)]:
            await asyncio.sleep(0)
        assert [line.getMessage() for line in caplog.records if line.levelno > 20] == []


class TestSlowBodies:
    @pytest.fixture
    def settings(self):
        return {"body_timeout": 0.05}

    @everywhere
    @pytest.mark.parametrize("length", ["Content-Length: 10", "Transfer-Encoding: chunked"])
    async def test_a_body_that_stops_half_way_ends_the_connection(
        self, gantt, method, path, length
    ):
        stream = await begin(gantt, method, path, length)
        await stream.write(b"5\r\nabc")
        assert await asyncio.wait_for(stream.read_until_close(), 3) == b""

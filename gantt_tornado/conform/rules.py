"""The rules of docs/protocol.md, each as a coroutine that raises where it does not hold.

The first line of its docstring is how a report names it. Those that the client's documentation
has come first; what a backend may offer beyond it follows.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from tornado.websocket import WebSocketClosedError

from gantt_tornado.conform.client import (
    Answer,
    Client,
    Fails,
    NotOffered,
    Socket,
    id_of,
    shown,
    type_of,
)

Check = Callable[[Client], Awaitable[None]]

#: Seconds for which the released client waits for no event before it applies what came.
CLIENT_WAITS: Final = 0.05
#: No item or change has this number.
NOBODYS: Final = 10**15
#: Writes of a stream, and seconds between two.
STREAM: Final = 100
STREAM_PAUSE: Final = 0.012


@dataclass(frozen=True, slots=True)
class Rule:
    """A rule, in its section of the report."""

    section: str
    check: Check

    @property
    def text(self) -> str:
        return str(self.check.__doc__).partition("\n")[0].strip()


def expect(is_so: bool, came: Any) -> None:
    """Raises:
    Fails: it is not so.
    """
    if not is_so:
        raise Fails(f"this came: {shown(came)}")


# The handshake.


async def handshake_to_the_letter(client: Client) -> None:
    """with a good token the answer is `{"api":{},"data":{},"websocket":true}`"""
    answer = await client.request("GET", "/api/v1")
    expect(answer.status == 200, answer.status)
    told = answer.object
    if told.get("api") or told.get("data"):
        # An application's own services and constants.
        expect([*told] == ["api", "data", "websocket"] and told["websocket"] is True, answer.body)
        return
    expect(answer.body == b'{"api":{},"data":{},"websocket":true}', answer.body)


async def handshake_refused(client: Client) -> None:
    """with a wrong token, or none, it is 403 `{"error":"Forbidden"}`"""
    for token in ("", "no-such-token"):
        answer = await client.request("GET", "/api/v1", token=token)
        expect(answer.status == 403, answer.status)
        expect(answer.body == b'{"error":"Forbidden"}', answer.body)


# The socket.


async def start_frame(client: Client) -> None:
    """its first frame is `start`, with an id of its own"""
    ids = set()
    for _ in range(3):
        frame = await (await client.socket()).frame("start")
        expect([*frame] == ["action", "body"] and isinstance(frame["body"], str), frame)
        ids.add(frame["body"])
    expect(len(ids) == 3, ids)


async def bad_token_closes(client: Client) -> None:
    """with a bad token it is accepted, and then closed with 1008"""
    code = await (await client.socket(token="no-such-token", start=False)).closed()
    expect(code == 1008, f"the code {code}")


async def junk_is_ignored(client: Client) -> None:
    """what nobody has defined is ignored"""
    socket = await client.socket()
    for junk in ("", "hello", "[]", "null", '{"action":"fly"}', '{"action":"subscribe"}'):
        await socket.send(junk)
    await joined(client, socket)


async def binary_closes(client: Client) -> None:
    """a binary frame closes it with 1003"""
    socket = await client.socket()
    await socket.send(b"\x00\x01")
    code = await socket.closed()
    expect(code == 1003, f"the code {code}")


async def large_frame_closes(client: Client) -> None:
    """a frame of some megabytes closes it with 1009"""
    socket = await client.socket()
    # It may be closed before all of it has been sent.
    with contextlib.suppress(WebSocketClosedError):
        await socket.send("x" * (4 << 20))
    code = await socket.closed()
    expect(code in (1009, None), f"the code {code}")


async def only_subscribers_are_told(client: Client) -> None:
    """who has not subscribed is told nothing"""
    socket = await client.socket()
    other = await client.socket("tasks")
    await other.event("add-task", await client.add())
    await asyncio.sleep(client.quiet)
    expect(not socket.events, socket.events)


async def unsubscribe(client: Client) -> None:
    """after `unsubscribe`, by `name` or by `key`, nothing more is told"""
    for key in ("name", "key"):
        socket, other = await client.socket("tasks"), await client.socket("tasks")
        await socket.send({"action": "unsubscribe", key: "tasks"})
        await socket.settle()
        await other.event("add-task", await client.add())
        await asyncio.sleep(client.quiet)
        expect(not socket.events, socket.events)
        expect(not socket.is_closed, f"by {key!r} the socket is closed with {socket.code}")


async def joined(client: Client, socket: Socket) -> None:
    """See that a socket still joins a channel and is told."""
    await socket.send({"action": "subscribe", "name": "tasks"})
    await socket.settle()
    await socket.event("add-task", await client.add())


# Events.


async def added_is_told(client: Client) -> None:
    """`add-task` has the item, the same under `task` and `event`"""
    socket = await client.socket("tasks")
    id = await client.add(text="told")
    value = (await socket.event("add-task", id))["value"]
    both_keys(value, "task")
    expect(value["task"].get("text") == "told", value)


async def updated_is_told(client: Client) -> None:
    """`update-task` has the whole item, the same under both keys"""
    id = await client.add(text="before")
    socket = await client.socket("tasks")
    await client.put(id, text="after")
    value = (await socket.event("update-task", id))["value"]
    both_keys(value, "task")
    expect(value["task"].get("text") == "after" and "start_date" in value["task"], value)


async def deleted_is_told(client: Client) -> None:
    """`delete-task` has the id, under both keys"""
    id = await client.add()
    socket = await client.socket("tasks")
    await client.delete(id)
    value = (await socket.event("delete-task", id))["value"]
    both_keys(value, "task")


async def links_are_told(client: Client) -> None:
    """links are told on `links`, under `link` and `event`"""
    a, b = await client.add(), await client.add()
    socket = await client.socket("links")
    id = await client.add("link", source=a, target=b, type="0")
    body = await socket.event("add-link", id)
    expect(body.get("name") == "links", body)
    both_keys(body["value"], "link")
    await client.put(id, "link", type="1")
    both_keys((await socket.event("update-link", id))["value"], "link")
    await client.delete(id, "link")
    both_keys((await socket.event("delete-link", id))["value"], "link")


async def writer_is_told(client: Client) -> None:
    """every subscriber is told, the writer's own page too"""
    sockets = [await client.socket("tasks") for _ in range(3)]
    id = await client.add()
    for socket in sockets:
        await socket.event("add-task", id)


async def in_order(client: Client) -> None:
    """events come in the order of the changes"""
    socket = await client.socket("tasks")
    ids = [str(await client.add(text=str(number))) for number in range(20)]
    await socket.event("add-task", ids[-1])
    told = [str(id_of(body)) for _, body in socket.events if type_of(body) == "add-task"]
    expect([id for id in told if id in ids] == ids[:-1], told)


async def refused_is_not_told(client: Client) -> None:
    """what is refused is not told"""
    socket = await client.socket("tasks")
    answer = await client.request(
        "POST", "/data/task", {"text": "never told"}, token="no-such-token"
    )
    expect(answer.status == 403, answer.status)
    await socket.event("add-task", await client.add())
    texts = [str(body) for _, body in socket.events]
    expect(not any("never told" in text for text in texts), texts)


async def a_stream_is_seen(client: Client) -> None:
    """a steady stream has gaps of 50 ms, in which the client applies it"""
    id = await client.add()
    socket = await client.socket("tasks")
    writes = []
    for number in range(STREAM):
        # At an even pace, however long an answer takes.
        writes.append(asyncio.create_task(client.put(id, text=str(number))))
        await asyncio.sleep(STREAM_PAUSE)
    await asyncio.gather(*writes)
    times = [at for at, _ in socket.events]
    expect(len(times) > 2, f"{len(times)} events")
    longest, since = 0.0, times[0]
    for before, after in pairwise(times):
        if after - before >= CLIENT_WAITS:
            since = after
        longest = max(longest, after - since)
    spoken = times[-1] - times[0]
    expect(longest < max(0.5, spoken / 2), f"{longest:.1f} s without a gap")


def both_keys(value: Any, entity: str) -> None:
    if not isinstance(value, dict) or entity not in value or "event" not in value:
        keys = ", ".join(value) if isinstance(value, dict) else shown(value)
        raise Fails(
            f"the released client reads {entity!r}, its documentation names 'event': {keys}"
        )
    expect(value[entity] == value["event"], value)


# REST.


async def load(client: Client) -> None:
    """`GET /data` has lists of tasks and links, with what was added"""
    id = await client.add(text="loaded")
    loaded = await client.load()
    expect(isinstance(loaded.get("links"), list), [*loaded])
    expect((await client.item(id)).get("text") == "loaded", loaded)


async def insert(client: Client) -> None:
    """an insert is answered `inserted` with the new `tid`"""
    first, second = await client.add(), await client.add()
    expect(str(first) != str(second), (first, second))


async def update(client: Client) -> None:
    """an update is answered `updated` with its `tid`"""
    id = await client.add()
    answer = await client.put(id, text="b")
    told = answer.object
    expect((told.get("action"), str(told.get("tid"))) == ("updated", str(id)), answer.body)
    expect((await client.item(id)).get("text") == "b", "the item is as before")


async def partial_update(client: Client) -> None:
    """an update changes the fields that it has, and no others"""
    id = await client.add(text="kept")
    await client.put(id, progress=0.5)
    item = await client.item(id)
    expect((item.get("text"), item.get("progress")) == ("kept", 0.5), item)


async def delete(client: Client) -> None:
    """a delete is answered `deleted`, and so is one of what is gone"""
    id = await client.add()
    for _ in range(2):
        answer = await client.delete(id)
        expect((answer.status, answer.object.get("action")) == (200, "deleted"), answer.body)


async def put_to_what_is_gone(client: Client) -> None:
    """a PUT to what somebody has deleted is answered `deleted`, so that the page is clean"""
    id = await client.add()
    await client.delete(id)
    answer = await client.put(id, text="late")
    expect((answer.status, answer.object.get("action")) == (200, "deleted"), answer.body)


async def forms(client: Client) -> None:
    """forms are read too, as the client's mode REST sends them"""
    body = "text=formed&start_date=2030-01-07+00%3A00&duration=2&parent=0"
    answer = await client.request("POST", "/data/task", body)
    id = answer.object.get("tid")
    expect(answer.object.get("action") == "inserted", answer.body)
    client.added.append(("task", id))
    expect((await client.item(id)).get("text") == "formed", "the item has no text")


async def batches(client: Client) -> None:
    """a batch of mode POST is answered in XML, an action a row"""
    a, b = await client.add(), await client.add()
    rows = "&".join(
        f"{id}_id={id}&{id}_text=batched&{id}_!nativeeditor_status=updated" for id in (a, b)
    )
    body = f"ids={a},{b}&{rows}"
    answer = await client.request("POST", "/data?editing=true&gantt_mode=tasks", body)
    if answer.status in (404, 405):
        raise NotOffered("POST /data")
    expect(answer.body.count(b"<action ") == 2 and b'type="updated"' in answer.body, answer.body)
    expect((await client.item(a)).get("text") == "batched", "the item is as before")


async def errors_say_so(client: Client) -> None:
    """every refusal has `"action":"error"`: without it the client takes a row for saved"""
    id = await client.add()
    answers = {
        "a wrong token": await client.request("PUT", f"/data/task/{id}", {}, token="no-such-token"),
        "no JSON": await client.request("PUT", f"/data/task/{id}", b"{"),
        "no such task": await put_to_nothing(client),
        "no such verb": await client.request("PATCH", f"/data/task/{id}", {}),
        "no such address": await client.request("GET", "/data/no/such/thing"),
    }
    for case, answer in answers.items():
        told = error_of(answer)
        if told != "error":
            raise Fails(f"{case}: {answer.status} {shown(answer.body)}")


async def statuses(client: Client) -> None:
    """403 for a wrong token, 400 for what is no JSON, 404 for no such item, 405 for no such verb"""
    id = await client.add()
    wrong = await client.request("PUT", f"/data/task/{id}", {}, token="no-such-token")
    came = [
        wrong.status,
        (await client.request("PUT", f"/data/task/{id}", b"{")).status,
        (await put_to_nothing(client)).status,
        (await client.request("PATCH", f"/data/task/{id}", {})).status,
    ]
    expect(came == [403, 400, 404, 405], came)


async def circles(client: Client) -> None:
    """a task inside itself is refused with 409"""
    a = await client.add()
    b = await client.add(parent=a)
    answer = await client.put(a, parent=b)
    expect((answer.status, error_of(answer)) == (409, "error"), f"{answer.status} {answer.body!r}")
    expect(str((await client.item(a)).get("parent")) == "0", "it has been moved")


async def dangling_links(client: Client) -> None:
    """a link to a task that never was is refused with 409"""
    a = await client.add()
    sent = {"source": a, "target": NOBODYS, "type": "0"}
    answer = await client.request("POST", "/data/link", sent)
    if answer.status == 200 and isinstance(answer.json, dict):
        client.added.append(("link", answer.json.get("tid")))
    expect((answer.status, error_of(answer)) == (409, "error"), f"{answer.status} {answer.body!r}")


async def cascades(client: Client) -> None:
    """a deleted task takes its children and links along, and each is told"""
    a = await client.add()
    b, c = await client.add(parent=a), await client.add()
    link = await client.add("link", source=b, target=c, type="0")
    tasks, links = await client.socket("tasks"), await client.socket("links")
    await client.delete(a)
    await links.event("delete-link", link)
    for id in (a, b):
        await tasks.event("delete-task", id)
    left = {str(item.get("id")) for item in (await client.load())["tasks"]}
    expect(not left & {str(a), str(b)}, "they are still there")


async def one_id_for_all(client: Client) -> None:
    """ids are unique across entities: the client compares those in flight without regard to it"""
    ids = [str(await client.add()) for _ in range(2)]
    ids += [str(await client.add("link", source=ids[0], target=ids[1], type="0"))]
    expect(len({*ids}) == 3, ids)


async def dates(client: Client) -> None:
    """dates are read in each of the client's forms, and told in one"""
    forms = ("2030-01-07 08:00", "2030-01-07 08:00:00", "07-01-2030 08:00", "2030-01-07T08:00:00Z")
    shown_as = set()
    for form in forms:
        id = await client.add(start_date=form)
        shown_as.add((await client.item(id)).get("start_date"))
    expect(len(shown_as) == 1, shown_as)


async def text_is_text(client: Client) -> None:
    """text is told as HTML that draws it to the letter: the client draws HTML"""
    id = await client.add(text="if x<y & <script>alert(1)</script>")
    text = str((await client.item(id)).get("text"))
    expect("<script" not in text.lower(), text)
    expect("y" in text, text)


async def wide_text(client: Client) -> None:
    """text in any script comes back as it went"""
    for text in ("Straße Ümläut", "日本語", "עברית", "🏗️ site"):
        id = await client.add(text=text)
        expect((await client.item(id)).get("text") == text, text)


async def put_to_nothing(client: Client) -> Answer:
    """An update of a task that never was. Where it makes one, that is to go again."""
    answer = await client.put(NOBODYS, text="x")
    if answer.status == 200:
        client.added.append(("task", NOBODYS))
    return answer


def error_of(answer: Answer) -> Any:
    try:
        return answer.object.get("action")
    except Fails:
        return None


# Calls.


async def unknown_calls(client: Client) -> None:
    """a call of a method that is not there has a result with an error"""
    socket = await client.socket()
    call = {"id": "7", "name": "conform.none", "args": []}
    await socket.send({"action": "call", "body": [call, {**call, "id": "8"}]})
    await socket.until("the results of two calls", lambda: len(socket.results) >= 2)
    expect({each.get("id") for each in socket.results} == {"7", "8"}, socket.results)
    expect(all(each.get("error") for each in socket.results), socket.results)


async def posted_calls(client: Client) -> None:
    """by POST calls are answered with an array, also where they are refused"""
    calls = [{"id": "7", "name": "conform.none", "args": []}]
    for token in (client.token, "no-such-token"):
        answer = await client.request("POST", "/api/v1", calls, token=token)
        if answer.status in (404, 405):
            raise NotOffered("POST /api/v1")
        told = answer.json
        expect(isinstance(told, list) and len(told) == 1 and bool(told[0]["error"]), answer.body)


# Beyond the client's documentation.


async def etag(client: Client) -> None:
    """a load that has not changed is 304"""
    answer = await client.request("GET", "/data")
    mark = answer.headers.get("Etag", "")
    if not mark:
        raise NotOffered("no ETag")
    again = await client.request("GET", "/data", headers={"If-None-Match": mark})
    expect(again.status == 304, again.status)
    await client.add()
    changed = await client.request("GET", "/data", headers={"If-None-Match": mark})
    expect(changed.status == 200, changed.status)


async def replay(client: Client) -> None:
    """with `since` a page is told what it missed, and then what comes"""
    seq = await position(client)
    id, gone = await client.add(text="missed"), await client.add()
    await client.put(id, text="missed twice")
    await client.delete(gone)
    socket = await client.socket("tasks", since=seq)
    value = (await socket.event("add-task", id))["value"]
    expect(value["task"]["text"] == "missed twice", value)
    await socket.event("update-task", id)
    # What was touched lately may be told again, but nothing that is gone comes back.
    added = {str(id_of(body)) for _, body in socket.events if type_of(body) == "add-task"}
    expect(str(gone) not in added, socket.events)
    await socket.event("add-task", await client.add())


async def reload(client: Client) -> None:
    """a page of another history is told `reload`"""
    await position(client)
    socket = await client.socket("tasks", since="1-000000", reload="1")
    value = (await socket.event("reload"))["value"]
    expect(value.get("seq") == await position(client), value)


async def position(client: Client) -> str:
    seq = (await client.load()).get("seq")
    if not isinstance(seq, str):
        raise NotOffered("no seq in GET /data")
    return seq


async def merge(client: Client) -> None:
    """two who edit different fields of one task both keep their edit"""
    id = await client.add(text="a", progress=0)
    seen = await client.item(id)
    if "_rev" not in seen:
        raise NotOffered("no _rev in items")
    await client.put(id, **{**seen, "text": "b"})
    await client.put(id, **{**seen, "progress": 0.5})
    item = await client.item(id)
    expect((item["text"], item["progress"]) == ("b", 0.5), item)


async def stale(client: Client) -> None:
    """a PUT with a `_rev` that never was is refused with 409 and `"reload":true`"""
    id = await client.add()
    seen = await client.item(id)
    if "_rev" not in seen:
        raise NotOffered("no _rev in items")
    answer = await client.put(id, **{**seen, "_rev": NOBODYS, "text": "x"})
    expect((answer.status, answer.object.get("reload")) == (409, True), answer.body)


async def moves(client: Client) -> None:
    """a row that is dragged is told with `move-task`"""
    a, b = await client.add(), await client.add()
    socket = await client.socket("tasks")
    seen = await client.item(b)
    await client.put(b, **{**seen, "target": str(a)})
    ids = [str(item["id"]) for item in (await client.load())["tasks"]]
    if not ids.index(str(b)) < ids.index(str(a)):
        raise NotOffered("rows have no order")
    value = (await socket.event("move-task", b))["value"]
    both_keys(value, "task")
    expect({"id", "parent", "index", "target"} <= value["task"].keys(), value)


async def idempotency(client: Client) -> None:
    """a POST that is sent again with its `Idempotency-Key` adds no second row"""
    headers = {"Idempotency-Key": secrets.token_hex(8)}
    text = secrets.token_hex(8)
    sent = {"text": text, "start_date": "2030-01-07 00:00", "duration": 1, "parent": 0}
    for _ in range(2):
        answer = await client.request("POST", "/data/task", sent, headers=headers)
        client.added.append(("task", answer.object.get("tid")))
    count = sum(item.get("text") == text for item in (await client.load())["tasks"])
    if count == 2:
        raise NotOffered("the row is there twice")
    expect(count == 1, count)


async def history_and_undo(client: Client) -> None:
    """the history has each change, and an undo takes one back"""
    id = await client.add(text="before")
    changed = (await client.put(id, text="after")).object.get("change")
    answer = await client.request("GET", f"/data/history?item={id}")
    if answer.status == 404 or changed is None:
        raise NotOffered("GET /data/history")
    newest = answer.object["history"][0]
    expect((newest["seq"], newest["fields"]["text"]) == (changed, ["before", "after"]), newest)
    undone = await client.request("POST", f"/data/undo/{changed}")
    expect(undone.object.get("action") == "undone", undone.body)
    expect((await client.item(id))["text"] == "before", "the item is as before")


async def presence(client: Client) -> None:
    """`presence` counts people, and names them to who is signed in"""
    socket = await client.socket("presence")
    try:
        value = (await socket.event("presence"))["value"]
    except Fails:
        raise NotOffered("no presence") from None
    count = value.get("count")
    expect(isinstance(count, int) and count >= 1, value)
    people = value.get("people", [])
    expect(all(each.get("name") for each in people) and len(people) <= count, value)


async def told_more(client: Client) -> None:
    """a page with `since` is told who it is, and which calls there are"""
    told = (await client.request("GET", f"/api/v1?since={await position(client)}")).object
    if "user" not in told.get("data", {}):
        raise NotOffered("no user in the handshake")
    expect({"name", "role"} <= told["data"]["user"].keys(), told)
    expect(told["api"].get("live", {}).get("here") == 1, told["api"])


async def published(client: Client) -> None:
    """`POST /api/v1/publish` tells an event to a channel, and not to a built-in one"""
    name = f"conform-{secrets.token_hex(4)}"
    socket = await client.socket(name)
    sent = {"name": name, "value": {"type": "custom-conform"}}
    answer = await client.request("POST", "/api/v1/publish", sent)
    if answer.status in (404, 405):
        raise NotOffered("POST /api/v1/publish")
    await socket.event("custom-conform")
    refused = await client.request("POST", "/api/v1/publish", {"name": "tasks", "value": {}})
    expect(refused.status == 403, refused.status)


async def changes(client: Client) -> None:
    """`GET /data/changes` tells a script each change, and goes on from a position"""
    seq = await position(client)
    ids = [str(await client.add()) for _ in range(2)]
    answer = await client.request("GET", f"/data/changes?live=0&since={seq}")
    if answer.status == 404:
        raise NotOffered("GET /data/changes")
    lines = [Answer(200, answer.headers, line).object for line in answer.body.splitlines()]
    expect([str(line["id"]) for line in lines] == ids, answer.body)
    rest = await client.request("GET", f"/data/changes?live=0&since={lines[0]['position']}")
    expect(len(rest.body.splitlines()) == 1, rest.body)


#: In the order in which they are reported.
RULES: Final = (
    *(Rule("handshake", each) for each in (handshake_to_the_letter, handshake_refused)),
    *(
        Rule("socket", each)
        for each in (
            *(start_frame, bad_token_closes, junk_is_ignored, binary_closes, large_frame_closes),
            *(only_subscribers_are_told, unsubscribe),
        )
    ),
    *(
        Rule("events", each)
        for each in (
            *(added_is_told, updated_is_told, deleted_is_told, links_are_told, writer_is_told),
            *(in_order, refused_is_not_told, a_stream_is_seen),
        )
    ),
    *(
        Rule("REST", each)
        for each in (
            *(load, insert, update, partial_update, delete, put_to_what_is_gone, forms, batches),
            *(errors_say_so, statuses, circles, dangling_links, cascades, one_id_for_all),
            *(dates, text_is_text, wide_text),
        )
    ),
    *(Rule("calls", each) for each in (unknown_calls, posted_calls)),
    *(
        Rule("beyond", each)
        for each in (
            *(etag, replay, reload, merge, stale, moves, idempotency, history_and_undo),
            *(presence, told_more, published, changes),
        )
    ),
)

"""Both adapters, the RequestHandlers and the delegates, answer every endpoint alike."""

import asyncio
import json
import re

import pytest
from conftest import ADMIN, EDITOR, LISTED, VIEWER
from tornado import routing, web
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from gantt_tornado import Backend, Role, User, make_app, routes
from gantt_tornado.testing import DATES, Client
from gantt_tornado.web import endpoints
from gantt_tornado.web.delegate import EndpointDelegate, EndpointRouter
from gantt_tornado.web.endpoints import ENDPOINTS
from gantt_tornado.web.handlers import EndpointHandler
from gantt_tornado.web.socket import SocketHandler

pytestmark = pytest.mark.gen_test

AS_ADMIN = {"Remote-Token": ADMIN}
DATED = b'{"text":"A","start_date":"2030-01-07","duration":1}'
#: For every endpoint at least one request that succeeds: headers beside the editor's token,
#: verb, path, body.
REQUESTS = {
    "load": ({}, "GET", "/data", None),
    "load with assignments": ({}, "GET", "/data?assignments=1", None),
    "load as anonymous": ({"Remote-Token": ""}, "GET", "/data", None),
    "load with the token in the URL": (
        {"Remote-Token": ""},
        "GET",
        f"/data?token=%20{VIEWER}",
        None,
    ),
    "load packed": ({"Accept-Encoding": "gzip"}, "GET", "/data", None),
    "load from a listed page": ({"Origin": LISTED}, "GET", "/data", None),
    "load with a body": ({}, "GET", "/data", b"x"),
    "load with a wrong token in the URL": ({"Remote-Token": ""}, "GET", "/data?token=x", None),
    "load with what is not UTF-8": ({}, "GET", "/data?assignments=%FF", None),
    "head": ({}, "HEAD", "/data", None),
    "head, refused": ({"Remote-Token": "x"}, "HEAD", "/data", None),
    "a row of mode json": (
        {},
        "POST",
        "/data",
        b'{"id":"1","action":"updated","data":{"text":"B"}}',
    ),
    "a batch": ({}, "POST", "/data", b"ids=1&1_text=B&1_!nativeeditor_status=updated"),
    "a batch of nothing known": ({}, "POST", "/data?gantt_mode=trees", b"ids=1"),
    "a mode that is empty": ({}, "POST", "/data?gantt_mode=", b"ids=1"),
    "history": ({}, "GET", "/data/history?item=1&limit=1", None),
    "history before no number": ({}, "GET", "/data/history?before=x", None),
    "undo": ({}, "POST", "/data/undo/2", b""),
    "undo with a body": ({}, "POST", "/data/undo/2", b"x" * 5000),
    "undo of what never was": ({}, "POST", "/data/undo/99", b""),
    "insert": ({"Idempotency-Key": "k"}, "POST", "/data/task", DATED),
    "insert by a viewer": ({"Remote-Token": VIEWER}, "POST", "/data/task", DATED),
    "update": ({}, "PUT", "/data/task/1", b'{"text":"A"}'),
    "update by a form": (
        {"Content-Type": "application/x-www-form-urlencoded"},
        "PUT",
        "/data/task/1",
        b"text=A",
    ),
    "one that changes nothing": ({}, "PUT", "/data/task/1", b"{}"),
    "not json": ({"Content-Type": "application/json"}, "PUT", "/data/task/1", b"{"),
    "a list": ({"Content-Type": "application/json"}, "PUT", "/data/task/1", b"[]"),
    "no date": ({}, "PUT", "/data/task/1", b'{"start_date":"never"}'),
    "a circle": ({}, "PUT", "/data/task/1", b'{"parent":1}'),
    "no such task": ({}, "PUT", "/data/task/99", b"{}"),
    "no id": ({}, "PUT", "/data/task/new", b"{}"),
    "no such entity": ({}, "PUT", "/data/tree/1", b"{}"),
    "an id that is no text": ({}, "PUT", "/data/task/%FF", b"{}"),
    "no token": ({"Remote-Token": ""}, "PUT", "/data/task/1", b"{}"),
    "a wrong token": ({"Remote-Token": "nobody"}, "PUT", "/data/task/1", b"{}"),
    "a viewer": ({"Remote-Token": VIEWER}, "PUT", "/data/task/1", b"{}"),
    "too much": ({}, "PUT", "/data/task/1", b'{"text":"%s"}' % (b"x" * 5000)),
    "too much for what is no id": ({}, "PUT", "/data/task/new", b"x" * 5000),
    "another host": ({"Origin": "https://evil.example"}, "PUT", "/data/task/1", b"{}"),
    "a listed page": ({"Origin": LISTED}, "PUT", "/data/task/1", b"{}"),
    "delete": ({}, "DELETE", "/data/task/1", None),
    "delete of what was never saved": ({}, "DELETE", "/data/task/t%20x", None),
    "changes": ({}, "GET", "/data/changes?live=0", None),
    "changes of another history": ({}, "GET", "/data/changes?since=7", None),
    "changes by nobody": ({"Remote-Token": "x"}, "GET", "/data/changes", None),
    "an event": ({}, "POST", "/api/v1/publish", b'{"name":"news","value":1}'),
    "an event of ours": ({}, "POST", "/api/v1/publish", b'{"name":"tasks","value":1}'),
    "an event that is too large": ({}, "POST", "/api/v1/publish", b"x" * 70_000),
    "handshake": ({}, "GET", "/api/v1", None),
    "handshake as anonymous": ({"Remote-Token": ""}, "GET", "/api/v1", None),
    "calls": ({}, "POST", "/api/v1", b'[{"id":"1","name":"a.b","args":[]}]'),
    "too many calls": ({}, "POST", "/api/v1", b"[%s1]" % (b"1," * 2000)),
    "calls that are too large": ({}, "POST", "/api/v1", b"[%s]" % (b" " * 70_000)),
    "calls by nobody": ({"Remote-Token": "x"}, "POST", "/api/v1", b'[{"id":"1"}]'),
    "calls of another host": ({"Origin": "https://evil.example"}, "POST", "/api/v1", b"[]"),
    "a verb that is not there": ({}, "DELETE", "/data/history", None),
    "a path that is not there": ({}, "GET", "/data/task/1/2", None),
    "an update of what has no id": ({}, "PUT", "/data/undo/1", b"{}"),
    "options": ({}, "OPTIONS", "/data/task/1", None),
    "load of another project": ({}, "GET", "/p/house/data", None),
    "update in another project": ({}, "PUT", "/p/house/data/task/1", b'{"text":"A"}'),
    "load of no project": ({}, "GET", "/p/nowhere/data", None),
    "handshake of no project": ({}, "GET", "/p/nowhere/api/v1", None),
    "projects": ({}, "GET", "/projects", None),
    "alive": ({}, "GET", "/healthz", None),
    "alive, without a body": ({}, "HEAD", "/healthz", None),
    "ready": ({}, "GET", "/readyz", None),
    "described": ({}, "GET", "/openapi.json", None),
    "ready, without a body": ({}, "HEAD", "/readyz", None),
    "numbers": (AS_ADMIN, "GET", "/metrics", None),
    "numbers by an editor": ({}, "GET", "/metrics", None),
    "new project": (AS_ADMIN, "POST", "/projects", b'{"name":"new","title":"New"}'),
    "new project by an editor": ({}, "POST", "/projects", b'{"name":"new"}'),
    "new project without a name": (AS_ADMIN, "POST", "/projects", b"{}"),
    "another title": (AS_ADMIN, "PUT", "/projects/house", b'{"title":"Ours"}'),
    "end of a project": (AS_ADMIN, "DELETE", "/projects/house?name=house", None),
    "end of a project without its name": (AS_ADMIN, "DELETE", "/projects/house", None),
    "a project taken back": (AS_ADMIN, "POST", "/projects/restore/gone", b""),
    "webhooks": (AS_ADMIN, "GET", "/webhooks", None),
    "webhooks by an editor": ({}, "GET", "/webhooks", None),
    "a project that has no verb": (AS_ADMIN, "GET", "/projects/house", None),
}


@pytest.fixture
def settings():
    return {"max_body": 4096}


#: What differs between two plans with the same rows: marks, times and the ids of requests.
RANDOM = re.compile(
    rb'(?<=-)[0-9a-f]{6}|(?<="_mark":")[0-9a-f]{6}|(?<=ed":")2[^"]+|(?<="at":")[^"]+'
    rb'|(?<="request":")[0-9a-f]{16}'
)


@pytest.fixture
def other(io_loop, gantt_config):
    """A plan for the handlers, with the same rows as that for the delegates."""
    other = Backend(gantt_config)
    io_loop.run_sync(other.start)
    yield other
    io_loop.run_sync(other.close)


@pytest.fixture
def app(backend, other):
    delegates = routing.Rule(routing.AnyMatches(), EndpointRouter(backend))
    handlers = routes(other, prefix="/handlers")
    return web.Application([delegates, *handlers, *routes(backend)])


@pytest.fixture(autouse=True)
def projects(io_loop, backend, other):
    """Another project, and one that was deleted, in both plans."""

    async def add(to):
        await to.create_project("house")
        await to.project("house").insert("task", DATES)
        await to.create_project("gone")
        await to.delete_project("gone")

    for each in (backend, other):
        io_loop.run_sync(lambda each=each: add(each))


async def both(gantt, name):
    """The answers to a request by a delegate and by a handler, on plans with two tasks."""
    headers, verb, path, body = REQUESTS[name]
    answers = []
    for prefix in ("", "/handlers"):
        await gantt.post(f"{prefix}/data/task", {"text": "a", **DATES})
        await gantt.put(f"{prefix}/data/task/1", {"text": "b"})
        client = Client(gantt.http, gantt.url + prefix, {"Remote-Token": EDITOR, **headers})
        answers.append(await client.request(verb, path, body))
    return answers


# No two answers have the same numbers.
@pytest.mark.parametrize("name", [each for each in REQUESTS if each != "numbers"])
async def test_both_adapters_answer_alike(gantt, name):
    delegate, handler = await both(gantt, name)
    assert seen(delegate) == seen(handler)


def seen(answer):
    """An answer without what differs by time and plan."""
    given = [(n, v) for n, v in answer.headers.get_all() if n not in ("Date", "X-Request-Id")]
    told = {n: RANDOM.sub(b"*", v.encode()) for n, v in given}
    return answer.status, told, RANDOM.sub(b"*", answer.body)


def example(endpoint):
    """The first request of those above that is one to an endpoint."""
    path = re.compile(re.sub(r"\{\w+\}", r"[^/]+", endpoint.path) + r"(\?.*)?")
    named = (
        name
        for name, (_, verb, url, _) in REQUESTS.items()
        if verb == endpoint.verb and path.fullmatch(url)
    )
    return next(named)


@pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda e: f"{e.verb} {e.path}")
async def test_each_endpoint_succeeds_through_both_adapters(gantt, monkeypatch, endpoint):
    served = []
    for adapter in (EndpointDelegate, EndpointHandler):
        send = adapter._send

        async def spy(self, response, send=send):
            served.append((type(self), response.status))
            await send(self, response)

        monkeypatch.setattr(adapter, "_send", spy)
    await both(gantt, example(endpoint))
    handler = SocketHandler if endpoint.is_remote else EndpointHandler
    assert [served[2][0], served[5][0]] == [EndpointDelegate, handler]
    assert served[2][1] == served[5][1] in (200, 201)


async def test_both_pack_a_long_load_alike(gantt, backend, io_loop):
    for number in range(3):
        await backend.insert("task", {"text": f"{number}" * 400_000, **DATES})
    for headers in ({}, {"Accept-Encoding": "gzip"}):
        client = gantt.having(**headers)
        delegate = await client.get()
        backend.authenticate = lambda handler: User("Eve", Role.editor)
        handler = await client.get()
        backend.authenticate = None
        assert seen(delegate) == seen(handler) and delegate.status == 200


async def test_a_load_that_the_page_has_is_304_by_both(gantt, backend):
    page = gantt.having(If_None_Match=(await gantt.get()).headers["Etag"])
    delegate = await page.get()
    backend.authenticate = lambda handler: User("Eve", Role.editor)
    assert delegate.status == 304 and seen(delegate) == seen(await page.get())


def asked(verb, path, headers=()):
    line = RequestStartLine(verb, path, "HTTP/1.1")
    return HTTPServerRequest(start_line=line, headers=HTTPHeaders({"Host": "x", **dict(headers)}))


@pytest.mark.parametrize("header", ["Expect", "Upgrade"])
async def test_what_wants_another_answer_first_is_left_to_the_handlers(backend, header):
    assert EndpointRouter(backend).find_handler(asked("GET", "/api/v1", {header: "x"})) is None


@pytest.mark.parametrize(
    "verb, path",
    [
        ("PUT", "/data/undo/1"),
        ("PUT", "/data/task"),
        ("POST", "/data/task/1"),
        ("OPTIONS", "/data"),
        ("PUT", "/data/task/%FF"),
        ("GET", "/data/task"),
        ("GET", "/"),
    ],
)
async def test_what_is_not_in_the_table_is_left_to_the_handlers(backend, verb, path):
    assert EndpointRouter(backend).find_handler(asked(verb, path)) is None


async def test_an_application_with_a_sign_in_has_handlers_alone(backend):
    backend.authenticate = lambda handler: None
    assert EndpointRouter(backend).find_handler(asked("GET", "/data")) is None


@pytest.mark.parametrize("more, delegates", [({}, 1), ({"compress_response": True}, 0)])
async def test_settings_that_are_for_handlers_leave_no_delegates(backend, more, delegates):
    rules = make_app(backend, **more).wildcard_router.rules
    assert sum(isinstance(rule.target, EndpointRouter) for rule in rules) == delegates


async def test_a_store_that_fails_is_told_alike(gantt, backend, other, logged_errors):
    for each in (backend, other):
        await gantt.add("task", text="a")
        each.default._store.update = lambda *_: 1 / 0
    answers = await both(gantt, "update")
    for answer in answers:
        assert (answer.status, answer.json["action"]) == (500, "error")
        assert "division" not in answer.json["message"]


async def test_a_closed_store_says_when_to_try_again(gantt, backend, logged_errors):
    await gantt.add("task", text="a")
    await backend.close()
    answer = await gantt.put("/data/task/1", {"text": "A"})
    assert (answer.status, answer.headers["Retry-After"]) == (503, "2")


@pytest.mark.parametrize("prefix", ["", "/handlers"])
async def test_it_is_in_the_access_log(gantt, caplog, prefix):
    await gantt.post(f"{prefix}/data/task", {"text": "a", **DATES})
    await gantt.put(f"{prefix}/data/task/1?token=x", {"text": "A"})
    await gantt.put(f"{prefix}/data/task/99?token=x", {"text": "A"})
    lines = [r for r in caplog.records if r.name == "tornado.access" and "PUT" in r.getMessage()]
    texts = [line.getMessage() for line in lines]
    assert texts[0].startswith(f"200 PUT {prefix}/data/task/1?token=… (")
    assert [line.levelname for line in lines] == ["INFO", "WARNING"]


async def test_a_client_that_closes_its_connection_has_its_row_saved(gantt, backend):
    await gantt.add("task", text="a")
    host, port = gantt.url.removeprefix("http://").split(":")
    _reader, writer = await asyncio.open_connection(host, port)
    body = json.dumps({"text": "A", **DATES}).encode()
    head = f"PUT /data/task/1 HTTP/1.1\r\nHost: x\r\nRemote-Token: {EDITOR}\r\n"
    changed = asyncio.Event()
    backend.on_change(lambda change: changed.set())
    writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
    writer.close()
    await asyncio.wait_for(changed.wait(), 3)
    assert backend.item("task", 1)["text"] == "A"


@pytest.mark.parametrize("prefix", ["", "/handlers"])
async def test_a_response_may_be_empty(gantt, monkeypatch, prefix):
    monkeypatch.setattr(endpoints, "respond", nothing)
    answer = await gantt.get(f"{prefix}/data")
    assert (answer.status, answer.body, answer.headers["Content-Length"]) == (200, b"", "0")


async def nothing(*_request):
    return endpoints.Response()


class TestSlowReaders:
    """Nobody keeps an old state of the plan in memory by not reading it."""

    @pytest.fixture
    def settings(self):
        return {"body_timeout": 0.05, "max_body": 16 << 20}

    @pytest.mark.parametrize("adapter", ["delegate", "handler"])
    async def test_a_load_that_is_not_read_ends_the_connection(self, gantt, backend, adapter):
        if adapter == "handler":
            backend.authenticate = lambda handler: User("Eve", Role.editor)
        for _ in range(16):
            await backend.insert("task", {"text": "x" * (1 << 20), **DATES})
        host, port = gantt.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, port, limit=1024)
        writer.transport.pause_reading()
        closed, close = asyncio.Event(), endpoints.close_slow
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(endpoints, "close_slow", lambda *which: (close(*which), closed.set()))
            writer.write(b"GET /data HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.wait_for(closed.wait(), 5)
        writer.transport.resume_reading()
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(16 << 20)
        writer.close()


@pytest.mark.parametrize("prefix", ["", "/handlers"])
async def test_calls_that_are_too_large_end_their_connection(gantt, prefix):
    port = int(gantt.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"POST {prefix}/api/v1 HTTP/1.1\r\nHost: localhost\r\nContent-Length: 70000\r\n\r\n"
    writer.write(head.encode() + b"x" * 70_000)
    answer = await asyncio.wait_for(reader.read(), 3)
    writer.close()
    assert answer.startswith(b"HTTP/1.1 413 ") and answer.endswith(b"more than 4 KiB.")

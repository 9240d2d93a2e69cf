"""The handshake, the socket and what is told on it: sections 1, 2 and 5 of the contract."""

import asyncio
import contextlib
import socket as sockets
import struct

import orjson
import pytest
from tornado.httpclient import HTTPClientError
from tornado.iostream import IOStream
from tornado.websocket import WebSocketClosedError

from gantt_tornado import Role, User
from gantt_tornado.backend import AT_ONCE
from gantt_tornado.live.hub import CROWDED
from gantt_tornado.live.services import MOST_ANSWERED
from gantt_tornado.model import fractional_index
from gantt_tornado.model.marks import Marks
from gantt_tornado.model.user import color_of
from gantt_tornado.store import items
from gantt_tornado.store.writer import OnCommit
from gantt_tornado.web.socket import MOST_UNDER_WAY
from tests.conftest import COLLEAGUE, VIEWER

pytestmark = pytest.mark.gen_test

DATES = {"start_date": "2030-01-07 00:00", "duration": 2}
ENTITIES = ["task", "link", "resource", "assignment", "baseline"]
FORBIDDEN = (403, b'{"error":"Forbidden"}')


async def tasks(gantt, *texts, **fields):
    return [(await gantt.add("task", text=text, **fields))["id"] for text in texts]


async def add(gantt, entity):
    """An item of any kind, with the tasks that it needs."""
    a, b = await tasks(gantt, "a", "b")
    needed = {
        "link": {"source": a, "target": b},
        "assignment": {"task_id": a},
        "baseline": {"task_id": a, **DATES},
    }
    return await gantt.add(entity, **needed.get(entity, {}))


async def until(condition):
    """Let the loop run until something is so; the test's own timeout ends it if it never is."""
    while not condition():
        await asyncio.sleep(0)


async def awaited(socket, type):
    """The next event of a type; what comes before it is of no account."""
    while (value := await socket.value())["type"] != type:
        pass
    return value


def forget_touches(backend):
    """As if nobody had written for some seconds."""
    backend.default._resend._touches.__init__()


async def raw(gantt, *frames, receive_buffer=None):
    """A socket under the test's own hands, with text frames sent in one go with its upgrade."""
    plain = sockets.socket()
    if receive_buffer:
        plain.setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, receive_buffer)
    stream = IOStream(plain)
    await stream.connect(("127.0.0.1", int(gantt.url.rpartition(":")[2])))
    token = gantt.headers["Remote-Token"]
    head = (
        f"GET /api/v1?token={token}&ws=1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC==\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n"
    )
    await stream.write(head.encode() + b"".join(map(masked, frames)))
    return stream


def last_frame(received):
    """The opcode and the payload of the last frame in what a raw socket has received."""
    rest = received.partition(b"\r\n\r\n")[2]
    while True:
        opcode, size, start = rest[0] & 15, rest[1], 2
        if size > 125:
            start = 4 if size == 126 else 10
            size = int.from_bytes(rest[2:start])
        if len(rest) <= start + size:
            return opcode, rest[start:]
        rest = rest[start + size :]


def masked(text):
    payload = text.encode()
    assert len(payload) < 126
    return bytes([0x81, 0x80 | len(payload), 0, 0, 0, 0]) + payload


class Recorder:
    """A listener of the hub that notes for each event which requests were answered by then."""

    tab = user_name = ""

    def __init__(self, requests):
        self.requests = requests
        self.notes = []

    def known(self, channel):
        return None

    def ask(self, seq):
        pass

    def send(self, frames):
        self.notes.append([request.answered() for request in self.requests])

    reloads = False

    def replay(self, slices):
        for frames in slices:
            self.send(frames)


class Request:
    """A request whose answer can be looked for without waiting."""

    def __init__(self, gantt, method, path, body):
        self.socket = sockets.create_connection(("127.0.0.1", int(gantt.url.rpartition(":")[2])))
        if not isinstance(body, bytes):
            body = orjson.dumps(body)
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n"
            f"Remote-Token: {gantt.headers['Remote-Token']}\r\n\r\n"
        )
        self.socket.sendall(head.encode() + body)

    def answered(self):
        try:
            return self.socket.recv(8, sockets.MSG_PEEK | sockets.MSG_DONTWAIT) == b"HTTP/1.1"
        except BlockingIOError:
            return False


class TestHandshake:
    async def test_its_body_is_exact(self, gantt):
        answer = await gantt.get("/api/v1")
        expected = (200, b'{"api":{},"data":{},"websocket":true}')
        assert (answer.status, answer.body) == expected

    @pytest.mark.parametrize("token", ["", "wrong", "token", "SECRET-editor"])
    async def test_without_a_good_token_it_is_forbidden(self, gantt, token):
        answer = await gantt.having(Remote_Token=token).get("/api/v1")
        assert (answer.status, answer.body) == FORBIDDEN

    async def test_without_the_header_it_is_forbidden(self, gantt):
        answer = await gantt.anonymous().get("/api/v1")
        assert (answer.status, answer.body) == FORBIDDEN

    async def test_a_viewer_may_listen(self, viewer):
        assert (await viewer.get("/api/v1")).status == 200

    async def test_services_and_constants_are_listed(self, backend, gantt):
        backend.services.add("mail.send", print)
        backend.services.add("mail.drop", print)
        backend.services.constant("user", {"name": "Eve"})
        assert (await gantt.get("/api/v1")).json == {
            "api": {"mail": {"send": 1, "drop": 1}},
            "data": {"user": {"name": "Eve"}},
            "websocket": True,
        }

    async def test_a_query_makes_no_difference(self, gantt):
        assert (await gantt.get("/api/v1?since=5&tab=x")).json["websocket"] is True

    @pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "BREW"])
    async def test_a_wrong_method(self, gantt, method):
        assert (await gantt.request(method, "/api/v1")).status == 405


class TestOpening:
    async def test_the_first_frame_is_start_with_an_id(self, listen):
        socket = await listen.open()
        frame = await socket.frame()
        assert frame == {"action": "start", "body": frame["body"]}
        assert isinstance(frame["body"], str)

    async def test_the_id_is_unique_and_cannot_be_guessed(self, listen):
        ids = {(await (await listen.open()).frame())["body"] for _ in range(5)}
        assert len(ids) == 5 and min(map(len, ids)) >= 20

    @pytest.mark.parametrize("token", ["", "wrong", "a b", "%00"])
    async def test_a_bad_token_is_accepted_and_then_closed_with_1008(self, listen, token):
        socket = await listen.open(token=token)
        with pytest.raises(AssertionError, match="closed the socket with 1008 Unauthorized"):
            await socket.frame()

    async def test_a_refused_socket_is_no_connection(self, backend, listen):
        await (await listen.open(token="wrong")).closed()
        assert not backend.default.connections

    async def test_what_a_refused_socket_says_is_not_heard(self, backend, gantt):
        calls = []
        backend.services.add("mail.send", calls.append)
        frames = (
            '{"action":"subscribe","name":"tasks"}',
            '{"action":"call","body":[{"id":"1","name":"mail.send","args":[]}]}',
        )
        stream = await raw(gantt.having(Remote_Token="wrong"), *frames)
        received = await stream.read_until(b"Unauthorized")
        stream.close()
        assert b"start" not in received
        assert (await gantt.get()).status == 200
        assert not calls

    @pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://["])
    async def test_a_page_of_another_host_is_refused(self, listen, origin):
        with pytest.raises(HTTPClientError, match="403"):
            await listen.open(headers={"Origin": origin})

    @pytest.mark.parametrize("site", ["cross-site", "same-site"])
    async def test_a_page_that_the_browser_calls_foreign_is_refused(self, listen, site):
        with pytest.raises(HTTPClientError, match="403"):
            await listen.open(headers={"Sec-Fetch-Site": site})

    async def test_our_own_page_is_let_in(self, gantt, listen):
        socket = await listen.open(headers={"Origin": gantt.url})
        assert (await socket.frame())["action"] == "start"

    async def test_our_own_page_behind_a_proxy_is_let_in(self, listen):
        page = {"Origin": "https://plan.example", "Host": "plan.example:443"}
        socket = await listen.open(headers=page)
        assert (await socket.frame())["action"] == "start"

    async def test_a_listed_page_is_let_in(self, listen):
        socket = await listen.open(headers={"Origin": "https://intranet.example"})
        assert (await socket.frame())["action"] == "start"

    @pytest.mark.parametrize("path", ["/api/v1", "/api/v1?since=", "/api/v1?tab=a"])
    async def test_a_page_that_names_no_state_is_not_told_who_it_is(self, gantt, path):
        answer = await gantt.get(path)
        assert answer.body == b'{"api":{},"data":{},"websocket":true}'

    async def test_a_page_is_told_who_it_is(self, viewer):
        data = (await viewer.get("/api/v1?since=0")).json["data"]
        user = {"name": "Vera", "role": "viewer", "display": "Vera", "color": color_of("Vera")}
        assert data == {"user": user, "project": "default"}

    async def test_a_constant_of_the_application_wins(self, backend, gantt):
        backend.services.constant("user", "mine")
        assert (await gantt.get("/api/v1?since=0")).json["data"]["user"] == "mine"

    async def test_an_upgrade_to_something_else_is_a_handshake(self, gantt):
        answer = await gantt.having(Upgrade="h2c").get("/api/v1")
        assert answer.json["websocket"] is True


class TestGuards:
    @pytest.fixture
    def payroll(self, backend):
        """A channel of Eve's."""

        async def is_eve(user):
            await asyncio.sleep(0)
            return user.name == "Eve"

        backend.guard("payroll", is_eve)

    async def test_whom_the_guard_lets_in_is_told(self, backend, listen, payroll):
        socket = await listen("payroll")
        backend.publish("payroll", {"type": "raise"})
        await socket.event("raise")

    async def test_whom_it_does_not_is_ignored(self, backend, listen, payroll):
        socket = await listen("payroll", "news", token=VIEWER)
        backend.publish("payroll", {"type": "raise"})
        backend.publish("news", {"type": "fair"})
        await socket.event("fair")
        await socket.quiet()

    async def test_a_refusal_is_logged(self, listen, payroll, caplog):
        await (await listen("payroll", token=VIEWER)).quiet()
        assert "Vera may not subscribe to 'payroll'" in caplog.text

    @pytest.fixture
    def slow(self, backend):
        """A channel whose guard says nothing before this is set."""
        said = asyncio.Event()
        backend.asked = []

        async def wait(user):
            backend.asked.append(user.name)
            try:
                return await said.wait()
            except asyncio.CancelledError:
                backend.asked.append("cancelled")
                raise

        backend.guard("payroll", wait)
        return said

    async def test_one_that_waits_holds_up_no_other_frame(self, backend, listen, slow):
        backend.services.add("math.add", lambda user, a, b: a + b)
        socket = await listen("news")
        for _ in range(3):
            await socket.send({"action": "subscribe", "name": "payroll"})
        (result,) = await socket.call({"id": "1", "name": "math.add", "args": [1, 2]})
        assert result["data"] == 3 and backend.asked == ["Eve"]
        await socket.send({"action": "call", "body": []})
        slow.set()
        # What asks for nothing is answered when all before it is done.
        assert (await socket.frame())["action"] == "result"
        backend.publish("payroll", {"type": "raise"})
        await socket.event("raise")

    async def test_who_leaves_meanwhile_does_not_join(self, backend, listen, slow):
        socket = await listen("news")
        await socket.send({"action": "subscribe", "name": "payroll"})
        await socket.unsubscribe("payroll")
        slow.set()
        await socket.quiet()
        assert backend.asked == ["Eve", "cancelled"]
        backend.publish("payroll", {"type": "raise"})
        await socket.quiet()

    async def test_it_is_asked_no_more_when_the_socket_closes(self, backend, listen, slow):
        socket = await listen("news")
        await socket.send({"action": "subscribe", "name": "payroll"})
        while not backend.asked:
            await asyncio.sleep(0)
        backend.sign_out("Eve")
        assert await socket.closed() == 1008
        assert backend.asked == ["Eve", "cancelled"]

    async def test_what_is_asked_counts_among_the_channels(
        self, backend, listen, slow, monkeypatch
    ):
        monkeypatch.setattr("gantt_tornado.web.socket.MOST_CHANNELS", 2)
        socket = await listen("news")
        await socket.send({"action": "subscribe", "name": "payroll"})
        await socket.send({"action": "subscribe", "name": "weather"})
        slow.set()
        await socket.call()
        for name in ("weather", "payroll"):
            backend.publish(name, {"type": name})
        await socket.event("payroll")

    async def test_what_is_built_in_cannot_be_guarded(self, backend):
        with pytest.raises(ValueError, match="tasks"):
            backend.guard("tasks", lambda user: False)


class TestChannels:
    async def test_a_subscriber_is_told(self, backend, listen):
        socket = await listen("news")
        backend.publish("news", 1)
        assert await socket.event() == {"name": "news", "value": 1}

    async def test_nothing_is_told_before_the_first_subscription(self, gantt, listen):
        socket = await listen("something-else")
        await gantt.add("task")
        await socket.quiet()

    async def test_after_unsubscribe_nothing_is_told(self, backend, listen):
        socket = await listen("news")
        await socket.send({"action": "unsubscribe", "name": "news"})
        await socket.call()
        backend.publish("news", 1)
        await socket.quiet()

    async def test_the_clients_detach_says_key_for_name(self, backend, listen):
        socket = await listen("news")
        await socket.send({"action": "unsubscribe", "key": "news"})
        await socket.call()
        backend.publish("news", 1)
        await socket.quiet()

    async def test_other_channels_stay_joined(self, backend, listen):
        socket = await listen("news", "sport")
        await socket.unsubscribe("news")
        backend.publish("sport", 1)
        assert (await socket.event())["name"] == "sport"

    async def test_a_channel_left_can_be_joined_again(self, backend, listen):
        socket = await listen("news")
        await socket.unsubscribe("news")
        await socket.subscribe("news")
        backend.publish("news", 1)
        assert await socket.value() == 1

    async def test_joining_twice_tells_once(self, backend, listen):
        socket = await listen("news", "news")
        backend.publish("news", 1)
        await socket.event()
        await socket.quiet()

    @pytest.mark.parametrize("name", ["custom", "Straße", "a/b c", '"quoted"', "toString"])
    async def test_any_name_is_a_channel(self, backend, listen, name):
        socket = await listen(name)
        backend.publish(name, {"type": "custom-action"})
        assert await socket.event() == {"name": name, "value": {"type": "custom-action"}}

    async def test_each_of_many_sockets_is_told(self, gantt, listen):
        several = [await listen("tasks") for _ in range(5)]
        await gantt.add("task")
        assert len({str(await socket.event()) for socket in several}) == 1

    async def test_the_writers_own_page_is_told_too(self, gantt, listen):
        socket = await listen("tasks")
        await gantt.having(Remote_Device="page-1").add("task")
        await socket.event("add-task")

    async def test_one_socket_cannot_fill_the_memory_with_channels(self, backend, listen):
        socket = await listen(*[str(number) for number in range(100)])
        await socket.subscribe("one more")
        backend.publish("one more", 1)
        backend.publish("99", 2)
        assert await socket.value() == 2


class TestFrames:
    @pytest.mark.parametrize(
        "frame",
        [
            "",
            "hello",
            "{",
            "null",
            "1",
            "[]",
            '"text"',
            "{}",
            "\x00",
            "[" * 5000,
            '{"a":' * 2000,
            '{"action":"fly"}',
            '{"action":null,"name":"x"}',
            '{"action":["subscribe"],"name":"x"}',
            '{"action":"subscribe"}',
            '{"action":"subscribe","name":5}',
            '{"action":"subscribe","name":{"a":1}}',
            '{"action":"subscribe","name":"%s"}' % ("x" * 300),
            '{"action":"subscribe","name":"\\ud800"}',
            '{"action":"unsubscribe","name":"never joined"}',
            '{"action":"unsubscribe"}',
            '{"action":"call"}',
            '{"action":"call","body":{}}',
            '{"action":"event","body":{"name":"tasks","value":{}}}',
            '{"action":"start","body":"mine"}',
        ],
    )
    async def test_what_nobody_defined_is_ignored(self, listen, backend, frame):
        socket = await listen("news")
        await socket.send(frame)
        backend.publish("news", 1)
        assert await socket.value() == 1

    async def test_a_client_cannot_tell_the_others(self, listen):
        mine, theirs = await listen("tasks"), await listen("tasks")
        value = {"type": "delete-task", "task": {"id": 1}, "event": {"id": 1}}
        await mine.send({"action": "event", "body": {"name": "tasks", "value": value}})
        await mine.call()
        await theirs.quiet()

    async def test_a_binary_frame_closes_with_1003(self, listen):
        socket = await listen("tasks")
        await socket.send(b'{"action":"subscribe","name":"tasks"}')
        assert await socket.closed() == 1003

    @pytest.mark.parametrize("size", [70_000, 1_000_000])
    async def test_a_frame_over_the_limit_closes_with_1009(self, listen, size):
        socket = await listen("tasks")
        with contextlib.suppress(WebSocketClosedError):
            await socket.send("x" * size)
        assert await socket.closed() == 1009

    async def test_what_comes_behind_a_frame_that_closes_is_not_heard(self, backend, gantt):
        calls = []
        backend.services.add("mail.send", calls.append)
        stream = await raw(gantt)
        await stream.read_until(b"start")
        call = '{"action":"call","body":[{"id":"1","name":"mail.send","args":[]}]}'
        await stream.write(bytes([0x82, 0x80, 0, 0, 0, 0]) + masked(call))
        await stream.read_until(b"Text frames only")
        stream.close()
        assert (await gantt.get()).status == 200
        assert not calls

    async def test_a_frame_within_the_limit_is_read(self, backend, listen):
        socket = await listen("news")
        await socket.send("x" * 65_000)
        backend.publish("news", 1)
        await socket.event()

    @pytest.mark.parametrize("kind", [b"binary", "x" * 70_000])
    async def test_a_socket_that_is_closed_harms_no_other(self, backend, listen, kind):
        other, socket = await listen("news"), await listen("news")
        with contextlib.suppress(WebSocketClosedError):
            await socket.send(kind)
        await socket.closed()
        backend.publish("news", 1)
        assert await other.value() == 1


class TestCalls:
    @pytest.fixture
    def backend(self, backend):
        async def later(user, value):
            await asyncio.sleep(0)
            return value

        def fail(user):
            raise RuntimeError("private detail")

        backend.services.add("test.echo", lambda user, *args: list(args))
        backend.services.add("test.later", later)
        backend.services.add("test.who", lambda user: user.name)
        backend.services.add("test.fail", fail)
        backend.services.add("test.odd", lambda user: {1, 2})
        return backend

    def call(self, name, *args, id="1"):
        return {"id": id, "name": f"test.{name}", "args": list(args)}

    async def test_a_call_has_a_result(self, listen):
        socket = await listen()
        results = await socket.call(self.call("echo", 1, "a", {"b": None}))
        assert results == [{"id": "1", "data": [1, "a", {"b": None}], "error": ""}]

    async def test_the_frame_is_exact(self, listen):
        socket = await listen()
        await socket.send({"action": "call", "body": [self.call("echo")]})
        expected = {"action": "result", "body": [{"id": "1", "data": [], "error": ""}]}
        assert await socket.frame() == expected

    async def test_results_come_in_the_order_of_the_calls(self, listen):
        socket = await listen()
        calls = [self.call("later", 1, id="a"), self.call("echo", id="b"), self.call("who", id="c")]
        results = await socket.call(*calls)
        assert [(each["id"], each["data"]) for each in results] == [
            ("a", 1),
            ("b", []),
            ("c", "Eve"),
        ]

    async def test_the_same_array_may_be_posted(self, gantt):
        answer = await gantt.post("/api/v1", [self.call("who", id="5")])
        assert answer.json == [{"id": "5", "data": "Eve", "error": ""}]

    async def test_nobody_posts_without_a_token(self, gantt):
        answer = await gantt.anonymous().post("/api/v1", [self.call("who", id="5")])
        assert answer.status == 403
        assert answer.json == [{"id": "5", "data": None, "error": answer.json[0]["error"]}]

    @pytest.mark.parametrize("token", ["", "wrong"])
    async def test_nobody_posts_without_a_token_as_if_to_open_a_socket(self, backend, gantt, token):
        called = []
        backend.services.add("who.else", called.append)
        sender = gantt.having(Remote_Token=token, Upgrade="websocket")
        answer = await sender.post("/api/v1", [self.call("else", id="5")])
        assert (answer.status, answer.json[0]["id"], called) == (403, "5", [])

    async def test_a_script_with_more_calls_than_are_answered_is_refused_at_once(self, gantt):
        answer = await gantt.post("/api/v1", [1] * MOST_ANSWERED + [self.call("who")])
        assert (answer.status, [each["id"] for each in answer.json]) == (400, ["1"])
        assert len((await gantt.post("/api/v1", [1] * MOST_ANSWERED)).json) == MOST_ANSWERED

    async def test_of_a_frame_with_more_calls_those_with_an_id_are_refused(self, listen):
        socket = await listen("news")
        await socket.send({"action": "call", "body": [1] * MOST_ANSWERED + [self.call("who")]})
        (refused,) = (await socket.frame())["body"]
        assert refused["id"] == "1" and refused["error"]

    async def test_a_page_of_another_host_may_not_post(self, gantt):
        sender = gantt.having(Origin="https://evil.example")
        assert (await sender.post("/api/v1", [self.call("who")])).status == 403

    @pytest.mark.parametrize("body", [b"{", b"{}", b"null", b"", b"\xff", b'"x"'])
    async def test_what_is_no_array_is_refused(self, gantt, body):
        sender = gantt.having(Content_Type="application/json")
        answer = await sender.post("/api/v1", body)
        (refused,) = answer.json
        assert answer.status == 400 and refused["error"]

    async def test_no_refusal_is_an_object_on_which_the_client_would_wait_for_ever(self, gantt):
        calls = [self.call("who", id="5"), self.call("who", id="6")]
        answers = [
            await gantt.having(Origin="https://evil.example").post("/api/v1", calls),
            await gantt.having(Remote_Token="wrong").post("/api/v1", calls),
            await gantt.post("/p/nowhere/api/v1", calls),
        ]
        assert [answer.status for answer in answers] == [403, 403, 404]
        assert [[each["id"] for each in answer.json] for answer in answers] == [["5", "6"]] * 3

    async def test_calls_that_are_too_large_to_be_read_are_no_json_for_the_client(self, gantt):
        calls = [self.call("echo", "x" * 70_000)]
        for sender in (gantt, gantt.having(Remote_Token="wrong")):
            answer = await sender.post("/api/v1", calls)
            assert (answer.status, answer.headers["Connection"]) == (413, "close")
            with pytest.raises(orjson.JSONDecodeError):
                orjson.loads(answer.body)

    @pytest.mark.parametrize("name", ["nothing", "echo.x", "__class__", ""])
    async def test_an_unknown_method_is_an_error(self, listen, name):
        socket = await listen()
        (result,) = await socket.call(self.call(name))
        assert result["id"] == "1" and result["error"]

    @pytest.mark.parametrize(
        "call", [None, 5, "x", [], {}, {"id": "1", "name": "test.echo", "args": 5}]
    )
    async def test_what_is_no_call_is_an_error(self, listen, call):
        socket = await listen()
        (result,) = await socket.call(call)
        assert result["error"]

    async def test_a_failing_call_harms_no_other_and_tells_no_detail(self, listen, logged_errors):
        socket = await listen()
        failed, fine = await socket.call(self.call("fail"), self.call("who", id="2"))
        assert failed["error"] and "private" not in str(failed)
        assert (fine["data"], fine["error"]) == ("Eve", "")

    async def test_too_many_arguments_are_an_error(self, listen, logged_errors):
        socket = await listen()
        (result,) = await socket.call(self.call("who", 1, 2))
        assert result["error"]

    async def test_a_result_that_is_no_json_is_an_error(self, listen, logged_errors):
        socket = await listen()
        odd, fine = await socket.call(self.call("odd"), self.call("who", id="2"))
        assert odd["error"] and fine["data"] == "Eve"

    async def test_a_posted_result_that_is_no_json_is_an_error(self, gantt, logged_errors):
        answer = await gantt.post("/api/v1", [self.call("odd"), self.call("who")])
        assert answer.status == 200 and answer.json[0]["error"]

    async def test_every_call_gets_its_result(self, listen):
        socket = await listen()
        ids = [str(number) for number in range(3 * MOST_UNDER_WAY)]
        results = await socket.call(*(self.call("echo", id=id) for id in ids))
        assert [(each["id"], each["error"]) for each in results] == [(id, "") for id in ids]


class TestSlowCalls:
    """Calls run beside whatever else their socket says."""

    @pytest.fixture
    def gate(self):
        return asyncio.Event()

    @pytest.fixture
    def ended(self):
        """How calls ended, in their order."""
        return []

    @pytest.fixture
    def backend(self, backend, gate, ended):
        async def wait(user):
            try:
                await gate.wait()
            except asyncio.CancelledError:
                ended.append("cancelled")
                raise
            ended.append("through")

        backend.services.add("test.wait", wait)
        backend.services.add("test.tell", lambda user: backend.publish("news", {"type": "new"}))
        return backend

    def call(self, name, id="1"):
        return {"action": "call", "body": [{"id": id, "name": f"test.{name}", "args": []}]}

    async def test_a_slow_call_holds_up_no_subscription_and_no_event(self, backend, listen, gate):
        socket = await listen()
        await socket.send(self.call("wait"))
        await socket.subscribe("news")
        backend.publish("news", {"type": "new"})
        await socket.event("new")
        gate.set()
        assert (await socket.frame())["action"] == "result"

    async def test_a_slow_call_holds_up_no_pong(self, gantt, gate):
        socket = await raw(gantt, orjson.dumps(self.call("wait")).decode())
        await socket.write(bytes([0x89, 0x80, 0, 0, 0, 0]))
        await socket.read_until(bytes([0x8A, 0]))
        socket.close()

    async def test_a_quick_call_overtakes_a_slow_one(self, listen, gate):
        socket = await listen()
        await socket.send(self.call("wait", id="slow"))
        assert await socket.call() == []
        gate.set()
        assert (await socket.frame())["body"][0]["id"] == "slow"

    async def test_what_waits_for_nothing_is_done_before_what_comes_behind_it(self, backend, gantt):
        subscribe = {"action": "subscribe", "name": "news"}
        frames = [self.call("tell"), subscribe, self.call("wait")]
        socket = await raw(gantt, *(orjson.dumps(frame).decode() for frame in frames))
        backend.services.add("test.end", lambda user: None)
        await socket.write(masked(orjson.dumps(self.call("end", id="last")).decode()))
        received = await socket.read_until(b'"id":"last"')
        assert b"event" not in received
        socket.close()

    async def test_each_result_of_a_frame_comes_in_a_frame_of_its_own_as_it_is_done(
        self, listen, gate
    ):
        socket = await listen()
        calls = [self.call(name, id=name)["body"][0] for name in ("wait", "tell", "nothing")]
        await socket.send({"action": "call", "body": calls})
        ids = [[each["id"] for each in (await socket.frame())["body"]] for _ in range(2)]
        assert ids == [["tell"], ["nothing"]]
        gate.set()
        assert [each["id"] for each in (await socket.frame())["body"]] == ["wait"]

    async def test_of_one_frame_too_only_so_many_are_under_way(self, listen, gate):
        socket = await listen()
        calls = [self.call("wait", id=str(each))["body"][0] for each in range(MOST_UNDER_WAY + 2)]
        await socket.send({"action": "call", "body": calls})
        for number in (MOST_UNDER_WAY, MOST_UNDER_WAY + 1):
            (refused,) = (await socket.frame())["body"]
            assert refused["id"] == str(number) and "under way" in refused["error"]

    async def test_only_so_many_are_under_way(self, listen, gate):
        socket = await listen()
        for number in range(MOST_UNDER_WAY + 1):
            await socket.send(self.call("wait", id=str(number)))
        refused = await socket.frame()
        assert refused["body"][0]["id"] == str(MOST_UNDER_WAY) and refused["body"][0]["error"]
        gate.set()
        answered = [(await socket.frame())["body"][0] for _ in range(MOST_UNDER_WAY)]
        assert [each["error"] for each in answered] == [""] * MOST_UNDER_WAY
        assert await socket.call() == []

    async def test_a_socket_that_closes_has_its_calls_cancelled(self, listen, ended):
        socket = await listen()
        await socket.send(self.call("wait"))
        await socket.call()
        await socket.close()
        await until(lambda: ended)
        assert ended == ["cancelled"]

    async def test_the_shutdown_cancels_calls(self, backend, listen, ended):
        socket = await listen()
        await socket.send(self.call("wait"))
        await socket.call()
        await backend.close()
        await until(lambda: ended)
        assert ended == ["cancelled"]


class TestHangingUp:
    """Who goes before the socket is open leaves no trace in the log."""

    @pytest.fixture
    def gate(self):
        return asyncio.Event()

    @pytest.fixture
    def asked(self):
        """The handlers for which the application was asked who that is."""
        return []

    @pytest.fixture
    def authenticate(self, gate, asked):
        async def who(handler):
            asked.append(handler)
            await gate.wait()
            return User("Eve", Role.editor)

        return who

    @pytest.fixture
    def silence(self, caplog, http_server):
        async def silence():
            """Wait until the server has done with all requests, and see that nothing went wrong."""
            await until(lambda: not http_server._connections)
            await until(lambda: not [t for t in asyncio.all_tasks() if "_execute" in repr(t)])
            assert [line.getMessage() for line in caplog.records if line.levelno > 20] == []

        return silence

    async def test_while_it_waits_for_its_turn(self, backend, gantt, gate, asked, silence):
        gate.set()
        for _ in range(AT_ONCE):
            await backend.connection_slots.acquire()
        socket = await raw(gantt)
        await until(lambda: backend.connection_slots._waiters)
        socket.close()
        await until(lambda: asked[0].request.connection.stream.closed())
        for _ in range(AT_ONCE):
            backend.connection_slots.release()
        await silence()
        assert backend.default.connections == set()

    async def test_while_the_application_looks_who_that_is(
        self, backend, gantt, gate, asked, silence
    ):
        socket = await raw(gantt)
        await until(lambda: asked)
        socket.close()
        gate.set()
        await silence()
        assert backend.default.connections == set()

    async def test_with_a_reset_while_the_application_looks(self, gantt, gate, asked, silence):
        socket = await raw(gantt)
        await until(lambda: asked)
        socket.socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, struct.pack("ii", 1, 0))
        socket.close()
        gate.set()
        await silence()

    async def test_with_a_subscription_before_it_was_open(self, gantt, gate, asked, silence):
        socket = await raw(gantt, '{"action":"subscribe","name":"tasks"}')
        await until(lambda: asked)
        socket.close()
        gate.set()
        await silence()


class TestValues:
    """Both keys: ``event`` is the documentation's, the other is what released clients read."""

    @pytest.mark.parametrize("entity", ENTITIES)
    async def test_an_insert(self, gantt, listen, entity):
        socket = await listen(entity + "s")
        item = await add(gantt, entity)
        value = await socket.value()
        while value["event"] != item:
            value = await socket.value()
        assert value == {"type": f"add-{entity}", entity: item, "event": item}

    @pytest.mark.parametrize("entity", ENTITIES)
    async def test_an_update(self, gantt, listen, entity):
        item = await add(gantt, entity)
        socket = await listen(entity + "s")
        answer = await gantt.put(f"/data/{entity}/{item['id']}", {"custom": [1]})
        item = answer.json["item"]
        assert await socket.event() == {
            "name": entity + "s",
            "value": {"type": f"update-{entity}", entity: item, "event": item},
        }

    @pytest.mark.parametrize("entity", ENTITIES)
    async def test_a_delete(self, gantt, listen, entity):
        item = await add(gantt, entity)
        socket = await listen(entity + "s")
        await gantt.delete(f"/data/{entity}/{item['id']}")
        gone = {"id": item["id"]}
        value = {"type": f"delete-{entity}", entity: gone, "event": gone}
        assert await socket.event() == {"name": entity + "s", "value": value}

    async def test_a_row_whose_sort_key_fits_below_its_new_parent_is_moved_too(self, gantt, listen):
        a, b = await tasks(gantt, "a", "b")
        socket = await listen("tasks")
        answer = await gantt.put(f"/data/task/{a}", {"parent": b})
        assert answer.json["item"]["sortorder"] == "a0"
        await socket.event("update-task")
        assert (await socket.value("move-task"))["task"]["parent"] == b

    async def test_a_drop_is_told_as_an_update_and_a_move(self, gantt, listen):
        a, b = await tasks(gantt, "a", "b")
        socket = await listen("tasks")
        await gantt.put(f"/data/task/{b}", {"target": str(a)})
        await socket.event("update-task")
        place = {"id": b, "parent": 0, "index": 0, "target": str(a)}
        assert await socket.value() == {"type": "move-task", "task": place, "event": place}

    async def test_the_echo_clears_the_target(self, gantt, listen):
        a, b = await tasks(gantt, "a", "b")
        socket = await listen("tasks")
        await gantt.put(f"/data/task/{b}", {"target": str(a)})
        assert (await socket.value("update-task"))["task"]["target"] == ""

    @pytest.mark.parametrize(
        "target, index, told",
        [("{a}", 0, "{a}"), ("next:{a}", 1, "next:{a}"), ("next:{b}", 2, None)],
    )
    async def test_a_move_names_the_index_and_the_neighbour(
        self, gantt, listen, target, index, told
    ):
        a, b, c = await tasks(gantt, "a", "b", "c")
        socket = await listen("tasks")
        await gantt.put(f"/data/task/{c}", {"target": target.format(a=a, b=b), "text": "C"})
        await socket.event("update-task")
        if told is None:
            await socket.quiet()
            return
        place = (await socket.value("move-task"))["task"]
        assert (place["index"], place["target"]) == (index, told.format(a=a, b=b))

    async def test_a_new_parent_is_told_as_a_move_too(self, gantt, listen):
        a, b = await tasks(gantt, "a", "b")
        socket = await listen("tasks")
        await gantt.put(f"/data/task/{b}", {"parent": a})
        assert (await socket.value("update-task"))["task"]["parent"] == a
        place = (await socket.value("move-task"))["task"]
        assert place == {"id": b, "parent": a, "index": 0, "target": "next:null"}

    async def test_a_row_added_above_others_is_moved_there(self, gantt, listen):
        (a,) = await tasks(gantt, "a")
        socket = await listen("tasks")
        await gantt.add("task", target=str(a))
        await socket.event("add-task")
        assert (await socket.value("move-task"))["task"]["index"] == 0

    async def test_neighbours_that_make_room_are_told_where_no_row_moves(
        self, gantt, listen, monkeypatch
    ):
        monkeypatch.setattr(fractional_index, "LONG", 2)
        monkeypatch.setattr(items, "WORTHWHILE", 0)
        a, b, c = await tasks(gantt, "a", "b", "c")
        socket = await listen("tasks")
        new = (await gantt.add("task", target=f"next:{a}"))["id"]
        told = [await socket.value() for _ in range(4)]
        types = [value["type"] for value in told]
        assert types == ["update-task", "update-task", "add-task", "move-task"]
        keys = {value["task"]["id"]: value["task"]["sortorder"] for value in told[:3]}
        assert keys == {new: "a1", b: "a2", c: "a3"}
        await socket.quiet()

    async def test_an_edit_without_effect_is_not_told(self, gantt, listen):
        (a,) = await tasks(gantt, "a")
        socket = await listen("tasks")
        await gantt.put(f"/data/task/{a}", {"text": "a"})
        await socket.quiet()

    async def test_a_refused_write_is_not_told(self, gantt, listen):
        (a,) = await tasks(gantt, "a")
        socket = await listen()
        await gantt.put(f"/data/task/{a}", {"parent": a})
        await gantt.post("/data/link", {"source": a, "target": a})
        await socket.quiet()

    async def test_deleting_what_is_gone_is_not_told(self, gantt, listen):
        (a,) = await tasks(gantt, "a")
        await gantt.delete(f"/data/task/{a}")
        socket = await listen("tasks")
        await gantt.delete(f"/data/task/{a}")
        await socket.quiet()

    async def test_a_cascade_is_told_links_first_and_the_top_last(self, gantt, listen):
        (a,) = await tasks(gantt, "a")
        b, c = await tasks(gantt, "b", "c", parent=a)
        (d,) = await tasks(gantt, "d")
        links = [
            (await gantt.add("link", source=source, target=target))["id"]
            for source, target in ((b, c), (c, d))
        ]
        socket = await listen()
        await gantt.delete(f"/data/task/{a}")
        told = [(await socket.event())["value"] for _ in range(5)]
        assert {value["link"]["id"] for value in told[:2]} == set(links)
        assert {value["task"]["id"] for value in told[2:4]} == {b, c}
        assert told[4]["task"]["id"] == a
        await socket.quiet()

    async def test_a_cascade_tells_of_assignments_and_baselines(self, gantt, listen):
        (a,) = await tasks(gantt, "a")
        await gantt.add("assignment", task_id=a)
        await gantt.add("baseline", task_id=a, **DATES)
        socket = await listen("tasks", "assignments", "baselines")
        await gantt.delete(f"/data/task/{a}")
        types = [(await socket.value())["type"] for _ in range(3)]
        assert sorted(types[:2]) == ["delete-assignment", "delete-baseline"]
        assert types[2] == "delete-task"


class TestOrder:
    """The stock client loses or doubles an event that overtakes its request's answer."""

    @pytest.fixture
    def send(self, backend, gantt):
        requests = []

        async def send(*request):
            # What is told next shall not have to wait for the end of a window.
            await until(lambda: backend.default.hub._timer is None)
            requests.append(Request(gantt, *request))
            return requests

        yield send
        for request in requests:
            request.socket.close()

    @pytest.fixture
    def noted(self, backend):
        """What was answered when the first event was told."""

        async def noted(requests):
            recorder = Recorder(requests)
            for channel in ("tasks", "links"):
                backend.default.hub.subscribe(recorder, channel)
            await until(lambda: recorder.notes)
            return recorder.notes[0]

        return noted

    async def test_an_insert_is_answered_before_it_is_told(self, send, noted):
        assert await noted(await send("POST", "/data/task", DATES)) == [True]

    async def test_an_update_is_answered_before_it_is_told(self, gantt, send, noted):
        (a,) = await tasks(gantt, "a")
        assert await noted(await send("PUT", f"/data/task/{a}", {"text": "A"})) == [True]

    async def test_a_delete_is_answered_before_it_is_told(self, gantt, send, noted):
        (a,) = await tasks(gantt, "a")
        assert await noted(await send("DELETE", f"/data/task/{a}", b"")) == [True]

    async def test_all_of_one_commit_are_answered_before_any_is_told(
        self, backend, gantt, send, noted, held
    ):
        (a,) = await tasks(gantt, "a")
        with held():
            for number in range(3):
                await send("POST", "/data/task", DATES)
                requests = await send("PUT", f"/data/task/{a}", {"text": str(number)})
            await until(lambda: backend._writer.waiting == 6)
        assert await noted(requests) == [True] * 6

    async def test_a_batch_is_answered_before_any_of_it_is_told(self, gantt, send, noted):
        a, b, c = await tasks(gantt, "a", "b", "c")
        form = f"ids=1,2&1_source={a}&1_target={b}&2_source={b}&2_target={c}"
        form += "&1_!nativeeditor_status=inserted&2_!nativeeditor_status=inserted"
        assert await noted(await send("POST", "/data?gantt_mode=links", form.encode())) == [True]

    async def test_events_come_in_the_order_of_commits(self, backend, gantt, listen, held):
        (a,) = await tasks(gantt, "a")
        socket = await listen("tasks")
        with held():
            writing = asyncio.gather(
                *[gantt.put(f"/data/task/{a}", {"text": str(number)}) for number in range(9)]
            )
            await until(lambda: backend._writer.waiting == 9)
        answers = await writing
        told = [(await socket.value("update-task"))["task"] for _ in range(9)]
        assert told == sorted((answer.json["item"] for answer in answers), key=lambda i: i["_rev"])

    async def test_a_new_row_is_told_in_a_crowded_window_too(self, backend, listen, held):
        socket = await listen("tasks")
        new = backend.default.plan.seq + 1
        with held():
            adding = asyncio.ensure_future(backend.insert("task", {"text": "a", **DATES}))
            await until(lambda: backend._writer.waiting == 1)
            changing = [backend.update("task", new, {"text": f"{n}"}) for n in range(CROWDED)]
            writing = asyncio.gather(adding, *changing)
            await until(lambda: backend._writer.waiting == 1 + CROWDED)
        await writing
        assert [(await socket.value())["type"] for _ in range(2)] == ["add-task", "update-task"]

    async def test_the_last_event_is_what_is_stored(self, gantt, listen):
        (a,) = await tasks(gantt, "a")
        socket = await listen("tasks")
        puts = [gantt.put(f"/data/task/{a}", {"text": str(number)}) for number in range(60)]
        await asyncio.gather(*puts)
        stored = (await gantt.get()).json["tasks"][0]
        while (await socket.value("update-task"))["task"] != stored:
            pass
        await socket.quiet()

    async def test_events_of_several_channels_keep_their_order(self, gantt, listen):
        socket = await listen(tab="another page")
        gantt = gantt.having(Remote_Device="page")
        a, b = await tasks(gantt, "a", "b")
        link = await gantt.add("link", source=a, target=b)
        await gantt.put(f"/data/task/{a}", {"text": "A"})
        await gantt.delete(f"/data/link/{link['id']}")
        types = [(await socket.value())["type"] for _ in range(5)]
        assert types == ["add-task", "add-task", "add-link", "update-task", "delete-link"]


class TestClients:
    """One client's trouble is its own."""

    @pytest.mark.parametrize("method", ["POST", "PUT"])
    async def test_a_writer_who_hung_up_is_told_of_all_the_same(
        self, backend, gantt, listen, held, method
    ):
        (a,) = await tasks(gantt, "a")
        socket = await listen("tasks")
        path = "/data/task" if method == "POST" else f"/data/task/{a}"
        with held():
            request = Request(gantt, method, path, {"text": "Dig", **DATES})
            await until(lambda: backend._writer.waiting == 1)
            request.socket.close()
            await gantt.get()
        assert (await socket.value())["task"]["text"] == "Dig"

    async def test_a_client_that_vanished_harms_no_other(self, backend, gantt, listen):
        before = await listen("news")
        dead = await raw(gantt, '{"action":"subscribe","name":"news"}')
        await dead.read_until(b"start")
        after = await listen("news")
        reset = struct.pack("ii", 1, 0)
        dead.socket.setsockopt(sockets.SOL_SOCKET, sockets.SO_LINGER, reset)
        dead.close()
        backend.publish("news", 1)
        assert [await before.value(), await after.value()] == [1, 1]

    async def test_a_client_that_vanished_is_forgotten(self, backend, listen):
        socket = await listen("news")
        await socket.close()
        await until(lambda: not backend.default.connections)
        assert not backend.default.hub._listeners

    async def test_the_shutdown_closes_with_1001(self, backend, listen):
        several = [await listen("tasks"), await listen("news")]
        await backend.close()
        assert [await socket.closed() for socket in several] == [1001, 1001]

    async def test_what_was_queued_is_told_before_the_shutdown(self, backend, gantt, listen, held):
        socket = await listen("tasks")
        with held():
            adding = asyncio.ensure_future(gantt.add("task", text="Dig"))
            await until(lambda: backend._writer.waiting == 1)
            closing = asyncio.ensure_future(backend.close())
            await asyncio.sleep(0)
        await asyncio.gather(adding, closing)
        assert (await socket.value("add-task"))["task"]["text"] == "Dig"
        assert await socket.closed() == 1001


class TestPace:
    @pytest.fixture
    def settings(self):
        return {"max_unsent": 64 << 10}

    async def test_a_reader_that_is_too_slow_is_closed_with_1013_alone(
        self, backend, gantt, listen
    ):
        backend.default.hub._window = 0
        slow = await raw(gantt, '{"action":"subscribe","name":"news"}', receive_buffer=4096)
        quick = await listen("news")
        while not any(each._ended for each in backend.default.connections):
            backend.publish("news", "x" * 60_000)
            await quick.event()
        backend.publish("news", "still here")
        assert await quick.value() == "still here"
        goodbye = await slow.read_until(b"Reading too slowly")
        slow.close()
        assert last_frame(goodbye) == (8, struct.pack("!H", 1013) + b"Reading too slowly")

    async def test_the_goodbye_does_not_come_in_the_middle_of_an_event(self, backend, gantt):
        slow = await raw(gantt, '{"action":"subscribe","name":"news"}', receive_buffer=4096)
        await until(lambda: backend.default.hub._listeners)
        backend.publish("news", "x" * 8_000_000)
        goodbye = await slow.read_until(b"Reading too slowly")
        slow.close()
        assert last_frame(goodbye) == (8, struct.pack("!H", 1013) + b"Reading too slowly")

    async def test_a_long_replay_reaches_a_client_that_reads(self, backend, listen):
        for _ in range(8):
            await backend.insert("task", {"text": "x" * 300_000, **DATES})
        socket = await listen("tasks", since=0)
        types = [(await socket.value())["type"] for _ in range(24)]
        assert types == ["add-task", "update-task", "move-task"] * 8


class TestPresence:
    async def test_everybody_learns_how_many_there_are(self, listen):
        first = await listen("presence")
        assert (await first.value("presence"))["count"] == 1
        await listen("presence", token=COLLEAGUE)
        assert (await first.value("presence"))["count"] == 2

    async def test_everybody_learns_that_somebody_left(self, listen):
        first, second = await listen("presence"), await listen(token=COLLEAGUE)
        await first.value()
        await second.close()
        assert (await first.value("presence"))["count"] == 1

    async def test_who_joins_when_all_has_been_told_is_told_at_once(self, listen):
        socket = await listen("presence")
        await socket.value("presence")
        await socket.unsubscribe("presence")
        await socket.subscribe("presence")
        assert (await socket.value("presence"))["count"] == 1

    async def test_who_is_signed_in_learns_who_is_here(self, listen):
        first, _ = await listen("presence"), await listen(token=COLLEAGUE)
        (eve, carl) = (await first.value("presence"))["people"]
        assert (eve["name"], eve["color"]) == ("Eve", color_of("Eve"))
        assert (carl["name"], carl["items"]) == ("Carl", [])

    async def test_what_one_has_selected_is_told_and_ends_with_its_socket(self, gantt, listen):
        task = (await gantt.add("task"))["id"]
        first, second = await listen("presence"), await listen(token=COLLEAGUE)
        assert (await first.value())["people"][1]["items"] == []
        await second.call({"id": "1", "name": "live.here", "args": [task]})
        told = (await first.value())["people"][1]["items"]
        assert told == [{"id": task, "how": "selected"}]
        await second.close()
        assert [each["name"] for each in (await first.value())["people"]] == ["Eve"]

    async def test_another_project_has_people_of_its_own(self, backend, gantt, listen):
        await backend.create_project("house")
        first = await listen("presence")
        gantt.url += "/p/house"
        second = await listen("presence", token=COLLEAGUE)
        assert [each["name"] for each in (await first.value())["people"]] == ["Eve"]
        assert [each["name"] for each in (await second.value())["people"]] == ["Carl"]


class TestStrangers:
    """Whom the application lets in without a name."""

    @pytest.fixture
    def authenticate(self):
        def who(handler):
            name = handler.get_query_argument("token", "")
            return User(name.removeprefix("secret-"), Role.viewer)

        return who

    async def test_they_are_counted_and_told_no_names(self, listen):
        stranger = await listen("presence", token="", handshake=False)
        known = await listen("presence", token="ann", handshake=False)
        assert await stranger.value() == {"type": "presence", "count": 2}
        value = await known.value()
        assert (value["count"], [each["name"] for each in value["people"]]) == (2, ["ann"])


class TestResend:
    """The stock client drops what comes while its own request is in flight, so the state of
    an item with several writers is sent once more."""

    async def test_the_state_after_two_writers_is_sent_again(self, gantt, colleague, listen):
        (a,) = await tasks(gantt, "a")
        socket = await listen("tasks")
        await gantt.having(Remote_Device="1").put(f"/data/task/{a}", {"text": "A"})
        answer = await colleague.having(Remote_Device="2").put(f"/data/task/{a}", {"progress": 1})
        told = [await socket.value() for _ in range(5)]
        types = [value["type"] for value in told]
        assert types == ["update-task"] * 2 + ["add-task", "update-task", "move-task"]
        assert told[2]["task"] == told[3]["task"] == answer.json["item"]

    async def test_a_writer_whose_row_was_deleted_is_told_again(self, gantt, colleague, listen):
        (a,) = await tasks(gantt, "a")
        socket = await listen("tasks")
        await colleague.delete(f"/data/task/{a}")
        answer = await gantt.put(f"/data/task/{a}", {"text": "A"})
        assert (answer.status, answer.json["gone"]) == (200, True)
        told = [await socket.value("delete-task") for _ in range(2)]
        assert told[0] == told[1]

    async def test_a_writer_whose_row_was_merged_is_told_the_whole(self, gantt, listen):
        page = gantt.having(Remote_Device="1")
        task = await page.add("task", text="a")
        path = f"/data/task/{task['id']}"
        await gantt.having(Remote_Device="2").put(path, {**task, "text": "A"})
        socket = await listen("tasks")
        await page.put(path, {**task, "progress": 1})
        await socket.event("update-task")
        value = await socket.value("add-task")
        assert (value["task"]["text"], value["task"]["progress"]) == ("A", 1)

    async def test_the_first_edit_of_ones_own_new_row_is_sent_again(self, gantt, listen):
        """A page that was adding a row just then has put this one off."""
        page = gantt.having(Remote_Device="1")
        id = (await page.add("task", text="a"))["id"]
        socket = await listen("tasks")
        await page.put(f"/data/task/{id}", {"text": "A"})
        assert (await awaited(socket, "add-task"))["task"]["text"] == "A"

    async def test_one_who_changed_nothing_beside_another_writer_is_told_again(
        self, backend, gantt, listen
    ):
        (a,) = await tasks(gantt, "a")
        socket = await listen("tasks")
        forget_touches(backend)
        await gantt.having(Remote_Device="1").put(f"/data/task/{a}", {"text": "A"})
        await gantt.having(Remote_Device="2").put(f"/data/task/{a}", {"progress": 0})
        assert (await awaited(socket, "add-task"))["task"]["text"] == "A"

    async def test_one_whose_revision_is_behind_is_told_again(self, backend, gantt, listen):
        page = gantt.having(Remote_Device="1")
        task = await page.add("task", text="a")
        path = f"/data/task/{task['id']}"
        forget_touches(backend)
        await gantt.having(Remote_Device="2").put(path, {"note": "new"})
        socket = await listen("tasks")
        forget_touches(backend)
        await page.put(path, {"text": "A", "_rev": task["_rev"]})
        assert (await awaited(socket, "add-task"))["task"]["note"] == "new"

    @pytest.mark.parametrize("fields", [{"parent": 99}, {"progress": 2}, {"start_date": "soon"}])
    async def test_what_was_refused_is_told_as_it_is_stored(self, backend, gantt, listen, fields):
        (a,) = await tasks(gantt, "a")
        socket = await listen("tasks")
        forget_touches(backend)
        await gantt.put(f"/data/task/{a}", {**fields, "text": "A", "note": "mine"})
        await socket.event("add-task")
        task = (await socket.value("update-task"))["task"]
        assert (task["text"], task["parent"], task["note"]) == ("a", 0, None)

    async def test_what_was_refused_in_a_batch_is_told_too(self, backend, gantt, listen):
        (a,) = await tasks(gantt, "a")
        socket = await listen("tasks")
        forget_touches(backend)
        row = f"{a}_!nativeeditor_status=updated&{a}_parent=99&{a}_note=mine&ids={a}"
        await gantt.post("/data?gantt_mode=tasks", row)
        assert (await socket.value("add-task"))["task"]["note"] is None

    async def test_what_could_not_be_stored_is_told_as_it_is(
        self, gantt, listen, monkeypatch, logged_errors
    ):
        (a,) = await tasks(gantt, "a")
        socket = await listen("tasks")
        monkeypatch.setattr("gantt_tornado.store.writer.LONGEST_QUEUE", 0)
        assert (await gantt.put(f"/data/task/{a}", {"text": "A"})).status == 503
        assert (await socket.value("add-task"))["task"]["text"] == "a"

    async def test_a_row_put_below_a_deleted_one_is_told_with_all_below_it(self, gantt, listen):
        """The client has dropped it with the deleted row, links and all."""
        gone, a = await tasks(gantt, "gone", "a")
        (b,) = await tasks(gantt, "b", parent=a)
        link = await gantt.add("link", source=a, target=b)
        await gantt.delete(f"/data/task/{gone}")
        socket = await listen("tasks", "links")
        answer = await gantt.put(f"/data/task/{a}", {"parent": gone})
        assert (answer.status, answer.json["item"]["parent"]) == (200, 0)
        again = [await awaited(socket, kind) for kind in ("add-task", "add-task", "add-link")]
        assert [value["event"]["id"] for value in again] == [a, b, link["id"]]

    async def test_what_left_a_row_before_its_delete_is_told_with_all_below_it(self, gantt, listen):
        top, home = await tasks(gantt, "top", "home")
        (a,) = await tasks(gantt, "a", parent=top)
        (b,) = await tasks(gantt, "b", parent=a)
        link = await gantt.add("link", source=b, target=home)
        await gantt.put(f"/data/task/{a}", {"parent": home})
        socket = await listen("tasks", "links")
        await gantt.having(Remote_Device="2").delete(f"/data/task/{top}")
        again = [await awaited(socket, kind) for kind in ("add-task", "add-task", "add-link")]
        assert [value["event"]["id"] for value in again] == [a, b, link["id"]]

    async def test_rows_that_left_each_other_do_not_go_in_circles(self, gantt, listen):
        a, b, c = await tasks(gantt, "a", "b", "c")
        for id, parent in ((b, a), (b, c), (b, 0), (c, b), (c, 0)):
            await gantt.put(f"/data/task/{id}", {"parent": parent})
        socket = await listen("tasks")
        await gantt.delete(f"/data/task/{a}")
        again = [(await awaited(socket, "add-task"))["task"]["id"] for _ in "bc"]
        assert again == [b, c]

    async def test_an_edit_just_after_a_replay_is_told_again(self, backend, gantt, listen):
        """The client may have drawn the replay over it."""
        (a,) = await tasks(gantt, "a")
        socket = await listen("tasks", since=0)
        forget_touches(backend)
        await gantt.having(Remote_Device="1").put(f"/data/task/{a}", {"text": "A"})
        types = [(await socket.value())["type"] for _ in range(5)]
        assert types[-2:] == ["update-task", "add-task"]

    async def test_a_request_under_a_wrong_name_takes_no_repetitions_place(self, gantt, listen):
        (a,) = await tasks(gantt, "a")
        socket = await listen("tasks", "links")
        assert (await gantt.delete(f"/data/link/{a}")).status == 200
        assert (await gantt.put(f"/data/link/{a}", {"type": "1"})).status == 404
        await gantt.put(f"/data/task/{a}", {"progress": 7})
        assert (await socket.value("add-task"))["task"]["id"] == a

    async def test_a_refused_move_to_the_top_repeats_that_row_alone(self, gantt, listen):
        a, c, d = await tasks(gantt, "a", "c", "d")
        (b,) = await tasks(gantt, "b", parent=a)
        socket = await listen("tasks")
        await gantt.put(f"/data/task/{d}", {"parent": a})
        assert (await awaited(socket, "add-task"))["task"]["id"] == d
        await gantt.put(f"/data/task/{b}", {"parent": 0, "progress": 7})
        await gantt.put(f"/data/task/{c}", {"progress": 7})
        again = [(await awaited(socket, "add-task"))["task"]["id"] for _ in "bc"]
        assert again == [b, c]

    async def test_a_refused_move_below_a_row_that_is_there_repeats_that_row_alone(
        self, gantt, listen
    ):
        a, c, d = await tasks(gantt, "a", "c", "d")
        (b,) = await tasks(gantt, "b", parent=a)
        socket = await listen("tasks")
        await gantt.put(f"/data/task/{b}", {"parent": 0})
        assert (await awaited(socket, "add-task"))["task"]["id"] == b
        for id in (c, d):
            await gantt.put(f"/data/task/{id}", {"parent": a, "progress": 7})
        again = [(await awaited(socket, "add-task"))["task"]["id"] for _ in "cd"]
        assert again == [c, d]


class TestReplay:
    async def test_a_page_that_has_all_is_told_nothing(self, gantt, listen):
        await tasks(gantt, "a")
        socket = await listen(since=(await gantt.get()).json["seq"])
        await socket.quiet()

    async def test_a_page_waits_for_its_turn_to_be_told(self, backend, gantt, listen):
        await tasks(gantt, "a")
        socket = await listen("ours", since=0)
        for _ in range(AT_ONCE):
            await backend.connection_slots.acquire()
        await socket.send({"action": "subscribe", "name": "tasks"})
        await until(lambda: backend.connection_slots._waiters)
        for _ in range(AT_ONCE):
            backend.connection_slots.release()
        assert (await socket.value())["type"] == "add-task"

    async def test_a_page_that_does_not_ask_is_told_nothing(self, gantt, listen):
        await tasks(gantt, "a")
        socket = await listen()
        await socket.quiet()

    async def test_a_missed_task_is_a_safe_upsert_in_its_place(self, gantt, listen):
        task = await gantt.add("task")
        socket = await listen("tasks", since=0)
        for type in ("add-task", "update-task"):
            assert await socket.value() == {"type": type, "task": task, "event": task}
        assert (await socket.value("move-task"))["task"]["id"] == task["id"]
        await socket.quiet()

    async def test_a_missed_link_is_a_safe_upsert(self, gantt, listen):
        a, b = await tasks(gantt, "a", "b")
        link = await gantt.add("link", source=a, target=b)
        socket = await listen("links", since=0)
        for type in ("add-link", "update-link"):
            assert await socket.value() == {"type": type, "link": link, "event": link}
        await socket.quiet()

    async def test_only_what_changed_since_is_told(self, gantt, listen):
        _, b = await tasks(gantt, "a", "b")
        seq = (await gantt.get()).json["seq"]
        await gantt.put(f"/data/task/{b}", {"text": "B"})
        socket = await listen("tasks", since=seq)
        told = [(await socket.value())["task"]["id"] for _ in range(3)]
        assert told == [b, b, b]
        await socket.quiet()

    async def test_several_changes_of_one_item_are_told_as_its_present_state(self, gantt, listen):
        (a,) = await tasks(gantt, "a")
        for number in range(5):
            await gantt.put(f"/data/task/{a}", {"text": str(number)})
        socket = await listen("tasks", since=1)
        assert (await socket.value("add-task"))["task"]["text"] == "4"
        await socket.event("update-task")
        await socket.event("move-task")
        await socket.quiet()

    async def test_a_missed_delete_is_told(self, gantt, listen):
        (a,) = await tasks(gantt, "a")
        await gantt.delete(f"/data/task/{a}")
        socket = await listen("tasks", since=1)
        gone = {"id": a}
        assert await socket.value() == {"type": "delete-task", "task": gone, "event": gone}
        await socket.quiet()

    async def test_deletes_come_before_what_is_there(self, gantt, listen):
        a, b = await tasks(gantt, "a", "b")
        await gantt.put(f"/data/task/{b}", {"text": "B"})
        await gantt.delete(f"/data/task/{a}")
        socket = await listen("tasks", since=2)
        assert (await socket.value())["type"] == "delete-task"
        assert (await socket.value("add-task"))["task"]["id"] == b

    async def test_parents_come_before_their_children(self, gantt, listen):
        a, b = await tasks(gantt, "a", "b")
        await gantt.put(f"/data/task/{a}", {"parent": b})
        socket = await listen("tasks", since=0)
        told = [await socket.value() for _ in range(6)]
        assert [value["task"]["id"] for value in told[::3]] == [b, a]

    async def test_a_task_that_left_a_deleted_branch_is_moved_out_first(self, gantt, listen):
        (a,) = await tasks(gantt, "a")
        (b,) = await tasks(gantt, "b", parent=a)
        await tasks(gantt, "c", parent=b)
        await gantt.put(f"/data/task/{b}", {"parent": 0})
        await gantt.delete(f"/data/task/{a}")
        socket = await listen("tasks", since=3)
        told = [await socket.value() for _ in range(4)]
        assert [value["task"]["id"] for value in told] == [b, b, b, a]

    async def test_a_number_from_the_future_reloads(self, gantt, listen):
        await tasks(gantt, "a")
        socket = await listen(since=99)
        for name in ("tasks", "links"):
            value = {"type": "reload", "seq": (await gantt.get()).json["seq"]}
            assert await socket.event() == {"name": name, "value": value}
        await socket.quiet()

    @pytest.mark.parametrize("since", ["", "x", "-1", "1e3", "9" * 30, "\u0663"])
    async def test_a_number_that_is_none_harms_nobody(self, gantt, listen, since):
        (a,) = await tasks(gantt, "a")
        socket = await listen("tasks", since=since)
        await gantt.put(f"/data/task/{a}", {"text": "A"})
        while (await socket.value()).get("task", {}).get("text") != "A":
            pass

    async def test_channels_of_ones_own_are_not_replayed(self, backend, gantt, listen):
        backend.publish("news", 1)
        await tasks(gantt, "a")
        socket = await listen("news", since=0)
        await socket.quiet()

    async def test_live_events_follow_the_replay(self, gantt, listen):
        (a,) = await tasks(gantt, "a")
        socket = await listen("tasks", since=0)
        await gantt.put(f"/data/task/{a}", {"text": "A"})
        types = [(await socket.value())["type"] for _ in range(4)]
        assert types == ["add-task", "update-task", "move-task", "update-task"]

    async def test_a_change_that_commits_after_the_replay_is_told_once(
        self, backend, gantt, listen, held
    ):
        (a,) = await tasks(gantt, "a")
        with held():
            putting = asyncio.ensure_future(gantt.put(f"/data/task/{a}", {"text": "A"}))
            await until(lambda: backend._writer.waiting == 1)
            socket = await listen("tasks", since=1)
        await putting
        assert (await socket.value("update-task"))["task"]["text"] == "A"
        await socket.quiet()

    async def test_a_change_that_waits_in_the_window_is_not_told_twice(
        self, backend, gantt, listen
    ):
        backend.default.hub._window = 0.3
        await listen("tasks")
        await tasks(gantt, "a", "b")
        socket = await listen("tasks", since=0)
        told = [(await socket.value())["task"]["id"] for _ in range(6)]
        assert told == [1, 1, 1, 2, 2, 2]
        await socket.quiet()

    async def test_a_change_between_commit_and_telling_is_told_once(self, backend, gantt, listen):
        """The page joins in the very step in which the plan has the change and the hub has not."""
        socket = await listen("news", since=0)
        handler = next(iter(backend.default.connections))
        project = backend.default
        then = project._on_commit

        def join(results):
            yield from then.committed(results)
            project.hub.subscribe(handler, "tasks")

        project._on_commit = OnCommit(join, then.answered)
        task = await gantt.add("task")
        told = [await socket.value() for _ in range(3)]
        assert [value["type"] for value in told] == ["add-task", "update-task", "move-task"]
        assert told[0]["task"] == task
        await socket.quiet()

    async def test_each_channel_is_replayed_when_it_is_joined(self, gantt, listen):
        a, b = await tasks(gantt, "a", "b")
        socket = await listen("links", since=2)
        await gantt.add("link", source=a, target=b)
        await socket.event("add-link")
        await gantt.put(f"/data/task/{a}", {"text": "A"})
        await socket.subscribe("tasks")
        assert (await socket.value("add-task"))["task"]["text"] == "A"

    async def test_a_pong_says_nothing_of_channels_joined_after_the_question(
        self, backend, gantt, listen
    ):
        (a,) = await tasks(gantt, "a")
        await gantt.get(f"/api/v1?since={backend.default.plan.position(0)}")
        first = await listen("links", since=0, handshake=False)
        (handler,) = backend.default.connections
        handler.ask(1)
        await first.subscribe("tasks")
        # The same question is not put again.
        handler.ask(1)
        handler.on_pong(str(backend.default.plan.position(1)).encode())
        await first.close()
        again = await listen("tasks", since=0, handshake=False)
        assert (await again.value("add-task"))["task"]["id"] == a

    @pytest.mark.parametrize("questions, told", [(2, 2), (3, 1)])
    async def test_a_pong_to_the_last_question_but_one_still_counts(
        self, backend, gantt, listen, questions, told
    ):
        await tasks(gantt, "a", "b", "c")
        await gantt.get(f"/api/v1?since={backend.default.plan.position(0)}")
        first = await listen("tasks", since=0, handshake=False)
        (handler,) = backend.default.connections
        for seq in range(1, questions + 1):
            handler.ask(seq)
        handler.on_pong(str(backend.default.plan.position(1)).encode())
        await first.close()
        again = await listen("tasks", since=0, handshake=False)
        assert (await again.value("add-task"))["task"]["id"] == told

    async def test_a_pong_says_nothing_of_a_channel_that_was_left_before_the_question(
        self, backend, gantt, listen
    ):
        (a,) = await tasks(gantt, "a")
        await gantt.get("/api/v1?since=0")
        first = await listen("links", "tasks", since=0, handshake=False)
        (handler,) = backend.default.connections
        await first.send({"action": "unsubscribe", "name": "tasks"})
        await until(lambda: "tasks" not in backend.default.hub._listeners[handler].channels)
        handler.ask(1)
        handler.on_pong(b"1")
        await first.close()
        again = await listen("tasks", since=0, handshake=False)
        assert (await again.value("add-task"))["task"]["id"] == a

    async def test_a_pong_of_another_history_leads_to_a_reload(self, backend, gantt, listen):
        await tasks(gantt, "a")
        since = backend.default.plan.position(0)
        await gantt.get(f"/api/v1?since={since}")
        first = await listen("tasks", since=0, handshake=False)
        (handler,) = backend.default.connections
        handler.ask(1)
        handler.on_pong(str(backend.default.plan.position(1)).encode())
        await first.close()
        backend.default.plan._marks = Marks(
            0, since.mark ^ backend.default.plan._shape, [(1, 0xABC)]
        )
        again = await listen("tasks", since=0, handshake=False)
        await again.event("reload")

    async def test_nobody_is_asked_in_the_midst_of_a_replay(self, backend, gantt, listen):
        """The question would overtake what it asks for."""
        await tasks(gantt, "a")
        await listen("tasks", since=0)
        (handler,) = backend.default.connections
        handler.replay(iter((b"",)))
        handler.ask(1)
        assert handler._asked == {}

    @pytest.mark.parametrize("since", [str, lambda each: f"{each.seq}-{each.mark ^ 1:06x}"])
    async def test_a_position_counts_if_it_is_of_this_history(self, backend, gantt, listen, since):
        await tasks(gantt, "a", "b")
        socket = await listen("tasks", since=since(backend.default.plan.position(1)))
        await socket.event("add-task" if since is str else "reload")

    async def test_a_bare_number_is_of_no_history(self, gantt, listen):
        await tasks(gantt, "a")
        socket = await listen("tasks", since="1")
        await socket.event("reload")

    async def test_a_page_that_comes_back_is_told_what_it_missed(self, gantt, listen):
        (a,) = await tasks(gantt, "a")
        first = await listen("tasks", since=1)
        await first.close()
        await gantt.put(f"/data/task/{a}", {"text": "A"})
        again = await listen("tasks", since=1, handshake=False)
        assert (await again.value("add-task"))["task"]["text"] == "A"


class TestReload:
    """What only a page is told that handles it."""

    @pytest.fixture
    def handling(self, listen):
        """A page that says whether it handles ``reload``, listening to tasks."""

        async def handling(reload=True, since=0, tab="mine"):
            socket = await listen.open(since=since, tab=tab, reload=reload)
            await socket.frame()
            await socket.subscribe("tasks")
            return socket

        return handling

    @pytest.fixture
    def longer(self, backend):
        """Tasks, of which a replay takes more than a load."""

        async def longer():
            for _ in range(3):
                await backend.insert("task", {"text": "x" * 30_000, **DATES})

        return longer

    async def test_of_a_replay_that_is_longer_than_a_load(self, longer, handling):
        await longer()
        await (await handling()).event("reload")

    async def test_others_are_replayed_all(self, longer, handling):
        await longer()
        socket = await handling(reload=False)
        types = [(await socket.value())["type"] for _ in range(9)]
        assert types == ["add-task", "update-task", "move-task"] * 3

    async def test_what_is_little_is_replayed_to_all(self, gantt, handling):
        await tasks(gantt, "a")
        await (await handling()).event("add-task")

    async def test_what_is_shorter_than_a_load_is_replayed(self, longer, handling, gantt):
        await longer()
        await gantt.put("/data/task/1", {"text": "short"})
        await (await handling(since=3)).event("add-task")

    async def test_who_cannot_save_is_told(self, gantt, handling):
        await tasks(gantt, "a")
        socket, other = await handling(since=1), await handling(since=1, tab="other")
        answer = await gantt.having(Remote_Device="mine").put("/data/task/1", {"_rev": 99})
        assert answer.status == 409
        await socket.event("reload")
        assert (await other.value())["type"] != "reload"

    async def test_who_cannot_save_and_cannot_load_again_is_told_the_item(self, gantt, handling):
        await tasks(gantt, "a")
        socket = await handling(reload=False, since=1)
        await gantt.having(Remote_Device="mine").put("/data/task/1", {"_rev": 99})
        await socket.event("add-task")

    async def test_who_was_refused_otherwise_is_not_told(self, gantt, handling):
        await tasks(gantt, "a")
        socket = await handling(since=1)
        await gantt.having(Remote_Device="mine").put("/data/task/1", {"parent": 1})
        await socket.event("add-task")


async def test_no_token_is_logged_by_a_socket(gantt, listen, gantt_token, caplog):
    """The client writes it into the URL."""
    socket = await listen()
    await socket.send("junk")
    await socket.close()
    with contextlib.suppress(HTTPClientError):
        await listen.open(headers={"Origin": "https://evil.example"})
    await gantt.anonymous().get(f"/api/v1?token={gantt_token}&ws=1")
    assert gantt_token not in caplog.text

"""The table of endpoints: what it states of each, and how a request becomes a response."""

import re

import orjson
import pytest
from tornado import web
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from gantt_tornado import Backend, routes
from gantt_tornado.errors import Forbidden, NotFound, Unavailable
from gantt_tornado.model.user import Role, User
from gantt_tornado.web import app, endpoints
from gantt_tornado.web.endpoints import (
    ENDPOINTS,
    FLUSH_EVERY,
    PROJECT,
    Address,
    Endpoint,
    Request,
    Response,
    addresses,
)
from gantt_tornado.web.handlers import EndpointHandler, NoSuchAddress
from gantt_tornado.web.table import table_of

each = pytest.mark.parametrize("endpoint", ENDPOINTS, ids=lambda e: f"{e.verb} {e.path}")

EVE = User("Eve", Role.editor)


async def nothing(request: Request) -> Response:
    return Response()


def request(backend: Backend, *path: str, body: bytes = b"", **headers: str) -> Request:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Request(backend, backend.default, EVE, named, "/", {}, path, lambda: body)


def http(method: str = "GET") -> HTTPServerRequest:
    line = RequestStartLine(method, "/data?token=secret-x", "HTTP/1.1")
    return HTTPServerRequest(start_line=line, headers=HTTPHeaders({"Host": "x"}))


class TestTable:
    @each
    def test_each_states_a_role(self, endpoint):
        assert isinstance(endpoint.role, Role)

    @each
    def test_who_may_only_look_changes_nothing(self, endpoint):
        reads = endpoint.verb in ("GET", "HEAD") or endpoint.is_remote
        writes = Role.admin if endpoint.of_server else Role.editor
        if endpoint.path in ("/metrics", "/webhooks"):
            reads = False
        assert endpoint.role == (Role.viewer if reads else writes)

    @each
    def test_each_says_what_it_is_for(self, endpoint):
        assert endpoint.run.__doc__

    def test_no_verb_stands_twice_at_one_path(self):
        assert len({(e.verb, e.path) for e in ENDPOINTS}) == len(ENDPOINTS)

    @each
    def test_its_path_leads_to_it(self, endpoint):
        path = re.sub(r"\{\w+\}", "task", endpoint.path)
        first = next(a for a in addresses(ENDPOINTS) if re.fullmatch(a.pattern, path))
        assert first.endpoints[endpoint.verb] is endpoint

    def test_every_verb_of_every_route_is_in_the_table(self, backend):
        unimplemented = web.RequestHandler.get
        for rule in routes(backend, prefix="/gantt"):
            _, handler, arguments = rule
            if issubclass(handler, EndpointHandler):
                known = handler is NoSuchAddress
                assert known or arguments["address"] in addresses(table_of(backend))
                continue
            assert issubclass(handler, app.FileHandler)
            verbs = set(handler.SUPPORTED_METHODS)
            used = {v for v in verbs if getattr(handler, v.lower()) is not unimplemented}
            assert used <= {"GET", "HEAD"}


class TestAddresses:
    def test_paths_that_begin_alike_have_one_address(self):
        table = [
            Endpoint("POST", "/{entity}", Role.editor, nothing),
            Endpoint("PUT", "/{entity}/{id}", Role.editor, nothing),
        ]
        assert addresses(table) == [
            Address(PROJECT + "/([a-z]+)(?:/([^/]+))?", {"POST": table[0], "PUT": table[1]})
        ]

    def test_others_have_their_own_in_the_order_of_the_table(self):
        table = [Endpoint("GET", path, Role.viewer, nothing) for path in ("/b", "/a", "/a/b")]
        assert [address.pattern for address in addresses(table)] == [
            PROJECT + path for path in ("/b", "/a", "/a/b")
        ]


class TestResponse:
    def test_a_long_body_comes_in_slices(self):
        half = b"x" * (FLUSH_EVERY // 2)
        response = Response([half, half, b"y", half, b"z"])
        assert list(response.slices()) == [half + half, b"y" + half + b"z"]
        assert response.size == 3 * len(half) + 2

    def test_an_empty_body_has_no_slice(self):
        assert list(Response().slices()) == []


class TestErrors:
    def told(self, error, verb="GET", **options):
        endpoint = Endpoint(verb, "/", Role.viewer, nothing, **options)
        response = endpoints.error_response(http(method=verb), error, endpoint)
        return response.status, dict(response.headers), orjson.loads(response.chunks[0])

    def test_ours_have_their_own_status(self):
        status, _, body = self.told(NotFound("No such task."))
        assert (status, body["code"]) == (404, "not-found")

    def test_a_store_that_fails_for_now_says_when_to_try_again(self):
        assert self.told(Unavailable("Later.", retry_after=2))[1]["Retry-After"] == "2"

    def test_an_unknown_one_is_logged_and_not_told(self, caplog):
        status, _, body = self.told(ZeroDivisionError("private"))
        assert status == 500 and "private" not in body["message"]
        assert "private" in caplog.text and "secret-" not in caplog.text

    def test_the_remote_protocol_has_a_refusal_of_its_own(self):
        assert self.told(Forbidden("x"), is_remote=True)[2] == {"error": "Forbidden"}

    def test_calls_that_fail_are_answered_one_by_one(self):
        (endpoint,) = (e for e in ENDPOINTS if e.verb == "POST" and e.path == "/api/v1")
        body = b'[{"id":"1"},{"id":"2"}]'
        response = endpoints.endpoint_error(endpoint, http(), Unavailable("Later."), lambda: body)
        assert response.status == 503
        assert orjson.loads(response.chunks[0]) == [
            {"id": id, "data": None, "error": "Later."} for id in ("1", "2")
        ]

    def test_the_scheduler_is_told_of_a_refused_write_with_200(self):
        status, _, body = self.told(Forbidden("x"), "PUT", of_scheduler=True)
        assert (status, body["action"], body["code"]) == (200, "error", "forbidden")
        assert self.told(Forbidden("x"), of_scheduler=True)[0] == 403

    @pytest.mark.gen_test
    async def test_an_endpoint_that_fails_has_a_response_all_the_same(self, backend):
        async def fail(request):
            raise NotFound("No such task.")

        endpoint = Endpoint("GET", "/", Role.viewer, fail)
        response = await endpoints.respond(endpoint, request(backend), http())
        assert response.status == 404


@pytest.mark.parametrize("user", [None, User("Vera", Role.viewer)])
def test_a_role_is_needed(user):
    with pytest.raises(Forbidden):
        endpoints.check_role(Endpoint("PUT", "/", Role.editor, nothing), user, "default", ())


@pytest.mark.gen_test
async def test_an_endpoint_needs_no_connection(backend):
    dated = b'{"text":"Dig","start_date":"2030-01-07","duration":1}'
    added = await endpoints.insert(request(backend, "task", body=dated, Remote_Device="page-1"))
    id = orjson.loads(added.chunks[0])["tid"]
    await endpoints.update(request(backend, "task", str(id), body=b'{"text":"Build"}'))
    assert backend.item("task", id)["text"] == "Build"
    (change, _) = await backend.history()
    assert change.author.user == "Eve"


class TestPublish:
    @pytest.mark.gen_test
    async def test_who_listens_is_told(self, gantt, listen):
        socket = await listen("news")
        answer = await gantt.post("/api/v1/publish", {"name": "news", "value": {"type": "fair"}})
        assert (answer.status, answer.json) == (200, {"action": "published", "name": "news"})
        assert await socket.event() == {"name": "news", "value": {"type": "fair"}}

    @pytest.mark.parametrize(
        "sent, status",
        [
            *(({"name": name, "value": 1}, 403) for name in ("tasks", "links", "presence")),
            *(({"name": name, "value": 1}, 400) for name in ("", 5, None, "x" * 201)),
            ({"value": 1}, 400),
            ({"name": "news"}, 400),
            ([], 400),
            ({"name": "news", "value": "x" * 70_000}, 413),
        ],
    )
    @pytest.mark.gen_test
    async def test_what_is_none_of_the_applications_is_refused(self, gantt, sent, status):
        answer = await gantt.post("/api/v1/publish", sent)
        assert (answer.status, answer.json["action"]) == (status, "error")

    @pytest.mark.gen_test
    async def test_a_viewer_tells_nothing(self, viewer):
        answer = await viewer.post("/api/v1/publish", {"name": "news", "value": 1})
        assert answer.status == 403

    @pytest.mark.gen_test
    async def test_who_may_not_listen_may_not_tell(self, backend, gantt):
        backend.guard("payroll", lambda user: user.name == "Ada")
        answer = await gantt.post("/api/v1/publish", {"name": "payroll", "value": 1})
        assert answer.status == 403

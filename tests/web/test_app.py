"""The routes: where they are mounted, what they let in, and the page beside them."""

import asyncio
import gzip
import re

import pytest
from tornado import httpserver, web
from tornado.tcpclient import TCPClient

from gantt_tornado import Backend, make_app, routes
from gantt_tornado.web.app import POLICY, STATIC, http_limits, without_foreign_fonts


@pytest.mark.gen_test
class TestPage:
    async def test_it_is_at_the_root(self, gantt):
        answer = await gantt.anonymous().get("/")
        assert (answer.status, answer.headers["Content-Type"]) == (200, "text/html")

    async def test_its_policy_lets_nothing_in_from_elsewhere(self, gantt):
        policy = (await gantt.get("/")).headers["Content-Security-Policy"]
        assert policy == POLICY
        assert "default-src 'none'" in policy and "script-src 'self';" in policy
        assert "http" not in policy and "unsafe-eval" not in policy

    async def test_no_script_is_inline(self, gantt):
        page = (await gantt.get("/")).body.decode()
        assert all(re.search(r"\ssrc=", tag) for tag in re.findall(r"<script[^>]*>", page))
        assert not re.search(r"\son[a-z]+=", page)

    async def test_it_names_no_other_host(self):
        files = [file for kind in ("html", "js", "css") for file in STATIC.glob(f"*.{kind}")]
        assert files
        for file in files:
            text = file.read_text().replace("http://www.w3.org/2000/svg", "")
            assert not re.search(r"""["'(]\s*(https?:)?//\w""", text), file.name

    @pytest.mark.parametrize("path", ["/", "/app.js", "/app.css", "/nowhere"])
    async def test_nothing_of_it_is_sniffed(self, gantt, path):
        headers = (await gantt.get(path)).headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Content-Security-Policy"] == POLICY

    async def test_what_the_page_refers_to_is_there(self, gantt):
        page = (await gantt.get("/")).body.decode()
        names = re.findall(r'(?:src|href)="([^":#]+)"', page)
        assert names
        for name in names:
            if not name.startswith("vendor/") or (STATIC / "vendor" / "package.json").exists():
                assert (await gantt.get(f"/{name}")).status == 200, name

    async def test_it_is_revalidated_after_an_upgrade(self, gantt):
        first = await gantt.get("/app.js")
        assert first.headers["Cache-Control"] == "no-cache"
        again = await gantt.having(If_None_Match=first.headers["Etag"]).get("/app.js")
        assert again.status == 304

    async def test_head_is_answered(self, gantt):
        assert (await gantt.request("HEAD", "/")).status == 200

    async def test_an_unknown_file_is_not_found(self, gantt):
        assert (await gantt.get("/nowhere.js")).status == 404

    @pytest.mark.parametrize(
        "path",
        [
            "/../setup.cfg",
            "/%2e%2e/setup.cfg",
            "/..%2fsetup.cfg",
            "/vendor/../../setup.cfg",
            "/%2e%2e%2fgantt_tornado%2fapp.py",
            "//etc/passwd",
            "/%2fetc%2fpasswd",
            "/app.js%00.html",
            "/vendor/..%5c..%5csetup.cfg",
            "/vendor",
            "/vendor/",
        ],
    )
    async def test_no_path_leads_out_of_it(self, gantt, path):
        answer = await gantt.get(path)
        assert answer.status in (301, 400, 403, 404)
        assert b"metadata" not in answer.body and b"root:" not in answer.body

    @pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
    async def test_it_cannot_be_written(self, gantt, method):
        body = None if method == "DELETE" else b""
        assert (await gantt.request(method, "/index.html", body)).status == 405


@pytest.mark.gen_test
class TestLive:
    """``gantt-live.js``, which pages of other origins import."""

    ORIGIN = "https://intranet.example"

    @pytest.mark.parametrize("path", ["/gantt-live.js", "/p/house/gantt-live.js"])
    async def test_every_server_has_it(self, gantt, path):
        answer = await gantt.anonymous().get(path)
        assert answer.body == (STATIC / "gantt-live.js").read_bytes()
        assert answer.headers["Content-Type"] == "text/javascript"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"

    async def test_its_types_are_beside_it(self, gantt):
        answer = await gantt.anonymous().get("/gantt-live.d.ts")
        assert b"export function connect" in answer.body
        assert answer.headers["Content-Type"] == "text/plain"

    async def test_a_page_of_a_listed_origin_may_import_it(self, gantt):
        headers = (await gantt.anonymous().having(Origin=self.ORIGIN).get("/gantt-live.js")).headers
        assert headers["Access-Control-Allow-Origin"] == self.ORIGIN

    async def test_no_other_may(self, gantt):
        asking = gantt.anonymous().having(Origin="https://evil.example")
        headers = (await asking.get("/gantt-live.js")).headers
        assert "Access-Control-Allow-Origin" not in headers
        # Or a cache would give this answer to the page that may.
        assert headers["Vary"] == "Origin"

    async def test_an_answer_that_there_is_nothing_new_says_so_too(self, gantt):
        asking = gantt.anonymous().having(Origin=self.ORIGIN)
        etag = (await asking.get("/gantt-live.js")).headers["Etag"]
        again = await asking.having(If_None_Match=etag).get("/gantt-live.js")
        assert again.status == 304
        assert again.headers["Access-Control-Allow-Origin"] == self.ORIGIN

    async def test_it_is_small_and_needs_nothing(self):
        file = (STATIC / "gantt-live.js").read_bytes()
        assert len(gzip.compress(file, 9)) < 12 * 1024
        assert not re.search(rb"^\s*import\b|\bimport\(|\brequire\(", file, re.M)


@pytest.mark.gen_test
class TestLiveAlone(TestLive):
    """The same where an application serves neither the page nor the client."""

    @pytest.fixture
    def app(self, backend):
        return web.Application(routes(backend, page=False, client=False))


@pytest.mark.gen_test
class TestPrefix:
    @pytest.fixture
    def gantt_prefix(self):
        return "/gantt"

    @pytest.fixture
    def app(self, backend, gantt_prefix):
        return web.Application(routes(backend, gantt_prefix))

    async def test_all_is_below_it(self, gantt, listen):
        socket = await listen("tasks")
        task = await gantt.add("task")
        assert (await socket.value("add-task"))["task"] == task
        assert (await gantt.get()).json["tasks"] == [task]
        assert (await gantt.get("/")).headers["Content-Type"] == "text/html"

    async def test_nothing_is_beside_it(self, gantt, base_url):
        gantt.url = base_url
        for path in ("/", "/data", "/api/v1", "/ganttdata", "/gantt-data"):
            assert (await gantt.get(path)).status == 404

    async def test_errors_below_it_are_of_the_clients_form(self, gantt):
        answer = await gantt.request("BREW", "/data/task/1")
        assert (answer.status, answer.json["action"]) == (405, "error")

    async def test_without_its_slash_it_leads_to_the_page(self, gantt):
        answer = await gantt.get("")
        assert answer.status == 301
        assert answer.headers["Location"] == "/gantt/"


@pytest.mark.gen_test
class TestWithoutPage:
    @pytest.fixture
    def app(self, backend):
        return web.Application(routes(backend, page=False))

    async def test_there_is_none(self, gantt):
        assert (await gantt.get("/")).status == 404

    async def test_the_clients_files_are_there_all_the_same(self, gantt):
        for path in ("/vendor/dhtmlxgantt.js", "/vendor/dhtmlxgantt.css", "/dhtmlxgantt.css"):
            assert (await gantt.anonymous().get(path)).status == 200, path

    async def test_nothing_else_of_the_page_is(self, gantt):
        for path in ("/app.js", "/index.html", "/vendor/../app.js", "/vendor/%2e%2e/app.js"):
            assert (await gantt.get(path)).status in (403, 404), path

    async def test_the_rest_is_there(self, gantt):
        assert (await gantt.get()).status == 200
        assert (await gantt.get("/api/v1")).status == 200


@pytest.mark.gen_test
class TestWithoutPageAndClient:
    @pytest.fixture
    def app(self, backend):
        return web.Application(routes(backend, page=False, client=False))

    async def test_an_application_may_have_those_addresses_for_itself(self, gantt):
        for path in ("/", "/vendor/dhtmlxgantt.js", "/dhtmlxgantt.css"):
            assert (await gantt.get(path)).status == 404
        assert (await gantt.get()).status == 200


@pytest.mark.gen_test
class TestStyle:
    """The client's style sheet calls no other host."""

    async def test_it_has_all_rules_but_the_foreign_fonts(self, gantt):
        whole = (await gantt.get("/vendor/dhtmlxgantt.css")).body
        answer = await gantt.anonymous().get("/dhtmlxgantt.css")
        assert answer.headers["Content-Type"] == "text/css; charset=UTF-8"
        assert re.search(rb"url\(\W*(https?:)?//", whole)
        assert not re.search(rb"url\(\W*(https?:)?//", answer.body)
        without = re.sub(rb"@font-face[^}]*fonts\.gstatic\.com[^}]*}", b"", whole)
        assert answer.body == without and b"dhx-gantt-icons" in without

    async def test_what_lies_on_the_disk_is_as_it_was_released(self, gantt):
        file = STATIC / "vendor" / "dhtmlxgantt.css"
        assert (await gantt.get("/vendor/dhtmlxgantt.css")).body == file.read_bytes()

    async def test_it_is_not_sent_again(self, gantt):
        first = await gantt.get("/dhtmlxgantt.css")
        assert first.headers["Cache-Control"] == "no-cache"
        again = await gantt.having(If_None_Match=first.headers["Etag"]).get("/dhtmlxgantt.css")
        assert again.status == 304

    async def test_head_is_answered(self, gantt):
        answer = await gantt.request("HEAD", "/dhtmlxgantt.css")
        assert (answer.status, answer.body) == (200, b"")

    async def test_a_new_version_is_read(self, tmp_path):
        file = tmp_path / "a.css"
        file.write_bytes(b"a{} @font-face { src: url('//fonts.example/a') } b{}")
        assert without_foreign_fonts(file, 1) == b"a{}  b{}"
        file.write_bytes(b"@font-face{src:url(data:font/woff;base64,//) }c{}")
        assert without_foreign_fonts(file, 2) == file.read_bytes()

    async def test_where_there_is_no_client_it_is_not_found(self, gantt, monkeypatch, tmp_path):
        monkeypatch.setattr("gantt_tornado.web.app.STATIC", tmp_path)
        assert (await gantt.get("/dhtmlxgantt.css")).status == 404


@pytest.mark.gen_test
class TestTwo:
    """Two backends in one process, in one application."""

    @pytest.fixture
    def other(self, io_loop, gantt_config):
        other = Backend(gantt_config.model_copy(update={"origins": ()}))
        io_loop.run_sync(other.start)
        yield other
        io_loop.run_sync(other.close)

    @pytest.fixture
    def app(self, backend, other):
        return web.Application([*routes(other, "/other"), *routes(backend)])

    async def test_they_share_no_rows(self, gantt):
        await gantt.add("task")
        assert (await gantt.get("/other/data")).json["tasks"] == []

    async def test_they_count_for_themselves(self, gantt):
        first = await gantt.add("task")
        answer = await gantt.post("/other/data/task", {"start_date": "2030-01-07", "duration": 1})
        assert answer.json["tid"] == first["id"]

    async def test_they_share_no_listeners(self, gantt, other, listen):
        socket = await listen("tasks")
        await gantt.post("/other/data/task", {"start_date": "2030-01-07", "duration": 1})
        other.publish("tasks", 1)
        await socket.quiet()


@pytest.mark.gen_test
class TestSettings:
    """An application's own settings do not shut the stock client out."""

    @pytest.fixture
    def app(self, backend):
        return make_app(backend, xsrf_cookies=True, compress_response=True, debug=False)

    async def test_a_write_needs_no_xsrf_cookie(self, gantt):
        await gantt.add("task")

    async def test_a_socket_opens(self, listen):
        await listen()

    async def test_an_unchanged_plan_is_not_sent_again(self, gantt):
        etag = (await gantt.get()).headers["Etag"]
        gantt.headers |= {"Accept-Encoding": "gzip", "If-None-Match": etag}
        assert (await gantt.get()).status == 304

    async def test_a_compressed_load_is_whole(self, gantt):
        tasks = [await gantt.add("task", text="x" * 2000) for _ in range(3)]
        gantt.headers["Accept-Encoding"] = "gzip"
        assert (await gantt.get()).json["tasks"] == tasks


@pytest.mark.gen_test
class TestLog:
    @pytest.fixture
    def logged(self):
        return []

    @pytest.fixture
    def app(self, backend, logged):
        def log(handler):
            logged.append((handler.request.method, handler.get_status()))

        return make_app(backend, log_function=log)

    async def test_an_applications_own_log_gets_every_request(self, gantt, logged):
        task = await gantt.add("task")
        await gantt.put(f"/data/task/{task['id']}", {"text": "Dig"})
        await gantt.put("/data/task/99", {"text": "Dig"})
        await gantt.get()
        assert logged == [("POST", 200), ("PUT", 200), ("PUT", 404), ("GET", 200)]


class TestLimits:
    """Size and time, before anybody has said who they are."""

    @pytest.fixture
    def settings(self):
        return {"idle_timeout": 0.05, "max_header": 2048}

    @pytest.fixture
    def http_server(self, io_loop, _unused_port, app, backend):
        # In place of pytest-tornado's, which has no limits.
        server = httpserver.HTTPServer(app, **http_limits(backend.config))
        server.add_socket(_unused_port[0])
        yield server
        server.stop()
        io_loop.run_sync(server.close_all_connections)

    @pytest.fixture
    def connect(self, http_server, http_port):
        return lambda: TCPClient().connect("127.0.0.1", http_port)

    async def ended(self, stream):
        return await asyncio.wait_for(stream.read_until_close(), 3)

    @pytest.mark.gen_test
    async def test_a_silent_connection_ends(self, connect):
        assert await self.ended(await connect()) == b""

    @pytest.mark.gen_test
    async def test_headers_that_never_end_end(self, connect):
        stream = await connect()
        await stream.write(b"GET /data HTTP/1.1\r\nHost: x\r\n")
        assert await self.ended(stream) == b""

    @pytest.mark.gen_test
    async def test_a_connection_that_idles_after_an_answer_ends(self, connect):
        stream = await connect()
        await stream.write(b"GET /data HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 OK" in await self.ended(stream)

    @pytest.mark.gen_test
    async def test_a_request_may_take_longer_than_a_pause(
        self, backend, connect, held, gantt_token
    ):
        stream = await connect()
        with held():
            token = f"Host: x\r\nRemote-Token: {gantt_token}\r\n\r\n"
            await stream.write(f"GET /data/history HTTP/1.1\r\n{token}".encode())
            # As many turns of the clock as end a silent connection.
            await self.ended(await connect())
        assert b'"history"' in await stream.read_until(b"}")

    @pytest.mark.gen_test
    async def test_a_socket_may_be_silent(self, connect, backend, gantt_token):
        stream = await connect()
        await stream.write(
            f"GET /api/v1?token={gantt_token}&ws=1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        await stream.read_until(b"start")
        await self.ended(await connect())
        assert len(backend.default.connections) == 1
        stream.close()

    @pytest.mark.gen_test
    async def test_headers_are_of_bounded_size(self, connect):
        stream = await connect()
        await stream.write(b"GET /data HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 5000)
        assert await self.ended(stream) == b""

    @pytest.mark.gen_test
    async def test_little_is_read_ahead(self, backend):
        limits = http_limits(backend.config)
        assert limits["max_buffer_size"] < 1 << 20

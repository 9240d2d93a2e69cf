"""One line a request, its id, and an end to what a client can have written."""

import json
import logging
import sys

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from gantt_tornado.web import logs
from gantt_tornado.web.logs import ALL_BURST, BURST, Bounded, JsonLines, Lines, LogFile
from gantt_tornado.web.redaction import ACCESS, Redaction
from tests.conftest import EDITOR, SECRET


def lines(caplog):
    return [record.getMessage() for record in caplog.records if record.name == ACCESS]


class TestId:
    @pytest.mark.gen_test
    @pytest.mark.parametrize("path", ["/data", "/app.js", "/data/a/b", "/healthz", "/p/none/data"])
    async def test_every_response_has_one_and_no_two_the_same(self, gantt, path):
        ids = [(await gantt.get(path)).headers["X-Request-Id"] for _ in range(2)]
        assert all(ids) and ids[0] != ids[1]

    @pytest.mark.gen_test
    @pytest.mark.parametrize("path", ["/data", "/app.js", "/data/a/b"])
    async def test_a_clients_own_is_kept(self, gantt, path, caplog):
        answer = await gantt.having(X_Request_Id="Proxy-7:a.b_c").get(path)
        assert answer.headers["X-Request-Id"] == "Proxy-7:a.b_c"
        assert "request=Proxy-7:a.b_c" in lines(caplog)[-1]

    @pytest.mark.gen_test
    @pytest.mark.parametrize("id", ["", "a b", "a=b", "x" * 65, '"', "ä", f"{SECRET}\tx"])
    async def test_one_that_could_spoil_a_line_is_replaced(self, gantt, id, caplog):
        answer = await gantt.having(X_Request_Id=id.encode().decode("latin1")).get("/data")
        made = answer.headers["X-Request-Id"]
        assert made != id and made.isalnum() and len(made) == 16

    @pytest.mark.gen_test
    async def test_an_error_names_it_in_its_body(self, gantt, backend):
        async def errors():
            found = [
                await gantt.get("/data/history?before=x"),
                await gantt.get("/data/a/b"),
                await gantt.request("PATCH", "/data"),
                await gantt.put("/data/task/999", {}),
                await gantt.having(Remote_Token="unknown").get("/data"),
            ]
            return [(each.json["request"], each.headers["X-Request-Id"]) for each in found]

        by_delegates = await errors()
        backend.authenticate = lambda handler: backend.accounts.verify(
            handler.request.headers["Remote-Token"]
        )
        for inside, header in (*by_delegates, *await errors()):
            assert inside == header

    @pytest.mark.gen_test
    async def test_the_clients_own_refusal_stays_to_the_letter(self, gantt):
        assert (await gantt.anonymous().get("/api/v1")).body == b'{"error":"Forbidden"}'

    @pytest.mark.gen_test
    async def test_a_page_of_a_listed_origin_may_read_it(self, gantt):
        answer = await gantt.having(Origin="https://intranet.example").get("/data")
        assert "X-Request-Id" in answer.headers["Access-Control-Expose-Headers"].split(", ")


class TestLine:
    @pytest.mark.gen_test
    async def test_each_request_has_one(self, gantt, backend, caplog):
        for authenticate in (None, lambda handler: backend.accounts.verify(EDITOR)):
            backend.authenticate = authenticate
            caplog.clear()
            for path in ("/data", "/app.js", "/data/a/b/c", "/data/history?before=x"):
                await gantt.get(path)
            assert [line.split("ms")[0].rpartition(" ")[0] for line in lines(caplog)] == [
                "200 GET /data (127.0.0.1)",
                "200 GET /app.js (127.0.0.1)",
                "404 GET /data/a/b/c (127.0.0.1)",
                "400 GET /data/history?before=x (127.0.0.1)",
            ]

    @pytest.mark.gen_test
    async def test_it_says_who_and_of_which_project(self, gantt, backend, caplog):
        await backend.create_project("bridge")
        await gantt.get("/p/bridge/data")
        assert 'user="Eve" project="bridge"' in lines(caplog)[-1]
        await gantt.anonymous().get("/data")
        assert 'user="" project="default"' in lines(caplog)[-1]
        await gantt.get("/p/none/data")
        assert 'user="Eve" project="none"' in lines(caplog)[-1]
        backend.authenticate = lambda handler: backend.accounts.verify(EDITOR)
        await gantt.get("/p/bridge/data")
        assert 'user="Eve" project="bridge"' in lines(caplog)[-1]

    @pytest.mark.gen_test
    async def test_a_socket_has_one_too(self, gantt, listen, caplog):
        await listen("tasks")
        (line,) = [line for line in lines(caplog) if line.startswith("101 ")]
        assert "GET /api/v1?" in line and 'user="Eve"' in line

    @pytest.mark.gen_test
    async def test_no_name_breaks_it(self, gantt, caplog):
        await gantt.get("/p/a%0Ab%22%20user=%22Ada/data")
        assert 'project="a%0Ab%22%20user=%22Ada"' in lines(caplog)[-1]
        made = HTTPServerRequest(
            headers=HTTPHeaders({"Host": "x"}),
            start_line=RequestStartLine("GET", "/data", "HTTP/1.1"),
        )
        logs.log_request(made, 200, 0.1, 'Ann" project="x\n', "default")
        assert r'user="Ann\" project=\"x\n" project="default"' in lines(caplog)[-1]

    @pytest.mark.parametrize("formatter", [logging.Formatter(), JsonLines()])
    def test_no_letter_moves_a_terminal(self, caplog, formatter):
        caplog.set_level(logging.INFO)
        made = HTTPServerRequest(
            headers=HTTPHeaders({"Host": "x"}),
            start_line=RequestStartLine("GET\x9b", "/data\x85x", "HTTP/1.1"),
        )
        logs.log_request(made, 200, 0.1, "Ann\x9b2J\u2028", "a\x85?token=secret")
        line = formatter.format(caplog.records[-1])
        assert line.isprintable() and "secret" not in line and "Ann\\u009b2J" in line


class TestJson:
    @pytest.fixture
    def written(self, caplog):
        caplog.handler.setFormatter(JsonLines())
        return lambda: [json.loads(caplog.handler.format(record)) for record in caplog.records]

    @pytest.mark.gen_test
    async def test_a_request_is_an_object(self, gantt, written):
        await gantt.anonymous().having(X_Request_Id="seven").get("/data?token=nothing")
        line = written()[-1]
        assert line.pop("time").endswith("+00:00") and line.pop("ms") >= 0
        assert "request=seven" in line.pop("message")
        assert line == {
            **{"level": "warning", "logger": ACCESS, "request": "seven", "status": 403},
            **{"method": "GET", "url": "/data?token=…", "client": "127.0.0.1"},
            **{"user": "", "project": "default"},
        }

    def record(self, message="text", error=None):
        info = (type(error), error, None) if error else None
        return logging.LogRecord("here", logging.ERROR, "file", 1, message, (), info)

    def test_an_exception_stands_in_its_line(self):
        line = JsonLines().format(self.record(error=ValueError("seven")))
        assert "seven" in json.loads(line)["exception"] and "\n" not in line

    def test_what_is_no_unicode_costs_no_line(self):
        assert json.loads(JsonLines().format(self.record("\ud800")))["message"] == "\\ud800"

    @pytest.mark.gen_test
    @pytest.mark.parametrize("gantt_token", [SECRET + "token"])
    async def test_no_token_is_in_it(self, gantt, caplog, written, gantt_token):
        logging.getLogger(ACCESS).addFilter(redaction := Redaction())
        try:
            for path in (f"/data?token={gantt_token}", f"/data?a=1;%74oken={gantt_token}"):
                await gantt.get(path)
        finally:
            logging.getLogger(ACCESS).removeFilter(redaction)
        assert gantt_token not in json.dumps(written())


class TestBounded:
    @pytest.fixture
    def clock(self):
        return [0.0]

    @pytest.fixture
    def bounded(self, clock):
        return Bounded(lambda: clock[0])

    def record(self, client="a", line=1):
        record = logging.LogRecord("here", logging.INFO, "file", line, "%d of it", (7,), None)
        record.about = {"client": client}
        return record

    def test_one_client_can_have_only_so_much_written(self, bounded, clock):
        written = 0
        for _ in range(10_000):
            written += bounded.filter(self.record())
            clock[0] += 0.001
        assert BURST + 45 < written < BURST + 55

    def test_the_next_line_says_how_many_were_left_out(self, bounded, clock):
        for _ in range(BURST + 7):
            bounded.filter(self.record())
        clock[0] += 1
        record = self.record()
        assert bounded.filter(record)
        assert record.getMessage() == "7 of it (7 more like it)"
        assert bounded.filter(later := self.record()) and later.getMessage() == "7 of it"

    def test_another_client_and_another_place_have_their_own(self, bounded):
        for _ in range(BURST + 1):
            bounded.filter(self.record())
        assert not bounded.filter(self.record())
        assert bounded.filter(self.record(client="b")) and bounded.filter(self.record(line=2))

    def test_all_clients_together_have_an_end(self, bounded, clock):
        written = sum(
            bounded.filter(self.record(client=f"10.0.{n >> 8}.{n & 255}")) for n in range(9999)
        )
        assert written == ALL_BURST
        clock[0] += 1
        record = self.record(client="10.9.9.9")
        assert bounded.filter(record)
        assert record.getMessage() == f"7 of it ({9999 - ALL_BURST} more like it)"

    def test_the_addresses_of_one_network_are_one_client(self, bounded):
        written = sum(bounded.filter(self.record(client=f"2001:db8::{n:x}")) for n in range(100))
        assert written == BURST
        assert bounded.filter(self.record(client="2001:db8:0:1::1"))

    def test_what_is_served_hides_nothing_that_fails(self, bounded):
        for _ in range(BURST + 1):
            bounded.filter(self.record())
        failed = self.record()
        failed.levelno = logging.WARNING
        assert bounded.filter(failed) and not bounded.filter(self.record())

    def test_what_is_remembered_has_an_end(self, bounded, monkeypatch):
        monkeypatch.setattr(logs, "MOST_KINDS", 10)
        for number in range(100):
            bounded.filter(self.record(client=str(number)))
        assert len(bounded._kinds) <= 10


class TestLogFile:
    @pytest.fixture
    def folder(self, tmp_path):
        (tmp_path / "logs").mkdir()
        return tmp_path / "logs"

    @pytest.fixture
    def write(self, folder):
        handler = LogFile(folder / "the.log", encoding="utf-8")
        yield lambda text: handler.handle(logging.makeLogRecord({"msg": text}))
        handler.close()

    def test_without_its_folder_lines_go_to_standard_error(self, folder, write, capsys):
        write("one")
        folder.rename(folder.with_name("old"))
        write("two")
        write("three")
        said = capsys.readouterr().err
        assert [line.split()[0] for line in said.splitlines()] == ["two", "three"]
        assert "No such file or directory" in said and "Traceback" not in said
        assert (folder.with_name("old") / "the.log").read_text() == "one\n"

    def test_when_it_is_there_again_the_log_goes_on(self, folder, write):
        folder.rename(folder.with_name("old"))
        write("one")
        folder.mkdir()
        write("two")
        write("three")
        assert (folder / "the.log").read_text() == "two\nthree\n"

    def test_a_full_disk_costs_no_line(self, write, monkeypatch, capsys):
        def fail(_self):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(LogFile, "flush", fail)
        write("one")
        monkeypatch.undo()
        assert capsys.readouterr().err.startswith("one (not in ")

    def test_another_failure_is_told_as_ever(self, write, capsys):
        write(7)
        assert capsys.readouterr().err == ""
        handler = LogFile("/dev/null")
        handler.handle(logging.LogRecord("a", logging.INFO, "f", 1, "%d", ("x",), None))
        handler.close()
        assert "Logging error" in capsys.readouterr().err


@pytest.mark.parametrize("formatter", [Lines(), JsonLines()])
def test_of_an_error_with_a_very_long_text_both_ends_are_written(formatter):
    try:
        raise ValueError("x" * 2_000_000)
    except ValueError:
        record = logging.makeLogRecord({"msg": "it failed", "exc_info": sys.exc_info()})
    line = formatter.format(record)
    assert len(line) < 20_000
    assert "it failed" in line and "Traceback" in line and "test_logs.py" in line
    assert " characters)" in line

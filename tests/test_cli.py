"""The command, as a process of its own."""

import asyncio
import gc
import http.client
import json
import logging
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from urllib.request import urlopen

import pytest
from tornado.websocket import websocket_connect

from gantt_tornado import Backend, Config, __version__, cli
from gantt_tornado.cli import main
from gantt_tornado.config import read_config
from tests.support import number_of

ROOT = Path(__file__).parent.parent
TASK = {"text": "Dig", "start_date": "2030-01-07", "duration": 1}


class Server:
    """A running server, and what it has printed."""

    def __init__(self, process):
        self.process = process
        line = process.stdout.readline()
        found = re.search(r"http://(\S+):(\d+)$", line.strip())
        assert found, line + process.errors.read_text()
        self.host, self.port = found[1], int(found[2])

    def connect(self):
        return closing(http.client.HTTPConnection(self.host, self.port, timeout=10))

    def request(self, method, path, body=None):
        with self.connect() as connection:
            return self.request_on(connection, method, path, body)

    def request_on(self, connection, method, path, body=None):
        sent = None if body is None else json.dumps(body)
        connection.request(method, path, sent, {"Remote-Token": "token"})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())

    def end(self, number=signal.SIGTERM):
        """Send a signal; the exit status and what stood on stderr."""
        self.process.send_signal(number)
        return self.process.wait(10), self.process.errors.read_text()


@pytest.fixture
def environment():
    return {key: value for key, value in os.environ.items() if not key.startswith("GANTT_")}


@pytest.fixture
def launch(tmp_path, environment):
    """Start the command in an empty directory."""
    started = []

    def launch(*arguments, descriptors=0, **more):
        # A shell, because what Python runs between fork and exec is not safe with threads.
        limited = ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh"] if descriptors else []
        # A file, because nobody reads a pipe while the test does something else.
        path = tmp_path / f"{len(started)}.stderr"
        with path.open("w") as errors:
            process = subprocess.Popen(
                [*limited, sys.executable, str(ROOT / "server.py"), *map(str, arguments)],
                cwd=tmp_path,
                env=environment | more,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        process.errors = path
        started.append(process)
        return process

    yield launch
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def serve(launch):
    return lambda *arguments, **more: Server(launch(*arguments, **more))


@pytest.fixture
def refused(launch):
    """The one line that a server leaves which cannot start."""

    def refused(*arguments, **more):
        process = launch(*arguments, **more)
        output, _ = process.communicate(timeout=30)
        assert (process.returncode, output) == (2, "")
        errors = process.errors.read_text()
        assert errors.count("\n") == 1 and errors.startswith("gantt-tornado: ")
        return errors

    return refused


@pytest.fixture
def main_refuses(tmp_path, monkeypatch, capsys):
    """The same without a process of its own, for the many ways to write a setting wrongly."""

    def main_refuses(*arguments, **more):
        monkeypatch.chdir(tmp_path)
        for name, value in more.items():
            monkeypatch.setenv(name, value)
        assert main([str(argument) for argument in arguments]) == 2
        output, errors = capsys.readouterr()
        assert output == ""
        assert errors.count("\n") == 1 and errors.startswith("gantt-tornado: ")
        return errors

    return main_refuses


@pytest.fixture
def free_port():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


class TestServing:
    @pytest.mark.parametrize("form", ["--port {}", "--port={}"])
    def test_it_listens_where_it_is_told(self, serve, free_port, form):
        server = serve(*form.format(free_port).split())
        assert (server.host, server.port) == ("127.0.0.1", free_port)
        assert server.request("GET", "/data")[0] == 200

    def test_port_0_takes_a_free_one_and_says_which(self, serve):
        server = serve("--port", 0)
        assert server.port > 0
        assert server.request("GET", "/data")[0] == 200

    def test_two_run_beside_each_other(self, serve):
        one = serve("--port=0", "--database=sqlite:///one.db")
        two = serve("--port=0", "--database=sqlite:///two.db")
        one.request("POST", "/data/task", TASK)
        mine, other = (each.request("GET", "/data")[1]["seq"] for each in (one, two))
        assert number_of(mine) == number_of(other) + 1

    def test_the_plan_lies_in_the_working_directory(self, serve, tmp_path):
        serve("--port=0")
        assert (tmp_path / "gantt.db").exists()

    def test_the_demo_is_there(self, serve):
        _, plan = serve("--port=0").request("GET", "/data")
        assert 18 <= len(plan["tasks"]) <= 25 and plan["links"]

    def test_the_environment_counts(self, serve, tmp_path):
        server = serve(GANTT_PORT="0", GANTT_DATABASE="sqlite:///here.db", GANTT_DEMO="false")
        assert number_of(server.request("GET", "/data")[1]["seq"]) == 0
        assert (tmp_path / "here.db").exists()

    def test_flags_win_over_the_environment_and_that_over_the_file(self, serve, tmp_path):
        (tmp_path / "my.toml").write_text('port = 1\ndatabase = "sqlite:///file.db"\n')
        serve("--config", "my.toml", "--port=0", GANTT_PORT="2", GANTT_DATABASE="sqlite:///env.db")
        assert (tmp_path / "env.db").exists() and not (tmp_path / "file.db").exists()


SECRET = "very-secret-token"
SECRETS = f'[{{"token": "{SECRET}", "user": "Eve"}}]'


@pytest.mark.parametrize("name", ["default", "production"])
def test_it_prints_a_configuration_to_begin_with(capsys, name, tmp_path):
    assert main(["--print-config", name]) == 0
    printed = capsys.readouterr().out
    assert printed == (ROOT / "config" / f"{name}.toml").read_text()
    (tmp_path / "c.toml").write_text(printed)
    read_config(tmp_path / "c.toml")


def test_there_is_no_other_one(main_refuses):
    assert "--print-config" in main_refuses("--print-config", "nothing")


class TestRenewal:
    """What SIGHUP does."""

    @pytest.fixture
    def server(self, serve, tmp_path):
        (tmp_path / "c.toml").write_text(self.settings("old-token"))
        return serve("--port=0", "--config=c.toml")

    def settings(self, token, more=""):
        known = f'[[tokens]]\ntoken = "{token}"\nuser = "Eve"\n'
        return f'log_file = "the.log"\nanonymous = ""\n{more}\n{known}'

    def renew(self, server, tmp_path, says="SIGHUP"):
        log = tmp_path / "the.log"
        server.process.send_signal(signal.SIGHUP)
        for _ in range(200):
            if log.exists() and says in log.read_text():
                return log.read_text()
            time.sleep(0.05)
        raise AssertionError(log.read_text())

    def status(self, server, token):
        with server.connect() as connection:
            connection.request("GET", "/data", headers={"Remote-Token": token})
            return connection.getresponse().status

    @pytest.mark.gen_test(timeout=30)
    async def test_tokens_are_read_anew_and_sockets_of_those_that_are_gone_closed(
        self, server, tmp_path, io_loop
    ):
        url = f"ws://127.0.0.1:{server.port}/api/v1?token=old-token&ws=1"
        connection = await websocket_connect(url)
        await connection.read_message()
        (tmp_path / "c.toml").write_text(self.settings("new-token", 'log_level = "error"'))
        said = await io_loop.run_in_executor(None, self.renew, server, tmp_path)
        assert "read anew; these take a restart: log_level" in said
        assert await connection.read_message() is None and connection.close_code == 1008
        connection.close()
        assert [self.status(server, token) for token in ("old-token", "new-token")] == [403, 200]
        assert "-token" not in said

    def test_what_is_wrong_with_them_changes_nothing(self, server, tmp_path):
        (tmp_path / "c.toml").write_text(self.settings("new-token", "max_body = 0"))
        assert "nothing is read anew: bad configuration: max_body" in self.renew(server, tmp_path)
        assert self.status(server, "old-token") == 200
        (tmp_path / "c.toml").unlink()
        self.renew(server, tmp_path, "cannot read the configuration")
        assert self.status(server, "old-token") == 200
        # As of one that is just being written.
        (tmp_path / "c.toml").touch()
        self.renew(server, tmp_path, "nothing is read anew: there were tokens")
        assert [self.status(server, token) for token in ("old-token", "token")] == [200, 403]
        assert server.end() == (0, "")

    def test_the_log_goes_on_in_a_new_file(self, server, tmp_path):
        os.replace(tmp_path / "the.log", tmp_path / "the.log.1")
        self.renew(server, tmp_path)
        before = (tmp_path / "the.log.1").read_text()
        self.status(server, "old-token")
        # The line comes behind the answer.
        server.end()
        assert "GET /data" in (tmp_path / "the.log").read_text()
        assert (tmp_path / "the.log.1").read_text() == before

    def test_without_the_folder_of_its_log_it_serves_and_reads_tokens_anew(self, serve, tmp_path):
        (tmp_path / "logs").mkdir()
        moved = self.settings("old-token").replace("the.log", "logs/the.log")
        (tmp_path / "c.toml").write_text(moved)
        server = serve("--port=0", "--config=c.toml")
        (tmp_path / "logs").rename(tmp_path / "old")
        assert self.status(server, "old-token") == 200
        (tmp_path / "c.toml").write_text(moved.replace("old-token", "new-token"))
        server.process.send_signal(signal.SIGHUP)
        for _ in range(200):
            if self.status(server, "new-token") == 200:
                break
            time.sleep(0.05)
        assert self.status(server, "new-token") == 200
        status, errors = server.end()
        assert status == 0 and "SIGHUP: the log cannot be opened anew" in errors

    def test_a_log_that_cannot_be_written_stops_the_start(self, refused):
        assert "cannot write the log nowhere/the.log: No such file" in refused(
            "--port=0", GANTT_LOG_FILE="nowhere/the.log"
        )

    def test_it_may_be_json(self, serve):
        server = serve("--port=0", GANTT_LOG_FORMAT="json")
        server.request("GET", "/data")
        _, errors = server.end()
        lines = [json.loads(line) for line in errors.splitlines()]
        assert [line["url"] for line in lines if "url" in line] == ["/data"]

    def test_a_flood_is_not_written(self, serve):
        server = serve("--port=0")
        with server.connect() as connection:
            for _ in range(300):
                server.request_on(connection, "GET", "/data/a/b/c")
        _, errors = server.end()
        assert 50 <= errors.count("404 GET /data/a/b/c") < 200


OWN = {"token": "own", "user": "Eve"}


class TestRenewalAlone:
    @pytest.mark.parametrize(
        "before, after, is_taken",
        [
            ({"tokens": [OWN]}, {}, False),
            ({"tokens": []}, {}, False),
            ({"tokens": [OWN]}, {"tokens": [{**OWN, "token": "token"}]}, False),
            ({"tokens": [OWN]}, {"tokens": []}, True),
            ({"tokens": []}, {"tokens": [OWN]}, True),
            ({}, {}, True),
            ({}, {"tokens": [OWN]}, True),
        ],
    )
    @pytest.mark.gen_test
    async def test_the_demos_token_comes_with_no_signal(
        self, backend, logged_errors, before, after, is_taken
    ):
        renewal = cli.Renewal(
            Config(**before), lambda: Config(**after), backend, None, logging.NullHandler()
        )
        await renewal._renew()
        assert (renewal._latest == Config(**after)) is is_taken
        assert is_taken or backend.accounts.verify("token") is None

    @pytest.mark.gen_test
    async def test_nor_where_tokens_came_with_an_earlier_one(self, backend, logged_errors):
        found = [Config(), Config(tokens=[OWN])]
        renewal = cli.Renewal(Config(), found.pop, backend, None, logging.NullHandler())
        await renewal._renew()
        await renewal._renew()
        assert not found and backend.accounts.verify("token") is None
        assert backend.accounts.verify("own")

    @pytest.mark.gen_test
    async def test_a_second_signal_during_the_reading_is_not_lost(self, backend, io_loop):
        under_way, go_on = threading.Event(), threading.Event()
        found = []

        def read():
            found.append(len(found))
            under_way.set()
            assert go_on.wait(10)
            return backend.config

        renewal = cli.Renewal(backend.config, read, backend, None, logging.NullHandler())
        renewal.begin()
        await io_loop.run_in_executor(None, under_way.wait, 10)
        renewal.begin()
        renewal.begin()
        go_on.set()
        await renewal._task
        assert found == [0, 1]


class TestEnding:
    @pytest.mark.gen_test(timeout=20)
    @pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
    async def test_a_signal_closes_sockets_with_1001_and_exits_0(self, serve, number):
        server = serve("--port=0")
        url = f"ws://127.0.0.1:{server.port}/api/v1?token=token&ws=1"
        connection = await websocket_connect(url)
        await connection.read_message()
        server.process.send_signal(number)
        assert await connection.read_message() is None
        assert connection.close_code == 1001
        connection.close()
        assert server.process.wait(10) == 0
        assert "Traceback" not in server.process.errors.read_text()

    def test_first_it_is_not_ready_and_serves_on_until_a_second_signal(self, serve, free_port):
        server = serve("--port=0", GANTT_DRAIN="600", GANTT_METRICS_PORT=str(free_port))
        server.process.send_signal(signal.SIGTERM)
        while server.request("GET", "/readyz")[0] == 200:
            pass
        assert server.request("GET", "/data")[0] == 200
        # There nobody asks for a token.
        watched = f"http://127.0.0.1:{free_port}/metrics"
        assert b'gantt_requests_total{endpoint="GET /data"' in urlopen(watched, timeout=10).read()
        assert server.end()[0] == 0

    def test_a_client_that_does_not_answer_does_not_hold_it_up(self, serve):
        server = serve("--port=0")
        with socket.create_connection(("127.0.0.1", server.port)) as silent:
            silent.sendall(
                b"GET /api/v1?token=token&ws=1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                b"Connection: Upgrade\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEC==\r\n"
                b"Sec-WebSocket-Version: 13\r\n\r\n"
            )
            assert b"101" in silent.recv(1000)
            status, errors = server.end()
        assert (status, "Traceback" in errors) == (0, False)

    def test_a_connection_that_is_kept_alive_does_not_hold_it_up(self, serve):
        server = serve("--port=0")
        with server.connect() as connection:
            server.request_on(connection, "GET", "/data")
            assert server.end()[0] == 0

    def test_the_port_and_the_file_are_free_afterwards(self, serve, free_port):
        assert serve("--port", free_port).end()[0] == 0
        assert serve("--port", free_port).request("GET", "/data")[0] == 200

    def test_kill_9_loses_no_answered_write(self, serve):
        server = serve("--port=0")
        answered, enough = [], threading.Event()

        def write():
            with suppress(OSError, http.client.HTTPException), server.connect() as connection:
                while True:
                    status, body = server.request_on(connection, "POST", "/data/task", TASK)
                    assert status == 200
                    answered.append(body["item"])
                    if len(answered) >= 100:
                        enough.set()

        writers = [threading.Thread(target=write) for _ in range(4)]
        for writer in writers:
            writer.start()
        assert enough.wait(20)
        server.process.kill()
        for writer in writers:
            writer.join(10)
        again = serve("--port=0")
        _, plan = again.request("GET", "/data")
        stored = {task["id"]: task for task in plan["tasks"]}
        assert [item for item in answered if stored.get(item["id"]) != item] == []
        _, added = again.request("POST", "/data/task", TASK)
        assert added["tid"] > max(stored)


class TestTokenCommand:
    """Beside a server, as a process of its own."""

    def test_a_token_is_good_within_a_second_and_the_server_writes_on(self, serve, launch):
        server = serve("--port=0")
        # Three times: each ends with the last connection that is not the server's.
        for _ in range(3):
            output, _ = launch("token", "create", "--user=ann").communicate(timeout=30)
            token = output.split()[-1]
            assert server.request("POST", "/data/task", TASK)[0] == 200
        with server.connect() as connection:
            while True:
                connection.request("POST", "/data/task", json.dumps(TASK), {"Remote-Token": token})
                answer = connection.getresponse()
                answer.read()
                if answer.status == 200:
                    break
                assert answer.status == 403
        assert server.end()[0] == 0
        assert token not in server.process.errors.read_text()


def request_line(line):
    return f"GET {line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()


class TestLog:
    def test_no_token_on_any_level(self, serve):
        server = serve("--port=0", "--log-level=debug", GANTT_TOKENS=SECRETS)
        upgrade = b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        for sent in (
            request_line(f"/data?a;token={SECRET}"),
            request_line(f"/data?TOKEN={SECRET}"),
            request_line(f"/data?%74oken={SECRET}"),
            request_line(f"/data?token={SECRET}%ff"),
            request_line(f"/index.html?token={SECRET}"),
            request_line(f"/no/such/page?token={SECRET}"),
            request_line(f"/api/v1?token={SECRET}&ws=1"),
            request_line(f"/data?token={SECRET}").replace(b"GET", b"BREW"),
            request_line(f"/data?token={SECRET}").replace(b"Host: x", b"Host: x\r\n" + upgrade),
            b"GET /data HTTP/1.1\r\nHost: x\r\nRemote-Token: %s\1\r\n\r\n" % SECRET.encode(),
            b"GET /data HTTP/1.1\r\nHost: x\r\n%s: %s\r\n\r\n" % ((SECRET.encode() + b"(",) * 2),
            b"POST /data HTTP/1.1\r\nHost: x\r\nContent-Length: %s\r\n\r\n" % SECRET.encode(),
            b"POST /data HTTP/1.1\r\nHost: token=%s/\r\n\r\n" % SECRET.encode(),
        ):
            with closing(socket.create_connection((server.host, server.port))) as connection:
                connection.sendall(sent)
                connection.shutdown(socket.SHUT_WR)
                while connection.recv(65536):
                    pass
        _, log = server.end()
        assert log.count("GET /data") >= 4 and "Malformed" in log
        assert SECRET not in log

    def test_no_long_line(self, serve):
        server = serve("--port=0", "--log-level=debug")
        with server.connect() as connection:
            connection.request("GET", "/data?" + "x" * 20_000)
            connection.getresponse().read()
        _, log = server.end()
        assert max(map(len, log.splitlines())) < 1000


class TestDescriptors:
    def test_without_any_left_new_connections_wait_and_old_ones_go_on(self, serve):
        server = serve("--port=0", descriptors=128)
        with server.connect() as inside, ExitStack() as crowd:
            assert server.request_on(inside, "POST", "/data/task", TASK)[0] == 200
            for _ in range(150):
                crowd.enter_context(socket.create_connection((server.host, server.port)))
            path = server.process.errors
            while "no connection is let in" not in path.read_text():
                time.sleep(0.01)
            assert server.request_on(inside, "POST", "/data/task", TASK)[0] == 200
            inside.request("GET", "/index.html")
            assert b"<script" in inside.getresponse().read()
            crowd.close()
            assert server.request("GET", "/data")[0] == 200
        status, log = server.end()
        assert (status, log.count("ERROR")) == (0, 1) and len(log) < 20_000

    def test_there_are_as_many_as_the_system_allows(self, serve):
        server = serve("--port=0")
        limits = Path(f"/proc/{server.process.pid}/limits")
        if not limits.exists():
            pytest.skip("the system does not show another process's limits")
        (line,) = [each for each in limits.read_text().splitlines() if "open files" in each]
        assert line.split()[3] == line.split()[4]


async def _serve_once(config):
    async with Backend(config):
        pass


class TestRefusing:
    """One clear line on stderr and status 2."""

    def test_a_port_in_use(self, refused):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            assert f"127.0.0.1:{port}" in refused("--port", port)

    def test_a_mistyped_option(self, refused):
        assert "--prot" in refused("--prot=1")

    def test_an_unknown_key(self, refused, tmp_path):
        (tmp_path / "my.toml").write_text("prot = 8888")
        assert "prot" in refused("--config=my.toml")

    def test_an_open_door(self, refused):
        assert "token" in refused("--port=0", "--address=0.0.0.0")

    @pytest.mark.parametrize("option", ["--prot=1", "8888", "--por=1", "-p"])
    def test_an_unknown_option(self, main_refuses, option):
        assert option.partition("=")[0] in main_refuses(option)

    @pytest.mark.parametrize("port", ["http", "70000", "-1", ""])
    def test_a_port_that_is_none(self, main_refuses, port):
        assert "port" in main_refuses(f"--port={port}")

    def test_an_address_that_is_none(self, refused):
        line = refused("--port=0", "--address=nowhere.invalid", GANTT_TOKENS=SECRETS)
        assert "nowhere.invalid" in line and "Unknown error" not in line

    def test_a_config_that_is_not_there(self, main_refuses):
        assert "absent.toml" in main_refuses("--config", "absent.toml")

    @pytest.mark.parametrize(
        "text, named",
        [
            ("port = ", "my.toml"),
            ("prot = 8888", "prot"),
            ('port = "http"', "port"),
            ("[[tokens]]\nuser = 'Eve'", "tokens"),
            ("[[tokens]]\ntoken = 'a b'\nuser = 'Eve'", "tokens"),
            ('timezone = "Europe/Nowhere"', "timezone"),
        ],
    )
    def test_a_bad_config(self, main_refuses, tmp_path, text, named):
        (tmp_path / "my.toml").write_text(text)
        assert named in main_refuses("--config=my.toml")

    def test_a_config_that_is_no_text(self, main_refuses, tmp_path):
        (tmp_path / "my.toml").write_bytes(b"\xff\xfe\x00")
        assert "my.toml" in main_refuses("--config=my.toml")

    @pytest.mark.parametrize("name", ["GANTT_PROT", "GANTT_TOKENS"])
    def test_a_bad_environment(self, main_refuses, name):
        assert name.removeprefix("GANTT_").lower() in main_refuses(**{name: "{"}).lower()

    @pytest.mark.parametrize("address", ["0.0.0.0", "::", ""])
    def test_other_hosts_with_the_demos_token(self, main_refuses, address):
        assert "token" in main_refuses("--port=0", f"--address={address}")

    def test_a_database_of_another_program(self, refused, tmp_path):
        with sqlite3.connect(tmp_path / "other.db") as other:
            other.execute("CREATE TABLE cake (slice)")
        other.close()
        before = (tmp_path / "other.db").read_bytes()
        assert "another program" in refused("--port=0", "--database=sqlite:///other.db")
        assert (tmp_path / "other.db").read_bytes() == before

    def test_a_file_that_is_no_database(self, refused, tmp_path):
        (tmp_path / "notes.txt").write_text("Dear diary, " * 500)
        assert "notes.txt" in refused("--port=0", "--database=sqlite:///notes.txt")

    def test_a_damaged_database(self, refused, tmp_path):
        (tmp_path / "damaged.db").write_bytes(b"SQLite format 3\0" + b"x" * 5000)
        assert "damaged.db" in refused("--port=0", "--database=sqlite:///damaged.db")

    @pytest.mark.parametrize("table", ["task", "link"])
    @pytest.mark.parametrize("fields", ["[1, 2]", "7", "null", "{", ""])
    def test_a_row_that_is_not_what_we_wrote(
        self, main_refuses, monkeypatch, tmp_path, table, fields
    ):
        def serves():
            raise AssertionError("it serves that")

        # What comes right behind the start, and would hold for other tests, as the redaction.
        monkeypatch.setattr(cli, "_spare_the_collector", serves)
        monkeypatch.setattr(cli.logs, "start", lambda _config: None)
        config = Config(database=f"sqlite:///{tmp_path}/gantt.db", demo=True)
        asyncio.run(_serve_once(config))
        with sqlite3.connect(tmp_path / "gantt.db") as database:
            (id,) = database.execute(f"SELECT max(id) FROM {table}").fetchone()
            database.execute(f"UPDATE {table} SET fields = ? WHERE id = ?", (fields, id))
        database.close()
        assert f"{table} {id} is damaged" in main_refuses("--port=0")

    def test_a_row_whose_text_is_none(self, serve, refused, tmp_path):
        serve("--port=0").end()
        with sqlite3.connect(tmp_path / "gantt.db") as database:
            database.execute("UPDATE task SET fields = CAST(x'ff' AS TEXT) WHERE id = 3")
        database.close()
        assert "cannot read the database" in refused("--port=0")

    def test_a_directory(self, refused, tmp_path):
        (tmp_path / "folder").mkdir()
        assert "folder" in refused("--port=0", "--database=sqlite:///folder")

    def test_a_directory_that_is_not_there(self, refused, tmp_path):
        assert "absent" in refused("--port=0", "--database=sqlite:///absent/gantt.db")
        assert not (tmp_path / "absent").exists()

    @pytest.mark.parametrize("url", ["gantt.db", "mysql://x/y"])
    def test_a_database_that_is_no_url_of_ours(self, refused, url):
        assert "sqlite:///" in refused("--port=0", f"--database={url}")

    def test_a_database_that_another_server_is_serving(self, serve, refused):
        serve("--port=0")
        assert "another server" in refused("--port=0")

    def test_a_database_of_a_newer_version(self, serve, refused, tmp_path):
        serve("--port=0").end()
        database = sqlite3.connect(tmp_path / "gantt.db")
        (table,) = database.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%migrat%'"
        ).fetchone()
        columns = [row[1] for row in database.execute(f"PRAGMA table_info({table})")]
        row = {"name": "9999_future", "migrated_at": "2030-01-01"}
        values = [row.get(column, 9999) for column in columns]
        database.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(columns))})", values)
        database.commit()
        database.close()
        assert "newer" in refused("--port=0")


class TestHelp:
    def test_it_shows_every_default(self, launch):
        process = launch("--help")
        output, _ = process.communicate(timeout=20)
        assert (process.returncode, process.errors.read_text()) == (0, "")
        text = " ".join(output.split())
        for flag in ("port", "address", "database", "log_level"):
            default = getattr(Config(), flag)
            shown = rf"--{flag.replace('_', '-')} .*?\(default: {re.escape(str(default))}\)"
            assert re.search(shown, text), flag
        assert re.search(r"--config .*?\(default: none\)", text)

    def test_the_version(self, launch):
        assert launch("--version").communicate(timeout=20)[0].strip() == __version__


def test_the_plan_is_not_looked_through_for_garbage():
    threshold = gc.get_threshold()
    try:
        cli._spare_the_collector()
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold() > threshold
    finally:
        gc.unfreeze()
        gc.set_threshold(*threshold)

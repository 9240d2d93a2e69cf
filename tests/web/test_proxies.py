"""Proxies in front: whose word counts, and for what."""

import http.client
import json
import shutil
import subprocess
import time
from contextlib import closing
from types import SimpleNamespace

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine
from tornado.testing import bind_unused_port

from gantt_tornado import Config
from gantt_tornado.errors import Forbidden
from gantt_tornado.web import proxies
from gantt_tornado.web.requests import check_same_origin
from tests.conftest import EDITOR

PROXY, CLIENT, STRANGER = "10.0.0.7", "192.0.2.1", "198.51.100.9"
BEHIND = Config(database="sqlite:///:memory:", trusted_proxies=("127.0.0.1", "10.0.0.0/8", "::1"))


def request(peer=PROXY, **headers):
    headers = {"Host": "inner:9000", **headers}
    named = HTTPHeaders({name.replace("_", "-"): value for name, value in headers.items()})
    connection = SimpleNamespace(
        context=SimpleNamespace(remote_ip=peer, protocol="http"), set_close_callback=None
    )
    line = RequestStartLine("PUT", "/data/task/1", "HTTP/1.1")
    return HTTPServerRequest(headers=named, connection=connection, start_line=line)


def client_of(config, sent):
    proxies.see_through(config, sent)
    return sent.remote_ip


class TestClient:
    @pytest.mark.parametrize("peer", [PROXY, "10.255.1.2", "127.0.0.1", "::1", "::ffff:10.0.0.7"])
    def test_a_trusted_proxy_says_who_asks(self, peer):
        assert client_of(BEHIND, request(peer, X_Forwarded_For=CLIENT)) == CLIENT
        assert client_of(BEHIND, request(peer, X_Real_Ip=CLIENT)) == CLIENT

    @pytest.mark.parametrize("peer", [STRANGER, "11.0.0.7", "::2", "", "0.0.0.0"])
    def test_nobody_else_does(self, peer):
        sent = request(peer, X_Forwarded_For=CLIENT, X_Real_Ip=CLIENT)
        assert client_of(BEHIND, sent) == peer

    @pytest.mark.parametrize("said", ["fe80::1%eth0", "::2%\x85user", "::2%"])
    def test_an_address_with_a_zone_is_none(self, said):
        assert client_of(BEHIND, request(X_Forwarded_For=said)) == PROXY

    def test_where_none_is_listed_nobody_does(self):
        assert client_of(Config(), request(X_Forwarded_For=CLIENT)) == PROXY

    @pytest.mark.parametrize(
        "forwarded, client",
        [
            # Anybody may have written what stands before the proxies' own.
            (f"{STRANGER}, {CLIENT}", CLIENT),
            (f"{STRANGER}, {CLIENT}, 10.0.0.8", CLIENT),
            (f"127.0.0.1, {CLIENT} ,10.0.0.8,10.0.0.9", CLIENT),
            ("10.0.0.8, 10.0.0.9", "10.0.0.8"),
            ("2001:db8::1", "2001:db8::1"),
            ("unknown", PROXY),
            ("", PROXY),
            (f"{CLIENT}, unknown, 10.0.0.8", "10.0.0.8"),
            (f"{CLIENT}, <script>", PROXY),
        ],
    )
    def test_the_last_that_is_no_proxy_is_the_client(self, forwarded, client):
        assert client_of(BEHIND, request(X_Forwarded_For=forwarded)) == client

    def test_a_list_in_two_headers_is_one(self):
        sent = request()
        sent.headers.add("X-Forwarded-For", STRANGER)
        sent.headers.add("X-Forwarded-For", CLIENT)
        assert client_of(BEHIND, sent) == CLIENT

    def test_a_proxy_that_says_nothing_is_the_client_itself(self):
        assert client_of(BEHIND, request()) == PROXY


class TestHost:
    @pytest.mark.parametrize(
        "headers",
        [
            {"X_Forwarded_Host": "plan.example:8443"},
            {"X_Forwarded_Host": "plan.example:8443, inner.example"},
            {"X_Forwarded_Host": "plan.example", "X_Forwarded_Port": "8443"},
            {"Host": "plan.example", "X_Forwarded_Port": "8443"},
            # nginx's usual Host $host.
            {"Host": "plan.example"},
            {"Host": "plan.example:8443"},
        ],
    )
    def test_a_page_behind_a_trusted_proxy_is_ours(self, headers):
        sent = request(**headers, Origin="https://plan.example:8443")
        check_same_origin(SimpleNamespace(config=BEHIND), sent)

    @pytest.mark.parametrize(
        "headers",
        [
            {"X_Forwarded_Host": "plan.example:8444"},
            {"X_Forwarded_Host": "plan.example"},
            {"X_Forwarded_Host": "other.example:8443"},
            {"Host": "plan.example", "X_Forwarded_Port": "8444"},
            {"Host": "other.example"},
            {"Host": "plan.example:8444"},
            {"Host": ""},
            {"Host": "plan.example", "Sec_Fetch_Site": "same-site"},
        ],
    )
    def test_a_page_of_another_is_not(self, headers):
        sent = request(**headers, Origin="https://plan.example:8443")
        with pytest.raises(Forbidden):
            check_same_origin(SimpleNamespace(config=BEHIND), sent)

    def test_a_strangers_word_does_not_count(self):
        origin = "https://plan.example:8443"
        for headers in ({"X_Forwarded_Host": "plan.example:8443"}, {"Host": "plan.example"}):
            sent = request(STRANGER, **headers, Origin=origin)
            with pytest.raises(Forbidden):
                check_same_origin(SimpleNamespace(config=BEHIND), sent)


class TestServed:
    @pytest.fixture
    def settings(self):
        return {"trusted_proxies": ("127.0.0.1",)}

    @pytest.mark.gen_test
    async def test_both_adapters_see_the_client(self, gantt, caplog):
        behind = gantt.having(X_Forwarded_For=CLIENT, Remote_Token=EDITOR)
        for path in ("/data", "/app.js", "/data/a/b/c"):
            await behind.get(path)
            assert f"{path} ({CLIENT})" in caplog.messages[-1]


class TestProgram:
    """Behind the programs themselves, where they are installed."""

    @pytest.fixture
    def settings(self):
        return {"trusted_proxies": ("127.0.0.1",)}

    @pytest.fixture
    def ports(self, gantt):
        socket, port = bind_unused_port()
        socket.close()
        return port, int(gantt.url.rpartition(":")[2])

    @pytest.fixture
    def behind(self, tmp_path, ports):
        """Start a proxy; returns what writes through it, as a page of its own would."""
        started = []

        def behind(config, *command):
            if shutil.which(command[0]) is None:
                pytest.skip(f"{command[0]} is not installed")
            (tmp_path / "proxy.conf").write_text(config)
            with (tmp_path / "log").open("w") as log:
                started.append(
                    subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log, env=HOME)
                )
            return lambda origin: write(ports[0], origin)

        HOME = {"HOME": str(tmp_path), "PATH": "/usr/sbin:/usr/bin"}
        yield behind
        for process in started:
            process.terminate()
            process.wait(10)

    @pytest.mark.gen_test(timeout=20)
    async def test_nginx_as_it_is_mostly_set_up(self, behind, ports, io_loop, caplog):
        config = f"""
            daemon off; pid nginx.pid; error_log stderr; worker_processes 1;
            events {{}}
            http {{
              access_log off;
              client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
              uwsgi_temp_path uwsgi; scgi_temp_path scgi;
              server {{
                listen 127.0.0.1:{ports[0]};
                location / {{
                  proxy_pass http://127.0.0.1:{ports[1]};
                  proxy_http_version 1.1;
                  proxy_set_header Host $host;
                  proxy_set_header X-Real-IP $remote_addr;
                  proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
                  proxy_set_header X-Forwarded-Proto $scheme;
                }}
              }}
            }}"""
        write = behind(config, "nginx", "-p", ".", "-c", "proxy.conf")
        ours = f"http://127.0.0.1:{ports[0]}"
        assert await io_loop.run_in_executor(None, write, ours) == 200
        assert await io_loop.run_in_executor(None, write, "http://other.example") == 403
        # The test is at a trusted address itself, so its word counts too.
        assert f"POST /data/task ({CLIENT})" in caplog.text

    @pytest.mark.gen_test(timeout=20)
    async def test_caddy_as_it_comes(self, behind, ports, io_loop):
        config = f"""
            {{
              admin off
              auto_https off
            }}
            http://127.0.0.1:{ports[0]} {{
              reverse_proxy 127.0.0.1:{ports[1]}
            }}"""
        write = behind(config, "caddy", "run", "--adapter", "caddyfile", "--config", "proxy.conf")
        assert await io_loop.run_in_executor(None, write, f"http://127.0.0.1:{ports[0]}") == 200
        assert await io_loop.run_in_executor(None, write, "http://other.example") == 403


def write(port, origin):
    """Add a task as a page of an origin does, once a proxy listens; the status."""
    for _ in range(100):
        try:
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=10)) as connection:
                body = json.dumps({"text": "Dig", "start_date": "2030-01-07", "duration": 1})
                headers = {"Remote-Token": EDITOR, "Origin": origin, "X-Forwarded-For": CLIENT}
                connection.request("POST", "/data/task", body, headers)
                return connection.getresponse().status
        except ConnectionRefusedError:
            time.sleep(0.1)
    raise AssertionError("the proxy does not listen")

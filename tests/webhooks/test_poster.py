"""One POST, to real receivers that misbehave."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tornado import simple_httpclient
from tornado.netutil import Resolver

from gantt_tornado.webhooks import poster as poster_module
from gantt_tornado.webhooks.poster import (
    AddressRefused,
    CheckedResolver,
    OneByOneResolver,
    Outcome,
    Poster,
    is_public,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Answer = Callable[[asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def receiver(
    *answers: bytes | Answer, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Its URL, and the requests that it gets; the answers in turn, the last again and again."""
    requests: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.partition(b":")[2])
                for line in head.splitlines()
                if line.lower().startswith(b"content-length")
            )
            requests.append(head + await reader.readexactly(length))
            answer = answers[min(len(requests), len(answers)) - 1]
            if isinstance(answer, bytes):
                writer.write(answer)
                await writer.drain()
            else:
                await answer(writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}/hook?key=x", requests
    finally:
        server.close()


async def post(url: str, timeout: float = 5, allow_private: bool = True) -> Outcome:
    poster = Poster(url, allow_private, timeout)
    try:
        return await poster.post({"webhook-id": "7"}, b"{}")
    finally:
        poster.close()


def certificate(folder: Path, host: str) -> ssl.SSLContext:
    """A server's side of TLS that nobody has vouched for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    kind, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file = folder / "tls.pem"
    file.write_bytes(signed.public_bytes(pem) + key.private_bytes(pem, kind, plain))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


async def never(writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


def endless(head: bytes, piece: bytes) -> Answer:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        while True:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)

    return answer


def outcome(*answers: bytes | Answer, **options: Any) -> Outcome:
    async def run() -> Outcome:
        async with receiver(*answers) as (url, _):
            return await post(url, **options)

    return asyncio.run(run())


def test_a_message_is_posted_once() -> None:
    async def run() -> tuple[Outcome, list[bytes]]:
        async with receiver(OK) as (url, requests):
            return await post(url), requests

    done, (request,) = asyncio.run(run())
    assert done == Outcome()
    assert request.startswith(b"POST /hook?key=x HTTP/1.1\r\n")
    assert b"webhook-id: 7\r\n" in request.lower() and request.endswith(b"\r\n\r\n{}")


@pytest.mark.parametrize("status", [200, 201, 202, 299])
def test_any_2xx_is_taken(status: int) -> None:
    assert outcome(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status).failure == ""


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503])
def test_any_other_is_not(status: int) -> None:
    failed = outcome(b"HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n" % status)
    assert failed.failure == f"HTTP {status}"


def test_a_redirect_is_not_followed() -> None:
    async def run() -> tuple[Outcome, int, int]:
        async with receiver(OK) as (elsewhere, others):
            moved = f"HTTP/1.1 307 X\r\nLocation: {elsewhere}\r\nContent-Length: 0\r\n\r\n"
            async with receiver(moved.encode()) as (url, requests):
                return await post(url), len(requests), len(others)

    done, *counts = asyncio.run(run())
    assert "redirects are not followed" in done.failure and counts == [1, 0]


def test_one_that_is_down_is_not_taken_for_one_that_answers() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    assert asyncio.run(post(f"http://127.0.0.1:{port}/")).failure


def test_one_that_hangs_up_is_not() -> None:
    assert outcome(b"").failure


def test_one_that_never_answers_is_given_up() -> None:
    assert "imeout" in outcome(never, timeout=0.1).failure


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        HEAD + b"Content-Length: 100000000\r\n\r\n",
        endless(
            HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"2000\r\n" + b"x" * 0x2000 + b"\r\n"
        ),
        endless(HEAD + b"Connection: close\r\n\r\n", b"x" * 0x2000),
        endless(HEAD, b"X-More: " + b"x" * 1000 + b"\r\n"),
    ],
    ids=["length", "chunks", "until close", "headers"],
)
def test_one_whose_answer_has_no_end_is_given_up_early(answer: bytes | Answer) -> None:
    # Long before the time is over.
    assert outcome(answer, timeout=60).failure


def test_one_whose_answer_drips_is_given_up_in_time() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"Content-Length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    assert "imeout" in outcome(drip, timeout=0.2).failure


@pytest.mark.parametrize("asked, wait", [("7", 7), ("99999", 3600), ("soon", 0), ("-1", 0)])
def test_an_answer_may_say_when_to_try_again(asked: str, wait: float) -> None:
    answer = f"HTTP/1.1 503 X\r\nRetry-After: {asked}\r\nContent-Length: 0\r\n\r\n"
    assert outcome(answer.encode()).wait == wait


class TestAddresses:
    @pytest.mark.parametrize(
        "address",
        [
            *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "0.0.0.0"),
            *("100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fc00::1"),
            *("64:ff9b:1::7f00:1", "fec0::1", "::127.0.0.1", "::ffff:0:127.0.0.1", "4000::1"),
            *("8000::1", "5f00::1", "192.88.99.1", "2002:c058:6301::1", "3fff::1", "2001:db8::1"),
            *(
                "2606:4700::5efe:127.0.0.1",
                "2606:4700::200:5efe:10.0.0.1",
                "100::1",
                "64:ff9b::a00:1",
            ),
            *("2002:101:101:0:200:5efe:10.0.0.1",),
            *("ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
        ],
    )
    def test_a_private_one_is_not_public(self, address: str) -> None:
        assert not is_public(address)

    @pytest.mark.parametrize(
        "address",
        [
            *("1.1.1.1", "2606:4700::1", "::ffff:1.1.1.1", "64:ff9b::1.1.1.1", "2a00:1450::1"),
            *("2606:4700::5efe:1.1.1.1", "2002:101:101::1"),
        ],
    )
    def test_one_of_the_internet_is(self, address: str) -> None:
        assert is_public(address)

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::1]"])
    def test_this_machine_is_not_reached_however_it_is_spelt(self, host: str) -> None:
        async def run() -> tuple[Outcome, int]:
            async with receiver(OK) as (url, requests):
                port = url.split(":")[2]
                done = await post(f"http://{host}:{port}", allow_private=False)
                return done, len(requests)

        done, count = asyncio.run(run())
        assert "private address" in done.failure and count == 0

    def test_what_is_checked_is_what_is_connected_to(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A name whose address is another at each look-up is looked up once."""
        asked: list[str] = []

        async def run() -> Outcome:
            async with receiver(OK) as (url, _):
                port = int(url.split(":")[2].partition("/")[0])

                async def look_up(self: Any, host: str, port: int, family: Any = 0) -> Any:
                    asked.append(host)
                    return [(socket.AF_INET, ("127.0.0.1", port))]

                monkeypatch.setattr(OneByOneResolver, "resolve", look_up)
                monkeypatch.setattr(poster_module, "is_public", lambda address: True)
                return await post(f"http://hooks.example:{port}/", allow_private=False)

        assert asyncio.run(run()) == Outcome()
        assert asked == ["hooks.example"]

    def test_tls_is_with_the_name_and_its_certificate_is_checked(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        named: list[str | None] = []
        tls = certificate(tmp_path, "hooks.example")
        tls.sni_callback = lambda _socket, name, _context: named.append(name)

        async def run(trusts: bool) -> tuple[Outcome, list[bytes]]:
            async with receiver(OK, tls=tls) as (url, requests):
                port = int(url.split(":")[2].partition("/")[0])

                async def look_up(self: Any, host: str, port: int, family: Any = 0) -> Any:
                    return [(socket.AF_INET, ("127.0.0.1", port))]

                monkeypatch.setattr(OneByOneResolver, "resolve", look_up)
                if trusts:
                    trusting = ssl.create_default_context(cafile=tmp_path / "tls.pem")
                    monkeypatch.setattr(simple_httpclient, "_client_ssl_defaults", lambda: trusting)
                return await post(f"https://hooks.example:{port}/"), requests

        failed, _ = asyncio.run(run(trusts=False))
        assert "certificate" in failed.failure.lower()
        done, (request,) = asyncio.run(run(trusts=True))
        assert done == Outcome()
        assert b"Host: hooks.example:" in request
        assert named == ["hooks.example"] * 2

    def test_of_several_only_the_public_ones_are_left(self) -> None:
        class Several(Resolver):
            @classmethod
            def configurable_base(cls) -> Any:
                return Several

            @classmethod
            def configurable_default(cls) -> Any:
                return Several

            async def resolve(self, host: str, port: int, family: Any = 0) -> Any:
                addresses = ("10.0.0.1", "1.1.1.1", "::1")
                return [(socket.AF_INET, (each, port)) for each in addresses]

        resolver = CheckedResolver(Several())
        found = asyncio.run(resolver.resolve("hooks.example", 443))
        assert found == [(socket.AF_INET, ("1.1.1.1", 443))]

    def test_none_is_left_of_private_ones(self) -> None:
        async def run() -> None:
            with pytest.raises(AddressRefused):
                await CheckedResolver(OneByOneResolver()).resolve("127.0.0.1", 443)

        asyncio.run(run())


class TestNames:
    """A name server that does not answer keeps nobody else from anything."""

    @pytest.fixture
    def answers(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
        """No name is found before this is set."""
        event = threading.Event()
        self.asked = 0

        def look_up(*_: Any) -> Any:
            self.asked += 1
            event.wait(10)
            raise socket.gaierror("no such name")

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        yield event
        event.set()

    def test_the_loops_own_threads_are_free_and_its_close_waits_for_nothing(
        self, answers: threading.Event
    ) -> None:
        async def run() -> list[Outcome]:
            posters = [Poster("http://hooks.example/", True, 0.6) for _ in range(40)]
            outcomes = await asyncio.gather(*[each.post({}, b"") for each in posters])
            loop = asyncio.get_running_loop()
            await asyncio.wait_for(loop.run_in_executor(None, int), 5)
            for each in posters:
                each.close()
            return outcomes

        # asyncio.run() joins the threads of the default executor: here for ten seconds.
        outcomes = asyncio.run(run())
        assert {each.failure for each in outcomes} == {"Timeout while resolving hooks.example"}
        assert not answers.is_set() and self.asked == 40

    def test_one_that_hangs_is_waited_for_again_and_not_asked_again(
        self, answers: threading.Event
    ) -> None:
        async def run() -> list[Outcome]:
            poster = Poster("http://hooks.example/", True, 0.6)
            first = [await poster.post({}, b"") for _ in range(3)]
            assert self.asked == 1
            answers.set()
            last = await poster.post({}, b"")
            poster.close()
            return [*first, last]

        *hung, last = asyncio.run(run())
        assert {each.failure for each in hung} == {"Timeout while resolving hooks.example"}
        assert "no such name" in last.failure

    def test_an_answer_that_comes_too_late_is_no_error_of_ours(
        self, answers: threading.Event, caplog: pytest.LogCaptureFixture
    ) -> None:
        async def run() -> None:
            poster = Poster("http://hooks.example/", True, 0.6)
            await poster.post({}, b"")
            answers.set()
            while poster_threads():
                await asyncio.sleep(0)
            for _ in range(5):
                await asyncio.sleep(0)
            poster.close()

        asyncio.run(run())
        gc.collect()
        assert [each for each in caplog.records if each.levelno >= logging.ERROR] == []


def poster_threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "gantt-look-up"]

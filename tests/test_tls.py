"""The command with a certificate of its own."""

import datetime
import http.client
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

from gantt_tornado.cli import main

ROOT = Path(__file__).parent.parent


def certificate(folder, number=1, passphrase=b""):
    """Write a certificate for this machine, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(number)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    locked = (
        serialization.BestAvailableEncryption(passphrase)
        if passphrase
        else serialization.NoEncryption()
    )
    pem = serialization.Encoding.PEM
    (folder / "cert.pem").write_bytes(made.public_bytes(pem))
    pkcs8 = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(key.private_bytes(pem, pkcs8, locked))


@pytest.fixture
def start(tmp_path):
    """Start a server with TLS; its process and its port."""
    started = []

    def start(*flags, **settings):
        certificate(tmp_path)
        given = {"certfile": "cert.pem", "keyfile": "key.pem", **settings}
        environment = {key: value for key, value in os.environ.items() if key[:6] != "GANTT_"}
        environment |= {f"GANTT_{key.upper()}": value for key, value in given.items()}
        errors = (tmp_path / "errors").open("w")
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "server.py"), "--port=0", *flags],
            cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
        errors.close()
        started.append(process)
        line = process.stdout.readline()
        found = re.search(r"serves https://\S+:(\d+)$", line.strip())
        assert found, line + (tmp_path / "errors").read_text()
        return process, int(found[1])

    yield start
    for process in started:
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        process.stdout.close()
    assert "Traceback" not in (tmp_path / "errors").read_text()


@pytest.fixture
def trust(tmp_path):
    return lambda: ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))


def served_number(port):
    """The serial number of the certificate that a server shows."""
    pem = ssl.get_server_certificate(("localhost", port), timeout=10)
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


@pytest.mark.gen_test(timeout=30)
async def test_requests_and_sockets_are_encrypted(start, trust, io_loop):
    _, port = start()

    def load():
        connection = http.client.HTTPSConnection("localhost", port, timeout=10, context=trust())
        with closing(connection):
            connection.request("GET", "/data", headers={"Remote-Token": "token"})
            return json.loads(connection.getresponse().read())

    assert "tasks" in await io_loop.run_in_executor(None, load)
    url = f"wss://localhost:{port}/api/v1?token=token&ws=1"
    connection = await websocket_connect(HTTPRequest(url, ssl_options=trust()))
    assert json.loads(await connection.read_message())["action"] == "start"
    connection.close()


def test_who_begins_no_handshake_is_not_kept(start):
    _, port = start(idle_timeout="0.2")
    with socket.create_connection(("localhost", port), timeout=10) as silent:
        assert silent.recv(100) == b""


def test_plain_http_is_not_answered(start):
    _, port = start()
    with socket.create_connection(("localhost", port), timeout=10) as plain:
        plain.sendall(b"GET /data HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            answer = plain.recv(100)
        except ConnectionResetError:
            answer = b""
        assert b"HTTP" not in answer


def test_sighup_reads_the_certificate_anew(start, tmp_path):
    process, port = start()
    assert served_number(port) == 1
    certificate(tmp_path, number=2)
    process.send_signal(signal.SIGHUP)
    await_number(port, 2)
    # One that is no good is not taken, not even in part.
    key = (tmp_path / "key.pem").read_bytes()
    certificate(tmp_path, number=3)
    (tmp_path / "key.pem").write_bytes(key)
    process.send_signal(signal.SIGHUP)
    while "nothing is read anew" not in (tmp_path / "errors").read_text():
        time.sleep(0.05)
    assert served_number(port) == 2


def await_number(port, number):
    while served_number(port) != number:
        time.sleep(0.05)


@pytest.mark.parametrize("broken", ["none", "no key", "another key", "passphrase", "no PEM"])
def test_what_cannot_be_used_stops_the_start_in_one_line(tmp_path, monkeypatch, capsys, broken):
    monkeypatch.chdir(tmp_path)
    certificate(tmp_path, passphrase=b"sesame" if broken == "passphrase" else b"")
    cert = (tmp_path / "cert.pem").read_bytes()
    if broken == "none":
        (tmp_path / "cert.pem").unlink()
    elif broken == "no key":
        (tmp_path / "key.pem").unlink()
    elif broken == "another key":
        certificate(tmp_path)
        (tmp_path / "cert.pem").write_bytes(cert)
    elif broken == "no PEM":
        (tmp_path / "cert.pem").write_text("a letter")
    monkeypatch.setenv("GANTT_CERTFILE", "cert.pem")
    monkeypatch.setenv("GANTT_KEYFILE", "key.pem")
    assert main(["--port=0"]) == 2
    output, errors = capsys.readouterr()
    assert output == "" and errors.count("\n") == 1
    assert "cannot use the certificate of cert.pem and key.pem" in errors
    assert not (tmp_path / "gantt.db").exists()

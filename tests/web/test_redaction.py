"""No token in the log, and no line of 60 KB."""

from __future__ import annotations

import logging

import pytest
from tornado.log import access_log, app_log, gen_log

from gantt_tornado.web.redaction import LOGGERS, LONGEST, Redaction, printable, redacted, url

SPELLINGS = [
    "/data?token=secret",
    "/data?a=1&token=secret&b=2",
    "/data?a;token=secret",
    "/data?a=1;token=secret;b=2",
    "/data?token=se;secret",
    "/data?a=b?token=secret",
    "/data?TOKEN=secret",
    "/data?access_token=secret",
    "/data?%74oken=secret",
    "/data?to%6ben=secret&x=1",
    "/data?%54%4f%4b%45%4e=secret",
    "/data?%2574oken=secret",
    "/data?a%26token%3Dsecret",
    "/data?a%3Btoken=secret",
    "/data;token=secret",
    "/data%3Ftoken=secret",
    "/data?token==secret&token=secret",
    "/data?%74oken=secret-token",
    "/data?a=secret-token",
    "/data?token=a?secret",
    "/data?b=1&token=?secret?&c=2",
    "/p/a%3Ftoken=secret/data",
    "a%3Ftoken=secret",
    "https://page.example?token=secret",
]


@pytest.mark.parametrize("uri", SPELLINGS)
def test_no_spelling_of_a_token_is_shown(uri: str) -> None:
    assert "secret" not in url(uri)


@pytest.mark.parametrize("uri", ["/data", "/data?a=1", "/data?since=3;tab=x", "/data?token", "/?"])
def test_the_rest_is_shown(uri: str) -> None:
    assert url(uri) == uri


def test_what_stands_beside_a_token_is_shown() -> None:
    assert url("/api/v1?since=3&token=secret&ws=1") == "/api/v1?since=3&token=…&ws=1"


@pytest.mark.parametrize(
    "text, shown",
    [
        ("Jürgen 东 🎉", "Jürgen 东 🎉"),
        ("a\x85b\x9b31m\x7f", "a\\u0085b\\u009b31m\\u007f"),
        ("a\u2028\u202eb", "a\\u2028\\u202eb"),
        ("\U000e0001\ud800", "\\udb40\\udc01\\ud800"),
    ],
)
def test_what_is_not_printable_is_escaped(text: str, shown: str) -> None:
    assert printable(text) == shown and url(text) == shown
    assert redacted(f"one\n{text}") == f"one\n{shown}"


def test_a_long_url_is_cut() -> None:
    shown = url("/data?a=" + "x" * 60_000)
    assert len(shown) < LONGEST + 40 and "60008" in shown


def test_a_url_of_percent_signs_takes_no_time() -> None:
    # Decoded again and again in full, it would hold the loop for a minute.
    assert len(url("/data?" + "%25" * 20_000)) < LONGEST + 40


@pytest.mark.parametrize(
    "message, shown",
    [
        (
            "Malformed HTTP message from 192.0.2.1: Invalid header value 'secret\\x01'",
            "Malformed HTTP message from 192.0.2.1: Invalid header value",
        ),
        (
            "Uncaught GET /x?token=secret\nHTTP(uri='/x?TOKEN=secret')",
            "Uncaught GET /x?token…\nHTTP(uri='/x?TOKEN…",
        ),
        (
            "400 GET /data: Invalid unicode in token: b'secret'",
            "400 GET /data: Invalid unicode in token…",
        ),
        (
            "Malformed HTTP message from ::1: Only integer Content-Length is allowed: secret",
            "Malformed HTTP message from ::1: Only integer Content-Length is allowed",
        ),
        ("Connect error on fd 7", "Connect error on fd 7"),
    ],
)
def test_what_tornado_quotes_is_left_out(message: str, shown: str) -> None:
    assert redacted(message) == shown


@pytest.mark.parametrize(
    ("line", "shown"),
    [
        ("404 GET /x?token=secret (::1) 0.31ms", "404 GET /x?token=… (::1) 0.31ms"),
        # Our own handlers have redacted it already.
        ("101 GET /api/v1?token=… (::1) 0.31ms", "101 GET /api/v1?token=… (::1) 0.31ms"),
        ("200 GET /x?a;%74oken=secret&b=1 (::1) 1ms", "200 GET /x?…&b=1 (::1) 1ms"),
        ("200 GET /data (::1) 0.31ms", "200 GET /data (::1) 0.31ms"),
    ],
)
def test_an_access_line_keeps_all_but_the_token(
    line: str, shown: str, caplog: pytest.LogCaptureFixture
) -> None:
    log, redaction = logging.getLogger("tornado.access"), Redaction()
    log.addFilter(redaction)
    try:
        log.warning("%s", line)
    finally:
        log.removeFilter(redaction)
    assert caplog.messages == [shown]


def test_each_logger_of_tornados_that_quotes_a_request_is_listed() -> None:
    assert set(LOGGERS) == {each.name for each in (access_log, app_log, gen_log)}


def test_a_logger_of_tornados_can_be_made_to_keep_silent(caplog: pytest.LogCaptureFixture) -> None:
    log, redaction = logging.getLogger("tornado.general"), Redaction()
    log.addFilter(redaction)
    try:
        log.warning("Malformed HTTP message from %s: Invalid header value %r", "::1", "secret")
    finally:
        log.removeFilter(redaction)
    assert caplog.messages == ["Malformed HTTP message from ::1: Invalid header value"]

"""What a request says, apart from who carries it."""

import asyncio
import threading
from collections.abc import ItemsView

import pytest
from tornado.httputil import HTTPHeaders, HTTPServerRequest, RequestStartLine

from gantt_tornado import Backend, Config
from gantt_tornado.errors import BadRequest, Forbidden, NotFound, TooLarge
from gantt_tornado.model.entities import TASK
from gantt_tornado.web.requests import (
    LARGE,
    LONGEST_CLIENT_ID,
    LONGEST_ID,
    MOST_CONTAINERS,
    MOST_FIELDS,
    Body,
    author,
    bearer,
    beside,
    check_same_origin,
    error_body,
    item_id,
    read_batch,
    read_fields,
    read_form,
    read_json,
    summary,
)


class Connection:
    """As much of Tornado's as a request needs."""

    context = None
    limit = 0
    timeout = 0.0

    def set_max_body_size(self, limit: int) -> None:
        self.limit = limit

    def set_body_timeout(self, timeout: float) -> None:
        self.timeout = timeout


def request(uri: str = "/", **headers: str) -> HTTPServerRequest:
    named = HTTPHeaders({"Host": "here.example"})
    named.update({name.replace("_", "-"): value for name, value in headers.items()})
    start = RequestStartLine("PUT", uri, "HTTP/1.1")
    made = HTTPServerRequest(headers=named, connection=Connection(), start_line=start)
    made.remote_ip = "192.0.2.1"
    return made


@pytest.fixture
def backend() -> Backend:
    return Backend(Config(database="sqlite:///:memory:", origins=("https://listed.example",)))


@pytest.mark.parametrize(
    "query", ["token=secret", "a=1&token=secret&b=2", "%74oken=secret", "to%6ben=secret&x=1"]
)
def test_the_log_has_no_token(query: str) -> None:
    assert "secret" not in summary(request(f"/data?{query}"))


@pytest.mark.parametrize("uri", ["/data", "/data?a=1", "/data?token"])
def test_the_log_has_the_rest(uri: str) -> None:
    assert summary(request(uri)) == f"PUT {uri} (192.0.2.1)"


def test_a_body_comes_in_pieces() -> None:
    body = Body(request(), 10, 60)
    for chunk in (b"abc", b"", b"def"):
        body.take(chunk)
    assert body.read() == b"abcdef"


def test_a_body_up_to_the_limit_is_read() -> None:
    body = Body(request(), 3, 60)
    body.take(b"abc")
    assert body.read() == b"abc"


def test_a_body_beyond_the_limit_is_refused_and_not_kept() -> None:
    body = Body(request(), 3, 60)
    for _ in range(3):
        body.take(b"abc")
    with pytest.raises(TooLarge):
        body.read()
    assert body._chunks == []


@pytest.mark.parametrize("origin", ["http://here.example", "https://listed.example"])
def test_our_own_pages_and_the_listed_may_write(backend: Backend, origin: str) -> None:
    check_same_origin(backend, request(Origin=origin))


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "http://[", "http://here.example:1", "http://:80"]
)
def test_a_page_of_another_host_may_not(backend: Backend, origin: str) -> None:
    with pytest.raises(Forbidden):
        check_same_origin(backend, request(Origin=origin))


#: The page's origin, and the Host as a proxy passes it on.
SAME = [
    ("https://plan.example", "plan.example"),
    ("https://plan.example", "plan.example:443"),
    ("https://plan.example:443", "plan.example"),
    ("http://plan.example", "plan.example:80"),
    ("https://PLAN.example", "plan.Example"),
    ("http://plan.example:8888", "plan.example:8888"),
    ("http://[::1]:8888", "[::1]:8888"),
    ("http://[::1]", "[::1]:80"),
]
OTHER = [
    ("https://plan.example", "plan.example:80"),
    ("http://plan.example:8888", "plan.example"),
    ("http://plan.example", "plan.example:8888"),
    ("http://plan.example", "notplan.example"),
    ("http://plan.example", ""),
    ("http://", ""),
    ("plan.example", "plan.example"),
    ("http://plan.example", "plan.example:x"),
    ("http://plan.example@evil.example", "plan.example"),
]


@pytest.mark.parametrize("origin, host", SAME)
def test_a_proxys_host_may_lack_the_usual_port_or_have_it(
    backend: Backend, origin: str, host: str
) -> None:
    check_same_origin(backend, request(Origin=origin, Host=host))


@pytest.mark.parametrize("origin, host", OTHER)
def test_another_port_of_one_machine_is_another_host(
    backend: Backend, origin: str, host: str
) -> None:
    with pytest.raises(Forbidden):
        check_same_origin(backend, request(Origin=origin, Host=host))


def test_what_the_browser_says_of_the_page_counts(backend: Backend) -> None:
    foreign = {"Origin": "https://plan.example:8443", "Host": "plan.example"}
    check_same_origin(backend, request(**foreign, Sec_Fetch_Site="same-origin"))
    ours = {"Origin": "http://here.example", "Host": "here.example"}
    for site in ("same-site", "cross-site"):
        with pytest.raises(Forbidden):
            check_same_origin(backend, request(**ours, Sec_Fetch_Site=site))
    listed = {"Origin": "https://listed.example", "Host": "here.example"}
    check_same_origin(backend, request(**listed, Sec_Fetch_Site="cross-site"))


def test_a_refusal_says_what_came_and_what_was_expected(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    sent = request("/data?token=secret", Origin="http://plan.example:8888", Host="plan.example")
    with pytest.raises(Forbidden) as refused:
        check_same_origin(backend, sent)
    (record,) = caplog.records
    for text in (refused.value.message, record.getMessage()):
        assert "http://plan.example:8888" in text and "plan.example" in text.split("8888")[1]
    assert "secret" not in record.getMessage() and "origins" in record.getMessage()


def test_what_a_refusal_repeats_has_an_end(
    backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(Forbidden) as refused:
        check_same_origin(backend, request(Origin="http://" + "x" * 60_000))
    assert max(len(refused.value.message), len(caplog.messages[0])) < 1500


def test_no_token_is_nobody(backend: Backend) -> None:
    assert bearer(backend, "") is None


def test_a_wrong_token_is_refused(backend: Backend) -> None:
    with pytest.raises(Forbidden):
        bearer(backend, "wrong")


def test_an_author_is_a_user_at_a_page(backend: Backend) -> None:
    user = bearer(backend, "token")
    assert author({"Remote-Device": "d" * 1000}, user).client_id == "d" * LONGEST_CLIENT_ID


@pytest.mark.parametrize("error, code", [(NotFound("x"), "not-found"), (None, "http-500")])
def test_every_error_has_an_action_a_code_and_a_message(error: Exception, code: str) -> None:
    body = error_body(500, error)
    assert (body["action"], body["code"]) == ("error", code) and body["message"]


@pytest.mark.parametrize("id", ["", "-1", "1.5", "new", "\u0661", "9" * 19])
def test_an_id_that_nobody_gave(id: str) -> None:
    with pytest.raises(NotFound):
        item_id("task", id)


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b"{", b"\xff"])
def test_what_is_no_json_object(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read_json(body)


@pytest.mark.parametrize("body", [b"a=%FF", b"\xff=1", b"&".join([b"a=1"] * 10_001)])
def test_what_is_no_form(body: bytes) -> None:
    with pytest.raises(BadRequest):
        read_form(body)


def test_a_form_says_arrays_in_json_but_a_text_stays_one() -> None:
    fields = read_fields(b"custom=[1]&text=[1]&odd=[1", {}, TASK)
    assert fields == {"custom": [1], "text": "[1]", "odd": "[1"}


def test_json_is_known_by_its_type_or_its_brace() -> None:
    assert read_fields(b' {"a":1}', {"Content-Type": "application/json"}, TASK) == {"a": 1}
    assert read_fields(b'{"a":1}', {}, TASK) == {"a": 1}


# Batches.


@pytest.mark.parametrize(
    "form, rows",
    [
        ({"ids": "7", "7_text": "a"}, {"7": {"text": "a"}}),
        ({"ids": "7", "7_start_date": "a"}, {"7": {"start_date": "a"}}),
        ({"ids": "7", "8_text": "a", "_text": "b", "text": "c"}, {"7": {}}),
        ({"ids": "7,7,8", "8_text": "a"}, {"7": {}, "8": {"text": "a"}}),
        ({"ids": "1,1_2", "1_2_text": "a"}, {"1": {}, "1_2": {"text": "a"}}),
        ({"ids": "1_2,1", "1_text": "a"}, {"1_2": {}, "1": {"text": "a"}}),
        ({"ids": "1,11", "11_text": "a"}, {"1": {}, "11": {"text": "a"}}),
        ({"ids": "", "_text": "a"}, {"": {"text": "a"}}),
    ],
)
def test_a_field_of_a_batch_belongs_to_the_longest_id(
    form: dict[str, str], rows: dict[str, dict[str, str]]
) -> None:
    assert read_batch(form) == rows


@pytest.mark.parametrize("id", ["a\nb", "a" * (LONGEST_ID + 1)])
def test_an_id_that_is_none_names_no_row(id: str) -> None:
    assert read_batch({"ids": f"{id},7", f"{id}_text": "a"}) == {"7": {}}


def test_an_id_may_be_as_long_as_that() -> None:
    id = "a" * LONGEST_ID
    assert read_batch({"ids": id, f"{id}_text": "a"}) == {id: {"text": "a"}}


def test_a_form_is_gone_through_once_for_all_rows() -> None:
    passes = []

    class Form(dict[str, str]):
        def items(self) -> ItemsView[str, str]:
            passes.append(1)
            return super().items()

        def __iter__(self):
            raise AssertionError("a pass more")

    ids = [str(n) for n in range(100)]
    form = Form({"ids": ",".join(ids), **{f"{id}_text": id for id in ids}})
    assert read_batch(form) == {id: {"text": id} for id in ids}
    assert passes == [1]


# Bodies that cost more than their size.


def test_a_body_of_nothing_but_lists_is_refused() -> None:
    with pytest.raises(BadRequest, match="lists and objects"):
        read_json(b'{"a":[%s]}' % b",".join([b"[]"] * MOST_CONTAINERS))
    assert read_json(b'{"a":[%s]}' % b",".join([b"[]"] * 100))


def test_a_field_of_a_form_of_nothing_but_lists_is_refused() -> None:
    with pytest.raises(BadRequest, match="lists and objects"):
        read_form(b"a=" + b"[" * (MOST_CONTAINERS + 1))


def test_a_body_of_very_many_fields_is_refused() -> None:
    with pytest.raises(BadRequest, match="fields"):
        read_json(b"{%s}" % b",".join(b'"k%d":1' % n for n in range(MOST_FIELDS + 1)))


@pytest.mark.parametrize("size, elsewhere", [(LARGE - 1, False), (LARGE, True)])
def test_a_large_body_is_read_on_another_thread(size: int, elsewhere: bool) -> None:
    def read(body: bytes, more: str) -> tuple[int, str, bool]:
        return len(body), more, threading.current_thread() is not threading.main_thread()

    assert asyncio.run(beside(bytes(size), read, "more")) == (size, "more", elsewhere)

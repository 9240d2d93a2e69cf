"""The example for those who embed: a plan at /gantt behind the application's own sign-in."""

import importlib.util
from pathlib import Path

import pytest

FILE = Path(__file__).parent.parent / "examples" / "embedded.py"
pytestmark = [
    pytest.mark.gen_test,
    pytest.mark.skipif(not FILE.exists(), reason="the example is not there"),
]


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("embedded", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def authenticate(example):
    return example.who


@pytest.fixture
def app(example, backend):
    return example.make_app(backend)


@pytest.fixture
def gantt_prefix():
    return "/gantt"


@pytest.fixture
def sign_in(gantt):
    async def sign_in(name):
        site = gantt.anonymous()
        site.url = gantt.url.removesuffix("/gantt")
        answer = await site.post("/sign-in", f"name={name}")
        gantt.headers["Cookie"] = answer.headers.get("Set-Cookie", "").partition(";")[0]
        return answer

    return sign_in


async def test_signing_in_leads_to_the_plan(gantt, sign_in):
    answer = await sign_in("alice")
    assert (answer.status, answer.headers["Location"]) == (302, "/gantt/")
    assert (await gantt.get("/")).status == 200


async def test_an_editor_edits_and_others_see_it(gantt, sign_in, listen):
    await sign_in("alice")
    socket = await listen("tasks")
    task = await gantt.add("task", text="Dig")
    assert (await socket.value("add-task"))["task"] == task


async def test_the_journal_names_who_it_was(backend, gantt, sign_in):
    await sign_in("alice")
    await gantt.add("task")
    (change,) = await backend.history()
    assert change.author.user == "alice"


async def test_a_viewer_looks_and_does_not_touch(gantt, sign_in, listen):
    await sign_in("bob")
    await listen("tasks")
    assert (await gantt.get()).status == 200
    answer = await gantt.post("/data/task", {"text": "Dig"})
    assert (answer.status, answer.json["action"]) == (403, "error")


@pytest.mark.parametrize("path", ["/data", "/api/v1"])
async def test_who_is_not_signed_in_gets_nothing(gantt, path):
    assert (await gantt.get(path)).status == 403


async def test_the_socket_of_who_is_not_signed_in_is_closed_with_1008(listen):
    assert await (await listen.open(token="token")).closed() == 1008


async def test_a_forged_cookie_is_nobodys(gantt):
    gantt.headers["Cookie"] = "name=alice"
    assert (await gantt.get()).status == 403


async def test_a_stranger_cannot_sign_in(gantt, sign_in):
    assert (await sign_in("mallory")).status == 403


async def test_a_page_of_another_host_cannot_use_the_cookie(gantt, sign_in):
    await sign_in("alice")
    answer = await gantt.having(Origin="https://evil.example").post("/data/task", {})
    assert answer.status == 403


async def test_home_leads_where_one_may_go(gantt, sign_in):
    site = gantt.anonymous()
    site.url = gantt.url.removesuffix("/gantt")
    assert (await site.get("/")).headers["Location"] == "/sign-in"
    await sign_in("bob")
    assert (await site.having(**gantt.headers).get("/")).headers["Location"] == "/gantt/"

"""The fixtures for those who embed."""

import ast
import asyncio
import configparser
import re
import sys
import textwrap
from pathlib import Path

import pytest
from tornado.web import Application

import gantt_tornado.testing
from gantt_tornado import routes

pytestmark = pytest.mark.gen_test


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(gantt_tornado.testing, "PATIENCE", 0.05)


async def test_a_missing_event_is_named(listen, impatient):
    socket = await listen("tasks")
    with pytest.raises(AssertionError, match="the event add-task did not come"):
        await socket.event("add-task")


async def test_a_missing_event_names_what_was_read_before(gantt, listen, impatient):
    socket = await listen("tasks")
    await gantt.add("task")
    await socket.event()
    with pytest.raises(AssertionError, match="read before: add-task"):
        await socket.event()


async def test_an_event_of_another_type_is_shown(gantt, listen):
    socket = await listen("tasks")
    await gantt.add("task", text="Dig")
    with pytest.raises(AssertionError, match=r"update-task was expected, but this came: .*Dig"):
        await socket.value("update-task")


async def test_a_closed_socket_says_so_with_its_code(backend, listen):
    socket = await listen("tasks")
    await backend.close()
    with pytest.raises(AssertionError, match="closed the socket with 1001"):
        await socket.event()


async def test_quiet_refuses_what_nobody_read(gantt, listen):
    socket = await listen("tasks")
    await gantt.add("task", text="Dig")
    with pytest.raises(AssertionError, match=r"no event was expected, but this came: .*Dig"):
        await socket.quiet()


async def test_quiet_leaves_the_socket_as_it_was(gantt, listen):
    socket = await listen("tasks")
    await socket.quiet()
    await socket.quiet()
    await gantt.add("task")
    await socket.event("add-task")


async def test_results_of_calls_do_not_lose_the_events_before_them(backend, listen):
    socket = await listen("mine")
    backend.publish("mine", {"type": "custom-action"})
    await socket.call()
    await socket.event("custom-action")


async def test_an_event_is_waited_for_behind_others(gantt, listen):
    socket = await listen("tasks")
    task = await gantt.add("task")
    await gantt.put(f"/data/task/{task['id']}", {"text": "Dig"})
    assert (await socket.until("update-task"))["value"]["task"]["text"] == "Dig"


async def test_an_event_that_is_missing_behind_others_is_named(gantt, listen, impatient):
    socket = await listen("tasks")
    await gantt.add("task")
    with pytest.raises(
        AssertionError, match=r"the event mine did not come .*read before: add-task"
    ):
        await socket.until("mine")


async def test_changes_come_one_by_one(backend, gantt, changes):
    task = await gantt.add("task")
    await backend.delete("task", task["id"])
    assert (await changes.next("add")).id == task["id"]
    assert (await changes.next()).action == "delete"


async def test_a_change_is_waited_for(io_loop, backend, changes):
    waiting = asyncio.ensure_future(changes.next("add"))
    await asyncio.sleep(0)
    await backend.insert("resource", {})
    assert (await waiting).entity.name == "resource"


async def test_the_change_that_is_meant_is_waited_for(backend, changes):
    for text in ("a", "b", "c"):
        await backend.insert("resource", {"text": text})
    change = await changes.until(lambda change: change.fields["text"][1] == "b")
    assert (change.id, (await changes.next()).id) == (2, 3)


async def test_a_missing_change_names_what_was_read_before(backend, changes, impatient):
    await backend.insert("resource", {})
    await changes.next("add")
    with pytest.raises(AssertionError, match=r"no update was committed .*before: add resource 1"):
        await changes.next("update")
    with pytest.raises(AssertionError, match="no change that was meant"):
        await changes.until(bool)


async def test_another_change_is_shown(backend, changes):
    await backend.insert("resource", {"text": "Digger"})
    with pytest.raises(AssertionError, match=r"update was expected, but this came: .*Digger"):
        await changes.next("update")


async def test_listen_joins_tasks_and_links_where_nothing_is_named(gantt, listen):
    socket = await listen()
    ends = [(await gantt.add("task"))["id"] for _ in range(2)]
    await gantt.add("link", source=ends[0], target=ends[1])
    names = [(await socket.event())["name"] for _ in range(3)]
    assert names == ["tasks", "tasks", "links"]


async def test_listen_tells_of_a_refused_handshake(listen):
    with pytest.raises(AssertionError, match="handshake was refused: 403"):
        await listen(token="wrong")


async def test_listen_tells_of_a_refused_socket(listen):
    with pytest.raises(AssertionError, match="closed the socket with 1008 Unauthorized"):
        await listen(token="wrong", handshake=False)


async def test_a_client_returns_errors_and_raises_none(gantt):
    answer = await gantt.put("/data/task/1", {"text": "x"})
    assert (answer.status, answer.json["action"]) == (404, "error")


async def test_add_tells_why_it_was_refused(gantt):
    with pytest.raises(AssertionError, match=r"409 .*linked to itself"):
        task = (await gantt.add("task"))["id"]
        await gantt.add("link", source=task, target=task)


async def test_having_leaves_the_first_client_alone(gantt):
    other = gantt.having(Remote_Token="wrong")
    assert (await other.get()).status == 403
    assert (await gantt.get()).status == 200


class TestMounted:
    @pytest.fixture
    def gantt_prefix(self):
        return "/gantt"

    @pytest.fixture
    def app(self, backend, gantt_prefix):
        return Application(routes(backend, gantt_prefix))

    async def test_both_clients_follow_the_prefix(self, gantt, listen):
        socket = await listen("tasks")
        await gantt.add("task")
        await socket.event("add-task")


ROOT = Path(__file__).parent.parent


def extras():
    """Extra → the names of what it installs."""
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    options = {**setup["options.extras_require"], "": setup["options"]["install_requires"]}
    return {
        extra: {re.split(r"[ >=<\[]", line)[0] for line in lines.split("\n") if line[:1] not in "#"}
        for extra, lines in options.items()
    }


def test_the_fixtures_need_no_more_than_their_extra_installs():
    tree = ast.parse(Path(gantt_tornado.testing.__file__).read_text())
    used = {
        node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
    }
    used |= {
        each.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for each in node.names
    }
    used -= set(sys.stdlib_module_names) | {"gantt_tornado"}
    known = extras()
    assert used <= known[""] | known["testing"]
    # The base of all of them, and what it asks for without saying so.
    assert {"pytest-tornado", "setuptools"} <= known["testing"]
    assert "playwright" not in known["testing"]


def test_our_own_tests_build_on_that_extra():
    assert re.search(
        r"^test =\n    gantt-tornado\[testing\]$", (ROOT / "setup.cfg").read_text(), re.M
    )


@pytest.mark.parametrize("number", [0, 1])
def test_a_documented_example_works(pytester, monkeypatch, number):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    paragraphs = re.findall(r"((?:^ {4}.*\n|^\n)+)", gantt_tornado.testing.__doc__, re.M)
    tests = [each for each in paragraphs if "gen_test" in each]
    pytester.makeconftest('pytest_plugins = ["gantt_tornado.testing"]')
    pytester.makepyfile("import pytest\n" + textwrap.dedent(tests[number]))
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)

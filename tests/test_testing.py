"""The fixtures for those who embed."""

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


def test_the_documented_example_works(pytester, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent.parent))
    text = gantt_tornado.testing.__doc__
    example = text[text.index("    import pytest") : text.index("Each test gets")]
    pytester.makeconftest('pytest_plugins = ["gantt_tornado.testing"]')
    pytester.makepyfile(textwrap.dedent(example))
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)

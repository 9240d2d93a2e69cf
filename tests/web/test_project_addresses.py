"""Projects beside the one at the root, over HTTP and sockets."""

import asyncio

import pytest
from conftest import ADMIN

from gantt_tornado import NotFound
from gantt_tornado.testing import Client

pytestmark = pytest.mark.gen_test

DATES = {"start_date": "2030-01-07 00:00", "duration": 2}


@pytest.fixture
def admin(gantt):
    return gantt.having(Remote_Token=ADMIN)


def inside(client: Client, project: str) -> Client:
    """The same client in a project."""
    return Client(client.http, f"{client.url}/p/{project}", client.headers)


async def named(client: Client) -> list[str]:
    return [each["name"] for each in (await client.get("/projects")).json["projects"]]


class TestTwo:
    """What happens in one project nobody hears of in another."""

    @pytest.fixture
    def house(self, gantt):
        return inside(gantt, "house")

    async def test_each_has_its_own_items(self, admin, gantt, house):
        await admin.post("/projects", {"name": "house"})
        mine, theirs = await gantt.add("task", text="Dig"), await house.add("task", text="Roof")
        assert mine["id"] == theirs["id"] == 1
        assert [each["text"] for each in (await gantt.get()).json["tasks"]] == ["Dig"]
        assert [each["text"] for each in (await house.get()).json["tasks"]] == ["Roof"]

    async def test_each_has_its_own_history_and_undo(self, admin, gantt, house):
        await admin.post("/projects", {"name": "house"})
        await house.add("task", text="Roof")
        assert (await gantt.get("/data/history")).json == {"history": []}
        assert (await gantt.post("/data/undo/1")).status == 404
        assert (await house.post("/data/undo/1")).status == 200

    async def test_a_key_of_a_request_counts_in_its_project_alone(self, admin, gantt, house):
        await admin.post("/projects", {"name": "house"})
        for client in (gantt, house, house):
            again = client.having(Idempotency_Key="row-1")
            assert (await again.post("/data/task", DATES)).json["tid"] == 1
        assert len((await house.get()).json["tasks"]) == 1

    async def test_a_socket_hears_of_its_own_project_alone(
        self, backend, admin, gantt, house, listen
    ):
        await admin.post("/projects", {"name": "house"})
        root = await listen("tasks")
        gantt.url += "/p/house"
        there = await listen("tasks")
        task = await house.add("task", text="Roof")
        assert (await there.value("add-task"))["task"] == task
        await root.quiet()

    async def test_a_page_that_was_away_is_replayed_its_own_project(
        self, admin, gantt, house, listen
    ):
        await admin.post("/projects", {"name": "house"})
        await gantt.add("task", text="Dig")
        since = (await house.get()).json["seq"]
        task = await house.add("task", text="Roof")
        gantt.url += "/p/house"
        there = await listen("tasks", since=since)
        assert (await there.value("add-task"))["task"] == task

    async def test_the_etag_of_one_is_none_of_anothers(self, admin, gantt, house):
        await admin.post("/projects", {"name": "house"})
        await gantt.add("task"), await house.add("task")
        etag = (await gantt.get()).headers["Etag"]
        assert (await house.having(If_None_Match=etag).get()).status == 200


class TestAddresses:
    async def test_one_that_is_not_there_is_404(self, gantt):
        for path in ("/data", "/data/history", "/api/v1"):
            assert (await inside(gantt, "nowhere").get(path)).status == 404
        assert (await inside(gantt, "nowhere").post("/data/task", DATES)).status == 404

    async def test_asking_for_one_that_is_not_there_is_remembered_nowhere(self, backend, gantt):
        await inside(gantt, "nowhere").get()
        assert "nowhere" not in backend._projects

    async def test_the_default_one_has_two_addresses(self, gantt):
        await gantt.add("task", text="Dig")
        assert (await inside(gantt, "default").get()).body == (await gantt.get()).body

    async def test_a_page_is_there_for_each(self, admin, gantt):
        answer = await gantt.get("/p/house")
        assert (answer.status, answer.headers["Location"]) == (301, "/p/house/")
        assert (await gantt.get("/p/house/")).body == (await gantt.get("/")).body


class TestManaging:
    async def test_an_admin_adds_one(self, admin):
        answer = await admin.post("/projects", {"name": "house", "title": "The house"})
        assert (answer.status, answer.json["title"], answer.json["tasks"]) == (201, "The house", 0)
        assert await named(admin) == ["default", "house"]

    async def test_one_can_begin_as_the_demo(self, admin):
        await admin.post("/projects", {"name": "house", "demo": True})
        assert len((await inside(admin, "house").get()).json["tasks"]) > 10

    async def test_one_can_begin_as_a_copy(self, admin, gantt):
        await gantt.add("task", text="Dig")
        assert (await admin.post("/projects", {"name": "copy", "copy": "default"})).status == 201
        copy = inside(admin, "copy")
        assert [each["text"] for each in (await copy.get()).json["tasks"]] == ["Dig"]
        await copy.add("task", text="Roof")
        assert len((await gantt.get()).json["tasks"]) == 1

    @pytest.mark.parametrize(
        "name", ["", "-a", "A", "a b", "a/b", "ä", "a" * 64, "links", "task-1", "event", 7, None]
    )
    async def test_a_name_that_a_client_would_misread_is_refused(self, admin, name):
        answer = await admin.post("/projects", {"name": name})
        assert (answer.status, answer.json["code"]) == (400, "bad-request")
        assert await named(admin) == ["default"]

    async def test_a_name_is_given_once(self, admin):
        await admin.post("/projects", {"name": "house"})
        assert (await admin.post("/projects", {"name": "house"})).status == 409

    async def test_a_copy_of_nothing_is_404(self, admin):
        assert (await admin.post("/projects", {"name": "a", "copy": "nowhere"})).status == 404
        assert await named(admin) == ["default"]

    async def test_a_title_can_change_and_a_name_cannot(self, admin):
        await admin.post("/projects", {"name": "house"})
        answer = await admin.request("PUT", "/projects/house", {"title": "Ours", "name": "x"})
        assert (answer.json["name"], answer.json["title"]) == ("house", "Ours")

    @pytest.mark.parametrize("sent", [{"title": 7}, {"title": "x" * 201}, {"public": 1}])
    async def test_what_is_malformed_changes_nothing(self, admin, sent):
        await admin.post("/projects", {"name": "house", "title": "Ours"})
        assert (await admin.request("PUT", "/projects/house", sent)).status == 400
        (_, house) = (await admin.get("/projects")).json["projects"]
        assert (house["title"], house["public"]) == ("Ours", False)

    async def test_an_archived_one_can_be_read_and_not_changed(self, admin):
        await admin.post("/projects", {"name": "house"})
        house = inside(admin, "house")
        await house.add("task", text="Roof")
        await admin.request("PUT", "/projects/house", {"archived": True})
        assert (await house.post("/data/task", DATES)).status == 409
        assert len((await house.get()).json["tasks"]) == 1
        await admin.request("PUT", "/projects/house", {"archived": False})
        assert (await house.post("/data/task", DATES)).status == 200

    async def test_to_delete_one_its_name_is_given_again(self, admin):
        await admin.post("/projects", {"name": "house"})
        for path in ("/projects/house", "/projects/house?name=hous"):
            assert (await admin.request("DELETE", path)).status == 400
        assert (await admin.request("DELETE", "/projects/house?name=house")).status == 200
        assert await named(admin) == ["default"]

    async def test_a_deleted_one_is_gone_for_its_pages_and_its_name_is_kept(
        self, admin, gantt, listen
    ):
        await admin.post("/projects", {"name": "house"})
        house = inside(gantt, "house")
        await house.add("task", text="Roof")
        gantt.url += "/p/house"
        socket = await listen("tasks")
        await admin.request("DELETE", "/projects/house?name=house")
        assert await socket.closed() == 1008
        assert (await house.get()).status == (await house.post("/data/task", DATES)).status == 404
        # The client would take its row for deleted.
        assert (await house.request("PUT", "/data/task/1", {"text": "x"})).status == 404
        assert (await admin.post("/projects", {"name": "house"})).status == 409

    async def test_a_deleted_one_is_taken_back_with_all_that_it_had(self, admin):
        await admin.post("/projects", {"name": "house"})
        await inside(admin, "house").add("task", text="Roof")
        await admin.request("DELETE", "/projects/house?name=house")
        deleted = (await admin.get("/projects?deleted=1")).json["projects"]
        assert [each["name"] for each in deleted] == ["house"]
        assert (await admin.post("/projects/restore/house")).status == 200
        assert len((await inside(admin, "house").get()).json["tasks"]) == 1

    async def test_the_one_at_the_root_stays(self, admin):
        assert (await admin.request("DELETE", "/projects/default?name=default")).status == 409

    @pytest.mark.parametrize(
        "verb, path, body",
        [
            ("POST", "/projects", {"name": "house"}),
            ("PUT", "/projects/default", {"title": "x"}),
            ("DELETE", "/projects/default?name=default", None),
            ("POST", "/projects/restore/default", {}),
        ],
    )
    async def test_only_an_admin_manages(self, gantt, verb, path, body):
        assert (await gantt.request(verb, path, body)).status == 403


class TestIdle:
    """A project that nobody looks at costs no memory."""

    async def test_one_is_read_when_it_is_used_first(self, backend, admin):
        await admin.post("/projects", {"name": "house"})
        assert not backend.project("house").is_open
        await inside(admin, "house").get()
        assert backend.project("house").is_open

    async def test_one_is_forgotten_when_nobody_has_used_it_for_long(self, backend, admin):
        await admin.post("/projects", {"name": "house"})
        house = inside(admin, "house")
        await house.add("task", text="Roof")
        project = backend.project("house")
        assert not project.is_idle(1000)
        assert project.is_idle(0)
        project.forget()
        assert not project.is_open and project.plan.seq == 0
        assert [each["text"] for each in (await house.get()).json["tasks"]] == ["Roof"]

    async def test_one_with_a_socket_is_not_idle(self, backend, admin, gantt, listen):
        await admin.post("/projects", {"name": "house"})
        gantt.url += "/p/house"
        socket = await listen("tasks")
        assert not backend.project("house").is_idle(0)
        socket.connection.close()
        while backend.project("house").connections:
            await asyncio.sleep(0.01)
        assert backend.project("house").is_idle(0)

    async def test_a_page_that_comes_back_to_a_forgotten_one_is_replayed(
        self, backend, admin, gantt, listen
    ):
        await admin.post("/projects", {"name": "house"})
        house = inside(admin, "house")
        since = (await house.get()).json["seq"]
        task = await house.add("task", text="Roof")
        backend.project("house").forget()
        gantt.url += "/p/house"
        socket = await listen("tasks", since=since)
        assert (await socket.value("add-task"))["task"] == task

    async def test_many_who_come_at_once_read_it_once(self, backend, admin, monkeypatch):
        await admin.post("/projects", {"name": "house"})
        project, reads = backend.project("house"), []
        read = project._read_plan

        async def counted():
            reads.append(1)
            return await read()

        monkeypatch.setattr(project, "_read_plan", counted)
        await asyncio.gather(*[inside(admin, "house").get() for _ in range(5)])
        assert reads == [1]


class TestPython:
    async def test_a_project_writes_and_reads(self, backend):
        await backend.create_project("house", "The house")
        async with backend.project("house") as house:
            task = await house.insert("task", {"text": "Roof", **DATES})
            assert house.item("task", task.id)["text"] == "Roof"
        assert backend.load()["tasks"] == []

    async def test_one_that_is_not_open_is_opened_for_a_write(self, backend):
        await backend.create_project("house")
        house = backend.project("house")
        assert (await house.insert("task", DATES)).id == 1
        assert [change.id for change in await house.history()] == [1]

    async def test_one_that_is_not_there_is_told_to_whoever_uses_it(self, backend):
        with pytest.raises(NotFound):
            await backend.project("nowhere").insert("task", DATES)

    async def test_one_that_was_deleted_is_told_to_whoever_still_uses_it(self, backend):
        await backend.create_project("house")
        async with backend.project("house") as house:
            await backend.delete_project("house")
            with pytest.raises(NotFound):
                await house.insert("task", DATES)

    async def test_callbacks_stay_while_it_is_forgotten(self, backend):
        await backend.create_project("house")
        house, heard = backend.project("house"), []
        house.on_change(heard.append)
        await house.insert("task", DATES)
        house.forget()
        await house.insert("task", DATES)
        assert [change.seq for change in heard] == [1, 2]


async def test_a_key_of_a_request_counts_for_items_of_its_kind(gantt):
    again = gantt.having(Idempotency_Key="row-1")
    a, b = await gantt.add("task"), await gantt.add("task")
    link = await again.post("/data/link", {"source": a["id"], "target": b["id"], "type": "0"})
    task = await again.post("/data/task", DATES)
    assert link.status == task.status == 200
    assert len({link.json["tid"], task.json["tid"], a["id"], b["id"]}) == 4

"""Every endpoint, asked by everybody, against the table in docs/protocol.md."""

from __future__ import annotations

from pathlib import Path

import pytest

from gantt_tornado.config import Token
from gantt_tornado.web.table import table_of

pytestmark = pytest.mark.gen_test

CONTRACT = Path(__file__).parent.parent / "docs" / "protocol.md"
ROLES = ("viewer", "editor", "admin")


def rights() -> dict[tuple[str, str], bool]:
    """(request, who) → whether they may, as the contract states it."""
    _, _, table = CONTRACT.read_text().partition("**Who may do what.**")
    rows = [line for line in table.partition("\n\nBodies")[0].splitlines() if line[:1] == "|"]
    heads, _, *lines = ([cell.strip() for cell in row.strip("|").split("|")] for row in rows)
    return {
        (cells[0].strip("`"), who): {"yes": True, "no": False}[said]
        for cells in lines
        for who, said in zip(heads[1:], cells[1:], strict=True)
    }


RIGHTS = rights()
OF_ALL = ("POST /projects", "GET /metrics", "GET /webhooks")
REQUESTS = sorted({request for request, _ in RIGHTS})
every_request = pytest.mark.parametrize("request_", REQUESTS)


@pytest.fixture
def settings():
    """For each role three people: of every project, of this one, and of another."""
    spread = {"all": (), "own": ("default",), "other": ("bridge",)}
    tokens = [
        Token(token=f"{role}-{where}", user=role, role=role, projects=projects)
        for role in ROLES
        for where, projects in spread.items()
    ]
    mixed = Token(token="mixed", user="mixed", role="viewer", projects=("*", "bridge:admin"))
    return {"tokens": [*tokens, mixed]}


@pytest.fixture
def may(backend, gantt, listen):
    """Whether who has a token may make a request of the contract's table, in a project."""

    async def may(request: str, token: str, project: str = "default") -> bool:
        if project != "default":
            gantt.url = gantt.url.partition("/p/")[0] + f"/p/{project}"
        client = gantt.having(Remote_Token=token) if token else gantt.anonymous()
        if request == "the socket":
            return await opens(listen, token)
        verb, _, path = request.partition(" ")
        if path.startswith(("/projects", "/metrics", "/webhooks")):
            client.url = client.url.partition("/p/")[0]
        path = path.format(entity="task", id=7, seq=7, name=project)
        path += "?live=0" if path == "/data/changes" else ""
        body = None if verb in ("GET", "HEAD", "DELETE") else {}
        answer = await client.request(verb, path, body)
        assert answer.status != 405 and answer.status < 500, (request, answer)
        # The Scheduler is told with 200.
        is_refused = path.startswith("/events") and b'"code":"forbidden"' in answer.body
        return answer.status != 403 and not is_refused

    return may


async def opens(listen, token: str) -> bool:
    socket = await listen.open(token=token)
    try:
        return (await socket.frame())["action"] == "start"
    except AssertionError:
        assert socket.connection.close_code == 1008
        return False


def expected(request: str, role: str, where: str) -> bool:
    """What somebody may in the project in which they have a role; for some they need it in all."""
    return RIGHTS[request, role] and (where == "all" or request not in OF_ALL)


@every_request
@pytest.mark.parametrize("where", ["all", "own"])
@pytest.mark.parametrize("role", ROLES)
async def test_who_has_a_role_here_may_do_what_it_allows(may, request_, role, where):
    assert await may(request_, f"{role}-{where}") == expected(request_, role, where)


@every_request
@pytest.mark.parametrize("where", ["all", "other"])
@pytest.mark.parametrize("role", ROLES)
async def test_the_same_holds_in_another_project(backend, may, request_, role, where):
    await backend.create_project("bridge")
    assert await may(request_, f"{role}-{where}", "bridge") == expected(request_, role, where)


@every_request
@pytest.mark.parametrize("role", ROLES)
async def test_who_has_a_role_elsewhere_may_do_nothing_here(backend, may, request_, role):
    await backend.create_project("bridge")
    # Its answer shows their own alone.
    listed = request_ == "GET /projects"
    assert await may(request_, f"{role}-other") == listed
    assert await may(request_, f"{role}-own", "bridge") == listed


@every_request
async def test_a_role_here_is_not_raised_by_one_elsewhere(may, request_):
    assert await may(request_, "mixed") == RIGHTS[request_, "viewer"]


@every_request
async def test_who_has_no_token_may_do_what_an_anonymous_user_may(may, request_):
    assert await may(request_, "") == RIGHTS[request_, "anonymous"]


@every_request
@pytest.mark.parametrize("public", [False, True])
async def test_who_has_no_token_reads_another_project_where_it_is_public(
    backend, may, request_, public
):
    await backend.create_project("bridge")
    await backend.change_project("bridge", public=public)
    reads = RIGHTS[request_, "anonymous"] and (public or request_ == "GET /projects")
    assert await may(request_, "", "bridge") == reads


@pytest.mark.parametrize(
    "token, seen",
    [
        ("viewer-all", ["bridge", "default"]),
        ("viewer-own", ["default"]),
        ("viewer-other", ["bridge"]),
        ("", ["default"]),
    ],
)
async def test_a_list_of_projects_has_those_that_one_may_see(backend, gantt, token, seen):
    await backend.create_project("bridge")
    client = gantt.having(Remote_Token=token) if token else gantt.anonymous()
    listed = (await client.get("/projects")).json["projects"]
    assert [each["name"] for each in listed] == seen


@every_request
@pytest.mark.parametrize("gantt_token", ["wrong"])
async def test_who_has_a_wrong_token_may_do_nothing(may, request_, gantt_token):
    assert not await may(request_, gantt_token)


class TestNobody:
    """Where nobody is anonymous."""

    @pytest.fixture
    def settings(self, settings):
        return settings | {"anonymous": ""}

    @every_request
    async def test_who_has_no_token_may_do_nothing(self, may, request_):
        assert not await may(request_, "")


async def test_the_table_has_every_endpoint(backend):
    served = {endpoint.name for endpoint in table_of(backend) if not endpoint.is_open}
    assert served | {"the socket"} == set(REQUESTS)

"""What an application is given: names, types, and a package that says it has them."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import os
import re
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pytest

import gantt_tornado
from gantt_tornado import Backend, GanttError, Project, Role, errors

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a wheel would hold."""
    if not (ROOT / "static/vendor/package.json").is_file():
        pytest.skip("THE CLIENT IS NOT THERE, and building would fetch it: pip install -e .")
    folder = tmp_path_factory.mktemp("built")
    subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build_py", "--build-lib", str(folder)],
        cwd=ROOT,
        check=True,
        timeout=120,
    )
    return folder / "gantt_tornado"


def test_the_wheel_says_that_it_has_types(built: Path) -> None:
    assert (built / "py.typed").is_file()


def test_the_wheel_has_every_module_and_the_page(built: Path) -> None:
    for folder, here in (("gantt_tornado", ""), ("static", "static"), ("static/vendor",) * 2):
        names = {path.name for path in (ROOT / folder).iterdir() if path.is_file()}
        assert names <= {path.name for path in (built / here).iterdir()}


def test_every_error_that_a_caller_can_meet_has_a_public_name() -> None:
    raised = {name for name, each in vars(errors).items() if inspect.isclass(each)}
    # Nobody meets why a signed token is refused: it is told as Forbidden.
    assert raised - {"Refused"} <= set(gantt_tornado.__all__)
    assert "GanttError" in raised and issubclass(errors.Unavailable, GanttError)


def test_every_type_in_the_backends_signatures_has_a_public_name() -> None:
    """Those that are made by the backend alone, and those of its inside, are left out."""
    inside = {"Schema", "Connection", "OnChange", "Self", "Final"}
    inside |= {"Writer", "Read", "ReadApart", "Follower", "Counts", "State", "Accounts", "Presence"}
    inside |= {"Session", "Stream"}
    builtin = {"str", "bytes", "int", "bool", "object", "dict", "list", "None", "Any", "float"}
    generic = {"Mapping", "Sequence", "Callable", "Awaitable", "AsyncGenerator"}
    classes = [ast.parse(inspect.getsource(each)).body[0] for each in (Backend, Project)]
    used = set()
    for method in [each for found in classes for each in ast.iter_child_nodes(found)]:
        if not isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if method.name.startswith("_") and method.name != "__init__":
            continue
        args = [*method.args.args, *method.args.kwonlyargs]
        for annotation in [method.returns, *[arg.annotation for arg in args]]:
            nodes = ast.walk(annotation or ast.Constant(0))
            used |= {node.id for node in nodes if isinstance(node, ast.Name)}
    wanted = used - inside - builtin - generic
    assert {"Author", "WriteResult", "BatchRow", "Change", "Authenticate"} <= wanted
    assert wanted <= set(gantt_tornado.__all__)


@pytest.mark.parametrize("name", gantt_tornado.__all__)
def test_a_public_name_is_there(name: str) -> None:
    assert getattr(gantt_tornado, name) is not None


# An application that uses all of it.

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
OFFICE = ROOT / "examples" / "site_office.py"


def names_in(file: Path) -> set[str]:
    nodes = list(ast.walk(ast.parse(file.read_text())))
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return attributes | {node.id for node in nodes if isinstance(node, ast.Name)}


@pytest.fixture(scope="module")
def office() -> Any:
    spec = importlib.util.spec_from_file_location("site_office", OFFICE)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_application_uses_every_public_name() -> None:
    assert set(gantt_tornado.__all__) <= set().union(*map(names_in, EXAMPLES))


def test_an_application_calls_all_that_the_page_names() -> None:
    page = (ROOT / "docs" / "embedding.md").read_text()
    table = page.split("| call | what it does |")[1].split("\n\n")[0]
    named = set(re.findall(r"(\w+)\(", "".join(re.findall(r"^\| (.*?) \|", table, re.M))))
    assert {"insert", "move", "on_change", "routes"} <= named
    # Which ``async with`` does for it.
    assert named - {"start", "close"} <= names_in(OFFICE)


def test_applications_pass_mypy_in_strict_mode() -> None:
    if importlib.util.find_spec("mypy") is None:
        told = "MYPY IS NOT THERE: pip install -e '.[test]' brings it"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(told)
    # As it would be installed: what is found in the package itself is not their affair.
    options = ("--strict", "--follow-imports=silent", "--cache-dir=.mypy_cache/applications")
    checked = subprocess.run(
        [sys.executable, "-m", "mypy", *options, *map(str, EXAMPLES)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert (checked.returncode, checked.stderr) == (0, ""), checked.stdout


@pytest.mark.gen_test
async def test_an_application_does_what_it_says(
    office: Any, backend: Backend, changes: Any
) -> None:
    rules = office.Rules(backend)
    backend.on_change(rules.count)
    phase = await office.fill(backend)
    assert [task["text"] for task in backend.load()["tasks"]] == ["Shell", "Dig", "Walls", "Roof"]
    assert len(backend.load()["links"]) == 2
    told = await office.tidy(backend, phase)
    assert told == "Shell is back with 6 changes"
    assert len(backend.load()["tasks"]) == 4 and rules.heard == backend.default.plan.seq
    assert "nobody" not in await office.tidy(backend, 10**9)
    assert await office.keep_a_copy(backend, "handover") == ["default", "handover"]
    assert await office.tidy_copy(backend, "handover") == 4
    assert office.off_work(backend, "nobody") == 0


@pytest.mark.gen_test
async def test_its_rule_is_kept_beside_the_writes(
    office: Any, backend: Backend, changes: Any
) -> None:
    backend.on_change(office.Rules(backend).keep)
    saturday = {"text": "Dig", "start_date": date(2030, 1, 5), "duration": 1}
    task = await backend.insert("task", saturday)
    await changes.until(lambda change: change.author == office.OFFICE)
    assert backend.item("task", task.id)["start_date"] == "2030-01-07 00:00"


class TestServed:
    @pytest.fixture
    def authenticate(self, office: Any) -> Any:
        return office.sign_in({"vera": Role.editor})

    @pytest.fixture
    def app(self, office: Any, backend: Backend) -> Any:
        office.serve(backend)
        return office.application(backend)

    @pytest.fixture
    def gantt_prefix(self) -> str:
        return "/plan"

    @pytest.mark.gen_test
    async def test_its_page_can_call_it(self, backend: Backend, gantt: Any) -> None:
        await gantt.having(X_Name="vera").add("task", text="Dig")
        calls = [
            {"id": "1", "name": "office.summary", "args": []},
            {"id": "2", "name": "office.history", "args": [1]},
        ]
        answer = await gantt.having(X_Name="vera").post("/api/v1", calls)
        data = [result["data"] for result in answer.json]
        assert data == [{"for": "vera", "tasks": 1, "people": 0}, ["vera: add"]]
        assert (await gantt.get()).status == 403
        assert (await gantt.get("/dhtmlxgantt.css")).status == 200

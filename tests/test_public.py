"""What an application is given: names, types, and a package that says it has them."""

from __future__ import annotations

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import gantt_tornado
from gantt_tornado import Backend, GanttError, errors

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
    assert raised <= set(gantt_tornado.__all__)
    assert "GanttError" in raised and issubclass(errors.Unavailable, GanttError)


def test_every_type_in_the_backends_signatures_has_a_public_name() -> None:
    """Those that are made by the backend alone, and those of its inside, are left out."""
    inside = {"Connection", "OnChange", "Self", "Final"}
    builtin = {"str", "int", "bool", "object", "dict", "list", "None", "Any"}
    generic = {"Mapping", "Sequence", "Callable", "Awaitable"}
    public = {"Committed": "Change"}
    (backend,) = ast.parse(inspect.getsource(Backend)).body
    assert isinstance(backend, ast.ClassDef)
    used = set()
    for method in backend.body:
        if not isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if method.name.startswith("_") and method.name != "__init__":
            continue
        args = [*method.args.args, *method.args.kwonlyargs]
        for annotation in [method.returns, *[arg.annotation for arg in args]]:
            nodes = ast.walk(annotation or ast.Constant(0))
            used |= {node.id for node in nodes if isinstance(node, ast.Name)}
    wanted = {public.get(name, name) for name in used - inside - builtin - generic}
    assert {"Author", "Outcome", "Write", "Change", "Authenticate"} <= wanted
    assert wanted <= set(gantt_tornado.__all__)


@pytest.mark.parametrize("name", gantt_tornado.__all__)
def test_a_public_name_is_there(name: str) -> None:
    assert getattr(gantt_tornado, name) is not None

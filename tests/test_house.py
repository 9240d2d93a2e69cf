"""The rules of the house, held by reading the code."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache, lru_cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "gantt_tornado"

#: What may import what: each from those above it and from its own folder. Folders in one
#: line know nothing of each other.
LAYERS = (
    {"errors", "counts"},
    {"model"},
    {"config"},
    {"json_web_tokens"},
    {"accounts", "limits", "store", "live", "webhooks"},
    {"project", "readiness"},
    {"built_in_calls"},
    {"backend"},
    {"web"},
    {"token_commands", "conform"},
    {"database_commands", "conform_command"},
    {"cli"},
)
LEVEL = {folder: level for level, folders in enumerate(LAYERS) for folder in folders}
#: Stands beside the house: those who embed use it in tests of theirs.
OUTSIDE = {"testing", "__init__"}
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
    for path in PACKAGE.rglob("*.py")
    if "migrations" not in path.parts
)
IN_THE_HOUSE = [name for name in MODULES if name not in OUTSIDE and not name.endswith(".__init__")]

MAY_USE = {
    "tornado": {"web", "webhooks", "conform", "cli", "testing"},
    "peewee": {"store"},
    "playhouse": {"store.database"},
    "sqlite3": {"store.database"},
    "asyncio": {
        *("store.writer", "live", "webhooks", "project", "readiness", "backend", "web", "cli"),
        *("conform", "conform_command", "testing"),
    },
    "filelock": {"store.database"},
    "nh3": {"model.text"},
    "pydantic": {"config", "model.entities", "model.event", "model.family"},
    "jwt": {"json_web_tokens"},
    "cryptography": {"json_web_tokens"},
    "prometheus_client": {"web.metrics"},
    "argparse": {"cli", "token_commands", "database_commands", "conform_command"},
    "threading": {"store.writer", "webhooks.poster"},
    "pytest": {"testing"},
}

MUTATORS = {
    *("append", "extend", "insert", "remove", "pop", "clear", "update", "setdefault"),
    *("add", "discard", "popitem", "appendleft", "popleft"),
}
CONTAINERS = (ast.Dict, ast.List, ast.Set, ast.DictComp, ast.ListComp, ast.SetComp)

every_module = pytest.mark.parametrize("name", MODULES)
every_room = pytest.mark.parametrize("name", IN_THE_HOUSE)


def path_of(name: str) -> Path:
    return PACKAGE.joinpath(*name.split(".")).with_suffix(".py")


def folder(name: str) -> str:
    return name.split(".")[0]


@cache
def tree(name: str) -> ast.Module:
    return ast.parse(path_of(name).read_text())


@cache
def imports(name: str) -> frozenset[str]:
    """What a module imports, by its full name; what it needs for types alone too."""
    return frozenset(imported(tree(name)))


def imported(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(name: str) -> set[str]:
    """The modules of the house that a module imports."""
    found = set()
    for each in imports(name):
        parts = each.split(".")
        if parts[0] == "gantt_tornado":
            dotted = (".".join(parts[1:end]) for end in range(len(parts), 1, -1))
            found |= {next((module for module in dotted if module in MODULES), "__init__")}
    return found - {"__init__"}


def globals_of(name: str) -> dict[str, ast.expr]:
    """What is assigned at the top of a module."""
    found: dict[str, ast.expr] = {}
    for node in tree(name).body:
        if isinstance(node, ast.Assign):
            targets = [target for target in node.targets if isinstance(target, ast.Name)]
            found |= {target.id: node.value for target in targets}
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            found[node.target.id] = node.value
    return found


# Layers.


def test_each_module_has_its_layer() -> None:
    assert {folder(name) for name in IN_THE_HOUSE} == LEVEL.keys()


@every_room
def test_a_module_imports_only_from_lower_layers_or_its_own_folder(name: str) -> None:
    here = folder(name)
    others = {folder(other) for other in ours(name)} - {here}
    assert {other for other in others if LEVEL.get(other, 99) >= LEVEL[here]} == set()


@every_room
def test_no_module_reaches_for_anothers_private_name(name: str) -> None:
    private = {each for each in imports(name) if each.rpartition(".")[2].startswith("_")}
    assert {each for each in private if not each.endswith("__")} == set()


def test_no_two_modules_import_each_other() -> None:
    TopologicalSorter({name: ours(name) for name in IN_THE_HOUSE}).prepare()


@pytest.mark.parametrize("library, modules", MAY_USE.items())
def test_a_library_is_used_where_it_belongs_alone(library: str, modules: set[str]) -> None:
    users = {name for name in MODULES if library in {each.split(".")[0] for each in imports(name)}}
    assert {name for name in users if not {name, folder(name)} & modules} == set()


@every_room
def test_nothing_is_imported_that_setup_cfg_does_not_name(name: str) -> None:
    known = {"tornado", "peewee", "playhouse", "pydantic", "nh3", "orjson", "filelock"}
    known |= {"prometheus_client"}
    # The extra gantt-tornado[jwt].
    known |= {"jwt", "cryptography"}
    # Comes with pydantic.
    known |= {"gantt_tornado", "typing_extensions"}
    used = {each.split(".")[0] for each in imports(name)}
    assert used <= known | set(sys.stdlib_module_names)


@pytest.mark.parametrize("name", [each for each in IN_THE_HOUSE if folder(each) == "model"])
def test_the_core_knows_no_socket_no_disk_and_no_loop(name: str) -> None:
    outside = {"asyncio", "socket", "sqlite3", "os", "threading", "logging", "time"}
    assert outside.isdisjoint(each.split(".")[0] for each in imports(name))


# State.


@every_module
def test_no_module_has_a_global_statement(name: str) -> None:
    assert not [node for node in ast.walk(tree(name)) if isinstance(node, ast.Global)]


@every_module
def test_no_table_of_a_module_is_ever_changed(name: str) -> None:
    tables = {each for each, value in globals_of(name).items() if isinstance(value, CONTAINERS)}
    changed = set()
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Subscript) and not isinstance(node.ctx, ast.Load):
            changed.add(ast.unparse(node.value))
        elif isinstance(node, ast.AugAssign):
            changed.add(ast.unparse(node.target))
        elif isinstance(node, ast.Attribute) and node.attr in MUTATORS:
            changed.add(ast.unparse(node.value))
    assert tables & changed == set()


@every_room
def test_a_module_makes_nothing_that_lives(name: str) -> None:
    harmless = {
        *(
            "Schema",
            "Event",
            "frozenset",
            "TypeVar",
            "ConfigDict",
            "Path",
            "Author",
            "Patch",
            "re.compile",
            "next",
        ),
        *(
            "logging.getLogger",
            "struct.Struct",
            "timedelta",
            "TypeAdapter",
            "len",
            "object",
            "partial",
            "MappingProxyType",
            "Schema",
            "Event",
            "ipaddress.IPv4Network",
            "ipaddress.IPv6Network",
        ),
    }
    calls = [value for value in globals_of(name).values() if isinstance(value, ast.Call)]
    assert {ast.unparse(call.func) for call in calls} <= harmless


@every_module
def test_a_module_says_what_it_is_for(name: str) -> None:
    text = ast.get_docstring(tree(name))
    assert text and text.splitlines()[0].endswith((".", ","))


# Tests.


@every_room
def test_each_module_has_a_module_of_tests(name: str) -> None:
    *folders, module = name.split(".")
    assert ROOT.joinpath("tests", *folders, f"test_{module}.py").is_file()


# pytest says nothing of a test that it does not see.

# With this scope all tests of one file follow each other, so that it is parsed once.
every_file = pytest.mark.parametrize(
    "path",
    sorted((ROOT / "tests").rglob("*.py")),
    ids=lambda path: path.relative_to(ROOT / "tests").as_posix(),
    scope="module",
)
Function = ast.FunctionDef | ast.AsyncFunctionDef
Definition = Function | ast.ClassDef


@lru_cache(maxsize=1)
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def defined(place: ast.AST) -> list[Definition]:
    """What is defined in a module, a class or a function, also below an ``if``."""
    found: list[Definition] = []
    for node in ast.iter_child_nodes(place):
        found += [node] if isinstance(node, Definition) else defined(node)
    return found


def classes(module: ast.Module) -> list[ast.ClassDef]:
    return [node for node in ast.walk(module) if isinstance(node, ast.ClassDef)]


def hidden_in(place: ast.AST) -> list[str]:
    return [each.name for each in defined(place) if each.name.startswith(("test", "Test"))]


@every_file
def test_each_test_has_a_name_of_its_own(path: Path) -> None:
    """Of two in one place only the last is there."""
    module = parsed(path)
    for place in (module, *classes(module)):
        names = [each.name for each in defined(place)]
        assert sorted(names) == sorted(set(names))


@every_file
def test_no_test_is_hidden_in_a_function(path: Path) -> None:
    functions = [node for node in ast.walk(parsed(path)) if isinstance(node, Function)]
    assert [name for each in functions for name in hidden_in(each)] == []


@every_file
def test_no_test_is_hidden_in_a_class_that_is_not_collected(path: Path) -> None:
    for node in classes(parsed(path)):
        made = {"__init__", "__new__"} & {each.name for each in defined(node)}
        assert (node.name.startswith("Test") and not made) or hidden_in(node) == []


@every_file
def test_no_test_is_hidden_in_a_file_that_is_not_collected(path: Path) -> None:
    assert path.name.startswith("test_") or hidden_in(parsed(path)) == []

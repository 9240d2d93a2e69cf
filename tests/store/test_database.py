from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from gantt_tornado.errors import StartError
from gantt_tornado.live.plan import Plan
from gantt_tornado.model.dates import Calendar
from gantt_tornado.model.entities import ENTITIES
from gantt_tornado.model.marks import FOREIGN
from gantt_tornado.store import database
from gantt_tornado.store.database import APPLICATION_ID, Compile, Database, Statement, param, params
from gantt_tornado.store.items import Store
from gantt_tornado.store.tables import ITEMS, MODELS, Reference, Setting, Spacing


@pytest.fixture(autouse=True)
def migrated(migrated_once: Callable[[Database], None], monkeypatch: pytest.MonkeyPatch) -> None:
    """Here each database is, by the migrations themselves."""
    monkeypatch.setattr(Database, "_prepare", migrated_once)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plan.db"


@pytest.fixture
def opened(path: Path) -> Iterator[Callable[..., Database]]:
    databases = []

    def opened(file: Path = path) -> Database:
        databases.append(Database(f"sqlite:///{file}"))
        databases[-1].open()
        return databases[-1]

    yield opened
    for each in databases:
        each.close()


def refusal(file: Path) -> str:
    with pytest.raises(StartError) as refused:
        Database(f"sqlite:///{file}").open()
    text = str(refused.value)
    assert "\n" not in text
    assert str(file) in text
    return text


def foreign(path: Path, *statements: str) -> bytes:
    with closing(sqlite3.connect(path)) as connection:
        for statement in statements or ("CREATE TABLE song (name)", "INSERT INTO song VALUES (1)"):
            connection.execute(statement)
        connection.commit()
    return path.read_bytes()


# Opening.


def test_a_file_that_is_absent_is_created(path: Path, opened: Callable[..., Database]) -> None:
    assert "change" in opened().peewee.get_tables()
    assert path.is_file()


def test_an_empty_file_is_filled(path: Path, opened: Callable[..., Database]) -> None:
    path.touch()
    assert "change" in opened().peewee.get_tables()


def test_what_was_written_is_there_again(path: Path, opened: Callable[..., Database]) -> None:
    first = opened()
    first.peewee.execute_sql("UPDATE project SET seq = 7")
    first.close()
    assert opened().peewee.execute_sql("SELECT seq FROM project").fetchone() == (7,)


def test_a_relative_path_is_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    database = Database("sqlite:///here.db")
    database.open()
    database.close()
    assert (tmp_path / "here.db").is_file()


def test_a_path_may_hold_escapes(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/my%20plan.db")
    database.open()
    database.close()
    assert (tmp_path / "my plan.db").is_file()


def test_two_databases_in_memory_share_nothing() -> None:
    first, second = Database("sqlite:///:memory:"), Database("sqlite:///:memory:")
    first.open()
    second.open()
    first.peewee.execute_sql("UPDATE project SET seq = 7")
    assert second.peewee.execute_sql("SELECT seq FROM project").fetchone() == (0,)
    first.close()
    second.close()


def test_what_was_answered_survives_a_power_cut(opened: Callable[..., Database]) -> None:
    database = opened()
    assert database.peewee.execute_sql("PRAGMA journal_mode").fetchone() == ("wal",)
    assert database.peewee.execute_sql("PRAGMA synchronous").fetchone() == (2,)


def test_the_file_is_marked_as_ours(path: Path, opened: Callable[..., Database]) -> None:
    opened().close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)


def test_closing_twice_is_no_error(opened: Callable[..., Database]) -> None:
    database = opened()
    database.close()
    database.close()


def test_a_transaction_is_seen(opened: Callable[..., Database]) -> None:
    database = opened()
    assert not database.in_transaction
    database.peewee.begin("IMMEDIATE")
    assert database.in_transaction
    database.peewee.rollback()
    assert not database.in_transaction


@pytest.mark.parametrize("entity", ENTITIES.values(), ids=list(ENTITIES))
def test_each_reference_has_an_index(entity: object, opened: Callable[..., Database]) -> None:
    execute = opened().peewee.execute_sql
    table = MODELS[entity.name]._meta.table_name  # type: ignore[attr-defined]
    for field in entity.references:  # type: ignore[attr-defined]
        query = f"SELECT id FROM {table} WHERE {field} = 1 AND project = 'x'"
        (step,) = execute(f"EXPLAIN QUERY PLAN {query}").fetchall()
        assert field in step[-1] and "SEARCH" in step[-1]


@pytest.mark.parametrize("model", [*ITEMS, Reference, Spacing], ids=lambda model: model.__name__)
def test_the_schema_is_what_the_models_say(model: Any, opened: Callable[..., Database]) -> None:
    meta = model._meta
    columns = {column.name for column in opened().peewee.get_columns(meta.table_name)}
    assert columns == {field.column_name for field in meta.sorted_fields}


# What stops the start.


@pytest.mark.parametrize(
    "url",
    [
        "",
        "plan.db",
        "sqlite:",
        "sqlite:///",
        "sqlite://host/plan.db",
        "mysql://host/plan",
        "/tmp/plan.db",
    ],
)
def test_an_address_of_another_kind_is_refused(url: str) -> None:
    with pytest.raises(StartError, match="expected sqlite"):
        Database(url)


def test_a_missing_directory_is_told_and_not_made(tmp_path: Path) -> None:
    refusal(tmp_path / "no" / "plan.db")
    assert not (tmp_path / "no").exists()


def test_a_directory_is_no_database(tmp_path: Path) -> None:
    refusal(tmp_path)


def test_a_file_of_another_kind_is_refused_and_left_as_it_was(path: Path) -> None:
    path.write_bytes(b"# Shopping\n" * 100)
    assert "not an SQLite database" in refusal(path)
    assert path.read_bytes() == b"# Shopping\n" * 100


def test_a_file_shorter_than_a_header_is_refused(path: Path) -> None:
    path.write_bytes(b"SQL")
    assert "not an SQLite database" in refusal(path)


def test_a_database_of_another_program_is_refused_and_left_as_it_was(path: Path) -> None:
    before = foreign(path)
    assert "another program" in refusal(path)
    assert path.read_bytes() == before


def test_a_marked_database_of_another_program_is_refused(path: Path) -> None:
    before = foreign(path, "CREATE TABLE song (name)", "PRAGMA application_id = 77")
    assert "another program" in refusal(path)
    assert path.read_bytes() == before


def test_a_database_of_another_program_without_tables_is_refused(path: Path) -> None:
    before = foreign(path, "PRAGMA application_id = 77")
    assert "another program" in refusal(path)
    assert path.read_bytes() == before


def test_a_database_of_another_program_in_wal_mode_is_left_as_it_was(path: Path) -> None:
    before = foreign(path, "PRAGMA journal_mode = wal", "CREATE TABLE song (name)")
    assert "another program" in refusal(path)
    assert path.read_bytes() == before


def test_a_newer_database_is_refused(path: Path, opened: Callable[..., Database]) -> None:
    opened().close()
    foreign(
        path,
        "INSERT INTO schema_migration (name, applied) VALUES ('9999_later', '2099-01-01 00:00:00')",
    )
    assert "9999_later" in refusal(path)


def test_what_was_written_before_there_were_marks_gets_one(
    path: Path, opened: Callable[..., Database], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two copies of it are two histories from then on."""
    before = tmp_path / "migrations"
    shutil.copytree(database.MIGRATIONS, before)
    for later in (
        "0007_marks.py",
        "0009_groups.py",
        "0010_history.py",
        "0011_projects.py",
        "0012_tokens.py",
        "0014_items.py",
    ):
        (before / later).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(database, "MIGRATIONS", before)
        opened().close()
    values = "2, 2, 'default', 'task', 1, 'update', '', '', 1, 1, 7, '', '{}', ''"
    foreign(path, f"INSERT INTO change VALUES ({values})")
    shutil.copy(path, tmp_path / "copy.db")
    plans = [
        Plan.of(Store(opened(each), Calendar()).read()) for each in (path, tmp_path / "copy.db")
    ]
    mine, other = [each.position() for each in plans]
    assert (plans[0].number(mine), plans[0].number(other)) == (2, FOREIGN)
    assert plans[0].number(plans[0].position(1)) == 1


def test_a_database_with_a_damaged_schema_is_refused(
    path: Path, opened: Callable[..., Database]
) -> None:
    opened().close()
    damaged = bytearray(path.read_bytes())
    damaged[100:4096] = b"\xff" * 3996
    path.write_bytes(damaged)
    refusal(path)


def test_a_refused_file_is_not_held(path: Path, opened: Callable[..., Database]) -> None:
    path.write_bytes(b"# Shopping\n")
    refusal(path)
    path.unlink()
    opened()


# One server a file.


def test_a_second_server_in_the_process_is_refused(
    path: Path, opened: Callable[..., Database]
) -> None:
    opened()
    assert "another server" in refusal(path)


def test_a_second_server_under_another_name_of_the_file_is_refused(
    path: Path, tmp_path: Path, opened: Callable[..., Database]
) -> None:
    opened()
    (tmp_path / "alias.db").symlink_to(path)
    assert "another server" in refusal(tmp_path / "alias.db")


def test_a_second_process_is_refused(path: Path, opened: Callable[..., Database]) -> None:
    opened()
    script = (
        "import sys; from gantt_tornado.store.database import Database; "
        "Database(sys.argv[1]).open()"
    )
    second = subprocess.run(
        [sys.executable, "-c", script, f"sqlite:///{path}"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert "another server is serving" in second.stderr.splitlines()[-1]


def test_the_next_server_gets_the_file(path: Path, opened: Callable[..., Database]) -> None:
    opened().close()
    opened()


def test_a_server_that_was_refused_does_not_free_the_file(
    path: Path, opened: Callable[..., Database]
) -> None:
    opened()
    refusal(path)
    refusal(path)


def test_a_server_that_was_killed_leaves_the_file_free(
    path: Path, opened: Callable[..., Database]
) -> None:
    script = (
        "import os, sys; from gantt_tornado.store.database import Database\n"
        "Database(sys.argv[1]).open(); os.kill(os.getpid(), 9)"
    )
    subprocess.run(
        [sys.executable, "-c", script, f"sqlite:///{path}"],
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    opened()


# One project becomes the first of many.

DATED = '{"text":"Dig","start_date":"2026-03-02 00:00","end_date":"2026-03-05 00:00","duration":3}'
BEFORE = (
    "UPDATE counter SET seq = 1, mark = 77",
    "INSERT INTO task (id, project, rev, fields, parent, sortorder, mark) "
    f"VALUES (2, 'default', 4, '{DATED}', 0, 'a0', 5), (3, 'default', 3, '{DATED}', 2, 'a1', 6)",
    "INSERT INTO link (id, project, rev, fields, source, target, mark) "
    "VALUES (5, 'default', 5, '{\"type\":\"0\"}', 2, 3, 7)",
    "INSERT INTO change (seq, root, project, entity, item_id, action, user, device, seen, "
    "previous, at, request, fields, mark, previous_mark) "
    "VALUES (2, 2, 'default', 'task', 2, 'add', 'eve', 'page', 0, 0, 9, 'key', '{}', 8, 0), "
    "(4, 4, 'default', 'task', 2, 'update', 'carl', '', 2, 2, 9, '', "
    '\'{"text":["Fill","Dig"]}\', 5, 8)',
    "INSERT INTO spacing (seq, project, parent, keys) VALUES (4, 'default', 2, '[[],[]]')",
)


@pytest.fixture
def old(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database of the version before, with two tasks, a link and two changes."""
    before = tmp_path / "migrations"
    shutil.copytree(database.MIGRATIONS, before)
    for later in ("0011_projects.py", "0014_items.py"):
        (before / later).unlink()
    with monkeypatch.context() as patch:
        patch.setattr(database, "MIGRATIONS", before)
        made = Database(f"sqlite:///{path}")
        made.open()
        made.close()
    foreign(path, *BEFORE)
    return path


def check_migrated(opened: Database) -> None:
    store = Store(opened, Calendar())
    rows = {(row.id, row.rev, row.mark) for kind in ENTITIES.values() for row in store.rows(kind)}
    assert rows == {(2, 4, 5), (3, 3, 6), (5, 5, 7)}
    journal = store.journal
    lines = [(line.seq, line.author.user, line.fields) for line in journal.history(99, 9, None)]
    assert lines == [(4, "carl", {"text": ["Fill", "Dig"]}), (2, "eve", {})]
    assert (journal.seq(), journal.horizon(), journal.mark(1), journal.mark(4)) == (4, 1, 77, 5)
    assert journal.added_by(ENTITIES["task"], "key") == 2
    assert list(journal.spacings(ENTITIES["task"], 2, 3)) == [[[], []]]
    assert [each.base_rev for each in journal.later(2, 2)] == [2]


def test_a_database_of_before_is_the_project_default(
    old: Path, opened: Callable[..., Database]
) -> None:
    migrated = opened(old)
    check_migrated(migrated)
    rows = migrated.execute("SELECT id, name, created, archived, deleted FROM project").fetchall()
    assert rows == [(1, "default", 9, 0, 0)]


def test_a_migration_that_was_killed_begins_anew(
    old: Path, opened: Callable[..., Database]
) -> None:
    code = (
        "import os, peewee, sys; from gantt_tornado.store.database import Database\n"
        "execute = peewee.SqliteDatabase.execute_sql\n"
        "def killed(self, sql, *args):\n"
        "    if sql.startswith('ALTER TABLE new_spacing'): os.kill(os.getpid(), 9)\n"
        "    return execute(self, sql, *args)\n"
        "peewee.SqliteDatabase.execute_sql = killed\n"
        "Database(sys.argv[1]).open()"
    )
    done = subprocess.run([sys.executable, "-c", code, f"sqlite:///{old}"], check=False)
    assert done.returncode == -9
    with closing(sqlite3.connect(old)) as connection:
        assert connection.execute("SELECT COUNT(root) FROM change").fetchone() == (2,)
    check_migrated(opened(old))


def test_a_long_migration_says_first_what_it_takes(
    old: Path, opened: Callable[..., Database], caplog: pytest.LogCaptureFixture
) -> None:
    numbers = "WITH RECURSIVE n(n) AS (SELECT 9 UNION ALL SELECT n + 1 FROM n LIMIT 10000)"
    columns = "root, project, entity, item_id, action, user, device, seen, previous, at, request"
    foreign(
        old,
        f"INSERT INTO change (seq, {columns}, fields, mark, previous_mark) {numbers} "
        f"SELECT n, n, 'default', 'task', 2, 'update', '', '', 0, 0, 0, '', '{{}}', 0, 0 FROM n",
    )
    opened(old)
    (said,) = [each.getMessage() for each in caplog.records if "free disk" in each.getMessage()]
    assert "10005 rows, which takes about 1 seconds and needs" in said


# Queries.


def _quoting(compile: Compile) -> tuple[Statement, Statement]:
    text = Setting.value == "it's :here' OR 1 = 1 --?"
    named = Setting.select(Setting.name).where(text, Setting.name != param("but"))
    add = Setting.insert(params(Setting.name, Setting.value))
    return compile(named.limit(1)), compile(add)


def test_the_values_of_a_query_stand_in_its_sql_and_parameters_come_by_name(
    opened: Callable[..., Database],
) -> None:
    database = opened()
    named, add = database.prepared(_quoting)
    for name in "abc":
        database.execute(add, {"name": name, "value": "it's :here' OR 1 = 1 --?"})
    database.execute(add, {"value": "it's", "name": "d"})
    found = database.execute(named, {"but": "a"}).fetchall()
    assert found == [("b",)]


def test_a_query_is_compiled_once_a_process() -> None:
    first, second = (Database("sqlite:///:memory:") for _ in range(2))
    assert first.prepared(_quoting) is second.prepared(_quoting)


# The tests.


def test_other_tests_have_what_the_migrations_make(
    opened: Callable[..., Database], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrated = opened()
    monkeypatch.undo()
    copied = opened(tmp_path / "copy.db")

    def found(database: Database, statement: str) -> list[str]:
        # The mark of what was written before there were marks differs.
        rows = database.execute(statement).fetchall()
        return [re.sub(r"DEFAULT \d+", "DEFAULT", str(row)) for row in rows]

    for statement in (
        "SELECT type, name, sql FROM sqlite_master ORDER BY name",
        "SELECT name FROM schema_migration",
        "SELECT id, name, seq, horizon, history FROM project",
        "SELECT * FROM setting",
        *(f"PRAGMA {each}" for each in ("application_id", "journal_mode", "synchronous")),
    ):
        assert found(copied, statement) == found(migrated, statement)
    marks = [found(each, "SELECT mark, horizon_mark FROM project") for each in (copied, migrated)]
    assert marks[0] != marks[1]

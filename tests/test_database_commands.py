"""``backup``, ``restore``, ``check``, ``stats``, ``export`` and ``import``, as they are typed."""

import io
import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import pytest

from gantt_tornado import database_commands
from gantt_tornado.cli import main
from gantt_tornado.config import Config
from gantt_tornado.errors import Unavailable
from gantt_tornado.store.text_conversion import convert
from tests.support import DATES, Driven

SERVER = Path(__file__).parent.parent / "server.py"


@pytest.fixture
def driven(tmp_path, monkeypatch):
    """What serves ``gantt.db`` in the working directory."""
    monkeypatch.chdir(tmp_path)
    driven = Driven("sqlite:///gantt.db")
    convert(driven.database, Config().html)
    yield driven
    driven.close()


@pytest.fixture
def run(driven, capsys):
    """Run a command; what it printed on standard output and its exit status."""

    def run(*arguments, status=0):
        assert main(list(arguments)) == status
        output, errors = capsys.readouterr()
        assert errors == ""
        return output

    return run


@pytest.fixture
def refused(driven, capsys):
    """The one line that a command leaves which cannot be carried out."""

    def refused(*arguments):
        assert main(list(arguments)) == 2
        output, errors = capsys.readouterr()
        assert output == ""
        assert errors.count("\n") == 1 and errors.startswith("gantt-tornado: ")
        return errors

    return refused


class TestBackupAndRestore:
    def test_beside_the_server_and_back_without_it(self, driven, run, refused):
        driven.task(text="Dig")
        said = run("backup", "copy.db")
        assert said.startswith("copy.db is a backup of gantt.db: 0.") and said.count("\n") == 1
        driven.task(text="Build")
        assert "another server is serving" in refused("restore", "copy.db")
        driven.close()
        said = run("restore", "copy.db")
        assert "copy.db is restored to gantt.db" in said and "gantt.db.replaced-" in said
        assert said.count("\n") == 1
        again = Driven("sqlite:///gantt.db")
        assert [each for each in again.ids("task")] == [1]
        again.close()

    def test_the_database_may_be_named(self, driven, run, tmp_path):
        (tmp_path / "c.toml").write_text('database = "sqlite:///gantt.db"')
        run("backup", "a.db", "--database", "sqlite:///gantt.db")
        run("backup", "a.db", "--config", "c.toml")
        run("--database", "sqlite:///gantt.db", "backup", "a.db")

    def test_what_is_not_there_is_said(self, refused):
        assert "there is no database nowhere.db" in refused(
            "backup", "a.db", "--database", "sqlite:///nowhere.db"
        )
        assert "there is no backup nowhere.db" in refused("restore", "nowhere.db")


class TestCheck:
    def test_beside_the_server(self, driven, run):
        driven.link(driven.task(), driven.task())
        assert run("check") == "gantt.db: no faults.\n"

    def test_what_is_wrong_is_told_and_counts(self, driven, run):
        one, two = driven.task(), driven.task()
        driven.database.execute("UPDATE task SET parent = 77")
        assert run("check", status=1).splitlines() == [
            f"default: task {one}: its parent 77 is not there",
            f"default: task {two}: its parent 77 is not there",
            "gantt.db: 2 faults.",
        ]

    def test_to_mend_it_the_server_has_to_stop(self, driven, run, refused):
        task = driven.task()
        driven.database.execute("UPDATE task SET parent = 77")
        assert "another server is serving" in refused("check", "--mend")
        shape = Driven(database=driven.database).store.shape
        driven.close()
        assert run("check", "--mend").splitlines() == [
            f"default: task {task}: its parent 77 is not there",
            "gantt.db: 1 fault, 1 mended, pages load again.",
        ]
        assert run("check", "--mend") == "gantt.db: no faults.\n"
        again = Driven("sqlite:///gantt.db")
        # No page may save from what it has.
        assert again.store.shape != shape
        again.close()

    def test_what_cannot_be_mended_is_told(self, driven, run):
        driven.task()
        driven.database.execute("UPDATE task SET fields = '{'")
        driven.close()
        *_, last = run("check", "--mend", status=1).splitlines()
        assert last == "gantt.db: 1 fault, nothing can be mended."

    @pytest.mark.parametrize(
        "sql, text",
        [
            ("DELETE FROM project", "there is no project 'default'"),
            ("UPDATE project SET name = 'other'", "there is no project 'default'"),
            ("UPDATE project SET name = '../x'", "a project has the name '../x'"),
            ("DELETE FROM setting", "the setting html is missing"),
            ("UPDATE setting SET value = ''", "the setting html is missing"),
            ("UPDATE task SET project = 7", "1 rows of task belong to project 7, which is not"),
            ("UPDATE change SET project = 7", "1 rows of change belong to project 7"),
            ("DROP INDEX task_place", "the index task_place is missing"),
            ("UPDATE project SET horizon = 50", "changes up to 50 are forgotten, and the last one"),
        ],
    )
    def test_what_is_wrong_around_the_plans_is_told(self, driven, run, sql, text):
        driven.task()
        driven.database.execute(sql)
        driven.close()
        assert text in run("check", status=1)
        assert text in run("check", "--mend", status=1)

    def test_what_cannot_be_mended_keeps_nothing_else_from_it(self, driven, run):
        broken, other = driven.task(), driven.task()
        driven.database.execute("UPDATE task SET id = 0 WHERE id = ?", (broken,))
        driven.database.execute("UPDATE task SET parent = 77 WHERE id = ?", (other,))
        driven.close()
        *_, still, last = run("check", "--mend", status=1).splitlines()
        assert "still: task 0: " in still and "mended" in last
        assert "parent 77" not in run("check", status=1)

    def test_in_a_damaged_file_nothing_is_written(self, driven, run, monkeypatch):
        driven.task()
        driven.database.execute("UPDATE task SET parent = 77")
        driven.close()
        monkeypatch.setattr(database_commands.Database, "faults", lambda self: ["page 7"])
        lines = run("check", "--mend", status=1).splitlines()
        assert lines[0] == "the file: page 7"
        assert lines[-1] == "gantt.db: 2 faults, nothing can be mended."

    def test_of_many_only_some_are_shown(self, driven, run, monkeypatch):
        monkeypatch.setattr(database_commands, "MOST_SHOWN", 2)
        for _ in range(4):
            driven.task()
        driven.database.execute("UPDATE task SET parent = 77")
        assert run("check", status=1).splitlines()[2:] == [
            "default: and 2 more",
            "gantt.db: 4 faults.",
        ]

    def test_a_deleted_project_is_looked_at_too(self, driven, run):
        driven.task()
        driven.database.execute("UPDATE task SET parent = 77")
        driven.database.execute("UPDATE project SET deleted = 1")
        assert "default: task 1" in run("check", status=1)


def test_stats_say_what_there_is(driven, run):
    driven.link(driven.task(), driven.task())
    driven.insert("baseline", {"task_id": 1, **DATES})
    heads, row, total = run("stats").splitlines()
    assert heads.split()[:5] == ["PROJECT", "TASKS", "LINKS", "OTHERS", "CHANGES"]
    assert row.split()[:5] == ["default", "2", "1", "1", "4"] and row.endswith("open")
    assert total.startswith("gantt.db: 1 projects, 0.")


class TestExportAndImport:
    def test_a_project_goes_there_and_back(self, driven, run, tmp_path):
        driven.link(driven.task(text="Ünï"), driven.task())
        assert run("export", "default", "plan.jsonl") == (
            "default: 3 items are written to plan.jsonl.\n"
        )
        lines = (tmp_path / "plan.jsonl").read_text("utf-8").splitlines()
        assert [json.loads(line).get("entity") for line in lines] == [None, "task", "task", "link"]
        driven.close()
        said = run("import", "plan.jsonl", "--name", "copy")
        assert said == "copy: a project with 2 tasks is added.\n"
        assert run("check") == "gantt.db: no faults.\n"

    def test_through_a_pipe(self, driven, monkeypatch, capfdbinary):
        driven.task()
        assert main(["export", "default"]) == 0
        lines, said = capfdbinary.readouterr()
        assert said == b"default: 1 items are written to -.\n"
        assert all(json.loads(line) for line in lines.splitlines())
        driven.close()
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(lines)))
        assert main(["import", "-", "--name", "copy"]) == 0

    def test_who_reads_only_the_first_lines_has_enough(self, driven, tmp_path):
        for _ in range(20):
            driven.task(text="x" * 20_000)
        command = [sys.executable, str(SERVER), "export", "default"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            process.stdout.readline()
            process.stdout.close()
            assert process.stderr.read() == b""
        assert process.returncode == 0

    def test_to_add_one_the_server_has_to_stop(self, driven, run, refused):
        run("export", "default", "plan.jsonl")
        assert "another server is serving" in refused("import", "plan.jsonl", "--name", "copy")

    def test_nothing_is_added_of_a_plan_that_breaks_a_rule(self, driven, run, refused, tmp_path):
        driven.task()
        run("export", "default", "plan.jsonl")
        path = tmp_path / "plan.jsonl"
        path.write_text(path.read_text().replace('"parent":0', '"parent":77'))
        driven.close()
        said = refused("import", "plan.jsonl", "--name", "copy")
        assert "nothing is added: task 1: its parent 77 is not there" in said
        with closing(sqlite3.connect("gantt.db")) as connection:
            assert connection.execute("SELECT count(*) FROM project").fetchone() == (1,)

    def test_a_line_that_is_wrong_is_named(self, driven, run, refused, tmp_path):
        run("export", "default", "plan.jsonl")
        with (tmp_path / "plan.jsonl").open("a") as file:
            file.write("?\n")
        driven.close()
        assert "line 2: it is not JSON" in refused("import", "plan.jsonl", "--name", "copy")

    def test_it_may_have_no_more_than_a_page_could_send(
        self, driven, run, refused, tmp_path, monkeypatch
    ):
        driven.task(text="x" * 2000)
        driven.task()
        run("export", "default", "plan.jsonl")
        driven.close()
        monkeypatch.setenv("GANTT_MAX_BODY", "1024")
        assert "line 2: it has more than 1024" in refused("import", "plan.jsonl", "--name", "copy")
        monkeypatch.setenv("GANTT_MAX_BODY", "4096")
        monkeypatch.setenv("GANTT_MAX_ITEMS", "1")
        assert "may have 1 items" in refused("import", "plan.jsonl", "--name", "copy")

    def test_a_file_is_written_whole_or_not_at_all(self, driven, run, refused, tmp_path):
        run("export", "default", "plan.jsonl")
        before = (tmp_path / "plan.jsonl").read_bytes()
        driven.task()
        driven.database.execute("UPDATE task SET fields = '{'")
        assert "task 1 is damaged" in refused("export", "default", "plan.jsonl")
        assert (tmp_path / "plan.jsonl").read_bytes() == before
        assert not list(tmp_path.glob("*.new"))

    @pytest.mark.parametrize("name", ["gantt.db", "gantt.db-wal", "gantt.db.lock"])
    def test_the_database_itself_is_no_place_for_it(self, driven, run, refused, name):
        driven.task()
        assert "belongs to the database itself" in refused("export", "default", name)
        assert run("check") == "gantt.db: no faults.\n"

    def test_nor_is_any_other_file(self, driven, run, refused, tmp_path):
        (tmp_path / "letter.txt").write_text("Dear Ann")
        assert "letter.txt holds no project" in refused("export", "default", "letter.txt")
        assert (tmp_path / "letter.txt").read_text() == "Dear Ann"
        assert "is no file" in refused("export", "default", ".")
        (tmp_path / "plan.jsonl").touch()
        for _ in range(2):
            run("export", "default", "plan.jsonl")

    def test_what_another_one_is_writing_stays(self, driven, run, tmp_path):
        (tmp_path / "plan.jsonl.new").write_text("theirs")
        run("export", "default", "plan.jsonl")
        assert (tmp_path / "plan.jsonl.new").read_text() == "theirs"
        assert len(list(tmp_path.glob("plan.jsonl*"))) == 2

    def test_what_is_not_there_is_said(self, driven, refused):
        assert "There is no such project" in refused("export", "house")
        driven.close()
        assert "No such file" in refused("import", "nowhere.jsonl")


def test_a_failure_of_the_store_is_one_line(driven, refused, monkeypatch):
    def fail(*_args):
        raise Unavailable("later")

    monkeypatch.setattr(database_commands.project_files, "lines", fail)
    assert "later" in refused("export", "default")


@pytest.mark.parametrize("command", ["backup", "restore", "import", "export"])
def test_each_needs_to_know_what(refused, command):
    assert "required" in refused(command)

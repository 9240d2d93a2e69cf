"""A database copied while it is served, and put back when it is not."""

import os
import sqlite3
import stat
from contextlib import closing

import pytest
from peewee import DatabaseError

from gantt_tornado.errors import StartError
from gantt_tornado.store import backups
from gantt_tornado.store.backups import back_up, restore
from gantt_tornado.store.database import Database
from tests.support import Driven


@pytest.fixture
def url(tmp_path):
    return f"sqlite:///{tmp_path}/plan.db"


@pytest.fixture
def driven(url):
    """What a server has open."""
    driven = Driven(url)
    yield driven
    driven.close()


@pytest.fixture
def copy(tmp_path, driven, url):
    """Make a backup as the command does, beside the server."""

    def copy(name="copy.db"):
        database = Database(url)
        database.join()
        try:
            back_up(database, tmp_path / name)
        finally:
            database.leave()
        return tmp_path / name

    return copy


@pytest.fixture
def stopped(driven):
    driven.close()
    return driven


def texts(path):
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT json_extract(fields, '$.text') FROM task ORDER BY id")
        return [text for (text,) in rows]


class TestBackup:
    def test_it_has_all_that_was_committed(self, driven, copy):
        driven.task(text="Dig")
        path = copy()
        driven.task(text="Build")
        assert texts(path) == ["Dig"]

    def test_it_is_one_file_that_only_its_owner_reads(self, driven, copy, tmp_path):
        path = copy()
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [each.name for each in tmp_path.glob("copy.db*")] == ["copy.db"]

    def test_it_can_be_read_where_nothing_can_be_written(self, driven, copy):
        path = copy()
        with closing(sqlite3.connect(path)) as connection:
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)

    def test_a_write_that_is_under_way_is_not_in_it(self, driven, copy):
        driven.task(text="Dig")
        with driven.database.peewee.atomic("IMMEDIATE"):
            driven.store._database.execute("UPDATE task SET fields = '{}'")
            assert texts(copy()) == ["Dig"]

    def test_it_takes_the_place_of_an_earlier_one(self, driven, copy):
        copy()
        driven.task(text="Dig")
        assert texts(copy()) == ["Dig"]

    @pytest.mark.parametrize("name", ["a#b.db", "a?b.db", "a%41.db"])
    def test_its_name_may_have_any_letters(self, driven, copy, url, name):
        driven.task(text="Dig")
        path = copy(name)
        assert texts(copy(name)) == ["Dig"]
        driven.close()
        restore(url, path)
        assert texts(driven.database.path) == ["Dig"]

    def test_one_that_fails_leaves_the_earlier_one(self, driven, copy, monkeypatch, tmp_path):
        driven.task(text="Dig")
        path = copy()

        def fail(*_args):
            raise DatabaseError("database or disk is full")

        monkeypatch.setattr(Database, "copy_to", fail)
        with pytest.raises(StartError, match="disk is full"):
            copy()
        assert texts(path) == ["Dig"]
        assert [each.name for each in tmp_path.glob("copy.db*")] == ["copy.db"]

    def test_a_copy_that_is_damaged_is_none(self, driven, copy, monkeypatch, tmp_path):
        monkeypatch.setattr(Database, "faults", lambda self: ["row 7 is missing"])
        with pytest.raises(StartError, match="damaged: row 7 is missing"):
            copy()
        assert not list(tmp_path.glob("copy.db*"))

    @pytest.mark.parametrize("name", ["plan.db", "plan.db-wal", "plan.db.position", "plan.db.lock"])
    def test_the_database_itself_is_no_place_for_it(self, driven, copy, name):
        driven.task(text="Dig")
        with pytest.raises(StartError, match="belongs to the database itself"):
            copy(name)
        assert texts(driven.database.path) == ["Dig"]

    def test_nor_is_it_under_another_name(self, driven, copy, tmp_path):
        os.link(tmp_path / "plan.db", tmp_path / "same.db")
        with pytest.raises(StartError, match="belongs to the database itself"):
            copy("same.db")

    def test_nor_another_file(self, driven, copy, tmp_path):
        (tmp_path / "letter.txt").write_text("Dear Ann")
        with pytest.raises(StartError):
            copy("letter.txt")
        assert (tmp_path / "letter.txt").read_text() == "Dear Ann"

    @pytest.mark.parametrize("beside", ["-wal", ".lock", ".position"])
    def test_nor_the_database_of_another_server(self, driven, copy, tmp_path, beside):
        path = copy()
        path.with_name(path.name + beside).touch()
        driven.task(text="Dig")
        with pytest.raises(StartError, match=f"a server's database: copy.db{beside} lies beside"):
            copy()
        assert texts(path) == []

    def test_nor_the_one_that_it_really_has(self, driven, copy, tmp_path):
        other = Driven(f"sqlite:///{tmp_path}/other.db")
        other.task(text="Build")
        with pytest.raises(StartError, match="is a server's database"):
            copy("other.db")
        other.close()
        with pytest.raises(StartError, match="is a server's database"):
            copy("other.db")
        assert texts(tmp_path / "other.db") == ["Build"]

    def test_two_at_once_do_not_disturb_each_other(self, driven, copy, tmp_path, monkeypatch):
        driven.task(text="Dig")
        make = Database.copy_to

        def copy_to(database, path):
            make(database, path)
            monkeypatch.setattr(Database, "copy_to", make)
            copy()

        monkeypatch.setattr(Database, "copy_to", copy_to)
        assert texts(copy()) == ["Dig"]
        assert [each.name for each in tmp_path.glob("copy.db*")] == ["copy.db"]

    def test_an_empty_database_is_nothing_to_copy(self, driven, copy, tmp_path):
        driven.task(text="Dig")
        path = copy()
        (tmp_path / "empty.db").touch()
        empty = Database(f"sqlite:///{tmp_path}/empty.db")
        with pytest.raises(StartError, match="is empty"):
            empty.join(older=True)
        assert texts(path) == ["Dig"]

    def test_nor_a_folder(self, driven, copy, tmp_path):
        with pytest.raises(StartError, match="is no file"):
            copy(".")

    def test_nor_where_there_is_no_folder(self, driven, copy):
        with pytest.raises(StartError, match="No such file"):
            copy("nowhere/copy.db")


class TestRestore:
    def test_what_was_backed_up_is_there_again(self, driven, copy, url):
        driven.task(text="Dig")
        path = copy()
        driven.task(text="Build")
        driven.close()
        kept = restore(url, path)
        assert texts(driven.database.path) == ["Dig"]
        assert texts(kept) == ["Dig", "Build"]

    def test_no_page_takes_it_for_the_plan_that_it_had(self, driven, copy, url):
        driven.task(text="Dig")
        before = driven.plan.stored_position(), driven.store.shape
        path = copy()
        driven.close()
        restore(url, path)
        again = Driven(url)
        assert again.plan.stored_position().seq == before[0].seq
        assert again.store.shape != before[1]
        again.close()

    def test_neither_does_one_of_another_project(self, driven, copy, url):
        folded = "SELECT history FROM project"
        path = copy()
        before = driven.database.execute(folded).fetchall()
        driven.close()
        restore(url, path)
        with closing(sqlite3.connect(driven.database.path)) as connection:
            after = connection.execute(folded).fetchall()
        assert len(after) == len(before) and not {*before} & {*after}

    def test_a_server_that_has_the_file_keeps_it(self, driven, copy, url):
        driven.task(text="Dig")
        path = copy()
        driven.task(text="Build")
        with pytest.raises(StartError, match="another server is serving"):
            restore(url, path)
        assert texts(driven.database.path) == ["Dig", "Build"]

    def test_what_is_no_backup_changes_nothing(self, stopped, url, tmp_path):
        (tmp_path / "letter.txt").write_text("Dear Ann, " * 100)
        (tmp_path / "empty").touch()
        for name in ("letter.txt", "nothing-here", "plan.db", ".", "empty"):
            with pytest.raises(StartError):
                restore(url, tmp_path / name)
        assert not list(tmp_path.glob("plan.db.*[!k]"))
        assert texts(stopped.database.path) == []

    def test_neither_does_a_damaged_one(self, driven, copy, url):
        for _ in range(50):
            driven.task(text="Dig" * 100)
        path = copy()
        driven.close()
        content = bytearray(path.read_bytes())
        content[8192:16384] = b"\xff" * 8192
        path.write_bytes(content)
        with pytest.raises(StartError):
            restore(url, path)
        assert len(texts(driven.database.path)) == 50

    def test_there_need_be_no_database_yet(self, driven, copy, tmp_path):
        driven.task(text="Dig")
        kept = restore(f"sqlite:///{tmp_path}/new.db", copy())
        assert kept is None and texts(tmp_path / "new.db") == ["Dig"]

    def test_what_is_damaged_is_kept_as_it_was(self, driven, copy, url, tmp_path):
        driven.task(text="Dig")
        path = copy()
        driven.close()
        (tmp_path / "plan.db").write_bytes(b"no database at all")
        (tmp_path / "plan.db-wal").write_bytes(b"its log")
        kept = restore(url, path)
        assert kept.read_bytes() == b"no database at all"
        assert kept.with_name(kept.name + "-wal").read_bytes() == b"its log"
        assert texts(tmp_path / "plan.db") == ["Dig"]

    def test_the_mode_of_the_file_stays(self, driven, copy, url, tmp_path):
        path = copy()
        driven.close()
        (tmp_path / "plan.db").chmod(0o640)
        restore(url, path)
        assert stat.S_IMODE((tmp_path / "plan.db").stat().st_mode) == 0o640

    def test_one_that_fails_at_the_last_step_changes_nothing(
        self, driven, copy, url, tmp_path, monkeypatch
    ):
        driven.task(text="Dig")
        path = copy()
        driven.task(text="Build")
        driven.close()

        def fail(*_args):
            raise OSError("no space left on device")

        monkeypatch.setattr(backups, "_begin_anew", fail)
        with pytest.raises(StartError, match="no space left"):
            restore(url, path)
        assert texts(tmp_path / "plan.db") == ["Dig", "Build"]
        assert not list(tmp_path.glob("plan.db.new*"))

    @pytest.mark.parametrize("can_link", [True, False])
    def test_two_within_a_second_keep_both_that_were_there(
        self, driven, copy, url, monkeypatch, can_link
    ):
        driven.task(text="Dig")
        path = copy()
        driven.task(text="Build")
        driven.close()
        monkeypatch.setattr(backups.time, "strftime", lambda *_: "now")
        if not can_link:
            monkeypatch.setattr(os, "link", lambda *_: os.stat("/nowhere"))
        first, second = restore(url, path), restore(url, path)
        assert [first.name, second.name] == ["plan.db.replaced-now", "plan.db.replaced-now-2"]
        assert (texts(first), texts(second)) == (["Dig", "Build"], ["Dig"])

    def test_where_links_are_unknown_it_is_copied(self, driven, copy, url, monkeypatch):
        driven.task(text="Dig")
        path = copy()
        driven.close()

        def fail(*_args):
            raise OSError("not supported")

        monkeypatch.setattr(os, "link", fail)
        assert texts(restore(url, path)) == ["Dig"]

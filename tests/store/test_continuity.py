from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from gantt_tornado.errors import Stale
from gantt_tornado.live.plan import Plan
from gantt_tornado.model.entities import ENTITIES
from gantt_tornado.model.marks import FOREIGN, Position
from gantt_tornado.store.continuity import SUFFIX, Continuity, renew
from gantt_tornado.store.items import Store
from tests.support import Driven


class Served(Driven):
    """A plan in a file, as a server opens it."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"sqlite:///{path}")
        self.continuity = Continuity(self.database.path)
        with self.database.peewee.atomic("IMMEDIATE"):
            self.continuity.check(self.database)
        self.read_again()
        self.note()

    def renew(self) -> None:
        renew(self.database)
        self.read_again()

    def read_again(self) -> None:
        self.store = Store(self.database, self.calendar)
        self.plan = Plan.of(self.store.read())

    def note(self) -> None:
        self.continuity.note({1: self.plan.stored_position()})

    def stop(self) -> None:
        self.note()
        self.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plan.db"


@pytest.fixture
def served(path: Path) -> Iterator[Served]:
    plan = Served(path)
    yield plan
    plan.close()


def goes_on(path: Path, position: Position) -> bool:
    """Whether a page that has a position can go on with what is served after a start."""
    plan = Served(path)
    found = plan.plan.number(position) == position.seq
    plan.close()
    return found


def backup(path: Path) -> Path:
    copy = path.with_name("copy.db")
    shutil.copy(path, copy)
    return copy


def lost_task(served: Served, path: Path) -> tuple[Position, Path]:
    """A task, a backup, and another task, which the backup lacks: the position of a page of
    before the backup, and the backup."""
    served.task()
    position = served.plan.position()
    served.stop()
    copy = backup(path)
    later = Served(path)
    later.task()
    later.stop()
    return position, copy


def test_pages_go_on_after_a_restart(served: Served, path: Path) -> None:
    served.task()
    position = served.plan.position()
    served.task()
    served.stop()
    assert goes_on(path, position)


def test_pages_go_on_after_a_crash(served: Served, path: Path) -> None:
    served.task()
    served.note()
    served.task()
    position = served.plan.position()
    served.close()
    assert goes_on(path, position)


def test_pages_of_before_a_backup_load_again_when_it_is_restored(
    served: Served, path: Path
) -> None:
    """They may have been told what the backup lacks."""
    position, copy = lost_task(served, path)
    shutil.copy(copy, path)
    assert not goes_on(path, position)


def test_so_they_do_when_the_numbers_have_caught_up(served: Served, path: Path) -> None:
    position, copy = lost_task(served, path)
    shutil.copy(copy, path)
    restored = Served(path)
    restored.task()
    restored.stop()
    assert not goes_on(path, position)


def test_a_copy_that_went_on_elsewhere_is_another_with_the_same_numbers_too(
    served: Served, path: Path
) -> None:
    position, copy = lost_task(served, path)
    elsewhere = Driven(f"sqlite:///{copy}")
    elsewhere.task()
    elsewhere.close()
    shutil.copy(copy, path)
    assert not goes_on(path, position)


def test_a_backup_that_lacks_nothing_goes_on(served: Served, path: Path) -> None:
    served.task()
    position = served.plan.position()
    served.stop()
    copy = backup(path)
    shutil.copy(copy, path)
    assert goes_on(path, position)


def test_a_plan_of_which_nothing_is_known_is_another(served: Served, path: Path) -> None:
    served.task()
    position = served.plan.position()
    served.stop()
    Path(f"{path}{SUFFIX}").unlink()
    assert not goes_on(path, position)


@pytest.mark.parametrize("note", [b"", b"\xff\xfe", b"7", b"99-000abc"])
def test_so_is_one_whose_note_says_nothing(served: Served, path: Path, note: bytes) -> None:
    served.task()
    position = served.plan.position()
    served.stop()
    Path(f"{path}{SUFFIX}").write_bytes(note)
    assert not goes_on(path, position)


def test_a_journal_that_forgot_all_goes_on(served: Served, path: Path) -> None:
    served.task()
    served.prune(0)
    position = served.plan.position()
    served.stop()
    assert goes_on(path, position)


def test_the_beginning_has_a_mark_that_goes_on(served: Served, path: Path) -> None:
    position = served.plan.position()
    served.task()
    served.stop()
    assert position.seq == 0 and goes_on(path, position)


def test_where_it_cannot_be_noted_the_log_says_so_once(
    served: Served, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Path(f"{path}{SUFFIX}").unlink()
    Path(f"{path}{SUFFIX}").mkdir()
    with caplog.at_level(logging.WARNING, "gantt_tornado"):
        for _ in range(3):
            served.task()
            served.note()
    assert [record.message[:11] for record in caplog.records] == ["cannot note"]


def test_a_plan_in_memory_leaves_no_note(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    continuity = Continuity(":memory:")
    continuity.note({1: Position(1, 2)})
    assert list(tmp_path.iterdir()) == []


# New marks.


def test_new_marks_are_the_same_in_the_journal_and_in_the_items(served: Served) -> None:
    link = served.link(served.task(), served.task())
    served.update("link", link, {"type": "1"})
    served.delete("task", served.task())
    before = served.plan.position()
    written = served.database.written
    served.renew()
    assert served.database.written == written + 1
    plan = served.plan
    assert plan.position() != before and plan.position().seq == before.seq
    for entity in ENTITIES.values():
        for row in served.store.rows(entity):
            assert row.mark == served.store.journal.mark(row.rev)


def test_what_was_forgotten_has_a_new_mark_too(served: Served) -> None:
    served.task()
    served.prune(0)
    before = served.plan.position()
    served.renew()
    assert served.plan.number(before) != before.seq


def test_a_page_saves_from_the_new_marks(served: Served) -> None:
    id = served.task()
    served.update("task", id, {"text": "Fill"})
    served.renew()
    item = served.item("task", id)
    served.update("task", id, {**item, "text": "Build"})
    served.update("task", id, {**item, "progress": 0.5})
    assert (served.item("task", id)["text"], served.item("task", id)["progress"]) == ("Build", 0.5)


def test_a_page_of_before_the_new_marks_cannot_save(served: Served) -> None:
    item = served.item("task", served.task())
    served.renew()
    with pytest.raises(Stale):
        served.update("task", item["id"], {**item, "text": "Build"})


def test_a_backup_that_is_restored_twice_is_another_each_time(served: Served, path: Path) -> None:
    """Its changes are the same each time, and what pages had of it was lost each time."""
    position, copy = lost_task(served, path)
    for _ in range(2):
        shutil.copy(copy, path)
        restored = Served(path)
        assert restored.plan.number(position) == FOREIGN
        position = restored.plan.position()
        restored.stop()
    shutil.copy(copy, path)
    assert not goes_on(path, position)


def test_pages_that_have_the_new_marks_go_on(served: Served, path: Path) -> None:
    served.task()
    served.renew()
    position = served.plan.position()
    served.stop()
    assert goes_on(path, position)

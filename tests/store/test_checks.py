"""Whether a plan keeps its own rules, and how it is mended."""

import orjson
import pytest

from gantt_tornado.model.entities import TASK
from gantt_tornado.model.text import clean
from gantt_tornado.store.checks import MENDER, faults
from gantt_tornado.store.items import Store
from gantt_tornado.store.tables import JournalLine, Link, Task
from tests.support import ALICE, DATES, Driven


@pytest.fixture
def driven():
    driven = Driven()
    yield driven
    driven.close()


@pytest.fixture
def texts(driven):
    return lambda: [fault.text for fault in faults(driven.store)]


@pytest.fixture
def mend(driven):
    """Mend all that can be mended; returns what is left."""

    def mend():
        with driven.database.peewee.atomic("IMMEDIATE"):
            for _ in range(3):
                for fault in faults(driven.store):
                    if fault.cure:
                        fault.cure(driven.store)
        return [fault.text for fault in faults(driven.store)]

    return mend


@pytest.fixture
def write(driven):
    """Write to a row of a table as only a broken program would."""

    def write(model, id, **values):
        key = model.seq if model is JournalLine else model.id
        query = model.update(values).where(key == id)
        driven.database.execute(*query.bind(driven.database.peewee).sql())

    return write


class TestWhatNoKeyIs:
    def test_a_sort_key_that_is_the_last_of_all(self, driven, write, texts, mend):
        one, two, three = driven.task(), driven.task(), driven.task()
        write(Task, two, sortorder="zzz!")
        write(Task, three, sortorder="zz~")
        assert len(texts()) == 2 and mend() == []
        rows = sorted(driven.store.rows(TASK), key=lambda row: row.state["sortorder"])
        assert rows[0].id == one

    @pytest.mark.parametrize("id", [0, -1])
    def test_an_id(self, driven, texts, id):
        driven.task()
        driven.database.execute("UPDATE task SET id = ?", (id,))
        assert texts()[0] == (f"task {id}: that is no id: take a backup, or delete the row by hand")

    @pytest.mark.parametrize("column", ["fields", "sortorder"])
    def test_a_text(self, driven, texts, column):
        driven.task()
        driven.task()
        driven.database.execute(f"UPDATE task SET {column} = CAST(x'ff' AS TEXT) WHERE id = 2")
        (said,) = texts()
        assert said.startswith("task behind 1 is damaged: Could not decode to UTF-8")


class TestMarkup:
    EVIL = "Dig <b>here</b><img src=x onerror=alert(1)>"

    @pytest.fixture
    def evil(self, driven, write):
        driven.store = Store(driven.database, driven.calendar, markup=True)
        id = driven.task(text="Dig <b>")
        write(
            Task, id, fields=orjson.dumps({**DATES, "text": self.EVIL, "a": [self.EVIL]}).decode()
        )
        # No history, as of a plan that was imported.
        driven.prune(0, clock=1 << 50, longest=0)
        return id

    def test_what_could_run_as_a_script_is_told_and_mended(self, driven, evil, texts, mend):
        (said,) = texts()
        assert said.startswith(f"task {evil}: it has markup that is not let in")
        assert mend() == []
        assert fields_of(driven, "task", evil)["text"] == clean(self.EVIL)
        assert "onerror" not in str(fields_of(driven, "task", evil))

    def test_letters_are_none(self, driven, evil):
        driven.store = Store(driven.database, driven.calendar)
        assert driven.store.uncleaned() == []


def fields_of(driven, table, id):
    found = driven.database.execute(f"SELECT fields FROM {table} WHERE id = ?", (id,)).fetchone()
    return orjson.loads(found[0])


class TestSound:
    def test_a_plan_that_was_worked_on_has_no_fault(self, driven, texts):
        top = driven.task()
        one, two = driven.task(parent=top), driven.task(parent=top)
        link = driven.link(one, two)
        baseline = driven.insert("baseline", {"task_id": one, **DATES}).id
        driven.update("task", one, {"text": "Build", "own": [1, {"a": None}]}, ALICE)
        driven.update("task", two, {"parent": 0, "target": str(top)})
        driven.update("task", one, {"own": None})
        # Beside itself and beside nothing: it stays where it is.
        driven.update("task", one, {"target": str(one)})
        driven.update("task", two, {"target": "next:null"})
        driven.update("link", link, {"type": "1"})
        gone = driven.delete("task", one)
        driven.undo(gone.change)
        driven.delete("baseline", baseline)
        driven.task(text="<b>&amp;")
        assert texts() == []

    def test_neither_has_one_whose_history_is_forgotten_in_part(self, driven, texts):
        ids = [driven.task() for _ in range(5)]
        driven.update("task", ids[0], {"text": "Build"})
        driven.delete("task", ids[1])
        driven.prune(keep=2)
        assert driven.store.journal.horizon() > 1
        assert texts() == []

    def test_nor_where_keys_were_spaced_anew(self, driven, texts):
        low, high = driven.task(), driven.task()
        for _ in range(200):
            id = driven.task()
            driven.update("task", id, {"target": str(high)})
            low, high = id, low if driven.branch().index(low) > driven.branch().index(id) else high
        assert texts() == []


class TestRules:
    def test_a_parent_that_is_not_there(self, driven, texts, mend, write):
        task, child = driven.task(), driven.task()
        write(Task, child, parent=77)
        assert texts() == [f"task {child}: its parent 77 is not there"]
        assert mend() == []
        assert driven.branch() == [task, child]

    def test_tasks_below_themselves(self, driven, texts, mend, write):
        one, two, three, below = (driven.task() for _ in range(4))
        write(Task, one, parent=three)
        write(Task, two, parent=one)
        write(Task, three, parent=two)
        write(Task, below, parent=two)
        assert texts() == [f"task {one}: it stands below itself"]
        assert mend() == []
        assert (driven.branch(), driven.branch(one), driven.branch(two)) == (
            [one],
            [two],
            sorted([three, below], key=driven.branch(two).index),
        )

    def test_a_link_to_nothing(self, driven, texts, mend, write):
        link = driven.link(driven.task(), driven.task())
        write(Link, link, target=77)
        assert texts() == [f"link {link}: its target 77 is not there"]
        assert mend() == [] and driven.ids("link") == []

    def test_a_link_from_a_task_to_itself(self, driven, texts, mend, write):
        task = driven.task()
        link = driven.link(task, driven.task())
        write(Link, link, target=task)
        assert texts() == [f"link {link}: it leads from a task to itself"]
        assert mend() == []

    def test_the_later_of_two_links_of_a_kind(self, driven, texts, mend, write):
        one, two, three = (driven.task() for _ in range(3))
        first, second = driven.link(one, two), driven.link(one, three)
        write(Link, second, target=two)
        assert texts() == [f"link {second}: there is another one of its kind"]
        assert mend() == [] and driven.ids("link") == [first]

    def test_a_link_that_closes_a_circle(self, driven, texts, mend, write):
        one, two, three = (driven.task() for _ in range(3))
        driven.link(one, two)
        link = driven.link(one, three)
        write(Link, link, source=two, target=one)
        assert texts() == [f"link {link}: it closes a circle"]
        assert mend() == []

    def test_a_baseline_of_no_task(self, driven, texts, mend):
        task = driven.task()
        baseline = driven.insert("baseline", {"task_id": task, **DATES}).id
        driven.database.execute("UPDATE baseline SET task_id = 77")
        assert texts() == [f"baseline {baseline}: its task_id 77 is not there"]
        assert mend() == [] and driven.ids("baseline") == []

    def test_a_sort_key_that_is_none(self, driven, texts, mend, write):
        one, two = driven.task(), driven.task()
        write(Task, one, sortorder="?!")
        assert texts() == [f"task {one}: its sort key '?!' is none"]
        assert mend() == [] and driven.branch() == [two, one]

    def test_a_column_that_holds_something_else(self, driven, texts, mend, write):
        task = driven.task()
        write(Task, task, parent="x")
        assert texts() == [f"task {task}: its parent is 'x'"] == mend()

    def test_fields_that_cannot_be_read(self, driven, texts, mend, write):
        task = driven.task()
        write(Task, task, fields="{")
        (text,) = texts()
        assert text.startswith(f"task {task} is damaged") and mend() == [text]

    def test_fields_that_no_page_can_draw(self, driven, texts, mend, write):
        task = driven.task()
        write(Task, task, fields=orjson.dumps({"text": "Dig", "constructor": 1, **DATES}).decode())
        assert texts() == [f"task {task}: it has fields that no page can draw"]
        mend()
        assert "constructor" not in fields_of(driven, "task", task)


class TestJournal:
    def test_a_row_with_other_values(self, driven, texts, mend, write):
        task = driven.task()
        write(Task, task, fields=orjson.dumps({"text": "Changed", **DATES}).decode())
        (text,) = texts()
        assert text.startswith(f"task {task}: the journal has other values of") and "text" in text
        assert mend() == []
        (change,) = driven.store.journal.history(1 << 60, 1, task)
        assert change.fields["text"] == ["Dig", "Changed"] and change.author == MENDER

    def test_a_row_of_another_revision(self, driven, texts, mend, write):
        task = driven.task()
        write(Task, task, rev=5)
        assert texts() == [f"task {task}: its last change is 1 in the journal, and 5 in its row"]
        assert mend() == [] and driven.rev(task) == 2

    def test_a_row_that_was_deleted(self, driven, texts, mend):
        task = driven.task()
        row = driven.database.execute("SELECT * FROM task").fetchone()
        driven.delete("task", task)
        marks = ",".join("?" * len(row))
        driven.database.execute(f"INSERT INTO task VALUES ({marks})", row)
        assert texts() == [f"task {task}: it is there, and change 2 deleted it"]
        assert mend() == [] and driven.ids("task") == [task]
        # At once.
        assert driven.seq() == 3

    def test_a_row_of_which_the_journal_knows_nothing(self, driven, texts, mend):
        task = driven.task()
        driven.task()
        driven.database.execute("DELETE FROM change WHERE seq = 1")
        # A gap in the journal is a fault of its own, which nothing mends.
        assert texts() == ["change 1: the journal cannot be read there"] == mend()
        driven.database.execute("UPDATE change SET seq = 1, cause_seq = 1, item_id = 1")
        driven.database.execute("UPDATE task SET rev = 7 WHERE id = ?", (task,))
        assert any("rev" in text or "last change" in text for text in texts())

    def test_an_item_without_a_row(self, driven, texts, mend):
        task = driven.task()
        driven.database.execute("DELETE FROM task")
        assert texts() == [f"task {task}: the journal has it, and there is no row"]
        assert mend() == []
        (change,) = driven.store.journal.history(1 << 60, 1, task)
        assert change.action == "delete"
        # It can be brought back.
        driven.undo(change.seq)
        assert driven.item("task", task)["text"] == "Dig" and texts() == []

    def test_an_item_without_a_row_of_which_not_all_is_remembered(self, driven, texts, mend):
        task = driven.task()
        driven.task()
        driven.update("task", task, {"text": "Build"})
        driven.prune(keep=1)
        driven.database.execute("DELETE FROM task WHERE id = ?", (task,))
        # A delete that could not be taken back would not be ours.
        assert texts() == [f"task {task}: the journal has it, and there is no row"] == mend()

    def test_a_line_that_cannot_be_read(self, driven, texts, mend, write):
        driven.task()
        driven.task()
        write(JournalLine, 1, fields="?")
        assert texts() == ["change 1: the journal cannot be read there"] == mend()

    def test_the_last_line_that_cannot_be_read(self, driven, texts, write):
        driven.task()
        driven.task()
        write(JournalLine, 2, fields="?")
        assert texts() == ["change 2: the journal cannot be read there"]


def test_what_is_mended_can_be_served(driven, mend, write):
    one, two = driven.task(), driven.task()
    link = driven.link(one, two)
    write(Task, one, parent=two)
    write(Task, two, parent=one)
    write(Link, link, target=one)
    assert mend() == []
    again = Driven(database=driven.database)
    assert sorted(orjson.loads(b"".join(again.plan.load()))["tasks"][0]) and again.plan.knows(
        TASK, one
    )

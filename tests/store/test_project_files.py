"""A project as lines of JSON."""

import io

import orjson
import pytest

from gantt_tornado.errors import BadRequest, Conflict, TooLarge
from gantt_tornado.model.dates import Calendar
from gantt_tornado.model.entities import TASK as PLAN_TASK
from gantt_tornado.model.protocol import number
from gantt_tornado.model.text import clean
from gantt_tornado.store.checks import faults
from gantt_tornado.store.project_files import bounded, lines, read
from gantt_tornado.store.projects import Projects
from gantt_tornado.store.text_conversion import convert
from tests.support import DATES, Driven

HEAD = {"gantt-tornado": 1, "project": "house", "title": "", "public": False}
HEAD |= {"timezone": "UTC", "duration_unit": "day", "html": "text"}
TASK = {"entity": "task", "id": 3, "fields": {"text": "Dig", "parent": 0, "sortorder": "a0"}}
TASK["fields"] |= DATES
EVIL = "Dig <b>here</b><img src=x onerror=alert(1)>"


@pytest.fixture
def driven():
    driven = Driven()
    convert(driven.database, "text")
    yield driven
    driven.close()


@pytest.fixture
def add(driven):
    def add(*sent, name=""):
        with driven.database.peewee.atomic("IMMEDIATE"):
            coded = [each if isinstance(each, bytes) else orjson.dumps(each) for each in sent]
            return read(driven.database, coded, driven.calendar, name)

    return add


def exported(driven, name="default"):
    return list(lines(driven.database, Projects(driven.database).named(name), driven.calendar))


class TestThereAndBack:
    def test_it_is_the_same_plan(self, driven, add):
        top = driven.task(text="<b> & ünï")
        one, two = driven.task(parent=top), driven.task(parent=top, own={"a": [1, None, 2.5]})
        driven.update("task", two, {"target": str(one)})
        driven.delete("task", driven.task())
        driven.link(one, two)
        driven.insert("baseline", {"task_id": one, **DATES})
        info = add(*exported(driven), name="copy")
        copy = Driven(database=driven.database, project=info.id)
        assert exported(driven, "copy")[1:] == exported(driven)[1:]
        assert copy.branch(top) == driven.branch(top) == [two, one]
        assert faults(copy.store) == [] and info.tasks == 3

    def test_what_is_added_to_it_gets_ids_of_its_own(self, driven, add):
        driven.task()
        copy = Driven(database=driven.database, project=add(*exported(driven), name="copy").id)
        new = copy.task()
        copy.update("task", 1, {"text": "Build"})
        assert new == 2 and copy.ids("task") == [1, 2] and faults(copy.store) == []

    def test_title_and_public_go_along(self, driven, add):
        registry = Projects(driven.database)
        registry.retitle("default", "The house")
        registry.set_public("default", True)
        info = add(*exported(driven), name="copy")
        assert (info.title, info.public) == ("The house", True)

    def test_an_empty_project_is_one_line(self, driven, add):
        assert len(exported(driven)) == 1
        assert add(*exported(driven), name="copy").tasks == 0

    def test_it_has_its_own_name_unless_another_is_given(self, add):
        assert add(HEAD).name == "house"


def test_html_is_cleaned_as_that_of_any_write(driven, add):
    convert(driven.database, "clean")
    nested = {"a": [EVIL, {"b": EVIL}]}
    sent = {**TASK, "fields": {**TASK["fields"], "text": EVIL, "own": nested}}
    info = add({**HEAD, "html": "clean"}, sent)
    copy = Driven(database=driven.database, project=info.id)
    state = next(copy.store.rows(PLAN_TASK)).state
    assert state["text"] == clean(EVIL) and "onerror" not in str(state)


def test_text_to_the_letter_is_not(driven, add):
    info = add(HEAD, {**TASK, "fields": {**TASK["fields"], "text": EVIL}})
    copy = Driven(database=driven.database, project=info.id)
    assert next(copy.store.rows(PLAN_TASK)).state["text"] == EVIL


def test_the_largest_id_can_be_written_and_something_added(driven, add):
    largest = (1 << 52) - 1
    copy = Driven(database=driven.database, project=add(HEAD, {**TASK, "id": largest}).id)
    copy.update("task", largest, {"text": "Build"})
    assert number(str(largest)) == largest and largest < copy.task() < 1 << 53


class TestRefusals:
    @pytest.mark.parametrize(
        "second, text",
        [
            (b"{", "line 2: it is not JSON"),
            (b"[]", "line 2: it is no JSON object"),
            ({}, "line 2: entity, id and fields are needed"),
            ({**TASK, "entity": "house"}, "line 2: entity"),
            ({**TASK, "entity": []}, "line 2: entity"),
            ({**TASK, "id": "3"}, "line 2: entity"),
            ({**TASK, "id": True}, "line 2: entity"),
            ({**TASK, "id": 0}, "line 2: 0 is no id"),
            ({**TASK, "id": 1 << 52}, "is no id"),
            ({**TASK, "fields": {"text": "Dig"}}, "line 2: parent, sortorder are needed"),
            ({**TASK, "fields": {**TASK["fields"], "constructor": 1}}, "line 2: no page could"),
            ({**TASK, "fields": {**TASK["fields"], "sortorder": {}}}, "line 2: "),
        ],
    )
    def test_a_line_that_is_wrong_is_named(self, add, second, text):
        with pytest.raises(BadRequest, match=text):
            add(HEAD, second)

    @pytest.mark.parametrize(
        "change",
        [
            {"gantt-tornado": 2},
            {"project": 7},
            {"timezone": "Europe/Berlin"},
            {"title": "x" * 201},
        ],
    )
    def test_so_is_a_head_that_does_not_fit(self, add, change):
        with pytest.raises(BadRequest, match="line 1: "):
            add({**HEAD, **change})

    def test_an_empty_file_is_none(self, add):
        with pytest.raises(BadRequest, match="line 1: "):
            add()

    def test_a_line_that_is_too_long_is_not_read(self):
        file = io.BytesIO(b"1\n" + b"x" * 1000)
        with pytest.raises(BadRequest, match="line 2: it has more than 10 bytes"):
            list(bounded(file, 10))
        assert file.tell() == 13

    def test_any_other_is(self):
        sent = b"123456789\n\n12"
        assert b"".join(bounded(io.BytesIO(sent), 10)) == sent

    def test_more_items_than_a_plan_may_have(self, driven):
        two = {**TASK, "id": 4, "fields": {**TASK["fields"], "sortorder": "a1"}}
        sent = [orjson.dumps(each) for each in (HEAD, TASK, two)]
        read(driven.database, sent, driven.calendar, "two", 2)
        with pytest.raises(TooLarge, match="line 3: a plan may have 1 items"):
            read(driven.database, sent, driven.calendar, "one", 1)

    def test_two_items_of_one_id(self, add):
        with pytest.raises(BadRequest, match="line 3: there is another item"):
            add(HEAD, TASK, TASK)

    def test_two_tasks_at_one_place(self, add):
        with pytest.raises(BadRequest, match="line 3: it cannot be kept"):
            add(HEAD, TASK, {**TASK, "id": 4})

    def test_a_name_that_is_taken(self, add):
        with pytest.raises(Conflict):
            add(HEAD, name="default")

    def test_nothing_of_it_stays(self, driven, add):
        with pytest.raises(BadRequest):
            add(HEAD, TASK, b"?")
        assert [info.name for info in Projects(driven.database).all()] == ["default"]

    def test_the_day_of_another_zone_is_another(self, driven, add):
        driven.calendar = Calendar(zone="Europe/Berlin")
        with pytest.raises(BadRequest, match="timezone is 'UTC' there, and 'Europe/Berlin' here"):
            add(HEAD)

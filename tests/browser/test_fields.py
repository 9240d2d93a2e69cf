"""No field that the server takes blanks a page: each name that the client's source reads or
writes, with a value of each JSON type, is drawn as the server tells it."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from typing import Any

import orjson
import pytest

from gantt_tornado.errors import BadRequest
from gantt_tornado.model.dates import Calendar
from gantt_tornado.model.entities import ENTITIES

from .conftest import ROOT

Item = dict[str, Any]

#: Of each JSON type, with its extremes.
VALUES = [
    *(1, 0, -1, 0.5, 1e300, 2**53),
    *("x", "", "7", "2026-11-05 00:00", "<b>"),
    *(True, False, None),
    *([], [1], ["x"], [{"a": 1}], {}, {"a": 1}),
]
#: What every object of JavaScript has.
OF_EVERY_OBJECT = [
    *("constructor", "hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable"),
    *("toLocaleString", "toString", "valueOf", "toJSON", "then", "length", "__proto__"),
]
#: What the client's declarations name of an item.
DECLARED = {
    "task": [
        *("text", "start_date", "end_date", "duration", "progress", "parent", "type", "open"),
        *("auto_scheduling", "bar_height", "baselines", "calendar_id", "color", "deadline"),
        *("constraint_date", "constraint_type", "editable", "group_id", "hide_bar", "key"),
        *("label", "progressColor", "readonly", "render", "resource", "rollup", "row_height"),
        *("split_placement", "target", "textColor", "unscheduled", "undefined", "owner"),
    ],
    "link": ["source", "target", "type", "lag", "readonly", "editable", "color"],
    "resource": ["text", "parent", "open", "unit", "default_value"],
    "assignment": ["task_id", "resource_id", "value", "mode", "delay", "start_date", "end_date"],
    "baseline": ["task_id", "start_date", "end_date", "duration"],
}
#: Those of which some value blanked a page once, and some that the client draws by.
SAMPLE = [
    *("deadline", "row_height", "hasOwnProperty", "toString", "constructor", "valueOf"),
    *("text", "start_date", "progress", "parent", "open", "color", "type"),
]
#: They change what is drawn as they are meant to: another parent, no bar, no dates.
MEANT = {"hide_bar", "parent", "open", "unscheduled", "type", "render", "source", "target"}

DATES = {"start_date": "2026-11-02 00:00", "end_date": "2026-11-05 00:00", "duration": 3}
PLAN: dict[str, list[Item]] = {
    "tasks": [
        {"id": 1, **DATES, "text": "Phase", "type": "project", "parent": 0, "progress": 0},
        {"id": 2, **DATES, "text": "Tried", "type": "task", "parent": 1, "progress": 0},
        {"id": 3, **DATES, "text": "Other", "type": "task", "parent": 1, "progress": 0},
        {"id": 4, **DATES, "text": "More", "type": "task", "parent": 1, "progress": 0},
    ],
    "links": [
        {"id": 7, "source": 2, "target": 3, "type": "0"},
        {"id": 8, "source": 3, "target": 4, "type": "0"},
    ],
}
#: The item of each kind that is tried.
TRIED: dict[str, Item] = {
    "task": PLAN["tasks"][1],
    "link": PLAN["links"][0],
    "resource": {"id": 20, "text": "Crane"},
    "assignment": {"id": 20, "task_id": 2, "resource_id": 5, "value": 1},
    "baseline": {"id": 20, "task_id": 2, **DATES},
}

#: Draws a plan again and again, with another item in it each time. Says which were not drawn.
DRAW = """async ([plan, kind, items]) => {
  const faults = [];
  let late = null;
  const note = (event) => (late = String(event.message ?? event.reason));
  addEventListener("error", note);
  addEventListener("unhandledrejection", note);
  gantt.config.open_tree_initially = true;
  const count = (selector) => document.querySelectorAll(selector).length;
  for (const [at, text] of items.entries()) {
    const item = JSON.parse(text);
    const all = JSON.parse(JSON.stringify(plan));
    const list = (all[`${kind}s`] ??= []);
    const place = list.findIndex(({ id }) => id === item.id);
    list.splice(place < 0 ? list.length : place, place < 0 ? 0 : 1, item);
    late = null;
    let fault = null;
    try {
      gantt._dp.ignore(() => {
        try {
          gantt.clearAll();
          gantt.parse(all);
          gantt.render();
          if (kind === "task") gantt.updateTask(item.id);
          if (kind === "link") gantt.updateLink(item.id);
          gantt.copy(gantt.getTask(2));
        } catch (error) {
          fault = String(error);
        }
      });
      for (const id of [1, 3, 4]) {
        if (!count(`.gantt_row[data-task-id="${id}"]`)) fault ??= `row ${id} is missing`;
        if (!count(`.gantt_task_line[data-task-id="${id}"]`)) fault ??= `bar ${id} is missing`;
      }
      if (!count(".gantt_task_link[data-link-id='8']")) fault ??= "a link is missing";
    } catch (error) {
      fault = String(error);
    }
    await null;
    fault ??= late;
    if (fault) faults.push([at, fault]);
  }
  removeEventListener("error", note);
  removeEventListener("unhandledrejection", note);
  return faults;
}"""


def names_in_the_client() -> list[str]:
    """Every name that the client's source has behind a dot or in quotes."""
    source = (ROOT / "static/vendor/dhtmlxgantt.js").read_text("utf-8")
    found = re.findall(r"\.([A-Za-z]\w*)|[\"']([A-Za-z]\w*)[\"']", source)
    return sorted({name for pair in found for name in pair if name})


def told(kind: str, fields: Item) -> str | None:
    """The item as the server tells it, None where it refuses the fields."""
    entity = ENTITIES[kind]
    item = {**TRIED[kind], **fields}
    try:
        values = entity.read(item, Calendar()).values
    except BadRequest as refused:
        named = any(name in refused.message for name in (*fields, *OF_EVERY_OBJECT))
        assert named, refused.message
        return None
    state = {**entity.defaults, **values}
    if entity.dated:
        state |= {"start_date": "2026-11-02 00:00:00", "end_date": "2026-11-05 00:00:00"}
    return entity.encode(TRIED[kind]["id"], 9, 0xABC, state, Calendar()).decode()


Draw = Callable[[str, list[Item]], list[tuple[Item, str]]]


@pytest.fixture
def draw(open_tabs, server) -> Iterator[Draw]:
    """Draws what the server would tell of an item with such fields; the faults with theirs."""
    (tab,) = open_tabs(server.url)
    tab.excuse("")

    def draw(kind: str, tried: list[Item]) -> list[tuple[Item, str]]:
        items = [(fields, item) for fields in tried if (item := told(kind, fields)) is not None]
        found = tab.page.evaluate(DRAW, [PLAN, kind, [item for _, item in items]])
        return [(items[at][0], fault) for at, fault in found]

    yield draw


@pytest.mark.parametrize("page", ["page", "snippet"])
class TestFields:
    @pytest.fixture
    def kind(self, page: str) -> str:
        return page

    def test_no_field_of_a_task_that_is_taken_blanks_a_page(self, draw):
        tried = [{name: value} for name in SAMPLE for value in VALUES[::2]]
        assert draw("task", tried) == []

    @pytest.mark.long
    @pytest.mark.parametrize("entity", DECLARED)
    def test_no_declared_field_that_is_taken_blanks_a_page(self, draw, entity):
        names = [*DECLARED[entity], *OF_EVERY_OBJECT]
        assert draw(entity, [{name: value} for name in names for value in VALUES]) == []

    def test_no_field_within_a_field_blanks_a_page(self, draw):
        names = [*OF_EVERY_OBJECT, "id", "text", "start_date", "parent"]
        tried = [{"custom": wrap} for name in names for wrap in ({name: 1}, [{name: {"a": 1}}])]
        assert draw("task", tried) == []

    @pytest.mark.long
    @pytest.mark.timeout(1800)
    @pytest.mark.parametrize("entity", DECLARED)
    def test_no_name_in_the_clients_source_blanks_a_page(self, draw, entity):
        names = [name for name in names_in_the_client() if name not in MEANT]
        assert len(names) > 3000
        for value in VALUES:
            taken = [name for name in names if told(entity, {name: value})]
            # Many at once; where one of them is not drawn, each is tried alone.
            groups = [dict.fromkeys(taken[at : at + 50], value) for at in range(0, len(taken), 50)]
            for fields, _fault in draw(entity, groups):
                assert draw(entity, [{name: value} for name in fields]) == []


@pytest.mark.parametrize("kind", ["page", "snippet"])
def test_a_plan_of_before_with_such_rows_is_drawn(server, open_tabs, kind, tmp_path):
    server.stop()
    with sqlite3.connect(tmp_path / "plan.db") as database:
        for id, fields in enumerate(
            ({"hasOwnProperty": 1}, {"toString": 1}, {"deadline": True}, {"start_date": 5}), 8
        ):
            (stored,) = database.execute("SELECT fields FROM task WHERE id = ?", (id,)).fetchone()
            damaged = orjson.dumps(orjson.loads(stored) | fields).decode()
            database.execute("UPDATE task SET fields = ? WHERE id = ?", (damaged, id))
    database.close()
    server.start()
    (tab,) = open_tabs(server.url)
    assert {"8", "9", "10", "11"} <= tab.plan()["tasks"].keys()
    assert tab.page.locator(".gantt_row").count() > 10


@pytest.mark.parametrize("kind", ["snippet"])
def test_a_page_of_a_plan_with_assignments_sends_nothing_undefined(server, tabs):
    server.post("/data/assignment", task_id=10, resource_id=5, value=1)
    one, two = tabs
    one.reload()
    sent: list[Item] = []
    one.page.on("request", lambda it: sent.append(it.post_data_json) if it.method == "PUT" else 0)
    one.edit("10", text="Slab")
    two.shows("10", "Slab")
    assert sent and all("undefined" not in fields for fields in sent)

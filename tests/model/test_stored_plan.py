from gantt_tornado.live.plan import Plan
from gantt_tornado.model.entities import ENTITIES
from gantt_tornado.model.marks import Marks
from gantt_tornado.model.stored_plan import StoredPlan

TASK, LINK = ENTITIES["task"], ENTITIES["link"]


def test_a_plan_begins_with_what_is_stored() -> None:
    below = {"parent": 1, "sortorder": "a0"}
    top = {"parent": 0, "sortorder": "a0"}
    items = [(TASK, 2, below, b'{"id":2}'), (TASK, 1, top, b'{"id":1}')]
    plan = Plan.of(StoredPlan(9, 7, Marks(7, 0, [(8, 5), (9, 6)]), 0, 0, items, [(2, 9, TASK, 0)]))
    assert b"".join(plan.load()).index(b'{"id":1}') < b"".join(plan.load()).index(b'{"id":2}')
    assert (plan.seq, plan.horizon, plan.stored_position().mark) == (9, 7, 6)

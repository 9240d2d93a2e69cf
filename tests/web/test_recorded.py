"""The frames that docs/protocol.md shows are those that are sent."""

import orjson
import pytest

from tests.kanban import FAMILIES
from tests.recorded import plain, recorded

pytestmark = pytest.mark.gen_test


@pytest.fixture
def gantt_families():
    return FAMILIES


@pytest.mark.parametrize(
    ("heading", "channels"),
    [
        ("The Scheduler", ("events",)),
        ("Families of your own", ("cards", "columns", "rows", "links")),
        ("Assignments and baselines", ("assignments", "baselines")),
    ],
)
async def test_what_is_recorded_is_answered_and_told(gantt, listen, heading, channels):
    socket = await listen(*channels)
    exchanges = recorded(heading)
    for each in exchanges:
        answer = await gantt.request(each.verb, each.path, each.body)
        assert plain(answer.body) == each.answer, each
        told = [plain(orjson.dumps(await socket.value())) for _ in each.told]
        assert told == each.told, each
    await socket.quiet()
    assert len(exchanges) > 3

import pytest

from gantt_tornado.web.endpoints import ENDPOINTS
from gantt_tornado.web.scheduler import SCHEDULER
from gantt_tornado.web.table import table_of

pytestmark = pytest.mark.gen_test


async def test_the_scheduler_is_served_unless_it_is_switched_off(backend):
    assert table_of(backend) == (*ENDPOINTS, *SCHEDULER)

"""Which endpoints a backend has: those of the table, and those of what is switched on."""

from __future__ import annotations

from gantt_tornado.backend import Backend
from gantt_tornado.web.endpoints import ENDPOINTS, Endpoint
from gantt_tornado.web.families import endpoints_of
from gantt_tornado.web.scheduler import SCHEDULER


def table_of(backend: Backend) -> tuple[Endpoint, ...]:
    """All endpoints of a backend; an earlier path wins over a later one that matches too."""
    scheduler = SCHEDULER if backend.config.scheduler else ()
    own = (endpoint for family in backend.families for endpoint in endpoints_of(family))
    return (*ENDPOINTS, *scheduler, *own)

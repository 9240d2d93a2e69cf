from __future__ import annotations

import pytest

from gantt_tornado import errors
from gantt_tornado.errors import GanttError

KINDS = GanttError.__subclasses__()


@pytest.mark.parametrize("kind", KINDS)
def test_each_error_has_a_status_and_a_code_of_its_own(kind: type[GanttError]) -> None:
    assert 400 <= kind.status < 600
    assert [other.code for other in KINDS].count(kind.code) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_private_detail_is_no_part_of_what_people_read(kind: type[GanttError]) -> None:
    if kind is errors.NotFound:
        return
    error = kind("Please try again.", detail="/var/lib/plan.db is full")
    assert (str(error), error.detail) == ("Please try again.", "/var/lib/plan.db is full")


def test_a_start_error_is_not_told_to_clients() -> None:
    assert not issubclass(errors.StartError, GanttError)

"""A write that changes nothing."""

import pytest
from peewee import OperationalError

from gantt_tornado.store.trial import try_to_write
from tests.support import Driven


@pytest.fixture
def driven(tmp_path):
    driven = Driven(f"sqlite:///{tmp_path}/plan.db")
    yield driven
    driven.close()


def test_it_writes(driven):
    written = driven.database.written
    with driven.database.peewee.atomic("IMMEDIATE"):
        try_to_write(driven.database)
    assert driven.database.written == written + 1


def test_and_changes_nothing(driven):
    before = driven.store.read()
    try_to_write(driven.database)
    assert driven.store.read().history == before.history


def test_a_database_that_takes_no_writes_is_told(driven):
    driven.database.execute("PRAGMA query_only = 1")
    with pytest.raises(OperationalError):
        try_to_write(driven.database)

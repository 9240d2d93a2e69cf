"""A write of a row that says nothing."""

from pathlib import Path

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


def test_it_reaches_the_disk_each_time(driven):
    log = Path(f"{driven.database.path}-wal")
    for _ in range(2):
        driven.database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert log.stat().st_size == 0
        try_to_write(driven.database)
        assert log.stat().st_size > 0


def test_and_changes_no_plan_and_no_setting(driven):
    before = driven.store.read().history
    try_to_write(driven.database)
    try_to_write(driven.database)
    assert driven.store.read().history == before
    rows = driven.database.execute("SELECT name FROM setting ORDER BY name").fetchall()
    assert rows == [("html",), ("tried",)]


def test_a_database_that_takes_no_writes_is_told(driven):
    driven.database.execute("PRAGMA query_only = 1")
    with pytest.raises(OperationalError):
        try_to_write(driven.database)

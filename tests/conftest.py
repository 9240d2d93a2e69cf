"""What the tests share: three users, a server without secrets in its log, a writer on hold."""

import asyncio
import logging
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from types import SimpleNamespace

import pytest

from gantt_tornado import Config
from gantt_tornado.config import Token
from gantt_tornado.store.database import Database

pytest_plugins = ["gantt_tornado.testing", "pytester"]

#: No log line of any test may hold this.
SECRET = "secret-"
EDITOR = SECRET + "editor"
COLLEAGUE = SECRET + "colleague"
VIEWER = SECRET + "viewer"
ADMIN = SECRET + "admin"
LISTED = "https://intranet.example"


@pytest.fixture(scope="session", autouse=True)
def loop_between_tests() -> Iterator[None]:
    """Tornado sets the current loop aside while a test has one, and asyncio makes one up
    where there is none; an ``asyncio.run`` in a test would then drop it unclosed."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.close()


@pytest.fixture(scope="session", autouse=True)
def migrated_once() -> Iterator[Callable[[Database], None]]:
    """A new database is a copy of one that was migrated: half of the time of a test that has
    one went into the migrations. Gives what migrates in earnest; no process of its own has this.
    """
    model = Database("sqlite:///:memory:")
    model.open()
    migrated = model._connection.serialize()
    model.close()
    prepare = Database._prepare

    def copied(database: Database) -> None:
        if database.peewee.get_tables():
            return prepare(database)
        database._pragma("journal_mode", "wal")
        database._pragma("synchronous", "full")
        with closing(sqlite3.connect(":memory:")) as copy:
            copy.deserialize(migrated)
            copy.backup(database._connection)
        # Two databases have two, see 0007_marks.
        mark = {"mark": secrets.randbits(24)}
        database.execute("UPDATE project SET mark = :mark, horizon_mark = :mark", mark)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "_prepare", copied)
        yield prepare


@pytest.fixture
def settings() -> dict[str, object]:
    """What a test wants otherwise in the configuration."""
    return {}


@pytest.fixture
def gantt_config(settings) -> Config:
    """Four users and an empty plan: in memory, because a disk's syncs would take most of
    the time of a test that is about something else."""
    tokens = (
        Token(token=EDITOR, user="Eve"),
        Token(token=COLLEAGUE, user="Carl"),
        Token(token=VIEWER, user="Vera", role="viewer"),
        Token(token=ADMIN, user="Ada", role="admin"),
    )
    defaults = {"tokens": tokens, "origins": (LISTED,)}
    return Config(**({"database": "sqlite:///:memory:"} | defaults | settings))


@pytest.fixture
def logged_errors(caplog) -> pytest.LogCaptureFixture:
    """For a test in which something has to fail: the errors in the log are its own affair."""
    return caplog


@pytest.fixture(autouse=True)
def watched_log(request, caplog) -> Iterator[None]:
    """No test with a server leaves an error in the log, or a token."""
    caplog.set_level(logging.DEBUG)
    yield
    if "backend" not in request.fixturenames:
        return
    records = [record for phase in ("setup", "call") for record in caplog.get_records(phase)]
    assert not [line for record in records if SECRET in (line := record.getMessage())]
    if "logged_errors" not in request.fixturenames:
        assert not [record for record in records if record.levelno >= logging.ERROR]


@pytest.fixture
def held(backend):
    """Hold the writer: what is submitted inside ``with held():`` is committed together after it."""

    @contextmanager
    def held() -> Iterator[None]:
        begun, gate = threading.Event(), threading.Event()

        def wait() -> SimpleNamespace:
            begun.set()
            gate.wait(10)
            return SimpleNamespace(changes=(), differs=False)

        backend._writer.submit(wait)
        begun.wait(10)
        try:
            yield
        finally:
            gate.set()

    return held


@pytest.fixture
def colleague(gantt):
    """Another editor."""
    return gantt.having(Remote_Token=COLLEAGUE)


@pytest.fixture
def viewer(gantt):
    """Somebody who may only look."""
    return gantt.having(Remote_Token=VIEWER)

"""What the tests share: three users, a server without secrets in its log, a writer on hold."""

import asyncio
import logging
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
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
def migrated_once() -> Iterator[None]:
    """A database in memory is a copy of one that was migrated: half of the time of a test
    that has one went into the migrations. Those with a file are not, nor any in a process
    of its own."""
    model = sqlite3.connect(":memory:", check_same_thread=False)
    prepare = Database._prepare
    # Several writers may start at once, each on its thread.
    alone = threading.Lock()

    def copied(database: Database) -> None:
        if not database.is_in_memory:
            return prepare(database)
        with alone:
            if not model.execute("PRAGMA schema_version").fetchone()[0]:
                prepare(database)
                database._connection.backup(model)
                return
            model.backup(database._connection)
        # Two databases have two, see 0007_marks.
        mark = {"mark": secrets.randbits(24)}
        database.execute("UPDATE project SET mark = :mark, horizon_mark = :mark", mark)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "_prepare", copied)
        yield
    model.close()


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

"""What happens when the disk is full, the file is locked, or a caller is gone."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from gantt_tornado import backend as backend_module
from gantt_tornado.backend import Backend
from gantt_tornado.config import Config
from gantt_tornado.errors import Conflict, GanttError, StartError, Unavailable
from gantt_tornado.live.plan import Plan
from gantt_tornado.model.change import Change
from gantt_tornado.model.entities import TASK
from gantt_tornado.store.database import Database
from gantt_tornado.store.items import Store

DATES = {"start_date": "2026-03-02", "duration": 3}
LARGE = {**DATES, "note": "x" * 20_000}
SMALL = {**DATES, "note": "y"}


@asynccontextmanager
async def serving(path: Path) -> AsyncIterator[Backend]:
    backend = Backend(Config(database=f"sqlite:///{path}"))
    await backend.start()
    yield backend
    await backend.close()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plan.db"


def stored(path: Path) -> tuple[list[str], int, int]:
    """What a restart finds: the notes of all tasks, the last change, lines in the journal."""
    database = Database(f"sqlite:///{path}")
    database.open()
    store = Store(database, Config().calendar)
    plan = Plan.of(store.read())
    loaded = [row.state["note"][:1] for row in store.rows(TASK)]
    lines = database.peewee.execute_sql("SELECT count(*) FROM change").fetchone()[0]
    database.close()
    return loaded, plan.seq, lines


async def pragma(backend: Backend, statement: str) -> Any:
    """Tell SQLite something on its own thread, between two batches."""
    database = backend._database.peewee
    return await backend._writer.submit(lambda: database.execute_sql(statement).fetchall())


async def fill(backend: Backend) -> None:
    """Let the file grow no more: SQLite's own way to a full disk."""
    ((pages,),) = await pragma(backend, "PRAGMA page_count")
    await pragma(backend, f"PRAGMA max_page_count = {pages}")


async def empty(backend: Backend) -> None:
    await pragma(backend, "PRAGMA max_page_count = 1000000")


async def together(backend: Backend, *items: dict[str, Any]) -> list[Any]:
    """Add tasks in one batch."""
    release = await held(backend)
    inserts = [asyncio.ensure_future(backend.insert("task", item)) for item in items]
    await asyncio.sleep(0)
    release()
    return await asyncio.gather(*inserts, return_exceptions=True)


async def held(backend: Backend) -> Callable[[], None]:
    """Keep the writer busy until the returned function is called."""
    release, entered = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait() -> None:
        loop.call_soon_threadsafe(entered.set)
        release.wait()

    backend._writer.submit(wait)
    await entered.wait()
    return release.set


# A full disk.


def test_a_full_disk_is_told_as_unavailable_for_now(path: Path) -> None:
    async def scene() -> None:
        async with serving(path) as backend:
            await fill(backend)
            with pytest.raises(Unavailable) as refused:
                await backend.insert("task", LARGE)
            assert refused.value.retry_after
            assert "full" not in refused.value.message and "full" in refused.value.detail

    asyncio.run(scene())


def test_a_full_disk_inside_a_batch_leaves_nothing_half_written(path: Path) -> None:
    async def scene() -> list[Any]:
        async with serving(path) as backend:
            await backend.insert("task", SMALL)
            await fill(backend)
            results = await together(backend, SMALL, LARGE, SMALL)
            await empty(backend)
            return results

    results = asyncio.run(scene())
    answered = 1 + sum(not isinstance(result, Exception) for result in results)
    notes, seq, lines = stored(path)
    assert isinstance(results[1], Unavailable)
    assert (len(notes), seq, lines, set(notes)) == (answered, answered, answered, {"y"})


def test_a_full_disk_inside_a_batch_never_answers_what_is_not_stored(path: Path) -> None:
    async def scene() -> tuple[list[Any], list[Any]]:
        async with serving(path) as backend:
            told: list[Change] = []
            backend.on_change(told.append)
            await fill(backend)
            results = await together(backend, *[LARGE, SMALL] * 20)
            return results, told

    results, told = asyncio.run(scene())
    notes, seq, _ = stored(path)
    answered = [result for result in results if not isinstance(result, Exception)]
    assert len(answered) == len(told) == len(notes) == seq
    assert all(isinstance(r, Unavailable) for r in results if isinstance(r, Exception))


def test_what_a_full_disk_refused_is_not_in_the_plan(path: Path) -> None:
    async def scene() -> None:
        async with serving(path) as backend:
            await fill(backend)
            await together(backend, LARGE, LARGE)
            assert (backend.load()["tasks"], backend.default.plan.seq) == ([], 0)

    asyncio.run(scene())


def test_service_resumes_by_itself_when_there_is_room_again(path: Path) -> None:
    async def scene() -> None:
        async with serving(path) as backend:
            await fill(backend)
            with pytest.raises(Unavailable):
                await backend.insert("task", LARGE)
            await empty(backend)
            assert (await backend.insert("task", LARGE)).id == 1

    asyncio.run(scene())
    assert stored(path)[1] == 1


def test_reads_go_on_while_the_disk_is_full(path: Path) -> None:
    async def scene() -> None:
        async with serving(path) as backend:
            task = (await backend.insert("task", SMALL)).id
            await fill(backend)
            with pytest.raises(Unavailable):
                await backend.insert("task", LARGE)
            assert backend.item("task", task)["note"] == "y"

    asyncio.run(scene())


FULL_DISK = """
import asyncio, resource, sys
from gantt_tornado.backend import Backend
from gantt_tornado.config import Config
from gantt_tornado.errors import Unavailable

LARGE = {"start_date": "2026-03-02", "duration": 3, "note": "x" * 50_000}

async def scene():
    backend = Backend(Config(database="sqlite:///" + sys.argv[1]))
    await backend.start()
    told = []
    backend.on_change(told.append)
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, resource.RLIM_INFINITY))
    jobs = [backend.insert("task", LARGE) for _ in range(100)]
    results = await asyncio.gather(*jobs, return_exceptions=True)
    done = [r for r in results if not isinstance(r, Exception)]
    assert all(isinstance(r, Unavailable) for r in results if isinstance(r, Exception)), results
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    more = await backend.insert("task", LARGE)
    await backend.close()
    assert [change.id for change in told] == [r.id for r in done] + [more.id], told
    print(len(done), more.id)

asyncio.run(scene())
"""


def test_a_disk_that_the_system_calls_full_is_survived_too(path: Path) -> None:
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    assert run.returncode == 0, run.stderr
    done, last = map(int, run.stdout.split())
    notes, seq, lines = stored(path)
    assert done < 100
    assert (len(notes), seq, lines, last) == (done + 1, done + 1, done + 1, done + 1)


# A locked file.

LOCK = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
sys.stdin.readline()
"""


@contextmanager
def locked(path: Path) -> Iterator[Callable[[], None]]:
    """Another process, a backup say, that holds SQLite's write lock."""
    with subprocess.Popen(
        [sys.executable, "-c", LOCK, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout and process.stdin
        assert process.stdout.readline() == "locked\n"

        def unlock() -> None:
            process.communicate("\n")

        yield unlock
        if process.poll() is None:
            unlock()


async def impatient(backend: Backend) -> None:
    await pragma(backend, "PRAGMA busy_timeout = 10")


def test_a_locked_file_is_told_as_unavailable_for_now(path: Path) -> None:
    async def scene() -> None:
        async with serving(path) as backend:
            await impatient(backend)
            with locked(path), pytest.raises(Unavailable) as refused:
                await backend.insert("task", SMALL)
            assert refused.value.retry_after

    asyncio.run(scene())


def test_all_that_wait_for_a_locked_file_are_told(path: Path) -> None:
    async def scene() -> None:
        async with serving(path) as backend:
            await impatient(backend)
            with locked(path):
                inserts = [backend.insert("task", SMALL) for _ in range(5)]
                results = await asyncio.gather(*inserts, return_exceptions=True)
            assert [type(result) for result in results] == [Unavailable] * 5
            assert backend.load()["tasks"] == []

    asyncio.run(scene())


def test_service_resumes_by_itself_when_the_lock_is_gone(path: Path) -> None:
    async def scene() -> None:
        async with serving(path) as backend:
            await impatient(backend)
            with locked(path) as unlock:
                with pytest.raises(Unavailable):
                    await backend.insert("task", SMALL)
                unlock()
                assert (await backend.insert("task", SMALL)).id == 1

    asyncio.run(scene())
    assert stored(path) == (["y"], 1, 1)


def test_a_short_lock_is_waited_for(path: Path) -> None:
    async def scene() -> None:
        async with serving(path) as backend:
            await pragma(backend, "PRAGMA busy_timeout = 60000")
            with locked(path) as unlock:
                insert = asyncio.ensure_future(backend.insert("task", SMALL))
                await asyncio.sleep(0)
                unlock()
                assert (await insert).id == 1

    asyncio.run(scene())


# A damaged file.


@pytest.mark.parametrize("start", [4096, 200_000])
def test_a_file_damaged_inside_stops_the_start_in_one_line(path: Path, start: int) -> None:
    async def write() -> None:
        async with serving(path) as backend:
            await together(backend, *[LARGE] * 20)

    asyncio.run(write())
    damaged = bytearray(path.read_bytes())
    damaged[start:] = b"\xa5" * (len(damaged) - start)
    path.write_bytes(damaged)
    with pytest.raises(StartError) as refused:
        asyncio.run(write())
    assert "\n" not in str(refused.value)


def test_a_row_that_is_no_json_stops_the_start_in_one_line(path: Path) -> None:
    async def write(statement: str = "SELECT 1") -> None:
        async with serving(path) as backend:
            await backend.insert("task", SMALL)
            await pragma(backend, statement)

    asyncio.run(write("UPDATE task SET fields = 'oops'"))
    with pytest.raises(StartError) as refused:
        asyncio.run(write())
    assert "\n" not in str(refused.value)


# Callers and listeners.


def test_a_caller_that_hung_up_has_its_row_stored_and_told(path: Path) -> None:
    async def scene() -> None:
        async with serving(path) as backend:
            told: list[Change] = []
            backend.on_change(told.append)
            release = await held(backend)
            caller = asyncio.ensure_future(backend.insert("task", SMALL))
            await asyncio.sleep(0)
            caller.cancel()
            release()
            await pragma(backend, "SELECT 1")
            await asyncio.sleep(0)
            assert [change.id for change in told] == [1]

    asyncio.run(scene())
    assert stored(path) == (["y"], 1, 1)


def test_a_watcher_that_raises_harms_nobody(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def scene() -> None:
        async with serving(path) as backend:
            told: list[int] = []
            backend.on_change(lambda change: 1 // 0)
            backend.on_change(lambda change: told.append(change.seq))
            await backend.insert("task", SMALL)
            await backend.insert("task", SMALL)
            await asyncio.sleep(0)
            assert told == [1, 2]

    asyncio.run(scene())
    assert "on_change" in caplog.text


def test_a_publish_that_raises_leaves_no_caller_without_an_answer(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with serving(path) as backend:
            monkeypatch.setattr(backend.default.hub, "publish", lambda events: 1 // 0)
            results = await together(backend, SMALL, SMALL)
            assert [result.id for result in results] == [1, 2]
            await asyncio.sleep(0)
            monkeypatch.undo()
            assert (await backend.insert("task", SMALL)).id == 3

    asyncio.run(scene())
    assert "could not be told" in caplog.text


def test_one_refused_write_fails_alone_in_its_batch(path: Path) -> None:
    async def scene() -> None:
        async with serving(path) as backend:
            first, refused, last = await together(backend, SMALL, {**SMALL, "parent": 99}, SMALL)
            assert (first.id, last.id, type(refused)) == (1, 2, Conflict)

    asyncio.run(scene())
    assert stored(path) == (["y", "y"], 2, 2)


@pytest.mark.parametrize("value", [{1, 2}, object(), 1 << 80, "\ud800"])
def test_a_value_that_is_no_json_harms_nobody_in_its_batch(path: Path, value: Any) -> None:
    async def scene() -> None:
        async with serving(path) as backend:
            first, refused, last = await together(backend, SMALL, {**SMALL, "odd": value}, SMALL)
            assert (first.id, last.id, isinstance(refused, Exception)) == (1, 2, True)

    asyncio.run(scene())


# The end.


def test_closing_with_a_queue_answers_and_stores_all_of_it(path: Path) -> None:
    async def scene() -> list[Any]:
        async with serving(path) as backend:
            release = await held(backend)
            inserts = [asyncio.ensure_future(backend.insert("task", SMALL)) for _ in range(300)]
            await asyncio.sleep(0)
            closing = asyncio.ensure_future(backend.close())
            await asyncio.sleep(0)
            release()
            await closing
            return await asyncio.gather(*inserts)

    assert [outcome.id for outcome in asyncio.run(scene())] == list(range(1, 301))
    assert stored(path)[1:] == (300, 300)


def test_closing_with_a_queue_tells_all_of_it(path: Path) -> None:
    async def scene() -> None:
        async with serving(path) as backend:
            told: list[int] = []
            backend.on_change(lambda change: told.append(change.seq))
            inserts = [asyncio.ensure_future(backend.insert("task", SMALL)) for _ in range(300)]
            await asyncio.sleep(0)
            await backend.close()
            assert told == list(range(1, 301))
            await asyncio.gather(*inserts)

    asyncio.run(scene())


def test_a_write_after_the_end_is_refused(path: Path) -> None:
    async def scene() -> None:
        async with serving(path) as backend:
            await backend.close()
            with pytest.raises(Unavailable):
                await backend.insert("task", SMALL)

    asyncio.run(scene())


def test_a_backend_that_could_not_start_refuses_writes(path: Path) -> None:
    async def scene() -> None:
        path.write_bytes(b"# Shopping\n")
        backend = Backend(Config(database=f"sqlite:///{path}"))
        with pytest.raises(StartError):
            await backend.start()
        with pytest.raises(GanttError):
            await asyncio.wait_for(backend.insert("task", SMALL), 10)
        await backend.close()

    asyncio.run(scene())


KILLED = """
import asyncio, os, sys
from gantt_tornado.backend import Backend
from gantt_tornado.config import Config

async def scene():
    backend = Backend(Config(database="sqlite:///" + sys.argv[1]))
    await backend.start()
    async def add():
        while True:
            outcome = await backend.insert(
                "task", {"start_date": "2026-03-02", "duration": 3, "note": "y"}
            )
            os.write(1, b"%d\\n" % outcome.id)
    await asyncio.gather(*[add() for _ in range(8)])

asyncio.run(scene())
"""


def test_a_kill_during_writes_loses_nothing_that_was_answered(path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, str(path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    ) as process:
        assert process.stdout
        answered = [int(process.stdout.readline()) for _ in range(200)]
        process.kill()
        answered += [int(line) for line in process.stdout.read().splitlines(True) if b"\n" in line]
    notes, seq, lines = stored(path)
    assert len(notes) == seq == lines >= max(answered)


# A clock that jumps.

DAY = 24 * 60 * 60


@pytest.fixture
def ahead(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the clock ahead by so many days."""
    clock, clock_ns = time.time, time.time_ns

    def set_ahead(days: float) -> None:
        monkeypatch.setattr(time, "time", lambda: clock() + days * DAY)
        monkeypatch.setattr(time, "time_ns", lambda: clock_ns() + int(days * DAY) * 10**9)

    return set_ahead


def test_a_clock_40_days_ahead_at_one_start_leaves_the_journal_whole(
    path: Path, ahead: Callable[[float], None]
) -> None:
    async def run(*texts: str) -> int:
        async with serving(path) as backend:
            for text in texts:
                await backend.insert("task", {**SMALL, "text": text})
            for _ in range(10):
                await backend._prune_once()
            return backend.default.plan.horizon

    assert asyncio.run(run("a", "b", "c")) == 0
    ahead(40)
    # Before a line was written by the wrong clock, and behind it.
    assert asyncio.run(run()) == 0
    assert asyncio.run(run("d")) == 0
    ahead(0)
    assert asyncio.run(run("e")) == 0
    assert stored(path)[2] == 5


def test_what_goes_wrong_while_pruning_is_logged_and_tried_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backend_module, "PRUNE_EVERY", 0.001)

    async def scene() -> None:
        tries, again = [], asyncio.Event()

        async def fail() -> bool:
            tries.append(1)
            if len(tries) > 2:
                again.set()
            raise RuntimeError("private detail")

        async with serving(path) as backend:
            monkeypatch.setattr(backend, "_prune_once", fail)
            await asyncio.wait_for(again.wait(), 3)

    asyncio.run(scene())
    assert caplog.text.count("could not be pruned") >= 2


def test_what_goes_wrong_while_asking_is_logged_and_tried_again(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(backend_module, "ASK_EVERY", 0.001)

    async def scene() -> None:
        tries, again = [], asyncio.Event()

        def fail() -> None:
            tries.append(1)
            if len(tries) > 2:
                again.set()
            raise RuntimeError("private detail")

        async with serving(path) as backend:
            monkeypatch.setattr(backend.default.hub, "ask", fail)
            await asyncio.wait_for(again.wait(), 3)

    asyncio.run(scene())
    assert caplog.text.count("could not be asked") >= 2


# A file that is no longer where it was.


async def put(backend: Backend) -> bool:
    """Whether a write is taken."""
    try:
        await backend.insert("task", SMALL)
    except Unavailable as error:
        assert "put back" in error.message and str(backend.config.database) not in error.message
        return False
    return True


def deleted(path: Path) -> None:
    path.unlink()


def moved_away(path: Path) -> None:
    path.rename(path.with_suffix(".old"))


def replaced(path: Path) -> None:
    copy = path.with_suffix(".copy")
    shutil.copy(path, copy)
    copy.rename(path)


def without_its_log(path: Path) -> None:
    path.with_name(path.name + "-wal").unlink()


@pytest.mark.parametrize("harm", [deleted, moved_away, replaced, without_its_log])
def test_no_write_is_answered_that_goes_to_a_file_nobody_finds(
    path: Path, harm: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with serving(path) as backend:
            assert await put(backend)
            harm(path)
            assert [await put(backend) for _ in range(3)] == [False] * 3
            assert len(backend.load()["tasks"]) == 1
            # Reading goes on.
            assert len(await backend.history()) == 1

    asyncio.run(scene())
    (line,) = [line for line in caplog.records if line.levelname == "ERROR"]
    assert str(path) in line.getMessage()


def test_a_file_that_is_put_back_is_written_again(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene() -> None:
        async with serving(path) as backend:
            away = path.with_suffix(".old")
            for _ in range(2):
                path.rename(away)
                assert not await put(backend)
                away.rename(path)
                assert await put(backend)

    asyncio.run(scene())
    assert stored(path) == (["y", "y"], 2, 2)
    assert len([line for line in caplog.records if line.levelname == "ERROR"]) == 2
    assert caplog.text.count("takes writes again") == 2


def test_a_relative_path_is_that_of_the_start(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def scene() -> None:
        async with serving(Path(path.name)) as backend:
            monkeypatch.chdir("/")
            assert await put(backend)

    monkeypatch.chdir(path.parent)
    asyncio.run(scene())


def test_a_link_to_the_file_will_do(path: Path) -> None:
    async def scene() -> None:
        link = path.with_name("link.db")
        link.symlink_to(path)
        async with serving(link) as backend:
            assert await put(backend)
            link.unlink()
            assert not await put(backend)

    asyncio.run(scene())

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from peewee import OperationalError

from gantt_tornado.errors import Conflict, StartError, Unavailable
from gantt_tornado.store import writer as writer_module
from gantt_tornado.store.database import Database
from gantt_tornado.store.writer import BATCH, OnCommit, Writer

T = TypeVar("T")

#: Seconds after which a job of these tests goes on by itself.
PATIENCE = 10


class Written:
    """A writer over a table of numbers, and what it told."""

    def __init__(self, url: str = "sqlite:///:memory:") -> None:
        self.database = Database(url)
        self.told: list[tuple[str, Any]] = []
        self.writer = Writer(self.database)
        self.on_commit = OnCommit(
            in_one_step(lambda results: self.told.append(("committed", results))),
            in_one_step(lambda results: self.told.append(("answered", results))),
        )
        self.statements: list[str] = []

    def submit(self, run: Callable[[], T]) -> asyncio.Future[T]:
        return self.writer.submit(run, self.on_commit)

    def prepare(self) -> str:
        self.database.peewee.execute_sql("CREATE TABLE IF NOT EXISTS n (n UNIQUE)")
        self.database.peewee.connection().set_trace_callback(self.statements.append)
        return "ready"

    def add(self, n: int) -> Callable[[], int]:
        def add() -> int:
            self.database.peewee.execute_sql("INSERT INTO n VALUES (?)", (n,))
            return n

        return add

    def stored(self) -> list[int]:
        return [n for (n,) in self.database.peewee.execute_sql("SELECT n FROM n").fetchall()]

    async def hold(self) -> threading.Event:
        """Keep the thread busy until the event is set, so that what follows is one batch."""
        release, entered = threading.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()

        def wait() -> None:
            loop.call_soon_threadsafe(entered.set)
            release.wait(PATIENCE)

        self.submit(wait)
        await entered.wait()
        return release


@asynccontextmanager
async def started() -> AsyncIterator[Written]:
    written = Written()
    assert await written.writer.start(written.prepare) == "ready"
    yield written
    await written.writer.close()


def in_one_step(take: Callable[[list[Any]], None]) -> Callable[[list[Any]], Iterator[None]]:
    def take_over(results: list[Any]) -> Iterator[None]:
        take(results)
        yield

    return take_over


def fail(error: Exception) -> Callable[[], None]:
    def fail() -> None:
        raise error

    return fail


def test_a_job_gives_its_result() -> None:
    async def scene() -> None:
        async with started() as w:
            assert await w.submit(w.add(1)) == 1
            assert await w.submit(w.stored) == [1]

    asyncio.run(scene())


def test_jobs_run_in_the_order_of_their_submission() -> None:
    async def scene() -> None:
        async with started() as w:
            await asyncio.gather(*[w.submit(w.add(n)) for n in range(300)])
            assert await w.submit(w.stored) == list(range(300))

    asyncio.run(scene())


def test_jobs_run_on_a_thread_of_their_own() -> None:
    async def scene() -> None:
        async with started() as w:
            names = {await w.submit(lambda: threading.current_thread().name) for _ in "ab"}
            assert names == {"gantt-writer"}

    asyncio.run(scene())


def test_what_waits_shares_one_commit() -> None:
    async def scene() -> None:
        async with started() as w:
            release = await w.hold()
            jobs = [w.submit(w.add(n)) for n in range(BATCH)]
            w.statements.clear()
            release.set()
            await asyncio.gather(*jobs)
            assert w.statements.count("COMMIT") == 2

    asyncio.run(scene())


def test_a_batch_has_an_end() -> None:
    async def scene() -> None:
        async with started() as w:
            release = await w.hold()
            jobs = [w.submit(w.add(n)) for n in range(BATCH + 1)]
            release.set()
            await asyncio.gather(*jobs)
            await asyncio.sleep(0)
            assert [len(results) for name, results in w.told if name == "committed"] == [
                1,
                BATCH,
                1,
            ]

    asyncio.run(scene())


def test_it_says_how_many_wait() -> None:
    async def scene() -> None:
        async with started() as w:
            release = await w.hold()
            jobs = [w.submit(w.add(n)) for n in range(3)]
            assert w.writer.waiting == 3
            release.set()
            await asyncio.gather(*jobs)
            assert w.writer.waiting == 0

    asyncio.run(scene())


# Who is told what, and when.


def test_committed_then_the_caller_then_answered() -> None:
    async def scene() -> None:
        async with started() as w:
            await w.submit(w.add(1))
            w.told.append(("caller", None))
            await asyncio.sleep(0)
            assert w.told == [("committed", [1]), ("caller", None), ("answered", [1])]

    asyncio.run(scene())


def test_every_caller_of_a_batch_goes_on_before_answered() -> None:
    async def scene() -> None:
        async with started() as w:

            async def caller(n: int) -> None:
                await w.submit(w.add(n))
                w.told.append(("caller", n))

            release = await w.hold()
            callers = [asyncio.create_task(caller(n)) for n in range(3)]
            await asyncio.sleep(0)
            w.told.clear()
            release.set()
            await asyncio.gather(*callers)
            await asyncio.sleep(0)
            names = [name for name, results in w.told if results != [None]]
            assert names == ["committed", "caller", "caller", "caller", "answered"]

    asyncio.run(scene())


def test_results_are_told_in_the_order_of_commit() -> None:
    async def scene() -> None:
        async with started() as w:
            await asyncio.gather(*[w.submit(w.add(n)) for n in range(300)])
            await asyncio.sleep(0)
            for name in ("committed", "answered"):
                told = [n for who, results in w.told if who == name for n in results]
                assert told == list(range(300))

    asyncio.run(scene())


def test_nothing_is_told_of_a_job_that_failed() -> None:
    async def scene() -> None:
        async with started() as w:
            with pytest.raises(Conflict):
                await w.submit(fail(Conflict("no")))
            await asyncio.sleep(0)
            assert w.told == []

    asyncio.run(scene())


def test_the_loop_is_free_while_a_job_runs() -> None:
    async def scene() -> None:
        async with started() as w:
            entered, release = asyncio.Event(), threading.Event()
            loop = asyncio.get_running_loop()

            def wait() -> bool:
                loop.call_soon_threadsafe(entered.set)
                return release.wait(PATIENCE)

            job = w.submit(wait)
            await asyncio.wait_for(entered.wait(), PATIENCE)
            release.set()
            assert await job, "what the loop had to do came too late"

    asyncio.run(scene())


# Failures of one job.


def test_a_job_gets_what_it_raised() -> None:
    async def scene() -> None:
        async with started() as w:
            with pytest.raises(Conflict, match="no way"):
                await w.submit(fail(Conflict("no way")))

    asyncio.run(scene())


@pytest.mark.parametrize("error", [Conflict("no"), KeyError("x"), RecursionError()])
def test_a_job_that_fails_fails_alone(error: Exception) -> None:
    async def scene() -> None:
        async with started() as w:
            release = await w.hold()
            jobs = [w.submit(job) for job in (w.add(1), fail(error), w.add(2))]
            release.set()
            results = await asyncio.gather(*jobs, return_exceptions=True)
            assert results == [1, error, 2]
            assert await w.submit(w.stored) == [1, 2]

    asyncio.run(scene())


def test_a_job_that_fails_half_written_and_succeeds_apart_has_succeeded() -> None:
    async def scene() -> None:
        async with started() as w:
            errors = [Conflict("no")]

            def fail_once() -> str:
                w.add(1)()
                if errors:
                    raise errors.pop()
                return "done"

            assert await w.submit(fail_once) == "done"
            assert await w.submit(w.stored) == [1]

    asyncio.run(scene())


def test_what_a_failed_job_had_written_is_taken_back() -> None:
    async def scene() -> None:
        async with started() as w:

            def half() -> None:
                w.add(1)()
                raise Conflict("no")

            with pytest.raises(Conflict):
                await w.submit(half)
            assert await w.submit(w.stored) == []

    asyncio.run(scene())


def test_what_a_failed_job_had_written_is_taken_back_from_among_others() -> None:
    async def scene() -> None:
        async with started() as w:

            def half() -> None:
                w.add(2)()
                raise Conflict("no")

            release = await w.hold()
            jobs = [w.submit(job) for job in (w.add(1), half, fail(Conflict("no")), w.add(3))]
            release.set()
            results = await asyncio.gather(*jobs, return_exceptions=True)
            assert [r if isinstance(r, int) else type(r) for r in results] == [
                1,
                Conflict,
                Conflict,
                3,
            ]
            assert await w.submit(w.stored) == [1, 3]

    asyncio.run(scene())


def test_only_who_fails_after_it_wrote_costs_savepoints() -> None:
    async def scene() -> None:
        async with started() as w:
            await asyncio.gather(w.submit(w.add(1)), w.submit(w.add(2)))
            with pytest.raises(Conflict):
                await w.submit(fail(Conflict("no")))
            assert not [each for each in w.statements if "SAVEPOINT" in each]

    asyncio.run(scene())


def test_a_commit_that_fails_lets_every_job_of_its_batch_fail(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def scene() -> None:
        async with started() as w:
            release = await w.hold()
            jobs = [w.writer.submit(w.add(n)) for n in range(2)]
            monkeypatch.setattr(w.database, "check_files", fail(OperationalError("full")))
            release.set()
            results = await asyncio.gather(*jobs, return_exceptions=True)
            assert [type(each) for each in results] == [Unavailable] * 2

    asyncio.run(scene())


def test_where_the_store_ends_the_transaction_no_job_of_the_batch_is_stored() -> None:
    async def scene() -> None:
        async with started() as w:

            def end() -> None:
                w.database.execute("ROLLBACK")
                raise OperationalError("full")

            release = await w.hold()
            jobs = [w.writer.submit(job) for job in (w.add(1), end, w.add(2))]
            release.set()
            results = await asyncio.gather(*jobs, return_exceptions=True)
            assert [type(each) for each in results] == [Unavailable] * 3
            assert await w.writer.submit(w.stored) == []

    asyncio.run(scene())


def test_an_error_of_our_sql_is_not_called_a_full_disk() -> None:
    async def scene() -> None:
        async with started() as w:
            await w.submit(w.add(1))
            with pytest.raises(Exception, match="UNIQUE") as raised:
                await w.submit(w.add(1))
            assert not isinstance(raised.value, Unavailable)

    asyncio.run(scene())


def test_a_caller_that_hung_up_has_its_row_committed_and_told() -> None:
    async def scene() -> None:
        async with started() as w:
            release = await w.hold()
            caller = w.submit(w.add(1))
            caller.cancel()
            release.set()
            assert await w.submit(w.stored) == [1]
            await asyncio.sleep(0)
            assert [r for name, results in w.told if name == "answered" for r in results][1] == 1

    asyncio.run(scene())


def test_a_caller_that_hung_up_harms_nobody_in_its_batch() -> None:
    async def scene() -> None:
        async with started() as w:
            release = await w.hold()
            gone, there = w.submit(w.add(1)), w.submit(w.add(2))
            gone.cancel()
            release.set()
            assert await there == 2

    asyncio.run(scene())


def test_a_take_over_that_raises_leaves_no_caller_without_an_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene() -> None:
        database = Database("sqlite:///:memory:")
        answered: list[Any] = []
        writer = Writer(database)
        on_commit = OnCommit(lambda results: results[0].no, in_one_step(answered.extend))
        await writer.start(lambda: None)
        assert await writer.submit(lambda: 1, on_commit) == 1
        assert await writer.submit(lambda: 2, on_commit) == 2
        await writer.close()
        assert answered == [1, 2]

    asyncio.run(scene())
    assert "could not be taken over" in caplog.text


def test_a_telling_that_raises_leaves_no_caller_without_an_answer(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def scene() -> None:
        database = Database("sqlite:///:memory:")
        writer = Writer(database)
        on_commit = OnCommit(lambda results: (), lambda results: results[0].no)
        await writer.start(lambda: None)
        assert [
            await writer.submit(lambda: 1, on_commit),
            await writer.submit(lambda: 2, on_commit),
        ] == [1, 2]
        await writer.close()

    asyncio.run(scene())
    assert len([line for line in caplog.messages if "could not be taken over" in line]) == 2


def test_each_hears_of_their_own_jobs_alone() -> None:
    async def scene() -> None:
        async with started() as w:
            others: list[Any] = []
            on_commit = OnCommit(in_one_step(others.extend), in_one_step(others.extend))
            release = await w.hold()
            jobs = [w.submit(w.add(1)), w.writer.submit(w.add(2), on_commit)]
            jobs += [w.writer.submit(w.add(3)), w.submit(w.add(4))]
            release.set()
            await asyncio.gather(*jobs)
        assert ("committed", [1, 4]) in w.told and ("answered", [1, 4]) in w.told
        assert others == [2, 2]

    asyncio.run(scene())


def test_a_job_that_ends_with_stop_iteration_holds_up_nobody() -> None:
    async def scene() -> None:
        async with started() as w:
            with pytest.raises(RuntimeError):
                await w.submit(lambda: next(iter(())))
            assert await w.submit(w.add(1)) == 1

    asyncio.run(scene())


# In steps.


@pytest.mark.parametrize(
    "seconds, order",
    [
        (0, ["committed", "others"] * 2 + ["answered", "others"] * 2),
        (60, ["committed"] * 2 + ["others"] * 2 + ["answered"] * 2 + ["others"] * 2),
    ],
)
def test_others_have_the_loop_between_two_steps_where_a_turn_has_been_long(
    monkeypatch: pytest.MonkeyPatch, seconds: int, order: list[str]
) -> None:
    monkeypatch.setattr(writer_module, "LONGEST_TURN", seconds)

    async def scene() -> None:
        done: list[str] = []
        loop = asyncio.get_running_loop()

        def steps(name: str) -> Callable[[list[Any]], Iterator[None]]:
            def steps(results: list[Any]) -> Iterator[None]:
                for _ in range(2):
                    loop.call_soon(done.append, "others")
                    done.append(name)
                    yield

            return steps

        writer = Writer(Database("sqlite:///:memory:"))
        on_commit = OnCommit(steps("committed"), steps("answered"))
        await writer.start(lambda: None)
        await writer.submit(lambda: 1, on_commit)
        await writer.close()
        assert done == order

    asyncio.run(scene())


def test_no_delivery_overtakes_another() -> None:
    async def scene() -> None:
        done: list[tuple[str, Any]] = []
        third_ran = threading.Event()
        loop = asyncio.get_running_loop()

        def committed(results: list[Any]) -> Iterator[None]:
            done.append(("committed", results[0]))
            yield

        def answered(results: list[Any]) -> Iterator[None]:
            # By then the second has been committed, and the loop knows of it.
            while not third_ran.is_set():
                yield
            done.append(("answered", results[0]))

        writer = Writer(Database("sqlite:///:memory:"))
        on_commit = OnCommit(committed, answered)
        await writer.start(lambda: None)

        def second() -> int:
            loop.call_soon_threadsafe(writer.submit, third_ran.set, on_commit)
            return 2

        assert [
            await writer.submit(lambda: 1, on_commit),
            await writer.submit(second, on_commit),
        ] == [1, 2]
        await writer.close()
        names = [(name, n) for name, n in done if n]
        assert names == [(name, n) for n in (1, 2) for name in ("committed", "answered")]

    asyncio.run(scene())


def test_closing_waits_for_the_last_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "LONGEST_TURN", 0)

    async def scene() -> None:
        done: list[int] = []

        def steps(results: list[Any]) -> Iterator[None]:
            for step in range(100):
                done.append(step)
                yield

        writer = Writer(Database("sqlite:///:memory:"))
        on_commit = OnCommit(lambda results: (), steps)
        await writer.start(lambda: None)
        await writer.submit(lambda: 1, on_commit)
        await writer.close()
        assert len(done) == 100

    asyncio.run(scene())


# Beginning and end.


def test_a_database_that_cannot_be_opened_is_told_to_whoever_starts() -> None:
    async def scene() -> None:
        written = Written("sqlite:////proc/none/plan.db")
        with pytest.raises(StartError):
            await written.writer.start(written.prepare)
        await written.writer.close()

    asyncio.run(scene())


def test_a_preparation_that_fails_is_told_to_whoever_starts() -> None:
    async def scene() -> None:
        written = Written()
        with pytest.raises(RuntimeError):
            await written.writer.start(fail(RuntimeError("x")))
        await written.writer.close()

    asyncio.run(scene())


def test_a_database_that_does_not_hold_what_we_wrote_is_told_to_whoever_starts() -> None:
    async def scene() -> None:
        written = Written()
        with pytest.raises(StartError, match="cannot read the database: x"):
            await written.writer.start(fail(ValueError("x")))
        await written.writer.close()

    asyncio.run(scene())


def test_a_preparation_that_fails_frees_the_file(tmp_path: Any) -> None:
    async def scene() -> None:
        written = Written(f"sqlite:///{tmp_path}/plan.db")
        with pytest.raises(RuntimeError):
            await written.writer.start(fail(RuntimeError("x")))
        await written.writer.close()
        again = Database(f"sqlite:///{tmp_path}/plan.db")
        again.open()
        again.close()

    asyncio.run(scene())


def test_closing_finishes_what_is_queued() -> None:
    async def scene() -> None:
        async with started() as w:
            release = await w.hold()
            # The last batch is no whole one.
            most = 2 * BATCH + 1
            jobs = [w.submit(w.add(n)) for n in range(most)]
            closing = asyncio.create_task(w.writer.close())
            await asyncio.sleep(0)
            release.set()
            await closing
            assert await asyncio.gather(*jobs) == list(range(most))

    asyncio.run(scene())


def test_who_comes_after_the_end_is_refused() -> None:
    async def scene() -> None:
        async with started() as w:
            release = await w.hold()
            closing = asyncio.create_task(w.writer.close())
            await asyncio.sleep(0)
            late = w.submit(w.add(1))
            release.set()
            await closing
            with pytest.raises(Unavailable, match="shutting down"):
                await late

    asyncio.run(scene())


def test_a_queue_that_is_too_long_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gantt_tornado.store.writer.LONGEST_QUEUE", 2)

    async def scene() -> None:
        async with started() as w:
            release = await w.hold()
            jobs = [w.submit(w.add(n)) for n in range(3)]
            release.set()
            with pytest.raises(Unavailable) as refused:
                await jobs[2]
            assert refused.value.retry_after
            assert await asyncio.gather(*jobs[:2]) == [0, 1]

    asyncio.run(scene())


def test_closing_twice_and_without_a_start_is_no_error() -> None:
    async def scene() -> None:
        written = Written()
        await written.writer.close()
        await written.writer.start(written.prepare)
        await written.writer.close()
        await written.writer.close()

    asyncio.run(scene())

"""The writer: the one thread that touches the database, and its group commit.

It owns the connection; nothing else may use it. Jobs come in a queue from the loop, all
that wait are run in one transaction, and one commit pays the sync for all of them. A job
that fails undoes nobody else's work. The loop is woken once a batch. The writer takes
callables and knows no entity.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from queue import SimpleQueue
from time import perf_counter
from typing import Any, Final, Generic, TypeVar

from peewee import DatabaseError, DataError, IntegrityError, ProgrammingError

from gantt_tornado.counts import Counts
from gantt_tornado.errors import GanttError, StartError, Unavailable
from gantt_tornado.store.database import Database, Displaced, ReadError

log = logging.getLogger(__name__)

#: Raised where what lies in the file is not what we wrote.
UNREADABLE: Final = (
    *(ArithmeticError, LookupError, TypeError, ValueError),
    *(DatabaseError, ReadError),
)

T = TypeVar("T")

#: Jobs in one transaction. More would let the first wait long for the last.
BATCH: Final = 128
#: Jobs that may wait. A store that stands still must not fill the memory with them.
LONGEST_QUEUE: Final = 10_000
#: Seconds after which a client should try again.
RETRY_AFTER: Final = 2
#: Seconds in a row that a committed batch may take of the loop.
LONGEST_TURN: Final = 0.01


class _HalfWritten(Exception):
    """A job failed after it had written something."""


#: Goes through the results of committed jobs, in steps.
Steps = Callable[[list[Any]], Iterable[None]]


@dataclass(frozen=True, slots=True, eq=False)
class OnCommit:
    """What follows on the commit of somebody's jobs, on the loop, with their results in order.

    ``committed`` is gone through before their futures are resolved, and ``answered`` when
    those who awaited the futures have gone on: a handler has written its answer by then.
    """

    committed: Steps
    answered: Steps


@dataclass(slots=True)
class Job(Generic[T]):
    """One callable, run inside a transaction, and the future of its result.

    It may be run a second time, after the first was undone.
    """

    run: Callable[[], T]
    future: asyncio.Future[T]
    on_commit: OnCommit | None = None
    result: T | None = None
    error: BaseException | None = None


class Writer:
    """Runs jobs on its thread in the order of their submission.

    What follows on the commit of a batch does its work in steps, for one batch may hold
    thousands of rows: where the steps of a turn have taken long, others have the loop before
    the next. No batch overtakes another.

    Args:
        counts: where transactions are counted, on the loop.
    """

    def __init__(self, database: Database, counts: Counts | None = None) -> None:
        self._database = database
        self._counts = counts or Counts()
        #: None is the last: the writer is closed.
        self._queue: SimpleQueue[Job[Any] | None] = SimpleQueue()
        # One a batch, of what follows on its commit.
        self._deliveries: deque[Iterator[bool]] = deque()
        self._closing = False
        # Why the store takes no writes, as it was last logged.
        self._trouble = ""
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    async def start(self, prepare: Callable[[], T]) -> T:
        """Open the database on the thread, run ``prepare`` there and return its result.

        Raises:
            StartError: the database cannot be opened.
        """
        self._loop = asyncio.get_running_loop()
        started: asyncio.Future[T] = self._loop.create_future()
        self._thread = threading.Thread(
            target=self._main, args=(prepare, started), name="gantt-writer", daemon=True
        )
        self._thread.start()
        return await started

    def submit(self, run: Callable[[], T], on_commit: OnCommit | None = None) -> asyncio.Future[T]:
        """Queue a job; its future fails with what the job raised, or with Unavailable.

        Raises:
            Unavailable: there was no :meth:`start`.
        """
        if self._loop is None:
            raise Unavailable("The plan is not open: start() comes first.")
        future: asyncio.Future[T] = self._loop.create_future()
        if self._closing or self._queue.qsize() >= LONGEST_QUEUE:
            future.set_exception(_refusal(self._closing))
            return future
        self._queue.put(Job(run, future, on_commit))
        return future

    @property
    def waiting(self) -> int:
        """Jobs that nobody has begun."""
        return self._queue.qsize()

    async def close(self) -> None:
        """Finish what is queued, close the database, and tell what was committed."""
        if self._thread is None or self._loop is None:
            return
        self._closing = True
        self._queue.put(None)
        await self._loop.run_in_executor(None, self._thread.join)
        while self._deliveries:
            await asyncio.sleep(0)

    # On the thread from here on.

    def _main(self, prepare: Callable[[], T], started: asyncio.Future[T]) -> None:
        try:
            self._database.open()
            prepared = prepare()
        except UNREADABLE as error:
            self._refuse(started, StartError(f"cannot read the database: {error}"))
            return
        except BaseException as error:
            self._refuse(started, error)
            return
        self._call(_succeed, started, prepared)
        try:
            while batch := self._take():
                self._run(batch)
                # The next may be long in coming.
                del batch
        finally:
            self._database.close()

    def _refuse(self, started: asyncio.Future[Any], error: BaseException) -> None:
        # Nobody will take a job from the queue.
        self._closing = True
        self._database.close()
        self._call(_fail, started, error)

    def _take(self) -> list[Job[Any]]:
        """The jobs of the next batch; none when there is nothing left to do."""
        batch: list[Job[Any]] = []
        while (job := self._queue.get()) is not None:
            batch.append(job)
            if len(batch) == BATCH or self._queue.empty():
                return batch
        if batch:
            # It ends with the next one.
            self._queue.put(None)
        return batch

    def _run(self, batch: list[Job[Any]]) -> None:
        seconds = None
        began = perf_counter()
        try:
            self._transaction(batch)
            seconds = perf_counter() - began
        except Exception as error:
            cause = self._unavailable(error) if _is_the_stores(error) else error
            for job in batch:
                # A job that was refused on its own merits keeps its own answer.
                job.error = job.error or cause
        self._call(self._deliver, batch, seconds)

    def _transaction(self, batch: list[Job[Any]]) -> None:
        try:
            self._attempt_all(batch, self._attempt)
        except _HalfWritten:
            # Rare, so only now each pays for a savepoint of its own.
            self._attempt_all(batch, self._attempt_apart)

    def _attempt_all(self, batch: list[Job[Any]], attempt: Callable[[Job[Any]], None]) -> None:
        peewee = self._database.peewee
        written = self._database.written
        peewee.begin("IMMEDIATE")
        try:
            for job in batch:
                job.error = None
                attempt(job)
            if self._database.written != written:
                self._database.check_files()
            peewee.commit()
        except BaseException:
            self._database.undo()
            raise
        if self._trouble and self._database.written != written:
            self._trouble = ""
            log.warning("the store takes writes again")

    def _attempt(self, job: Job[Any]) -> None:
        """Run a job, most of which refuse before they write."""
        written = self._database.written
        try:
            job.result = job.run()
        except Exception as error:
            self._refused(job, error)
            if self._database.written != written:
                raise _HalfWritten from error
            self._database.undone += 1

    def _attempt_apart(self, job: Job[Any]) -> None:
        """Run a job that can be undone alone."""
        execute = self._database.execute
        execute("SAVEPOINT job")
        try:
            job.result = job.run()
        except Exception as error:
            self._refused(job, error)
            self._database.undo("job")
        execute("RELEASE job")

    def _refused(self, job: Job[Any], error: Exception) -> None:
        if not self._database.in_transaction:
            # A full disk has ended the transaction under us. Jobs that went on now would
            # each commit on their own, so the batch ends here, with the first cause and
            # not with the "no such savepoint" that would follow.
            raise error
        job.error = self._unavailable(error) if _is_the_stores(error) else error
        if isinstance(job.error, GanttError):
            # Its frames hold the job, and so the error itself: what was sent would stay in
            # memory until the collector comes round.
            job.error.__traceback__ = None

    def _unavailable(self, error: Exception) -> Unavailable:
        said = str(error)
        if said != self._trouble:
            # Once, not for each write until somebody comes.
            self._trouble = said
            level = logging.ERROR if isinstance(error, Displaced) else logging.WARNING
            log.log(level, "the store cannot take writes now: %s", said)
        message = "The plan cannot be saved just now. Please try again in a moment."
        if isinstance(error, Displaced):
            message = (
                "The plan's file has been moved or replaced. Nothing can be saved until it is "
                "put back or the server is started again."
            )
        return Unavailable(message, detail=said, retry_after=RETRY_AFTER)

    def _call(self, callback: Callable[..., None], *args: Any) -> None:
        assert self._loop is not None
        try:
            self._loop.call_soon_threadsafe(callback, *args)
        except RuntimeError:
            # The loop is gone: its owner did not wait for close(). What was committed
            # stays committed; there is nobody left to tell.
            log.warning("the loop was closed before the writer")

    # On the loop again.

    def _deliver(self, batch: list[Job[Any]], seconds: float | None) -> None:
        """``seconds`` is what its transaction took, None where it was not committed."""
        if seconds is not None:
            self._counts.commits.note(seconds)
            self._counts.batches.note(len(batch))
        self._deliveries.append(self._delivery(batch))
        if len(self._deliveries) == 1:
            self._go_on()

    def _go_on(self) -> None:
        """Take the next steps of what was committed."""
        assert self._loop is not None
        enough = perf_counter() + LONGEST_TURN
        while self._deliveries:
            try:
                for pauses in self._deliveries[0]:
                    if pauses or perf_counter() >= enough:
                        self._loop.call_soon(self._go_on)
                        return
            except Exception:
                # Else nobody behind it would ever be answered.
                log.exception("a committed batch could not be delivered")
            self._deliveries.popleft()

    def _delivery(self, batch: list[Job[Any]]) -> Iterator[bool]:
        """What follows on a commit, in steps; True where others must have the loop now."""
        results: dict[OnCommit, list[Any]] = {}
        for job in batch:
            if job.error is None and job.on_commit is not None:
                results.setdefault(job.on_commit, []).append(job.result)
        for following, own in results.items():
            yield from _steps(following.committed, own)
        for job in batch:
            # A caller who is gone has cancelled its future; its row is committed.
            if job.error is None:
                _succeed(job.future, job.result)
            else:
                _fail(job.future, job.error)
        # The rest comes behind the wake-ups that the futures have just queued.
        yield True
        for following, own in results.items():
            yield from _steps(following.answered, own)


def _steps(work: Steps, results: list[Any]) -> Iterator[bool]:
    try:
        for _ in work(results):
            yield False
    except Exception:
        # Whatever it was, the rows are committed and the callers wait for an answer.
        log.exception("a committed batch could not be taken over")


def shutting_down() -> Unavailable:
    """What is answered while the server shuts down."""
    return Unavailable("The server is shutting down.", retry_after=RETRY_AFTER)


def _refusal(is_closing: bool) -> Unavailable:
    if is_closing:
        return shutting_down()
    return Unavailable("The server is busy. Please try again.", retry_after=RETRY_AFTER)


def _is_the_stores(error: BaseException) -> bool:
    """Whether the store failed, rather than our SQL."""
    return isinstance(error, DatabaseError) and not isinstance(
        error, DataError | IntegrityError | ProgrammingError
    )


def _succeed(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        if isinstance(error, StopIteration):
            # A future takes none, and then nobody behind it would be answered.
            error = RuntimeError(f"a job ended with {error!r}")
        future.set_exception(error)

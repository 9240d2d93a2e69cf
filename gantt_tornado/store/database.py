"""Opening a database by its URL, and what is SQLite's own about it.

The rest of the house speaks peewee's portable SQL to what :class:`Database` holds.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar, cast
from urllib.parse import quote, unquote, urlsplit

import peewee
from filelock import FileLock, Timeout
from peewee import Context, DatabaseError, Field, Node, Query, SqliteDatabase
from playhouse.migrations import Runner

from gantt_tornado.errors import StartError

MIGRATIONS: Final = Path(__file__).parent / "migrations"


#: What is raised where a row that was found cannot be read: its text is no UTF-8.
ReadError: Final = sqlite3.Error

T = TypeVar("T")

#: Marks our files, so that another program's database is never taken for one ("Gant").
APPLICATION_ID: Final = 0x47616E74
#: Seconds that a write waits for another process which holds SQLite's lock.
BUSY_TIMEOUT: Final = 2
#: Seconds that a long reading pauses for.
PAUSE: Final = 0.0005
#: The same for a process that is not the server: it may come behind some long writes.
PATIENCE: Final = 20
_MAGIC: Final = b"SQLite format 3\0"


class Statement(NamedTuple):
    """Compiled SQL.

    Attributes:
        sql: with a ``?`` for each parameter.
        names: of the parameters, in the order in which they stand in it.
    """

    sql: str
    names: tuple[str, ...] = ()

    def values(self, params: Mapping[str, Any]) -> list[Any]:
        """What SQLite is given. It takes values by their names too, but looks up each name
        at each execution, which takes as long as writing the row."""
        return list(map(params.__getitem__, self.names))


#: Makes SQL of a query.
Compile = Callable[[Query], Statement]


class Displaced(DatabaseError):
    """The file is not where it was opened, or is another."""


class _Param(Node):
    """See :func:`param`."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def __sql__(self, ctx: Context) -> Context:
        with ctx(value_literals=False, converter=None):
            ctx.value(self.name)
        return ctx


def param(name: str) -> Any:
    """Stands in a query for a value that comes by this name when it is executed."""
    return _Param(name)


def params(*fields: Field) -> dict[Field, Any]:
    """For each column a value that comes by the column's name."""
    return {field: param(field.name) for field in fields}


@cache
def _prepared(make: Callable[..., Any], *args: Any) -> Any:
    database = SqliteDatabase(None)

    def compile(query: Query) -> Statement:
        # What is no parameter is part of the SQL, so that no caller has to repeat it. So the
        # only values that peewee collects are the names of the parameters.
        sql, names = database.get_sql_context(value_literals=True).sql(query).query()
        return Statement(sql, tuple(names))

    return make(compile, *args)


class Connection:
    """What executes SQL; made by :class:`Database`."""

    #: How often something was undone, if only what had been prepared to be written.
    undone = 0
    _connection: sqlite3.Connection

    def prepared(self, make: Callable[..., T], *args: Any) -> T:
        """What ``make`` compiles, given ``args`` too; made once a process.

        Compiled SQL is executed many times, with other values for its parameters: on the
        path of a write, building a query each time would cost more than SQLite.
        """
        return cast(T, _prepared(make, *args))

    def execute(self, sql: Statement | str, params: Any = ()) -> sqlite3.Cursor:
        """Execute SQL, with peewee's errors: compiled, with a mapping of its parameters, or as
        SQLite reads it, with a sequence.

        Beside this, peewee's own way costs as much again as SQLite: it makes a cursor,
        looks whether the connection is open, and writes a line for the log.
        """
        if isinstance(sql, Statement):
            params = sql.values(params)
            sql = sql.sql
        try:
            return self._connection.execute(sql, params)
        except sqlite3.Error as error:
            raise getattr(peewee, type(error).__name__)(*error.args) from error

    def pause(self) -> None:
        """Called now and then in a long reading, for others to go on."""


class Snapshot(Connection):
    """The state of a database at one moment, to be read for as long as it takes.

    Its reader takes nothing from the writer: SQLite's log keeps what it reads.
    """

    def __init__(self, path: str) -> None:
        uri = f"{Path(path).absolute().as_uri()}?mode=ro"
        self._connection = sqlite3.connect(uri, uri=True, isolation_level=None)
        self.execute("BEGIN")

    def pause(self) -> None:
        # Python changes threads by itself too, but each change would take 5 ms.
        time.sleep(PAUSE)

    def close(self) -> None:
        self._connection.close()


class Database(Connection):
    """One SQLite file with its lock. Open it on the thread that will use it.

    Args:
        url: ``sqlite:///relative/path``, ``sqlite:////absolute/path`` or
            ``sqlite:///:memory:``.

    Raises:
        StartError: from :meth:`open`, with one line that says what stands in the way.
    """

    def __init__(self, url: str) -> None:
        self.path = _path(url)
        # One thread owns the connection, so peewee need not look it up per thread.
        self.peewee = SqliteDatabase(self.path, timeout=BUSY_TIMEOUT, thread_safe=False)
        # By its real name, so that a link to the file is the same file.
        real = Path(self.path).resolve()
        # Path → device and inode, of what the connection has open.
        self._files: dict[str, tuple[int, int]] = {}
        self._lock = None if self.is_in_memory else FileLock(f"{real}.lock", timeout=0)

    def open(self) -> None:
        """Lock, connect, check that the file is ours and bring its schema up to date."""
        self._acquire()
        try:
            self._check_header()
            self.peewee.connect()
            self._connection = self.peewee.connection()
            self._check_owner()
            self._prepare()
            self._note_files()
        except (DatabaseError, OSError) as error:
            self.close()
            raise StartError(f"cannot open the database {self.path}: {error}") from error
        except StartError:
            self.close()
            raise

    @property
    def is_in_memory(self) -> bool:
        """Whether no other connection can see it."""
        return self.path == ":memory:"

    def join(self, *, older: bool = False) -> None:
        """Connect beside the server that may have the file open, for tables that it shares:
        without its lock, and without bringing the schema up to date. Any thread may then
        use it, one at a time.

        Args:
            older: whether its schema may be one of before.

        Raises:
            StartError: there is no such file, it is empty or not ours, or its schema is another.
        """
        if not Path(self.path).is_file():
            raise StartError(
                f"there is no database {self.path}: a server makes it when it first starts"
            )
        # Not _check_header(): in the server's process, to close the file again would end the
        # locks that SQLite has on it, and the next to leave would delete the log under the server.
        try:
            self.peewee.init(self.path, timeout=PATIENCE, check_same_thread=False)
            self.peewee.connect()
            self._connection = self.peewee.connection()
            self._check_owner(empty=False)
            self._check_schema(older)
        except DatabaseError as error:
            self.leave()
            raise StartError(f"cannot open the database {self.path}: {error}") from error
        except StartError:
            self.leave()
            raise

    def copy_to(self, path: str) -> None:
        """Copy the whole database, as it is at one moment, into a new file, and have it on the
        disk. Others may write meanwhile.

        Raises:
            DatabaseError, OSError: it cannot be copied.
        """
        with closing(sqlite3.connect(path)) as copy:
            try:
                # In one step: another process that writes would have it begin anew each time.
                self._connection.backup(copy)
                # Else nobody could read it where nothing can be written beside it.
                copy.execute("PRAGMA journal_mode = delete")
            except sqlite3.Error as error:
                raise DatabaseError(*error.args) from error
        with open(path, "rb") as file:
            os.fsync(file.fileno())

    def faults(self) -> list[str]:
        """What SQLite finds wrong in the file."""
        try:
            found = [str(row[0]) for row in self._connection.execute("PRAGMA integrity_check")]
        except sqlite3.Error as error:
            return [str(error)]
        return [] if found == ["ok"] else found

    def indexes(self) -> set[str]:
        """The names of all indexes."""
        found = self._connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'")
        return {str(name) for (name,) in found}

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock of the file without opening it: no server serves it meanwhile.

        Raises:
            StartError: one does.
        """
        self._acquire()
        try:
            yield
        finally:
            if self._lock is not None:
                self._lock.release()

    def leave(self) -> None:
        """Disconnect after :meth:`join`."""
        if not self.peewee.is_closed():
            self.peewee.close()

    @property
    def foreign_commits(self) -> int:
        """A number that is another one after a commit of any other connection."""
        return int(self._pragma("data_version"))

    def snapshot(self) -> Snapshot:
        """Its state now, for the thread that asks; a database in memory has none."""
        return Snapshot(self.path)

    def check_files(self) -> None:
        """See that what is written will be found: SQLite goes on writing to a file that was
        deleted or replaced, and to its log, and nobody ever reads it again.

        Raises:
            Displaced: a file is not the one that was opened.
        """
        for path, opened in self._files.items():
            try:
                found = os.stat(path)
            except OSError as error:
                raise Displaced(f"{path}: {error.strerror}") from error
            if (found.st_dev, found.st_ino) != opened:
                raise Displaced(f"{path} is not the file that was opened")

    def undo(self, savepoint: str = "") -> None:
        """Undo what was written since a savepoint, or in the whole transaction."""
        self.undone += 1
        if savepoint:
            self.execute(f"ROLLBACK TO {savepoint}")
        elif self.in_transaction:
            self.peewee.rollback()

    def close(self) -> None:
        if not self.peewee.is_closed():
            self.peewee.close()
        if self._lock is not None:
            self._lock.release()

    @property
    def in_transaction(self) -> bool:
        """Whether SQLite itself is inside one: a full disk ends it without being asked."""
        return self._connection.in_transaction

    @property
    def written(self) -> int:
        """How many rows have been written since the database was opened, undone or not."""
        return self._connection.total_changes

    def _acquire(self) -> None:
        if self._lock is None:
            return
        if not Path(self.path).parent.is_dir():
            # The lock would make it, and a slip of the pen would found a new plan.
            raise StartError(f"cannot open the database {self.path}: no such directory")
        try:
            self._lock.acquire()
        except Timeout:
            raise StartError(
                f"another server is serving the database {self.path}; "
                "two on one file would not hear each other"
            ) from None
        except OSError as error:
            raise StartError(f"cannot open the database {self.path}: {error.strerror}") from error

    def _check_header(self) -> None:
        path = Path(self.path)
        if self._lock is None or not path.exists():
            return
        with path.open("rb") as file:
            head = file.read(len(_MAGIC))
        if head and head != _MAGIC:
            raise StartError(f"{self.path} is not an SQLite database")

    def _check_owner(self, *, empty: bool = True) -> None:
        """Raises:
        StartError: it is another program's; or nothing is in it, and it may not be ``empty``.
        """
        # Before anything is written, not even the journal mode.
        mark = self._pragma("application_id")
        if mark == APPLICATION_ID:
            return
        is_empty = not mark and not self.peewee.get_tables()
        if is_empty and not empty:
            raise StartError(f"the database {self.path} is empty: there is no plan in it")
        if not is_empty:
            raise StartError(f"the database {self.path} belongs to another program")

    def _prepare(self) -> None:
        self._pragma("journal_mode", "wal")
        # What was answered survives a power cut; group commit pays for the sync.
        self._pragma("synchronous", "full")
        self._pragma("application_id", APPLICATION_ID)
        runner = Runner(self.peewee, str(MIGRATIONS))
        self._check_not_newer(runner)
        runner.up()

    def _check_schema(self, older: bool) -> None:
        """Raises:
        StartError: it is not the one of this version.
        """
        runner = Runner(self.peewee, str(MIGRATIONS))
        self._check_not_newer(runner)
        if not older and any(migration.applied is None for migration in runner.status()):
            raise StartError(
                f"the database {self.path} was written by an older version of gantt-tornado: "
                "start the server once with this one"
            )

    def _check_not_newer(self, runner: Runner) -> None:
        newer = [migration.name for migration in runner.status() if migration.path is None]
        if newer:
            raise StartError(
                f"the database {self.path} was written by a newer version of gantt-tornado "
                f"(it knows {newer[-1]})"
            )

    def _note_files(self) -> None:
        if self._lock is None:
            return
        # By its name as it was given, too: where a link leads elsewhere now, so will the
        # next start. SQLite keeps its log beside the real file.
        for path in (os.path.abspath(self.path), f"{Path(self.path).resolve()}-wal"):
            found = os.stat(path)
            self._files[path] = (found.st_dev, found.st_ino)

    def _pragma(self, name: str, value: Any = None) -> Any:
        statement = f"PRAGMA {name}" if value is None else f"PRAGMA {name} = {value}"
        row = self.peewee.execute_sql(statement).fetchone()
        return row[0] if row else None


@contextmanager
def joined(url: str, *, older: bool = False) -> Iterator[Database]:
    """A database for a command beside whoever else has it, see :meth:`Database.join`.

    Raises:
        StartError: it cannot be joined.
    """
    database = Database(url)
    database.join(older=older)
    try:
        yield database
    finally:
        database.leave()


def url_of(path: Path) -> str:
    """The URL of a database file, whatever letters its name has."""
    return f"sqlite:///{quote(str(path))}"


def _path(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme != "sqlite" or parts.netloc or len(parts.path) < 2:
        raise StartError(
            f"cannot use the database {url!r}: expected sqlite:///path or sqlite:////absolute/path"
        )
    return unquote(parts.path[1:])

"""The command's ``backup``, ``restore``, ``check``, ``stats``, ``export`` and ``import``.

Those that only read may be used while a server has the file; the others stop where one does. Each
says in its last line what was done.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO, Final

from gantt_tornado.config import Config, read_config
from gantt_tornado.errors import GanttError, StartError
from gantt_tornado.model.project_info import ProjectInfo
from gantt_tornado.model.schema import OURS
from gantt_tornado.store import backups, checks, project_files
from gantt_tornado.store.continuity import renew
from gantt_tornado.store.database import Database, joined
from gantt_tornado.store.items import Store
from gantt_tornado.store.projects import Projects
from gantt_tornado.store.writer import UNREADABLE
from gantt_tornado.token_commands import add_database, print_table

#: Carries out one of them; returns the exit status.
Run = Callable[[Config, dict[str, Any]], int]
#: The exit status of a check that found something.
FAULTY: Final = 1
#: Faults that are printed of each project.
MOST_SHOWN: Final = 100
#: Rounds of mending: what is mended may show what else is wrong.
ROUNDS: Final = 5
_HEADINGS: Final = ("PROJECT", "TASKS", "LINKS", "OTHERS", "CHANGES", "LAST CHANGE", "STATE")
_STREAM: Final = "-"


def add(commands: Any) -> None:
    """Add them to the commands of a parser; ``run`` is then what carries one out."""

    def command(name: str, run: Run, help: str) -> Any:
        parser = commands.add_parser(name, help=help, description=help, allow_abbrev=False)
        add_database(parser)
        parser.set_defaults(run=lambda flags: _run(run, flags))
        return parser

    backup = command("backup", _backup, "Copy the database, also while a server has it.")
    backup.add_argument("file", type=Path, metavar="FILE", help="takes the place of an old backup")
    restore = command("restore", _restore, "Put a backup in the database's place.")
    restore.add_argument("file", type=Path, metavar="FILE", help="what backup has made")
    check = command("check", _check, "See whether the file and the plans in it are sound.")
    check.add_argument(
        "--mend", action="store_true", help="mend what can be; stop the server first"
    )
    command("stats", _stats, "Say what is in the database.")
    export = command("export", _export, "Write a project as JSON lines, without its history.")
    export.add_argument("project", metavar="PROJECT")
    export.add_argument("file", nargs="?", default=_STREAM, help="default: standard output")
    read = command("import", _import, "Add a project from what export has written.")
    read.add_argument("file", metavar="FILE", help="- for standard input")
    read.add_argument("--name", default="", help="default: the one that it had")


def _run(run: Run, flags: dict[str, Any]) -> int:
    """Raises:
    StartError: it cannot be done; the text is one line.
    """
    config = read_config(flags["config"], os.environ, {"database": flags["database"]})
    try:
        return run(config, flags)
    except (*UNREADABLE, GanttError, OSError) as error:
        raise StartError(str(error)) from None


@contextmanager
def _joined(config: Config) -> Iterator[Database]:
    """The database as it is at one moment, whoever else has it."""
    with joined(config.database) as database, database.peewee.atomic():
        yield database


@contextmanager
def _alone(config: Config) -> Iterator[Database]:
    """The database, which nobody serves."""
    database = Database(config.database)
    if not database.is_in_memory and not Path(database.path).is_file():
        raise StartError(f"there is no database {database.path}")
    database.open()
    try:
        yield database
    finally:
        database.close()


def _backup(config: Config, flags: dict[str, Any]) -> int:
    with joined(config.database, older=True) as database:
        size = backups.back_up(database, flags["file"])
    print(f"{flags['file']} is a backup of {database.path}: {_bytes(size)}, checked.")
    return 0


def _restore(config: Config, flags: dict[str, Any]) -> int:
    kept = backups.restore(config.database, flags["file"])
    path = Database(config.database).path
    where = f" What was there is kept as {kept}." if kept else ""
    print(f"{flags['file']} is restored to {path}; all pages will load again.{where}")
    return 0


def _check(config: Config, flags: dict[str, Any]) -> int:
    with (_alone if flags["mend"] else _joined)(config) as database:
        found = database.faults()
        around = [] if found else checks.around(database)
        _show("the file", [*found, *around])
        count = len(found) + len(around)
        # In a file that is damaged nothing is to be written.
        may_mend = flags["mend"] and not found
        mended = 0
        # As it is in the file: the configuration's counts from the next start on.
        markup = project_files.html_of(database) == "clean"
        for info in Projects(database).with_deleted():
            store = Store(database, config.calendar, info.id, markup=markup, schema=OURS)
            faults = checks.faults(store)
            _show(info.name, [fault.text for fault in faults])
            count += len(faults)
            if may_mend and faults:
                left = _mend(database, store, faults)
                mended += len(faults) - min(len(left), len(faults))
                _show(f"{info.name}, still", [fault.text for fault in left])
        what = f"{mended} mended, pages load again" if mended else ""
        if flags["mend"] and count and not mended:
            what = "nothing can be mended"
        told = ", ".join(filter(None, (f"{count or 'no'} fault{'s' * (count != 1)}", what)))
        print(f"{database.path}: {told}.")
    return FAULTY if count > mended else 0


def _mend(database: Database, store: Store, faults: list[checks.Fault]) -> list[checks.Fault]:
    """Mend what can be mended. Returns what is left."""
    with database.peewee.atomic("IMMEDIATE"):
        for _ in range(ROUNDS):
            cures = [fault.cure for fault in faults if fault.cure is not None]
            for cure in cures:
                _apply(database, store, cure)
            faults = checks.faults(store)
            if not cures:
                break
        renew(database, store.project)
    return faults


def _apply(database: Database, store: Store, cure: checks.Cure) -> None:
    """Mend one fault, or nothing: what cannot be mended must not keep the rest from it."""
    database.execute("SAVEPOINT cure")
    try:
        cure(store)
    except (*UNREADABLE, GanttError):
        # It is among what is left.
        database.undo("cure")
    database.execute("RELEASE cure")


def _stats(config: Config, _flags: dict[str, Any]) -> int:
    with _joined(config) as database:
        infos = Projects(database).with_deleted()
        print_table([_HEADINGS, *(_row(database, config, info) for info in infos)])
        size = 0 if database.is_in_memory else Path(database.path).stat().st_size
        print(f"{database.path}: {len(infos)} projects, {_bytes(size)}.")
    return 0


def _row(database: Database, config: Config, info: ProjectInfo) -> tuple[str, ...]:
    store = Store(database, config.calendar, info.id, schema=OURS)
    tasks, links, *others = store.counts()
    changes = store.journal.seq() - store.journal.horizon()
    state = "deleted" if info.deleted else "archived" if info.archived else "open"
    return (
        *(info.name, str(tasks), str(links), str(sum(others)), str(changes)),
        *(_time(info.changed), state),
    )


def _export(config: Config, flags: dict[str, Any]) -> int:
    with _joined(config) as database:
        info = Projects(database).named(flags["project"])
        lines = project_files.lines(database, info, config.calendar)
        if flags["file"] == _STREAM:
            try:
                count = sum(1 for line in lines if sys.stdout.buffer.write(line))
                sys.stdout.buffer.flush()
            except BrokenPipeError:
                # Whoever reads it has enough. Python flushes once more at the end.
                with open(os.devnull, "wb") as nothing:
                    os.dup2(nothing.fileno(), sys.stdout.fileno())
                return 0
        else:
            target = Path(flags["file"])
            _check_target(database, target)
            count = _write(target, lines)
    # Behind the lines themselves it would be no line of JSON.
    said = sys.stderr if flags["file"] == _STREAM else sys.stdout
    print(f"{info.name}: {count - 1} items are written to {flags['file']}.", file=said)
    return 0


def _check_target(database: Database, target: Path) -> None:
    """Raises:
    StartError: a slip would cost another file.
    """
    backups.check_not_own(database, target)
    if not target.exists():
        return
    with target.open("rb") as file:
        begin = file.read(len(project_files.BEGINNING))
    if begin not in (b"", project_files.BEGINNING):
        raise StartError(f"{target} holds no project that export has written")


def _write(path: Path, lines: Iterator[bytes]) -> int:
    """Write a file whole or not at all. Returns how many lines it has."""
    # A name of its own: two may be written at once.
    new = path.with_name(f"{path.name}.{token_hex(4)}.new")
    with new.open("xb") as file:
        try:
            count = sum(1 for line in lines if file.write(line))
            file.flush()
            os.fsync(file.fileno())
            os.replace(new, path)
        except BaseException:
            new.unlink(missing_ok=True)
            raise
    return count


def _import(config: Config, flags: dict[str, Any]) -> int:
    with _alone(config) as database, database.peewee.atomic("IMMEDIATE"):
        if flags["file"] == _STREAM:
            info = _read(config, database, sys.stdin.buffer, flags["name"])
        else:
            with open(flags["file"], "rb") as file:
                info = _read(config, database, file, flags["name"])
    print(f"{info.name}: a project with {info.tasks} tasks is added.")
    return 0


def _read(config: Config, database: Database, file: BinaryIO, name: str) -> ProjectInfo:
    # What no page could send, or save, is not let in beside it.
    lines = project_files.bounded(file, config.max_body)
    info = project_files.read(database, lines, config.calendar, name, config.max_items)
    store = Store(database, config.calendar, info.id, schema=OURS)
    faults = checks.faults(store)
    if faults:
        more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
        raise StartError(f"nothing is added: {faults[0].text}{more}")
    return info


def _show(of: str, found: list[str]) -> None:
    for text in found[:MOST_SHOWN]:
        print(f"{of}: {text}")
    if len(found) > MOST_SHOWN:
        print(f"{of}: and {len(found) - MOST_SHOWN} more")


def _bytes(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MB"


def _time(at: int) -> str:
    return datetime.fromtimestamp(at / 1000, UTC).strftime("%Y-%m-%dT%H:%MZ") if at else "-"

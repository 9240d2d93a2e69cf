"""A database copied while it is served, and put back when it is not.

Both come from one file and end in another that is whole: a copy is made beside, and takes the
other's place in one step. What was there before a restore is kept.
"""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from itertools import count
from pathlib import Path
from secrets import token_hex
from typing import Final

from peewee import DatabaseError

from gantt_tornado.errors import StartError
from gantt_tornado.store.continuity import SUFFIX, renew
from gantt_tornado.store.database import Database, joined, url_of
from gantt_tornado.store.projects import Projects

#: Behind the name of a copy that is being made.
_NEW: Final = ".new"
#: SQLite keeps its log in these, beside the file.
_LOGS: Final = ("-wal", "-shm")
#: All that lies beside a database which a server has, or had.
_BESIDE: Final = (*_LOGS, SUFFIX, ".lock")
#: What a backup holds is nobody's but the administrator's: it has the digests of all tokens.
_MODE: Final = 0o600


def back_up(database: Database, target: Path) -> int:
    """Copy a database that may be served into a file, which takes the place of an earlier backup.
    Returns its size in bytes.

    Raises:
        StartError: it cannot be done; what was in the file is still there.
    """
    _check_target(database, target)
    # A name of its own: two may be made at once.
    new = target.with_name(f"{target.name}.{token_hex(4)}{_NEW}")
    try:
        _make(new)
        database.copy_to(str(new))
        _check_whole(new)
        size = new.stat().st_size
        os.replace(new, target)
        _sync(target.parent)
    except (DatabaseError, OSError) as error:
        raise StartError(f"cannot make the backup {target}: {error}") from error
    finally:
        _remove(new)
    return size


def check_not_own(database: Database, target: Path) -> None:
    """Raises:
    StartError: it is the file of a database, or one beside it that belongs to it.
    """
    here = Path(database.path).resolve()
    own = [here, *(here.with_name(here.name + more) for more in _BESIDE)]
    if target.resolve() in own or (target.exists() and here.samefile(target)):
        raise StartError(f"{target} belongs to the database itself")
    if target.exists() and not target.is_file():
        raise StartError(f"{target} is no file")


def _check_target(database: Database, target: Path) -> None:
    check_not_own(database, target)
    if target.exists() and target.stat().st_size:
        # A slip must not cost another file.
        _check_unserved(target)
        _check_ours(target)


def _check_unserved(target: Path) -> None:
    """Raises:
    StartError: it is no backup but what a server has, or had: beside those lies nothing.
    """
    real = target.resolve()
    for more in _BESIDE:
        beside = real.with_name(real.name + more)
        if beside.exists():
            raise StartError(f"{target} is a server's database: {beside.name} lies beside it")


def restore(url: str, source: Path) -> Path | None:
    """Put a backup in the place of a database that is not served. All pages load again.

    Returns where the database that was there is kept, None where there was none.

    Raises:
        StartError: a server has the database, or the backup is none; nothing has changed.
    """
    database = Database(url)
    if database.is_in_memory:
        raise StartError("a database in memory has nothing to be restored to")
    path = Path(database.path).resolve()
    if not source.is_file():
        raise StartError(f"there is no backup {source}")
    if source.resolve() == path:
        raise StartError(f"{source} is the database itself")
    with database.alone():
        new = path.with_name(path.name + _NEW)
        try:
            _copy(source, new)
            _begin_anew(new)
            return _exchange(new, path)
        except (DatabaseError, OSError) as error:
            raise StartError(f"cannot restore {source}: {error}") from error
        finally:
            _remove(new)


def _copy(source: Path, new: Path) -> None:
    with joined(url_of(source), older=True) as backup:
        _make(new)
        backup.copy_to(str(new))
    _check_whole(new)


def _begin_anew(new: Path) -> None:
    """Bring a copy up to this version, and make every mark in it another: no page has it."""
    database = Database(url_of(new))
    database.open()
    try:
        with database.peewee.atomic("IMMEDIATE"):
            registry = Projects(database)
            for info in registry.with_deleted():
                renew(database, info.id)
    finally:
        database.close()


def _exchange(new: Path, path: Path) -> Path | None:
    """Have a whole file take the place of a database, at no moment of which there is none."""
    kept = None
    if path.exists():
        kept = _keep(path)
        for more in _LOGS:
            # What it has in its log belongs to it.
            with suppress(FileNotFoundError):
                shutil.copy2(f"{path}{more}", f"{kept}{more}")
                os.unlink(f"{path}{more}")
        shutil.copystat(path, new)
        _own_as(path, new)
    os.replace(new, path)
    _sync(path.parent)
    return kept


def _keep(path: Path) -> Path:
    """Give a file a second name, which no other has. Returns it."""
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    for number in count(1):
        # Two restores may come within one second.
        more = f"-{number}" if number > 1 else ""
        kept = path.with_name(f"{path.name}.replaced-{stamp}{more}")
        with suppress(FileExistsError):
            _link(path, kept)
            break
    return kept


def _link(path: Path, kept: Path) -> None:
    """Raises:
    FileExistsError: there is a file of this name.
    """
    try:
        os.link(path, kept)
    except FileExistsError:
        raise
    except OSError:
        # Not every file system has links.
        _create(kept)
        try:
            shutil.copy2(path, kept)
        except OSError:
            kept.unlink()
            raise


def _own_as(path: Path, new: Path) -> None:
    """Give a file the owner of another: the command may run as root, and the server does not."""
    found = path.stat()
    with suppress(PermissionError):
        os.chown(new, found.st_uid, found.st_gid)


def _check_ours(path: Path) -> None:
    """Raises:
    StartError: it is no database of ours.
    """
    with joined(url_of(path), older=True):
        pass


def _check_whole(path: Path) -> None:
    """Raises:
    StartError: SQLite finds something wrong in it.
    """
    with joined(url_of(path), older=True) as database:
        faults = database.faults()
    if faults:
        raise StartError(f"it is damaged: {faults[0]}")


def _make(new: Path) -> None:
    _remove(new)
    _create(new)


def _create(path: Path) -> None:
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, _MODE))


def _remove(new: Path) -> None:
    for more in ("", *_BESIDE):
        with suppress(FileNotFoundError):
            os.unlink(f"{new}{more}")


def _sync(folder: Path) -> None:
    """Have the names in a folder on the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

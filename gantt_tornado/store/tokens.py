"""The tokens in the database: made and revoked by the command, read by the server.

Several processes use this table: the command writes it while a server has the file, which
reads it on a connection of its own and writes it never.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from peewee import DatabaseError, fn

from gantt_tornado.errors import NotFound, StartError, Unavailable
from gantt_tornado.model.user import COLOR, User, role_named, roles
from gantt_tornado.store.database import Compile, Database, param, params
from gantt_tornado.store.tables import TokenRow

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class StoredToken:
    """A token as the table has it. Times are in seconds since 1970.

    Attributes:
        projects: ``bridge``, ``bridge:viewer``; none for all.
        expires: None for never.
        revoked: None for one that still counts.
    """

    id: int
    digest: str
    user: str
    name: str
    color: str
    role: str
    projects: tuple[str, ...]
    created: float
    expires: float | None
    revoked: float | None

    @property
    def owner(self) -> User:
        """Whom it stands for.

        Raises:
            ValueError: it is none that we wrote.
        """
        role, projects = roles(role_named(self.role), self.projects)
        return User(self.user, role, projects, self.name, self.color, self.expires, self.digest)


class _Statements:
    """The SQL of the tokens."""

    def __init__(self, compile: Compile) -> None:
        columns = [each for each in TokenRow._meta.sorted_fields if each.name != "revision"]
        last = TokenRow.alias()
        self.version = compile(TokenRow.select(fn.COUNT(TokenRow.id), fn.MAX(TokenRow.revision)))
        next_revision = last.select(fn.COALESCE(fn.MAX(last.revision), 0) + 1)
        self.all = compile(TokenRow.select(*columns).order_by(TokenRow.id))
        self.create = compile(
            TokenRow.insert(
                params(*(each for each in columns if each.name not in ("id", "revoked")))
                | {TokenRow.revoked: 0, TokenRow.revision: next_revision}
            )
        )
        self.revoke = compile(
            TokenRow.update(
                {TokenRow.revoked: param("revoked"), TokenRow.revision: next_revision}
            ).where(TokenRow.id == param("id"), TokenRow.revoked == 0)
        )
        self.known = compile(TokenRow.select(TokenRow.id).where(TokenRow.id == param("id")))


class StoredTokens:
    """The table, in a database that has been joined or opened."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = database.prepared(_Statements)

    def create(
        self,
        digest: str,
        user: str,
        role: str,
        projects: Iterable[str] = (),
        *,
        name: str = "",
        color: str = "",
        expires: float | None = None,
    ) -> int:
        """Keep a token by its digest. Returns its number.

        Raises:
            ValueError: no such role, no name of a project, no color.
            Unavailable: it cannot be kept.
        """
        named = tuple(projects)
        roles(role_named(role), named)
        if color and not COLOR.fullmatch(color):
            raise ValueError(f"{color!r} is no color: #rrggbb is one")
        values = {
            "digest": digest,
            "user": user,
            "name": name,
            "color": color,
            "role": role,
            "projects": ",".join(named),
            "created": int(time.time() * 1000),
            "expires": int((expires or 0) * 1000),
        }
        with self._transaction():
            return int(self._database.execute(self._sql.create, values).lastrowid or 0)

    def revoke(self, id: int) -> None:
        """Let a token count no more. One that was revoked before stays as it is.

        Raises:
            NotFound: there is none of this number.
            Unavailable: that cannot be kept.
        """
        values = {"id": id, "revoked": int(time.time() * 1000)}
        with self._transaction():
            self._database.execute(self._sql.revoke, values)
            if self._database.execute(self._sql.known, {"id": id}).fetchone() is None:
                raise NotFound(f"There is no token {id}.")

    def all(self) -> Iterator[StoredToken]:
        """Every token that was ever made, the oldest first."""
        for row in self._database.execute(self._sql.all):
            id, digest, user, name, color, role, projects, *times = row
            created, expires, revoked = (each / 1000 for each in times)
            named = tuple(filter(None, projects.split(",")))
            yield StoredToken(
                *(id, digest, user, name, color, role, named, created),
                *(expires or None, revoked or None),
            )

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        try:
            with self._database.peewee.atomic("IMMEDIATE"):
                yield
        except DatabaseError as error:
            raise Unavailable(f"the database cannot be written now: {error}") from error

    def version(self) -> tuple[int, int]:
        """What is another after each change of the table."""
        count, last = self._database.execute(self._sql.version).fetchone()
        return count, last or 0


class TokenReader:
    """Sees what others do to the tokens of a database that this process serves; one in
    memory nobody else has.

    Its methods may be called on any thread, one at a time.
    """

    def __init__(self, url: str) -> None:
        self._database = Database(url)
        self._is_open = False
        self._commits: int | None = None
        self._version: tuple[int, int] | None = None
        self._trouble = ""

    def changed(self) -> dict[str, User] | None:
        """Whom the tokens stand for, by digest, where that has changed since the last call;
        None where it has not, or cannot be read just now."""
        if self._database.is_in_memory:
            return None
        try:
            users = self._changed()
        except (DatabaseError, StartError) as error:
            if str(error) != self._trouble:
                self._trouble = str(error)
                log.warning("the tokens cannot be read now: %s", error)
            self.close()
            return None
        self._trouble = ""
        return users

    def _changed(self) -> dict[str, User] | None:
        if not self._is_open:
            self._database.join()
            self._is_open = True
        # Most polls end here: asking what SQLite has in shared memory costs microseconds.
        commits = self._database.foreign_commits
        if commits == self._commits:
            return None
        tokens = StoredTokens(self._database)
        version = tokens.version()
        users = _users(tokens) if version != self._version else None
        self._commits, self._version = commits, version
        return users

    def close(self) -> None:
        if self._is_open:
            self._database.leave()
        self._is_open, self._commits, self._version = False, None, None


def _users(tokens: StoredTokens) -> dict[str, User]:
    users = {}
    for token in tokens.all():
        if token.revoked is not None:
            continue
        try:
            users[token.digest] = token.owner
        except ValueError as error:
            log.warning("token %d stands for nobody: %s", token.id, error)
    return users

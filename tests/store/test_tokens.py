from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from gantt_tornado.errors import NotFound, StartError
from gantt_tornado.model.user import Role, User
from gantt_tornado.store.database import Database
from gantt_tornado.store.tokens import StoredToken, StoredTokens, TokenReader

ANN, BOB = "a" * 64, "b" * 64


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "plan.db"


@pytest.fixture
def server(path: Path) -> Iterator[Database]:
    """What serves the file."""
    database = Database(f"sqlite:///{path}")
    database.open()
    yield database
    database.close()


@pytest.fixture
def tokens(server: Database, path: Path) -> Iterator[StoredTokens]:
    """What the command has of the same file."""
    database = Database(f"sqlite:///{path}")
    database.join()
    yield StoredTokens(database)
    database.leave()


@pytest.fixture
def reader(server: Database, path: Path) -> Iterator[TokenReader]:
    reader = TokenReader(f"sqlite:///{path}")
    reader.changed()
    yield reader
    reader.close()


def only(tokens: StoredTokens) -> StoredToken:
    (token,) = tokens.all()
    return token


# The table.


def test_a_token_is_kept_as_it_was_made(tokens: StoredTokens) -> None:
    id = tokens.create(
        *(ANN, "ann", "editor", ["bridge", "tunnel:viewer"]),
        name="Ann Lee", color="#102030", expires=4e9,
    )  # fmt: skip
    projects = {"bridge": Role.editor, "tunnel": Role.viewer}
    token = only(tokens)
    assert (token.id, token.revoked, token.expires) == (id, None, 4e9)
    assert abs(token.created - time.time()) < 60
    assert token.owner == User("ann", None, projects, "Ann Lee", "#102030")
    assert (token.owner.token, token.owner.expires) == (ANN, 4e9)


def test_a_token_without_an_end_has_none(tokens: StoredTokens) -> None:
    tokens.create(ANN, "ann", "viewer")
    assert only(tokens).expires is None
    assert only(tokens).owner == User("ann", Role.viewer)


@pytest.mark.parametrize(
    "role, projects, color",
    [("king", (), ""), ("editor", ["Bridge"], ""), ("editor", ["a,b"], ""), ("editor", (), "red")],
)
def test_what_is_no_right_is_not_kept(
    tokens: StoredTokens, role: str, projects: list[str], color: str
) -> None:
    with pytest.raises(ValueError, match=r"role|project|color"):
        tokens.create(ANN, "ann", role, projects, color=color)
    assert list(tokens.all()) == []


def test_a_revoked_token_says_when(tokens: StoredTokens) -> None:
    id = tokens.create(ANN, "ann", "editor")
    tokens.revoke(id)
    revoked = only(tokens).revoked
    assert revoked is not None and abs(revoked - time.time()) < 60


def test_revoking_again_changes_nothing(tokens: StoredTokens) -> None:
    id = tokens.create(ANN, "ann", "editor")
    tokens.revoke(id)
    before = list(tokens.all()), tokens.version()
    tokens.revoke(id)
    assert (list(tokens.all()), tokens.version()) == before


def test_what_is_not_there_cannot_be_revoked(tokens: StoredTokens) -> None:
    with pytest.raises(NotFound):
        tokens.revoke(7)


def test_a_number_is_given_once(tokens: StoredTokens, server: Database) -> None:
    first = tokens.create(ANN, "ann", "editor")
    server.execute("DELETE FROM token")
    assert tokens.create(ANN, "ann", "editor") > first


# What a server sees.


def test_a_server_sees_what_was_there_before_it(tokens: StoredTokens, path: Path) -> None:
    tokens.create(ANN, "ann", "editor")
    reader = TokenReader(f"sqlite:///{path}")
    assert reader.changed() == {ANN: User("ann", Role.editor)}
    reader.close()


def test_a_server_sees_a_new_token_once(tokens: StoredTokens, reader: TokenReader) -> None:
    tokens.create(ANN, "ann", "editor")
    assert reader.changed() == {ANN: User("ann", Role.editor)}
    assert reader.changed() is None


def test_a_server_sees_a_revocation(tokens: StoredTokens, reader: TokenReader) -> None:
    id = tokens.create(ANN, "ann", "editor")
    tokens.create(BOB, "bob", "editor")
    reader.changed()
    tokens.revoke(id)
    assert reader.changed() == {BOB: User("bob", Role.editor)}


def test_a_server_sees_a_row_that_was_deleted_by_hand(
    tokens: StoredTokens, reader: TokenReader, server: Database
) -> None:
    tokens.create(ANN, "ann", "editor")
    reader.changed()
    server.execute("DELETE FROM token")
    assert reader.changed() == {}


def test_writes_of_the_plan_change_no_token(
    tokens: StoredTokens, reader: TokenReader, server: Database
) -> None:
    tokens.create(ANN, "ann", "editor")
    reader.changed()
    server.execute("UPDATE project SET seq = 7")
    assert reader.changed() is None


def test_a_row_that_says_nonsense_stands_for_nobody(
    tokens: StoredTokens, reader: TokenReader, server: Database
) -> None:
    tokens.create(ANN, "ann", "editor")
    tokens.create(BOB, "bob", "editor")
    server.execute("UPDATE token SET role = 'king' WHERE user = 'ann'")
    assert reader.changed() == {BOB: User("bob", Role.editor)}


def test_a_server_sees_tokens_again_when_they_could_not_be_read(
    tokens: StoredTokens, reader: TokenReader, server: Database, caplog: pytest.LogCaptureFixture
) -> None:
    server.execute("ALTER TABLE token RENAME TO away")
    assert [reader.changed(), reader.changed()] == [None, None]
    assert len([each for each in caplog.records if "cannot be read" in each.getMessage()]) == 1
    server.execute("ALTER TABLE away RENAME TO token")
    tokens.create(ANN, "ann", "editor")
    assert reader.changed() == {ANN: User("ann", Role.editor)}


# Files that cannot be joined.


def refusal(path: Path) -> str:
    with pytest.raises(StartError) as refused:
        Database(f"sqlite:///{path}").join()
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_no_file_is_made(path: Path) -> None:
    assert "no database" in refusal(path)
    assert not path.exists()


def test_a_file_of_another_program_is_refused(path: Path) -> None:
    with closing(sqlite3.connect(path)) as other:
        other.execute("CREATE TABLE token (id)")
    assert "another program" in refusal(path)


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.write_text("Dear diary, this is no database at all.")
    assert "not a database" in refusal(path)


def test_an_empty_file_is_refused(path: Path) -> None:
    path.touch()
    assert "is empty" in refusal(path)
    assert path.stat().st_size == 0


def test_a_file_of_an_older_version_is_refused(server: Database, path: Path) -> None:
    server.execute("DELETE FROM schema_migration WHERE name = '0012_tokens'")
    assert "older version" in refusal(path)


def test_a_file_of_a_newer_version_is_refused(server: Database, path: Path) -> None:
    server.execute("INSERT INTO schema_migration (name, applied) VALUES ('9999_future', 0)")
    assert "9999_future" in refusal(path)


def test_a_file_that_is_served_can_be_written_meanwhile(
    server: Database, tokens: StoredTokens
) -> None:
    with pytest.raises(StartError, match="another server"):
        Database(f"sqlite:///{server.path}").open()
    assert tokens.create(ANN, "ann", "editor")

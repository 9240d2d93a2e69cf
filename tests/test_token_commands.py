"""``gantt-tornado token …``, beside the server that has the file."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from gantt_tornado.cli import main
from gantt_tornado.config import sha256_of
from gantt_tornado.model.user import Role, User
from gantt_tornado.store.database import Database
from gantt_tornado.store.tokens import StoredToken, StoredTokens, TokenReader


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What serves ``gantt.db`` in the working directory."""
    monkeypatch.chdir(tmp_path)
    database = Database("sqlite:///gantt.db")
    database.open()
    yield database
    database.close()


@pytest.fixture
def token(server: Database, capsys: pytest.CaptureFixture[str]) -> Any:
    """Run a command that has to succeed; returns what it printed."""

    def token(*arguments: str) -> str:
        assert main(["token", *arguments]) == 0
        output, errors = capsys.readouterr()
        assert errors == ""
        return output

    return token


@pytest.fixture
def refused(server: Database, capsys: pytest.CaptureFixture[str]) -> Any:
    """The one line that a command leaves which cannot be carried out."""

    def refused(*arguments: str) -> str:
        assert main(["token", *arguments]) == 2
        output, errors = capsys.readouterr()
        assert output == ""
        assert errors.count("\n") == 1 and errors.startswith("gantt-tornado: ")
        return errors

    return refused


def stored(server: Database) -> list[StoredToken]:
    return list(StoredTokens(server).all())


def users() -> dict[str, User] | None:
    reader = TokenReader("sqlite:///gantt.db")
    try:
        return reader.changed()
    finally:
        reader.close()


class TestCreate:
    def test_the_last_word_printed_is_the_token(self, token: Any) -> None:
        printed = token("create", "--user", "ann").split()[-1]
        assert users() == {sha256_of(printed): User("ann", Role.editor)}

    def test_the_token_itself_is_kept_nowhere(self, token: Any, server: Database) -> None:
        printed = token("create", "--user=ann").split()[-1]
        assert len(printed) >= 32
        assert printed not in token("list")
        for file in Path().glob("gantt.db*"):
            assert printed.encode() not in file.read_bytes()

    def test_no_two_are_the_same(self, token: Any) -> None:
        assert len({token("create", "--user=ann").split()[-1] for _ in range(3)}) == 3

    def test_all_that_can_be_said_is_kept(self, token: Any) -> None:
        token(
            *("create", "--user=ann", "--name=Ann Lee", "--color=#102030", "--role=admin"),
            *("--project=bridge", "--project=tunnel:viewer"),
        )
        (user,) = (users() or {}).values()
        projects = {"bridge": Role.admin, "tunnel": Role.viewer}
        assert user == User("ann", None, projects, "Ann Lee", "#102030")

    @pytest.mark.parametrize(
        "text, expected",
        [
            ("2100-01-31", datetime(2100, 1, 31, tzinfo=UTC)),
            ("2100-01-31T18:30+02:00", datetime(2100, 1, 31, 16, 30, tzinfo=UTC)),
        ],
    )
    def test_it_expires_at_a_moment(
        self, token: Any, server: Database, text: str, expected: datetime
    ) -> None:
        token("create", "--user=ann", f"--expires={text}")
        assert stored(server)[0].expires == expected.timestamp()

    def test_a_day_begins_in_the_plans_zone(
        self, token: Any, server: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("GANTT_TIMEZONE", "Europe/Berlin")
        token("create", "--user=ann", "--expires=2100-01-31")
        assert stored(server)[0].expires == datetime(2100, 1, 30, 23, tzinfo=UTC).timestamp()

    @pytest.mark.parametrize("text, seconds", [("90d", 7776000), ("12h", 43200), ("30m", 1800)])
    def test_it_expires_some_time_from_now(
        self, token: Any, server: Database, text: str, seconds: int
    ) -> None:
        token("create", "--user=ann", f"--expires={text}")
        expires = stored(server)[0].expires
        assert expires is not None and abs(expires - time.time() - seconds) < 60

    @pytest.mark.parametrize(
        "arguments, told",
        [
            ((), "--user"),
            (("--user=",), "no name"),
            (("--user=a\nb",), "no name"),
            (("--user=ann", "--name=\x1b[31m"), "no name"),
            (("--user=ann", "--role=king"), "king"),
            (("--user=ann", "--color=red"), "red"),
            (("--user=ann", "--project=Bridge"), "Bridge"),
            (("--user=ann", "--project=bridge:king"), "king"),
            (("--user=ann", "--expires=soon"), "soon"),
            (("--user=ann", "--expires=2020-01-01"), "has passed"),
            (("--user=ann", "--expire=1d"), "--expire"),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, refused: Any, server: Database, arguments: tuple[str, ...], told: str
    ) -> None:
        assert told in refused("create", *arguments)
        assert stored(server) == []


class TestList:
    def test_each_token_has_a_line(self, token: Any) -> None:
        token("create", "--user=ann", "--role=viewer", "--project=bridge", "--expires=2100-01-31")
        token("create", "--user=bob", "--name=Bob Ray")
        token("revoke", "2")
        headings, ann, bob = token("list").splitlines()
        assert headings.split()[:5] == ["ID", "USER", "NAME", "ROLE", "PROJECTS"]
        assert headings.split()[5:] == ["CREATED", "EXPIRES", "REVOKED"]
        assert ann.split()[:4] == ["1", "ann", "viewer", "bridge"]
        assert ann.split()[-2:] == ["2100-01-31T00:00Z", "-"]
        assert bob.split()[:6] == ["2", "bob", "Bob", "Ray", "editor", "*"]
        assert bob.split()[-1].startswith("20")


class TestRevoke:
    def test_a_revoked_token_counts_no_more(self, token: Any) -> None:
        token("create", "--user=ann")
        token("revoke", "1")
        assert users() == {}

    @pytest.mark.parametrize("id", ["7", "-1", "x", ""])
    def test_what_is_no_token_is_refused(self, refused: Any, id: str) -> None:
        assert "7" in refused("revoke", "7") and refused("revoke", id)


class TestFiles:
    def test_the_database_is_named_before_the_command_or_behind(
        self, token: Any, server: Database
    ) -> None:
        token("create", "--user=ann")
        with closing(sqlite3.connect("gantt.db")) as served, closing(sqlite3.connect("b.db")) as to:
            served.backup(to)
        other, create = "--database=sqlite:///b.db", ["token", "create", "--user=bob"]
        for arguments in ([*create, other], [other, *create]):
            assert main(arguments) == 0
        assert [each.user for each in stored(server)] == ["ann"]
        copy = Database("sqlite:///b.db")
        copy.join()
        assert [each.user for each in stored(copy)] == ["ann", "bob", "bob"]
        copy.leave()

    def test_the_file_of_a_configuration_names_it(self, token: Any) -> None:
        Path("my.toml").write_text('database = "sqlite:///gantt.db"')
        assert token("list", "--config=my.toml")

    def test_the_environment_names_it(self, refused: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("GANTT_DATABASE", "sqlite:///gone.db")
        assert "no database gone.db" in refused("list")
        assert not Path("gone.db").exists()

    def test_a_file_that_is_not_ours_is_refused(self, refused: Any) -> None:
        with closing(sqlite3.connect("theirs.db")) as theirs:
            theirs.execute("CREATE TABLE token (id)")
        assert "another program" in refused("list", "--database=sqlite:///theirs.db")

    def test_a_file_that_another_keeps_locked_is_told(
        self, refused: Any, server: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("gantt_tornado.store.database.PATIENCE", 0.01)
        server.peewee.begin("IMMEDIATE")
        assert "locked" in refused("create", "--user=ann")
        server.peewee.rollback()

    def test_there_is_a_command_behind_token(self, refused: Any) -> None:
        assert refused()


def test_an_end_that_no_calendar_has_is_never(server: Database, token: Any) -> None:
    """The token counts by then; one that cannot be listed could not be revoked."""
    end = "9999-12-31T23:59:59-12:00"
    assert "until never" in token("create", "--user", "ann", "--expires", end)
    assert "never" in token("list")


def test_a_number_that_no_token_can_have_is_refused_in_one_line(refused: Any) -> None:
    assert "no token" in refused("revoke", str(10**30))

from __future__ import annotations

import hashlib
import subprocess
import sys
import time

import jwt
import pytest

from gantt_tornado import accounts as module
from gantt_tornado.accounts import Accounts
from gantt_tornado.config import Config, Jwt, Token
from gantt_tornado.json_web_tokens import JsonWebTokens
from gantt_tornado.model.user import Role, User

KEY = "a secret of thirty-two bytes, or more"


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def accounts(*tokens: Token) -> Accounts:
    return Accounts(Config(tokens=tokens, jwt=Jwt(key=KEY, audience="plan")))


def signed(name: str = "ann", lasts: float = 60) -> str:
    claims = {"sub": name, "role": "editor", "aud": "plan", "exp": time.time() + lasts}
    return jwt.encode(claims, KEY, "HS256")


def test_a_token_stands_for_its_user() -> None:
    known = accounts(Token(token="abc", user="ann", role="viewer"))
    assert known.verify("abc") == User("ann", Role.viewer)


def test_a_token_may_be_stored_hashed() -> None:
    known = accounts(Token(sha256=digest("abc"), user="ann"))
    assert known.verify("abc") == User("ann", Role.editor)


def test_a_configured_user_has_projects_a_name_and_a_color() -> None:
    token = Token(token="abc", user="ann", projects=("bridge",), name="Ann Lee", color="#102030")
    expected = User("ann", None, {"bridge": Role.editor}, "Ann Lee", "#102030")
    assert accounts(token).verify("abc") == expected


def test_the_digest_itself_is_no_token() -> None:
    assert accounts(Token(sha256=digest("abc"), user="ann")).verify(digest("abc")) is None


@pytest.mark.parametrize("wrong", ["", "ab", "abcd", "ABC", "abc ", "ünï", "\ud800", "a.b.c"])
def test_a_wrong_token_stands_for_nobody(wrong: str) -> None:
    assert accounts(Token(token="abc", user="ann")).verify(wrong) is None


def test_without_tokens_nobody_is_known() -> None:
    assert accounts().verify("") is None


def test_each_token_stands_for_its_own_user() -> None:
    known = accounts(Token(token="a", user="ann"), Token(token="b", user="bob", role="admin"))
    assert known.verify("a") == User("ann", Role.editor)
    assert known.verify("b") == User("bob", Role.admin)


# Of the database.


def stored(name: str, role: Role = Role.editor, expires: float | None = None) -> dict[str, User]:
    return {digest(name): User(name, role, expires=expires, token=digest(name))}


def test_tokens_of_the_database_stand_beside_those_of_the_configuration() -> None:
    known = accounts(Token(token="abc", user="ann"))
    known.replace(stored("bob"))
    assert known.verify("bob") == User("bob", Role.editor)
    assert known.verify("abc") == User("ann", Role.editor)


def test_the_configuration_wins_over_the_database() -> None:
    known = accounts(Token(token="bob", user="ann", role="viewer"))
    known.replace(stored("bob", Role.admin))
    assert known.verify("bob") == User("ann", Role.viewer)


def test_one_that_is_gone_stands_for_nobody() -> None:
    known = accounts()
    known.replace(stored("bob"))
    bob = known.verify("bob")
    assert bob is not None and known.stands(bob)
    known.replace({})
    assert known.verify("bob") is None and not known.stands(bob)


def test_one_with_other_rights_does_not_stand_for_who_signed_in() -> None:
    known = accounts()
    known.replace(stored("bob", Role.admin))
    bob = known.verify("bob")
    known.replace(stored("bob", Role.viewer))
    assert bob is not None and not known.stands(bob)


def test_who_signed_in_otherwise_stands() -> None:
    assert accounts().stands(User("ann", Role.editor))


def test_one_that_has_expired_stands_for_nobody() -> None:
    known = accounts()
    known.replace(
        {**stored("bob", expires=time.time() - 1), **stored("ann", expires=time.time() + 60)}
    )
    assert known.verify("bob") is None
    assert known.verify("ann") == User("ann", Role.editor)


# JSON Web Tokens.


def test_a_signed_token_stands_for_its_subject() -> None:
    assert accounts().verify(signed()) == User("ann", Role.editor)


def test_a_signature_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    known, token = accounts(), signed()
    known.verify(token)
    monkeypatch.setattr(JsonWebTokens, "verify", None)
    assert known.verify(token) == User("ann", Role.editor)


def test_a_signed_token_that_was_known_expires(monkeypatch: pytest.MonkeyPatch) -> None:
    known, token = accounts(), signed(lasts=60)
    assert known.verify(token)
    monkeypatch.setattr(module.time, "time", lambda real=time.time: real() + 61)
    assert known.verify(token) is None


def test_no_more_than_some_signed_tokens_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_REMEMBERED", 2)
    known = accounts()
    for name in ("a", "b", "c"):
        assert known.verify(signed(name))
    assert [user.name for user in known._verified.values()] == ["b", "c"]


def test_without_a_key_no_signed_token_is_accepted() -> None:
    assert Accounts(Config()).verify(signed()) is None


def test_what_checks_signatures_is_loaded_only_where_it_is_used() -> None:
    code = "import sys, gantt_tornado.cli; sys.exit(bool({'jwt', 'cryptography'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_another_configuration_goes_on_with_the_tokens_of_the_database() -> None:
    before, after = accounts(Token(token="abc", user="ann")), accounts()
    before.replace({digest("stored"): User("bob", Role.viewer)})
    after.take_over(before)
    assert after.verify("stored") == User("bob", Role.viewer)
    assert after.verify("abc") is None

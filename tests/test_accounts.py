from __future__ import annotations

import hashlib

import pytest

from gantt_tornado.accounts import Tokens
from gantt_tornado.config import Token
from gantt_tornado.model.user import Role, User


def digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def test_a_token_stands_for_its_user() -> None:
    tokens = Tokens([Token(token="abc", user="ann", role="viewer")])
    assert tokens.verify("abc") == User("ann", Role.viewer)


def test_a_token_may_be_stored_hashed() -> None:
    tokens = Tokens([Token(sha256=digest("abc"), user="ann")])
    assert tokens.verify("abc") == User("ann", Role.editor)


def test_the_digest_itself_is_no_token() -> None:
    assert Tokens([Token(sha256=digest("abc"), user="ann")]).verify(digest("abc")) is None


@pytest.mark.parametrize("wrong", ["", "ab", "abcd", "ABC", "abc ", "ünï", "\ud800"])
def test_a_wrong_token_stands_for_nobody(wrong: str) -> None:
    assert Tokens([Token(token="abc", user="ann")]).verify(wrong) is None


def test_without_tokens_nobody_is_known() -> None:
    assert Tokens([]).verify("") is None


def test_each_token_stands_for_its_own_user() -> None:
    tokens = Tokens([Token(token="a", user="ann"), Token(token="b", user="bob", role="admin")])
    assert tokens.verify("a") == User("ann", Role.editor)
    assert tokens.verify("b") == User("bob", Role.admin)


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("wanted", Role)
def test_a_role_may_do_what_those_before_it_may(role: Role, wanted: Role) -> None:
    assert User("ann", role).may(wanted) == (list(Role).index(role) >= list(Role).index(wanted))

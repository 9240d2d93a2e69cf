"""Who may do what: users, roles and the tokens that stand for them."""

from __future__ import annotations

import hmac
from collections.abc import Iterable

from gantt_tornado.config import Token, sha256_of
from gantt_tornado.model.user import Role, User


class Tokens:
    """The configured tokens."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._users = {token.digest: User(token.user, Role[token.role]) for token in tokens}

    def verify(self, token: str) -> User | None:
        """The user that a token stands for.

        Only digests are compared, each with each to its end, so that the time it takes
        tells nothing about a token.
        """
        digest = sha256_of(token)
        user = None
        for known, owner in self._users.items():
            if hmac.compare_digest(known, digest):
                user = owner
        return user

"""Who may do what: users, roles and the tokens that stand for them."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

from gantt_tornado.config import Token, sha256_of


class Role(IntEnum):
    """What a user may do; each role may do all that those before it may."""

    viewer = 1
    editor = 2
    admin = 3


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who is signed in. The name stands in the journal beside each change."""

    name: str
    role: Role

    def may(self, role: Role) -> bool:
        return self.role >= role


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

"""Whom a token stands for: tokens of the configuration and of the database, and JSON Web Tokens.

It lives on the loop. What has been verified once is looked up by its digest from then on.
"""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from gantt_tornado.config import Config, Jwt, sha256_of
from gantt_tornado.errors import Refused
from gantt_tornado.model.user import User

if TYPE_CHECKING:
    from gantt_tornado.json_web_tokens import JsonWebTokens

log = logging.getLogger(__name__)

#: JSON Web Tokens that are remembered: to check a signature takes as long as a write.
MOST_REMEMBERED: Final = 10_000


class Accounts:
    """Everybody who can sign in with a token.

    Raises:
        StartError: JSON Web Tokens are configured, and cannot be checked.
    """

    def __init__(self, config: Config) -> None:
        self._stored: Mapping[str, User] = {}
        self._configured = {token.digest: token.owner for token in config.tokens}
        # By digests, so that the time that a look-up takes tells nothing about a token.
        self._users: Mapping[str, User] = self._configured
        self._jwt = _json_web_tokens(config.jwt) if config.jwt.is_used else None
        self._verified: OrderedDict[str, User] = OrderedDict()

    def replace(self, stored: Mapping[str, User]) -> None:
        """Take over the tokens of the database, by their digests. The configuration's win."""
        self._stored = stored
        self._users = {**stored, **self._configured}

    def take_over(self, other: Accounts) -> None:
        """Have those of the database that another one has."""
        self.replace(other._stored)

    def verify(self, token: str) -> User | None:
        """The user that a token stands for, None where it is unknown or has expired."""
        digest = sha256_of(token)
        user = self._users.get(digest) or self._verified.get(digest)
        if user is None and self._jwt is not None and token.count(".") == 2:
            user = self._check_signature(self._jwt, token, digest)
        if user is None or has_expired(user, time.time()):
            self._verified.pop(digest, None)
            return None
        return user

    def stands(self, user: User) -> bool:
        """Whether somebody who signed in with a token of the configuration or the database
        still could, and would have the same rights."""
        return not user.token or self._users.get(user.token) == user

    def _check_signature(self, jwt: JsonWebTokens, token: str, digest: str) -> User | None:
        try:
            user = jwt.verify(token)
        except Refused as error:
            log.debug("a JSON Web Token is refused: %s", error)
            return None
        if len(self._verified) >= MOST_REMEMBERED:
            self._verified.popitem(last=False)
        self._verified[digest] = user
        return user


def _json_web_tokens(config: Jwt) -> JsonWebTokens:
    # Where none are used, loading the library would be a tenth of the start.
    from gantt_tornado.json_web_tokens import JsonWebTokens

    return JsonWebTokens(config)


def has_expired(user: User, now: float) -> bool:
    return user.expires is not None and user.expires <= now

"""Who asks: users and their roles. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


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

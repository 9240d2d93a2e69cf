"""Who asks: users and what they may do in which project. Pure."""

from __future__ import annotations

import colorsys
import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from gantt_tornado.model.project_info import DEFAULT, NAME

#: Stands for all projects in a list of them.
EVERY_PROJECT: Final = "*"
#: A color as CSS and every client read it.
COLOR: Final = re.compile(r"#[0-9a-f]{6}")


class Role(IntEnum):
    """What a user may do; each role may do all that those before it may."""

    viewer = 1
    editor = 2
    admin = 3


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who is signed in. The name stands in the journal beside each change.

    Attributes:
        role: in all projects that ``projects`` does not name; None for none.
        projects: the role in single projects, by their names.
        display: the name for people to read; mostly the same.
        color: ``#rrggbb``; without one it is made of the name, the same in every page.
        expires: seconds since 1970; then the user's sockets are closed. None for never.
        token: the digest of the token that the user signed in with; "" for none of ours.
        is_anonymous: whether it is who sends no token, whose rights end with a project's being
            public.
    """

    name: str
    role: Role | None
    projects: Mapping[str, Role] = field(default_factory=dict, hash=False)
    display: str = ""
    color: str = ""
    expires: float | None = field(default=None, compare=False)
    token: str = field(default="", compare=False, repr=False)
    is_anonymous: bool = field(default=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        # A frozen class leaves no other way.
        object.__setattr__(self, "display", self.display or self.name)
        object.__setattr__(self, "color", self.color or color_of(self.name))

    def role_in(self, project: str) -> Role | None:
        """The role in a project, None where the user may not even look at it."""
        return self.projects.get(project, self.role)

    def may(self, role: Role, project: str) -> bool:
        own = self.role_in(project)
        return own is not None and own >= role

    def may_somewhere(self, role: Role) -> bool:
        """Whether there is any project in which the user may do this."""
        return any(own is not None and own >= role for own in (self.role, *self.projects.values()))

    def shown(self, project: str) -> dict[str, Any]:
        """What a page of a project is told of its user."""
        role = self.role_in(project)
        return {
            "name": self.name,
            "role": role.name if role else "",
            "display": self.display,
            "color": self.color,
        }


def anonymous_user(role: Role, public: Iterable[str] = ()) -> User:
    """Somebody without a token, who has a role in the default project and in public ones."""
    return User("", None, dict.fromkeys((DEFAULT, *public), role), is_anonymous=True)


def roles(role: Role | None, projects: Iterable[str] = ()) -> tuple[Role | None, dict[str, Role]]:
    """The role everywhere and the roles in single projects, as :class:`User` takes them.

    ``projects`` are names, each with ``role`` or with one of its own: ``bridge:viewer``.
    ``*`` stands for all that have none of their own; without any name, ``role`` is for all.

    Raises:
        ValueError: no such role, no name of a project, or one without a role.
    """
    named: dict[str, Role] = {}
    for each in projects:
        project, colon, own = each.partition(":")
        if project != EVERY_PROJECT and not NAME.fullmatch(project):
            raise ValueError(f"{project!r} is no name of a project")
        if project in named:
            raise ValueError(f"the project {project!r} is named twice")
        found = role_named(own) if colon else role
        if found is None:
            raise ValueError(f"no role is given for the project {project!r}")
        named[project] = found
    if not named:
        return role, {}
    return named.pop(EVERY_PROJECT, None), named


def role_named(name: str) -> Role:
    """Raises:
    ValueError: there is no such role.
    """
    try:
        return Role[name]
    except KeyError:
        raise ValueError(f"there is no role {name!r}: viewer, editor or admin") from None


def color_of(name: str) -> str:
    """A color for a user: dark enough for white letters, and the same wherever it is made."""
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).digest()
    hue = int.from_bytes(digest[:2]) / 0x10000
    # Yellow and green look brighter than blue of the same lightness.
    lightness = 0.3 if 0.05 < hue < 0.6 else 0.42
    red, green, blue = (round(255 * each) for each in colorsys.hls_to_rgb(hue, lightness, 0.6))
    return f"#{red:02x}{green:02x}{blue:02x}"

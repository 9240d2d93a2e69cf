"""Projects: what they may be called, and what is told of one. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from gantt_tornado.errors import BadRequest

#: The name of the project that is served at the root.
DEFAULT: Final = "default"
#: What a name begins with that the released clients search addresses for.
SEARCHED_FOR: Final = ("link", "assignment", "baseline", "resource", "task", "event")

#: Characters of what people read in place of a name.
LONGEST_TITLE: Final = 200

#: What a name looks like.
NAME: Final = re.compile("[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class ProjectInfo:
    """A project: ``id`` in the store, ``name`` in addresses, ``title`` for people, whether it is
    ``public``, and how many ``tasks`` it has. Times are in milliseconds since 1970, 0 where it
    did not happen; ``changed`` is that of the last change that is remembered."""

    id: int
    name: str
    title: str
    public: bool
    tasks: int
    changed: int
    created: int
    archived: int
    deleted: int


def check_name(name: str) -> None:
    """See that a project may have this name.

    Raises:
        BadRequest: it may not.
    """
    if not NAME.fullmatch(name):
        raise BadRequest(
            "A project's name has up to 63 small letters, digits and hyphens, and does not begin "
            "with a hyphen."
        )
    word = next((word for word in SEARCHED_FOR if name.startswith(word)), None)
    if word is not None:
        raise BadRequest(f"A project's name cannot begin with {word!r}: the client misreads it.")

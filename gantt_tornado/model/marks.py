"""Marks: which change of which history a number means.

A number alone does not say it. After a restored backup, or with a database made anew, the
same numbers are given again, to other changes. So each change has a random mark beside its
number, and a page names what it has by both: ``417-3fa9c1`` is a position.

What shapes an answer beside the changes in it, such as the format of its dates, is folded
into the mark as pages see it: a page that was loaded with another format is of another
history. Pure.
"""

from __future__ import annotations

import hashlib
import re
from array import array
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import Final

#: Bits of a mark. Of two histories one number has the same mark once in 16 million.
BITS: Final = 24
#: The number of a position that is of no history of ours, or of another.
FOREIGN: Final = -1

_POSITION: Final = re.compile("([0-9]{1,18})-([0-9a-f]{6})")


def source() -> Callable[[], int]:
    """Makes marks for changes, whatever an application does with Python's own generator."""
    return partial(Random().getrandbits, BITS)


def shape(*parts: str) -> int:
    """What to fold into marks: a digest of what shapes the answers."""
    digest = hashlib.blake2b("\0".join(parts).encode(), digest_size=BITS // 8).digest()
    return int.from_bytes(digest, "big")


def show(mark: int) -> str:
    """A mark as pages see it."""
    return f"{mark:06x}"


@dataclass(frozen=True, slots=True)
class Position:
    """A change by its number and its mark, which together say up to where somebody has
    the plan."""

    seq: int
    mark: int

    def __str__(self) -> str:
        return f"{self.seq}-{show(self.mark)}"

    @classmethod
    def read(cls, text: str) -> Position:
        """The position that a text spells. One that spells none, such as a bare number, is
        in no history."""
        found = _POSITION.fullmatch(text)
        return cls(int(found[1]), int(found[2], 16)) if found else cls(FOREIGN, FOREIGN)


class Marks:
    """The marks of all changes that the journal remembers, and of the last that it has
    forgotten, by number. Four bytes a change.

    Args:
        first: the number of that last forgotten change, 0 for the beginning.
        mark: its mark.
    """

    def __init__(
        self, first: int = 0, mark: int = 0, later: Iterable[tuple[int, int]] = ()
    ) -> None:
        self._first = first
        self._marks = array("i", (mark,))
        for seq, each in later:
            self.add(seq, each)

    def add(self, seq: int, mark: int) -> None:
        """Note the mark of a change behind all others."""
        # A damaged journal may lack some, and what is not there has no mark.
        gap = seq - self._first - len(self._marks)
        if gap > 0:
            self._marks.extend(array("i", (FOREIGN,)) * gap)
        self._marks.append(mark)

    def get(self, seq: int) -> int:
        """The mark of a change, :data:`FOREIGN` where it is not known."""
        at = seq - self._first
        return self._marks[at] if 0 <= at < len(self._marks) else FOREIGN

    def forget(self, seq: int) -> None:
        """Forget the marks of all changes before ``seq``."""
        gone = min(max(seq - self._first, 0), len(self._marks) - 1)
        del self._marks[:gone]
        self._first += gone

"""How old the lines of the journal are, by a clock that may jump.

The journal alone knows of the past, and each of its lines has the time that the server's
clock showed. A clock that stands forty days ahead at one start would make all of them older
than a journal's days, and what is pruned is gone for good. Nothing tells a wrong clock from
a holiday. So what lies between two lines counts as a day at most, and as nothing where the
clock went back: a jump makes the journal older by one day, and so does putting it right. The
price is that a journal with pauses reaches back further than its days.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

#: Milliseconds that a pause between two lines counts for at most.
DAY: Final = 24 * 60 * 60 * 1000
#: A shorter step back is two threads' or a time server's, and not worth remembering.
MINUTE: Final = 60 * 1000


class Ages:
    """The times of lines that were read, in milliseconds since 1970.

    Attributes:
        seq: the last line that was read.
    """

    def __init__(self) -> None:
        self.seq = 0
        self._at: int | None = None
        # (the line behind a pause, what of the pause does not count), oldest first.
        self._skips: deque[tuple[int, int]] = deque()

    def read(self, lines: Iterable[tuple[int, int]]) -> None:
        """Take in lines as (number, time), each later than all before."""
        for seq, at in lines:
            self.seq = seq
            if type(at) is not int:
                # A damaged line.
                continue
            if self._at is not None:
                pause = at - self._at
                skip = pause - _counted(pause)
                if abs(skip) > MINUTE:
                    self._skips.append((seq, skip))
            self._at = at

    def expired(self, lines: Iterable[tuple[int, int]], clock: int, longest: int) -> Iterable[bool]:
        """For each of the oldest lines that are left, whether it is older than ``longest``
        milliseconds, as the clock shows ``clock`` now."""
        at = clock if self._at is None else self._at
        oldest = at + _counted(clock - at) - longest
        skipped = sum(skip for _, skip in self._skips)
        for seq, written in lines:
            while self._skips and self._skips[0][0] <= seq:
                # It lies before all lines that will be asked for.
                skipped -= self._skips.popleft()[1]
            # A line whose time is damaged must not keep all behind it for ever.
            yield type(written) is not int or written + skipped < oldest


def _counted(pause: int) -> int:
    return min(max(pause, 0), DAY)

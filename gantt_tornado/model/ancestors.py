"""Whether a task stands below another, in a plan where branches may be thousands deep.

What was read on the way up from one task is kept for the next question: of the rows of one
batch most stand in the same branch, and each would climb it anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable


class Ancestors:
    """The way up from the task that was asked about last.

    Args:
        climb: a task and all above it, from the task up; read no further than needed.
        step: called for each task that is read.
    """

    def __init__(self, climb: Callable[[int], Iterable[int]], step: Callable[[], None]) -> None:
        self._climb = climb
        self._step = step
        # From the top down, and where each stands in it.
        self._path: list[int] = []
        self._depth: dict[int, int] = {}

    def contain(self, task: int, id: int) -> bool:
        """Whether ``id`` is ``task`` itself or above it."""
        if task not in self._depth:
            self._read(task)
        return task > 0 and self._depth.get(id, len(self._path)) <= self._depth[task]

    def between(self, task: int, id: int) -> list[int]:
        """``task`` and what is above it, up to ``id``, which it contains, and without that."""
        return self._path[self._depth[id] + 1 : self._depth[task] + 1]

    def _read(self, task: int) -> None:
        read: list[int] = []
        known = 0
        for above in self._climb(task):
            if above in self._depth:
                known = self._depth[above] + 1
                break
            self._step()
            read.append(above)
        self._cut(known)
        for below in reversed(read):
            self._depth[below] = len(self._path)
            self._path.append(below)

    def moved(self, id: int) -> None:
        """A task has another parent, or is gone."""
        if id in self._depth:
            self._cut(self._depth[id])

    def forget(self) -> None:
        """What was read may not be so any more."""
        self._cut(0)

    def _cut(self, depth: int) -> None:
        for id in self._path[depth:]:
            del self._depth[id]
        del self._path[depth:]

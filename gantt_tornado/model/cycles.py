"""Which of many links would close a circle, asked once for all of them. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence

#: From a task to a task.
Ends = tuple[int, int]


def closing(
    present: Iterable[Ends], added: Sequence[Ends], step: Callable[[], None] = lambda: None
) -> set[int]:
    """The places in ``added`` of those links that would close a circle, were they added one
    after the other and those left out.

    Args:
        present: links that are there already, without a circle.
        step: called for each link that is followed where there is a circle.
    """
    core = _core([*present, *added])
    if not core:
        return set()
    after: defaultdict[int, list[int]] = defaultdict(list)
    for source, target in present:
        if source in core and target in core:
            after[source].append(target)
    found: set[int] = set()
    for place, (source, target) in enumerate(added):
        if source not in core or target not in core:
            continue
        if _leads(after, target, source, step):
            found.add(place)
        else:
            after[source].append(target)
    return found


def _leads(
    after: defaultdict[int, list[int]], start: int, end: int, step: Callable[[], None]
) -> bool:
    seen = {start}
    waiting = [start]
    while waiting:
        task = waiting.pop()
        if task == end:
            return True
        for next in after[task]:
            step()
            if next not in seen:
                seen.add(next)
                waiting.append(next)
    return False


def _core(links: Sequence[Ends]) -> set[int]:
    """The tasks that are left when those are taken away, again and again, that no link
    leads to or from: without a circle, none."""
    forth: defaultdict[int, list[int]] = defaultdict(list)
    back: defaultdict[int, list[int]] = defaultdict(list)
    for source, target in links:
        forth[source].append(target)
        back[target].append(source)
    core = {*forth, *back}
    for onward, against in ((forth, back), (back, forth)):
        counts = {task: sum(each in core for each in against[task]) for task in core}
        ends = [task for task, count in counts.items() if not count]
        while ends:
            task = ends.pop()
            core.discard(task)
            for next in onward[task]:
                if next in core:
                    counts[next] -= 1
                    if not counts[next]:
                        ends.append(next)
    return core

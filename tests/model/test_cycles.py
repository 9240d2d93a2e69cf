from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gantt_tornado.model.cycles import Ends, closing
from tests import support  # noqa: F401  (the profile of hypothesis)


def leads(links: list[Ends], start: int, end: int) -> bool:
    reached = {start}
    for _ in links:
        reached |= {target for source, target in links if source in reached}
    return end in reached


def one_by_one(present: list[Ends], added: list[Ends]) -> tuple[list[Ends], set[int]]:
    """What :func:`closing` says, the long way, with the links that are there in the end."""
    links, found = list(present), set()
    for place, (source, target) in enumerate(added):
        if leads(links, target, source):
            found.add(place)
        else:
            links.append((source, target))
    return links, found


def test_links_in_a_row_close_nothing() -> None:
    assert closing([(1, 2)], [(2, 3), (3, 4), (1, 4)]) == set()


def test_the_last_of_a_circle_closes_it() -> None:
    assert closing([(1, 2)], [(2, 3), (3, 1)]) == {1}


def test_one_that_is_left_out_closes_nothing_for_the_next() -> None:
    assert closing([(1, 2)], [(2, 1), (2, 3), (3, 2)]) == {0, 2}


def test_a_link_of_a_task_with_itself_closes_a_circle() -> None:
    assert closing([], [(1, 1)]) == {0}


def test_where_there_is_no_circle_no_link_is_followed() -> None:
    steps: list[None] = []
    links = [(n, n + 1) for n in range(1000)]
    assert closing(links[:500], links[500:], lambda: steps.append(None)) == set()
    assert steps == []


def test_links_beside_a_circle_are_not_followed() -> None:
    steps: list[None] = []
    long = [(n, n + 1) for n in range(1000)]
    found = closing(long, [(2000, 2001), (2001, 2000)], lambda: steps.append(None))
    assert found == {1}
    assert len(steps) < 10


ends = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=20)


@given(ends, ends)
def test_many_at_once_are_what_one_after_the_other_would_be(
    some: list[Ends], added: list[Ends]
) -> None:
    present, _ = one_by_one([], some)
    assert closing(present, added) == one_by_one(present, added)[1]

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Iterator

import pytest

from gantt_tornado.live.snapshots import Snapshots, compress
from tests.support import Driven


@pytest.fixture
def plan() -> Iterator[Driven]:
    plan = Driven()
    yield plan
    plan.close()


def test_a_compressed_load_is_the_load(plan: Driven) -> None:
    for _ in range(5):
        plan.task()
    packed = asyncio.run(Snapshots(plan.plan).compressed())
    assert gzip.decompress(packed) == b"".join(plan.plan.load())


def test_a_load_in_one_piece_and_in_many_is_the_same() -> None:
    assert gzip.decompress(compress([b"a", b"", b"bc"])) == b"abc"
    assert gzip.decompress(compress([])) == b""


def test_all_who_ask_for_one_state_share_one_compression(plan: Driven) -> None:
    async def scene() -> None:
        loads = Snapshots(plan.plan)
        first, second = await asyncio.gather(loads.compressed(), loads.compressed())
        assert first is second is await loads.compressed()

    asyncio.run(scene())


def test_after_a_change_the_load_is_the_new_one(plan: Driven) -> None:
    async def scene() -> None:
        loads = Snapshots(plan.plan)
        await loads.compressed()
        plan.task()
        assert gzip.decompress(await loads.compressed()) == b"".join(plan.plan.load())

    asyncio.run(scene())


def test_a_change_during_the_compression_is_not_mixed_in(plan: Driven) -> None:
    async def scene() -> None:
        loads = Snapshots(plan.plan)
        before = b"".join(plan.plan.load())
        asking = asyncio.ensure_future(loads.compressed())
        await asyncio.sleep(0)
        plan.task()
        assert gzip.decompress(await asking) == before
        assert gzip.decompress(await loads.compressed()) == b"".join(plan.plan.load())

    asyncio.run(scene())


def test_one_who_hangs_up_does_not_take_it_from_the_others(plan: Driven) -> None:
    async def scene() -> None:
        loads = Snapshots(plan.plan)
        gone = asyncio.ensure_future(loads.compressed())
        await asyncio.sleep(0)
        there = asyncio.ensure_future(loads.compressed())
        gone.cancel()
        assert gzip.decompress(await there) == b"".join(plan.plan.load())

    asyncio.run(scene())

"""Whether a write would be taken now."""

import asyncio

import pytest

from gantt_tornado import Unavailable, readiness
from gantt_tornado.readiness import Readiness


class Store:
    """A writer whose answers the test gives."""

    def __init__(self):
        self.tried = []

    def submit(self, run):
        self.tried.append(asyncio.get_running_loop().create_future())
        return self.tried[-1]


@pytest.fixture
def store():
    return Store()


@pytest.fixture
def ready(store):
    return Readiness(store, lambda: None)


@pytest.mark.gen_test
async def test_a_store_that_answers_is_ready(ready, store):
    asking = asyncio.ensure_future(ready.check())
    await asyncio.sleep(0)
    store.tried[0].set_result(None)
    await asking


@pytest.mark.gen_test
async def test_all_who_ask_in_one_second_cost_one_write(ready, store):
    asking = [asyncio.ensure_future(ready.check()) for _ in range(3)]
    await asyncio.sleep(0)
    store.tried[0].set_result(None)
    await asyncio.gather(*asking)
    await ready.check()
    assert len(store.tried) == 1


@pytest.mark.gen_test
async def test_later_it_is_tried_anew(ready, store, monkeypatch):
    monkeypatch.setattr(readiness, "STANDS", 0)
    for number in range(2):
        asking = asyncio.ensure_future(ready.check())
        await asyncio.sleep(0)
        store.tried[number].set_result(None)
        await asking


@pytest.mark.gen_test
async def test_a_store_that_refuses_is_not_ready(ready, store):
    asking = asyncio.ensure_future(ready.check())
    await asyncio.sleep(0)
    store.tried[0].set_exception(Unavailable("full"))
    with pytest.raises(Unavailable, match="full"):
        await asking


@pytest.mark.gen_test
async def test_a_writer_that_does_not_answer_is_not_ready(ready, store, monkeypatch):
    monkeypatch.setattr(readiness, "PATIENCE", 0)
    with pytest.raises(Unavailable, match="not answered"):
        await ready.check()
    # Who asks next waits for the same.
    with pytest.raises(Unavailable):
        await ready.check()
    assert len(store.tried) == 1


@pytest.mark.gen_test
async def test_a_server_that_ends_is_not_ready_and_tries_nothing(ready, store):
    ready.is_closing = True
    with pytest.raises(Unavailable, match="shutting down"):
        await ready.check()
    assert not store.tried

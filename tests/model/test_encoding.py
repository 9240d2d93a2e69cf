"""JSON that is kept in memory."""

import tracemalloc

import pytest

from gantt_tornado.model.encoding import encode_json

ITEM = {"id": 7, "text": "Dig", "start_date": "2030-01-07 00:00", "duration": 2}


def test_json_is_what_orjson_writes():
    assert (
        encode_json(ITEM) == b'{"id":7,"text":"Dig","start_date":"2030-01-07 00:00","duration":2}'
    )
    assert [encode_json(value) for value in (0, "", [])] == [b"0", b'""', b"[]"]


def test_what_is_kept_takes_no_more_memory_than_its_length():
    tracemalloc.start()
    try:
        kept = [encode_json(ITEM) for _ in range(100)]
        taken, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken < 2 * sum(map(len, kept)) + 4096


def test_what_has_no_place_in_json_is_refused():
    with pytest.raises(TypeError):
        encode_json({"id": object()})

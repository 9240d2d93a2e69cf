"""Plain numbers of what a server has done."""

from gantt_tornado.counts import Counts, Histogram


def test_a_value_on_a_bound_counts_below_it():
    histogram = Histogram((1, 2))
    for value in (0.5, 1, 1.5, 2, 3):
        histogram.note(value)
    assert (histogram.counts, histogram.total) == ([2, 2, 1], 8)


def test_a_request_counts_by_its_endpoint_and_its_status():
    counts = Counts()
    for endpoint, status in (("GET /data", 200), ("GET /data", 304), ("GET /data", 200)):
        counts.request(endpoint, status, 0.002)
    assert counts.requests["GET /data"].statuses == {200: 2, 304: 1}
    assert sum(counts.requests["GET /data"].durations.counts) == 3


def test_two_servers_count_apart():
    one, other = Counts(), Counts()
    one.commits.note(1)
    assert sum(other.commits.counts) == 0

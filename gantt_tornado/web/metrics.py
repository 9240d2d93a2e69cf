"""The body of ``GET /metrics``, in the formats of Prometheus and OpenMetrics.

prometheus-client writes the formats and tells what the process takes; what is counted stands in
:mod:`gantt_tornado.counts`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from gantt_tornado.backend import Backend
from gantt_tornado.counts import Histogram

#: Name, what of :class:`~gantt_tornado.counts.Counts` it is, and its help.
COUNTERS: Final = (
    ("gantt_events", "events", "Events that were published"),
    ("gantt_deliveries", "deliveries", "Buffers of events that were handed to a socket"),
    ("gantt_delivered_bytes", "delivered_bytes", "Bytes of events that were handed to sockets"),
    ("gantt_replays", "replays", "Channels of pages that were told what they had missed"),
    ("gantt_reloads", "reloads", "Pages that were told to load again"),
    ("gantt_resends", "resends", "Items that were told once more"),
    ("gantt_merges", "merges", "Writes into which edits of others were merged"),
    ("gantt_dropped_fields", "dropped", "Fields of writes that others had made impossible"),
    ("gantt_slow_disconnects", "slow", "Connections closed because their client read too slowly"),
    ("gantt_refused_tokens", "refused_tokens", "Requests and sockets with an unknown token"),
)
#: The same of :class:`~gantt_tornado.counts.State`.
GAUGES: Final = (
    ("gantt_queue_jobs", "queue", "Jobs that the writer has not begun"),
    ("gantt_sockets", "sockets", "Open sockets"),
    ("gantt_open_projects", "projects", "Projects in memory"),
    ("gantt_journal_changes", "journal", "Changes of open projects that can be replayed"),
    ("gantt_webhook_changes", "webhook_changes", "Changes that are still to be sent to webhooks"),
    ("gantt_webhook_seconds", "webhook_seconds", "Since when a message of one is not taken"),
)
HISTOGRAMS: Final = (
    ("gantt_commit_seconds", "commits", "Time of a transaction, its sync included"),
    ("gantt_batch_jobs", "batches", "Jobs in a transaction"),
    ("gantt_loop_lag_seconds", "lag", "How late the event loop was"),
)


class Collected(Collector):
    """Reads the numbers of a backend when they are asked for."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def collect(self) -> Iterator[Metric]:
        counts, state = self._backend.counts, self._backend.state()
        yield from self._requests()
        for name, field, help in COUNTERS:
            yield CounterMetricFamily(name, help, value=getattr(counts, field))
        for name, field, help in GAUGES:
            yield GaugeMetricFamily(name, help, value=getattr(state, field))
        for name, field, help in HISTOGRAMS:
            metric = HistogramMetricFamily(name, help)
            metric.add_metric((), *_buckets(getattr(counts, field)))
            yield metric

    def _requests(self) -> Iterator[Metric]:
        answered = CounterMetricFamily(
            "gantt_requests", "Requests that were answered", labels=("endpoint", "status")
        )
        durations = HistogramMetricFamily(
            "gantt_request_seconds", "Time from a whole request to its answer", labels=("endpoint",)
        )
        for endpoint, requests in self._backend.counts.requests.items():
            for status, count in requests.statuses.items():
                answered.add_metric((endpoint, str(status)), count)
            durations.add_metric((endpoint,), *_buckets(requests.durations))
        yield from (answered, durations)


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """The cumulated counts by their bounds, and the sum of all values."""
    bounds = [*(str(float(each)) for each in histogram.bounds), "+Inf"]
    return list(zip(bounds, accumulate(histogram.counts), strict=True)), histogram.total


def exposition(backend: Backend, accept: str) -> tuple[bytes, str]:
    """The body and its ``Content-Type``, in a format that the ``Accept`` header names."""
    # A registry of its own: two servers fit in one process.
    registry = CollectorRegistry()
    collectors: Iterable[Collector] = (Collected(backend), ProcessCollector(registry=None))
    for collector in collectors:
        registry.register(collector)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type

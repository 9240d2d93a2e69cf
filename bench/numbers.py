"""Medians, spreads and percentiles."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import median


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that at least ``percent`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-len(ordered) * percent // 100).__int__() - 1)]


def spread(values: Sequence[float]) -> float:
    """From the least to the greatest, as a part of the median."""
    middle = median(values)
    return (max(values) - min(values)) / middle if middle else 0.0

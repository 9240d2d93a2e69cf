"""A line of the table: what was measured, and the goal beside it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from bench.numbers import spread


@dataclass(frozen=True, slots=True)
class Line:
    """``runs`` holds one figure a run, in ``unit``. With ``against``, the figures of the
    runs beside them, the goal is about the ratio; ``at_least`` and ``at_most`` state it.
    ``number`` is the goal's in the issue that set it, and ``point`` where the line is drawn:
    chart, series and x.
    """

    name: str
    runs: Sequence[float]
    unit: str
    goal: str = ""
    against: Sequence[float] = ()
    at_least: float | None = None
    at_most: float | None = None
    number: int | None = None
    point: tuple[str, str, float] | None = None

    @property
    def ratio(self) -> float | None:
        """The median of the ratios of runs that alternated."""
        if not self.against:
            return None
        return median(own / other for own, other in zip(self.runs, self.against, strict=True))

    @property
    def met(self) -> bool | None:
        """None where there is no goal."""
        value = median(self.runs) if self.ratio is None else self.ratio
        if self.at_least is not None:
            return value >= self.at_least
        if self.at_most is not None:
            return value <= self.at_most
        return None


def table(lines: Iterable[Line]) -> str:
    """The lines as Markdown."""
    rows = [
        "| | measured | median | spread | ratio | goal | met |",
        "|---|---|--:|--:|--:|---|---|",
    ]
    for line in sorted(lines, key=lambda line: line.number or 9):
        ratio = "" if line.ratio is None else f"{line.ratio:.2f}"
        met = {True: "yes", False: "**no**", None: ""}[line.met]
        rows.append(
            f"| {line.number or ''} | {line.name} | {shown(median(line.runs))} {line.unit} | "
            f"{spread(line.runs):.0%} | {ratio} | {line.goal} | {met} |"
        )
    return "\n".join(rows)


def shown(value: float) -> str:
    """A figure with as many digits as mean something."""
    if value >= 1e6:
        return f"{value / 1e6:.2f} M"
    if value >= 1e4:
        return f"{value / 1e3:.0f} k"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"

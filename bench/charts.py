"""The two charts of the README, drawn from the lines that name a point."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from statistics import median

from bench.line import Line, shown

TITLES = {
    "deliveries": ("Deliveries a second, single events", "subscribers"),
    "puts": ("Milliseconds to the answer of a PUT", "PUTs at a time"),
}
COLOURS = ("#1668dc", "#d4380d", "#389e0d", "#722ed1")
WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 150, 40, 44

Series = dict[str, list[tuple[float, float]]]


def draw(lines: Iterable[Line], directory: Path) -> None:
    """Write ``NAME.svg`` for each chart that has points."""
    charts: dict[str, Series] = {}
    for line in lines:
        if line.point:
            chart, series, x = line.point
            points = charts.setdefault(chart, {}).setdefault(series, [])
            points.append((x, median(line.runs)))
    for chart, all_series in charts.items():
        (directory / f"{chart}.svg").write_text(svg(*TITLES[chart], all_series))


def svg(title: str, x_title: str, series: Series) -> str:
    """Both axes are logarithmic."""
    points = [point for each in series.values() for point in each]
    x_ticks = sorted({x for x, _ in points})
    low, high = (
        10 ** f(math.log10(g(y for _, y in points)))
        for f, g in ((math.floor, min), (math.ceil, max))
    )

    def x_of(x: float) -> float:
        return LEFT + _part(x, x_ticks[0], x_ticks[-1]) * (WIDTH - LEFT - RIGHT)

    def y_of(y: float) -> float:
        return HEIGHT - BOTTOM - _part(y, low, high) * (HEIGHT - TOP - BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        'font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        f'<text x="{LEFT}" y="22" font-size="15">{title}</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 8}" '
        f'text-anchor="middle" fill="#555">{x_title}</text>',
    ]
    tick = low
    while tick <= high * 1.01:
        y = y_of(tick)
        parts.append(f'<path d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(_label(LEFT - 8, y + 4, shown(tick), "end"))
        tick *= 10
    parts += [_label(x_of(x), HEIGHT - BOTTOM + 18, f"{x:g}", "middle") for x in x_ticks]
    labels: list[float] = []
    # The highest at the right end first, so that a label moved down passes no other line's.
    coloured = zip(series.items(), COLOURS, strict=False)
    for (name, line), colour in sorted(coloured, key=lambda each: -max(each[0][1])[1]):
        path = "L".join(f"{x_of(x):.1f} {y_of(y):.1f}" for x, y in line)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [
            f'<circle cx="{x_of(x):.1f}" cy="{y_of(y):.1f}" r="3" fill="{colour}">'
            f"<title>{name}: {shown(y)}</title></circle>"
            for x, y in line
        ]
        at = y_of(line[-1][1])
        while any(abs(at - other) < 14 for other in labels):
            at += 2
        labels.append(at)
        parts.append(_label(WIDTH - RIGHT + 10, at + 4, name, "start", colour))
    return "\n".join([*parts, "</svg>", ""])


def _part(value: float, low: float, high: float) -> float:
    """Where a value stands between two others, by its logarithm."""
    return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))


def _label(x: float, y: float, text: str, anchor: str, colour: str = "#333") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{text}</text>'

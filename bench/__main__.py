"""``python -m bench [NAME …]``: measure, print the table.

A run of all measurements also writes the table and the charts to ``bench/results``.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from time import perf_counter

from bench import charts, machine
from bench.line import Line, table

#: The measurements in the order of the table.
NAMES = ("deliveries", "stream", "puts", "latency", "loads", "sockets", "scale", "worst")
RESULTS = Path(__file__).parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; else all")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="of one run (default: %(default)s)"
    )
    parser.add_argument("--list", action="store_true", help="name the measurements and end")
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(NAMES))
        return 0
    if unknown := set(arguments.names) - set(NAMES):
        parser.error(f"there is no measurement called {', '.join(sorted(unknown))}")
    machine.raise_file_limit()
    machine.pin(machine.CLIENT_CORE)
    lines: list[Line] = []
    with machine.directory() as directory:
        described = machine.described(directory)
        print(described, file=sys.stderr)
        for name in arguments.names or NAMES:
            start = perf_counter()
            module = importlib.import_module(f"bench.{name}")
            lines += module.measure(Path(directory), arguments.seconds)
            print(f"{name}: {perf_counter() - start:.0f} s", file=sys.stderr)
    text = f"{described}.\n\n{table(lines)}\n"
    print(text)
    if not arguments.names:
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / "table.md").write_text(text)
        charts.draw(lines, RESULTS)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

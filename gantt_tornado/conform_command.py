"""The command's ``conform URL``: whether a backend keeps the rules of docs/protocol.md."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Awaitable
from typing import Any, Final, TypeVar

from gantt_tornado.conform.run import FAILS, Verdict, conform, summary
from gantt_tornado.errors import StartError

T = TypeVar("T")

#: The statuses after Ctrl-C and SIGTERM, as the shell has them.
INTERRUPTED: Final = 128 + signal.SIGINT
TERMINATED: Final = 128 + signal.SIGTERM


def add(commands: Any) -> None:
    """Add ``conform`` to the commands of a parser; ``run`` is then what carries it out."""
    help = "try the rules of the protocol on a backend"
    parser = commands.add_parser(
        "conform",
        help=help,
        allow_abbrev=False,
        description="Try the rules of the protocol on any backend of it, in a project that is made "
        "for it and deleted afterwards. The status is 0 when none fails, and 1 otherwise.",
    )
    parser.add_argument("url", metavar="URL", help="below which /data and /api/v1 stand")
    parser.add_argument("--token", required=True, help="an admin's; with --write-here an editor's")
    parser.add_argument(
        "--write-here", action="store_true",
        help="write into the plan at the URL itself, and delete what was added",
    )  # fmt: skip
    parser.add_argument("--config", default=argparse.SUPPRESS, help=argparse.SUPPRESS)
    parser.set_defaults(run=_run)


def _run(flags: dict[str, Any]) -> int:
    """Raises:
    StartError: there is no backend, or it lets nobody write there.
    """
    url = flags["url"]
    if not url.startswith(("http://", "https://")):
        raise StartError(f"{url!r} is no URL: http://127.0.0.1:8888 is one")

    def told(verdict: Verdict) -> None:
        print(verdict, flush=True)

    work = conform(url, flags["token"], write_here=flags["write_here"], told=told)
    try:
        verdicts = asyncio.run(_terminable(work))
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except asyncio.CancelledError:
        print("terminated", file=sys.stderr)
        return TERMINATED
    print(summary(verdicts))
    return int(any(verdict.outcome == FAILS for verdict in verdicts))


async def _terminable(work: Awaitable[T]) -> T:
    """Have SIGTERM cancel it, as Ctrl-C does: what was made is deleted then too."""
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work

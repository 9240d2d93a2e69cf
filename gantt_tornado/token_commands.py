"""The command's ``token create``, ``list`` and ``revoke``, also while a server has the file."""

from __future__ import annotations

import argparse
import os
import re
import secrets
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

from gantt_tornado.config import Config, read_config, sha256_of
from gantt_tornado.errors import GanttError, StartError
from gantt_tornado.model.user import Role
from gantt_tornado.store.database import joined
from gantt_tornado.store.tokens import StoredToken, StoredTokens

#: Random bytes in a token.
RANDOM_BYTES: Final = 24
_SPAN: Final = re.compile(r"([1-9][0-9]{0,4})([dhm])")
_UNITS: Final = {"d": "days", "h": "hours", "m": "minutes"}
#: Carries out one of them, as it was written.
Run = Callable[[StoredTokens, Config, dict[str, Any]], None]
_HEADINGS: Final = ("ID", "USER", "NAME", "ROLE", "PROJECTS", "CREATED", "EXPIRES", "REVOKED")


def add(commands: Any) -> None:
    """Add ``token`` to the commands of a parser; ``run`` is then what carries it out."""
    token = commands.add_parser("token", help="make, list and revoke tokens", allow_abbrev=False)
    actions = token.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, run: Run, help: str) -> Any:
        parser = actions.add_parser(name, help=help, description=help, allow_abbrev=False)
        add_database(parser)
        parser.set_defaults(run=lambda flags: _run(run, flags))
        return parser

    create = command("create", _create, "Make a token. It is the last word printed.")
    create.add_argument("--user", required=True, help="whom it is for; stands in the history")
    create.add_argument("--name", default="", help="the name for people to read (default: USER)")
    create.add_argument("--color", default="", help="#rrggbb (default: made of USER)")
    roles = [role.name for role in Role]
    create.add_argument("--role", default="editor", choices=roles, help="default: editor")
    create.add_argument(
        "--project", action="append", default=[], metavar="NAME[:ROLE]",
        help="a project that it is for, perhaps with a role of its own; repeatable (default: all)",
    )  # fmt: skip
    create.add_argument(
        "--expires", metavar="WHEN",
        help="2027-01-31, 2027-01-31T18:00, or in 90d, 12h, 30m (default: never)",
    )  # fmt: skip
    command("list", _list, "List all tokens that were made; what they are is not known.")
    revoke = command("revoke", _revoke, "Let a token count no more, from the next second on.")
    revoke.add_argument("id", type=int, metavar="ID", help="its number in the list")


def add_database(parser: argparse.ArgumentParser) -> None:
    """Let a command say behind its name which database it is about."""
    # Suppressed, so that they do not undo what stands before the command.
    parser.add_argument(
        "--database", metavar="URL", default=argparse.SUPPRESS, help="where the plan is kept"
    )
    parser.add_argument(
        "--config", metavar="FILE", type=Path, default=argparse.SUPPRESS,
        help="a TOML file that says it",
    )  # fmt: skip


def print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Print rows with their columns one below the other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _run(run: Run, flags: dict[str, Any]) -> None:
    """Raises:
    StartError: it cannot be done; the text is one line.
    """
    config = read_config(flags["config"], os.environ, {"database": flags["database"]})
    with joined(config.database) as database:
        try:
            run(StoredTokens(database), config, flags)
        except (GanttError, ValueError) as error:
            raise StartError(str(error)) from None


def _create(tokens: StoredTokens, config: Config, flags: dict[str, Any]) -> None:
    expires = _moment(flags["expires"], config.timezone)
    until = f", until {_shown(expires)}" if expires else ""
    token = secrets.token_urlsafe(RANDOM_BYTES)
    id = tokens.create(
        *(sha256_of(token), _printable(flags["user"]), flags["role"], flags["project"]),
        name=_printable(flags["name"]) if flags["name"] else "",
        color=flags["color"],
        expires=expires,
    )
    print(f"Token {id} for {flags['user']}{until}. It is shown this once:\n{token}")


def _list(tokens: StoredTokens, config: Config, flags: dict[str, Any]) -> None:
    print_table([_HEADINGS, *(_row(each) for each in tokens.all())])


def _row(token: StoredToken) -> tuple[str, ...]:
    times = (token.created, token.expires, token.revoked)
    projects = ",".join(token.projects) or "*"
    return (
        *(str(token.id), token.user, token.name, token.role, projects),
        *(_shown(each) if each else "-" for each in times),
    )


def _revoke(tokens: StoredTokens, config: Config, flags: dict[str, Any]) -> None:
    if not 0 < flags["id"] < 1 << 63:
        raise ValueError(f"there is no token {flags['id']}")
    tokens.revoke(flags["id"])
    print(f"Token {flags['id']} counts no more.")


def _printable(text: str) -> str:
    if not text.strip() or not text.isprintable():
        raise ValueError(f"{text!r} is no name")
    return text


def _shown(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%MZ")
    except (ValueError, OverflowError, OSError):
        # Beyond the year 9999 in UTC.
        return "never"


def _moment(text: str | None, zone: str) -> float | None:
    """Seconds since 1970: of a date, which begins in the plan's zone, or from now on."""
    if text is None:
        return None
    if span := _SPAN.fullmatch(text):
        return time.time() + timedelta(**{_UNITS[span[2]]: int(span[1])}).total_seconds()
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no moment: 2027-01-31 is one, and 90d") from None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=ZoneInfo(zone))
    if moment.timestamp() <= time.time():
        raise ValueError(f"{text} has passed")
    return moment.timestamp()

"""The log: one line a request, as text or as JSON, and an end to what one client can have written.

Each request has an id, from ``X-Request-Id`` or a new one; its response has it in the same header,
and where it failed in its body too, so that what a person reads leads to the line.
"""

from __future__ import annotations

import logging
import random
import re
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from logging.handlers import WatchedFileHandler
from typing import Any, Final

import orjson
from tornado.httputil import HTTPServerRequest
from tornado.log import access_log

from gantt_tornado.config import Config, network_of
from gantt_tornado.web import redaction

#: The header of a request's id, both ways.
HEADER: Final = "X-Request-Id"
#: What an id of a client's may look like; another is replaced.
_ID: Final = re.compile(r"[A-Za-z0-9._:-]{1,64}")
#: Where a request keeps its id, and a record of the log what it is about.
_ATTRIBUTE: Final = "gantt_request_id"
_ABOUT: Final = "about"
_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"

#: Characters of a traceback from its beginning, and as many from its end.
LONGEST_EXCEPTION: Final = 8 << 10

#: Lines of one kind about one client that are written at once, and each second from then on.
BURST: Final = 50
A_SECOND: Final = 5
#: The same for all clients together: one may have many addresses.
ALL_BURST: Final = 2000
ALL_A_SECOND: Final = 200
#: Kinds and clients that are remembered.
MOST_KINDS: Final = 1000


def request_id(request: HTTPServerRequest) -> str:
    """The id of a request: the client's own where it has a good one, else one that is made now."""
    known: str | None = getattr(request, _ATTRIBUTE, None)
    if known is None:
        given = request.headers.get(HEADER)
        known = given if given and _ID.fullmatch(given) else f"{random.getrandbits(64):016x}"
        setattr(request, _ATTRIBUTE, known)
    return known


def log_request(
    request: HTTPServerRequest, status: int, seconds: float, user: str, project: str
) -> None:
    """Write the line of a request that has been answered."""
    level = logging.INFO if status < 400 else logging.WARNING
    if status >= 500:
        level = logging.ERROR
    if not access_log.isEnabledFor(level):
        return
    about = {
        "request": request_id(request),
        "status": status,
        "method": redaction.printable(redaction.cut(request.method or "")),
        "url": redaction.url(request.uri or ""),
        "client": request.remote_ip or "",
        "ms": round(1000 * seconds, 2),
        "user": redaction.cut(user),
        # Of an address that leads nowhere it may be anything.
        "project": redaction.url(project),
    }
    access_log.log(level, "%s", _line(about), extra={_ABOUT: about})


def _line(about: dict[str, Any]) -> str:
    """``200 PUT /data/task/7 (127.0.0.1) 1.45ms user="Eve" project="default" request=3fa9c1-7``."""
    # As JSON, so that no name can break the line or look like another field.
    user, project = (
        redaction.printable(orjson.dumps(about[name]).decode()) for name in ("user", "project")
    )
    return (
        f"{about['status']} {about['method']} {about['url']} ({about['client']}) "
        f"{about['ms']:.2f}ms user={user} project={project} request={about['request']}"
    )


class Lines(logging.Formatter):
    """Each record as text. What an application's error says may be megabytes long."""

    def formatException(self, ei: Any) -> str:
        text = super().formatException(ei)
        if len(text) <= 2 * LONGEST_EXCEPTION:
            return text
        # Where it comes from stands at its beginning, or of one that followed another at its end.
        begin, end = text[:LONGEST_EXCEPTION], text[-LONGEST_EXCEPTION:]
        return f"{begin}\n… ({len(text)} characters)\n{end}"


class JsonLines(Lines):
    """Each record as one line of JSON: ``time``, ``level``, ``logger``, ``message``, and of a
    request what its line has."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        shown: dict[str, Any] = {
            "time": at,
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, _ABOUT, {}),
        }
        if record.exc_info:
            shown["exception"] = self.formatException(record.exc_info)
        # What cannot be encoded must not cost the line.
        return redaction.printable(orjson.dumps(_encodable(shown)).decode())


def _encodable(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _encodable(each) for name, each in value.items()}
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    return value


#: A place in the code with a level, and a client, None for all of them.
_Kind = tuple[tuple[str, int, int], str | None]
_NOTHING: Final[dict[str, Any]] = {}


@dataclass(slots=True)
class _Bucket:
    """How many lines of a kind may be written, since when, and how many were left out."""

    left: float
    since: float
    omitted: int = 0


class Bounded(logging.Filter):
    """Ends what one client, one place in the code, or all clients can have written: after some
    lines at once only a few a second, the next of which says how many were left out. Each level
    counts for itself: what is refused stands in the log, however much is served.

    Args:
        now: seconds.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._now = now
        self._kinds: OrderedDict[_Kind, _Bucket] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        client = getattr(record, _ABOUT, _NOTHING).get("client", "")
        place, now = (record.name, record.lineno, record.levelno), self._now()
        own = self._bucket((place, network_of(client)), now, BURST, A_SECOND)
        if not client:
            return _fits(record, own, own)
        every = self._bucket((place, None), now, ALL_BURST, ALL_A_SECOND)
        return _fits(record, own, every)

    def _bucket(self, kind: _Kind, now: float, burst: float, a_second: float) -> _Bucket:
        bucket = self._kinds.get(kind)
        if bucket is None:
            if len(self._kinds) >= MOST_KINDS:
                self._kinds.popitem(last=False)
            bucket = self._kinds[kind] = _Bucket(burst, now)
            return bucket
        self._kinds.move_to_end(kind)
        left = bucket.left + (now - bucket.since) * a_second
        bucket.left = left if left < burst else burst
        bucket.since = now
        return bucket


def _fits(record: logging.LogRecord, own: _Bucket, every: _Bucket) -> bool:
    """Whether a line may be written, which then says how many like it were left out."""
    if own.left < 1 or every.left < 1:
        full = own if own.left < 1 else every
        full.omitted += 1
        return False
    omitted = own.omitted if own is every else own.omitted + every.omitted
    own.omitted = every.omitted = 0
    own.left -= 1
    if own is not every:
        every.left -= 1
    if omitted:
        record.msg, record.args = f"{record.getMessage()} ({omitted} more like it)", None
    return True


class LogFile(WatchedFileHandler):
    """The log's file, opened anew where it was moved away. What it does not take, because its
    folder is gone or the disk is full, goes to standard error, and the request goes on."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            super().emit(record)
        except OSError:
            # The standard library opens the file outside of what it guards.
            self.handleError(record)

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            super().handleError(record)
            return
        with suppress(OSError, ValueError):
            line = f"{self.format(record)} (not in {self.baseFilename}: {error.strerror})"
            print(line, file=sys.stderr, flush=True)

    def reopen(self) -> None:
        """Open it anew where it was moved away, without waiting for a line.

        Raises:
            OSError: it cannot be; the next line tries it again.
        """
        # Other threads write to it too.
        with self.lock or nullcontext():
            self.reopenIfNeeded()
            if self.stream is None:
                self.stream = self._open()


def start(config: Config) -> logging.Handler:
    """Have all that is logged written as the configuration says. Returns what writes it, which
    opens its file anew where that has been moved.

    Raises:
        OSError: the file cannot be written.
    """
    handler: logging.Handler = logging.StreamHandler()
    if config.log_file:
        handler = LogFile(config.log_file, encoding="utf-8", errors="backslashreplace")
    as_json = config.log_format == "json"
    handler.setFormatter(JsonLines() if as_json else Lines(_FORMAT))
    handler.addFilter(Bounded())
    logging.basicConfig(level=config.log_level.upper(), handlers=[handler])
    for name in redaction.LOGGERS:
        logging.getLogger(name).addFilter(redaction.Redaction())
    return handler

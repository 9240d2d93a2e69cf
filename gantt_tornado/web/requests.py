"""What is read from an HTTP request: its body, its origin, its user, its arguments.

Used by both adapters of the endpoints.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable, Mapping
from http.client import responses
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, urlsplit

import orjson
from tornado import web
from tornado.httputil import HTTPServerRequest

from gantt_tornado.backend import Backend
from gantt_tornado.errors import BadRequest, Forbidden, GanttError, NotFound, Stale, TooLarge
from gantt_tornado.model import protocol, text
from gantt_tornado.model.change import Author
from gantt_tornado.model.entities import Entity
from gantt_tornado.model.user import User
from gantt_tornado.web import logs, proxies, redaction

log = logging.getLogger(__name__)

T = TypeVar("T")

JSON: Final = "application/json; charset=UTF-8"
#: Fields in a body. A row has about twenty, a batch some hundred rows.
MOST_FIELDS: Final = 10_000
#: Lists and objects in a body: creating them holds the interpreter for some ten milliseconds.
MOST_CONTAINERS: Final = 20_000
#: Bytes from which a body is parsed on another thread.
LARGE: Final = 32 << 10
#: The client counts the ids of rows that are not saved yet from the milliseconds of its clock.
FIRST_UNSAVED: Final = 10**12
#: No page gives a row a longer id.
LONGEST_ID: Final = 200
#: A ``Remote-Device`` is a UUID; a longer one is truncated.
LONGEST_CLIENT_ID: Final = 64
#: Bytes beyond the limit that are still read and dropped, so that the client can read the
#: refusal.
MOST_DROPPED: Final = 16 << 20


#: Characters of a host in a log line or a message; a name has at most 253.
LONGEST_HOST: Final = 300
_USUAL_PORTS: Final = {"http": 80, "https": 443}
_CONTROL: Final = re.compile(r"[\x00-\x08\x0e-\x1f]")


class Body:
    """A request's body, kept up to a limit; bytes beyond it are counted and dropped.

    A larger one is read to its end before it is refused: a response while the client still
    sends would be lost in the reset of the connection, and the client would take its row for
    saved. There are limits to that: a body that is larger by more than :data:`MOST_DROPPED`
    is refused at that point, and the connection is closed when a body takes longer than
    ``patience`` seconds.
    """

    def __init__(self, request: HTTPServerRequest, limit: int, patience: float) -> None:
        self._limit = limit
        self._received = 0
        self._chunks: list[bytes] = []
        self._timer: asyncio.TimerHandle | None = None
        connection: Any = request.connection
        # Tornado would close the connection at its own limit, without a response.
        connection.set_max_body_size(1 << 40)
        self._announced = protocol.number(request.headers.get("Content-Length", ""))
        if self._announced is None:
            # Chunked, if there is a body.
            connection.set_body_timeout(patience)
        elif self._announced > 0:
            # Tornado's own timeout creates a task for each body, too expensive for a PUT.
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(patience, self._late, connection)

    @property
    def is_hopeless(self) -> bool:
        """Whether its Content-Length is larger than the limit."""
        return self._announced is not None and self._announced > self._limit

    def take(self, chunk: bytes) -> bool:
        """Add a chunk. Returns whether to go on reading."""
        self._received += len(chunk)
        if self._received <= self._limit:
            self._chunks.append(chunk)
        else:
            self._chunks.clear()
        if self._received == self._announced:
            self.end()
        return self._received <= self._limit + MOST_DROPPED

    def abandon(self) -> None:
        """The connection is closed. Its objects are reference cycles, which are collected late;
        free an incomplete body now, which may be large."""
        self.end()
        if self._received != self._announced:
            self._chunks.clear()

    def end(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def read(self) -> bytes:
        """The whole body.

        Raises:
            TooLarge: it was more than the limit.
        """
        if self._received > self._limit:
            raise too_large(self._limit)
        return b"".join(self._chunks)

    def _late(self, connection: Any) -> None:
        log.debug("a body took too long: %d bytes of %d", self._received, self._announced)
        self._timer = None
        connection.stream.close()


def too_large(limit: int) -> TooLarge:
    return TooLarge(f"This is too large to be saved: more than {limit >> 10} KiB.")


def check_same_origin(backend: Backend, request: HTTPServerRequest) -> None:
    """Refuse a request that a page of another host makes in this user's name.

    Where users sign in with a cookie, the browser would add it to that request.

    Raises:
        Forbidden: the page is neither ours nor of a listed origin; both hosts are named.
    """
    origin = request.headers.get("Origin")
    if origin is None or is_ours(backend, request, origin):
        return
    page = origin[:LONGEST_HOST]
    here = proxies.asked_for(backend.config, request)[0][:LONGEST_HOST]
    log.warning(
        "refused: a page of %r has sent %s, which came for the host %r. Where that page is ours, "
        "its proxy has to pass on the Host with its port, or be one of trusted_proxies; else "
        "list it in origins",
        redaction.url(page),
        summary(request),
        redaction.url(here),
    )
    raise Forbidden(f"A page of {page} may do nothing here: the server was asked for as {here}.")


def is_ours(backend: Backend, request: HTTPServerRequest, origin: str) -> bool:
    """Whether a page of this origin is ours, or is listed."""
    if origin in backend.config.origins:
        return True
    # Pages cannot set it, and behind a proxy only the browser knows for sure. It is missing over
    # plain HTTP.
    site = request.headers.get("Sec-Fetch-Site", "none")
    if site != "none":
        return site == "same-origin"
    host, has_port = proxies.asked_for(backend.config, request)
    return _is_same_host(origin, host) if has_port else _has_name(origin, host)


def _has_name(origin: str, host: str) -> bool:
    """Whether a page is of a host, at whatever port."""
    try:
        return bool(host) and urlsplit(origin).hostname == urlsplit(f"//{host}").hostname
    except ValueError:
        return False


def _is_same_host(origin: str, host: str) -> bool:
    """Whether both have the same name and port. A missing port is the default of the origin's
    scheme: another port of this machine may be somebody else's."""
    if host and origin.partition("://")[2] == host:
        return True
    try:
        page = urlsplit(origin)
        here = urlsplit(f"{page.scheme}://{host}")
        usual = _USUAL_PORTS.get(page.scheme)
        return bool(page.hostname) and (page.hostname, page.port or usual) == (
            here.hostname,
            here.port or usual,
        )
    except ValueError:
        return False


def bearer(backend: Backend, token: str) -> User | None:
    """The user of one of the configured tokens, None where none was given.

    Raises:
        Forbidden: it is not one of them.
    """
    if not token:
        return None
    user = backend.accounts.verify(token)
    if user is None:
        backend.counts.refused_tokens += 1
        raise Forbidden("This token is not known here.")
    return user


def by_token(
    backend: Backend,
    request: HTTPServerRequest,
    *,
    may_be_anonymous: bool = True,
    takes_bearer: bool = False,
    from_url: bool = False,
) -> User | None:
    """The user who asks, by the configured tokens. None for somebody without a token, where
    anonymous users may do nothing. ``takes_bearer`` is for programs that know no other header
    than ``Authorization``.

    Args:
        from_url: whether the token of a write may stand in the URL, as that of a read may.

    Raises:
        Forbidden: the token is not one of them.
    """
    token = request.headers.get("Remote-Token", "")
    if not token and (from_url or request.method in ("GET", "HEAD")):
        # gantt.load(url) cannot send a header.
        token = argument(request.query_arguments, "token")
    if not token and takes_bearer:
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        token = given.strip() if scheme.lower() == "bearer" else ""
    return bearer(backend, token) or (backend.anonymous if may_be_anonymous else None)


def argument(query: Mapping[str, list[bytes]], name: str, default: str = "") -> str:
    """An argument of a URL, as Tornado's ``get_query_argument`` reads it.

    Raises:
        web.HTTPError: it is not UTF-8.
    """
    try:
        values = [value.decode() for value in query.get(name, ())]
    except UnicodeDecodeError:
        raise web.HTTPError(400, f"{name} is not UTF-8") from None
    return _CONTROL.sub(" ", values[-1]).strip() if values else default


def author(headers: Mapping[str, str], user: User | None) -> Author:
    """The author of a change, for the journal."""
    client_id = headers.get("Remote-Device", "")[:LONGEST_CLIENT_ID]
    return Author(user.name if user else "", client_id)


def headers(backend: Backend | None, request: HTTPServerRequest) -> dict[str, str]:
    """The headers of every response. Pages of listed origins may read it."""
    common = {
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-cache",
        logs.HEADER: logs.request_id(request),
    }
    origin = request.headers.get("Origin")
    if origin and backend and origin in backend.config.origins:
        common |= {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}
        common["Access-Control-Expose-Headers"] = f"ETag, Retry-After, {logs.HEADER}"
    return common


def error_body(status: int, error: BaseException | None) -> dict[str, Any]:
    """The body of an error response. The client looks for ``action``."""
    if isinstance(error, GanttError):
        body = {"action": "error", "code": error.code, "message": error.message}
        return body | {"reload": True} if isinstance(error, Stale) else body
    message = responses.get(status, "Error")
    if status >= 500:
        message = "Something went wrong on the server. Your change was not saved."
    return {"action": "error", "code": f"http-{status}", "message": message}


def summary(request: HTTPServerRequest) -> str:
    """The request as log lines show it, without its token."""
    # A method may be as long as a URL.
    method = redaction.printable(redaction.cut(request.method or ""))
    return f"{method} {redaction.url(request.uri or '')} ({request.remote_ip})"


def item_id(entity: str, id: str) -> int:
    """An id in a URL, as a number.

    Raises:
        NotFound: this server never assigned such an id.
    """
    number = protocol.number(id)
    if number is None:
        raise NotFound(f"There is no such {entity}.")
    return number


def is_unsaved(entity: str, id: int, fields: Mapping[str, Any]) -> bool:
    """Whether an update is of a row that was never saved.

    The client adds a row again whose parent had no id yet; but once its user has dragged
    it meanwhile, it takes it for one that is there.
    """
    return entity == "task" and id >= FIRST_UNSAVED and "parent" in fields and "_rev" not in fields


def read_fields(body: bytes, headers: Mapping[str, str], entity: Entity) -> dict[str, Any]:
    """An item's fields in a body, from JSON or a form. Text is as the client holds it.

    Raises:
        BadRequest: it is neither.
    """
    if is_json(body, headers):
        return read_json(body)
    return entity.unpack(read_form(body))


def read_item(
    body: bytes, backend: Backend, headers: Mapping[str, str], entity: Entity
) -> dict[str, Any]:
    """An item's fields in a body, with text as it is stored: the client holds HTML.

    Raises:
        BadRequest: it cannot be read.
    """
    fields = read_fields(body, headers, entity)
    return letters(fields) if may_hold_references(backend, body) else fields


def may_hold_references(backend: Backend, body: bytes) -> bool:
    """Whether text in a body may have HTML character references, which are not stored."""
    # A reference begins with "&", which JSON may escape with a backslash and a form with "%".
    found = b"&" in body or b"\\" in body or b"%" in body
    return found and backend.config.html != "clean"


def letters(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Fields with text as it is stored."""
    return {name: text.each(text.read, value) for name, value in fields.items()}


async def beside(body: bytes, read: Callable[..., T], *args: Any) -> T:
    """Call ``read`` with a body, on another thread if it is large."""
    if len(body) < LARGE:
        return read(body, *args)
    return await asyncio.get_running_loop().run_in_executor(None, read, body, *args)


def read_batch(form: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """The rows of a form with ``ids``: their fields without the id in front.

    ``15_text`` is the text of row 15. A name that begins with several ids belongs to the longest.
    """
    rows: dict[str, dict[str, str]] = {
        id: {} for id in form["ids"].split(",") if id.isprintable() and len(id) <= LONGEST_ID
    }
    for key, value in form.items():
        end = key.rfind("_", 0, LONGEST_ID + 1)
        while end >= 0:
            if key[:end] in rows:
                rows[key[:end]][key[end + 1 :]] = value
                break
            end = key.rfind("_", 0, end)
    return rows


def _check_containers(text: str | bytes) -> None:
    marks: tuple[Any, Any] = ("[", "{") if isinstance(text, str) else (b"[", b"{")
    if text.count(marks[0]) + text.count(marks[1]) > MOST_CONTAINERS:
        raise BadRequest(f"There are more than {MOST_CONTAINERS} lists and objects in it.")


def is_json(body: bytes, headers: Mapping[str, str]) -> bool:
    return "json" in headers.get("Content-Type", "") or body[:1] == b"{"


def read_json(body: bytes) -> dict[str, Any]:
    """A JSON object.

    Raises:
        BadRequest: it is none.
    """
    value = _loads(body)
    if not isinstance(value, dict):
        raise BadRequest("The body is not a JSON object.")
    if len(value) > MOST_FIELDS:
        raise BadRequest(f"There are more than {MOST_FIELDS} fields in it.")
    return value


def read_list(body: bytes) -> list[Any]:
    """A list in JSON.

    Raises:
        BadRequest: it is none.
    """
    value = _loads(body)
    if not isinstance(value, list):
        raise BadRequest("The body is not a list of calls.")
    return value


def _loads(body: bytes) -> Any:
    _check_containers(body)
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The body is not JSON: {error}.") from None


def read_form(body: bytes) -> dict[str, str]:
    """A form of mode REST or POST.

    Raises:
        BadRequest: it cannot be read.
    """
    try:
        pairs = parse_qsl(
            body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS
        )
    except ValueError:
        raise BadRequest("The body is not a form in UTF-8.") from None
    for _, value in pairs:
        _check_containers(value)
    return dict(pairs)

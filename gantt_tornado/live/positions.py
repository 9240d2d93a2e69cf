"""How far each browser got, so that a page that comes back is told only what it missed.

The stock client keeps the ``since`` of its load for ever, and a page a day old would be
replayed a day. But a browser acknowledges without knowing it: it answers a ping with
the ping's payload, in order with the frames before it. So a ping carries the position of
the last change sent, and its pong says that all up to there has arrived.

A socket is known again by its URL. Each page makes one handshake with that URL before
its first socket; where a URL had two, there are two pages behind it, nobody can tell
which of them returned, and ``since`` counts again. Pages that put something of their
own into the URL (``tab=<uuid>``) avoid that. Lives on the loop.

Anybody who may read can make a handshake with any URL, so a page costs some hundred bytes whatever
its URL is: its digest is kept, and where it stands on the channels that can be replayed.
"""

from __future__ import annotations

import hashlib
import weakref
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from gantt_tornado.model.marks import Position
from gantt_tornado.model.schema import GANTT, Schema

#: Pages remembered; the oldest go first, and pay with a longer replay.
MOST_PAGES: Final = 20_000


@dataclass(slots=True)
class _Page:
    """Whoever made a handshake with one URL."""

    handshakes: int = 0
    #: Its last socket. A page is remembered for much longer than its socket lives.
    socket: weakref.ref[object] | None = None
    #: Channel → the last change that has arrived.
    arrived: dict[str, Position] = field(default_factory=dict)


class Positions:
    """The last change that arrived, by page and channel."""

    def __init__(self, schema: Schema = GANTT) -> None:
        # What an application sends on channels of its own is not replayed.
        self._replayed = schema.channels
        # By the digest of their URL.
        self._pages: OrderedDict[bytes, _Page] = OrderedDict()

    def made_handshake(self, url: str) -> None:
        """A page made its handshake."""
        key = _key(url)
        self._pages.setdefault(key, _Page()).handshakes += 1
        self._pages.move_to_end(key)
        if len(self._pages) > MOST_PAGES:
            self._pages.popitem(last=False)

    def opened(self, url: str, socket: object) -> dict[str, Position]:
        """A socket opened: what has arrived at the page behind it, by channel."""
        page = self._pages.get(_key(url))
        if page is None or page.handshakes > 1:
            return {}
        # What an older socket of the page still acknowledges, the page may have ignored.
        page.socket = weakref.ref(socket)
        return dict(page.arrived)

    def arrived(
        self, url: str, socket: object, channels: frozenset[str], position: Position
    ) -> None:
        """All changes up to a position on these channels have arrived through ``socket``."""
        page = self._pages.get(_key(url))
        if page is None or page.socket is None or page.socket() is not socket:
            return
        page.arrived.update(dict.fromkeys(channels & self._replayed, position))


def _key(url: str) -> bytes:
    return hashlib.blake2b(url.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def page_url(uri: str) -> str:
    """The URL as the page wrote it, without what the client puts behind for a socket."""
    for mark in ("&token=", "?token="):
        head, found, _ = uri.rpartition(mark)
        if found:
            return head
    return uri

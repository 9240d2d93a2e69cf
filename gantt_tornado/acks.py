"""How far each browser got, so that a page that comes back is told only what it missed.

The stock client keeps the ``since`` of its load for ever, and a page a day old would be
replayed a day. But a browser acknowledges without knowing it: it answers a ping with
the ping's payload, in order with the frames before it. So a ping carries the number of
the last change sent, and its pong says that all up to there has arrived.

A socket is known again by its URL. Each page makes one handshake with that URL before
its first socket; where a URL had two, there are two pages behind it, nobody can tell
which of them returned, and ``since`` counts again. Pages that put something of their
own into the URL (``tab=<uuid>``) avoid that. Lives on the loop.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

#: Pages remembered; the oldest go first, and pay with a longer replay.
MOST_PAGES: Final = 20_000


@dataclass(slots=True)
class _Page:
    """Whoever made a handshake with one URL."""

    handshakes: int = 0
    socket: object = None
    #: Channel → the last change that has arrived.
    arrived: dict[str, int] = field(default_factory=dict)


class Acks:
    """The last change that arrived, by page and channel."""

    def __init__(self) -> None:
        self._pages: OrderedDict[str, _Page] = OrderedDict()

    def greeted(self, url: str) -> None:
        """A page made its handshake."""
        self._pages.setdefault(url, _Page()).handshakes += 1
        self._pages.move_to_end(url)
        if len(self._pages) > MOST_PAGES:
            self._pages.popitem(last=False)

    def opened(self, url: str, socket: object) -> dict[str, int]:
        """A socket opened: what has arrived at the page behind it, by channel."""
        page = self._pages.get(url)
        if page is None or page.handshakes > 1:
            return {}
        # What an older socket of the page still acknowledges, the page may have ignored.
        page.socket = socket
        return dict(page.arrived)

    def arrived(self, url: str, socket: object, channels: frozenset[str], seq: int) -> None:
        """All changes up to ``seq`` on these channels have arrived through ``socket``."""
        page = self._pages.get(url)
        if page is not None and page.socket is socket:
            page.arrived.update(dict.fromkeys(channels, seq))


def page_url(uri: str) -> str:
    """The URL as the page wrote it, without what the client puts behind for a socket."""
    for mark in ("&token=", "?token="):
        head, found, _ = uri.rpartition(mark)
        if found:
            return head
    return uri

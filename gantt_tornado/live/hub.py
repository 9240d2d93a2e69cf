"""Who listens to what, and when it is told. All of it lives on the loop: no locks.

An event is encoded and framed once, and the same bytes go to every listener. The first
event goes at once; while more come, they are collected for a window and written to each
client as one buffer. The stock client applies events 50 ms after the last one came, so
the gaps between windows are what makes a steady stream visible while it runs.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import chain, compress, islice
from typing import Final, NamedTuple, Protocol, TypeVar

from gantt_tornado.counts import Counts
from gantt_tornado.live.plan import Plan
from gantt_tornado.model import protocol
from gantt_tornado.model.entities import TASK

log = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds that events are collected after one was sent.
WINDOW: Final = 0.07
#: Events in a window from which on successive updates of one item are reduced to the last.
CROWDED: Final = 32
#: Bytes of events in a window, but for one event that is larger alone. What thousands of rows
#: of one write say goes in many windows: in one it would be more than may wait for a client.
LARGEST: Final = 512 << 10
#: Channels of a stock page. Such sets are shared; larger ones would fill the memory.
FEW: Final = 8
#: Seconds within which a replay has been drawn, and requests of that time were answered.
DRAWN: Final = 3.0
#: Replays kept for others who ask for the same.
MOST_REPLAYS: Final = 16
#: Bytes of a replay that are framed in one go, but for one item that is larger alone.
REPLAYED_AT_ONCE: Final = 256 << 10
#: Clients that are sent to between two looks at the clock.
SLICE: Final = 100
#: Seconds of sending after which others have the loop.
LONGEST: Final = 0.004


#: Sends framed bytes to one client. Must not raise, and must not wait.
Send = Callable[[bytes], None]


class Listener(Protocol):
    """A client's connection, as the hub sees it."""

    @property
    def tab(self) -> str:
        """The uuid of the page, "" where it does not say which it is."""

    @property
    def user_name(self) -> str:
        """Who listens."""

    @property
    def reloads(self) -> bool:
        """Whether it loads again where it is told to."""

    def known(self, channel: str) -> int | None:
        """The last change on a channel that the client has, None where it shall not be
        told what it missed, and :data:`~gantt_tornado.model.marks.FOREIGN` where what it has is of
        another history."""

    def ask(self, seq: int) -> None:
        """Ask the client to acknowledge all changes up to ``seq``, which it was sent."""

    @property
    def send(self) -> Send:
        """Sends what is live; the same for as long as the client listens."""

    def replay(self, slices: Iterator[bytes]) -> None:
        """Send what was missed, in slices of framed bytes, before all that is sent from now
        on. Must not raise, and must not wait."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Some of the listeners: the sockets of pages, also later ones, by their ``tab``; and
    others one by one."""

    tabs: frozenset[str] = frozenset()
    listeners: frozenset[Listener] = frozenset()

    def __contains__(self, listener: Listener) -> bool:
        return listener.tab in self.tabs or listener in self.listeners

    def __or__(self, other: Audience) -> Audience:
        return Audience(self.tabs | other.tabs, self.listeners | other.listeners)


class Event(NamedTuple):
    """One event of a channel, framed.

    ``seq`` is the change it tells of, 0 where it tells of none. ``updates`` is the id of
    the item whose state it repeats whole, 0 where each event counts. ``version`` is the
    plan's version that it brings a page to, 0 for an application's own events. ``only``
    are the only ones who are told, None for all, and ``but`` are told nothing.
    """

    channel: str
    frame: bytes
    seq: int = 0
    updates: int = 0
    version: int = 0
    only: Audience | None = None
    but: Audience | None = None

    def is_for(self, listener: Listener) -> bool:
        if self.but is not None and listener in self.but:
            return False
        return self.only is None or listener in self.only


def encode_event(
    channel: str,
    value: bytes,
    seq: int = 0,
    updates: int = 0,
    version: int = 0,
    only: Audience | None = None,
    but: Audience | None = None,
) -> Event:
    frame = protocol.websocket_frame(protocol.event(channel, value))
    return Event(channel, frame, seq, updates, version, only, but)


@dataclass(slots=True)
class _Subscriptions:
    """What one listener has joined."""

    channels: frozenset[str] = frozenset()
    #: Channel → the plan's version when it joined; nothing up to there is sent again.
    joined_at: dict[str, int] = field(default_factory=dict)


class Hub:
    """The subscriptions of one plan.

    Args:
        plan: answers what a subscription with ``since`` has missed.
        window: in seconds.
        withheld: says of which items a listener cannot be told now; gets the change since
            which it has missed all, None where it has not.
        counts: where events and deliveries are counted.
    """

    def __init__(
        self,
        plan: Plan,
        window: float = WINDOW,
        withheld: Callable[[Listener, int | None], frozenset[int]] = lambda *_: frozenset(),
        counts: Counts | None = None,
    ) -> None:
        self.counts: Final = counts or Counts()
        self._plan = plan
        # Whose events the client's own handlers apply. What an application sends on others
        # needs no gap behind it, and makes no edit wait.
        self._paced = plan.schema.channels
        self._window = window
        self._withheld = withheld
        self._listeners: dict[Listener, _Subscriptions] = {}
        # Those who listen to the same, as long as nobody comes or goes. Their senders, not
        # they themselves: among thousands, each object more that is looked at costs.
        self._groups_of_all: dict[tuple[frozenset[str], tuple[bool, ...]], list[Send]] | None = None
        self._pending: list[Event] = []
        # Buffers on their way, in the order in which each listener must have them.
        self._outgoing: deque[tuple[bytes, list[Send]]] = deque()
        # (channel, since, without, reloads) → what was missed, as of one version of the plan.
        self._replays: dict[
            tuple[str, int, frozenset[int], bool], bytes | Iterable[list[bytes]]
        ] = {}
        # Those of them that say to load again.
        self._reloads: set[tuple[str, int, frozenset[int], bool]] = set()
        self._replayed = -1
        self._timer: asyncio.TimerHandle | None = None
        self._published = plan.seq
        self._asking = False
        # Nobody has joined at a later version: later events go to all unseen.
        self._joined = 0
        # (when, since) of the last replays; of two the one that reaches less far back is the later.
        self._reaches: deque[tuple[float, int]] = deque()

    def subscribe(self, listener: Listener, channel: str, since: int | None = None) -> None:
        """Join a channel; what was missed since ``listener.known(channel)``, or since
        another change, is sent first.

        The plan is read and the channel joined in one step, so that no change falls
        between the two.
        """
        if self._outgoing:
            # Else they would come behind a replay that is newer.
            self._flush_to(listener.send)
        missing = None
        if since is None:
            since = missing = listener.known(channel)
        if since is not None:
            # Who is told to load again has missed nothing that could be told later.
            reached = self._plan.reaches(since)
            withheld = self._withheld(listener, missing if reached else None)
            missed = self._replay(channel, since, withheld, listener.reloads)
            if missed is not None:
                self._note_reach(since)
                self._try(listener.replay, missed)
        subscriptions = self._listeners.setdefault(listener, _Subscriptions())
        channels = subscriptions.channels | {channel}
        subscriptions.channels = _one(channels) if len(channels) <= FEW else channels
        self._groups_of_all = None
        subscriptions.joined_at[channel] = self._joined = self._plan.version

    def replayed(self, seq: int) -> bool:
        """Whether change ``seq`` was in a replay that somebody may still be drawing."""
        since = asyncio.get_running_loop().time() - DRAWN
        while self._reaches and self._reaches[0][0] < since:
            self._reaches.popleft()
        return bool(self._reaches) and seq > self._reaches[0][1]

    def _note_reach(self, since: int) -> None:
        # One that reaches less far back than a later one says nothing more.
        while self._reaches and self._reaches[-1][1] >= since:
            self._reaches.pop()
        self._reaches.append((asyncio.get_running_loop().time(), since))

    def unsubscribe(self, listener: Listener, channel: str) -> None:
        subscriptions = self._listeners.get(listener)
        if subscriptions is None:
            return
        subscriptions.channels -= {channel}
        subscriptions.joined_at.pop(channel, None)
        self._groups_of_all = None
        if not subscriptions.channels:
            del self._listeners[listener]

    def leave(self, listener: Listener) -> None:
        """Forget a connection that has ended."""
        self._listeners.pop(listener, None)
        self._groups_of_all = None

    def is_listening(self, tab: str) -> bool:
        """Whether a page has a socket."""
        return any(listener.tab == tab for listener in self._listeners)

    def sockets(self, user_name: str, *, with_tab: bool) -> frozenset[Listener]:
        """The sockets of a user, those of pages with a ``tab`` only if asked for."""
        return frozenset(
            each
            for each in self._listeners
            if each.user_name == user_name and (with_tab or not each.tab)
        )

    def reloading(self, tab: str) -> frozenset[Listener]:
        """The sockets of a page that loads again where it is told to."""
        return frozenset(
            each for each in self._listeners if tab and each.tab == tab and each.reloads
        )

    def replay(self, tab: str, since: int) -> None:
        """Tell a page once more what has happened since a change."""
        for listener, subscriptions in list(self._listeners.items()):
            if listener.tab == tab:
                for channel in self._plan.schema.channels & subscriptions.channels:
                    self.subscribe(listener, channel, since)

    def retell(self, tab: str, channel: str, items: Callable[[], Iterable[list[bytes]]]) -> None:
        """Tell a page of some items, in slices, between what was published before and all
        that is published from now on; nothing may be applied to the plan that was not.

        Args:
            items: called for each socket of the page; event values, item by item.
        """
        for listener, subscriptions in list(self._listeners.items()):
            if listener.tab == tab and channel in subscriptions.channels:
                self._flush_to(listener.send)
                collected = self._collected(listener, subscriptions)
                self._try(listener.replay, chain(collected, sliced(channel, items())))

    def _collected(self, listener: Listener, subscriptions: _Subscriptions) -> list[bytes]:
        """What waits for the end of the window, for one listener, which is not told it then."""
        own = [event for event in self._pending if event.version and event.is_for(listener)]
        frames = frames_for(own, subscriptions.channels, subscriptions.joined_at)
        if not frames:
            return []
        subscriptions.joined_at = dict.fromkeys(subscriptions.channels, self._plan.version)
        self._joined = self._plan.version
        return [frames]

    def publish(self, events: Sequence[Event]) -> None:
        """Tell the listeners: at once if nothing was told lately, else with the window."""
        self._pending += events
        self.counts.events += len(events)
        numbers = [event.seq for event in events]
        self._published = max(numbers, default=0) or self._published
        if self._pending and self._timer is None:
            self._flush()

    def ask(self) -> None:
        """Ask every listener whether what it was sent has arrived, as soon as nothing is
        collected that would come behind the question."""
        if self._pending or self._outgoing:
            self._asking = True
            return
        self._asking = False
        for listener in list(self._listeners):
            listener.ask(self._published)

    def close(self) -> None:
        """Send what is collected and stop."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._pending or self._outgoing:
            self._write()
            self._send_some()

    def _flush(self) -> None:
        self._timer = None
        if self._pending:
            paced = any(event.channel in self._paced for event in self._pending)
            self._write()
            if not paced and not self._pending:
                return
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._window, self._flush)

    def _write(self) -> None:
        events = self._next_window()
        if len(events) > CROWDED:
            events = coalesce(events)
        under_way = bool(self._outgoing)
        self._outgoing.extend(self._addressed(events))
        if not under_way:
            self._send_slices()

    def _next_window(self) -> list[Event]:
        size = 0
        for count, event in enumerate(self._pending):
            size += len(event.frame)
            if count and size > LARGEST:
                events = self._pending[:count]
                del self._pending[:count]
                return events
        events, self._pending = self._pending, []
        return events

    def _addressed(self, events: list[Event]) -> Iterator[tuple[bytes, list[Send]]]:
        """Which bytes go to whom, in slices."""
        versions = [event.version for event in events if event.version]
        if versions and min(versions) <= self._joined:
            # Somebody joined after some of the events had been collected.
            for listener, subscriptions in self._listeners.items():
                own = [event for event in events if event.is_for(listener)]
                yield (
                    frames_for(own, subscriptions.channels, subscriptions.joined_at),
                    [listener.send],
                )
            return
        # Most pages are told the same, so one buffer serves them all.
        for told, channels, senders in self._groups(events):
            if buffer := frames_for(told, channels, {}):
                for at in range(0, len(senders), SLICE):
                    yield buffer, senders[at : at + SLICE]

    def _groups(
        self, events: list[Event]
    ) -> Iterator[tuple[list[Event], frozenset[str], list[Send]]]:
        """Which events go to whom, by channels."""
        audiences = [each for event in events for each in (event.only, event.but) if each]
        if not audiences:
            if self._groups_of_all is None:
                self._groups_of_all = self._group(lambda _: ())
            for (channels, _), senders in self._groups_of_all.items():
                yield events, channels, senders
            return
        everybody = tuple([event.only is None for event in events])

        def told(listener: Listener) -> tuple[bool, ...]:
            if not any(listener in audience for audience in audiences):
                return everybody
            return tuple([event.is_for(listener) for event in events])

        for (channels, chosen), senders in self._group(told).items():
            yield list(compress(events, chosen)), channels, senders

    def _group(
        self, told: Callable[[Listener], tuple[bool, ...]]
    ) -> dict[tuple[frozenset[str], tuple[bool, ...]], list[Send]]:
        """Who listens to the same, and is told the same."""
        groups: dict[tuple[frozenset[str], tuple[bool, ...]], list[Send]] = {}
        for listener, subscriptions in self._listeners.items():
            key = (subscriptions.channels, told(listener))
            groups.setdefault(key, []).append(listener.send)
        return groups

    def _send_slices(self) -> None:
        """Send a slice; others have the loop before the next."""
        self._send_some()
        if self._outgoing:
            asyncio.get_running_loop().call_soon(self._send_slices)
        elif self._asking:
            self.ask()

    def _send_some(self) -> None:
        enough = time.perf_counter() + LONGEST
        while self._outgoing:
            buffer, senders = self._outgoing.popleft()
            self.counts.deliveries += len(senders)
            self.counts.delivered_bytes += len(senders) * len(buffer)
            for send in senders:
                try:
                    send(buffer)
                except Exception:
                    self._dismiss(send)
            if time.perf_counter() >= enough:
                return

    def _try(self, send: Callable[[T], None], frames: T) -> None:
        try:
            send(frames)
        except Exception:
            self._dismiss(send)

    def _dismiss(self, send: Callable[..., None]) -> None:
        log.exception("a listener failed, and is told no more")
        for listener in [each for each in self._listeners if send in (each.send, each.replay)]:
            self.leave(listener)

    def _flush_to(self, send: Send) -> None:
        """Send one listener at once what is on its way to it."""
        for buffer, senders in self._outgoing:
            if send in senders:
                senders.remove(send)
                self.counts.deliveries += 1
                self.counts.delivered_bytes += len(buffer)
                self._try(send, buffer)

    def _replay(
        self, channel: str, since: int, withheld: frozenset[int], reloads: bool
    ) -> Iterator[bytes] | None:
        """The frames that a page has missed, in slices; None where it has missed nothing.
        After a restart all pages ask for the same."""
        version = self._plan.version
        if version != self._replayed or len(self._replays) >= MOST_REPLAYS:
            self._replays.clear()
            self._reloads.clear()
            self._replayed = version
        key = (channel, since, withheld, reloads)
        if key not in self._replays:
            self._replays[key] = self._missed(*key)
        missed = self._replays[key]
        if not missed:
            return None
        self.counts.replays += 1
        # Every channel says it, and it is one page.
        self.counts.reloads += channel == TASK.channel and key in self._reloads
        return iter((missed,)) if isinstance(missed, bytes) else sliced(channel, missed)

    def _missed(
        self, channel: str, since: int, withheld: frozenset[int], reloads: bool
    ) -> bytes | Iterable[list[bytes]]:
        """What a page has missed, framed where it is one slice."""
        missed = self._plan.missed(channel, since, withheld, reloads)
        if missed == [[self._plan.reload_value()]]:
            self._reloads.add((channel, since, withheld, reloads))
        slices = list(islice(sliced(channel, missed), 2))
        return b"".join(slices) if len(slices) < 2 else missed


def sliced(channel: str, missed: Iterable[list[bytes]]) -> Iterator[bytes]:
    """The frames that tell what was missed, some items at a time."""
    frames: list[bytes] = []
    size = 0
    for values in missed:
        for value in values:
            frames.append(encode_event(channel, value).frame)
            size += len(frames[-1])
        if size >= REPLAYED_AT_ONCE:
            yield b"".join(frames)
            frames, size = [], 0
    if frames:
        yield b"".join(frames)


# Thousands listen to the same; one set serves them all.
@lru_cache(maxsize=256)
def _one(channels: frozenset[str]) -> frozenset[str]:
    return channels


def frames_for(
    events: list[Event], channels: frozenset[str], joined_at: Mapping[str, int]
) -> bytes:
    """The frames of those events that a listener of these channels has not joined_at."""
    return b"".join(
        [
            event.frame
            for event in events
            if event.channel in channels
            and not 0 < event.version <= joined_at.get(event.channel, 0)
        ]
    )


def coalesce(events: list[Event]) -> list[Event]:
    """Without those updates that a later update of the same item repeats.

    Only runs of plain updates are thinned: an add, a move or a delete between two of
    them may be the reason for the first.
    """
    kept: list[Event] = []
    repeated: set[int] = set()
    for event in reversed(events):
        if not event.updates:
            repeated.clear()
        elif event.updates in repeated:
            continue
        else:
            repeated.add(event.updates)
        kept.append(event)
    kept.reverse()
    return kept

"""The entities of one backend, and how they are tied to each other. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from gantt_tornado.errors import NotFound
from gantt_tornado.model.entities import ENTITIES, Entity
from gantt_tornado.model.event import EVENT


class Schema:
    """The entities of a backend: the Gantt client's, and whatever else it has."""

    __slots__ = ("channels", "entities", "pointing")

    def __init__(self, entities: Iterable[Entity] = ENTITIES.values()) -> None:
        #: By their names, in the order of load and replay.
        self.entities: Final[Mapping[str, Entity]] = {each.name: each for each in entities}
        #: The channels on which their items are told.
        self.channels: Final = frozenset(each.channel for each in self)
        #: Name of an entity → what may point to its items, and with which field.
        self.pointing: Final[Mapping[str, tuple[tuple[Entity, str], ...]]] = {
            name: tuple(
                (other, field)
                for other in self
                for field, pointed in other.references.items()
                if pointed == name
            )
            for name in self.entities
        }

    def __iter__(self) -> Iterator[Entity]:
        return iter(self.entities.values())

    def named(self, name: str) -> Entity:
        """The entity of that name.

        Raises:
            NotFound: there is none.
        """
        entity = self.entities.get(name)
        if entity is None:
            raise NotFound(f"There is nothing called {name!r} in a plan.")
        return entity

    def told_on(self, channel: str) -> tuple[Entity, ...]:
        """The entities whose items are told on a channel."""
        return tuple(each for each in self if each.channel == channel)


#: The Gantt client's entities alone.
GANTT: Final = Schema()
#: All that are the server's own, for commands beside it.
OURS: Final = Schema((*GANTT, EVENT))

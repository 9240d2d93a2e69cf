"""An application's own kinds of item, declared: they need no table and no migration. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any, Final

from pydantic import ConfigDict, TypeAdapter, with_config
from typing_extensions import TypedDict

from gantt_tornado.model.entities import ENTITIES, Date, Entity, Reference, check_names
from gantt_tornado.model.event import EVENT

#: What a family and its path may be called.
NAME: Final = re.compile("[a-z][a-z-]{0,39}")
#: The server's own addresses.
TAKEN: Final = frozenset(("data", "api", "p", "projects", "vendor"))
#: The fields that are the server's, the last of those items that stand in an order.
_OWN: Final = ("id", "sortorder", "target")


def family(
    name: str,
    fields: Mapping[str, Any],
    references: Mapping[str, str] | None = None,
    *,
    optional: Collection[str] = (),
    ordered: bool = False,
    load: bool = False,
    path: str = "",
    channel: str = "",
    word: str = "",
    defaults: Mapping[str, Any] | None = None,
) -> Entity:
    """A kind of item of an application's own, for ``Backend(families=…)``.

    It has a REST path, a channel, event types, merge, history, undo and replay as tasks have.

    Args:
        name: what it is called in the journal, at ``/data/{name}`` and in :class:`Project`'s
            methods; letters alone.
        fields: field → its type: ``Text``, ``Date``, ``Number``, ``Flag``, ``Share`` and the like
            of :mod:`gantt_tornado.model.entities`, or what pydantic understands. Other fields
            are kept as they come.
        references: field → name of the family (or ``task``, …) to whose item it points. An item
            goes when what it points to goes, and comes back with it.
        optional: those references that may point to nothing.
        ordered: whether its items stand in an order, which ``PUT /{path}/{id}/move`` changes.
        load: whether ``GET /data`` has them too.
        path: where they are served, by default its name with an ``s``.
        channel: where they are told, by default its path.
        word: what an item is called in events (``add-card``, ``{"card": …}``), by default its
            name. Two families of different names may share a word and a channel.
        defaults: field → what a new item has that came without it.

    Raises:
        ValueError: it cannot be declared so; the text says why.
    """
    path = path or f"{name}s"
    references = dict(references or {})
    own = _OWN if ordered else _OWN[:2]
    _check(name, path, fields, references, optional, own)
    kinds = {**fields, **dict.fromkeys(references, Reference)}
    declared: Any = with_config(ConfigDict(extra="allow"))(
        TypedDict(name, kinds, total=False)  # type: ignore[operator]
    )
    return Entity(
        name,
        channel or path,
        (*references, "sortorder") if ordered else tuple(references),
        TypeAdapter(declared),
        frozenset(kinds),
        references,
        {**dict.fromkeys(optional, 0), **(defaults or {})},
        ordered=ordered,
        optional=frozenset(optional),
        nullable=frozenset(optional),
        dates=tuple(field for field, kind in fields.items() if kind is Date),
        in_load=load,
        word=word or name,
        path=path,
        never_null=frozenset(),
    )


def _check(
    name: str,
    path: str,
    fields: Mapping[str, Any],
    references: Mapping[str, str],
    optional: Collection[str],
    own: Collection[str],
) -> None:
    if not NAME.fullmatch(name) or "-" in name or name in ENTITIES or name == EVENT.name:
        raise ValueError(f"no family can be called {name!r}")
    if not NAME.fullmatch(path) or path in TAKEN:
        raise ValueError(f"no family can be served at {path!r}")
    names = [*fields, *references]
    check_names(names)
    odd = [each for each in names if each in own or each[:1] in "$_!"]
    odd += fields.keys() & references.keys()
    if odd:
        raise ValueError(f"the family {name!r} cannot have a field {odd[0]!r}")
    unknown = set(optional) - references.keys()
    if unknown:
        raise ValueError(f"{min(unknown)!r} is no reference of the family {name!r}")


def check_families(families: Collection[Entity], taken: Collection[Entity]) -> None:
    """See that families can be served together, beside the server's own entities.

    Raises:
        ValueError: they cannot; the text says why.
    """
    known = {each.name for each in (*families, *taken)}
    paths = {each.path for each in taken}
    names: set[str] = set()
    for each in families:
        if each.name in names:
            raise ValueError(f"there are two families called {each.name!r}")
        if each.path in paths:
            raise ValueError(f"{each.path!r} is served already, the family {each.name!r} cannot be")
        lost = [pointed for pointed in each.references.values() if pointed not in known]
        if lost:
            raise ValueError(f"the family {each.name!r} points to {lost[0]!r}, which is none")
        names.add(each.name)
        paths.add(each.path)

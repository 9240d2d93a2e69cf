"""The tables: projects, their items, their journals, settings, and tokens.

What SQL has to find of an item lies in columns; all else that it carries, custom fields of any
JSON kind included, lies in ``fields``. The Gantt client's entities have a table each; all others
share one, so that none needs a migration.

All but the last two are keyed by the project first, and each project counts its changes, and so
the ids of its items, from 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from peewee import AutoField, BigIntegerField, CompositeKey, IntegerField, Model, TextField

from gantt_tornado.model.entities import Entity


class Project(Model):
    """A plan. Times are in milliseconds since 1970, 0 where it did not happen."""

    id = IntegerField(primary_key=True)
    #: What stands in addresses.
    name = TextField(unique=True)
    title = TextField()
    public = IntegerField()
    #: The last change when some were forgotten, so that even when all are, no number is given
    #: twice, and its mark.
    seq = BigIntegerField()
    mark = IntegerField()
    #: The last change that is forgotten, 0 for none, and its mark, at first that of the beginning.
    horizon = BigIntegerField()
    horizon_mark = IntegerField()
    #: What is folded into all of its marks.
    history = IntegerField()
    created = BigIntegerField()
    archived = BigIntegerField()
    deleted = BigIntegerField()


class Item(Model):
    """A row of a plan. ``id`` is unique across all entities of a project; ``rev`` is its last
    change, and ``mark`` the mark of that, see :mod:`gantt_tornado.model.marks`."""

    project = IntegerField()
    id = BigIntegerField()
    rev = BigIntegerField()
    mark = IntegerField()
    fields = TextField()

    class Meta:
        primary_key = CompositeKey("project", "id")


class Task(Item):
    #: 0 at the top.
    parent = BigIntegerField()
    #: The order among the children of one parent, see :mod:`gantt_tornado.model.fractional_index`.
    sortorder = TextField()


class Link(Item):
    source = BigIntegerField()
    target = BigIntegerField()


class Resource(Item):
    pass


class Assignment(Item):
    task_id = BigIntegerField()


class Baseline(Item):
    task_id = BigIntegerField()


class Entry(Item):
    """An item of an entity without a table of its own."""

    entity = TextField()
    #: Its place among all items of its entity, "" where they stand in no order.
    sortorder = TextField()

    class Meta:
        table_name = "item"


class Reference(Model):
    """To what an :class:`Entry` points, to find all that points to an item."""

    project = IntegerField()
    pointed = BigIntegerField()
    item = BigIntegerField()
    #: Of the item.
    entity = TextField()

    class Meta:
        primary_key = CompositeKey("project", "pointed", "item")


class JournalLine(Model):
    """The journal: what was changed, in the order in which it was committed."""

    project = IntegerField()
    seq = BigIntegerField()
    #: The change that was asked for: its own seq, but for what a delete took with it.
    cause_seq = BigIntegerField()
    entity = TextField()
    item_id = BigIntegerField()
    action = TextField()
    user = TextField()
    client_id = TextField()
    #: The ``_rev`` that the item had on the writer's screen, 0 where it is unknown.
    base_rev = BigIntegerField()
    #: The item's change before this one, 0 for none.
    previous = BigIntegerField()
    #: Milliseconds since 1970, UTC.
    at = BigIntegerField()
    #: The ``Idempotency-Key`` of the request that added an item, mostly empty.
    request = TextField()
    #: field → [old, new], as JSON.
    fields = TextField()
    #: field → what others had made impossible by then, as JSON, mostly empty.
    dropped = TextField()
    #: Random, see :mod:`gantt_tornado.model.marks`.
    mark = IntegerField()
    #: That of the change ``previous``, which may be forgotten by now.
    previous_mark = IntegerField()
    #: The first change of those that belong together, 0 where it is a write of its own.
    group_seq = BigIntegerField()

    class Meta:
        table_name = "change"
        primary_key = CompositeKey("project", "seq")


class Spacing(Model):
    """Keys of neighbours that were spaced anew to make room for change ``seq``."""

    project = IntegerField()
    seq = BigIntegerField()
    #: Whose items, and of tasks below which parent.
    entity = TextField()
    parent = BigIntegerField()
    #: The keys before and after, as JSON, each with those that bounded them at both ends.
    keys = TextField()

    class Meta:
        primary_key = CompositeKey("project", "seq")


class Setting(Model):
    """What of the configuration the rows depend on: ``html``, how their text is kept."""

    name = TextField(primary_key=True)
    value = TextField()


class TokenRow(Model):
    """A token that somebody signs in with. Times are milliseconds since 1970, UTC."""

    #: Given once: a number that was revoked is never another's.
    id = AutoField()
    #: SHA-256 of the token, in hex.
    digest = TextField()
    user = TextField()
    #: What people read in place of the user name, mostly empty.
    name = TextField()
    color = TextField()
    role = TextField()
    #: With commas between: ``bridge,tunnel:viewer``; empty for all.
    projects = TextField()
    created = BigIntegerField()
    #: 0 for never.
    expires = BigIntegerField()
    revoked = BigIntegerField()
    #: Grows with each change of the table, so that a server sees that there was one.
    revision = BigIntegerField()

    class Meta:
        table_name = "token"


class WebhookPosition(Model):
    """How far a webhook got in a project: all up to change ``seq`` it has had."""

    #: The digest of its URL.
    hook = TextField()
    project = IntegerField()
    seq = BigIntegerField()

    class Meta:
        table_name = "webhook"
        primary_key = CompositeKey("hook", "project")


#: The tables of those entities that have one of their own, by the entity's name.
MODELS: Final[Mapping[str, type[Item]]] = {
    "task": Task,
    "link": Link,
    "resource": Resource,
    "assignment": Assignment,
    "baseline": Baseline,
}
#: All tables that hold items.
ITEMS: Final[tuple[type[Item], ...]] = (*MODELS.values(), Entry)


def model_of(entity: Entity) -> type[Item]:
    """The table that holds an entity's items."""
    return MODELS.get(entity.name, Entry)


def columns_of(entity: Entity) -> tuple[str, ...]:
    """The fields of an entity's items that have a column."""
    if entity.name in MODELS:
        return entity.place
    return ("sortorder",) if entity.ordered else ()

"""The kinds of item in a plan: their fields, references and order. Pure.

Those of the Gantt client are in :data:`ENTITIES`, which all else is added to in a
:class:`~gantt_tornado.model.schema.Schema`. In which table an entity's items are kept,
:mod:`gantt_tornado.store.tables` says.
"""

from __future__ import annotations

import math
import re
from collections.abc import (
    Callable,
    Collection,
    Mapping,
)
from dataclasses import dataclass
from typing import Annotated, Any, Final, NamedTuple

import orjson
from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    with_config,
)

# pydantic cannot read typing's own before Python 3.12.
from typing_extensions import TypedDict

from gantt_tornado.errors import BadRequest
from gantt_tornado.model import marks, merge, protocol, text
from gantt_tornado.model.dates import SPAN, Calendar, complete, some_span
from gantt_tornado.model.encoding import encode_json
from gantt_tornado.model.text import DEEPEST
from gantt_tornado.model.values import as_json

#: The number of the project that is served at the root.
DEFAULT_PROJECT: Final = 1

State = dict[str, Any]

#: Characters of a field's name. A row's own have some ten.
LONGEST_NAME: Final = 100
#: What no name of a field may have in it: a tag, and what nobody can see.
_UNFIT: Final = re.compile(r"[<\x00-\x1f\x7f-\x9f\ud800-\udfff]")
#: The client asks each row for these of an object's own methods: a page with a row that has a
#: value in their place is blank.
_METHODS: Final = frozenset(("constructor", "hasOwnProperty", "toString", "__proto__"))
_HALF: Final = re.compile(r"[\ud800-\udfff]")


def is_word(value: object) -> bool:
    """Whether a value of JSON can spell an id. What is nested has no end that ``str`` finds."""
    return isinstance(value, str | int) and not isinstance(value, bool)


def is_name(name: object) -> bool:
    """Whether a field may be called so."""
    if type(name) is not str or len(name) > LONGEST_NAME:
        return False
    return name not in _METHODS and not _UNFIT.search(name)


def check_names(names: Collection[Any]) -> None:
    """See that fields may be called so.

    Raises:
        BadRequest: one may not; the message has its beginning.
    """
    # Mostly all are fit, so they are looked at together first.
    try:
        unfit = _UNFIT.search("".join(names)) or max(map(len, names), default=0) > LONGEST_NAME
    except TypeError:
        raise BadRequest("The name of a field is a text.") from None
    if not unfit and _METHODS.isdisjoint(names):
        return
    for name in names:
        if len(name) > LONGEST_NAME:
            raise BadRequest(f"The name of a field is too long: {name[:30]!r}….")
        if not is_name(name):
            raise BadRequest(f"No field can be called {name!r}.")


def keep(value: Any, calendar: Calendar, markup: bool, depth: int = 0) -> Any:
    """The value as it is stored: text to the letter, or as HTML that is clean.

    Raises:
        BadRequest: the value is nested deeper than anybody could mean, has a field in it
            that cannot be called so, or a text that is none.
        ValueError: it is no JSON.
    """
    kind = type(value)
    if kind is str:
        return text.clean(value) if markup else _encodable(value)
    if depth > DEEPEST:
        raise BadRequest("A field is nested too deeply.")
    if kind is dict:
        check_names(value.keys())
        return {key: keep(inner, calendar, markup, depth + 1) for key, inner in value.items()}
    if kind is list:
        return [keep(inner, calendar, markup, depth + 1) for inner in value]
    plain = as_json(value, calendar)
    return plain if type(plain) in _PLAIN else keep(plain, calendar, markup, depth)


def _named(key: str, read: Callable[..., Any], value: Any, *more: Any) -> Any:
    try:
        return read(value, *more)
    except ValueError as error:
        raise BadRequest(f"{key}: {error}") from None


def _encodable(value: str) -> str:
    # Half of a surrogate pair, which JSON cannot spell in UTF-8.
    if not value.isascii() and _HALF.search(value):
        raise BadRequest("A text has a character in it that is none.")
    return value


def _empty_is_none(value: Any) -> Any:
    return None if value == "" else value


def _text(value: Any) -> Any:
    # A number in a text column is what a spreadsheet import sends.
    if value is None:
        return ""
    return str(value) if isinstance(value, int | float) else value


def _date(value: Any, info: ValidationInfo) -> Any:
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise ValueError("a date is a text")
    assert isinstance(info.context, Calendar)
    return info.context.parse(value)


def _reference(value: Any) -> Any:
    """An id. One that is no number is a row that the client has not saved yet."""
    if value is None or value == "":
        return 0
    if isinstance(value, bool):
        raise ValueError("an id is no boolean")
    number = protocol.number(value) if isinstance(value, str) else None
    return value if number is None else number


def _number(value: float | None) -> float | None:
    if value is not None and not math.isfinite(value):
        raise ValueError("a finite number is needed")
    return value


#: It is looked at with all others, see :func:`keep`.
Text = Annotated[str, BeforeValidator(_text)]
Date = Annotated[str | None, BeforeValidator(_date)]
Reference = Annotated[int | str, BeforeValidator(_reference)]
Flag = Annotated[bool | None, BeforeValidator(_empty_is_none)]
Number = Annotated[float | None, BeforeValidator(_empty_is_none), AfterValidator(_number)]
Length = Annotated[
    float | None, Field(ge=0), BeforeValidator(_empty_is_none), AfterValidator(_number)
]
#: Pixels. A row of more would leave no room for any other.
Height = Annotated[float | None, Field(ge=0, le=1000), BeforeValidator(_empty_is_none)]
#: What the client reads as a date where it has the form of one, and draws as text elsewhere.
Note = Annotated[str | None, BeforeValidator(_empty_is_none)]
Share = Annotated[float | None, Field(ge=0, le=1), BeforeValidator(_empty_is_none)]

_OPEN = ConfigDict(extra="allow")

#: Marks of keys: "$" of what the client computes, "!" of its own notes on a row, "_" of ours.
_MARKS: Final = frozenset(("$", "_", "!"))
#: The client sends ``undefined`` with each task while it has assignments.
_NOT_KEPT: Final = frozenset(("id", "undefined"))
_NOT_KEPT_OF_ORDERED: Final = _NOT_KEPT | {"sortorder", "target"}
#: Values that hold no text.
_PLAIN: Final = frozenset((int, float, bool, type(None)))
#: What is JSON as it is, or is looked at later. A number may be none.
_SURE: Final = frozenset((str, bool, type(None), list, dict))


@with_config(_OPEN)
class TaskFields(TypedDict, total=False):
    text: Text
    start_date: Date
    end_date: Date
    duration: Length
    progress: Share
    parent: Reference
    type: Text
    open: Flag
    unscheduled: Flag
    # A value of another type blanks every page.
    deadline: Note
    row_height: Height


@with_config(_OPEN)
class LinkFields(TypedDict, total=False):
    source: Reference
    target: Reference
    type: Annotated[str, Field(pattern="^[0-3]$"), BeforeValidator(_text)]
    lag: Number


@with_config(_OPEN)
class ResourceFields(TypedDict, total=False):
    text: Text


@with_config(_OPEN)
class AssignmentFields(TypedDict, total=False):
    task_id: Reference


@with_config(_OPEN)
class BaselineFields(TypedDict, total=False):
    task_id: Reference
    start_date: Date
    end_date: Date
    duration: Length


class Patch(NamedTuple):
    """What a writer sent for one item, read and checked.

    ``rev`` is the item's ``_rev`` as the writer had it, ``mark`` its ``_mark`` where it came
    with that, and ``target`` where it dropped the row. A writer who has the whole plan as of
    change ``rev``, which need not be one of the item's, ``has_all``.
    """

    values: State
    rev: int | None = None
    target: str = ""
    mark: object = None
    has_all: bool = False


# Each is itself alone: an application may declare what looks like another's.
@dataclass(frozen=True, slots=True, eq=False)
class Entity:
    """One kind of item: how it is named on the wire, checked and tied to others."""

    name: str
    channel: str
    #: The fields that say where an item stands: what it points to, and its sort key.
    place: tuple[str, ...]
    fields: TypeAdapter[Any]
    #: The names of the fields that are no custom ones.
    declared: frozenset[str]
    #: field → entity that it points to; an item goes when what it points to goes.
    references: Mapping[str, str]
    #: What a new item has that its writer left out.
    defaults: Mapping[str, Any]
    #: Has start_date, end_date and duration.
    dated: bool = False
    #: Its items stand in an order: tasks among the children of one parent, others among all.
    ordered: bool = False
    #: Those of its references that may point to nothing, with 0.
    optional: frozenset[str] = frozenset()
    #: Those of them that are told as null then.
    nullable: frozenset[str] = frozenset()
    #: The fields that hold a date.
    dates: tuple[str, ...] = ()
    #: Whether ``GET /data`` has its items.
    in_load: bool = True
    #: What an item is called in event types, and under which key it stands there.
    word: str = ""
    #: Below which path its items are served besides, "" for none.
    path: str = ""
    #: Has start_date and end_date, and a duration that follows from neither.
    spanned: bool = False
    #: Whether its client puts off what is added by others while it adds something itself.
    put_off: bool = False
    #: The fields of which null means that they were not sent.
    never_null: frozenset[str] = merge.DATES
    #: The names of an item's revision and its mark, as its client keeps them.
    rev_key: str = "_rev"
    mark_key: str = "_mark"

    def read(self, sent: Mapping[str, Any], calendar: Calendar, markup: bool = False) -> Patch:
        """Check what a writer sent. No field is required here.

        ``markup`` tells that text is HTML, which is cleaned; else it is kept to the letter.

        Raises:
            BadRequest: a value that its field cannot hold, or a field that cannot be
                called so; the message names it.
        """
        check_names(sent.keys() - self.declared)
        own = self.own(sent)
        for key, value in own.items():
            kind = type(value)
            # The number of a row that cannot be is one of no row.
            if kind not in _SURE and not (kind is int and key in self.declared):
                own[key] = _named(key, as_json, value, calendar)
        try:
            values = self.fields.validate_python(own, context=calendar)
        except ValidationError as error:
            raise BadRequest(_first_fault(error)) from None
        values = {
            # ASCII is what most text is, and can hold nothing that is no text.
            key: value
            if type(value) in _PLAIN or (not markup and type(value) is str and value.isascii())
            else _named(key, keep, value, calendar, markup)
            for key, value in values.items()
            if value is not None or key not in self.never_null
        }
        target = _target(sent.get("target")) if self.ordered else ""
        return Patch(values, _rev(sent.get(self.rev_key)), target, sent.get(self.mark_key))

    def sound(self, state: State, calendar: Calendar) -> State:
        """A stored item without what no writer may send any more, and a page could not draw:
        the very same where there is nothing of it."""
        others = state.keys() - self.declared
        unsound = {name for name in others if not self._may_hold(name, state[name], calendar)}
        try:
            self.fields.validate_python(state, context=calendar)
        except ValidationError as error:
            faults = error.errors(include_url=False, include_context=False, include_input=False)
            unsound |= {str(fault["loc"][0]) for fault in faults if fault["loc"]}
        lost = self.dated and not state.keys() >= merge.DATES
        lost |= self.spanned and not all(state.get(name) for name in SPAN)
        if not unsound and not lost:
            return state
        left = {name: value for name, value in state.items() if name not in unsound}
        if self.dated:
            left |= _some_dates(left, calendar)
        elif self.spanned:
            left |= some_span(left, calendar)
        return {**self.defaults, **left}

    def _may_hold(self, name: str, value: Any, calendar: Calendar) -> bool:
        # The last drop of a row is kept, and told as none.
        if name in self.place or (self.ordered and name == "target"):
            return True
        if name[:1] in _MARKS or name in _NOT_KEPT:
            return False
        try:
            check_names((name,))
            keep(value, calendar, False)
        except (BadRequest, ValueError):
            return False
        return True

    def own(self, sent: Mapping[str, Any]) -> dict[str, Any]:
        """Those fields of a row on a page that are the item's."""
        dropped = _NOT_KEPT_OF_ORDERED if self.ordered else _NOT_KEPT
        return {
            key: value
            for key, value in sent.items()
            if key[:1] not in _MARKS and key not in dropped
        }

    def unpack(self, form: Mapping[str, Any]) -> dict[str, Any]:
        """The fields of a form, in which arrays and objects are JSON strings. A field that
        is a text by its nature stays one."""
        return {
            key: value if key in self.declared else _unpacked(value) for key, value in form.items()
        }

    def encode(self, id: int, rev: int, mark: int, state: State, calendar: Calendar) -> bytes:
        """The item as JSON, its text to the letter; see :meth:`.store.Store.wire`. ``mark`` is
        that of change ``rev``, as pages see it."""
        item = {"id": id, **state, self.mark_key: marks.show(mark), self.rev_key: rev}
        for name in self.dates:
            if item.get(name) is not None:
                item[name] = calendar.show(item[name])
        for name in self.nullable:
            item[name] = item[name] or None
        if self.ordered and "target" in item:
            # The client would send a finished move again with every later edit.
            item["target"] = ""
        return encode_json(item)

    # How an item is told.

    def tell(self, action: str, item: bytes) -> bytes:
        """The event value for an encoded item: ``action`` is ``add`` or ``update``."""
        return protocol.item_value(f"{action}-{self.word}", self.word, item)

    def tell_gone(self, id: int) -> list[bytes]:
        """Event values after which a client does not have an item."""
        return [protocol.deleted_value(self.word, id)]

    def tell_place(self, id: int, item: bytes, before: int | None) -> bytes:
        """The event value that puts an item before another, or behind all."""
        known = orjson.loads(item)
        moved = {"id": id, **{name: known.get(name) for name in self.references}}
        return protocol.placed_value(self.word, orjson.dumps(moved), before)


def _some_dates(state: State, calendar: Calendar) -> State:
    """The dates of an item that may have lost one, or all."""
    given = {name: state[name] for name in merge.DATES & state.keys()}
    try:
        return complete(calendar, {}, given, given.keys())
    except ValueError:
        start = given.get("start_date") or calendar.today()
        return complete(calendar, {}, {"start_date": start, "duration": 1}, merge.DATES)


def _unpacked(value: Any) -> Any:
    if not isinstance(value, str) or value[:1] not in ("[", "{"):
        return value
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError:
        return value


def _target(value: Any) -> str:
    if value is None:
        return ""
    if not is_word(value):
        raise BadRequest("target: a row is named by its id")
    return str(value)


def _rev(value: Any) -> int | None:
    # What no database can count is no revision of ours.
    if isinstance(value, str):
        return protocol.number(value)
    return value if type(value) is int and 0 <= value < 1 << 63 else None


def _first_fault(error: ValidationError) -> str:
    fault = error.errors(include_url=False, include_context=False, include_input=False)[0]
    field = str(fault["loc"][0]) if fault["loc"] else "the item"
    return f"{field}: {fault['msg'].removeprefix('Value error, ')}"


def kind_of(place: str) -> type:
    """Of what type a field is that says where an item stands."""
    return str if place == "sortorder" else int


def _entity(
    name: str,
    fields: Any,
    references: Mapping[str, str],
    defaults: Mapping[str, Any],
    **more: Any,
) -> Entity:
    place = (*references, "sortorder") if more.get("ordered") else tuple(references)
    dates = SPAN if more.get("dated") else ()
    declared = frozenset(fields.__annotations__)
    adapter = TypeAdapter(fields)
    known = (name, name + "s", place, adapter, declared, references, defaults)
    return Entity(*known, dates=dates, word=name, **more)


#: The entities of the Gantt client by their names in URLs and event types. Load and replay keep
#: this order.
ENTITIES: Final[Mapping[str, Entity]] = {
    entity.name: entity
    for entity in (
        _entity(
            "task",
            TaskFields,
            {"parent": "task"},
            {"text": "", "progress": 0, "type": "task", "parent": 0},
            dated=True,
            ordered=True,
            put_off=True,
            optional=frozenset(("parent",)),
        ),
        _entity("link", LinkFields, {"source": "task", "target": "task"}, {"type": "0"}),
        _entity("resource", ResourceFields, {}, {"text": ""}),
        _entity("assignment", AssignmentFields, {"task_id": "task"}, {}),
        _entity("baseline", BaselineFields, {"task_id": "task"}, {}, dated=True),
    )
}


TASK: Final = ENTITIES["task"]


LINK: Final = ENTITIES["link"]

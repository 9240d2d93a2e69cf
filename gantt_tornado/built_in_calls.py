"""The remote calls that every project has.

``live.presence``, ``live.here``, ``plan.history`` and ``plan.undo``. Serves
docs/protocol.md, "People and calls". Arguments come from pages, so each is looked at.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import orjson

from gantt_tornado.errors import NOT_ALLOWED, BadRequest, Forbidden
from gantt_tornado.live.presence import OPEN, SELECTED
from gantt_tornado.live.services import Caller
from gantt_tornado.model import protocol
from gantt_tornado.model.change import Author
from gantt_tornado.model.history import undone
from gantt_tornado.model.user import Role
from gantt_tornado.project import Project

#: Makes a page of the history: of an item or None, before a change or None, of so many or None.
HistoryPage = Callable[[int | None, int | None, int | None], Awaitable[bytes]]
#: What may be asked of the history.
_OF_HISTORY: Final = ("item", "before", "limit")


def add_built_in_calls(project: Project, history_page: HistoryPage) -> None:
    """Register them with a project."""
    calls: dict[str, Callable[..., Any]] = {
        "live.presence": partial(_presence, project),
        "live.here": partial(_here, project),
        "plan.history": partial(_history, history_page),
        "plan.undo": partial(_undo, project),
    }
    for name, method in calls.items():
        project.services.build_in(name, method)


def _presence(project: Project, caller: Caller, *args: Any) -> orjson.Fragment:
    """``live.presence()``: who is here, as the channel ``presence`` tells it."""
    _arguments(args, 0)
    return project.presence.answer(caller.user, project.plan.seq)


def _here(project: Project, caller: Caller, *args: Any) -> None:
    """``live.here(item, how)``: the page has an item ``"selected"`` or ``"open"``; null for
    none."""
    item, how = _arguments(args, 2)
    if how not in (None, SELECTED, OPEN):
        raise BadRequest(f"The second argument is neither {SELECTED!r} nor {OPEN!r}.")
    project.presence.here(caller.socket, _number(item, "The item") or 0, how or SELECTED)


async def _history(history_page: HistoryPage, _caller: Caller, *args: Any) -> Any:
    """``plan.history({item, before, limit})``, each as in ``GET /data/history``."""
    (asked,) = _arguments(args, 1)
    if not isinstance(asked, dict | None) or not {*(asked or {})} <= {*_OF_HISTORY}:
        raise BadRequest(f"The argument is no object of {', '.join(_OF_HISTORY)}.")
    numbers = [_number((asked or {}).get(name), name) for name in _OF_HISTORY]
    return orjson.Fragment(await history_page(*numbers))


async def _undo(project: Project, caller: Caller, *args: Any) -> dict[str, Any]:
    """``plan.undo(change)``, as ``POST /data/undo/{change}`` for editors."""
    (change,) = _arguments(args, 1)
    if not caller.user.may(Role.editor, project.name):
        raise Forbidden(NOT_ALLOWED)
    seq = _number(change, "The change")
    if seq is None:
        raise BadRequest("The change is missing.")
    return undone(await project.undo(seq, author=Author(caller.user.name, caller.client_id)))


def _arguments(args: tuple[Any, ...], most: int) -> tuple[Any, ...]:
    """The arguments of a call, None for each that is missing."""
    if len(args) > most:
        raise BadRequest(f"There are more than {most} arguments.")
    return args + (None,) * (most - len(args))


def _number(value: Any, what: str) -> int | None:
    """A number such as an id, which pages also have as text; None for none."""
    if value is None:
        return None
    number = protocol.number(str(value)) if type(value) in (int, str) else None
    if number is None:
        raise BadRequest(f"{what} is not a number.")
    return number

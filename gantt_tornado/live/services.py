"""Remote calls: what a page may call as ``remote.api.service.method()``.

Serves the handshake's ``api`` and ``data`` and the ``call`` frames of docs/protocol.md.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import orjson

from gantt_tornado.errors import NOT_ALLOWED, GanttError
from gantt_tornado.model.user import User

log = logging.getLogger(__name__)

#: Calls that one request carries out. The client sends what gathered in a tick; a script may
#: try more.
MOST_CALLS: Final = 100
#: Calls of one request, or of one frame, that are answered each, if only with a refusal. Of more
#: only those are that somebody may wait for.
MOST_ANSWERED: Final = 1000
#: Characters of an unknown method's name in the answer.
LONGEST_NAME: Final = 100

#: One result: ``{"id", "data", "error"}``.
Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes a call: a user, the page (``tab``) where it is known, and the socket, None for
    a call by POST."""

    user: User
    client_id: str = ""
    socket: object = None


class Services:
    """The methods and constants that pages can reach."""

    def __init__(self) -> None:
        self._methods: dict[str, Callable[..., Any]] = {}
        self._built_in: dict[str, Callable[..., Any]] = {}
        self._constants: dict[str, Any] = {}

    def add(self, name: str, method: Callable[..., Any]) -> None:
        """Register ``service.method``. It is called with the caller's :class:`User` and
        the arguments from the page; it may be a coroutine function. One that was called
        through a socket is cancelled when the socket closes.

        Raises:
            ValueError: the name is not of the form ``service.method``.
        """
        parts = name.split(".")
        if len(parts) != 2 or not all(part.isidentifier() for part in parts):
            raise ValueError(f"{name!r} is not of the form service.method")
        self._methods[name] = method

    def build_in(self, name: str, method: Callable[..., Any]) -> None:
        """Register a method of ours. It gets the :class:`Caller` in place of the user, and one of
        the application's of the same name wins over it."""
        self._built_in[name] = method

    def constant(self, name: str, value: Any) -> None:
        """Hand a JSON value to every page, which reads it as ``remote.data[name]``.

        Raises:
            TypeError: it is not JSON.
        """
        orjson.dumps(value)
        self._constants[name] = value

    def handshake(self, told: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The body of ``GET /api/v1``.

        Args:
            told: what a page beyond the documented snippet is told under ``data``; None for one
                that is not. It learns of the built-in methods too. A constant of the
                application's wins over what it is told under its name.
        """
        api: dict[str, dict[str, int]] = {}
        built_in = () if told is None else self._built_in
        for name in (*self._methods, *built_in):
            service, method = name.split(".")
            api.setdefault(service, {})[method] = 1
        return {"api": api, "data": {**(told or {}), **self._constants}, "websocket": True}

    async def call_all(
        self, calls: list[Any], caller: Caller, goes_on: Callable[[], bool] = lambda: True
    ) -> list[Result]:
        """The results of calls one after the other, in their order. One that fails harms no
        other; those that are left when ``goes_on`` says no are refused."""
        results: list[Result] = []
        for call in calls[:MOST_CALLS]:
            if not goes_on():
                return results + refused(calls[len(results) :], NOT_ALLOWED)
            results.append(await self.call(call, caller))
        return results + refused(calls[MOST_CALLS:], "too many calls at once")

    async def call(self, call: Any, caller: Caller) -> Result:
        """The result of one call, whatever it is."""
        if not isinstance(call, dict):
            return _failed(call, "a call is an object")
        name = call.get("name")
        args = call.get("args", [])
        method = self._method(name, caller) if isinstance(args, list) else None
        if method is None:
            called = name[:LONGEST_NAME] if isinstance(name, str) else "it has no name"
            return _failed(call, f"no such method: {called}")
        try:
            data = method(*args)
            if inspect.isawaitable(data):
                data = await data
            # Else what is no JSON, or too deep, would fail the answers to others too.
            orjson.dumps({"body": [{"data": data}]})
        except GanttError as error:
            return _failed(call, error.message)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Something that the method waited for was cancelled, not the method.
            return _failed(call, "the call failed")
        except Exception:
            log.exception("the remote call %s failed", name)
            return _failed(call, "the call failed")
        return {"id": _id(call), "data": data, "error": ""}

    def _method(self, name: Any, caller: Caller) -> Callable[..., Any] | None:
        """A method by its name, which gets who calls."""
        if not isinstance(name, str):
            return None
        if name in self._methods:
            return partial(self._methods[name], caller.user)
        return partial(self._built_in[name], caller) if name in self._built_in else None


def refused(calls: list[Any], why: str) -> list[Result]:
    """The results of calls that are not carried out. Of very many, those without an id have none:
    nobody waits for them."""
    if len(calls) > MOST_ANSWERED:
        calls = [call for call in calls if isinstance(call, dict) and _waits(call)]
    return [_failed(call, why) for call in calls]


def _waits(call: dict[str, Any]) -> bool:
    # 0 is an id too.
    return call.get("id") not in (None, "")


def _failed(call: Any, why: str) -> Result:
    return {"id": _id(call), "data": None, "error": why}


def _id(call: Any) -> str | int | float:
    # Anything nested could be too deep to be told again.
    id = call.get("id", "") if isinstance(call, dict) else ""
    return id if isinstance(id, str | int | float) else ""

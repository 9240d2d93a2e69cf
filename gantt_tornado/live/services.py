"""Remote calls: what a page may call as ``remote.api.service.method()``.

Serves the handshake's ``api`` and ``data`` and the ``call`` frames of docs/protocol.md.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import orjson

from gantt_tornado.errors import GanttError
from gantt_tornado.model.user import User

log = logging.getLogger(__name__)

#: Calls in one frame. The client sends what gathered in a tick; a script may try more.
MOST_CALLS: Final = 100
#: Calls in one frame that are answered each, if only with a refusal. A script that sends more
#: is not answered at all: to tell it half a million times would hold up everybody.
MOST_ANSWERED: Final = 1000
#: Characters of an unknown method's name in the answer.
LONGEST_NAME: Final = 100


class Services:
    """The methods and constants that pages can reach."""

    def __init__(self) -> None:
        self._methods: dict[str, Callable[..., Any]] = {}
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

    def constant(self, name: str, value: Any) -> None:
        """Hand a JSON value to every page, which reads it as ``remote.data[name]``.

        Raises:
            TypeError: it is not JSON.
        """
        orjson.dumps(value)
        self._constants[name] = value

    def handshake(self, told: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The body of ``GET /api/v1``. A constant of the application's wins over what else
        the page is told under its name."""
        api: dict[str, dict[str, int]] = {}
        for name in self._methods:
            service, method = name.split(".")
            api.setdefault(service, {})[method] = 1
        return {"api": api, "data": {**(told or {}), **self._constants}, "websocket": True}

    async def call(self, calls: list[Any], user: User) -> list[dict[str, Any]]:
        """The results of calls, in their order. A call that fails harms no other."""
        results = [await self._one(call, user) for call in calls[:MOST_CALLS]]
        return results + refused(calls[MOST_CALLS:], "too many calls at once")

    async def _one(self, call: Any, user: User) -> dict[str, Any]:
        if not isinstance(call, dict):
            return _failed(call, "a call is an object")
        name = call.get("name")
        args = call.get("args", [])
        if not isinstance(name, str) or not isinstance(args, list) or name not in self._methods:
            called = name[:LONGEST_NAME] if isinstance(name, str) else "it has no name"
            return _failed(call, f"no such method: {called}")
        method = self._methods[name]
        try:
            data = method(user, *args)
            if inspect.isawaitable(data):
                data = await data
            # Else what is no JSON, or too deep, would fail the answers to all calls of the frame.
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


def refused(calls: list[Any], why: str) -> list[dict[str, Any]]:
    """The results of calls that are not carried out."""
    return [_failed(call, why) for call in calls]


def _failed(call: Any, why: str) -> dict[str, Any]:
    return {"id": _id(call), "data": None, "error": why}


def _id(call: Any) -> str | int | float:
    # Anything nested could be too deep to be told again.
    id = call.get("id", "") if isinstance(call, dict) else ""
    return id if isinstance(id, str | int | float) else ""

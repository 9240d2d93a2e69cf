"""The errors that reach a client: a status, a code for programs, a text for people."""

from __future__ import annotations

from typing import Final, TypeGuard

#: The message of what somebody has no right to.
NOT_ALLOWED: Final = "You are not allowed to do this."


class GanttError(Exception):
    """Something the caller should be told.

    ``message`` is shown to people as it stands, so it names no file, no SQL and no
    other private detail; pass those as ``detail``, which goes to the log alone.
    ``retry_after`` is in seconds and becomes the header of that name.
    """

    status = 500
    code = "error"

    def __init__(self, message: str, *, detail: str = "", retry_after: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.detail = detail
        self.retry_after = retry_after


class BadRequest(GanttError):
    """The request cannot be read, or a value in it is not one the field can hold."""

    status = 400
    code = "bad-request"


class Forbidden(GanttError):
    """No token, a wrong one, or a role that may not do this."""

    status = 403
    code = "forbidden"


class NotFound(GanttError):
    """No such item or address. ``deleted`` is true for an item that once was."""

    status = 404
    code = "not-found"

    def __init__(self, message: str, *, deleted: bool = False) -> None:
        super().__init__(message)
        self.deleted = deleted


def is_gone(result: object) -> TypeGuard[NotFound]:
    """Whether a write failed only because its item has been deleted."""
    return isinstance(result, NotFound) and result.deleted


class Conflict(GanttError):
    """The request can be read, but a rule of the plan forbids it."""

    status = 409
    code = "conflict"


class Stale(Conflict):
    """A page cannot save from what it has of an item, and has to load the plan again."""

    code = "stale"


class TooLarge(GanttError):
    """More than ``max_body`` bytes, or more than ``max_rows_a_write`` rows."""

    status = 413
    code = "too-large"


class TooMany(GanttError):
    """Somebody asks more often, or for more, than one person may."""

    status = 429
    code = "too-many"


class Unavailable(GanttError):
    """The store cannot take the write now: full disk, locked file, shutdown."""

    status = 503
    code = "unavailable"


class Refused(Exception):
    """A JSON Web Token that is not accepted; the text says why, for the log."""


class StartError(Exception):
    """The server cannot start; the text is the one line its administrator reads."""

"""The server side of DHTMLX Gantt's Multi-User Live Updates.

What an embedding application needs is here: :class:`Backend` holds the data and
the subscriptions, :func:`routes` and :func:`make_app` put it behind HTTP.
"""

from gantt_tornado.app import make_app, routes
from gantt_tornado.auth import Role, User
from gantt_tornado.backend import Authenticate, Backend, Write
from gantt_tornado.config import Config, Token
from gantt_tornado.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    GanttError,
    NotFound,
    Stale,
    StartError,
    TooLarge,
    Unavailable,
)
from gantt_tornado.journal import Author
from gantt_tornado.journal import Committed as Change
from gantt_tornado.store import Outcome

__all__ = [
    "Authenticate",
    "Author",
    "Backend",
    "BadRequest",
    "Change",
    "Config",
    "Conflict",
    "Forbidden",
    "GanttError",
    "NotFound",
    "Outcome",
    "Role",
    "Stale",
    "StartError",
    "Token",
    "TooLarge",
    "Unavailable",
    "User",
    "Write",
    "make_app",
    "routes",
]
__version__ = "0.1.0"

"""The server side of DHTMLX Gantt's Multi-User Live Updates.

What an embedding application needs is here: :class:`Backend` holds the data and
the subscriptions, :func:`routes` and :func:`make_app` put it behind HTTP.
"""

from gantt_tornado.backend import Authenticate, Backend
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
    TooMany,
    Unavailable,
)
from gantt_tornado.model.change import Author, BatchRow, Change, WriteResult
from gantt_tornado.model.entities import Date, Entity, Number, Text
from gantt_tornado.model.family import family
from gantt_tornado.model.project_info import ProjectInfo
from gantt_tornado.model.user import Role, User
from gantt_tornado.project import Project
from gantt_tornado.web.app import make_app, routes

__all__ = [
    "Authenticate",
    "Author",
    "Backend",
    "BadRequest",
    "BatchRow",
    "Change",
    "Config",
    "Conflict",
    "Date",
    "Entity",
    "Forbidden",
    "GanttError",
    "NotFound",
    "Number",
    "Project",
    "ProjectInfo",
    "Role",
    "Stale",
    "StartError",
    "Text",
    "Token",
    "TooLarge",
    "TooMany",
    "Unavailable",
    "User",
    "WriteResult",
    "family",
    "make_app",
    "routes",
]
__version__ = "0.1.0"

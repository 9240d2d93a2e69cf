"""The server side of DHTMLX Gantt's Multi-User Live Updates.

What an embedding application needs is here: :class:`Backend` holds the data and
the subscriptions, :func:`routes` and :func:`make_app` put it behind HTTP.
"""

from gantt_tornado.app import make_app, routes
from gantt_tornado.auth import Role, User
from gantt_tornado.backend import Backend
from gantt_tornado.config import Config
from gantt_tornado.errors import GanttError

__all__ = ["Backend", "Config", "GanttError", "Role", "User", "make_app", "routes"]
__version__ = "0.1.0"

"""``GET /openapi.json``: the endpoints as OpenAPI 3.1 describes them, made from their table.

What a description cannot say, above all what happens between two people, is in docs/protocol.md.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from gantt_tornado.model.entities import ENTITIES
from gantt_tornado.model.project_info import NAME
from gantt_tornado.model.user import Role
from gantt_tornado.web.requests import JSON

_TEXT: Final = {"type": "string"}
_NUMBER: Final = {"type": "integer", "minimum": 1}
_FLAG: Final = {"type": "string", "enum": ["1"]}
#: What stands in a path.
PARAMETERS: Final[Mapping[str, Mapping[str, Any]]] = {
    "entity": {"type": "string", "enum": list(ENTITIES)},
    "id": _NUMBER,
    "seq": _NUMBER,
    "name": {"type": "string", "pattern": f"^{NAME.pattern}$"},
    "project": {"type": "string", "pattern": f"^{NAME.pattern}$"},
}
#: Arguments of the URL, by endpoint.
QUERIES: Final[Mapping[str, Mapping[str, Mapping[str, Any]]]] = {
    "GET /data": {"assignments": _FLAG, "token": _TEXT},
    "HEAD /data": {"assignments": _FLAG, "token": _TEXT},
    "GET /data/changes": {"since": _TEXT, "live": {"type": "string", "enum": ["0", "1"]}},
    "GET /data/history": {
        "item": _NUMBER,
        "before": _NUMBER,
        "limit": {"type": "integer", "minimum": 1, "maximum": 500},
        "token": _TEXT,
    },
    "POST /data": {
        "gantt_mode": {"type": "string", "enum": [f"{name}s" for name in ENTITIES]},
    },
    "GET /projects": {"deleted": _FLAG, "token": _TEXT},
    "DELETE /projects/{name}": {"name": _TEXT},
    "GET /api/v1": {"token": _TEXT, "since": _TEXT, "tab": _TEXT},
}
#: Statuses that an error may have, and what they say.
ERRORS: Final[Mapping[str, str]] = {
    "400": "It cannot be read.",
    "403": "No token, a wrong one, or a role that may not; a page of another host.",
    "404": "There is no such project, item or address.",
    "409": "A rule of the plan forbids it.",
    "413": "It is too large.",
    "429": "It comes too fast; Retry-After says when to try again.",
    "503": "The store cannot take it now; Retry-After says when to try again.",
}


class Described(Protocol):
    """What is read of an endpoint."""

    @property
    def name(self) -> str: ...
    @property
    def verb(self) -> str: ...
    @property
    def path(self) -> str: ...
    @property
    def role(self) -> Role: ...
    @property
    def run(self) -> Callable[..., Any]: ...
    @property
    def body(self) -> int: ...
    @property
    def of_server(self) -> bool: ...
    @property
    def is_open(self) -> bool: ...
    @property
    def is_remote(self) -> bool: ...


def document(table: Iterable[Described], version: str) -> dict[str, Any]:
    """The description of a table of endpoints."""
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in table:
        places = (
            [endpoint.path]
            if endpoint.of_server
            else [endpoint.path, f"/p/{{project}}{endpoint.path}"]
        )
        for path in places:
            paths.setdefault(path, {})[endpoint.verb.lower()] = _operation(endpoint, path)
    error = {
        "type": "object",
        "required": ["action", "code", "message"],
        "properties": {
            "action": {"const": "error"},
            "code": _TEXT,
            "message": _TEXT,
            "request": _TEXT,
            "reload": {"type": "boolean"},
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "gantt-tornado", "version": version},
        "paths": paths,
        "components": {
            "schemas": {"Error": error},
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "Remote-Token"},
            },
        },
    }


def _operation(endpoint: Described, path: str) -> dict[str, Any]:
    said = inspect.getdoc(endpoint.run) or ""
    operation: dict[str, Any] = {
        "summary": said.split("\n\n")[0].replace("\n", " "),
        "description": f"Needs the role {endpoint.role.name}." if not endpoint.is_open else "",
        "parameters": [*_in_path(path), *_in_query(endpoint)],
        "responses": _responses(endpoint),
        "security": [] if endpoint.is_open else [{"token": []}, {}],
    }
    if endpoint.body:
        shape = "array" if endpoint.is_remote else "object"
        content = {"application/json": {"schema": {"type": shape}}}
        operation["requestBody"] = {"content": content, "required": True}
    return operation


def _in_path(path: str) -> list[dict[str, Any]]:
    names = re.findall(r"\{(\w+)\}", path)
    return [
        {"name": name, "in": "path", "required": True, "schema": PARAMETERS[name]} for name in names
    ]


def _in_query(endpoint: Described) -> list[dict[str, Any]]:
    queries = QUERIES.get(endpoint.name, {})
    return [{"name": name, "in": "query", "schema": schema} for name, schema in queries.items()]


def _responses(endpoint: Described) -> dict[str, Any]:
    done = "201" if endpoint.name == "POST /projects" else "200"
    found: dict[str, Any] = {done: {"description": "It is done."}}
    if endpoint.path == "/data" and endpoint.verb in ("GET", "HEAD"):
        found["304"] = {"description": "The page has it."}
    for status, description in ERRORS.items():
        schema: dict[str, Any] = {"$ref": "#/components/schemas/Error"}
        if endpoint.is_remote and status == "403":
            schema = {"const": {"error": "Forbidden"}}
        elif endpoint.is_remote and endpoint.verb == "POST":
            # Of calls each has its own error, as the client wants it.
            schema = {"type": "array"}
        found[status] = {"description": description, "content": {JSON: {"schema": schema}}}
        if endpoint.verb == "HEAD":
            del found[status]["content"]
    return found

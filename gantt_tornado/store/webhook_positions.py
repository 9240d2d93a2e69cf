"""How far each webhook got in each project. Runs on the writer's thread, in its transactions.

A position stands in the database whose journal it is of, so a restored backup brings both back
together.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gantt_tornado.store.database import Compile, Connection, param, params
from gantt_tornado.store.journal import Journal
from gantt_tornado.store.tables import Project, WebhookPosition


class _Statements:
    """The SQL of the positions."""

    def __init__(self, compile: Compile) -> None:
        self.projects = compile(
            Project.select(Project.id, Project.name, Project.deleted).where(Project.created != 0)
        )
        self.all = compile(
            WebhookPosition.select(
                WebhookPosition.hook, WebhookPosition.project, WebhookPosition.seq
            )
        )
        columns = params(*WebhookPosition._meta.sorted_fields)
        self.note = compile(WebhookPosition.insert(columns).on_conflict_replace())
        self.forget = compile(
            WebhookPosition.delete().where(
                WebhookPosition.hook == param("hook"), WebhookPosition.project == param("project")
            )
        )


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a hook got in a project: ``seq`` of the changes up to ``last``."""

    project: int
    name: str
    seq: int
    last: int
    deleted: bool


class WebhookPositions:
    """The positions of the hooks, by their keys."""

    def __init__(self, database: Connection) -> None:
        self._database = database
        self._execute = database.execute
        self._sql = database.prepared(_Statements)

    def start(self, hooks: Mapping[str, Callable[[str], bool]]) -> dict[str, list[Reached]]:
        """Where each hook goes on, project by project.

        One that is new, or hears of a project for the first time, begins with what comes from
        now on. What is not heard of any more is forgotten.

        Args:
            hooks: by key, whether one hears of the project of a name.
        """
        rows = self._execute(self._sql.projects).fetchall()
        known = {(hook, id): seq for hook, id, seq in self._execute(self._sql.all).fetchall()}
        reached: dict[str, list[Reached]] = {hook: [] for hook in hooks}
        for hook, hears_of in hooks.items():
            for id, name, deleted in rows:
                if hears_of(name):
                    last = Journal(self._database, id).seq()
                    seq = known.pop((hook, id), None)
                    if seq is None:
                        self.note(hook, {id: last})
                    at = last if seq is None else seq
                    reached[hook].append(Reached(id, name, at, last, bool(deleted)))
        for hook, id in known:
            self._execute(self._sql.forget, {"hook": hook, "project": id})
        return reached

    def add(self, hooks: Mapping[str, Callable[[str], bool]], project: int, name: str) -> int:
        """Note that there is a project more: all that is committed in it from now on is to be
        sent. Returns its last change."""
        seq = Journal(self._database, project).seq()
        for hook, hears_of in hooks.items():
            if hears_of(name):
                self.note(hook, {project: seq})
        return seq

    def note(self, hook: str, positions: Mapping[int, int]) -> None:
        """Note how far a hook got: project → change."""
        for project, seq in positions.items():
            self._execute(self._sql.note, {"hook": hook, "project": project, "seq": seq})

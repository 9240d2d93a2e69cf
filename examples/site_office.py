"""All that an application can ask of a plan, in one small program: the office of a building site.

    python examples/site_office.py --port 8890

It fills an empty plan, keeps a rule, tells whoever looks, and serves it with tokens of its own.
"""

import argparse
import asyncio
import logging
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from tornado import web

from gantt_tornado import (
    Authenticate,
    Author,
    Backend,
    BadRequest,
    BatchRow,
    Change,
    Config,
    Conflict,
    Forbidden,
    GanttError,
    NotFound,
    Project,
    ProjectInfo,
    Role,
    Stale,
    StartError,
    Token,
    TooLarge,
    TooMany,
    Unavailable,
    User,
    WriteResult,
    make_app,
    routes,
)

log = logging.getLogger(__name__)

#: In whose name this program writes.
OFFICE = Author("office")
#: Days that nobody works: what begins on one is put off to the next Monday.
WEEKEND = (5, 6)


def sign_in(names: dict[str, Role]) -> Authenticate:
    """Lets in whoever says a known name in the header ``X-Name``; yours will ask for more."""

    async def who(handler: web.RequestHandler) -> User | None:
        name = handler.request.headers.get("X-Name", "")
        return User(name, names[name]) if name in names else None

    return who


async def fill(plan: Project) -> int:
    """A phase with three tasks, one after the other; returns the phase's id."""
    start = date.today()
    phase = await plan.insert(
        "task",
        {"text": "Shell", "type": "project", "start_date": start, "duration": 1},
        author=OFFICE,
        request="shell",
    )
    fields = {"parent": phase.id, "start_date": start, "cost": Decimal("1250.50")}
    ids = [
        (await plan.insert("task", {"text": text, **fields, "duration": 2}, author=OFFICE)).id
        for text in ("Roof", "Dig", "Walls")
    ]
    roof, dig, walls = ids
    await plan.move(dig, before=roof, author=OFFICE)
    await plan.move(walls, after=dig, before=roof, author=OFFICE)
    links = [
        BatchRow("inserted", "a", {"source": dig, "target": walls, "type": "0"}),
        BatchRow("inserted", "b", {"source": walls, "target": roof, "type": "0"}),
    ]
    for result in await plan.batch("link", links, author=OFFICE):
        if isinstance(result, GanttError):
            log.warning("a link was refused: %s", result.message)
    return phase.id


async def tidy(plan: Project, id: int) -> str:
    """Delete a task and think better of it; what happened, for the log."""
    try:
        outcome: WriteResult = await plan.delete("task", id, author=OFFICE)
        for change in outcome.changes[-1:]:
            outcome = await plan.undo(change.cause_seq, author=OFFICE)
        text = plan.item("task", id)["text"]
        return f"{text} is back with {len(outcome.changes)} changes"
    except Stale as error:
        return f"what the office knows of it is too old: {error.message}"
    except (NotFound, Conflict) as error:
        return f"somebody was there before: {error.message}"
    except (BadRequest, TooLarge, Forbidden) as error:
        return f"the office has asked for nonsense: {error.status} {error.code}"
    except (Unavailable, TooMany) as error:
        return f"again in {error.retry_after} s: {error.message}"


class Rules:
    """Hears of every change, and puts off what begins on a weekend."""

    def __init__(self, plan: Project) -> None:
        self._plan = plan
        self.heard = 0

    def count(self, change: Change) -> None:
        """Has run before the write returns, so it must be quick."""
        self.heard = change.seq
        self._plan.publish("office", {"type": "custom-heard", "by": change.author.user})

    async def keep(self, change: Change) -> None:
        """May take its time: no write waits for it."""
        if change.entity.name != "task" or "start_date" not in change.fields:
            return
        start = date.fromisoformat(str(change.fields["start_date"][1])[:10])
        if start.weekday() in WEEKEND:
            monday = start + timedelta(days=7 - start.weekday())
            await self._plan.update("task", change.id, {"start_date": monday}, author=OFFICE)


def serve(plan: Project) -> None:
    """What the page calls as ``remote.api.office.…`` and reads as ``remote.data.site``."""

    def summary(user: User) -> dict[str, Any]:
        people = plan.presence.shown_to(user)["count"]
        return {"for": user.name, "tasks": len(plan.load()["tasks"]), "people": people}

    async def history(_user: User, item: int) -> list[str]:
        changes = await plan.history(item=item, limit=10)
        return [f"{change.author.user}: {change.action}" for change in changes]

    plan.services.add("office.summary", summary)
    plan.services.add("office.history", history)
    plan.services.constant("site", "Elm Street 4")
    # What is told of the workers' pay is for the foremen.
    plan.guard("payroll", lambda user: user.may(Role.editor, plan.name))


async def keep_a_copy(backend: Backend, name: str) -> list[str]:
    """Keep the plan as it is, in a project that nobody changes. Returns all projects' names."""
    await backend.create_project(name, "As it was handed over", copy_of="default")
    copy: ProjectInfo = await backend.change_project(name, archived=True)
    log.info("%s has %d tasks", copy.title, copy.tasks)
    return [each.name for each in await backend.projects()]


async def tidy_copy(backend: Backend, name: str) -> int:
    """Delete a copy and think better of it. Returns how many tasks it has."""
    await backend.delete_project(name)
    await backend.restore_project(name)
    async with backend.project(name) as plan:
        return len(plan.load()["tasks"])


def off_work(backend: Backend, name: str) -> int:
    """Somebody has left: their pages are closed. Returns how many there were."""
    return backend.sign_out(name)


def application(backend: Backend) -> web.Application:
    """The plan below /plan without the demo page, for a page of your own."""
    return web.Application([*routes(backend, prefix="/plan", page=False, client=True)])


async def main(port: int, database: Path) -> None:
    config = Config(
        database=f"sqlite:///{database}", tokens=(Token(token="elm-street", user="foreman"),)
    )
    async with Backend(config) as backend:
        plan = backend.default
        rules = Rules(plan)
        end = plan.on_change(rules.count)
        plan.on_change(rules.keep)
        serve(plan)
        if not plan.load()["tasks"]:
            print(await tidy(plan, await fill(plan)))
            print(await keep_a_copy(backend, "handover"), await tidy_copy(backend, "handover"))
        server = make_app(backend).listen(port, "127.0.0.1")
        try:
            await asyncio.Event().wait()
        finally:
            server.stop()
            end()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8890)
    parser.add_argument("--database", type=Path, default=Path("site_office.db"))
    options = parser.parse_args()
    try:
        asyncio.run(main(options.port, options.database))
    except StartError as error:
        raise SystemExit(str(error)) from None

"""A Kanban board beside a plan: four families of an application's own, without a migration.

    python examples/kanban.py --port 8891

Its client cannot be had from the registry; it speaks what docs/protocol.md says under "Families
of your own", with `new RestDataProvider("")` and `new RemoteEvents("/api/v1", token)`.
"""

import argparse
import asyncio
from pathlib import Path

from gantt_tornado import Backend, Config, Date, Entity, Number, Text, family, make_app

FAMILIES: tuple[Entity, ...] = (
    family("column", {"label": Text}, ordered=True),
    family("row", {"label": Text}, ordered=True),
    family(
        "card",
        {"label": Text, "start_date": Date, "end_date": Date, "progress": Number},
        {"column": "column", "row": "row"},
        optional=("row",),
        ordered=True,
        defaults={"label": ""},
    ),
    # The Gantt client's own links are called so: a board with links has a project of its own.
    family(
        "cardlink",
        {"relation": Text},
        {"source": "card", "target": "card"},
        path="links",
        word="link",
    ),
)


async def main(port: int, database: Path) -> None:
    config = Config(database=f"sqlite:///{database}")
    async with Backend(config, families=FAMILIES) as backend:
        if "board" not in [each.name for each in await backend.projects()]:
            board = backend.project((await backend.create_project("board", "The board")).name)
            todo = await board.insert("column", {"label": "To do"})
            await board.insert("column", {"label": "Done"})
            await board.insert("card", {"label": "Order the windows", "column": todo.id})
        server = make_app(backend).listen(port, "127.0.0.1")
        print(f"the board's cards are at http://127.0.0.1:{port}/p/board/cards")
        try:
            await asyncio.Event().wait()
        finally:
            server.stop()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8891)
    parser.add_argument("--database", type=Path, default=Path("kanban.db"))
    options = parser.parse_args()
    asyncio.run(main(options.port, options.database))

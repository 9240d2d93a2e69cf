"""What we are compared with: ``python -m bench.peers bare`` or ``naive``.

``bare`` is a Tornado handler that answers a PUT and keeps nothing. ``naive`` is the
broadcast that one writes first: a dict, given to every client's ``write_message``.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any, ClassVar, Final

from tornado import escape, httpserver, netutil, web, websocket

from bench import task


class Bare(web.RequestHandler):
    def put(self, id: str) -> None:
        self.write({"action": "updated", "tid": int(id)})


class Naive(websocket.WebSocketHandler):
    clients: ClassVar[set[Naive]] = set()

    def open(self) -> None:
        self.clients.add(self)

    def on_message(self, message: str | bytes) -> None:
        if "call" in message:
            self.write_message({"action": "result", "body": []})

    def on_close(self) -> None:
        self.clients.discard(self)

    def check_origin(self, origin: str) -> bool:
        return True


class NaiveGo(web.RequestHandler):
    """``POST /go?by=naive&events=N``: tell every client of N updates, each in a write of its
    own. ``by=nobody`` tells none, as with :mod:`bench.hub`."""

    async def post(self) -> None:
        events = int(self.get_argument("events"))
        message = event(0)
        for number in range(events if self.get_argument("by") == "naive" else 0):
            message = event(number)
            for client in Naive.clients:
                client.write_message(message)
            await asyncio.sleep(0)
        # Its frames have a head of four bytes.
        self.finish({"bytes": events * (4 + len(escape.json_encode(message)))})


def event(number: int) -> dict[str, Any]:
    item = task.item(task.FIRST + number)
    value = {"type": "update-task", "task": item, "event": item}
    return {"action": "event", "body": {"name": "tasks", "value": value}}


RULES: Final[dict[str, list[Any]]] = {
    "bare": [(r"/data/task/([0-9]+)", Bare)],
    "naive": [("/api/v1", Naive), ("/go", NaiveGo)],
}


async def serve(rules: list[Any]) -> None:
    """Serve on a free port until the process is ended."""
    sockets = netutil.bind_sockets(0, "127.0.0.1", backlog=1024)
    httpserver.HTTPServer(web.Application(rules)).add_sockets(sockets)
    print(f"serving http://127.0.0.1:{sockets[0].getsockname()[1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(serve(RULES[sys.argv[1]]))

"""Our hub with its real sockets, told to go: ``python -m bench.hub DIRECTORY``.

``POST /go?by=hub&events=N&batch=B`` publishes N updates, B in each write. With ``by=c``
the loop in C makes the same deliveries to the same sockets, with ``by=python`` a loop of
``socket.send``. ``by=nobody`` makes the updates, so that they are there when it counts.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from typing import Any

import orjson
from tornado import httpserver, netutil, web

from bench import floor, task
from gantt_tornado import Backend, Config, make_app
from gantt_tornado.live.hub import Event, Hub, encode_event
from gantt_tornado.model.protocol import item_value


class Go(web.RequestHandler):
    def initialize(self, backend: Backend, c: Any, made: list[Event]) -> None:
        self.backend, self.c, self.made = backend, c, made

    async def post(self) -> None:
        events, by = int(self.get_argument("events")), self.get_argument("by")
        self.made += map(event, range(len(self.made), events))
        sockets = [
            connection.ws_connection.stream.socket  # type: ignore[attr-defined]
            for connection in self.backend.default.connections
        ]
        frame = self.made[0].frame
        if by == "c":
            floor.deliver(self.c, [sock.fileno() for sock in sockets], frame, events)
        elif by == "python":
            floor.deliver_in_python(sockets, frame, events)
        elif by == "hub":
            await self._publish(events, int(self.get_argument("batch")))
        self.finish({"bytes": events * len(frame)})

    async def _publish(self, events: int, batch: int) -> None:
        hub = self.backend.default.hub
        for first in range(0, events, batch):
            hub.publish(self.made[first : first + batch])
            # The window is 0, so what was published is written in the loop's next turn.
            await asyncio.sleep(0)


def event(number: int) -> Event:
    """An update as the backend makes it from an item that is encoded once."""
    id = task.FIRST + number
    value = item_value("update-task", "task", orjson.dumps(task.item(id)))
    return encode_event("tasks", value, id, id)


async def serve(directory: str) -> None:
    """Serve on a free port until the process is ended."""
    backend = Backend(Config(database=f"sqlite:///{directory}/hub.db"))
    await backend.start()
    backend.default.hub = Hub(backend.default.plan, window=0)
    app = make_app(backend)
    app.add_handlers(
        ".*", [("/go", Go, {"backend": backend, "c": floor.load(directory), "made": []})]
    )
    sockets = netutil.bind_sockets(0, "127.0.0.1", backlog=1024)
    httpserver.HTTPServer(app).add_sockets(sockets)
    print(f"serving http://127.0.0.1:{sockets[0].getsockname()[1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    asyncio.run(serve(sys.argv[1]))

"""The client's documentation as it stands, in eighty lines; docs/conformance.md says what it lacks.

python examples/naive.py 8890
"""

import asyncio
import itertools
import json
import sys

from tornado import web, websocket

ITEMS: dict[str, dict[str, dict[str, object]]] = {"task": {}, "link": {}}
LISTENERS: "dict[Live, set[str]]" = {}
IDS = itertools.count(1)


def publish(entity: str, action: str, item: dict[str, object]) -> None:
    name, value = f"{entity}s", {"type": f"{action}-{entity}", "event": item}
    for listener, channels in LISTENERS.items():
        if name in channels:
            listener.write_message({"action": "event", "body": {"name": name, "value": value}})


class Live(websocket.WebSocketHandler):
    async def get(self, *args: str, **kwargs: str) -> None:
        if (self.request.headers.get("Remote-Token") or self.get_argument("token", "")) != "token":
            self.set_status(403)
            self.finish('{"error":"Forbidden"}')
        elif "Upgrade" not in self.request.headers:
            self.finish('{"api":{},"data":{},"websocket":true}')
        else:
            await super().get(*args, **kwargs)

    def open(self, *args: str, **kwargs: str) -> None:
        LISTENERS[self] = set()
        self.write_message({"action": "start", "body": str(id(self))})

    def on_message(self, message: str | bytes) -> None:
        frame = json.loads(message)
        joins = {"subscribe": LISTENERS[self].add, "unsubscribe": LISTENERS[self].discard}
        joins[frame["action"]](frame["name"])

    def on_close(self) -> None:
        LISTENERS.pop(self, None)


class Data(web.RequestHandler):
    def prepare(self) -> None:
        if self.request.headers.get("Remote-Token") != "token" and self.request.method != "GET":
            raise web.HTTPError(403)

    def get(self, *_: str) -> None:
        self.finish({f"{entity}s": list(items.values()) for entity, items in ITEMS.items()})

    def post(self, entity: str, _: object = "") -> None:
        self.save(entity, str(next(IDS)), "add", "inserted")

    def put(self, entity: str, id: str) -> None:
        self.save(entity, id, "update", "updated")

    def delete(self, entity: str, id: str) -> None:
        del ITEMS[entity][id]
        publish(entity, "delete", {"id": id})
        self.finish({"action": "deleted"})

    def save(self, entity: str, id: str, action: str, done: str) -> None:
        item = ITEMS[entity][id] = json.loads(self.request.body) | {"id": id}
        publish(entity, action, item)
        self.finish({"action": done, "tid": id})


async def main(port: int) -> None:
    app.listen(port, "127.0.0.1")
    await asyncio.Event().wait()


app = web.Application([("/api/v1", Live), ("/data", Data), (r"/data/(\w+)(?:/(\w+))?", Data)])
if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))

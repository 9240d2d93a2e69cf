"""Our server with a watch on its loop, its writer and its memory: ``python -m bench.watched
DATABASE``. ``GET /watched`` answers what was seen since it was last asked."""

from __future__ import annotations

import asyncio
import gc
import re
import sys
from asyncio import events
from pathlib import Path
from time import thread_time
from typing import Any, ClassVar

import orjson
from tornado import web

from gantt_tornado import Backend, Config, routes
from gantt_tornado.store.writer import Writer


class Watch:
    """The longest callback of the loop and the longest batch of the writer, in seconds of
    processor time, and the most memory, in bytes."""

    def __init__(self) -> None:
        self.loop = self.writer = 0.0
        self._watch(events.Handle, "_run", "loop")
        self._watch(Writer, "_run", "writer")

    def _watch(self, owner: Any, name: str, kept: str) -> None:
        run = getattr(owner, name)

        def timed(*args: Any) -> Any:
            start = thread_time()
            try:
                return run(*args)
            finally:
                setattr(self, kept, max(getattr(self, kept), thread_time() - start))

        setattr(owner, name, timed)

    def seen(self) -> dict[str, float]:
        status = Path("/proc/self/status").read_text()
        found = re.search(r"VmHWM:\s*(\d+)", status)
        assert found is not None
        seen = {"loop": self.loop, "writer": self.writer, "peak": int(found[1]) << 10}
        self.loop = self.writer = 0.0
        # The highest mark of the memory begins anew.
        Path("/proc/self/clear_refs").write_text("5")
        return seen


class Watched(web.RequestHandler):
    watch: ClassVar[Watch]

    def get(self) -> None:
        self.finish(orjson.dumps(self.watch.seen()))


async def main(database: str) -> None:
    Watched.watch = Watch()
    backend = Backend(Config(database=f"sqlite:///{database}", demo=False, log_level="error"))
    await backend.start()
    # As the command does.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)
    app = web.Application([("/watched", Watched), *routes(backend)], log_function=lambda _: None)
    server = app.listen(0, "127.0.0.1")
    (socket,) = server._sockets.values()
    print(f"http://127.0.0.1:{socket.getsockname()[1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))

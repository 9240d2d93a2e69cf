"""A bad line between a tab and the server: it delays, holds back, or is cut."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

T = TypeVar("T")


class Line:
    """A TCP proxy in front of ``port``, on a thread of its own.

    Args:
        delay: seconds that each byte takes, in each direction.
        jitter: seconds more that it may take, drawn for each piece of each connection, so that
            what comes on two connections changes places.
        seed: of that.
    """

    def __init__(self, port: int, delay: float = 0, jitter: float = 0, seed: int = 0) -> None:
        self._to = port
        self._delay = delay
        self._jitter = jitter
        self._random = random.Random(seed)
        self._cut = False
        self._writers: dict[asyncio.StreamWriter, bool] = {}  # → whether it is a WebSocket's
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._flows = self._run(self._make_event())
        self._server = self._run(asyncio.start_server(self._accept, "127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    def hold(self) -> None:
        """Let nothing of the server's WebSockets through until :meth:`release`."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def release(self) -> None:
        self._loop.call_soon_threadsafe(self._flows.set)

    def cut(self, sockets_only: bool = False) -> None:
        """Cut what is open, and all that is opened until :meth:`mend`."""
        self._run(self._cut_all(sockets_only))

    def mend(self) -> None:
        self._cut = False

    def close(self) -> None:
        self.cut()
        self.release()
        self._run(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    # On the thread from here on.

    async def _make_event(self) -> asyncio.Event:
        flows = asyncio.Event()
        flows.set()
        return flows

    async def _end(self) -> None:
        self._server.close()
        # With their connections cut, they end by themselves, some by saying that they were.
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _cut_all(self, sockets_only: bool) -> None:
        self._cut = True
        self._sockets_only = sockets_only
        for writer, is_socket in list(self._writers.items()):
            if is_socket or not sockets_only:
                writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Browsers open connections that they do not use yet: look at the first request.
        self._writers[writer] = False
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            is_socket = b"upgrade: websocket" in head.lower()
            if self._cut and (is_socket or not self._sockets_only):
                writer.transport.abort()
                return
            self._writers[writer] = is_socket
            upstream, upwriter = await asyncio.open_connection("127.0.0.1", self._to)
            self._writers[upwriter] = is_socket
            await asyncio.gather(
                self._flow(reader, upwriter, head),
                self._flow(upstream, writer, held=is_socket),
            )
        writer.transport.abort()
        self._writers.pop(writer, None)

    def _due(self) -> float:
        return self._loop.time() + self._delay + self._random.uniform(0, self._jitter)

    async def _flow(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        head: bytes = b"",
        held: bool = False,
    ) -> None:
        underway: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

        async def arrive() -> None:
            due, data = 0.0, b"begin"
            while data:
                due, data = await underway.get()
                await asyncio.sleep(due - self._loop.time())
                if held:
                    await self._flows.wait()
                if not writer.is_closing():
                    writer.write(data)
            writer.close()

        arriving = asyncio.create_task(arrive())
        data = head
        try:
            while data or not reader.at_eof():
                if data:
                    underway.put_nowait((self._due(), data))
                data = await reader.read(65536)
        finally:
            underway.put_nowait((self._due(), b""))
            await arriving
            self._writers.pop(writer, None)


@contextlib.contextmanager
def random_lines(port: int, count: int, chance: random.Random, seed: int) -> Iterator[list[Line]]:
    """Lines that each take 10 to 120 ms, drawn by chance, with as much jitter."""
    delays = [chance.uniform(0.01, 0.12) for _ in range(count)]
    lines = [Line(port, each, each, seed + number) for number, each in enumerate(delays)]
    try:
        yield lines
    finally:
        for line in lines:
            line.close()

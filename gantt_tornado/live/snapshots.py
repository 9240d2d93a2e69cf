"""The answer to ``GET /data``, compressed once for all who ask for the same state.

It lives on the loop; the compression runs on a thread, which leaves the loop alone.
"""

from __future__ import annotations

import asyncio
import zlib
from typing import Final

from gantt_tornado.live.plan import Plan

#: Bytes from which on compression is worth its time.
WORTHWHILE: Final = 16 << 10
#: A plan shrinks to a tenth at the quickest level; the best takes six times as long.
LEVEL: Final = 1
#: zlib's way to ask for gzip's header and trailer.
_GZIP: Final = zlib.MAX_WBITS | 16


class Snapshots:
    """The last compressed loads of a plan: one with assignments, one without."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._bodies: dict[bool, tuple[int, asyncio.Future[bytes]]] = {}

    async def compressed(self, assignments: bool = True) -> bytes:
        """The load as it is now, as gzip."""
        seq = self._plan.seq
        if assignments not in self._bodies or self._bodies[assignments][0] != seq:
            loop = asyncio.get_running_loop()
            packing = loop.run_in_executor(None, compress, self._plan.load(assignments))
            self._bodies[assignments] = seq, packing
        # Others wait for it too; one who hangs up must not cancel it.
        return await asyncio.shield(self._bodies[assignments][1])


def compress(chunks: list[bytes]) -> bytes:
    packer = zlib.compressobj(LEVEL, wbits=_GZIP)
    packed = [packer.compress(chunk) for chunk in chunks]
    return b"".join([*packed, packer.flush()])

"""The least that a delivery can cost: a loop of sends in C, compiled when it is measured
with, and the same in Python.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

SOURCE = Path(__file__).with_name("floor.c")


def compiler() -> str | None:
    return shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")


def load(directory: str) -> ctypes.CDLL | None:
    """Compile it into a directory; None where there is no compiler."""
    cc = compiler()
    if cc is None:
        return None
    library = Path(directory, "floor.so")
    if not library.exists():
        subprocess.run([cc, "-O2", "-shared", "-fPIC", "-o", library, SOURCE], check=True)
    return ctypes.CDLL(str(library))


def deliver(library: ctypes.CDLL, sockets: Sequence[int], frame: bytes, events: int) -> None:
    """Send ``frame`` to each socket, ``events`` times over."""
    numbers = (ctypes.c_int * len(sockets))(*sockets)
    error = library.deliver(numbers, len(sockets), frame, len(frame), events)
    if error:
        raise OSError(error, os.strerror(error))


def deliver_in_python(sockets: Sequence[socket.socket], frame: bytes, events: int) -> None:
    """The same with Python's ``socket.send``, and nothing around it."""
    sends = [sock.send for sock in sockets]
    for _ in range(events):
        for index, send in enumerate(sends):
            try:
                sent = send(frame)
            except BlockingIOError:
                sent = 0
            while sent < len(frame):
                select.select([], [sockets[index]], [])
                sent += send(frame[sent:])

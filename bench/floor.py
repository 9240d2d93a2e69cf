"""The loop in C, compiled when it is measured with."""

from __future__ import annotations

import ctypes
import os
import shutil
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

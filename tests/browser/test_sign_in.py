"""Signing in on the project's page: with a token, where nobody may read without one."""

from __future__ import annotations

import time
from typing import Any

import pytest

from gantt_tornado.config import sha256_of
from gantt_tornado.store.database import Database
from gantt_tornado.store.tokens import StoredTokens

from .tabs import FAILED_REQUEST

EVE = {"token": "eves", "user": "eve", "name": "Eve Lee", "role": "editor"}
VERA = {"token": "veras", "user": "vera", "role": "viewer"}
PRODUCTION = {"tokens": [EVE, VERA], "anonymous": ""}


def sign_in(tab: Any, token: str) -> None:
    tab.page.locator("#sign-in").wait_for()
    tab.page.locator("#token").fill(token)
    tab.page.keyboard.press("Enter")


def who(tab: Any) -> str:
    tab.page.locator("#who").wait_for(state="attached")
    tab.until("!document.getElementById('who').hidden")
    return str(tab.run("document.getElementById('who-name').textContent"))


@pytest.fixture
def strangers(server, open_tabs):
    """Two tabs of people who have not signed in."""
    tabs = open_tabs(server.url, server.url, waits=False)
    for tab in tabs:
        tab.excuse(FAILED_REQUEST)
    return tabs


@pytest.mark.parametrize("settings", [PRODUCTION])
def test_two_people_sign_in_and_see_each_others_work(server, strangers):
    one, two = strangers
    for tab in strangers:
        sign_in(tab, "eves")
        tab.ready()
    assert [who(tab) for tab in strangers] == ["Eve Lee", "Eve Lee"]
    one.edit("10", text="Ours")
    two.shows("10", "Ours")


@pytest.mark.parametrize("settings", [PRODUCTION])
def test_a_wrong_token_is_told_and_asked_for_again(strangers):
    tab, _ = strangers
    sign_in(tab, "wrong")
    tab.until("document.getElementById('sign-in-trouble').textContent.includes('not known')")
    sign_in(tab, "eves")
    tab.ready()


@pytest.mark.parametrize("settings", [PRODUCTION])
def test_the_token_stays_in_the_tab_and_out_of_its_address(strangers):
    tab, other = strangers
    sign_in(tab, "eves")
    tab.ready()
    assert "eves" not in tab.page.url
    assert tab.run("localStorage.length") == 0 and not tab.page.context.cookies()
    tab.page.reload()
    tab.ready()
    other.page.locator("#sign-in").wait_for()


@pytest.mark.parametrize("settings", [PRODUCTION])
def test_who_signs_out_is_asked_again(strangers):
    tab, _ = strangers
    sign_in(tab, "eves")
    tab.ready()
    tab.page.locator("#sign-out").click()
    tab.page.locator("#sign-in").wait_for()
    assert tab.run("sessionStorage.length") == 0
    assert tab.run("gantt.getTaskCount()") == 0


@pytest.mark.parametrize("settings", [PRODUCTION])
def test_escape_does_not_leave_an_empty_page(strangers):
    tab, _ = strangers
    tab.page.locator("#sign-in").wait_for()
    for _ in range(3):
        tab.page.keyboard.press("Escape")
    sign_in(tab, "eves")
    tab.ready()


@pytest.mark.parametrize("settings", [PRODUCTION])
def test_a_viewer_cannot_edit_in_the_page(strangers):
    tab, _ = strangers
    sign_in(tab, "veras")
    tab.ready()
    assert who(tab) == "vera"
    assert tab.run("gantt.config.readonly")
    assert not tab.page.locator("#add").is_visible()
    assert not tab.page.locator(".gantt_add").first.is_visible()


@pytest.mark.parametrize("settings", [{"tokens": [EVE]}])
def test_who_reads_without_a_token_may_sign_in(server, strangers):
    tab, _ = strangers
    tab.page.locator("#open-sign-in").click()
    tab.page.keyboard.press("Escape")
    tab.until("!document.getElementById('sign-in').open")
    tab.page.locator("#open-sign-in").click()
    sign_in(tab, "eves")
    tab.ready()
    assert who(tab) == "Eve Lee"


def test_the_demo_says_who_one_is_and_needs_no_signing_in(tabs):
    assert who(tabs[0]) == "demo"
    assert not tabs[0].page.locator("#sign-out").is_visible()


@pytest.mark.parametrize("settings", [{"tokens": [], "anonymous": ""}])
def test_a_revoked_token_asks_for_another_in_place(server, strangers):
    tab, other = strangers
    database = Database(f"sqlite:///{server._database}")
    database.join()
    tokens = StoredTokens(database)
    ann = tokens.create(sha256_of("anns"), "ann", "editor")
    tokens.create(sha256_of("bobs"), "bob", "editor")
    time.sleep(1)
    for each, token in ((tab, "anns"), (other, "bobs")):
        sign_in(each, token)
        each.ready()
    tokens.revoke(ann)
    tab.page.locator("#sign-in").wait_for()
    other.edit("10", text="Meanwhile")
    sign_in(tab, "bobs")
    tab.ready()
    tab.shows("10", "Meanwhile")
    assert who(tab) == "bob"
    database.leave()

"""Tabs whose plan was replaced under them: a restored backup, a new database, an old edit."""

from __future__ import annotations

import pytest

from .tabs import FAILED_REQUEST, agree, stored


@pytest.fixture(params=["page", "since"])
def kind(request):
    return request.param


def number_of(server) -> int:
    return int(server.get()["seq"].partition("-")[0])


def catch_up(server, seq: int) -> None:
    """Patch until the plan's last change has this number, so that the number alone says nothing."""
    while number_of(server) < seq:
        server.put("/data/task/11", text=f"After {number_of(server)}")


def loaded_again(tab) -> None:
    """Wait until the stock client's page has loaded again; the project's does it in place."""
    if tab.kind == "since":
        tab.page.wait_for_function("!window.old")
    tab.ready()


def leave_behind(server, *lines) -> None:
    """Let the server end while its tabs cannot be reached, so that none is back too early."""
    for each in lines:
        each.cut()
    server.stop()


def replace_under(server, tabs, copy) -> None:
    """Serve a backup, or a new database, before any tab is back."""
    leave_behind(server, tabs.line)
    server.restore(copy)
    server.start()


@pytest.fixture
def tabs(line, open_tabs, server):
    """Opens tabs on a line that can be cut; they are left before it is."""
    way = line()

    def tabs():
        (tab,) = open_tabs(way.url)
        tab.excuse(FAILED_REQUEST)
        # The client says so of whatever names no item, and goes on.
        tab.excuse("Invalid message format: {type: reload")
        tab.run("window.old = true")
        return tab

    tabs.line = way
    return tabs


def test_a_restored_backup_is_shown_although_the_numbers_have_caught_up(server, tabs):
    """Both what the tab was told live and what it loaded is of the lost history."""
    before = tabs()
    copy = server.backup()
    server.put("/data/task/10", text="Lost")
    server.delete("/data/task/15")
    after = tabs()
    before.shows("10", "Lost")
    before.lacks("15")
    seq = number_of(server)
    replace_under(server, tabs, copy)
    catch_up(server, seq)
    tabs.line.mend()
    for tab in (before, after):
        loaded_again(tab)
    agree(server, before, after)
    assert stored(server)["tasks"]["10"]["text"] != "Lost" and "15" in stored(server)["tasks"]


def test_tabs_go_on_with_what_was_restored(server, tabs):
    one, two = tabs(), tabs()
    copy = server.backup()
    server.put("/data/task/10", text="Lost")
    replace_under(server, tabs, copy)
    tabs.line.mend()
    for tab in (one, two):
        loaded_again(tab)
    agree(server, one, two)
    one.edit("10", text="Written")
    two.shows("10", "Written")
    two.edit("10", progress=0.9)
    agree(server, one, two)


def test_a_database_made_anew_on_the_same_port_is_shown(server, tabs):
    tab = tabs()
    server.delete("/data/task/15")
    tab.lacks("15")
    seq = number_of(server)
    replace_under(server, tabs, None)
    catch_up(server, seq)
    tabs.line.mend()
    loaded_again(tab)
    agree(server, tab)
    assert "15" in stored(server)["tasks"]


def test_a_mere_restart_makes_nobody_load_again(server, tabs):
    tab = tabs()
    leave_behind(server, tabs.line)
    server.start()
    server.put("/data/task/10", text="Meanwhile")
    tabs.line.mend()
    tab.shows("10", "Meanwhile")
    assert tab.run("window.old")


def test_an_edit_of_what_was_lost_is_not_merged_and_the_tab_loads_again(server, tabs):
    """It was begun on a row of the lost history, whose revision is one of the row here too."""
    copy = server.backup()
    server.put("/data/task/10", text="Lost", progress=0.1)
    tab = tabs()
    tab.excuse("409")
    seq = number_of(server)
    replace_under(server, tabs, copy)
    server.put("/data/task/10", text="Kept", progress=0.2)
    catch_up(server, seq)
    tabs.line.cut(sockets_only=True)
    with tab.page.expect_response("**/data/task/10") as saved:
        tab.edit("10", duration=9)
    assert (saved.value.status, saved.value.json()["reload"]) == (409, True)
    tabs.line.mend()
    loaded_again(tab)
    tab.shows("10", "Kept")
    agree(server, tab)
    assert stored(server)["tasks"]["10"]["text"] == "Kept"

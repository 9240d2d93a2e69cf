"""Text is drawn to the letter: what the server tells, and what people type into the form."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page

from gantt_tornado.model.text import read, tell
from tests import support  # noqa: F401  (the profile of hypothesis)

from .conftest import ROOT
from .tabs import agree

# HTML has no NUL, and reads a carriage return as a new line; half a surrogate pair is no text.
# Everything else, control characters too, must come through.
LETTERS = st.characters(exclude_characters="\0\r", exclude_categories=["Cs"])
PARTS = [
    "&",
    "lt",
    "amp",
    "copy",
    "sect",
    "not",
    "in",
    "#60",
    "#x3c",
    "#0",
    ";",
    "<b>",
    "<!--",
    "]",
]
TEXTS = st.lists(
    st.text(LETTERS)
    | st.text(alphabet="<>&;#xX19aglmpqtoucy=\"' \t\n")
    | st.lists(st.sampled_from(PARTS)).map("".join),
    min_size=50,
)

DRAWN = """(told) => told.map((html) => {
  const box = document.createElement("div");
  box.innerHTML = html;
  return [box.textContent, box.childElementCount];
})"""


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    """An empty page with gantt-live.js in it."""
    page = browser.new_page()
    source = (ROOT / "static/gantt-live.js").read_text("utf-8")
    page.evaluate("(it) => { window.source = it; }", source)
    page.evaluate(
        """import(URL.createObjectURL(new Blob([source], { type: "text/javascript" })))
        .then((module) => { window.text = module; })"""
    )
    yield page
    page.close()


@given(TEXTS)
def test_what_the_server_tells_is_drawn_as_it_was_meant(page: Page, texts: list[str]) -> None:
    assert page.evaluate(DRAWN, [tell(text) for text in texts]) == [[text, 0] for text in texts]


@given(TEXTS)
def test_what_the_page_tells_is_drawn_and_read_as_it_was_meant(
    page: Page, texts: list[str]
) -> None:
    told = page.evaluate("(texts) => texts.map(text.tell)", texts)
    assert page.evaluate(DRAWN, told) == [[text, 0] for text in texts]
    assert page.evaluate("(told) => told.map(text.read)", told) == texts
    assert [read(each) for each in told] == texts


@given(TEXTS)
def test_the_page_reads_what_the_server_tells(page: Page, texts: list[str]) -> None:
    told = [tell(text) for text in texts]
    assert page.evaluate("(told) => told.map(text.read)", told) == texts


# In the hands of people.

TYPED = "if x<y then R&D &copy; <img src=nowhere> &lt;"


def open_form(tab: Any, id: str) -> Any:
    """Open a row's form; its field for the name."""
    tab.run("gantt.showLightbox(it)", id)
    field = tab.page.locator(".gantt_cal_light textarea")
    field.wait_for()
    return field


def save(tab: Any) -> None:
    tab.page.locator(".gantt_save_btn_set, .gantt_save_btn").first.click()
    tab.until("!probe.busy()")


def drawn(tab: Any, id: str) -> str:
    return str(tab.row(id).locator(".gantt_tree_content").first.inner_text())


def test_what_is_typed_into_the_form_is_drawn_to_the_letter_in_every_tab(server, tabs):
    one, two = tabs
    open_form(one, "10").fill(TYPED)
    save(one)
    agree(server, one, two)
    for tab in tabs:
        assert drawn(tab, "10") == TYPED
        assert tab.page.locator("#chart img").count() == 0
        assert open_form(tab, "10").input_value() == TYPED
        tab.run("gantt.hideLightbox()")
    (line, *_) = server.get("/data/history?item=10")["history"]
    assert line["fields"]["text"][1] == TYPED


def test_a_tag_that_is_typed_into_the_form_is_not_drawn_before_the_server_has_it(server, tabs):
    one, _ = tabs
    one.page.route("**/data/task/*", lambda route: None, times=1)
    open_form(one, "10").fill("<img src=nowhere>")
    one.page.locator(".gantt_save_btn_set, .gantt_save_btn").first.click()
    one.shows("10", "&lt;img src=nowhere>")
    assert drawn(one, "10") == "<img src=nowhere>"
    assert one.page.locator("#chart img").count() == 0


def test_a_form_that_is_saved_untouched_edits_nothing(server, tabs):
    one, _ = tabs
    server.put("/data/task/10", text="a & b &lt; c &copy")
    one.shows("10", "a & b &lt; c &amp;copy")
    before = server.get()["seq"]
    open_form(one, "10")
    save(one)
    assert server.get()["seq"] == before


@pytest.mark.parametrize("kind", ["snippet"])
def test_a_person_at_a_stock_form_sees_how_a_tag_is_told_and_may_leave_it_so(server, tabs):
    one, two = tabs
    server.put("/data/task/10", text="a<b & c")
    one.shows("10", "a&lt;b & c")
    assert drawn(one, "10") == "a<b & c"
    field = open_form(one, "10")
    assert field.input_value() == "a&lt;b & c"
    field.press("End")
    field.press_sequentially("!")
    save(one)
    (line, *_) = server.get("/data/history?item=10")["history"]
    assert line["fields"]["text"] == ["a<b & c", "a<b & c!"]
    agree(server, one, two)

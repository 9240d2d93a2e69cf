from __future__ import annotations

import html
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gantt_tornado.model.text import DEEPEST, clean, each, read, show, tell, tell_json, unclean
from tests import support  # noqa: F401  (the profile of hypothesis)

#: Text in which many references begin, and some end.
TRICKY = st.text(alphabet="<>&;#xX19aglmpqtoucy=\"' ") | st.lists(
    st.sampled_from(["&", "lt", "amp", "copy", "sect", "not", "in", "#60", "#x3c", ";", "<b>", "é"])
).map("".join)


@given(st.text() | TRICKY)
def test_what_was_told_is_read_as_it_was_meant(text: str) -> None:
    assert read(tell(text)) == text


@given(st.text() | TRICKY)
def test_what_was_told_is_drawn_as_it_was_meant(text: str) -> None:
    assert "<" not in tell(text)
    assert html.unescape(tell(text)) == text


@given(st.text() | TRICKY)
def test_an_ampersand_is_told_only_where_html_reads_a_reference(text: str) -> None:
    first, *rest = text.split("&")
    for part in rest:
        is_read = html.unescape(f"&{part}") != f"&{part}"
        first += ("&amp;" if is_read else "&") + part
    assert tell(text) == first.replace("<", "&lt;")


@pytest.mark.parametrize(
    "text, told",
    [
        ("if x<y then", "if x&lt;y then"),
        ("<Kunde>", "&lt;Kunde>"),
        ("R&D", "R&D"),
        ("AT&T; BB&T", "AT&T; BB&T"),
        ("a & b && c&", "a & b && c&"),
        ("&lt;", "&amp;lt;"),
        ("&#60; &#x3c &#X3C;", "&amp;#60; &amp;#x3c &amp;#X3C;"),
        ("&#; &#x; &#y", "&#; &#x; &#y"),
        ("&copy &COPY; &copycat", "&amp;copy &amp;COPY; &amp;copycat"),
        ("?a=1&section=2", "?a=1&amp;section=2"),
        ("&hellip &hellip;", "&hellip &amp;hellip;"),
        ("&notaname;", "&amp;notaname;"),
        ("&Aname;", "&Aname;"),
        ("", ""),
    ],
)
def test_examples_of_what_is_told(text: str, told: str) -> None:
    assert tell(text) == told


@pytest.mark.parametrize(
    "typed, meant",
    [
        ("a &lt; b", "a < b"),
        ("R&amp;D", "R&D"),
        ("&amp;lt;", "&lt;"),
        ("<b>", "<b>"),
        ("&copy", "&copy"),
        ("?a=1&section=2", "?a=1&section=2"),
        ("&#60; &gt; &LT;", "&#60; &gt; &LT;"),
    ],
)
def test_of_what_is_typed_into_a_stock_form_only_what_is_told_is_read(
    typed: str, meant: str
) -> None:
    assert read(typed) == meant


def test_json_is_told_at_any_depth_and_its_names_stay() -> None:
    item = {"id": 7, "text": "a<b", "more": [{"a&lt;": ["&lt;", 1, None, True]}], "f": 0.5}
    assert orjson.loads(tell_json(orjson.dumps(item))) == {
        **item,
        "text": "a&lt;b",
        "more": [{"a&lt;": ["&amp;lt;", 1, None, True]}],
    }


def test_json_without_html_in_it_is_not_even_read() -> None:
    item = b'{"text": "Dig", not JSON}'
    assert tell_json(item) is item


@pytest.mark.parametrize("depth", [DEEPEST, 5000])
def test_what_is_deeper_than_a_field_may_be_is_left_alone(depth: int) -> None:
    value: Any = "<"
    for _ in range(depth):
        value = [value]
    changed = each(tell, value)
    for _ in range(depth):
        (changed,) = changed
    assert changed == ("&lt;" if depth == DEEPEST else "<")


# Markup.


@pytest.mark.parametrize("text", ["", "R&D", 'a "quote"', "a > b", "5 &lt; 6", "naïve", "a\nb"])
def test_html_that_can_hold_no_tag_is_kept_to_the_letter(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "<a href='javascript:alert(1)'>x</a>",
        "<svg/onload=alert(1)>",
        "<b onclick=alert(1)>x</b>",
        "<<script>script>alert(1)",
    ],
)
def test_what_could_run_is_taken_out(text: str) -> None:
    words = ("<script", "onerror", "onload", "onclick", "javas")
    assert not any(word in clean(text) for word in words)


def test_harmless_markup_stays() -> None:
    assert clean("<b>Dig</b>") == "<b>Dig</b>"


@given(st.text(alphabet="<>&;/ab='\" lt!-"))
def test_cleaning_twice_changes_nothing_more(text: str) -> None:
    assert clean(clean(text)) == clean(text)


# From markup to text.


@given(st.text(alphabet="<&>; \xa0=1\"'éa"))
def test_what_cleaning_had_escaped_becomes_letters(text: str) -> None:
    # Not followed by a letter, "<" begins no tag.
    text = text.replace("<a", "< a")
    if "<" in text:
        assert unclean(clean(text)) == html.unescape(clean(text))


@pytest.mark.parametrize(
    "stored, letters",
    [
        ("a &lt; b", "a < b"),
        ("a &lt; b &amp; c &gt; d", "a < b & c > d"),
        ("&lt;&nbsp;", "<\xa0"),
        ("&amp;lt;", "&lt;"),
        ("<b>a &lt; b</b>", "<b>a < b</b>"),
        ("R&D", "R&D"),
        ("R&D &lt; x", "R&D &lt; x"),
        ("?a=1&section=2", "?a=1&section=2"),
        ("&copy;", "&copy;"),
        ("a > b", "a > b"),
        ("", ""),
    ],
)
def test_what_cleaning_would_have_written_otherwise_is_kept(stored: str, letters: str) -> None:
    assert unclean(stored) == letters


@given(
    st.text(alphabet=st.characters(exclude_characters="\0\r", exclude_categories=["Cs"])) | TRICKY
)
def test_from_text_to_markup_and_back(text: str) -> None:
    assert html.unescape(show(text)) == text
    assert unclean(show(text)) == text
    assert clean(show(text)) == show(text)

"""Text to the letter here, HTML there: the client draws what it is sent as HTML.

Pure. The store, the journal and an embedding application hold a text as it was meant. On
the wire :func:`tell` writes what HTML would read otherwise in another way, and :func:`read`
takes that back: ``read(tell(text)) == text`` for every text, and what the client draws of
``tell(text)`` is the text.

Where an installation wants markup in its plans (``html = "clean"``), text *is* HTML: it is
only cleaned of what could run as a script, and the wire has it as it is stored.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from html.entities import html5
from typing import Any, Final

import nh3
import orjson

from gantt_tornado.model.encoding import encode_json

#: Objects within objects that a field may hold.
DEEPEST: Final = 100


def _one_of(words: Iterable[str]) -> str:
    """A pattern for what begins with one of the words, which looks at each letter once."""
    if "" in (words := list(words)):
        return ""
    rests: dict[str, list[str]] = {}
    for word in words:
        rests.setdefault(word[0], []).append(word[1:])
    return f"(?:{'|'.join(letter + _one_of(rest) for letter, rest in rests.items())})"


#: Names of character references that count also without a semicolon, and whatever letter
#: follows: ``&section`` is drawn as ``§ion``.
_OLD: Final = [name for name in html5 if not name.endswith(";")]
#: What may be a character reference, behind its ``&``: the group is to be looked up. All names
#: in one pattern would do too, but to compile it would take a sixth of the server's start.
_MAYBE: Final = re.compile(f"&(?=#[0-9]|#[xX][0-9A-Fa-f]|{_one_of(_OLD)}|([A-Za-z][A-Za-z0-9]*;))")


def _ampersand(found: re.Match[str]) -> str:
    """``&`` as HTML: escaped where HTML would read a character reference."""
    name = found[1]
    return "&amp;" if name is None or name in html5 else "&"


def tell(text: str) -> str:
    """The text as HTML that is drawn as just this text.

    ``&`` is written as ``&amp;`` only where HTML would read a reference, so that ``R&D``
    stays what people see in a form.
    """
    if "&" in text:
        text = _MAYBE.sub(_ampersand, text)
    return text.replace("<", "&lt;")


def read(told: str) -> str:
    """The text that was told.

    Only what :func:`tell` writes is taken back. Any other reference that somebody typed
    into a form, ``&copy`` or ``?a=1&section=2``, is meant to the letter.
    """
    if "&" not in told:
        return told
    return told.replace("&lt;", "<").replace("&amp;", "&")


def tell_json(item: bytes) -> bytes:
    """JSON in which each text is told. Names of fields are not drawn, and stay."""
    if b"<" not in item and b"&" not in item:
        return item
    return encode_json(each(tell, orjson.loads(item)))


def each(change: Callable[[str], str], value: Any, depth: int = 0) -> Any:
    """A JSON value with each text in it changed, as deep as a field may be."""
    if isinstance(value, str):
        return change(value)
    if depth > DEEPEST + 1:
        return value
    if isinstance(value, dict):
        return {key: each(change, inner, depth + 1) for key, inner in value.items()}
    if isinstance(value, list):
        return [each(change, inner, depth + 1) for inner in value]
    return value


def clean(html: str) -> str:
    """HTML without what could run as a script. Without ``<`` it can hold no tag, and is kept
    to the letter: ``R&D`` stays ``R&D``."""
    return nh3.clean(html) if "<" in html else html


def unclean(html: str) -> str:
    """The text in what :func:`clean` has left; tags that it let through become letters.

    A text that it would write otherwise was not written by it, and is kept.
    """
    if ("<" not in html and "&" not in html) or nh3.clean(html) != html:
        return html
    for letter, written in reversed(_ESCAPES):
        html = html.replace(written, letter)
    return html


def show(text: str) -> str:
    """HTML that is drawn as just this text, written as :func:`clean` would write it."""
    if tell(text) == text:
        return text
    for letter, written in _ESCAPES:
        text = text.replace(letter, written)
    return text


#: What nh3 writes of letters, those first that stand in the others.
_ESCAPES: Final = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ("\xa0", "&nbsp;"))

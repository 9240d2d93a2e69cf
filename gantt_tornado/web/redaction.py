"""What log lines may contain of a request: no token, and nothing long.

A socket's URL carries the token, because a browser can send no header with it, and
``/data`` may have one too. A client may write its URL in any way: with ``;`` for ``&``, with
percent-encoded letters, or 60 KB long.
"""

from __future__ import annotations

import logging
import re
from typing import Final
from urllib.parse import unquote

#: Characters of a URL, or of a message that quotes a client, in a log line.
LONGEST: Final = 300
#: Its lines hold the URL of any request, also of one that none of our routes answers.
ACCESS: Final = "tornado.access"
#: Tornado's loggers whose lines quote what clients send.
LOGGERS: Final = ("tornado.general", "tornado.application", ACCESS)

_TOKEN = re.compile(r"(token).+", re.IGNORECASE)


def cut(text: str) -> str:
    """Text from a client, truncated for a log line."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text)} characters)"


def printable(text: str) -> str:
    """Text of one line in which nothing moves a terminal's cursor or begins a line, in letters
    that JSON reads too."""
    if text.isprintable():
        return text
    return "".join([each if each.isprintable() else _escaped(each) for each in text])


def _escaped(letter: str) -> str:
    units = letter.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def url(uri: str) -> str:
    """A request's URL without its token."""
    # Truncated first: what follows would be slow with a long one.
    shown = printable(cut(uri))
    if "token" not in _decoded(shown).lower():
        return shown
    # A second question mark is part of a value.
    path, mark, query = shown.partition("?")
    parts = "&".join(map(_without_token, query.split("&")))
    return f"{_without_token(path)}{mark}{parts}"


def _without_token(part: str) -> str:
    if "token" not in _decoded(part).lower():
        return part
    # Its value may contain the word too.
    name = re.split("[%=]", part, maxsplit=1)[0]
    end = name.lower().find("token") + len("token")
    if end < len("token"):
        return "…"
    return part if end == len(part) else f"{part[:end]}=…"


def _decoded(text: str) -> str:
    while (decoded := unquote(text)) != text:
        text = decoded
    return text


class Redaction(logging.Filter):
    """For Tornado's own loggers: removes what a message quotes of a header or a request, and the
    token from the URL in a line of the access log.

    ``for name in LOGGERS: logging.getLogger(name).addFilter(Redaction())`` installs it.
    The command does; an application of yours has its own logging.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        redact = access_line if record.name == ACCESS else redacted
        record.msg, record.args = redact(record.getMessage()), None
        return True


def access_line(line: str) -> str:
    """A line of the access log without the token in its URL, which holds no space."""
    return " ".join([url(word) for word in line.split(" ")])


def redacted(message: str) -> str:
    """A message without what it quotes of a header, and in each line without what follows a
    token's name."""
    if message.startswith("Malformed HTTP message"):
        # The quoted header may be the one with the token.
        message = ": ".join(message.split(": ", 2)[:2])
        message = re.split("['\"]", message, maxsplit=1)[0].rstrip()
    lines = _TOKEN.sub(r"\1…", cut(message)).split("\n")
    return "\n".join(map(printable, lines))

"""Sort keys that never run out: between any two there is always another.

A key is a word over base 62 whose plain string order is the order of the rows. Its
first letter says how many digits its whole part has (`a` one, `b` two, …; `Z` one
below zero, `Y` two, …), so that rows appended for years keep short keys; a fraction
follows where two neighbours leave no whole number between them. As long as a key is not
long, no row but the moved one changes its own, so two people who drag rows at once disturb
nobody else.

The scheme is the one known as fractional indexing.
"""

from __future__ import annotations

DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_VALUE = {digit: value for value, digit in enumerate(DIGITS)}
_BASE = len(DIGITS)
_FIRST = "a0"
#: Characters of a key from which on its neighbours are spaced anew.
LONG = 32


def between(before: str | None, after: str | None) -> str:
    """A key greater than ``before`` and less than ``after``; ``None`` is an open end.

    Raises:
        ValueError: ``before`` is not less than ``after``.
    """
    if before is not None and after is not None and before >= after:
        raise ValueError(f"{before!r} is not less than {after!r}")
    if before is None:
        return _FIRST if after is None else _below(after)
    if after is None:
        return _above(before)
    whole, fraction = _split(before)
    after_whole, after_fraction = _split(after)
    if whole == after_whole:
        return whole + _midpoint(fraction, after_fraction)
    raised = _step(whole, +1)
    return raised if raised < after else whole + _midpoint(fraction, None)


def is_key(key: str) -> bool:
    """Whether a text can be one."""
    if not key or not set(key) <= _VALUE.keys() or key[0] in "0123456789":
        return False
    whole, fraction = _split(key)
    return len(whole) == 1 + _size(key[0]) and not fraction.endswith("0")


def spread(before: str | None, after: str | None, count: int) -> list[str]:
    """So many keys between two others, about evenly apart."""
    keys: list[str] = []
    if after is None:
        for _ in range(count):
            before = between(before, None)
            keys.append(before)
        return keys
    if before is None:
        for _ in range(count):
            after = between(None, after)
            keys.append(after)
        return keys[::-1]
    if not count:
        return keys
    half, middle = count // 2, between(before, after)
    return [*spread(before, middle, half), middle, *spread(middle, after, count - half - 1)]


def _above(key: str) -> str:
    return _step(_split(key)[0], +1)


def _below(key: str) -> str:
    whole, fraction = _split(key)
    return whole if fraction else _step(whole, -1)


def _split(key: str) -> tuple[str, str]:
    end = 1 + _size(key[0])
    return key[:end], key[end:]


def _size(head: str) -> int:
    """How many digits the whole part has behind this head."""
    return ord(head) - ord("a") + 1 if head >= "a" else ord("Z") - ord(head) + 1


def _step(whole: str, by: int) -> str:
    """The next (+1) or previous (-1) whole part; ``z`` and ``A`` are out of any reach."""
    head, digits = whole[0], whole[1:]
    number = 0
    for digit in digits:
        number = number * _BASE + _VALUE[digit]
    number += by
    if number < 0 or number >= _BASE ** len(digits):
        head = _next_head(head, by)
        count = _size(head)
        number = 0 if by > 0 else _BASE**count - 1
        return head + _digits(number, count)
    return head + _digits(number, len(digits))


def _next_head(head: str, by: int) -> str:
    if head == "Z" and by > 0:
        return "a"
    if head == "a" and by < 0:
        return "Z"
    return chr(ord(head) + by)


def _digits(number: int, count: int) -> str:
    word = ""
    for _ in range(count):
        number, digit = divmod(number, _BASE)
        word = DIGITS[digit] + word
    return word


def _midpoint(low: str, high: str | None) -> str:
    """A fraction between two others; ``None`` is one. Never ends in the zero digit."""
    prefix = ""
    while True:
        a = _VALUE[low[0]] if low else 0
        b = _BASE if high is None else _VALUE[high[0]] if high else 0
        if a == b:
            prefix += DIGITS[a]
            low, high = low[1:], high[1:] if high else high
        elif b - a > 1:
            return prefix + DIGITS[(a + b) // 2]
        elif high and len(high) > 1:
            return prefix + high[0]
        else:
            # The neighbours' digits touch: keep the lower one and go on above its rest.
            prefix += DIGITS[a]
            low, high = low[1:], None

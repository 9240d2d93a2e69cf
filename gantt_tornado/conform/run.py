"""Trying all rules on a backend, and telling what came of each."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Final

from gantt_tornado.conform.client import (
    PATIENCE,
    Answer,
    Client,
    Fails,
    NotOffered,
    printable,
    shown,
)
from gantt_tornado.conform.rules import RULES, Rule
from gantt_tornado.errors import StartError

log = logging.getLogger(__name__)

HOLDS: Final = "holds"
FAILS: Final = "fails"
NOT_OFFERED: Final = "not offered"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of a rule; ``why`` is empty where it holds."""

    rule: Rule
    outcome: str
    why: str = ""

    def __str__(self) -> str:
        told = f"{self.outcome:<12} {self.rule.section}: {self.rule.text}"
        return f"{told}\n{'':<13}{printable(self.why)}" if self.why else told


async def conform(
    url: str,
    token: str,
    *,
    write_here: bool = False,
    patience: float = PATIENCE,
    rules: Iterable[Rule] = RULES,
    told: Callable[[Verdict], None] = lambda verdict: None,
) -> list[Verdict]:
    """Try all rules, in a project that is made for it and deleted afterwards.

    Args:
        url: below which ``/data`` and ``/api/v1`` stand.
        token: an admin's, who may make a project; with ``write_here`` an editor's.
        write_here: tries them in the plan of the URL itself, and deletes what it added.
        patience: seconds after which what was waited for counts as missing.
        told: called with each verdict as it comes.

    Raises:
        StartError: there is no backend, or no project can be made there.
    """
    root = Client(url, token, patience)
    try:
        await _reach(root)
        name = "" if write_here else await _make_project(root)
        client = Client(f"{root.url}/p/{name}", token, patience) if name else root
        try:
            return [await _try(rule, client, told) for rule in rules]
        finally:
            await _clean_up(root, client, name)
    finally:
        await root.close()


def summary(verdicts: Iterable[Verdict]) -> str:
    """How many there are of each."""
    outcomes = [verdict.outcome for verdict in verdicts]
    counts = {each: outcomes.count(each) for each in (HOLDS, FAILS, NOT_OFFERED)}
    return f"{counts[HOLDS]} hold, {counts[FAILS]} fail, {counts[NOT_OFFERED]} are not offered"


async def _reach(root: Client) -> None:
    try:
        await root.request("GET", "/api/v1")
    except (Fails, ValueError) as error:
        said = printable(str(error))
        raise StartError(f"there is no backend at {root.url}: {said}") from None


async def _make_project(root: Client) -> str:
    name = f"conform-{secrets.token_hex(6)}"
    try:
        answer = await root.request("POST", "/projects", {"name": name, "title": "Conformance"})
    except BaseException as error:
        # It may be there all the same.
        with suppress(Fails):
            await root.request("DELETE", f"/projects/{name}?name={name}")
        if not isinstance(error, Fails):
            raise
        said = printable(str(error))
        raise StartError(f"no project can be made at {root.url}: {said}") from None
    if answer.status != 201:
        raise StartError(
            f"no project can be made at {root.url} (status {answer.status}): take an admin's "
            "token, or --write-here to write into the plan there"
        )
    return name


async def _try(rule: Rule, client: Client, told: Callable[[Verdict], None]) -> Verdict:
    try:
        await rule.check(client)
        verdict = Verdict(rule, HOLDS)
    except NotOffered as error:
        verdict = Verdict(rule, NOT_OFFERED, str(error))
    except Fails as error:
        verdict = Verdict(rule, FAILS, str(error))
    except Exception as error:
        # What came had not the form that the rule goes on with.
        log.debug("%s", rule.text, exc_info=True)
        verdict = Verdict(rule, FAILS, shown(f"{type(error).__name__}: {error}"))
    finally:
        await client.close_sockets()
    told(verdict)
    return verdict


async def _clean_up(root: Client, client: Client, name: str) -> None:
    """Delete what was made. What becomes of that is no rule's verdict."""
    if name:
        await client.close()
        await _delete(lambda: root.request("DELETE", f"/projects/{name}?name={name}"), name)
        return
    for entity, id in reversed(client.added):
        if id is not None and not await _delete(partial(client.delete, id, entity), entity, id):
            # Where one has no answer, the others would each wait as long.
            return


async def _delete(delete: Callable[[], Awaitable[Answer]], *what: object) -> bool:
    """Returns whether there is an answer."""
    left = shown(" ".join(map(str, what)))
    try:
        answer = await delete()
    except Fails as error:
        log.warning("%s is left behind: %s", left, printable(str(error)))
        return False
    # What is gone already needs no more.
    if answer.status not in (200, 404):
        log.warning("%s is left behind: the delete is answered %d", left, answer.status)
    return True

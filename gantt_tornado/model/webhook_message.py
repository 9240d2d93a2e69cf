"""What a webhook is posted, by the convention of Standard Webhooks. Pure.

Serves docs/protocol.md, "Webhooks": https://www.standardwebhooks.com has the convention.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import Any, Final

import orjson

from gantt_tornado.model.change import Change
from gantt_tornado.model.dates import Calendar
from gantt_tornado.model.history import followed, time_shown

#: How a secret begins, so that people know one when they see it.
PREFIX: Final = "whsec_"
#: Bytes of a secret.
SHORTEST: Final = 24
LONGEST: Final = 64
_SECRET: Final = re.compile(f"{PREFIX}([A-Za-z0-9+/]+={{0,2}})")


def secret_bytes(text: str) -> bytes:
    """The key in a secret as people copy it.

    Raises:
        ValueError: it is none.
    """
    found = _SECRET.fullmatch(text)
    try:
        key = base64.b64decode(found[1], validate=True) if found else b""
    except ValueError:
        key = b""
    if not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f"{PREFIX} and {SHORTEST} to {LONGEST} bytes in base64 are expected")
    return key


@dataclass(frozen=True, slots=True)
class Message:
    """One message: the same id and body however often it is sent."""

    id: str
    body: bytes

    def headers(self, key: bytes, now: int) -> dict[str, str]:
        """The headers of an attempt; ``now`` is in seconds since 1970."""
        signed = b"%s.%d.%s" % (self.id.encode(), now, self.body)
        signature = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        return {
            "Content-Type": "application/json",
            "webhook-id": self.id,
            "webhook-timestamp": str(now),
            "webhook-signature": f"v1,{signature}",
        }


def change_message(project: str, change: Change, calendar: Calendar) -> Message:
    """Tells of a change of a project."""
    told = followed(change, calendar)
    # After a restored backup the number is given again, at another time.
    id = f"change_{project}_{change.seq}_{change.at}"
    type = f"{change.entity.name}.{change.action}"
    return _message(id, type, change.at, {"project": project, **told})


def gap_message(project: str, after: int, horizon: int, at: int) -> Message:
    """Tells that the journal has forgotten the changes after one, up to the horizon; ``at`` is
    when, in milliseconds since 1970."""
    # With the time, for the numbers are given again after a restored backup, and a receiver takes
    # the same id with another body for a mistake.
    id = f"gap_{project}_{after}_{horizon}_{at}"
    return _message(id, "gap", at, {"project": project, "from": after + 1, "to": horizon})


def _message(id: str, type: str, at: int, data: dict[str, Any]) -> Message:
    body = {"type": type, "timestamp": time_shown(at), "data": data}
    return Message(id, orjson.dumps(body))

from __future__ import annotations

import orjson
import pytest

from gantt_tornado.model.change import Author, Change
from gantt_tornado.model.dates import Calendar
from gantt_tornado.model.entities import LINK, TASK
from gantt_tornado.model.webhook_message import Message, change_message, gap_message, secret_bytes

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
CHANGE = Change(7, 7, 1, TASK, 3, "update", Author("ann"), 1_000, {"text": ["a", "<b>"]})


def test_a_signature_is_that_of_the_conventions_own_example() -> None:
    message = Message("msg_p5jXN8AQM9LWM0D4loKWxJek", b'{"test": 2432232314}')
    assert message.headers(secret_bytes(SECRET), 1614265330) == {
        "Content-Type": "application/json",
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


@pytest.mark.parametrize(
    "text",
    [
        *("", "whsec_", "whsec_abcd", SECRET[:-1], "whsec_" + "A" * 88),
        *(SECRET.removeprefix("whsec_"), SECRET.replace("K", " "), SECRET + "\n"),
    ],
)
def test_what_is_no_secret_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="whsec_"):
        secret_bytes(text)


def test_a_change_is_told_with_its_project() -> None:
    message = change_message("house", CHANGE, Calendar())
    told = orjson.loads(message.body)
    assert (told["type"], told["timestamp"]) == ("task.update", "1970-01-01T00:00:01.000+00:00")
    data = told["data"]
    assert (data["project"], data["seq"], data["user"]) == ("house", 7, "ann")
    assert data["fields"] == {"text": ["a", "<b>"]}


def test_the_same_change_has_the_same_id_and_another_has_another() -> None:
    calendar = Calendar()
    again = change_message("house", CHANGE, calendar)
    assert change_message("house", CHANGE, calendar).id == again.id
    # The number is given again after a restored backup.
    other = Change(7, 7, 1, LINK, 3, "add", Author("ann"), 2_000, {})
    ids = {again.id, change_message("house", other, calendar).id}
    ids.add(change_message("bridge", CHANGE, calendar).id)
    assert len(ids) == 3 and not any("." in each for each in ids)


def test_a_gap_says_what_is_missing() -> None:
    told = orjson.loads(gap_message("house", 3, 9, 1_000).body)
    assert told["type"] == "gap"
    assert told["data"] == {"project": "house", "from": 4, "to": 9}

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from gantt_tornado.config import COMMAND, Config, Jwt, Token, is_loopback, read_config
from gantt_tornado.errors import StartError

FILES = Path(__file__).parent.parent / "config"
DEFAULT = FILES / "default.toml"
MINE = {"token": "mine", "user": "ann"}


def refusal(**sources: Any) -> str:
    with pytest.raises(StartError) as refused:
        read_config(**sources)
    text = str(refused.value)
    assert "\n" not in text
    return text


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str | bytes) -> Path:
        file = tmp_path / "gantt.toml"
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
        return file

    return write


# The files that come with it.


def test_the_default_file_is_the_defaults() -> None:
    assert read_config(DEFAULT) == read_config()


@pytest.mark.parametrize("key", Config.model_fields)
def test_each_key_stands_in_the_default_file_with_its_default(key: str) -> None:
    written = tomllib.loads(DEFAULT.read_text())
    assert Config(**COMMAND | {key: written[key]}) == Config(**COMMAND)


def test_the_default_file_has_no_other_keys() -> None:
    assert tomllib.loads(DEFAULT.read_text()).keys() == Config.model_fields.keys()


@pytest.mark.parametrize("key", Config.model_fields)
def test_each_key_in_the_default_file_has_a_reason_above_it(key: str) -> None:
    blocks = re.split(r"\n\s*\n", DEFAULT.read_text())
    block = next(b for b in blocks if re.search(rf"^\[*{key}\b", b, re.MULTILINE))
    assert block.lstrip().startswith("#")


def test_the_production_file_loads() -> None:
    config = read_config(FILES / "production.toml")
    assert (config.demo, config.anonymous) == (False, "")


def test_the_production_file_has_no_token_not_even_the_demos() -> None:
    assert read_config(FILES / "production.toml").tokens == ()


def test_the_demos_token_is_an_admins() -> None:
    (token,) = Config().tokens
    assert (token.token, token.role) == ("token", "admin")


def test_the_demo_is_the_commands_alone() -> None:
    assert (Config().demo, read_config().demo) == (False, True)


def test_the_command_can_be_told_to_start_empty(write: Any) -> None:
    assert read_config(write("demo = false")).demo is False


# Sources.


def test_the_file_wins_over_the_defaults(write: Any) -> None:
    assert read_config(write("port = 1")).port == 1


def test_the_environment_wins_over_the_file(write: Any) -> None:
    assert read_config(write("port = 1"), {"GANTT_PORT": "2"}).port == 2


def test_the_flags_win_over_the_environment(write: Any) -> None:
    assert read_config(write("port = 1"), {"GANTT_PORT": "2"}, {"port": 3}).port == 3


def test_a_flag_that_was_not_given_changes_nothing() -> None:
    assert read_config(None, {"GANTT_PORT": "2"}, {"port": None}).port == 2


def test_the_rest_of_the_environment_is_ignored() -> None:
    assert read_config(None, {"PATH": "/bin", "MY_GANTT_PORT": "2"}) == read_config()


def test_tokens_come_from_the_environment_as_json() -> None:
    config = read_config(None, {"GANTT_TOKENS": '[{"token":"mine","user":"ann"}]'})
    assert config.tokens == (Token(token="mine", user="ann"),)


def test_the_keys_of_signed_tokens_come_from_the_environment_as_json() -> None:
    config = read_config(None, {"GANTT_JWT": '{"jwks":"keys.json","audience":"plan"}'})
    assert config.jwt == Jwt(jwks="keys.json", audience="plan")


def test_origins_come_from_the_environment_as_a_list() -> None:
    config = read_config(None, {"GANTT_ORIGINS": '["https://intranet.example"]'})
    assert config.origins == ("https://intranet.example",)


@pytest.mark.parametrize("text, value", [("false", False), ("0", False), ("true", True)])
def test_a_switch_comes_from_the_environment_as_a_word(text: str, value: bool) -> None:
    assert read_config(None, {"GANTT_DEMO": text}).demo is value


# What stops the start.


def test_an_unknown_key_is_named(write: Any) -> None:
    assert "colour: no such key" in refusal(file=write('colour = "red"'))


def test_an_unknown_key_of_the_environment_is_named() -> None:
    assert "colour: no such key" in refusal(environment={"GANTT_COLOUR": "red"})


def test_an_unknown_key_of_a_token_is_named(write: Any) -> None:
    text = '[[tokens]]\ntoken = "a"\nuser = "b"\nrule = "admin"'
    assert "tokens.0.rule: no such key" in refusal(file=write(text))


def test_all_faults_are_told_at_once() -> None:
    text = refusal(flags={"port": -1, "log_level": "loud"})
    assert "port" in text and "log_level" in text


@pytest.mark.parametrize(
    "key, value",
    [
        ("port", -1),
        ("port", 65536),
        ("port", "http"),
        ("log_level", "loud"),
        ("date_format", "%d.%m.%Y"),
        ("duration_unit", "month"),
        ("timezone", "Mars/Base"),
        ("timezone", ""),
        ("timezone", "../etc/passwd"),
        ("anonymous", "editor"),
        ("demo", "perhaps"),
        ("max_body", 0),
        ("max_frame", 0),
        ("max_unsent", 0),
        ("ping_interval", 0),
        ("journal_days", 0),
        ("journal_changes", -1),
        ("origins", "https://a.example"),
        ("trusted_proxies", "127.0.0.1"),
        ("trusted_proxies", ["proxy.example"]),
        ("trusted_proxies", ["10.0.0.0/33"]),
        ("trust_proxy", True),
        ("keyfile", "key.pem"),
        ("metrics_port", 65536),
        ("drain", -1),
        ("tokens", "mine"),
        ("tokens", [{"token": "mine"}]),
        ("tokens", [{"user": "ann"}]),
        ("tokens", [{**MINE, "sha256": "0" * 64}]),
        ("tokens", [{**MINE, "role": "king"}]),
        ("tokens", [{**MINE, "user": ""}]),
        ("tokens", [{**MINE, "token": "a+b/c="}]),
        ("tokens", [{**MINE, "token": "a b"}]),
        ("tokens", [{"sha256": "abc", "user": "ann"}]),
        ("tokens", [{**MINE, "projects": ["Bridge"]}]),
        ("tokens", [{**MINE, "projects": ["bridge:king"]}]),
        ("tokens", [{**MINE, "projects": "bridge"}]),
        ("tokens", [{**MINE, "color": "red"}]),
        ("jwt", {"key": "k" * 32}),
        ("jwt", {"key": "k" * 32, "jwks": "keys.json", "audience": "plan"}),
        ("jwt", {"algorithms": ["none"]}),
        ("jwt", {"role": "king"}),
        ("jwt", {"secret": "k" * 32}),
    ],
)
def test_a_value_out_of_range_is_named(key: str, value: Any) -> None:
    assert key in refusal(flags={key: value})


def test_what_stands_in_the_place_of_a_key_that_there_was_is_said() -> None:
    assert "trusted_proxies" in refusal(flags={"trust_proxy": True})


def test_a_refusal_does_not_repeat_a_token() -> None:
    assert "s3cr3t" not in refusal(flags={"tokens": [{**MINE, "token": "s3cr3t+"}]})


def test_a_refusal_does_not_repeat_a_secret() -> None:
    assert "s3cr3t" not in refusal(flags={"jwt": {"key": "s3cr3t" * 6}})


def test_a_configuration_does_not_show_a_secret() -> None:
    assert "s3cr3t" not in repr(Config(jwt=Jwt(key="s3cr3t" * 6, audience="plan")))


def test_a_variable_that_is_not_json_is_named() -> None:
    assert "GANTT_TOKENS" in refusal(environment={"GANTT_TOKENS": "mine"})


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    assert "gone.toml" in refusal(file=tmp_path / "gone.toml")


def test_a_directory_is_no_file(tmp_path: Path) -> None:
    assert str(tmp_path) in refusal(file=tmp_path)


@pytest.mark.parametrize("text", ["port", "port = ", b"\xff\xfe", "port = 1\nport = 2"])
def test_a_file_that_is_no_toml_is_named(write: Any, text: str | bytes) -> None:
    assert "gantt.toml" in refusal(file=write(text))


# The demo's token.


@pytest.mark.parametrize("address", ["0.0.0.0", "", "::", "192.168.1.5", "plan.example"])
def test_the_demo_token_stays_on_this_machine(address: str) -> None:
    assert "tokens of your own" in refusal(flags={"address": address})


def test_the_demo_token_stays_on_this_machine_hashed_too() -> None:
    known = {"sha256": hashlib.sha256(b"token").hexdigest(), "user": "ann"}
    assert "tokens of your own" in refusal(flags={"address": "0.0.0.0", "tokens": [known]})


def test_with_tokens_of_its_own_a_server_listens_anywhere() -> None:
    assert read_config(flags={"address": "0.0.0.0", "tokens": [MINE]}).address == "0.0.0.0"


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "localhost"])
def test_an_address_of_this_machine(address: str) -> None:
    assert is_loopback(address)


@pytest.mark.parametrize("address", ["", "0.0.0.0", "::", "10.0.0.1", "localhost.example"])
def test_an_address_that_others_reach(address: str) -> None:
    assert not is_loopback(address)


def test_the_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().port = 1  # type: ignore[misc]


def test_the_calendar_is_made_of_three_settings() -> None:
    config = Config(date_format="iso", timezone="Europe/Berlin", duration_unit="hour")
    calendar = config.calendar
    assert (calendar.format, calendar.zone, calendar.unit) == ("iso", "Europe/Berlin", "hour")

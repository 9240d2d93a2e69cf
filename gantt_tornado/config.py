"""The configuration: one frozen table. Defaults < file < environment < flags."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import tomllib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from gantt_tornado.errors import StartError
from gantt_tornado.model.dates import Calendar
from gantt_tornado.model.project_info import NAME
from gantt_tornado.model.schema import OURS
from gantt_tornado.model.user import COLOR, Role, User, role_named, roles
from gantt_tornado.model.webhook_message import secret_bytes

#: Prefix of environment variables: ``GANTT_PORT``, ``GANTT_DATABASE``, …
ENVIRONMENT: Final = "GANTT_"

#: What the command has otherwise than an application that makes its own :class:`Config`:
#: somebody who tries it out shall see something.
COMMAND: Final[Mapping[str, Any]] = {"demo": True}

#: What reaches this machine from itself.
_LOOPBACK: Final = ("127.0.0.0/8", "::1")
#: Settings that are JSON in the environment.
_JSON: Final = ("tokens", "origins", "jwt", "trusted_proxies", "webhooks")

_FROZEN = ConfigDict(frozen=True, extra="forbid")


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"there is no time zone {name!r}") from None
    return name


def _network(address: str) -> str:
    try:
        ipaddress.ip_network(address, strict=False)
    except ValueError:
        raise ValueError(f"{address!r} is no address, nor one of a network") from None
    return address


class Token(BaseModel):
    """A token and whom it stands for. ``sha256`` may stand in place of ``token``.

    ``role`` is for all projects, or for those in ``projects``; there, ``bridge:viewer`` gives
    another role for one. ``name`` is what people read in place of ``user``.
    """

    model_config = _FROZEN

    token: str = Field(default="", pattern=r"^[A-Za-z0-9_-]*$")
    sha256: str = Field(default="", pattern=r"^([0-9a-f]{64})?$")
    user: str = Field(min_length=1)
    role: Literal["viewer", "editor", "admin"] = "editor"
    projects: tuple[str, ...] = ()
    name: str = ""
    color: str = Field(default="", pattern=rf"^({COLOR.pattern})?$")

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if bool(self.token) == bool(self.sha256):
            raise ValueError("a token needs either token or sha256")
        roles(Role[self.role], self.projects)
        return self

    @property
    def owner(self) -> User:
        """Whom it stands for."""
        role, projects = roles(role_named(self.role), self.projects)
        return User(self.user, role, projects, self.name, self.color, token=self.digest)

    @property
    def digest(self) -> str:
        """The token's SHA-256 in hex."""
        return self.sha256 or sha256_of(self.token)


class Jwt(BaseModel):
    """How JSON Web Tokens are checked; without a key none is accepted.

    ``key`` is a secret (HS256) or a public key as PEM (RS256, ES256); ``jwks`` is a file with
    a JSON Web Key Set in place of it. ``role`` is for tokens that state none; "" refuses them.
    """

    model_config = _FROZEN

    key: str = Field(default="", repr=False)
    jwks: str = ""
    algorithms: tuple[Literal["HS256", "RS256", "ES256"], ...] = ()
    audience: str = ""
    issuer: str = ""
    role: Literal["viewer", "editor", "admin", ""] = ""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if self.key and self.jwks:
            raise ValueError("either key or jwks, not both")
        if self.is_used and not self.audience:
            # The same issuer signs for others too, and their tokens are not meant for us.
            raise ValueError("an audience is needed: what stands in the tokens' aud")
        return self

    @property
    def is_used(self) -> bool:
        return bool(self.key or self.jwks)


class Webhook(BaseModel):
    """Where committed changes are posted. ``secret`` signs them: ``whsec_`` and base64.

    ``projects`` and ``entities`` are those whose changes are; () for all. ``allow_private`` lets
    the URL lead to this machine or to a private network.
    """

    model_config = _FROZEN

    url: str
    secret: str = Field(repr=False)
    projects: tuple[str, ...] = ()
    entities: tuple[str, ...] = ()
    allow_private: bool = False

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        try:
            parts = urlsplit(self.url)
            is_url = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_url = False
        if not is_url or "@" in parts.netloc or parts.fragment or not self.url.isprintable():
            raise ValueError("url: http:// or https:// with a host is expected, without a user")
        try:
            secret_bytes(self.secret)
        except ValueError as error:
            raise ValueError(f"secret: {error}") from None
        for name in self.projects:
            if not NAME.fullmatch(name):
                raise ValueError(f"projects: {name!r} is no name of a project")
        for name in self.entities:
            if name not in OURS.entities:
                raise ValueError(f"entities: there is no entity {name!r}")
        return self

    @property
    def key(self) -> str:
        """Under what its position is noted."""
        return sha256_of(self.url)

    @property
    def where(self) -> str:
        """The URL for people: without what may be secret in it."""
        parts = urlsplit(self.url)
        return f"{parts.scheme}://{parts.netloc}"

    @property
    def secret_bytes(self) -> bytes:
        return secret_bytes(self.secret)

    def hears_of(self, project: str) -> bool:
        return not self.projects or project in self.projects

    def tells(self, entity: str) -> bool:
        return not self.entities or entity in self.entities


class Config(BaseModel):
    """Every setting. ``config/default.toml`` shows them with their reasons, and as the
    command has them: of its own accord no plan but the command's starts with the demo.

    Sizes are in bytes, times in seconds where the name does not say otherwise.
    """

    model_config = _FROZEN

    address: str = "127.0.0.1"
    port: int = Field(default=8888, ge=0, le=65535)
    database: str = "sqlite:///gantt.db"
    demo: bool = False
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_format: Literal["text", "json"] = "text"
    log_file: str = ""

    date_format: Literal["%Y-%m-%d %H:%M", "%d-%m-%Y %H:%M", "iso"] = "%Y-%m-%d %H:%M"
    duration_unit: Literal["minute", "hour", "day", "week"] = "day"
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    html: Literal["text", "clean"] = "text"

    tokens: tuple[Token, ...] = (Token(token="token", user="demo", role="admin"),)
    jwt: Jwt = Jwt()
    webhooks: tuple[Webhook, ...] = ()
    anonymous: Literal["viewer", ""] = "viewer"
    origins: tuple[str, ...] = ()
    trusted_proxies: tuple[Annotated[str, AfterValidator(_network)], ...] = ()
    certfile: str = ""
    keyfile: str = ""

    metrics_port: int = Field(default=0, ge=0, le=65535)
    metrics_address: str = "127.0.0.1"
    drain: float = Field(default=0, ge=0, le=600)

    max_body: int = Field(default=1 << 20, ge=1024)
    max_frame: int = Field(default=64 << 10, ge=1024)
    max_unsent: int = Field(default=4 << 20, ge=64 << 10)
    max_rows_a_write: int = Field(default=20_000, ge=100)
    ping_interval: float = Field(default=20, gt=0)
    max_header: int = Field(default=32 << 10, ge=1024)
    idle_timeout: float = Field(default=75, gt=0)
    body_timeout: float = Field(default=60, gt=0)

    writes_a_second: float = Field(default=0, ge=0)
    calls_a_second: float = Field(default=0, ge=0)
    projects_a_minute: float = Field(default=0, ge=0)
    sockets_a_person: int = Field(default=0, ge=0)
    address_times: float = Field(default=20, ge=0)
    max_items: int = Field(default=0, ge=0)

    scheduler: bool = True

    project_idle: float = Field(default=300, ge=10)

    journal_days: float = Field(default=30, gt=0)
    journal_changes: int = Field(default=1_000_000, ge=0)

    @model_validator(mode="after")
    def _key_has_its_certificate(self) -> Self:
        if self.keyfile and not self.certfile:
            raise ValueError("a keyfile needs its certfile")
        return self

    @model_validator(mode="after")
    def _known_token_stays_home(self) -> Self:
        if has_demo_token(self) and not is_loopback(self.address):
            raise ValueError(
                f"the demo's token is known to everybody: give tokens of your own before you "
                f"listen on {self.address or 'all addresses'}"
            )
        return self

    @model_validator(mode="after")
    def _each_webhook_stands_once(self) -> Self:
        urls = [hook.url for hook in self.webhooks]
        if len({*urls}) < len(urls):
            raise ValueError("webhooks: each needs a URL of its own")
        return self

    @property
    def unlimited(self) -> tuple[str, ...]:
        """Addresses from which many people come: this machine's own, and the proxies'."""
        return (*_LOOPBACK, *self.trusted_proxies)

    @property
    def calendar(self) -> Calendar:
        return Calendar(self.date_format, self.timezone, self.duration_unit)


def has_demo_token(config: Config) -> bool:
    """Whether one may sign in with the token that is known to everybody."""
    return any(token.digest == sha256_of("token") for token in config.tokens)


def sha256_of(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach the address."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


# Each request asks for its own address.
@lru_cache(maxsize=1024)
def trusts(networks: tuple[str, ...], address: str) -> bool:
    """Whether an address is one of some addresses and networks."""
    try:
        peer = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped is not None:
        # On a socket that listens on both.
        peer = peer.ipv4_mapped
    return any(peer in ipaddress.ip_network(each, strict=False) for each in networks)


@lru_cache(maxsize=1024)
def network_of(address: str) -> str:
    """Where one client comes from, who may have all addresses of a /64 of IPv6; any other address
    is its own."""
    try:
        peer = ipaddress.ip_address(address)
    except ValueError:
        return address
    if not isinstance(peer, ipaddress.IPv6Address):
        return address
    if peer.ipv4_mapped is not None:
        return str(peer.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(peer) >> 64 << 64, 64)))


def read_config(
    file: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Any] | None = None,
) -> Config:
    """The command's configuration, from all its sources.

    Raises:
        StartError: an unknown key, a value out of range, a file that cannot be read; the
            text names the key.
    """
    values = {**COMMAND, **(_read_file(file) if file else {})}
    values |= _read_environment(environment or {})
    values |= {key: value for key, value in (flags or {}).items() if value is not None}
    try:
        return Config(**values)
    except ValidationError as error:
        raise StartError(f"bad configuration: {_faults(error)}") from None


def _read_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise StartError(f"cannot read the configuration {file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StartError(f"cannot read the configuration {file}: {error}") from None


def _read_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, text in environment.items():
        if not name.startswith(ENVIRONMENT):
            continue
        key = name.removeprefix(ENVIRONMENT).lower()
        try:
            values[key] = json.loads(text) if key in _JSON else text
        except ValueError:
            raise StartError(f"bad configuration: {name} is not JSON") from None
    return values


#: What stands in place of a key that there was.
_GONE: Final = {"trust_proxy": "trusted_proxies, the proxies' addresses, stands in its place"}


def _faults(error: ValidationError) -> str:
    faults = []
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        key = ".".join(str(part) for part in fault["loc"])
        text = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            text = _GONE.get(key, "no such key")
        faults.append(f"{key}: {text}" if key else text)
    return "; ".join(faults)

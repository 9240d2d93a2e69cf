"""Proxies in front: from those that are listed, and from nobody else, ``X-Forwarded-*`` counts.

Who can reach this server beside them could else say that they are anybody.
"""

from __future__ import annotations

import ipaddress
import re
from typing import Final

from tornado.httputil import HTTPServerRequest

from gantt_tornado.config import Config, trusts

#: Behind a host's name, or behind the bracket of an IPv6 address.
_PORT: Final = re.compile(r":\d*$")


def see_through(config: Config, request: HTTPServerRequest) -> None:
    """Have ``remote_ip`` be the address of the client that a trusted proxy speaks for."""
    if config.trusted_proxies and is_trusted(config, request):
        request.remote_ip = _client(config, request)


def is_trusted(config: Config, request: HTTPServerRequest) -> bool:
    """Whether a request comes from one of the trusted proxies."""
    return trusts(config.trusted_proxies, _peer(request))


def asked_for(config: Config, request: HTTPServerRequest) -> tuple[str, bool]:
    """The host in the URL that the browser requested, mostly with its port, and whether one can
    tell by that at which port: nginx's usual ``Host $host`` has none."""
    headers = request.headers
    host = headers.get("Host", "")
    if not is_trusted(config, request):
        return host, True
    # Of several proxies the first one received the browser's request.
    named = headers.get("X-Forwarded-Host", "").partition(",")[0].strip()
    port = headers.get("X-Forwarded-Port", "").partition(",")[0].strip()
    host = named or host
    if _PORT.search(host):
        return host, True
    if port.isdigit():
        return f"{host}:{port}", True
    return host, bool(named)


def _peer(request: HTTPServerRequest) -> str:
    """The address at the other end of the connection."""
    return getattr(getattr(request.connection, "context", None), "remote_ip", "")


def _client(config: Config, request: HTTPServerRequest) -> str:
    """Whom the proxies have let in: the last of the list that is none of them. What stands before
    it anybody may have put there."""
    client = _peer(request)
    forwarded = request.headers.get_list("X-Forwarded-For")
    for each in reversed(",".join(forwarded).split(",") if forwarded else [_real(request)]):
        address = each.strip()
        if not _is_address(address):
            break
        client = address
        if not trusts(config.trusted_proxies, address):
            break
    return client


def _real(request: HTTPServerRequest) -> str:
    return request.headers.get("X-Real-Ip", "")


def _is_address(text: str) -> bool:
    # Behind a zone's % any text may stand, and no client elsewhere has a zone.
    if "%" in text:
        return False
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True

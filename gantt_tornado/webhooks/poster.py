"""One POST to a webhook: bounded in time and size, and only to an address that may be reached.

What is checked is the address that is connected to: the name is resolved once, its addresses are
looked at, and the connection goes to one of these, with the name in its Host and its TLS handshake.
Redirects are not followed.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final

from tornado.netutil import Resolver
from tornado.simple_httpclient import SimpleAsyncHTTPClient

#: Seconds for the connection, and for all of it.
CONNECT_TIMEOUT: Final = 5.0
TIMEOUT: Final = 15.0
#: Seconds for the look-up of its name: less than for the connection, which would end the wait but
#: not what waits.
LOOK_UP_TIMEOUT: Final = 4.0
#: Bytes of an answer's body, and of its headers.
LARGEST_ANSWER: Final = 64 << 10
LARGEST_HEADERS: Final = 16 << 10
#: Seconds to wait that an answer may ask for.
LONGEST_WAIT: Final = 3600.0
#: Behind it stands an IPv4 address, which a gateway leads to (RFC 6052).
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
#: All of IPv6 that is given to the internet (RFC 4291). Python takes for global what is not listed
#: as something else, old networks of a site's own and what nobody has been given among it.
_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
#: Given to the internet by its number, and yet not of it: examples (RFC 9637), and relays that lead
#: into the next network with 6to4 (RFC 7526).
_EXAMPLES: Final = ipaddress.IPv6Network("3fff::/20")
_RELAYS: Final = ipaddress.IPv4Network("192.88.99.0/24")
#: In the middle of an address before an IPv4 one, which a router leads to (RFC 5214).
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)


class AddressRefused(OSError):
    """The name leads to no address that may be reached."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a POST: "" where the message was taken, and otherwise why it was not.
    ``wait`` are the seconds that the answer asks to wait for."""

    failure: str = ""
    wait: float = 0.0


#: What a name leads to, as Tornado has it: a family and the address for a socket of it.
Addresses = list[tuple[int, Any]]


class OneByOneResolver(Resolver):
    """Looks names up on threads of its own, one at a time.

    Nothing can end a look-up that hangs. On the loop's default executor a few of them would keep
    its threads from everybody, and its close waiting; here one thread a hook hangs, which nothing
    waits for. A look-up of the same name meanwhile is answered with that one's outcome.

    Args:
        patience: seconds that one waits for an answer.
    """

    def initialize(self, patience: float = LOOK_UP_TIMEOUT) -> None:
        self._patience = patience
        self._asked: tuple[object, ...] = ()
        self._answer: asyncio.Future[Addresses] | None = None

    async def resolve(
        self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> Addresses:
        asked = (host, port, family)
        if self._answer is None or self._answer.done():
            self._asked, self._answer = asked, _look_up(host, port, family)
        elif self._asked != asked:
            raise TimeoutError("the look-up of another name still hangs")
        answer = self._answer
        await asyncio.wait((answer,), timeout=self._patience)
        if not answer.done():
            raise TimeoutError(f"Timeout while resolving {host}")
        return answer.result()


def _look_up(host: str, port: int, family: socket.AddressFamily) -> asyncio.Future[Addresses]:
    """Ask on a thread that a process may end without."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Addresses] = loop.create_future()
    # Nobody may be left to be told of an error.
    answer.add_done_callback(lambda done: done.cancelled() or done.exception())

    def tell(found: Addresses | None, error: Exception | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(found or [])
        else:
            answer.set_exception(error)

    def run() -> None:
        found: Addresses | None = None
        failed: Exception | None = None
        try:
            # With a type, for each address is there once for each.
            every = socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
            found = [(kind, address) for kind, _, _, _, address in every]
        except Exception as error:
            failed = error
        # The loop may be closed by then.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, found, failed)

    threading.Thread(target=run, name="gantt-look-up", daemon=True).start()
    return answer


class CheckedResolver(Resolver):
    """Resolves names to public addresses alone."""

    def initialize(self, resolver: Resolver) -> None:
        self._resolver = resolver

    def close(self) -> None:
        self._resolver.close()

    async def resolve(
        self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> Addresses:
        found = await self._resolver.resolve(host, port, family)
        public = [(kind, address) for kind, address in found if is_public(address[0])]
        if not public:
            raise AddressRefused("a private address, and allow_private is not set")
        return public


class Poster:
    """Posts to one URL. It belongs on the loop.

    Args:
        allow_private: whether addresses of this machine and of private networks may be reached.
    """

    def __init__(self, url: str, allow_private: bool, timeout: float = TIMEOUT) -> None:
        self._url = url
        self._timeout = timeout
        resolver = OneByOneResolver(patience=min(LOOK_UP_TIMEOUT, timeout / 2))
        self._resolver = resolver if allow_private else CheckedResolver(resolver)
        self._client = SimpleAsyncHTTPClient(
            force_instance=True,
            resolver=self._resolver,
            max_clients=1,
            max_header_size=LARGEST_HEADERS,
            max_body_size=LARGEST_ANSWER,
            # Bytes read ahead, also of an answer that ends with its connection.
            max_buffer_size=2 * LARGEST_ANSWER,
        )

    async def post(self, headers: Mapping[str, str], body: bytes) -> Outcome:
        """Send a message once. Does not raise."""
        try:
            answer = await self._client.fetch(
                self._url,
                raise_error=False,
                method="POST",
                headers=dict(headers),
                body=body,
                user_agent="gantt-tornado",
                follow_redirects=False,
                decompress_response=False,
                connect_timeout=min(CONNECT_TIMEOUT, self._timeout),
                request_timeout=self._timeout,
            )
        except Exception as error:
            # Whatever a receiver makes of HTTP.
            return Outcome(_said(error))
        if answer.error is None:
            return Outcome()
        if answer.code == 599:
            return Outcome(_said(answer.error))
        moved = ", and redirects are not followed" if 300 <= answer.code < 400 else ""
        return Outcome(f"HTTP {answer.code}{moved}", _seconds(answer.headers.get("Retry-After")))

    def close(self) -> None:
        self._client.close()
        self._resolver.close()


def is_public(address: str) -> bool:
    """Whether an address is one of the internet, in each way in which IPv6 can spell an IPv4
    one."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv4Address):
        return _is_public_ipv4(ip)
    last = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
    if ip.ipv4_mapped or ip in _NAT64:
        return _is_public_ipv4(last)
    if ip not in _UNICAST or ip in _EXAMPLES or not ip.is_global:
        return False
    inner = ip.sixtofour or (ip.teredo and ip.teredo[1])
    if (int(ip) >> 32) & 0xFFFF_FFFF in _ISATAP:
        inner = last
    return not inner or _is_public_ipv4(inner)


def _is_public_ipv4(ip: ipaddress.IPv4Address) -> bool:
    return ip.is_global and not ip.is_multicast and ip not in _RELAYS


def _said(error: BaseException) -> str:
    text = str(error) or type(error).__name__
    return text.removeprefix("HTTP 599: ")


def _seconds(text: str | None) -> float:
    """What a Retry-After asks for; one with a date counts for nothing."""
    return min(float(text), LONGEST_WAIT) if text and text.isdecimal() else 0.0

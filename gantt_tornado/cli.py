"""The command: ``python server.py --port 8888``, installed also as ``gantt-tornado``."""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import os
import signal
import ssl
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from socket import socket
from typing import Any, Final, NoReturn

from tornado import httpserver, netutil

from gantt_tornado import __version__, conform_command, database_commands, token_commands
from gantt_tornado.accounts import Accounts
from gantt_tornado.backend import Backend
from gantt_tornado.config import ENVIRONMENT, Config, has_demo_token, read_config
from gantt_tornado.errors import StartError
from gantt_tornado.web import logs
from gantt_tornado.web.app import http_limits, make_app, make_metrics_app
from gantt_tornado.web.paced_listener import paced_listeners, raise_limit

log = logging.getLogger(__name__)

#: The exit status of a server that could not start.
CANNOT_START: Final = 2
_PACKAGE: Final = Path(__file__).parent
#: Configurations that come with it.
SAMPLES: Final = ("default", "production")
#: Settings that SIGHUP reads anew.
RENEWED: Final = frozenset({"tokens", "jwt"})
#: Connections that may wait while the loop is busy: a company's browsers after a restart.
BACKLOG: Final = 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until SIGINT or SIGTERM. Returns the exit status."""
    try:
        flags = vars(_parser().parse_args(arguments))
        if run := flags.pop("run", None):
            return int(run(flags) or 0)
        if name := flags.pop("print_config"):
            print(_sample(name), end="")
            return 0
        file = flags.pop("config")
        read = partial(read_config, file, os.environ, flags)
        config = read()
        try:
            handler = logs.start(config)
        except OSError as error:
            raise StartError(f"cannot write the log {config.log_file}: {error.strerror}") from None
        asyncio.run(serve(config, read, handler))
    except StartError as error:
        print(f"gantt-tornado: {error}", file=sys.stderr)
        return CANNOT_START
    return 0


async def serve(config: Config, read: Callable[[], Config], handler: logging.Handler) -> None:
    """Run a server until it is told to stop.

    Args:
        read: reads the configuration anew.
        handler: writes the log.

    Raises:
        StartError: the port or the database cannot be had.
    """
    raise_limit()
    backend = Backend(config)
    tls = _tls(config) if config.certfile else None
    with ExitStack() as bound:
        sockets = _bind(bound, config.port, config.address)
        watched = config.metrics_port and _bind(bound, config.metrics_port, config.metrics_address)
        told = _signals()
        await backend.start()
        # They are the servers' from here on.
        bound.pop_all()
    limits = http_limits(config)
    server = httpserver.HTTPServer(make_app(backend), ssl_options=tls, **limits)
    sockets = paced_listeners(sockets, config.idle_timeout)
    server.add_sockets(sockets)
    metrics = httpserver.HTTPServer(make_metrics_app(backend), **limits)
    metrics.add_sockets(watched or [])
    port = sockets[0].getsockname()[1]
    renewal = Renewal(config, read, backend, tls, handler)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, renewal.begin)
    url = f"{'https' if tls else 'http'}://{_host(config.address)}:{port}"
    print(f"gantt-tornado {__version__} serves {url}", flush=True)
    _spare_the_collector()
    await _told_to_end(told, backend, config.drain)
    loop.remove_signal_handler(signal.SIGHUP)
    # A terminal that closes sends it too.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    server.stop()
    await backend.close()
    metrics.stop()
    await server.close_all_connections()
    await metrics.close_all_connections()


class Renewal:
    """What SIGHUP does: the log's file is opened anew, tokens and keys of the configuration and the
    certificate are read anew. Where something is wrong with them, what was there goes on; a log
    that cannot be opened keeps nobody's token."""

    def __init__(
        self,
        config: Config,
        read: Callable[[], Config],
        backend: Backend,
        tls: ssl.SSLContext | None,
        handler: logging.Handler,
    ) -> None:
        self._config = config
        # What tokens and keys were last read from.
        self._latest = config
        self._read = read
        self._backend = backend
        self._tls = tls
        self._handler = handler
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def begin(self) -> None:
        """Do it; where it is being done, once more behind that, for what has changed meanwhile."""
        self._again = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._renew_all())

    async def _renew_all(self) -> None:
        while self._again:
            self._again = False
            await self._renew()

    def _reopen(self) -> None:
        if not isinstance(self._handler, logs.LogFile):
            return
        try:
            self._handler.reopen()
        except OSError as error:
            log.error("SIGHUP: the log cannot be opened anew: %s", error)

    async def _renew(self) -> None:
        self._reopen()
        try:
            loop = asyncio.get_running_loop()
            config, accounts = await loop.run_in_executor(None, self._reread)
            if self._tls is not None:
                # One that is no good must not be half in use.
                _tls(self._config)
                load_certificate(self._tls, self._config)
        except Exception as error:
            log.error("SIGHUP: nothing is read anew: %s", error)
            return
        self._latest = config
        self._backend.sign_in_anew(accounts)
        log.warning("SIGHUP: tokens, keys and certificates are read anew%s", self._rest(config))

    def _reread(self) -> tuple[Config, Accounts]:
        config = self._read()
        self._check_tokens(config)
        return config, Accounts(config)

    def _check_tokens(self, config: Config) -> None:
        """Of a file that is being written, or was truncated, the rest may be read: without any
        tokens in it the demo's would stand, which is an admin's and known to everybody.

        Raises:
            StartError: tokens are gone without a word, or the demo's is there.
        """
        if "tokens" in self._latest.model_fields_set - config.model_fields_set:
            raise StartError("there were tokens, and now there is no word of them (tokens = []?)")
        if has_demo_token(config) and not has_demo_token(self._latest):
            raise StartError("the demo's token takes a restart")

    def _rest(self, config: Config) -> str:
        """Says which other settings have changed, which take a restart."""
        now = config.model_dump(exclude=set(RENEWED))
        before = self._config.model_dump(exclude=set(RENEWED))
        changed = sorted(name for name in now if now[name] != before[name])
        return f"; these take a restart: {', '.join(changed)}" if changed else ""


def _tls(config: Config) -> ssl.SSLContext:
    """Raises:
    StartError: the certificate or its key cannot be used.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    load_certificate(context, config)
    return context


def load_certificate(context: ssl.SSLContext, config: Config) -> None:
    """Have new connections see the certificate as the files have it now.

    Raises:
        StartError: it cannot be used.
    """
    try:
        # A key with a passphrase would ask for it on the terminal.
        context.load_cert_chain(config.certfile, config.keyfile or None, password=lambda: "")
    except (OSError, ValueError) as error:
        files = " and ".join(filter(None, (config.certfile, config.keyfile)))
        raise StartError(f"cannot use the certificate of {files}: {error}") from None


def _bind(bound: ExitStack, port: int, address: str) -> list[socket]:
    """Listening sockets, which are closed with ``bound``."""
    try:
        sockets = netutil.bind_sockets(port, address, backlog=BACKLOG)
    except OSError as error:
        raise StartError(f"cannot listen on {address}:{port}: {error.strerror}") from None
    for each in sockets:
        bound.callback(each.close)
    return sockets


def _signals() -> asyncio.Queue[None]:
    """What says that the server shall end, as often as somebody says so."""
    told: asyncio.Queue[None] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, told.put_nowait, None)
    # Until there is something to be read anew: by itself it would end the process.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    return told


async def _told_to_end(told: asyncio.Queue[None], backend: Backend, drain: float) -> None:
    """Wait for a signal, and go on for ``drain`` seconds behind it, or until the next."""
    await told.get()
    log.info("shutting down")
    backend.readiness.is_closing = True
    with suppress(TimeoutError):
        await asyncio.wait_for(told.get(), drain)


def _spare_the_collector() -> None:
    """Let Python look for garbage in circles less often, and never at the plan.

    A full look at what a thousand open sockets hold stops the loop for a tenth of a second,
    and comes several times while they connect. Hardly any of it is garbage: counting
    references frees nearly all.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise StartError(f"{message} (--help shows what there is)")


def _parser() -> argparse.ArgumentParser:
    defaults = Config()
    parser = _Parser(
        prog="gantt-tornado",
        description="The server side of DHTMLX Gantt's Multi-User Live Updates.",
        epilog=f"Every setting can also stand in the file of --config, or in the environment "
        f"with the prefix {ENVIRONMENT} ({ENVIRONMENT}PORT=8888). Flags win over the "
        "environment, which wins over the file.",
        allow_abbrev=False,
    )

    def flag(name: str, metavar: str, help: str, **more: Any) -> None:
        default = getattr(defaults, name)
        parser.add_argument(
            "--" + name.replace("_", "-"),
            metavar=metavar,
            help=f"{help} (default: {default})".replace("%", "%%"),
            **more,
        )

    flag("port", "PORT", "port to listen on; 0 takes a free one", type=int)
    flag("address", "ADDRESS", "address to listen on")
    flag("database", "URL", "where the plan is kept")
    flag("log_level", "LEVEL", "debug, info, warning or error")
    parser.add_argument(
        "--config", metavar="FILE", type=Path, help="a TOML file of settings (default: none)"
    )
    parser.add_argument(
        "--print-config", metavar="NAME", choices=SAMPLES,
        help="print a file of settings to begin with: default or production",
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(title="other commands", metavar="COMMAND")
    token_commands.add(commands)
    database_commands.add(commands)
    conform_command.add(commands)
    return parser


def _sample(name: str) -> str:
    """One of the configurations that come with it."""
    # Beside the package in a source tree, inside it in a wheel.
    folders = (_PACKAGE / "samples", _PACKAGE.parent / "config")
    files = (folder / f"{name}.toml" for folder in folders)
    return next(file for file in files if file.is_file()).read_text("utf-8")


def _host(address: str) -> str:
    """What to type into a browser on this machine."""
    if address in ("", "0.0.0.0", "::"):
        return "127.0.0.1"
    return f"[{address}]" if ":" in address else address

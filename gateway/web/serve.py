"""The page's process: sockets, TLS, and its end when nobody looks."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import ssl
from collections.abc import Sequence

import uvloop
from uvicorn import Config

from gateway.control.http import QuietServer
from gateway.ops.fingerprints import fingerprint
from gateway.web.app import SECTIONS, create_app
from gateway.web.certificate import Pair
from gateway.web.control import ControlGateway
from gateway.web.door import LONGEST_HEAD, Door, Request
from gateway.web.services import Services
from gateway.web.settings import WebSettings

log = logging.getLogger(__name__)

NICE = 10
"""A tenth of the weight that the gateway has where both want the same core."""
_FIRST_FD = 3
_LOOK_S = 1.0
_SHUTDOWN_S = 1


class CannotListen(Exception):
    """No socket to serve on. The message is one sentence."""


def serve(settings: WebSettings) -> None:
    """Serve until SIGTERM, SIGINT, or nobody has been here for long enough. Raises CannotListen or OSError.

    Prints the page's address on standard output when it can be opened.
    """
    os.umask(os.umask(0o022) | 0o022)
    # Whoever is attacked from the network comes after what collects; so do the processes that this one starts.
    if os.getpriority(os.PRIO_PROCESS, 0) < NICE:  # a unit may have seen to it, and forbid the call
        os.setpriority(os.PRIO_PROCESS, 0, NICE)
    listeners = _handed_over() or _bound(settings.listen)
    uvloop.run(_serve(settings, listeners))


async def _serve(settings: WebSettings, listeners: Sequence[socket.socket]) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    pair = Pair.of(settings.state)
    tls = pair.context()
    services = Services.of(ControlGateway(settings.socket), settings.state, SECTIONS)
    server = _Server(
        Config(
            create_app(services),
            lifespan="off",
            log_config=None,
            access_log=False,
            ws="none",
            http=Request,
            timeout_graceful_shutdown=_SHUTDOWN_S,
            server_header=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=LONGEST_HEAD,
        ),
        listeners,
        tls,
    )
    serving = asyncio.create_task(server.serve(sockets=[]))
    await server.open.wait()
    log.info("certificate fingerprint (SHA-256) %s", fingerprint(pair.certificate))
    for listener in listeners:
        print(f"https://{_shown(listener)}/", flush=True)  # noqa: T201 - what whoever started us waits for
    try:
        await _until_idle(server.door, settings.idle_exit_s, stop, pair, tls)
    finally:
        services.stopping.set()
        server.should_exit = True
        await serving
        services.save()


async def _until_idle(
    door: Door, idle_exit_s: float | None, stop: asyncio.Event, pair: Pair, tls: ssl.SSLContext
) -> None:
    """Until told to stop, or nobody was here for `idle_exit_s`. Takes up another certificate when there is one."""
    loop, changed_ns = asyncio.get_running_loop(), pair.changed_ns()
    while not stop.is_set():
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), _LOOK_S)
        idle = door.idle_since
        if idle_exit_s is not None and idle is not None and loop.time() - idle > idle_exit_s:
            log.info("nobody is here: the page ends until somebody comes")
            return
        if (now_ns := pair.changed_ns()) not in (0, changed_ns):
            changed_ns = now_ns
            try:
                pair.context()  # whether they fit together, before the one in use is touched
                tls.load_cert_chain(pair.certificate, pair.key)
            except OSError as error:
                log.error("the new certificate can't be used, the old one stays: %s", error)
            else:
                log.info("another certificate, fingerprint (SHA-256) %s", fingerprint(pair.certificate))


class _Server(QuietServer):
    """uvicorn behind our own door."""

    door: Door

    def __init__(self, config: Config, listeners: Sequence[socket.socket], tls: ssl.SSLContext) -> None:
        super().__init__(config)
        self._listeners = listeners
        self._tls = tls
        self.open = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self.door = Door(self._listeners, self._request, self._tls)
        self.open.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self.door.close()
        await super().shutdown(sockets=sockets)
        await self.door.empty()
        for listener in self._listeners:
            listener.close()

    def _request(self) -> Request:
        return Request(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)


def _handed_over() -> list[socket.socket]:
    """The sockets of socket activation (sd_listen_fds(3)); none if it isn't for us."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return []
    handed = int(os.environ.get("LISTEN_FDS", "0"))
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        os.environ.pop(name, None)
    return [socket.socket(fileno=number) for number in range(_FIRST_FD, _FIRST_FD + handed)]


def _bound(addresses: Sequence[str]) -> list[socket.socket]:
    listeners = []
    for address in addresses:
        host, _, port = address.rpartition(":")
        host = host.strip("[]")
        try:
            listeners.append(
                socket.create_server(
                    (host, int(port)), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=256
                )
            )
        except (OSError, ValueError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or error
            raise CannotListen(f"the page can't listen on {address}: {reason}") from None
    if not listeners:
        raise CannotListen("the page has nothing to listen on")
    return listeners


def _shown(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    if host in {"0.0.0.0", "::"}:
        host = socket.gethostname()
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

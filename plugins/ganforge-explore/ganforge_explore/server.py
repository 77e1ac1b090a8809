"""Server of the page: its address, its port and its end."""

from __future__ import annotations

import errno
import gc
import ipaddress
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import uvicorn

from ganforge.errors import UsageError
from ganforge.latent_space.space import LatentSpace
from ganforge.utils.signals import EXIT_CODES
from ganforge_explore.application import application
from ganforge_explore.explorer import Explorer
from ganforge_explore.guard import guarded
from ganforge_explore.turns import Turns

#: First port, ports that are tried, and connections at a time.
FIRST_PORT, NUM_PORTS, MAX_CONNECTIONS = 7860, 100, 256


def serve(space: LatentSpace, *, host: str, port: int | None, show_address: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C, SIGTERM or SIGHUP.

    Args:
        space: Latent space of the checkpoint to begin with.
        host: Address to listen on. All but loopback addresses need the token that the shown address has.
        port: Port to listen on, 0 for any; by default the first free one from 7860.
        show_address: Called with the address of the page.

    Raises:
        UsageError: The address cannot be listened on.
        GanforgeError: The generator needs conditions, and the data cannot be read.
    """
    listener = listen(host, port)
    address, port = listener.getsockname()[:2]
    network = ipaddress.ip_address(address.partition("%")[0])  # without the interface of an IPv6 address
    token = None if network.is_loopback else secrets.token_urlsafe(16)
    explorer, turns = Explorer(space), Turns()
    name = socket.gethostname() if network.is_unspecified else f"[{address}]" if ":" in address else address
    shown = f"http://{name}:{port}/" + ("" if token is None else f"?token={token}")
    server = _Server(
        uvicorn.Config(
            guarded(application(explorer, turns), token=token, port=port),
            log_config=None,
            log_level="critical",
            access_log=False,
            server_header=False,
            proxy_headers=False,
            lifespan="off",
            ws="none",
            http="h11",
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=0,
        ),
        started=partial(show_address, shown),
    )
    for number, code in EXIT_CODES.items():
        if number != signal.SIGINT and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, partial(_exit, code))
    try:
        with suppress(KeyboardInterrupt), listener:
            server.run(sockets=[listener])
    finally:
        turns.stop()
        gc.freeze()  # without a last search for garbage among torch's objects the process ends a second earlier


class _Server(uvicorn.Server):  # type: ignore[misc, unused-ignore]  # Any without uvicorn
    """Server that announces its start, when Ctrl-C already ends it in order."""

    def __init__(self, config: uvicorn.Config, *, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._started = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._started()


def _exit(code: int, *_: object) -> None:
    """Exit in a signal handler, so that a temporary folder of the run is removed."""
    sys.exit(code)


def listen(host: str, port: int | None) -> socket.socket:
    """Return a listening socket.

    Args:
        host: Address or name of this machine.
        port: The port, 0 for any; by default the first free one from 7860.

    Raises:
        UsageError: The address does not exist, or the port is taken or forbidden.
    """
    ports = range(FIRST_PORT, FIRST_PORT + NUM_PORTS) if port is None else [port]
    reason: object = "no free port"
    for candidate in ports:
        try:
            family = socket.getaddrinfo(host, candidate, type=socket.SOCK_STREAM)[0][0]
            return socket.create_server((host, candidate), family=family)
        except (OSError, UnicodeError) as error:
            reason = getattr(error, "strerror", None) or error
            if not isinstance(error, OSError) or error.errno != errno.EADDRINUSE:
                break
            reason = os.strerror(error.errno)  # create_server adds the address
    fix = "choose another --port, or leave it out for the next free one" if port is not None else None
    raise UsageError(f"cannot listen on {host}, port {ports[0]}: {reason}", fix=fix)

"""Guard of the server: tokens, hosts and headers."""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any, TypeAlias

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def guarded(inner: Application, *, token: str | None, port: int) -> Application:
    """Return an application that answers visitors with the token, or of this machine, and adds safe headers.

    Args:
        inner: The application.
        token: The token; if None, requests under another name than this machine's are refused, since a foreign page
            could send them (DNS rebinding).
        port: Port of the server, which is part of the cookie's name: cookies are shared by all ports of a machine.
    """
    cookie = f"ganforge-explore-{port}"

    async def answer(scope: Message, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        request = Request(scope)
        response = None
        if token is None:
            if not _is_local(Headers(scope=scope).get("host", "")):
                response = PlainTextResponse("Open the address that ganforge explore shows.", HTTPStatus.FORBIDDEN)
        elif _equal(request.query_params.get("token"), token):
            response = RedirectResponse("./", HTTPStatus.SEE_OTHER)  # also behind a proxy that adds a prefix
            response.set_cookie(cookie, token, httponly=True, samesite="lax")
        elif not _equal(request.cookies.get(cookie), token):
            text = "Open the address that ganforge explore shows, with its token."
            response = PlainTextResponse(text, HTTPStatus.FORBIDDEN)
        await (inner if response is None else response)(scope, receive, send_with_headers)

    return answer


def _equal(given: str | None, token: str) -> bool:
    return given is not None and secrets.compare_digest(given.encode(errors="replace"), token.encode())


def _is_local(host: str) -> bool:
    """Return whether a Host header names this machine: localhost, or a loopback address."""
    name = host.rpartition(":")[0] if host.rpartition(":")[2].isdecimal() else host
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name.strip("[]")).is_loopback
    except ValueError:
        return False

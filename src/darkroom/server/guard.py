"""Who may come in: the right host, the right page, the right token; and what browsers are told about answers.

Pure ASGI, so that it stands before every route, mounted apps and sockets too.
"""

import base64
import binascii
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import sha256
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from darkroom.server.errors import refusal
from darkroom.server.headers import marked
from darkroom.server.settings import LOCAL_NAMES, Settings, is_address

COOKIE = "darkroom"
LOGIN = "/login"
OPEN = (LOGIN,)
"""What can be asked for without a token."""
TOO_LARGE = "the request is too large; send smaller pictures."


@dataclass(frozen=True)
class Stopped:
    """Why somebody was not let in."""

    status: int
    message: str


class Guard:
    """Lets through what may come in, with ``scope["state"]["owner"]`` saying whose it is."""

    def __init__(self, app: ASGIApp, settings: Settings) -> None:
        self.app, self.settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        sending = marked(send)
        stopped = self._stopped(scope)
        if stopped is None:
            await self.app(scope, bounded(receive, self.settings.body), sending)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await _answer(scope, stopped)(scope, receive, sending)

    def _stopped(self, scope: Scope) -> Stopped | None:
        headers = Headers(scope=scope)
        if not self._is_our_name(headers.getlist("host"), scope):
            return Stopped(421, "this server does not go by that name; add it with --allow-host.")
        if not self._may_ask(headers, scope):
            return Stopped(403, "a page of another origin asked; add it with --allow-origin if you trust it.")
        owner = owner_of(headers, self.settings)
        if owner is None and scope["path"] not in OPEN:
            return Stopped(401, "the token is missing or wrong; send it as 'Authorization: Bearer TOKEN'.")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > self.settings.body:
            return Stopped(413, TOO_LARGE)
        scope.setdefault("state", {})["owner"] = owner or ""
        return None

    def _is_our_name(self, hosts: list[str], scope: Scope) -> bool:
        """A name that leads here by a name server's trick is not among ours; addresses cannot lie."""
        if len(hosts) != 1:
            return False
        name, here = _without_port(hosts[0].lower()), (scope.get("server") or ("", 0))[0]
        known = {*LOCAL_NAMES, *(host.lower() for host in self.settings.hosts)}
        if not self.settings.is_everywhere:
            known.add(self.settings.host.lower())
        return name in known or (name == here and is_address(name))

    def _may_ask(self, headers: Headers, scope: Scope) -> bool:
        """Browsers say which page asks; programs say nothing."""
        scheme = {"ws": "http", "wss": "https"}.get(scope["scheme"], scope["scheme"])
        known = {f"{scheme}://{headers['host'].lower()}", *self.settings.origins}
        origins = headers.getlist("origin")
        if origins:
            return len(origins) == 1 and origins[0].lower() in known
        site = headers.get("sec-fetch-site", "none")
        if scope["type"] == "websocket":
            return site in ("none", "same-origin")
        visit = scope["method"] == "GET" and headers.get("sec-fetch-mode") == "navigate"
        return site in ("none", "same-origin") or visit


def bounded(receive: Receive, most: int) -> Receive:
    """Raises HTTPException once more than ``most`` bytes have come of a body whose length nobody told."""
    came = 0

    async def counted() -> Message:
        nonlocal came
        message = await receive()
        came += len(message.get("body", b"")) if message["type"] == "http.request" else 0
        if came > most:
            raise HTTPException(413, TOO_LARGE)
        return message

    return counted


def owner_of(headers: Headers, settings: Settings) -> str | None:
    """Whose token it is: a name, "" where there are no tokens, None where it is nobody's.

    It may come as a bearer token, as the password of basic authentication (clients of A1111) or in the cookie
    that a login sets.
    """
    if not settings.tokens:
        return ""
    kind, _, value = headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return _holder(value.strip(), settings.tokens.items())
    if kind.lower() == "basic":
        return _holder(_password(value), settings.tokens.items())
    cookies = cookie_parser(headers.get("cookie", ""))
    return _holder(cookies.get(COOKIE, ""), ((n, cookie_of(t)) for n, t in settings.tokens.items()))


def cookie_of(token: str) -> str:
    """What a browser keeps instead of the token: it opens the door, and does not tell the token."""
    return hmac.new(token.encode(), b"darkroom cookie 1", sha256).hexdigest()


def _holder(given: str, known: Iterable[tuple[str, str]]) -> str | None:
    """Compares with all of them, in a time that tells nothing."""
    found = None
    for name, secret in known:
        if hmac.compare_digest(given.encode(), secret.encode()):
            found = name
    return found


def _password(value: str) -> str:
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]


def _answer(scope: Scope, stopped: Stopped) -> Response:
    """People are led to where they can log in."""
    headers = Headers(scope=scope)
    if stopped.status == 401 and scope["method"] == "GET" and "text/html" in headers.get("accept", ""):
        return RedirectResponse(f"{LOGIN}?next={quote(scope['path'])}", 303)
    kind = "Basic" if scope["path"].startswith("/sdapi/") else "Bearer"
    challenge = {"WWW-Authenticate": f'{kind} realm="darkroom"'} if stopped.status == 401 else None
    return refusal(scope["path"], stopped.status, stopped.message, headers=challenge)

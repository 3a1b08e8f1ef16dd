"""Where people give the token once, and get a cookie that stands for it."""

from html import escape
from urllib.parse import parse_qs

from fastapi import APIRouter, Request
from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, RedirectResponse, Response

from darkroom.server.desk import OurDesk
from darkroom.server.guard import COOKIE, LOGIN, cookie_of, owner_of

router = APIRouter(include_in_schema=False)

POLICY = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
DAYS = 30
LONGEST_FORM = 4096

FORM = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Darkroom</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>
:root {{ color-scheme: light dark; font: 1rem/1.5 system-ui, sans-serif }}
body {{ display: grid; place-items: center; min-height: 90vh; margin: 0 }}
form {{ display: grid; gap: .75rem; width: min(20rem, 90vw) }}
input, button {{ font: inherit; padding: .6rem .8rem; border-radius: .5rem; border: 1px solid #8888 }}
button {{ cursor: pointer }}
</style></head><body>
<form method="post" action="{action}">
<h1>Darkroom</h1><p>{message}</p>
<input type="password" name="token" aria-label="Token" autocomplete="current-password" autofocus required>
<button>Open</button>
</form></body></html>"""


@router.get(LOGIN)
def ask(next: str = "/") -> Response:
    """The form."""
    return _form("Give the token that this server was started with.", next, 200)


@router.post(LOGIN)
async def enter(request: Request, desk: OurDesk, next: str = "/") -> Response:
    """Take the token; the cookie goes to no other site and to no script."""
    body = await request.body()
    form = parse_qs(body.decode("utf-8", "replace")) if len(body) <= LONGEST_FORM else {}
    token = form.get("token", [""])[0]
    bearer = Headers({"authorization": f"Bearer {token}"}) if token.isascii() else Headers()
    if owner_of(bearer, desk.settings) is None:
        return _form("That is not the token. Try again.", next, 401)
    answer = RedirectResponse(_inside(next), 303)
    answer.set_cookie(
        COOKIE,
        cookie_of(token),
        max_age=DAYS * 86400,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return answer


@router.post("/logout")
def leave() -> Response:
    """Forget the cookie."""
    answer = RedirectResponse(LOGIN, 303)
    answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
    return answer


def _form(message: str, next: str, status: int) -> Response:
    action = escape(f"{LOGIN}?next={_inside(next)}", quote=True)
    page = FORM.format(message=escape(message), action=action)
    return HTMLResponse(page, status, {"Content-Security-Policy": POLICY})


def _inside(next: str) -> str:
    """Only a path of this server; "//name" and the like would lead elsewhere."""
    plain = next.startswith("/") and next[1:2] not in ("/", "\\") and next.isprintable()
    return next if plain and next.isascii() else "/"

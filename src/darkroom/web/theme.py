"""The look: style sheets of our own, light and dark, and the shell of the page with its places."""

from collections.abc import Callable, Mapping
from pathlib import Path

from nicegui import ui

from darkroom.web.controls import ROUTE, Box, Press, drawn, said
from darkroom.web.memory import COOKIE

ASSETS = Path(__file__).parent / "assets"
SHEETS = ("base.css", "create.css", "edit.css", "explain.css", "library.css")

ICON = (ASSETS / "icon.svg").read_text()
"""For the browser's tab."""


def head(browser: str) -> None:
    """Style sheets, the theme, and the name by which this browser is known again."""
    for sheet in SHEETS:
        ui.add_head_html(f'<link rel="stylesheet" href="{_asset(sheet)}">')
    ui.add_head_html(f'<script src="{_asset("page.js")}"></script>')
    cookie = f"{COOKIE}={browser}; path=/; max-age=31536000; samesite=strict"
    ui.add_head_html(f"<script>document.cookie = '{cookie}';</script>")


def _asset(name: str) -> str:
    """Its address, which changes with the file."""
    return f"{ROUTE}/{name}?{int((ASSETS / name).stat().st_mtime)}"


class Shell:
    """The bar at the top (its links at the foot of a phone) and a box for each place, of which one is seen.

    ``places`` are their names by path; ``opened`` fills the box of a place that is seen for the first time,
    ``again`` is told of one that is seen once more.
    """

    def __init__(
        self, places: Mapping[str, str], opened: Callable[[str, Box], None], again: Callable[[str], None]
    ) -> None:
        self.opened, self.again = opened, again
        self.links, self.boxes = dict[str, Box](), dict[str, Box]()
        said(Box("leap", "a", "Skip to the place"), href="#place")
        with Box("top", "header"):
            said(Box("mark", "a", "Darkroom"), href="/")
            with said_nav():
                for path, name in places.items():
                    self.links[path] = self._link(path, name)
            with Box("end"):
                turn = Press("Light or dark", lambda: None, "bare icon", "light")
                turn.on("click", js_handler="() => turnTheme()")
        with Box("place", "main") as main:
            said(main, id="place")
            for path in places:
                self.boxes[path] = Box("hidden")
        self.filled: set[str] = set()
        ui.on("place", lambda event: self.show(str(event.args)))
        ui.run_javascript("window.onpopstate = () => emitEvent('place', location.pathname);")

    def _link(self, path: str, name: str) -> Box:
        link = Box(tag="a")
        said(link, href=path)
        with link:
            drawn(name.lower())
            Box(tag="span", words=name)
        link.on("click.prevent", lambda: self.go(path), args=[])
        return link

    def go(self, path: str) -> None:
        """Show a place and put it in the browser's history."""
        self.show(path)
        ui.run_javascript(
            f"if (location.pathname !== '{path}') history.pushState(null, '', '{path}'); scrollTo(0, 0);"
        )

    def show(self, path: str) -> None:
        """Show a place; an unknown one leaves all as it is."""
        if path not in self.boxes:
            return
        for other, box in self.boxes.items():
            box.classes(**{"remove" if other == path else "add": "hidden"})
            said(self.links[other], aria_current="page" if other == path else None)
        if path in self.filled:
            self.again(path)
        self.fill(path)

    def fill(self, path: str) -> None:
        """Build a place, once."""
        if path not in self.filled:
            self.filled.add(path)
            self.opened(path, self.boxes[path])


def said_nav() -> Box:
    """The box of the links."""
    nav = Box("places", "nav")
    said(nav, aria_label="Places")
    return nav

"""What the page is built of: boxes, buttons, fields, the stage and the comparison of two pictures."""

from collections.abc import Callable, Mapping
from typing import Any

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.value_element import ValueElement

Handler = Callable[..., Any]
ROUTE = "/studio/assets"
"""Where the browser finds our own scripts, styles and drawings."""


class Box(Element):
    """A plain element of HTML with classes and, where given, words; words are never read as HTML."""

    def __init__(self, classes: str = "", tag: str = "div", words: str | None = None) -> None:
        super().__init__(tag)
        self.classes(classes)
        self._text = words

    def says(self, words: str) -> None:
        """Change the words."""
        if words != self._text:
            self._text = words
            self.update()


class Press(Box):
    """A button. ``kind`` is "", "main" (the one act of a place), "bare" or "icon"; ``title`` names a sign."""

    def __init__(
        self, words: str, do: Handler, kind: str = "", drawing: str | None = None, title: str = ""
    ) -> None:
        super().__init__(f"press {kind}", "button")
        self._props["type"] = "button"
        if title:
            self._props["title"] = title
        if "icon" in kind.split():
            self._props["title"] = self._props["aria-label"] = title or words
        with self:
            if drawing:
                drawn(drawing)
            if "icon" not in kind.split():
                Box(tag="span", words=words)
        self.on("click", do, args=[])

    def enabled(self, yes: bool) -> None:
        """Whether it can be pressed."""
        self.props(remove="disabled") if yes else self.props("disabled")

    def pressed(self, yes: bool) -> None:
        """Whether it shows as being on."""
        said(self, aria_pressed="true" if yes else "false")


def drawn(name: str) -> None:
    """A small drawing from assets/signs.svg, in the colour of the words beside it."""
    html = f'<svg class="sign" aria-hidden="true"><use href="{ROUTE}/signs.svg#{name}"/></svg>'
    ui.html(html, sanitize=False, tag="span").classes("sign-box")


def said(element: Element, **props: Any) -> None:
    """Set properties as they are, whatever quotes or spaces are in them."""
    changed = {name.replace("_", "-"): value for name, value in props.items()}
    if any(element._props.get(name) != value for name, value in changed.items()):
        element._props.update(changed)
        element.update()


class Field(ValueElement[Any], component="assets/field.js"):
    """A labelled control of one kind: "text", "search", "area", "number", "range", "choice" or "switch".

    What a person types is told ``wait`` milliseconds after the last letter.
    """

    LOOPBACK = None  # it shows what was typed by itself

    def __init__(
        self, kind: str, label: str = "", value: Any = None, change: Handler | None = None, **props: Any
    ) -> None:
        super().__init__(value=value, on_value_change=change, throttle=0.05 if kind == "range" else 0)
        said(self, kind=kind, label=label, **props)

    def _handle_value_change(self, value: Any) -> None:
        if self._send_update_on_value_change:  # set here, not there: a turn tells them apart
            self._props["turn"] = self._props.get("turn", 0) + 1
        super()._handle_value_change(value)

    def offer(self, options: Mapping[str, str]) -> None:
        """The choices, value to label."""
        said(self, options=[{"value": value, "label": label} for value, label in options.items()])


class Choice(Field):
    """One of several, named by value and shown by label."""

    def __init__(
        self, label: str, options: Mapping[str, str], value: str, change: Handler | None = None
    ) -> None:
        super().__init__("choice", label, value, change)
        self.offer(options)


class Stage(Element, component="assets/stage.js"):
    """The picture that develops, with its film strip."""

    def __init__(self, empty: str) -> None:
        super().__init__()
        said(self, empty=empty, ratio=1.0)

    def begin(self, steps: int, ratio: float) -> None:
        """A picture is on its way; the old one stays until the first step of the new one."""
        said(self, steps=steps, step=0, busy=True, ratio=ratio)
        self.run_method("begin")

    def frame(self, step: int, source: str) -> None:
        """What it looks like after a step."""
        said(self, step=step)
        self.run_method("frame", step, source)

    def finish(self, source: str | None = None, alt: str = "", step: int = 0) -> None:
        """It is done, or will not be."""
        said(self, busy=False, **({"picture": source, "alt": alt} if source else {}))
        self.run_method("finish", source, step)

    def says(self, words: str) -> None:
        """The line below the film strip."""
        said(self, words=words)


class Drop(Element, component="assets/drop.js"):
    """A place to drop, paste or choose a picture. ``given`` is told its name, title, width and height.

    With ``text`` it takes JSON too, and tells its text and title. ``refused`` is told why not.
    """

    def __init__(
        self, label: str, hint: str, given: Handler, refused: Handler, text: Handler | None = None
    ) -> None:
        super().__init__()
        said(self, label=label, hint=hint, texts=text is not None)
        self.on("given", lambda event: given(event.args))
        self.on("refused", lambda event: refused(str(event.args)))
        if text is not None:
            self.on("text", lambda event: text(event.args))


class Easel(Element, component="assets/mask.js"):
    """A picture to paint a mask on; ``painted`` is told the mask as the address of a PNG, '' for none."""

    def __init__(self, painted: Handler) -> None:
        super().__init__()
        said(self, source="data:,", width=1, height=1, painting=False, turn=0)
        self.on("mask", lambda event: painted(str(event.args or "")))


class Compare(Element, component="assets/compare.js"):
    """Two pictures, one over the other, and a slider between them."""

    def __init__(self, left: str, right: str) -> None:
        super().__init__()
        said(self, left=left, right=right)

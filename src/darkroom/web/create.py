"""Create: type, and the picture develops; make prints of it, and find them again below."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from darkroom.errors import DarkroomError
from darkroom.studio.expanding import known_styles
from darkroom.studio.request import Request
from darkroom.text.styles import styled
from darkroom.web.builder import Builder, built
from darkroom.web.controls import Box, Field, Press, Stage
from darkroom.web.form import Form
from darkroom.web.history import History
from darkroom.web.live import Live
from darkroom.web.models import first_settings, known_models, ships
from darkroom.web.session import Session
from darkroom.web.settings import Settings
from darkroom.web.words import unknown_words

EMPTY = "Say what the picture should show, and watch it develop here."
PLACEHOLDER = "a red cat and two green apples on a beach"
TAG = "page"
FIRST_SIDE = 512
"""Of models of others, once a shape is chosen for them."""


class Create:
    """The place. ``go`` opens another place."""

    def __init__(self, session: Session, go: Callable[[str, Request | None, str], None]) -> None:
        self.session, self.go = session, go
        form = Form.read(session.memory.get("form", first_settings("starter")))
        self.form = form.offered(known_models(), own_styles())
        self.developed: Form | None = None
        with Box("bench"):
            with Box():
                self._stage()
            with Box("panel folds") as self.panel:
                self._panel()
        self.history = History(session, self.reuse, go)
        self.live = Live(session, self.stage, self._wish)
        if self.form.prompt:
            session.run(self._tell_unknown(self.form.prompt))
        if self.form.prompt and self.form.live:
            self.live.touch(0)

    def _stage(self) -> None:
        self.prompt = Field(
            "area",
            "",
            self.form.prompt,
            lambda event: self._typed(event.value),
            placeholder=PLACEHOLDER,
            rows=2,
        ).classes("large")
        self.prompt.on("enter", self.develop, args=[])
        self.unknown = Box("small soft").style("min-height: 21px; margin: 6px 4px 12px")
        self.stage = Stage(EMPTY)
        with Box("acts"):
            self.make = Press("Develop", self.develop, "main", title="Make pictures: Ctrl and Enter")
            self.count = Box("small soft")
            with Box("row").style("margin-left: auto"):
                Press("Settings", lambda: self.panel.classes(toggle="shown"), "phone-only")
                self.live_switch = Field(
                    "switch", "Live", self.form.live, lambda event: self._set_live(event.value)
                )
        self._count()

    def _panel(self) -> None:
        with Box("part", "details") as builder:
            if any(self.form.builder.values()):
                builder.props("open")
            Box(tag="summary", words="Put a prompt together")
            self.builder = Builder(self.form.builder, self._built)
        self.settings = Settings(self.form, known_models(), list(own_styles()), self.change)

    def change(self, **values: Any) -> None:
        """A setting changed."""
        if "model" in values:
            values = first_settings(values["model"])
            self.live_switch.value = values["live"]
        elif "shape" in values and self.form.side is None:
            values["side"] = FIRST_SIDE
        self.form = replace(self.form, **values)
        self.settings.form = self.form
        if {"shape", "model", "further"} & values.keys():
            self.settings.fill(self.form)
        self._changed()

    def _changed(self) -> None:
        self.session.memory.keep("form", self.form.plain())
        self._count()
        if self.form.live:
            self.live.touch()

    def _typed(self, words: str) -> None:
        if words == self.form.prompt:
            return
        self.form = replace(self.form, prompt=words)
        self.settings.form = self.form
        self.session.run(self._tell_unknown(words))
        self._changed()

    def _built(self, parts: dict[str, str]) -> None:
        self.form = replace(self.form, builder=parts)
        self.prompt.value = built(parts)

    def _set_live(self, yes: bool) -> None:
        self.form = replace(self.form, live=yes)
        self.settings.form = self.form
        self.session.memory.keep("form", self.form.plain())
        self.live.touch(0) if yes else self.live.stop()

    def _count(self) -> None:
        count = self.form.count
        self.count.says(f"{count} prints, kept below" if count > 1 else "one print, kept below")

    async def _tell_unknown(self, words: str) -> None:
        """Say which words the starter never saw."""
        unknown = await unknown_words(words) if ships(self.form.model) else ()
        self.unknown.says(f"The starter does not know: {', '.join(unknown)}" if unknown else "")

    def _wish(self) -> Request | None:
        return self._request() if self.form.prompt.strip() else None

    def _request(self, **changes: Any) -> Request:
        request = self.form.request(**changes)
        if not self.form.styles:
            return request
        prompt, negative = styled(request.prompt, request.negative, self.form.styles, own_styles())
        return replace(request, prompt=prompt, negative=negative)

    def develop(self) -> None:
        """Make the prints; without a lock a second press takes another seed."""
        if not self.form.lock and self.developed == self.form:
            self.settings.roll()
        try:
            view = self.session.submit([self._request(count=self.form.count)], previews=2, tag=TAG)
        except DarkroomError as error:
            self.session.say(str(error), bad=True)
            return
        self.developed = self.form
        self.history.prints.watch(view)

    def reuse(self, request: Request) -> None:
        """Fill everything with the settings of a picture."""
        if request.init_image is not None:
            self.session.say(
                "That print was made from a picture; its words and settings are taken, not the picture."
            )
        self._fill(self.form.reusing(request))

    def say(self, prompt: str, negative: str) -> None:
        """Take other words; all else stays."""
        self._fill(replace(self.form, prompt=prompt, negative=negative, builder={}))

    def borrow(self, values: Mapping[str, Any]) -> None:
        """Fill everything with what a file tells."""
        try:
            self._fill(self.form.borrowing(values))
        except DarkroomError as error:
            self.session.say(str(error), bad=True)

    def _fill(self, asked: Form) -> None:
        self.form = form = asked.offered(known_models(), own_styles())
        if form.model != asked.model:
            self.session.say(
                f"There is no model named '{asked.model}' here any more; the {form.model} is set."
            )
        self.builder.clear()
        self.prompt.value = form.prompt
        self.settings.fill(form)
        self.session.run(self._tell_unknown(form.prompt))
        self._changed()


def own_styles() -> dict[str, Any]:
    """The user's own styles; none where there is no file of them."""
    try:
        return dict(known_styles())
    except DarkroomError:
        return {}

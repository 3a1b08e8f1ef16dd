"""Edit: start from a picture; change all of it, repaint a part, or make variations of it."""

import base64
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from darkroom.errors import DarkroomError, InvalidRequest
from darkroom.studio.borrowing import borrowed
from darkroom.studio.pictures import Texts, decode, read
from darkroom.studio.request import Request, random_seed
from darkroom.web.controls import Box, Drop, Easel, Field, Press, said
from darkroom.web.detail import Acts, compare_with
from darkroom.web.form import LARGEST_SEED, as_typed, fitted
from darkroom.web.models import first_settings, known_models, most_pixels
from darkroom.web.pictures import GIVEN
from darkroom.web.prints import EDIT_TAG, Print, Prints, edited
from darkroom.web.session import Session, pixels_of, source_of

WAYS = {"whole": "Change all of it", "part": "Repaint a part", "vary": "Variations"}
HINTS = {
    "whole": "Noise is laid over the picture, as much as the strength says, and taken away by your words.",
    "part": "Paint over what is to be made anew; the rest stays. The starter works in squares of 16 pixels.",
    "vary": "The same words from nearly the same noise: near relatives of the picture.",
}
EMPTY = "Nothing yet. What you make of a picture comes here."
LARGEST_MASK = 2**20
STRENGTH = 0.6
"""How much of a picture is made anew, unless somebody says otherwise."""


class Edit:
    """The place. ``go`` opens another place."""

    def __init__(self, session: Session, go: Callable[[str, Request | None, str], None]) -> None:
        self.session, self.go = session, go
        self.kept: dict[str, Any] = dict(session.memory.get("edit") or {})
        self.path: Path | None = None
        self.origin: Request | None = None
        self.source, self.turn = "", 0
        with Box("bench"):
            with Box():
                self._easel()
            with Box("panel"):
                self._panel()
        with Box("prints-head"):
            Box(tag="h2", words="What became of it")
        self.prints = Prints(session, self._open, EMPTY, edited)
        self._way(self.kept.get("way", "whole"))
        self._resume()

    def _easel(self) -> None:
        hint = "PNG, JPEG or WebP, up to 32 MB. Or paste one, or choose Edit on one of your prints."
        self.drop = Drop("Drop a picture here", hint, self._given, self._refused).classes("tall")
        with Box("stack tight") as self.bed:
            self.easel = Easel(self._painted)
            said(self.easel, start=self.kept.get("mask", ""))
            with Box("row").style("justify-content: center"):
                Press("Another picture", self._away, "bare", "picture")
        self.bed.set_visibility(False)

    def _panel(self) -> None:
        kept, values = self.kept, first_settings("starter") | self.kept
        with Box("part"):
            self.ways: dict[str, Press] = {}
            with Box("ways") as group:
                said(group, role="group", aria_label="What to do with the picture")
                for way, label in WAYS.items():
                    press = Press(label, lambda way=way: self._way(way))
                    self.ways[way] = press.classes(replace="way")
            self.hint = Box("small soft")
            self.prompt = self._field("prompt", "area", "Words", placeholder="what it should show", rows=2)
            self.strength = self._field("strength", "range", "Strength", STRENGTH, min=0.05, max=1, step=0.05)
            self.nearness = self._field("nearness", "range", "Difference", 0.2, min=0.02, max=1, step=0.02)
        with Box("part"):
            self.negative = self._field("negative", "area", "Leave out", "", rows=1)
            self.steps = self._field("steps", "range", "Steps", values["steps"], min=1, max=60, step=1)
            self.scale = self._field(
                "cfg_scale", "range", "Guidance", values["cfg_scale"], min=1, max=12, step=0.1
            )
            with Box("row tight").style("align-items: end; flex-wrap: nowrap"):
                with Box("grow"):
                    seed = kept.get("seed", random_seed())
                    self.seed = self._field("seed", "number", "Seed", seed, min=0, max=LARGEST_SEED, step=1)
                Press("Another seed", self._roll, "icon", "dice")
            self.count = self._field("count", "range", "Pictures", 4, min=1, max=12, step=1)
        with Box("part"):
            self.make = Press("Develop", self.develop, "main")
        self.model = Field("choice", "Model", kept.get("model", "starter"))
        self.model.offer({name: name for name in known_models()})
        self.model.set_visibility(len(known_models()) > 1)

    def _field(self, name: str, kind: str, label: str, value: Any = "", **more: Any) -> Field:
        return Field(
            kind, label, self.kept.get(name, value), lambda event: self._keep(name, event.value), **more
        )

    def _keep(self, name: str, value: Any) -> None:
        self.kept[name] = value
        self.session.memory.keep("edit", dict(self.kept))

    def _roll(self) -> None:
        self.seed.value = random_seed()

    def _way(self, way: str) -> None:
        self.way = way
        for name, press in self.ways.items():
            press.pressed(name == way)
        self.hint.says(HINTS[way])
        if way != self.kept.get("way"):  # less than all of the noise seldom brings new things into a part
            self.strength.value = 1.0 if way == "part" else STRENGTH
        self.strength.set_visibility(way != "vary")
        self.nearness.set_visibility(way == "vary")
        said(self.easel, painting=way == "part")
        self._keep("way", way)

    # -- which picture -------------------------------------------------------------------------------------

    def _resume(self) -> None:
        """The picture that the browser had here before."""
        with suppress(DarkroomError):
            if made := self.kept.get("made"):
                self.take_made(made, None, fresh=False)
            elif given := self.kept.get("given"):
                self._take(GIVEN.path(given), f"/studio/given/{given}", fresh=False)

    def _given(self, told: Mapping[str, Any]) -> None:
        try:
            self._take(GIVEN.path(str(told["name"])), f"/studio/given/{told['name']}")
        except DarkroomError as error:
            self._refused(str(error))
            return
        self._keep("given", told["name"])
        self._keep("made", None)

    def take_made(self, picture: str, request: Request | None, fresh: bool = True) -> None:
        """Edit a picture that was made here."""
        try:
            self._take(self.session.service.picture(picture), source_of(picture), fresh)
        except DarkroomError as error:
            self._refused(str(error))
            return
        self._keep("made", picture)
        if request is not None and request.model in known_models():
            self.model.value = request.model

    def _take(self, path: Path, source: str, fresh: bool = True) -> None:
        """Lay a picture on the easel; with its record its words come along."""
        self.path, self.source = path, source
        texts = read(path).texts
        self.origin = _origin(texts)
        width, height = pixels_of(path)
        said(self.easel, source=source, width=width, height=height)
        if fresh:
            self.turn += 1
            said(self.easel, turn=self.turn)
            self._painted("")
            if self.origin is not None:
                self.prompt.value = as_typed(self.origin).prompt
        self.drop.set_visibility(False)
        self.bed.set_visibility(True)

    def _away(self) -> None:
        self.path = None
        self.bed.set_visibility(False)
        self.drop.set_visibility(True)
        self._keep("made", None)
        self._keep("given", None)

    def _refused(self, why: str) -> None:
        self.session.say(why, bad=True)

    def _painted(self, mask: str) -> None:
        self._keep("mask", mask if len(mask) <= LARGEST_MASK else "")

    # -- making --------------------------------------------------------------------------------------------

    def develop(self) -> None:
        """Make what is asked for."""
        try:
            view = self.session.submit([self._request()], previews=2, tag=EDIT_TAG)
        except DarkroomError as error:
            self._refused(str(error))
            return
        self.prints.watch(view)
        self.seed.value = self.seed.value + int(self.count.value)  # the next ones are others

    def _request(self) -> Request:
        if self.path is None:
            raise InvalidRequest("there is no picture to start from; drop one first.")
        if self.way == "vary":
            return self._variation()
        # a copy of the picture among the uploads stays as long as a job needs it
        start = self.session.service.keep_upload(_bytes_of(self.path))
        width, height = fitted(*pixels_of(self.path), most_pixels(self.model.value))
        request = Request(
            prompt=self.prompt.value,
            width=width,
            height=height,
            init_image=start,
            strength=float(self.strength.value),
            **self._common(),
        )
        return replace(request, mask=self._mask()) if self.way == "part" else request

    def _variation(self) -> Request:
        if self.origin is None:
            raise InvalidRequest(
                "variations need the words and the seed; choose a picture that was made from words here."
            )
        return replace(
            self.origin,
            prompt=self.prompt.value,
            negative=as_typed(self.origin).negative,
            count=int(self.count.value),
            variation_seed=int(self.seed.value),
            variation_strength=float(self.nearness.value),
        )

    def _common(self) -> dict[str, Any]:
        return {
            "negative": self.negative.value,
            "model": self.model.value,
            "steps": int(self.steps.value),
            "cfg_scale": float(self.scale.value),
            "seed": int(self.seed.value),
            "count": int(self.count.value),
        }

    def _mask(self) -> Path:
        """The painted mask, checked as what browsers send must be."""
        address = str(self.kept.get("mask") or "")
        head, _, data = address.partition(",")
        if head != "data:image/png;base64":
            raise InvalidRequest("nothing is painted yet; paint over what is to be made anew.")
        try:
            mask = base64.b64decode(data, validate=True)
        except ValueError as error:
            raise InvalidRequest("the mask arrived damaged; paint once more.") from error
        decode(mask, "the mask")
        return self.session.service.keep_upload(mask)

    def _open(self, one: Print) -> None:
        acts = Acts(lambda request: self.go("/", request, ""), self.go, lambda _: None, self._forget)
        before = self.source if one.request.init_image or one.request.variation_seed is not None else ""
        compare_with(self.session, one, before, lambda: self.take_made(one.picture, one.request), acts)

    def _forget(self, one: Print) -> None:
        with suppress(DarkroomError):
            self.session.service.forget(one.job)
        self.prints.fill()


def _bytes_of(path: Path) -> bytes:
    """A picture, which may have been deleted since it was laid on the easel; a page names no paths."""
    try:
        return path.read_bytes()
    except OSError:
        raise InvalidRequest("the picture is here no longer; drop it once more.") from None


def _origin(texts: Texts) -> Request | None:
    """The request that made a picture from words alone, if its file tells so; never a path out of it."""
    if texts.record is None:
        return None
    told = borrowed(texts, known_models())
    return None if told.missing else told.request()

"""The panel of settings: what is kept out, size, the way from noise, seed and batch."""

from collections.abc import Callable
from typing import Any

from darkroom.diffusion.grids import GRIDS
from darkroom.diffusion.samplers import SAMPLERS
from darkroom.studio.request import random_seed
from darkroom.web.controls import Box, Choice, Field, Handler, Press, said
from darkroom.web.form import LARGEST_SEED, SHAPES, Form, sides
from darkroom.web.models import LARGEST_SIDE, ships

SIDES = (64, 96, 128, 160, 192, 256, 384, 512, 768, 1024)
COUNTS = {"1": "1 picture", "4": "4 pictures", "9": "9 pictures", "16": "16 pictures"}
AUTO = "as the model says"


class Settings:
    """Fields for all that a form holds beside its prompt; ``changed(name, value)`` is told of each change."""

    def __init__(
        self, form: Form, models: list[str], styles: list[str], changed: Callable[..., None]
    ) -> None:
        self.form, self.changed = form, changed
        self.fields: dict[str, Field] = {}
        self.filling = False
        with Box("part"):
            self._words(styles)
        with Box("part"):
            self._size(models)
        with Box("part"):
            self._way()
        with Box("part"):
            self._seed()
            self._further()

    def fill(self, form: Form) -> None:
        """Show another form."""
        self.form, self.filling = form, True
        for name, field in self.fields.items():
            value = getattr(form, name)
            field.value = str(value or "") if name in ("side", "count") else value
        for name in ("sampler", "scheduler"):
            self.fields[name].value = getattr(form, name) or ""
        self.filling = False
        self._press_shapes()
        self._show_lock()
        self._show_further()
        for name, press in self.styles.items():
            press.pressed(name in form.styles)

    def _told(self, name: str, value: Any) -> None:
        if not self.filling:
            self.changed(**{name: value})

    def _field(
        self, name: str, kind: str, label: str, make: Callable[[Any], Any] = lambda x: x, **more: Any
    ) -> None:
        change: Handler = lambda event: self._told(name, make(event.value))  # noqa: E731
        self.fields[name] = Field(kind, label, getattr(self.form, name), change, **more)

    def _choice(
        self, name: str, label: str, options: dict[str, str], make: Callable[[str], Any] = str
    ) -> None:
        value = getattr(self.form, name)
        change: Handler = lambda event: self._told(name, make(event.value))  # noqa: E731
        self.fields[name] = Choice(label, options, "" if value is None else str(value), change)

    def _words(self, styles: list[str]) -> None:
        self._field("negative", "area", "Leave out", placeholder="what the picture should not show", rows=1)
        self.styles: dict[str, Press] = {}
        if not styles:
            return
        with Box("stack tight"):
            Box("small soft", words="Styles")
            with Box("chips"):
                for name in styles:
                    press = Press(name, lambda name=name: self._toggle(name)).classes(replace="chip")
                    press.pressed(name in self.form.styles)
                    self.styles[name] = press

    def _toggle(self, name: str) -> None:
        chosen = tuple(one for one in self.form.styles if one != name)
        if len(chosen) == len(self.form.styles):
            chosen = (*chosen, name)
        self.styles[name].pressed(name in chosen)
        self.changed(styles=chosen)

    def _size(self, models: list[str]) -> None:
        if len(models) > 1:
            self._choice("model", "Model", {name: name for name in models})
        self.shapes: dict[str, Box] = {}
        with Box("shapes") as group:
            said(group, role="group", aria_label="Shape of the picture")
            for name, (wide, high) in SHAPES.items():
                self.shapes[name] = self._shape(name, wide, high)
        self._choice("side", "Size", self._sizes(), lambda side: int(side) if side else None)
        self._press_shapes()

    def _shape(self, name: str, wide: int, high: int) -> Box:
        shape = Box("shape", "button")
        said(shape, type="button")
        with shape:
            longest = 22 / max(wide, high)
            Box(tag="i").style(f"width: {wide * longest:.0f}px; height: {high * longest:.0f}px")
            Box(tag="span", words=name)
        shape.on("click", lambda: self.changed(shape=name, size=None), args=[])
        return shape

    def _press_shapes(self) -> None:
        for name, shape in self.shapes.items():
            said(shape, aria_pressed="true" if name == self.form.shape else "false")
        self.fields["side"].offer(self._sizes())

    def _sizes(self) -> dict[str, str]:
        """The sizes in this shape; the form's own may be one that no shape here has."""
        own = self.form.side
        most = LARGEST_SIDE if ships(self.form.model) else SIDES[-1]
        known = {side: sides(self.form.shape, side) for side in SIDES if side <= most}
        if own and self.form.pixels:
            known[own] = self.form.pixels
        offered = {str(side): "{} × {}".format(*size) for side, size in sorted(known.items())}
        return offered if ships(self.form.model) else {"": AUTO, **offered}

    def _way(self) -> None:
        self._field("steps", "range", "Steps", lambda x: int(x), min=1, max=60, step=1)
        self._field("cfg_scale", "range", "Guidance", float, min=1, max=12, step=0.1)
        with Box("pair"):
            names = {name: sampler.label for name, sampler in SAMPLERS.items()}
            self._choice("sampler", "Sampler", {"": AUTO} | names, lambda x: x or None)
            names = {name: grid.label for name, grid in GRIDS.items()}
            self._choice("scheduler", "Scheduler", {"": AUTO} | names, lambda x: x or None)

    def _seed(self) -> None:
        with Box("row tight").style("align-items: end; flex-wrap: nowrap"):
            with Box("grow"):
                self._field("seed", "number", "Seed", int, min=0, max=LARGEST_SEED, step=1)
            Press("Another seed", self.roll, "icon", "dice")
            self.lock = Press("Keep the seed", self._turn_lock, "icon", "unlock")
            self.locked = Press("The seed is kept", self._turn_lock, "icon", "lock")
        self._show_lock()
        self._choice("count", "Batch", COUNTS | {str(self.form.count): f"{self.form.count} pictures"}, int)

    def _further(self) -> None:
        with Box("row between") as self.also:
            self.also_words = Box("small soft grow")
            Press("Clear", lambda: self.changed(further={}), "bare")
        self._show_further()

    def _show_further(self) -> None:
        told = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.form.further.items())
        self.also_words.says(f"Also set: {told}")
        self.also.set_visibility(bool(told))

    def roll(self) -> None:
        """Another seed."""
        self.fields["seed"].value = random_seed()

    def _turn_lock(self) -> None:
        self.changed(lock=not self.form.lock)
        self._show_lock()

    def _show_lock(self) -> None:
        self.lock.set_visibility(not self.form.lock)
        self.locked.set_visibility(self.form.lock)
        self.locked.pressed(True)

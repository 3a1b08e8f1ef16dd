"""One print, large, with all that made it; and two prints against each other."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from darkroom.studio.pictures import labels
from darkroom.studio.request import Request
from darkroom.web.controls import Box, Compare, Press, drawn, said
from darkroom.web.session import Session, source_of

if TYPE_CHECKING:
    from darkroom.web.prints import Print

LABELS = {
    "negative": "Left out",
    "seed": "Seed",
    "size": "Size",
    "steps": "Steps",
    "cfg_scale": "Guidance",
    "sampler": "Sampler",
    "scheduler": "Scheduler",
    "model": "Model",
    "strength": "Strength",
    "variation_seed": "Variation seed",
    "variation_strength": "Variation",
    "guide": "Guide",
    "noise": "Noise",
}


def facts_of(request: Request) -> dict[str, Any]:
    """What made a picture, by label, without what does not apply."""
    known = labels()
    values = request.to_json() | {"size": f"{request.width} × {request.height}"}
    if request.init_image is None:
        values.pop("strength")
    if request.variation_seed is None:
        values.pop("variation_strength")
    plain = {"guide": "cfg", "noise": "philox"}
    values |= {name: known.get(values[name], values[name]) for name in ("sampler", "scheduler")}
    said = {name: values.get(name) for name in LABELS if values.get(name) != plain.get(name)}
    return {LABELS[name]: value for name, value in said.items() if value not in (None, "")}


def facts(request: Request) -> None:
    """A table of them."""
    with Box("facts", "dl"):
        for label, value in facts_of(request).items():
            Box(tag="dt", words=label)
            Box(tag="dd", words=f"{value:g}" if isinstance(value, float) else str(value))


@dataclass(frozen=True)
class Acts:
    """What can be done with a print."""

    reuse: Callable[[Request], None]
    go: Callable[[str, Request | None, str], None]
    compare: "Callable[[Print], None]"
    forget: "Callable[[Print], None]"


def show_print(session: Session, one: "Print", acts: Acts) -> None:
    """A print on a sheet over the page, with what can be done with it."""
    with session.over() as over, over.sheet, Box("detail"):
        with Box("big"):
            said(Box(tag="img"), src=source_of(one.picture), alt=one.request.prompt)
        with Box("stack"):
            Box("prompt", words=one.request.prompt)
            facts(one.request)
            with Box("row"):
                _buttons(one, acts, over.delete)


def _buttons(one: "Print", acts: Acts, close: Callable[[], None]) -> None:
    def then(do: Callable[[], None]) -> Callable[[], None]:
        def act() -> None:
            do()  # first: what is deleted can open nothing
            close()

        return act

    Press("Use these settings", then(lambda: acts.reuse(one.request)), "main", "again")
    Press("Edit", then(lambda: acts.go("/edit", one.request, one.picture)), drawing="edit")
    Press("Explain", then(lambda: acts.go("/explain", one.request, one.picture)), drawing="explain")
    Press("Compare", then(lambda: acts.compare(one)), drawing="compare")
    download(one)
    Press(deletion(one), then(lambda: acts.forget(one)), "bare bad", "trash")


def deletion(one: "Print") -> str:
    """What a press on the bin does: pictures that were made together go together."""
    return "Delete" if one.of == 1 else f"Delete all {one.of} of this batch"


def download(one: "Print") -> None:
    """A link that saves the picture, with its record in it."""
    link = Box("press", "a")
    said(link, href=source_of(one.picture), download=f"darkroom-{one.request.seed}.png")
    with link:
        drawn("download")
        Box(tag="span", words="Download")


def compare_with(session: Session, one: "Print", before: str, go_on: Callable[[], None], acts: Acts) -> None:
    """A print over the picture that it was made from, and what can be done with it."""

    def on() -> None:
        go_on()
        over.delete()

    def forget() -> None:
        acts.forget(one)
        over.delete()

    with session.over() as over, over.sheet, Box("detail"):
        if before:
            Compare(before, source_of(one.picture))
        else:
            with Box("big"):
                said(Box(tag="img"), src=source_of(one.picture), alt=one.request.prompt)
        with Box("stack"):
            Box("prompt", words=one.request.prompt)
            facts(one.request)
            with Box("row"):
                Press("Go on with this one", on, "main", "edit")
                download(one)
                Press(deletion(one), forget, "bare bad", "trash")


def compare(session: Session, left: "Print", right: "Print") -> None:
    """Two prints in one frame with a slider, and in what they differ."""
    with session.over() as over, over.sheet:
        Compare(source_of(left.picture), source_of(right.picture))
        one, other = facts_of(left.request), facts_of(right.request)
        one["Prompt"], other["Prompt"] = left.request.prompt, right.request.prompt
        differ = [label for label in {**one, **other} if one.get(label) != other.get(label)]
        with Box("versus-names"):
            for values in (one, other):
                with Box("small"):
                    for label in differ:
                        Box(words=f"{label}: {values.get(label, 'none')}")
            if not differ:
                Box("soft", words="Both were made by the same settings.")

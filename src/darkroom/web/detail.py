"""One print, large, with all that made it; and two prints against each other."""

from typing import TYPE_CHECKING, Any

from darkroom.studio.request import Request
from darkroom.web.controls import Box, Compare, Press, said
from darkroom.web.session import Session, source_of

if TYPE_CHECKING:
    from darkroom.web.prints import Print, Prints

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
    values = request.to_json() | {"size": f"{request.width} × {request.height}"}
    if request.init_image is None:
        values.pop("strength")
    if request.variation_seed is None:
        values.pop("variation_strength")
    plain = {"guide": "cfg", "noise": "philox"}
    said = {name: values.get(name) for name in LABELS if values.get(name) != plain.get(name)}
    return {LABELS[name]: value for name, value in said.items() if value not in (None, "")}


def facts(request: Request) -> None:
    """A table of them."""
    with Box("facts", "dl"):
        for label, value in facts_of(request).items():
            Box(tag="dt", words=label)
            Box(tag="dd", words=f"{value:g}" if isinstance(value, float) else str(value))


def show_print(session: Session, one: "Print", prints: "Prints") -> None:
    """A print on a sheet over the page, with what can be done with it."""
    with session.over() as over, over.sheet, Box("detail"):
        with Box("big"):
            said(Box(tag="img"), src=source_of(one.picture), alt=one.request.prompt)
        with Box("stack"):
            Box("prompt", words=one.request.prompt)
            facts(one.request)
            with Box("row"):
                _acts(one, prints, over.delete)


def _acts(one: "Print", prints: "Prints", close: Any) -> None:
    def then(do: Any) -> Any:
        def act() -> None:
            close()
            do()

        return act

    create = prints.create
    Press("Use these settings", then(lambda: create.reuse(one.request)), "main", "again")
    Press("Edit", then(lambda: create.go("/edit", one.request, one.picture)), drawing="edit")
    Press("Explain", then(lambda: create.go("/explain", one.request, one.picture)), drawing="explain")
    Press("Compare", then(lambda: prints.pick(one)), drawing="compare")
    save = Box("press", "a", "Download")
    said(save, href=source_of(one.picture), download=f"darkroom-{one.request.seed}.png")
    Press("Delete", then(lambda: prints.forget(one.job)), "bare bad", "trash")


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

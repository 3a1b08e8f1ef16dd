"""Settings out of a picture that anybody made, to make one like it here.

Only what is plain is taken: words, numbers and names that are known here. Never a path: the file may come
from a stranger.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from darkroom.errors import DarkroomError, UnknownName
from darkroom.studio.comfyui import read_workflow
from darkroom.studio.metadata import RNG, from_json, read_infotext
from darkroom.studio.pictures import Texts
from darkroom.studio.request import Request

PLAIN = (
    "prompt",
    "negative",
    "seed",
    "width",
    "height",
    "steps",
    "cfg_scale",
    "sampler",
    "scheduler",
    "model",
    "guidance",
    "clip_skip",
    "emphasis",
    "noise",
    "variation_seed",
    "variation_strength",
    "seed_size",
    "guide",
    "cfg_rescale",
    "cfg_interval",
    "pag_scale",
    "reuse",
)
"""Fields of a request that name no file."""


@dataclass(frozen=True)
class Borrowed:
    """What a file told: ``values`` are fields of a request, ``said`` is all that it says, by its own names.

    ``tool`` is who wrote it. ``missing`` are sentences on what could not be taken along.
    """

    tool: str
    values: Mapping[str, Any]
    said: Mapping[str, Any]
    missing: tuple[str, ...] = ()

    def request(self) -> Request:
        """The request that the values make. Raises InvalidRequest where one of them cannot be had."""
        return Request(**self.values)


def borrowed(texts: Texts, models: Collection[str]) -> Borrowed:
    """The settings that a picture tells; ``models`` are the names that are known here.

    Raises DarkroomError for a picture that does not say what made it.
    """
    if texts.record is not None:
        return _ours(texts.record, models)
    if texts.parameters is not None:
        return from_infotext(texts.parameters, models)
    if texts.workflow is not None:
        return from_workflow(texts.workflow, models)
    raise DarkroomError("this picture does not say what made it; take one as the tool that made it saved it.")


def _ours(text: str, models: Collection[str]) -> Borrowed:
    request = from_json(text).request
    values = {name: getattr(request, name) for name in PLAIN}
    taken = _Taken(values, models)
    taken.known("model", lambda name: name if name in models else None)
    if request.init_image is not None:
        taken.missing.append("It was made from another picture, which is not in the file.")
    if request.attached:
        taken.missing.append("What hung on its model is left out.")
    if request.variant is not None:
        taken.missing.append(f"Its model was taken for the variant {request.variant}, which is left out.")
    plain = Request(prompt="x", seed=0, count=request.count).to_json()
    told = request.to_json()
    said = {name: value for name, value in told.items() if value != plain.get(name) or name == "model"}
    return Borrowed("Darkroom", taken.values, said, tuple(taken.missing))


def from_infotext(text: str, models: Collection[str]) -> Borrowed:
    """The settings in an infotext, as AUTOMATIC1111 and many like it write it."""
    info = read_infotext(text)
    settings, noises = dict(info.settings), {label: name for name, label in RNG.items()}
    width, _, height = settings.get("Size", "").partition("x")
    scheduler = settings.get("Schedule type", _method(settings.get("Sampler"))[1])
    values = {
        "prompt": info.prompt,
        "negative": info.negative,
        "seed": settings.get("Seed"),
        "steps": settings.get("Steps"),
        "cfg_scale": settings.get("CFG scale"),
        "width": width,
        "height": height,
        "sampler": settings.get("Sampler"),
        "scheduler": None if scheduler == "Automatic" else scheduler,
        "model": settings.get("Model"),
        "clip_skip": settings.get("Clip skip"),
        "guidance": settings.get("Distilled CFG Scale"),
        "variation_seed": settings.get("Variation seed"),
        "variation_strength": settings.get("Variation seed strength"),
        "noise": noises.get(settings.get("RNG", "NV")),
    }
    return _from_elsewhere(
        "A1111 infotext", values, {"prompt": info.prompt, "negative": info.negative, **settings}, models
    )


def from_workflow(text: str, models: Collection[str]) -> Borrowed:
    """The settings in a workflow of ComfyUI."""
    said = read_workflow(text)
    values = {name: value for name, value in said.items() if name in PLAIN} | {"noise": "comfy"}
    missing = [f"Its LoRA {name} is left out." for name, _ in said.get("loras", ())]
    if (_number(said.get("strength", 1)) or 1) < 1:
        missing.append("It may have been made from another picture, which is not in the file.")
    told = _from_elsewhere("ComfyUI", values, said, models)
    return Borrowed(told.tool, told.values, said, (*told.missing, *missing))


def _from_elsewhere(
    tool: str, values: Mapping[str, Any], said: Mapping[str, Any], models: Collection[str]
) -> Borrowed:
    taken = _Taken(dict(values), models)
    for name in ("seed", "steps", "width", "height", "clip_skip", "variation_seed"):
        taken.known(name, _whole)
    for name in ("cfg_scale", "guidance", "variation_strength"):
        taken.known(name, _number)
    taken.known("sampler", lambda name: _method(name)[0])
    taken.known("scheduler", _scheduler)
    taken.known("model", lambda name: _model(str(name), models))
    if not taken.values.get("variation_strength"):  # 0 is how other tools say that there is none
        for name in ("variation_seed", "variation_strength"):
            taken.values.pop(name, None)
    return Borrowed(tool, taken.values, said, tuple(taken.missing))


@dataclass
class _Taken:
    """Values on their way over, without those that are not told."""

    values: dict[str, Any]
    models: Collection[str]
    missing: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.values = {name: value for name, value in self.values.items() if value not in (None, "")}

    def known(self, name: str, find: Callable[[Any], Any]) -> None:
        """Put a value into our own terms, or leave it out and say so."""
        if name not in self.values:
            return
        value = self.values.pop(name)
        if (found := find(value)) is not None:
            self.values[name] = found
        else:
            self.missing.append(f"Its {name.replace('_', ' ')} {value} is not known here.")


def _whole(value: object) -> int | None:
    try:
        number = float(str(value))
        return int(str(value)) if str(value).isdigit() else int(number) if number == int(number) else None
    except (ValueError, OverflowError):
        return None


def _number(value: object) -> float | None:
    try:
        return float(str(value))
    except ValueError:
        return None


def _model(name: str, models: Collection[str]) -> str | None:
    """A model by the name of its file, with or without folders and ending."""
    bare = name.replace("\\", "/").rpartition("/")[2]
    stem = bare.rpartition(".")[0] if bare.endswith((".safetensors", ".ckpt", ".gguf", ".pt")) else bare
    return next((one for one in models if one in (name, bare, stem)), None)


def _method(name: object) -> tuple[str | None, str | None]:
    """Our name for a sampler by any tool's, and a scheduler that older tools write behind it."""
    from darkroom.studio.methods import sampler_in

    found, behind = sampler_in(str(name))
    return found, behind if found else None


def _scheduler(name: object) -> str | None:
    """Our name for a scheduler by any tool's."""
    from darkroom.studio.methods import scheduler_named

    try:
        return scheduler_named(str(name))
    except UnknownName:
        return None

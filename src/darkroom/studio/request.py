"""What is asked of the studio and what it hands back.

Nothing here imports torch: a command line can check its input before it pays for the network.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex

from darkroom.errors import InvalidRequest, UnknownName
from darkroom.studio.attachments import Attachments
from darkroom.studio.checks import check_number, check_whole
from darkroom.studio.guides import GUIDES, check_guide

if TYPE_CHECKING:
    import numpy as np

MAX_SEED = 2**64 - 1
MAX_COUNT = 1000
MAX_STEPS = 1000
MAX_SIDE = 8192
MIN_VAE_TILE = 64
"""Pixels: below it a tile is all edge."""
MAX_CFG_SCALE = 100.0
MAX_REUSE = 10
SHEET_GAP = 4
"""White pixels between the pictures of a sheet."""
PRECISIONS = ("float32", "bfloat16", "int8")
MAX_GUIDANCE = 100.0
MAX_CLIP_SKIP = 12
VARIANTS = ("eps", "v", "lcm", "turbo", "lightning")
"""What files of Stable Diffusion may not say: what the network predicts, or how it was distilled."""
EMPHASES = ("a1111", "comfy", "plain", "none")
"""How weights in a prompt act: as in A1111, with or without its normalisation (plain), as in ComfyUI, which
knows no words that change on the way, or not at all: then brackets of weights are brackets."""
PAIRS = ("seed_size", "cfg_interval")
"""Fields of two numbers, which JSON knows as lists."""
MAX_PROMPT = 8000
"""Characters, about 1,500 words: more than any text encoder here reads."""
NOISES = ("philox", "brownian", "torch", "torch-gpu", "comfy")
"""Who draws the noise: ours, step by step or along a path that is the same for any number of steps; or to
match the seeds of other tools torch's on a CPU or GPU, or ComfyUI's."""


def random_seed() -> int:
    """A seed of 32 bits: short enough to read aloud and to type into any other tool."""
    return int.from_bytes(os.urandom(4))


@dataclass(frozen=True, kw_only=True)
class Request:
    """Pictures to be made; picture i has seed ``seed + i`` and comes out as if it were asked for alone.

    ``None`` leaves a choice to the model; ``filled`` makes it. ``width`` and ``height`` are in pixels,
    ``steps`` counts sampling steps, ``cfg_scale`` is the scale of classifier-free guidance (1 means none),
    ``precision`` is what the network computes in, which None leaves to the machine: "bfloat16" is several
    times faster where the processor has instructions for it, far slower where it has none, and a little
    different; the starter's weights stay single, those of other models are kept in it. "int8" multiplies
    integers, faster still where there are instructions for them, and coarser.
    ``init_image`` is a picture to start from and ``strength`` in (0, 1] says how much of it is
    made anew; with a ``mask`` only where that picture is white. ``guidance`` is the scale that a distilled
    model (FLUX.1 dev, LCM) is told, ``clip_skip`` the layer of CLIP to read, counted from its end (1 is the
    last), ``emphasis`` one of ``EMPHASES``, ``attached`` what hangs on the model. ``noise`` is one of
    ``NOISES``. With a ``variation_strength`` in (0, 1] picture i is that of ``seed``, moved so far towards
    that of ``variation_seed + i``; ``seed_size`` is the width and height at which the seed is drawn, to get
    much the same picture at another size. ``guide`` is one of ``guides.GUIDES``; ``cfg_rescale`` in [0, 1]
    pulls contrast back to that of the prompt alone, ``cfg_interval`` guides only where noise / signal lies
    above its first and up to its second number, and ``pag_scale`` pushes away from what attention would see
    blind. ``vae_tile`` is the side in pixels of tiles in which pictures are encoded and decoded to save
    memory, with seams faded out; None does it at once. The network's inner blocks are run at every
    ``reuse``-th question alone, and what they gave is taken again until then: faster, and a little different;
    1 runs them always. ``variant`` says what a model's file does not: one of
    ``VARIANTS``; with ``allow_pickle`` it may be a pickle, of which no code is run. ``others`` are files of
    parts that the model lacks, or that stand for its own.

    Raises InvalidRequest when a value cannot be had, whatever the model, and UnknownName.
    """

    prompt: str
    negative: str = ""
    seed: int = field(default_factory=random_seed)
    count: int = 1
    width: int | None = None
    height: int | None = None
    steps: int | None = None
    cfg_scale: float | None = None
    sampler: str | None = None
    scheduler: str | None = None
    model: str = "starter"
    precision: str | None = None
    init_image: Path | None = None
    strength: float = 0.75
    mask: Path | None = None
    guidance: float | None = None
    clip_skip: int | None = None
    emphasis: str = "a1111"
    attached: Attachments = field(default_factory=Attachments)
    variant: str | None = None
    allow_pickle: bool = False
    others: tuple[Path, ...] = ()
    noise: str = "philox"
    variation_seed: int | None = None
    variation_strength: float = 0.0
    seed_size: tuple[int, int] | None = None
    guide: str = "cfg"
    cfg_rescale: float = 0.0
    cfg_interval: tuple[float, float] | None = None
    pag_scale: float = 0.0
    vae_tile: int | None = None
    reuse: int = 1

    def __post_init__(self) -> None:
        _check_prompt("prompt", self.prompt)
        _check_prompt("negative prompt", self.negative)
        if not self.prompt.strip():
            raise InvalidRequest(
                "the prompt is empty; say what the picture should show, such as 'a red apple'."
            )
        for name, kind in (("model", str), ("sampler", str | None), ("scheduler", str | None)):
            if not isinstance(getattr(self, name), kind):
                raise InvalidRequest(f"the {name} {getattr(self, name)!r} is no name; give it as text.")
        check_whole("count", self.count, 1, MAX_COUNT)
        check_whole("seed", self.seed, 0, MAX_SEED - self.count + 1, "leave it out for a random one, or ")
        for name, value, most in (
            ("width", self.width, MAX_SIDE),
            ("height", self.height, MAX_SIDE),
            ("steps", self.steps, MAX_STEPS),
        ):
            if value is not None:
                check_whole(name, value, 1, most)
        if self.cfg_scale is not None:
            check_number("cfg scale", self.cfg_scale, 0.0, MAX_CFG_SCALE)
        if self.precision is not None and self.precision not in PRECISIONS:
            raise UnknownName("precision", str(self.precision), PRECISIONS)
        check_number("strength", self.strength, 0.0, 1.0)
        if self.strength == 0:
            raise InvalidRequest(
                "strength 0 would hand the first picture back unchanged; choose one up to 1."
            )
        if self.mask is not None and self.init_image is None:
            raise InvalidRequest("a mask needs the picture that it lies on; give that as the first picture.")
        if self.guidance is not None:
            check_number("guidance", self.guidance, 0.0, MAX_GUIDANCE)
        if self.clip_skip is not None:
            check_whole("clip skip", self.clip_skip, 1, MAX_CLIP_SKIP)
        if self.emphasis not in EMPHASES:
            raise UnknownName("emphasis", str(self.emphasis), EMPHASES)
        if self.variant is not None and self.variant not in VARIANTS:
            raise UnknownName("variant", str(self.variant), VARIANTS)
        if self.noise not in NOISES:
            raise UnknownName("noise", str(self.noise), NOISES)
        check_number("variation strength", self.variation_strength, 0.0, 1.0)
        if self.variation_seed is not None:
            check_whole("variation seed", self.variation_seed, 0, MAX_SEED - self.count + 1)
        if (self.variation_seed is None) != (self.variation_strength == 0):
            raise InvalidRequest("a variation needs both its seed and a strength above 0; give both or none.")
        if self.seed_size is not None:
            for name, side in zip(("width", "height"), self.seed_size, strict=True):
                check_whole(f"seed {name}", side, 1, MAX_SIDE)
        if self.vae_tile is not None:
            check_whole("vae tile", self.vae_tile, MIN_VAE_TILE, MAX_SIDE)
        check_whole("reuse", self.reuse, 1, MAX_REUSE)
        check_guide(self)

    def filled(self, **defaults: Any) -> "Request":
        """The same with every ``None`` replaced by the default of that name; what was chosen stays chosen.

        A guide that wants a scale of another kind has one of its own.
        """
        if (scale := GUIDES[self.guide].scale) is not None:
            defaults |= {"cfg_scale": scale}
        unset = {name: value for name, value in defaults.items() if getattr(self, name) is None}
        return replace(self, **unset)

    def single(self, index: int) -> "Request":
        """The request that makes picture ``index`` of this run alone."""
        if self.variation_seed is not None:
            return replace(self, variation_seed=self.variation_seed + index, count=1)
        return replace(self, seed=self.seed + index, count=1)

    def to_json(self) -> dict[str, Any]:
        """Plain values by field name; ``from_json`` reads them back."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        paths = {name: values[name] and str(values[name]) for name in ("init_image", "mask")}
        others = [str(path) for path in self.others]
        return values | paths | {"attached": self.attached.to_json(), "others": others}

    @staticmethod
    def from_json(values: Mapping[str, Any]) -> "Request":
        """The request that ``to_json`` wrote. Raises InvalidRequest for fields that are unknown or wrong."""
        known = {f.name for f in fields(Request)}
        if unknown := sorted(set(values) - known):
            raise InvalidRequest(f"a request has no field '{unknown[0]}'; it has {', '.join(sorted(known))}.")
        if "prompt" not in values:
            raise InvalidRequest("a request needs the field 'prompt'; this one has none.")
        paths = {name: values.get(name) and Path(values[name]) for name in ("init_image", "mask")}
        attached = Attachments.from_json(values.get("attached", {}))
        others = tuple(map(Path, values.get("others", ())))
        pairs = {name: values[name] and tuple(values[name]) for name in PAIRS if name in values}
        return Request(**{**values, **paths, **pairs, "attached": attached, "others": others})

    def files(self) -> tuple[Path, ...]:
        """Every file that it reads beside the model's; for the same picture they must be as they were."""
        pictures = (path for path in (self.init_image, self.mask) if path)
        return (*pictures, *self.others, *self.attached.files())

    def moved(self, names: Mapping[Path, Path]) -> "Request":
        """The same with files that lie elsewhere now."""
        first, mask = (path and names.get(path, path) for path in (self.init_image, self.mask))
        others = tuple(names.get(path, path) for path in self.others)
        return replace(self, init_image=first, mask=mask, others=others, attached=self.attached.moved(names))


@dataclass(frozen=True, kw_only=True)
class Record:
    """What made a picture: all that is needed to make it again, and what it was made on.

    ``request`` leaves nothing to a default. ``model_hash`` is the SHA-256 of the weights in hex and
    ``hashes`` those of all other files that were read, by their paths. ``version``, ``torch``, ``device`` and
    ``dtype`` explain a difference in rounding. ``further`` are the other pictures' requests where each has
    its own: then all, ``request`` too, are for one picture.
    """

    request: Request
    model_hash: str
    version: str
    torch: str
    device: str = "cpu"
    dtype: str = "float32"
    hashes: Mapping[str, str] = field(default_factory=dict)
    further: tuple[Request, ...] = ()

    def single(self, index: int) -> "Record":
        """The record of picture ``index`` of this run."""
        if not self.further:
            return replace(self, request=self.request.single(index))
        request = self.requests[index]
        names = [str(path) for path in request.files()]
        hashes = {name: self.hashes[name] for name in names if name in self.hashes}
        return replace(self, request=request, further=(), hashes=hashes)

    @property
    def requests(self) -> tuple[Request, ...]:
        """All that must be developed to make its pictures again."""
        return (self.request, *self.further)

    def files(self) -> tuple[Path, ...]:
        """Every file that was read beside the model's."""
        return tuple(path for request in self.requests for path in request.files())

    def moved(self, names: Mapping[Path, Path]) -> "Record":
        """The same with files that lie elsewhere now."""
        request, *further = (request.moved(names) for request in self.requests)
        hashes = {str(names.get(Path(name), name)): digits for name, digits in self.hashes.items()}
        return replace(self, request=request, further=tuple(further), hashes=hashes)

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height of the picture, or of the sheet that holds all; None where none can be told."""
        (width, height), *others = {(request.width, request.height) for request in self.requests}
        if width is None or height is None or others:
            return None
        return sheet_size(sum(request.count for request in self.requests), width, height)


@dataclass(frozen=True)
class Progress:
    """A step is done; ``preview`` decodes what the pictures look like now, and costs nothing until called."""

    step: int
    steps: int
    preview: Callable[[], "list[np.ndarray]"]


@dataclass(frozen=True)
class Picture:
    """One picture, uint8 (H, W, 3), with what made it."""

    pixels: "np.ndarray"
    record: Record

    def save(self, path: Path | str, overwrite: bool = False) -> Path:
        """Write a PNG, JPEG or WebP by the name's ending, as ``files.save`` does; returns the path."""
        from darkroom.studio.files import save

        return save(self, Path(path), overwrite)


@dataclass(frozen=True)
class Result:
    """The pictures of one request, each uint8 (H, W, 3), what made them, and the seconds each part took.

    ``notices`` say what a user should know, such as how much of a LoRA was used.
    """

    images: "tuple[np.ndarray, ...]"
    record: Record
    seconds: Mapping[str, float] = field(default_factory=dict)
    notices: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: SupportsIndex) -> Picture:
        position = range(len(self.images))[index]
        return Picture(self.images[position], self.record.single(position))

    def __iter__(self) -> Iterator[Picture]:
        return (self[i] for i in range(len(self)))

    def on_one_sheet(self) -> Picture:
        """All pictures in one, with the record of them all."""
        from darkroom.studio.pictures import sheet

        return Picture(sheet(self.images), self.record)


def sheet_size(count: int, width: int, height: int) -> tuple[int, int]:
    """Width and height in pixels of a sheet of pictures of one size, as near to a square as it goes."""
    columns = ceil(sqrt(count))
    rows = ceil(count / columns)
    return columns * (width + SHEET_GAP) - SHEET_GAP, rows * (height + SHEET_GAP) - SHEET_GAP


def _check_prompt(name: str, text: object) -> None:
    if not isinstance(text, str):
        raise InvalidRequest(f"the {name} must be text, not {type(text).__name__}.")
    if len(text) > MAX_PROMPT:
        raise InvalidRequest(
            f"the {name} has {len(text):,} characters; shorten it to {MAX_PROMPT:,} or fewer."
        )
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InvalidRequest(
            f"the {name} is not UTF-8 at character {error.start}; retype it there."
        ) from None

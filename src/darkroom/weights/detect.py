"""What a checkpoint is, by its header alone: names, shapes and metadata; never the file's name."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from darkroom.weights.adapter_signs import Adapter, adapter_of, stated
from darkroom.weights.facts import READERS, Found, text_width
from darkroom.weights.header import Header, TensorInfo
from darkroom.weights.keymap import Shapes
from darkroom.weights.layouts.clip import stable_diffusion_2
from darkroom.weights.others import guess, is_ballast
from darkroom.weights.parts import KINDS, PREFIXES, Kind, Part, parts_of

NETWORKS = ("unet", "flux", "mmdit", "pixart")
"""What makes a picture; a file with one of them is a model, without one it is a part of some."""
LATENTS = {4: ("sd1", "sd2", "sdxl", "pixart"), 16: ("sd3", "flux")}
TEXTS = {
    ("clip", 768): ("sd1", "sdxl", "sd3", "flux"),
    ("clip", 1024): ("sd2",),
    ("clip", 1280): ("sdxl", "sdxl-refiner", "sd3"),
    ("t5", 4096): ("sd3", "flux", "pixart"),
}
"""Which families read a text encoder of this kind and width."""
CALLED = {"epsilon": "eps", "eps": "eps", "v": "v", "v_prediction": "v", "v-prediction": "v"}


@dataclass(frozen=True)
class Detected:
    """What a header says.

    ``kind`` is "model", "part", "adapter" or "unknown"; ``family`` is that of a model, and ``fits`` those
    that a part or an adapter can serve. ``variant`` is "inpaint", "lcm", "dev fill" and the like.
    ``prediction`` is what the network predicts ("eps", "v", "flow"), or None where a header cannot tell.
    ``differences`` say where sizes are not those of the published family; ``left`` are tensors that belong
    to nothing here.
    """

    kind: str
    layout: str
    family: str | None = None
    variant: str = ""
    fits: tuple[str, ...] = ()
    parts: Mapping[str, Part] = field(default_factory=dict)
    prediction: str | None = None
    adapter: Adapter | None = None
    differences: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


def detect(header: Header) -> Detected:
    """What a checkpoint is. One that is not known comes out as "unknown", with what it is closest to."""
    parts = parts_of(header)
    if any(part.kind.network in NETWORKS for part in parts):
        return _model(header, parts)
    if adapter := adapter_of(header):
        return Detected("adapter", adapter.style, fits=adapter.fits, adapter=adapter, notes=adapter.notes)
    if parts:
        return _part(header, parts)
    return Detected("unknown", "unknown", notes=tuple(_why_not(header.shapes)))


def _model(header: Header, parts: tuple[Part, ...]) -> Detected:
    """A diffusion network, alone or with its encoders."""
    network = next(part for part in parts if part.kind.network in NETWORKS)
    found = _found(network)
    prediction, notes = _prediction(found, header)
    named = {part.name: part for part in _fitted(parts, found.family)}
    layout = "single file" if len(parts) > 1 else f"network alone, {network.kind.naming} names"
    return Detected(
        "model",
        layout,
        found.family,
        found.variant,
        (found.family,),
        named,
        prediction,
        differences=found.differences,
        notes=(*found.notes, *notes, *_packed(header)),
        left=tuple(_left(header, parts)),
    )


def _fitted(parts: Iterable[Part], family: str) -> list[Part]:
    """Stable Diffusion 2 does without the last layer of its text encoder."""
    return [
        replace(part, kind=replace(part.kind, keymap=stable_diffusion_2))
        if family == "sd2" and part.kind.naming == "OpenCLIP"
        else part
        for part in parts
    ]


def _part(header: Header, parts: tuple[Part, ...]) -> Detected:
    """Encoders, autoencoders, ControlNets and the like, one or several."""
    found = [_found(part) for part in parts if part.kind.network in READERS]
    fits = [_fits(part) for part in parts]
    common = tuple(family for family in fits[0] if all(family in one for one in fits))
    layout = f"{parts[0].kind.naming} names" if len(parts) == 1 else "several parts"
    return Detected(
        "part",
        layout,
        fits=common,
        parts={part.name: part for part in parts},
        differences=tuple(one for each in found for one in each.differences),
        notes=_packed(header),
        left=tuple(_left(header, parts)),
    )


def _fits(part: Part) -> tuple[str, ...]:
    """Families that can use a part."""
    network = part.kind.network
    if network in READERS:
        return (_found(part).family,)
    if network == "flux controlnet":
        return ("flux",)
    if network == "mmdit controlnet":
        return ("sd3", "sd3.5-medium", "sd3.5-large")
    if network in ("clip", "t5"):
        return TEXTS.get((network, text_width(part.shapes)), ())
    signs = ("decoder.conv_in.weight", "decoder.layers.1.weight", "decoder.layers.0.weight", "1.weight")
    latents = next((part.shapes[sign][1] for sign in signs if sign in part.shapes), 0)
    return LATENTS.get(latents, ())


def _found(network: Part) -> Found:
    """Family and variant by the shapes under our names."""
    if any(".quant_state." in name for name in network.shapes):
        family = {"flux": "flux", "mmdit": "sd3", "pixart": "pixart"}.get(network.kind.network, "sd1")
        return Found(family, "", (), ("its weights are packed, so its sizes do not tell more",))
    return READERS[network.kind.network](native_shapes(network))


class _Empty:
    """A store that has a header alone."""

    def __init__(self, header: Header) -> None:
        self.header = header

    def tensor(self, name: str) -> Tensor:
        raise KeyError(name)


def native_shapes(part: Part) -> Shapes:
    """The shapes of a part under our names."""
    if part.kind.keymap is None or part.kind.network not in READERS:
        return part.shapes
    infos = {part.prefix + name: TensorInfo(torch.float32, shape) for name, shape in part.shapes.items()}
    return part.view(_Empty(Header(infos))).header.shapes


def _prediction(found: Found, header: Header) -> tuple[str | None, tuple[str, ...]]:
    """What the network predicts: by a mark in the file, by its metadata, by its family."""
    if found.family in ("sd3", "sd3.5-medium", "sd3.5-large", "flux"):
        return "flow", ()
    notes = ("trained down to no signal at all (ztsnr)",) if "ztsnr" in header.tensors else ()
    if "edm_vpred.sigma_max" in header.tensors or "edm_mean" in header.tensors:
        return None, (*notes, "trained as EDM has it (CosXL, Playground v2.5)")
    if "v_pred" in header.tensors or header.metadata.get("ss_v_parameterization", "").lower() == "true":
        return "v", notes
    if said := CALLED.get(header.metadata.get("modelspec.prediction_type", "").lower()):
        return said, notes
    if found.family == "sd2" and not found.variant:
        return None, (*notes, "predicts eps (512 base) or v (768): the header does not tell")
    if found.family == "sd2":
        return ("v" if found.variant in ("upscaler", "unclip") else "eps"), notes
    return "eps", notes


def _packed(header: Header) -> tuple[str, ...]:
    """What is to be known of the values themselves."""
    names = header.tensors
    if any(".quant_state.bitsandbytes__" in name for name in names):
        return ("its weights are packed in 4 bits (bitsandbytes), which is not read here",)
    if any(name.endswith(("scale_weight", "scaled_fp8", ".weight_scale")) for name in names):
        return ("its 8-bit weights have scales beside them",)
    return ()


def _left(header: Header, parts: Iterable[Part]) -> Iterable[str]:
    """Tensors behind no part's prefix, or that its key map does not know."""
    prefixes = tuple(part.prefix for part in parts if part.prefix)
    bare = any(not part.prefix for part in parts)
    for name in header.tensors:
        if not bare and not name.startswith(prefixes) and not is_ballast(name):
            yield name
    for part in parts:
        keymap = part.keymap
        if keymap is None:
            continue
        for name in part.shapes:
            if (
                not keymap.knows(part.prefix + name)
                and not is_ballast(part.prefix + name)
                and not _scale(name)
            ):
                yield part.prefix + name


def _scale(name: str) -> bool:
    return ".quant_state." in name or name.endswith(
        (".scale_weight", ".scale_input", ".absmax", ".quant_map")
    )


def _why_not(shapes: Shapes) -> Iterable[str]:
    """What an unknown file is closest to, and what it lacks."""
    if what := guess(shapes):
        yield f"it looks like {what}, which is not known here"
    score, kind, prefix = max(_scores(shapes), key=lambda one: one[0])
    if score:
        lacks = ", ".join(f"'{prefix}{sign}'" for sign in kind.signs if prefix + sign not in shapes)
        yield f"it is closest to a {kind.network} in {kind.naming} naming, but lacks {lacks}"
    else:
        some = ", ".join(f"'{name}'" for name in list(shapes)[:3]) or "none"
        yield f"no tensor has a name that is known here; its first are {some}"


def _scores(shapes: Shapes) -> Iterable[tuple[float, Kind, str]]:
    """How many of each kind's signs are there."""
    for kind in KINDS:
        for prefix in PREFIXES:
            yield sum(prefix + sign in shapes for sign in kind.signs) / len(kind.signs), kind, prefix


__all__ = ["Adapter", "Detected", "detect", "native_shapes", "stated"]

"""Adapters in a file: what they are, in whose style, and which family they fit, by names and shapes alone."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from darkroom.weights.header import Header
from darkroom.weights.keymap import Shapes

SUFFIXES = (
    (".lora_down.weight", "LoRA"),
    (".lora_A.weight", "LoRA"),
    (".lora_A.default.weight", "LoRA"),
    ("_lora.down.weight", "LoRA"),
    (".lora.down.weight", "LoRA"),
    (".lora_linear_layer.down.weight", "LoRA"),
    ("_lora1.down.weight", "LoRA"),
    ("_lora2.down.weight", "LoRA"),
    (".hada_w1_b", "LoHa"),
    (".lokr_w1", "LoKr"),
    (".lokr_w1_b", "LoKr"),
    (".oft_blocks", "OFT"),
    (".oft_diag", "OFT"),
    (".a1.weight", "GLoRA"),
    (".on_input", "IA3"),
    (".diff", "whole differences"),
)
"""The ends of the tensor from which a layer's adapter is known, and the method."""

DORA = (".dora_scale", ".lora_magnitude_vector", ".lora_magnitude_vector.weight")

PLACES = (
    ("lora_unet_", "unet", "kohya"),
    ("lora_te1_", "text_encoder", "kohya"),
    ("lora_te2_", "text_encoder_2", "kohya"),
    ("lora_te3_", "text_encoder_3", "kohya"),
    ("lora_te_", "text_encoder", "kohya"),
    ("lora_transformer_", "transformer", "kohya, layers of diffusers"),
    ("lycoris_", "unet", "LyCORIS"),
    ("base_model.model.", "unet", "PEFT"),
    ("model.diffusion_model.", "unet", "ComfyUI"),
    ("diffusion_model.", "unet", "ComfyUI"),
    ("text_encoder_3.", "text_encoder_3", "diffusers"),
    ("text_encoder_2.", "text_encoder_2", "diffusers"),
    ("text_encoder.", "text_encoder", "diffusers"),
    ("transformer.", "transformer", "diffusers"),
    ("unet.", "unet", "diffusers"),
    ("double_blocks.", "transformer", "Black Forest Labs"),
    ("single_blocks.", "transformer", "Black Forest Labs"),
    ("", "unet", "bare"),
)
"""What stands before a layer's name, the part that it means, and who writes so."""

UNET_SIGNS = re.compile(r"(?<!encoder_)(down|up|input|output)_blocks_\d|mid(dle)?_block")
FLUX_SIGNS = re.compile(r"(single_transformer|single|double)_blocks_\d")
FOREIGN = re.compile(r"transformer_blocks_\d+_(img|txt)_m|double_stream|(^|unet_|model_)blocks_\d")
TEXT_SIGNS = re.compile(r"text_model|text_encoder|encoder_block_\d|^lora_te\d?_")
CROSS = re.compile(r"attn2_(processor_)?to_[kv]$")
DEEP = re.compile(r"transformer_blocks_[2-9]_")
WIDTHS = {768: "sd1", 1024: "sd2", 2048: "sdxl", 1280: "sdxl-refiner"}
"""Width of the text that a U-Net attends to, and its family."""
STREAMS = {1536: "sd3.5-medium", 2432: "sd3.5-large", 3072: "flux", 1152: "pixart"}
"""Width of a transformer, and its family; SD 3 is as wide as SD 3.5 medium."""
ARCHITECTURES = (
    ("stable-diffusion-xl-v1-refiner", "sdxl-refiner"),
    ("stable-diffusion-xl", "sdxl"),
    ("stable-diffusion-v1", "sd1"),
    ("stable-diffusion-v2", "sd2"),
    ("stable-diffusion-v3.5-large", "sd3.5-large"),
    ("stable-diffusion-v3.5-medium", "sd3.5-medium"),
    ("stable-diffusion-3", "sd3"),
    ("flux-1", "flux"),
    ("flux.1", "flux"),
    ("sdxl", "sdxl"),
    ("sd_v1", "sd1"),
    ("sd_v2", "sd2"),
    ("sd3", "sd3"),
    ("flux1", "flux"),
)
"""How ``modelspec.architecture`` and ``ss_base_model_version`` begin."""


@dataclass(frozen=True)
class Adapter:
    """What changes a model: ``method`` (LoRA, textual inversion, ...), the style of its names, what it fits.

    ``targets`` counts the layers in each part that it changes; ``ranks`` are those that occur.
    """

    method: str
    style: str
    fits: tuple[str, ...]
    targets: Mapping[str, int]
    ranks: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()


def adapter_of(header: Header) -> Adapter | None:
    """The adapter that a file holds, or None."""
    return _ip_adapter(header.shapes) or _layers(header) or _embedding(header)


def _layers(header: Header) -> Adapter | None:
    """LoRA and kin."""
    found = list(_changed(header.shapes))
    if not found:
        return None
    places = [_place(layer) for layer, _, _ in found]
    methods = dict.fromkeys(method for _, method, _ in found)
    if any(name.endswith(DORA) for name in header.tensors):
        methods = {f"{method} with DoRA": None for method in methods}
    fits, notes = _fits(header, [(layer, shape) for layer, _, shape in found])
    targets = _counted(_part(place, fits) for place in places)
    ranks = {shape[0] for _, method, shape in found if method in ("LoRA", "LoHa")}
    style = "XLabs" if any("_lora1" in layer for layer, _, _ in found) else _styles(places)
    return Adapter(" and ".join(methods), style, fits, targets, tuple(sorted(ranks)), notes)


def _styles(places: Iterable[tuple[str, str, str]]) -> str:
    return ", ".join(dict.fromkeys(who for _, _, who in places))


def _changed(shapes: Shapes) -> Iterator[tuple[str, str, tuple[int, ...]]]:
    """The layers that are changed: name, method, and the shape of the tensor that tells."""
    for name, shape in shapes.items():
        for suffix, method in SUFFIXES:
            if name.endswith(suffix):
                end = "_" + suffix[1:].split(".")[0] if suffix.startswith("_lora") else ""
                yield name.removesuffix(suffix) + (end if end in ("_lora1", "_lora2") else ""), method, shape
                break


def _place(layer: str) -> tuple[str, str, str]:
    """Prefix, part and style of a layer's name."""
    inner = layer.removeprefix("base_model.model.")
    for prefix, part, style in PLACES:
        if inner.startswith(prefix):
            return prefix, part, "PEFT" if inner != layer else style
    raise AssertionError("the last prefix fits every name")


def _part(place: tuple[str, str, str], fits: tuple[str, ...]) -> str:
    """What the network is called in the family that it fits."""
    return (
        "transformer"
        if place[1] == "unet" and fits and not fits[0].startswith(("sd1", "sd2", "sdxl"))
        else place[1]
    )


def _counted(names: Iterable[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for name in names:
        counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))


def _fits(
    header: Header, layers: list[tuple[str, tuple[int, ...]]]
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Families by the layers' names and widths, by the metadata where these do not tell; and notes."""
    seen = _by_layers({layer.replace(".", "_"): shape for layer, shape in layers})
    said = stated(header.metadata)
    if not seen:
        return ((said,), ("its layers do not tell what it fits; its metadata do",)) if said else ((), ())
    if said and said not in seen:
        return seen, (f"its metadata say that it is for {said}, which its layers do not fit",)
    return ((said,) if said else seen), ()


def _by_layers(layers: Mapping[str, tuple[int, ...]]) -> tuple[str, ...]:
    """Families whose networks have such layers."""
    inputs = {layer: shape[-1] if len(shape) < 4 else shape[1] for layer, shape in layers.items()}
    if unet := [layer for layer in layers if UNET_SIGNS.search(layer)]:
        return _by_unet(unet, inputs)
    if any(FOREIGN.search(layer) for layer in layers):
        return ()
    if any(FLUX_SIGNS.search(layer) for layer in layers):
        return ("flux",)
    streams = {STREAMS[width] for layer, width in inputs.items() if "blocks_" in layer and width in STREAMS}
    if streams:
        return ("sd3", "sd3.5-medium") if "sd3.5-medium" in streams else tuple(sorted(streams))[:1]
    return _by_text(inputs) if all(TEXT_SIGNS.search(layer) for layer in layers) else ()


def _by_unet(layers: list[str], inputs: Mapping[str, int]) -> tuple[str, ...]:
    """The text that cross-attention reads tells at once; without it, how deep and where the blocks are."""
    widths = {inputs[layer] for layer in layers if CROSS.search(layer)}
    if families := tuple(WIDTHS[width] for width in widths if width in WIDTHS):
        return families[:1]
    if any("te2_" in layer or "text_encoder_2" in layer for layer in inputs) or any(map(DEEP.search, layers)):
        return ("sdxl",)
    if any("down_blocks_0_attentions" in layer or "up_blocks_3_attentions" in layer for layer in layers):
        return ("sd1", "sd2")
    return ("sd1", "sd2", "sdxl")


def _by_text(inputs: Mapping[str, int]) -> tuple[str, ...]:
    """A text encoder alone: by its width."""
    widths = {
        width for layer, width in inputs.items() if re.search(r"self_attn_[qkv]_proj|SelfAttention", layer)
    }
    if 1280 in widths:
        return ("sdxl", "sd3")
    return ("sd1", "sdxl", "sd3", "flux") if 768 in widths else ("sd2",) if 1024 in widths else ()


def stated(metadata: Mapping[str, str]) -> str | None:
    """The family that metadata name, or None."""
    for key in ("modelspec.architecture", "ss_base_model_version"):
        said = metadata.get(key, "").lower()
        for start, family in ARCHITECTURES:
            if said.startswith(start):
                return family
    return None


def _ip_adapter(shapes: Shapes) -> Adapter | None:
    """IP-Adapters: a projection of a picture's embedding, and keys and values of their own."""
    keys = [shape for name, shape in shapes.items() if name.endswith(".to_k_ip.weight")]
    if keys and any(name.startswith(("ip_adapter.", "image_proj")) for name in shapes):
        face = "image_proj.proj.0.weight" in shapes
        kind = "Plus" if "image_proj.latents" in shapes else "with a deep projection" if face else "plain"
        family = WIDTHS.get(keys[0][1])
        return Adapter("IP-Adapter", kind, (family,) if family else (), {"unet": len(keys)})
    flux = [name for name in shapes if name.endswith(".ip_adapter_double_stream_k_proj.weight")]
    if flux:
        return Adapter("IP-Adapter", "XLabs", ("flux",), {"transformer": len(flux)})
    return None


def _embedding(header: Header) -> Adapter | None:
    """Textual inversion: a few rows as wide as a text encoder's tokens."""
    shapes = header.shapes
    if not 0 < len(shapes) <= 3 or any(not 1 <= len(shape) <= 2 for shape in shapes.values()):
        return None
    if any(len(shape) == 2 and shape[0] > 256 for shape in shapes.values()):
        return None
    widths = {shape[-1] for shape in shapes.values()}
    style = (
        "SDXL"
        if {"clip_l", "clip_g"} <= shapes.keys()
        else "A1111"
        if "emb_params" in shapes
        else "diffusers"
    )
    fits = {768: ("sd1",), 1024: ("sd2",), 1280: ("sdxl",), 4096: ("sd3", "flux")}
    if widths == {768, 1280}:
        known: tuple[str, ...] = ("sdxl",)
    elif len(widths) == 1 and (width := widths.pop()) in fits:
        known = fits[width]
    else:
        return None
    parts = {768: "text_encoder", 1024: "text_encoder", 1280: "text_encoder_2", 4096: "text_encoder_3"}
    tokens = {parts[shape[-1]]: shape[0] if len(shape) == 2 else 1 for shape in shapes.values()}
    return Adapter("textual inversion", style, known, tokens)

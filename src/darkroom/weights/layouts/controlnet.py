"""ControlNets: Stable Diffusion's as latent-diffusion names them (``control_model.``), XLabs' for FLUX."""

from collections.abc import Iterator

from darkroom.weights.keymap import KeyMap, Rule, Shapes, rule, rules
from darkroom.weights.layouts import flux
from darkroom.weights.layouts.unet import (
    Structure,
    count,
    down,
    label,
    middle,
    native_structure,
    original_structure,
)

ENDS = (
    ("time_embed.0", "time_embedding.linear_1"),
    ("time_embed.2", "time_embedding.linear_2"),
    ("input_blocks.0.0", "conv_in"),
    ("middle_block_out.0", "controlnet_mid_block"),
)
HINT = (("0", "conv_in"), *((str(2 * n + 2), f"blocks.{n}") for n in range(6)), ("14", "conv_out"))
"""Eight convolutions of the picture that guides, with an activation between each two."""


def from_original(shapes: Shapes) -> KeyMap:
    """The key map of a ControlNet with latent-diffusion's names, without prefix."""
    return KeyMap(tuple(controlnet(original_structure(shapes))))


def from_native(shapes: Shapes) -> KeyMap:
    """The key map of a ControlNet with our names."""
    return KeyMap(tuple(controlnet(native_structure(shapes))))


def controlnet(structure: Structure) -> Iterator[Rule]:
    """All rules of a ControlNet for a U-Net."""
    yield from rules(ENDS, tail=".{w}")
    yield from label(structure)
    yield from down(structure)
    yield from middle()
    yield from rules(HINT, "input_hint_block.", "controlnet_cond_embedding.", ".{w}")
    yield rule("zero_convs.{i}.0.{w}", "controlnet_down_blocks.{i}.{w}")


def flux_from_original(shapes: Shapes) -> KeyMap:
    """The key map of XLabs' ControlNets for FLUX."""
    return KeyMap(tuple(flux_controlnet()))


def flux_controlnet() -> Iterator[Rule]:
    """XLabs': double blocks alone, a picture in pixels, and a layer behind each block."""
    yield from rules(flux.INPUTS, tail=".{w}")
    yield from flux.double_block()
    yield from rules(HINT, "input_hint_block.", "input_hint_block.", ".{w}")
    yield rule("pos_embed_input.{w}", "controlnet_x_embedder.{w}")
    yield rule("controlnet_blocks.{i}.{w}")


def blocks(shapes: Shapes) -> int:
    """How many zero convolutions a ControlNet with our names has, the middle's not counted."""
    return count(shapes, "controlnet_down_blocks.")

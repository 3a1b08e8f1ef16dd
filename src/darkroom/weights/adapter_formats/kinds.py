"""What kind of model an adapter seems to be for, judged by its names and widths; used in messages alone."""

import re

from darkroom.weights.adapter_formats.reading import AdapterFile
from darkroom.weights.header import shown

BY_NAME = (
    (r"single_(transformer_)?blocks", "FLUX.1"),
    (r"joint_blocks|(?<!single_)transformer_blocks_\d+_attn_add_[kqv]_proj", "Stable Diffusion 3"),
)
BY_WIDTH = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 2048: "Stable Diffusion XL"}
"""The width of the text that cross-attention of a U-Net looks at."""
INWARD = ("lora_down", "hada_w1_b")
"""Roles whose second axis is the layer's input."""


def made_for(file: AdapterFile) -> str:
    """A name of a kind of model, or of the first layer where the kind is not known."""
    joined = {name: name.replace(".", "_") for name in file.modules}
    for pattern, kind in BY_NAME:
        if any(re.search(pattern, name) for name in joined.values()):
            return kind
    for name, short in joined.items():
        if re.search(r"attn2_to_[kv]$", short) and (told := BY_WIDTH.get(width(file, name))):
            return told
    if any(name.startswith(("lora_te2_", "text_encoder_2_")) for name in joined.values()):
        return "Stable Diffusion XL"
    return f"a model with a layer named {shown(next(iter(file.modules)))}"


def width(file: AdapterFile, module: str) -> int:
    """The inputs of a module's layer, 0 where its kind does not show them."""
    shapes = file.store.header.tensors
    found = (shapes[key].shape for role, key in file.modules[module].items() if role in INWARD)
    return next((shape[1] for shape in found if len(shape) > 1), 0)

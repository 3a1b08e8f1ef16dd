"""Strengths of an adapter block by block: lists as A1111's "LoRA block weight" has them, or by name.

Its lists of 12, 17, 20 or 26 numbers begin with BASE, which is for text encoders and whatever lies outside
the blocks. The others are for the blocks of a U-Net as latent-diffusion counts them: IN00..IN11, M00,
OUT00..OUT11.
"""

import re
from collections.abc import Mapping, Sequence

from darkroom.errors import DarkroomError

LAYERS = 2
"""Residual blocks in each level of the U-Nets that these lists are for."""

BlockWeights = Sequence[float] | Mapping[str, float]


def _blocks(inputs: str, outputs: str) -> tuple[str, ...]:
    return ("BASE", *(f"IN{i:0>2}" for i in inputs.split()), "M00", *(f"OUT{i:0>2}" for i in outputs.split()))


BLOCKS: Mapping[int, tuple[str, ...]] = {
    12: _blocks("4 5 7 8", "0 1 2 3 4 5"),  # SDXL, where attention is
    17: _blocks("1 2 4 5 7 8", "3 4 5 6 7 8 9 10 11"),  # SD 1 and 2, where attention is
    20: _blocks("0 1 2 3 4 5 6 7 8", "0 1 2 3 4 5 6 7 8"),  # SDXL, all
    26: _blocks("0 1 2 3 4 5 6 7 8 9 10 11", "0 1 2 3 4 5 6 7 8 9 10 11"),  # SD 1 and 2, all
}
"""The blocks of a list of so many numbers."""


def block_weight(weights: BlockWeights | None, part: str, module: str) -> float:
    """The factor for a module of a part of the model.

    A mapping holds beginnings of names ("unet.down_blocks.1", "text_encoder"), of which the longest that
    fits counts; what no beginning fits keeps 1. Blocks that a list does not name get 0, as in the extension.
    Raises DarkroomError for a list of another length.
    """
    if weights is None:
        return 1.0
    if isinstance(weights, Mapping):
        name = f"{part}.{module}"
        fitting = [start for start in weights if name == start or name.startswith(start.rstrip(".") + ".")]
        return weights[max(fitting, key=len)] if fitting else 1.0
    if len(weights) not in BLOCKS:
        raise DarkroomError(
            f"a list of block weights has {', '.join(map(str, BLOCKS))} numbers, and not {len(weights)}; "
            "give one of these, or weights by the beginnings of names."
        )
    named = dict(zip(BLOCKS[len(weights)], weights, strict=True))
    return named.get(block_of(module) if part == "unet" else "BASE", 0.0)


def block_of(module: str) -> str:
    """The block that a module of a U-Net lies in, as latent-diffusion counts."""
    match = re.match(r"(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)", module)
    if match is None:
        return "M00" if module.startswith("mid_block.") else {"conv_in": "IN00"}.get(module, "BASE")
    level, number = int(match[2]) * (LAYERS + 1), int(match[4])
    if match[1] == "down":
        return f"IN{level + (LAYERS if match[3] == 'downsamplers' else number) + 1:02}"
    return f"OUT{level + (LAYERS if match[3] == 'upsamplers' else number):02}"

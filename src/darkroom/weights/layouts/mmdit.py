"""Stable Diffusion 3 and 3.5: ``joint_blocks`` of a stream of the picture (x) and one of the text (context).

The last block's context only reads: it has scale and shift alone, and these, as those of the last layer,
stand in the other order than diffusers has them.
"""

from collections.abc import Iterator

from darkroom.weights.keymap import KeyMap, Rule, Shapes, rule, rules
from darkroom.weights.layouts.unet import count
from darkroom.weights.operations import SWAPPED, THIRDS

INPUTS = (
    ("x_embedder.proj", "pos_embed.proj"),
    ("t_embedder.mlp.0", "time_text_embed.timestep_embedder.linear_1"),
    ("t_embedder.mlp.2", "time_text_embed.timestep_embedder.linear_2"),
    ("y_embedder.mlp.0", "time_text_embed.text_embedder.linear_1"),
    ("y_embedder.mlp.2", "time_text_embed.text_embedder.linear_2"),
    ("context_embedder", "context_embedder"),
    ("final_layer.linear", "proj_out"),
)
PICTURE = (
    ("attn.proj", "attn.to_out.0"),
    ("attn2.proj", "attn2.to_out.0"),
    ("adaLN_modulation.1", "norm1.linear"),
    ("mlp.fc1", "ff.net.0.proj"),
    ("mlp.fc2", "ff.net.2"),
)
TEXT = (
    ("attn.proj", "attn.to_add_out"),
    ("mlp.fc1", "ff_context.net.0.proj"),
    ("mlp.fc2", "ff_context.net.2"),
)
NORMS = (
    ("x_block.attn.ln_q", "attn.norm_q"),
    ("x_block.attn.ln_k", "attn.norm_k"),
    ("x_block.attn2.ln_q", "attn2.norm_q"),
    ("x_block.attn2.ln_k", "attn2.norm_k"),
    ("context_block.attn.ln_q", "attn.norm_added_q"),
    ("context_block.attn.ln_k", "attn.norm_added_k"),
)


def from_original(shapes: Shapes) -> KeyMap:
    """The key map of a transformer with Stability's names, without prefix."""
    return KeyMap(tuple(mmdit(count(shapes, "joint_blocks."))))


def from_native(shapes: Shapes) -> KeyMap:
    """The key map of a transformer with our names."""
    return KeyMap(tuple(mmdit(count(shapes, "transformer_blocks."))))


def mmdit(depth: int) -> Iterator[Rule]:
    """All rules of a transformer of so many blocks."""
    yield rule("pos_embed", "pos_embed.pos_embed")
    yield from rules(INPUTS, tail=".{w}")
    yield rule("final_layer.adaLN_modulation.1.{w}", "norm_out.linear.{w}", how=SWAPPED)
    for number in range(depth):
        yield from modulation(number, last=number == depth - 1)
    old, new = "joint_blocks.{i}", "transformer_blocks.{i}"
    yield from rules(PICTURE, f"{old}.x_block.", f"{new}.", ".{w}")
    yield from rules(TEXT, f"{old}.context_block.", f"{new}.", ".{w}")
    yield from rules(NORMS, f"{old}.", f"{new}.", ".weight")
    for one, names in (
        ("x_block.attn", [f"attn.to_{which}" for which in "qkv"]),
        ("x_block.attn2", [f"attn2.to_{which}" for which in "qkv"]),
        ("context_block.attn", [f"attn.add_{which}_proj" for which in "qkv"]),
    ):
        yield rule(f"{old}.{one}.qkv.{{w}}", *(f"{new}.{name}.{{w}}" for name in names), how=THIRDS)


def modulation(number: int, last: bool) -> Iterator[Rule]:
    """Scales, shifts and gates of the text's stream in one block."""
    old = f"joint_blocks.{number}.context_block.adaLN_modulation.1.{{w}}"
    new = f"transformer_blocks.{number}.norm1_context.linear.{{w}}"
    yield rule(old, new, how=SWAPPED) if last else rule(old, new)

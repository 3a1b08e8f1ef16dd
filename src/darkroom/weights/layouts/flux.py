"""FLUX.1 as Black Forest Labs name it: ``double_blocks`` of two streams, then ``single_blocks`` of one.

A single block keeps q, k, v and the first layer of its feed-forward in one tensor, in shares of 1, 1, 1 and
how much wider the feed-forward is (4 in all published models). Scale and shift of the last layer stand in the
other order than diffusers has them.
"""

from collections.abc import Iterator

from darkroom.weights.keymap import KeyMap, Rule, Shapes, rule, rules
from darkroom.weights.operations import SWAPPED, THIRDS, Rows

INPUTS = (
    ("img_in", "x_embedder"),
    ("txt_in", "context_embedder"),
    *(
        (f"{old}.{one}_layer", f"time_text_embed.{new}.linear_{number}")
        for old, new in (
            ("time_in", "timestep_embedder"),
            ("vector_in", "text_embedder"),
            ("guidance_in", "guidance_embedder"),
        )
        for one, number in (("in", 1), ("out", 2))
    ),
)
DOUBLE = (
    ("img_mod.lin", "norm1.linear"),
    ("txt_mod.lin", "norm1_context.linear"),
    ("img_attn.proj", "attn.to_out.0"),
    ("txt_attn.proj", "attn.to_add_out"),
    ("img_mlp.0", "ff.net.0.proj"),
    ("img_mlp.2", "ff.net.2"),
    ("txt_mlp.0", "ff_context.net.0.proj"),
    ("txt_mlp.2", "ff_context.net.2"),
)
DOUBLE_NORMS = (
    ("img_attn.norm.query_norm", "attn.norm_q"),
    ("img_attn.norm.key_norm", "attn.norm_k"),
    ("txt_attn.norm.query_norm", "attn.norm_added_q"),
    ("txt_attn.norm.key_norm", "attn.norm_added_k"),
)
SINGLE = (("modulation.lin", "norm.linear"), ("linear2", "proj_out"))
SINGLE_NORMS = (("norm.query_norm", "attn.norm_q"), ("norm.key_norm", "attn.norm_k"))


def from_original(shapes: Shapes) -> KeyMap:
    """The key map of a transformer with Black Forest Labs' names, without prefix."""
    fused, width = shapes.get("single_blocks.0.linear1.weight", (7,))[0], shapes.get("img_in.weight", (1,))[0]
    return KeyMap(tuple(flux(fused // width - 3)))


def from_native(shapes: Shapes) -> KeyMap:
    """The key map of a transformer with our names."""
    inner, width = (
        shapes.get("single_transformer_blocks.0.proj_mlp.weight", (4,))[0],
        shapes.get("x_embedder.weight", (1,))[0],
    )
    return KeyMap(tuple(flux(inner // width)))


def flux(ratio: int = 4) -> Iterator[Rule]:
    """All rules; ``ratio`` is how much wider the feed-forward is."""
    yield from rules(INPUTS, tail=".{w}")
    yield rule("final_layer.linear.{w}", "proj_out.{w}")
    yield rule("final_layer.adaLN_modulation.1.{w}", "norm_out.linear.{w}", how=SWAPPED)
    yield from double_block()
    yield from single_block(ratio)


def double_block() -> Iterator[Rule]:
    """A block with a stream of the picture and one of the text."""
    old, new = "double_blocks.{i}.", "transformer_blocks.{i}."
    yield from rules(DOUBLE, old, new, ".{w}")
    for one, other in DOUBLE_NORMS:
        yield rule(f"{old}{one}.scale", f"{new}{other}.weight")
    picture = (f"{new}attn.to_{which}.{{w}}" for which in "qkv")
    text = (f"{new}attn.add_{which}_proj.{{w}}" for which in "qkv")
    yield rule(f"{old}img_attn.qkv.{{w}}", *picture, how=THIRDS)
    yield rule(f"{old}txt_attn.qkv.{{w}}", *text, how=THIRDS)


def single_block(ratio: int) -> Iterator[Rule]:
    """A block with one stream."""
    old, new = "single_blocks.{i}.", "single_transformer_blocks.{i}."
    yield from rules(SINGLE, old, new, ".{w}")
    for one, other in SINGLE_NORMS:
        yield rule(f"{old}{one}.scale", f"{new}{other}.weight")
    queries = (f"{new}attn.to_{which}.{{w}}" for which in "qkv")
    yield rule(f"{old}linear1.{{w}}", *queries, f"{new}proj_mlp.{{w}}", how=Rows((1, 1, 1, ratio)))

"""Text encoders: CLIP as transformers names it, OpenCLIP as open_clip does, and T5.

Folders hold CLIP under ``text_model.`` always, whatever transformers calls its modules in memory. OpenCLIP
keeps the rows of q, k and v in one tensor and its projection transposed.
"""

from collections.abc import Iterator

from darkroom.weights.keymap import KeyMap, Rule, Shapes, rule
from darkroom.weights.operations import THIRDS, TRANSPOSED

LAYER = "encoder.layers.{i}"
CLIP = (
    *(f"embeddings.{which}_embedding.weight" for which in ("token", "position")),
    "embeddings.position_ids",
    *(f"{LAYER}.self_attn.{which}_proj.{{w}}" for which in ("q", "k", "v", "out")),
    *(f"{LAYER}.{which}.{{w}}" for which in ("layer_norm1", "layer_norm2", "mlp.fc1", "mlp.fc2")),
    "final_layer_norm.{w}",
)
LAST = ("attn.out_proj", "ln_1", "ln_2", "mlp.c_fc", "mlp.c_proj")
T5_LAYER = "encoder.block.{i}.layer"
T5 = (
    "shared.weight",
    "encoder.embed_tokens.weight",
    *(
        f"{T5_LAYER}.0.SelfAttention.{which}.weight"
        for which in ("q", "k", "v", "o", "relative_attention_bias")
    ),
    *(f"{T5_LAYER}.1.DenseReluDense.{which}.weight" for which in ("wi", "wi_0", "wi_1", "wo")),
    *(f"{T5_LAYER}.{n}.layer_norm.weight" for n in (0, 1)),
    "encoder.final_layer_norm.weight",
)


def transformers_clip(shapes: Shapes) -> KeyMap:
    """CLIP under the names of a folder: nothing changes but the prefix."""
    known = [rule(f"text_model.{name}") for name in CLIP]
    return KeyMap((*known, rule("text_projection.weight")), idle=("logit_scale",))


def flat_clip(shapes: Shapes) -> KeyMap:
    """CLIP without ``text_model.``: some early files, and the names in transformers' memory from 5.6 on."""
    known = [rule(name, f"text_model.{name}") for name in CLIP]
    return KeyMap((*known, rule("text_projection.weight")), idle=("logit_scale",))


def open_clip(shapes: Shapes) -> KeyMap:
    """OpenCLIP's text half, as Stable Diffusion 2 and XL hold it."""
    return KeyMap(tuple(_open_clip()), idle=("logit_scale", "attn_mask"))


def stable_diffusion_2(shapes: Shapes) -> KeyMap:
    """The same without its 24th layer and projection.

    Stable Diffusion 2 reads what the layer before says, and its folders end there.
    """
    last = "transformer.resblocks.23"
    layers = (
        f"{last}.{name}"
        for name in ("attn.in_proj_weight", "attn.in_proj_bias", *(f"{n}.{{w}}" for n in LAST))
    )
    return KeyMap(tuple(_open_clip()), idle=("logit_scale", "attn_mask", "text_projection", *layers))


def t5(shapes: Shapes) -> KeyMap:
    """T5's encoder: nothing changes but the prefix."""
    return KeyMap(tuple(rule(name) for name in T5), idle=("logit_scale", "scaled_fp8"))


def _open_clip() -> Iterator[Rule]:
    yield rule("token_embedding.weight", "text_model.embeddings.token_embedding.weight")
    yield rule("positional_embedding", "text_model.embeddings.position_embedding.weight")
    yield rule("ln_final.{w}", "text_model.final_layer_norm.{w}")
    yield rule("text_projection", "text_projection.weight", how=TRANSPOSED)
    # not a weight; transformers before 4.31 wrote it, and it is kept so that no file loses anything
    yield rule("position_ids", "text_model.embeddings.position_ids")
    old, new = "transformer.resblocks.{i}", f"text_model.{LAYER}"
    for w in ("weight", "bias"):
        parts = [f"{new}.self_attn.{which}_proj.{w}" for which in "qkv"]
        yield rule(f"{old}.attn.in_proj_{w}", *parts, how=THIRDS)
    yield rule(f"{old}.attn.out_proj.{{w}}", f"{new}.self_attn.out_proj.{{w}}")
    for one, other in (("ln_1", "layer_norm1"), ("ln_2", "layer_norm2")):
        yield rule(f"{old}.{one}.{{w}}", f"{new}.{other}.{{w}}")
    for one, other in (("c_fc", "fc1"), ("c_proj", "fc2")):
        yield rule(f"{old}.mlp.{one}.{{w}}", f"{new}.mlp.{other}.{{w}}")

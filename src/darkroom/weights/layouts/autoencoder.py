"""Autoencoders (KL) as latent-diffusion names them, behind ``first_stage_model.``, ``vae.`` or nothing.
folders.

The decoder's levels are counted from the highest resolution there and from the lowest here. Attention is made
of 1x1 convolutions there and of linear layers here.
"""

from collections.abc import Iterator

from darkroom.weights.keymap import KeyMap, Rule, Shapes, rule, rules
from darkroom.weights.layouts.unet import count
from darkroom.weights.operations import ONE_BY_ONE

RESNET = (
    *((name, name) for name in ("norm1", "conv1", "norm2", "conv2")),
    ("nin_shortcut", "conv_shortcut"),
)
ATTENTION = (("q", "to_q"), ("k", "to_k"), ("v", "to_v"), ("proj_out", "to_out.0"))
OLD_ATTENTION = (("query", "to_q"), ("key", "to_k"), ("value", "to_v"), ("proj_attn", "to_out.0"))
IDLE = ("loss.logvar", "model_ema.decay", "model_ema.num_updates")


def from_original(shapes: Shapes) -> KeyMap:
    """The key map of an autoencoder with latent-diffusion's names, without prefix."""
    levels = max(count(shapes, "encoder.down."), count(shapes, "decoder.up."))
    return KeyMap(tuple(autoencoder(levels)), idle=IDLE)


def from_native(shapes: Shapes) -> KeyMap:
    """The key map of an autoencoder with our names."""
    levels = max(count(shapes, "encoder.down_blocks."), count(shapes, "decoder.up_blocks."))
    return KeyMap(tuple(autoencoder(levels)))


def autoencoder(levels: int) -> Iterator[Rule]:
    """All rules of an autoencoder with so many levels of resolution."""
    yield rule("quant_conv.{w}")
    yield rule("post_quant_conv.{w}")
    for half in ("encoder", "decoder"):
        yield from ends(half)
    for level in range(levels):
        yield from resnet(f"encoder.down.{level}.block.{{k}}", f"encoder.down_blocks.{level}.resnets.{{k}}")
        down = f"encoder.down_blocks.{level}.downsamplers.0.conv.{{w}}"
        yield rule(f"encoder.down.{level}.downsample.conv.{{w}}", down)
        old, new = f"decoder.up.{levels - 1 - level}", f"decoder.up_blocks.{level}"
        yield from resnet(f"{old}.block.{{k}}", f"{new}.resnets.{{k}}")
        yield rule(f"{old}.upsample.conv.{{w}}", f"{new}.upsamplers.0.conv.{{w}}")


def ends(half: str) -> Iterator[Rule]:
    """First and last layers and the middle of the encoder or the decoder."""
    yield rule(f"{half}.conv_in.{{w}}")
    yield rule(f"{half}.conv_out.{{w}}")
    yield rule(f"{half}.norm_out.{{w}}", f"{half}.conv_norm_out.{{w}}")
    for number in (1, 2):
        yield from resnet(f"{half}.mid.block_{number}", f"{half}.mid_block.resnets.{number - 1}")
    old, new = f"{half}.mid.attn_1", f"{half}.mid_block.attentions.0"
    yield rule(f"{old}.norm.{{w}}", f"{new}.group_norm.{{w}}")
    for one, other in ATTENTION:
        yield rule(f"{old}.{one}.weight", f"{new}.{other}.weight", how=ONE_BY_ONE)
        yield rule(f"{old}.{one}.bias", f"{new}.{other}.bias")


def resnet(original: str, native: str) -> list[Rule]:
    """A residual block without time."""
    return rules(RESNET, f"{original}.", f"{native}.", ".{w}")


def from_old_native(shapes: Shapes) -> KeyMap:
    """Folders that diffusers wrote early, Stable Diffusion 1.5's among them: attention had other names."""
    renamed = [
        rule(f"{place}.{old}.{{w}}", f"{place}.{new}.{{w}}")
        for place in ("encoder.mid_block.attentions.0", "decoder.mid_block.attentions.0")
        for old, new in OLD_ATTENTION
    ]
    levels = max(count(shapes, "encoder.down_blocks."), count(shapes, "decoder.up_blocks."))
    now = [one for known in autoencoder(levels) for one in known.native]
    moved = {one for known in renamed for one in known.native}
    kept = [rule(one) for one in now if _with_w(one) not in moved]
    return KeyMap((*renamed, *kept))


def _with_w(template: str) -> str:
    """A template for weight or bias alone as the one for both."""
    return template.rsplit(".", 1)[0] + ".{w}"

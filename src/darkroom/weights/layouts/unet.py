"""U-Nets of Stable Diffusion 1, 2, XL and their kin, as latent-diffusion names them.

There, input and output blocks are counted through: each level of L layers takes L (down) or L + 1 (up)
numbers, and a downsampler takes one of its own. An upsampler stands behind the attention of its block, so its
place depends on whether the level has attention.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from darkroom.weights.keymap import KeyMap, Rule, Shapes, rule, rules

RESNET = (
    ("in_layers.0", "norm1"),
    ("in_layers.2", "conv1"),
    ("emb_layers.1", "time_emb_proj"),
    ("out_layers.0", "norm2"),
    ("out_layers.3", "conv2"),
    ("skip_connection", "conv_shortcut"),
)
BLOCK = "transformer_blocks.{t}"
ATTENTION = (
    *(f"{layer}.{{w}}" for layer in ("norm", "proj_in", "proj_out")),
    *(f"{BLOCK}.norm{n}.{{w}}" for n in (1, 2, 3)),
    *(f"{BLOCK}.attn{n}.to_{to}.weight" for n in (1, 2) for to in "qkv"),
    *(f"{BLOCK}.attn{n}.to_out.0.{{w}}" for n in (1, 2)),
    *(f"{BLOCK}.ff.net.{n}.{{w}}" for n in ("0.proj", "2")),
)
"""Both layouts name the layers of a transformer alike."""

ENDS = (
    ("time_embed.0", "time_embedding.linear_1"),
    ("time_embed.2", "time_embedding.linear_2"),
    ("input_blocks.0.0", "conv_in"),
    ("out.0", "conv_norm_out"),
    ("out.2", "conv_out"),
)


@dataclass(frozen=True)
class Structure:
    """What the numbering of the blocks depends on.

    ``levels`` of resolution with ``layers`` each; ``attended`` are the up blocks, from the lowest resolution
    on, with attention; ``label`` is where the vector beside the time goes: ``add_embedding``,
    ``class_embedding``.
    """

    levels: int
    layers: int
    attended: frozenset[int]
    label: str = "add_embedding"


def from_original(shapes: Shapes) -> KeyMap:
    """The key map of a U-Net with latent-diffusion's names (without prefix) and shapes."""
    return KeyMap(tuple(unet(original_structure(shapes))))


def from_native(shapes: Shapes) -> KeyMap:
    """The key map of a U-Net with our names and shapes."""
    return KeyMap(tuple(unet(native_structure(shapes))))


def original_structure(shapes: Shapes) -> Structure:
    """Read off latent-diffusion's names."""
    downsamplers = sum(name.startswith("input_blocks.") and name.endswith(".0.op.weight") for name in shapes)
    levels = downsamplers + 1
    layers = count(shapes, "input_blocks.") // levels - 1
    attended = {
        int(n.split(".")[1]) // (layers + 1) for n in shapes if _is(n, "output_blocks.", ".1.norm.weight")
    }
    context = [shape[1] for name, shape in shapes.items() if name.endswith(".attn2.to_k.weight")]
    label = "class_embedding" if context[:1] == [1024] else "add_embedding"
    return Structure(levels, max(layers, 1), frozenset(attended), label)


def native_structure(shapes: Shapes) -> Structure:
    """Read off our names."""
    attended = {int(n.split(".")[1]) for n in shapes if _is(n, "up_blocks.", ".attentions.0.norm.weight")}
    label = "class_embedding" if "class_embedding.linear_1.weight" in shapes else "add_embedding"
    return Structure(
        count(shapes, "down_blocks."), count(shapes, "down_blocks.0.resnets."), frozenset(attended), label
    )


def unet(structure: Structure) -> Iterator[Rule]:
    """All rules of a U-Net."""
    yield from rules(ENDS, tail=".{w}")
    yield rule("time_embed.cond_proj.weight", "time_embedding.cond_proj.weight")
    yield from label(structure)
    yield from down(structure)
    yield from middle()
    per = structure.layers + 1
    for number in range(structure.levels * per):
        block, layer = divmod(number, per)
        yield from resnet(f"output_blocks.{number}.0", f"up_blocks.{block}.resnets.{layer}")
        attended = block in structure.attended
        if attended:
            yield from attention(f"output_blocks.{number}.1", f"up_blocks.{block}.attentions.{layer}")
        if layer == per - 1:
            place = 2 if attended else 1
            yield rule(
                f"output_blocks.{number}.{place}.conv.{{w}}", f"up_blocks.{block}.upsamplers.0.conv.{{w}}"
            )


def label(structure: Structure) -> Iterator[Rule]:
    """What comes beside the time: sizes and pooled text (XL), a picture (unCLIP), a noise level."""
    for old, new in (("0.0", "linear_1"), ("0.2", "linear_2")):
        yield rule(f"label_emb.{old}.{{w}}", f"{structure.label}.{new}.{{w}}")
    yield rule("label_emb.weight", "class_embedding.weight")


def down(structure: Structure) -> Iterator[Rule]:
    """The half that U-Nets and their ControlNets share."""
    per = structure.layers + 1
    for number in range(structure.levels * per - 1):
        block, layer = divmod(number, per)
        old, new = f"input_blocks.{number + 1}", f"down_blocks.{block}"
        if layer == structure.layers:
            yield rule(f"{old}.0.op.{{w}}", f"{new}.downsamplers.0.conv.{{w}}")
            continue
        yield from resnet(f"{old}.0", f"{new}.resnets.{layer}")
        yield from attention(f"{old}.1", f"{new}.attentions.{layer}")


def middle() -> Iterator[Rule]:
    """The lowest block: a resnet, attention, a resnet."""
    yield from resnet("middle_block.0", "mid_block.resnets.0")
    yield from attention("middle_block.1", "mid_block.attentions.0")
    yield from resnet("middle_block.2", "mid_block.resnets.1")


def resnet(original: str, native: str) -> list[Rule]:
    """A residual block with its time embedding."""
    return rules(RESNET, f"{original}.", f"{native}.", ".{w}")


def attention(original: str, native: str) -> list[Rule]:
    """A transformer over the positions of a feature map."""
    return rules(zip(ATTENTION, ATTENTION, strict=True), f"{original}.", f"{native}.")


def count(names: Iterable[str], start: str) -> int:
    """How many numbers follow ``start`` in the names: one more than the highest."""
    found = (name[len(start) :].split(".")[0] for name in names if name.startswith(start))
    return max((int(number) + 1 for number in found if number.isdigit()), default=0)


def _is(name: str, start: str, end: str) -> bool:
    return name.startswith(start) and name.endswith(end)

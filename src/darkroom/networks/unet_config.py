"""The shape of a Stable Diffusion U-Net, read from a diffusers folder or from the weights alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from darkroom.errors import DarkroomError

PLAIN = ("DownBlock2D", "UpBlock2D")
ATTENDING = ("CrossAttnDownBlock2D", "CrossAttnUpBlock2D")
DOWN = ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D")
UP = ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D")
MID = "UNetMidBlock2DCrossAttn"

FIXED: dict[str, Any] = {
    "act_fn": "silu",
    "attention_type": "default",
    "center_input_sample": False,
    "class_embeddings_concat": False,
    "conv_in_kernel": 3,
    "conv_out_kernel": 3,
    "cross_attention_norm": None,
    "downsample_padding": 1,
    "dropout": 0,
    "dual_cross_attention": False,
    "encoder_hid_dim": None,
    "encoder_hid_dim_type": None,
    "mid_block_scale_factor": 1,
    "num_attention_heads": None,
    "resnet_out_scale_factor": 1,
    "resnet_skip_time_act": False,
    "resnet_time_scale_shift": "default",
    "time_embedding_act_fn": None,
    "time_embedding_dim": None,
    "time_embedding_type": "positional",
    "timestep_post_act": None,
}
"""Options of diffusers of which we have one value."""

READ = {
    "addition_embed_type",
    "attention_head_dim",
    "block_out_channels",
    "class_embed_type",
    "cross_attention_dim",
    "down_block_types",
    "flip_sin_to_cos",
    "freq_shift",
    "in_channels",
    "layers_per_block",
    "mid_block_type",
    "norm_eps",
    "norm_num_groups",
    "num_class_embeds",
    "only_cross_attention",
    "out_channels",
    "projection_class_embeddings_input_dim",
    "reverse_transformer_layers_per_block",
    "time_cond_proj_dim",
    "transformer_layers_per_block",
    "up_block_types",
    "use_linear_projection",
}

HARMLESS = {
    "addition_embed_type_num_heads",  # of a kind of embedding that we refuse
    "addition_time_embed_dim",  # of the vector that a family lays out, see size_vector
    "mid_block_only_cross_attention",  # of a kind of middle that we refuse
    "sample_size",
    "upcast_attention",  # torch's attention keeps scores in single precision in any case
}


@dataclass(frozen=True)
class UNetConfig:
    """Levels from fine to coarse; their widths, their residual blocks and the transformers behind these.

    ``down`` and ``up`` hold a tuple a level, in the order of computation (``up`` from coarse to fine): the
    number of transformer blocks behind each residual block, zeros where a level has no attention. ``mid`` is
    that number for the middle, None where there is no middle. ``heads`` and ``only_cross`` (the first
    attention sees the prompt too, not the picture) hold one value a level. ``guidance_width`` is the width of
    the guidance embedding of LCM; ``added_width`` that of the vector (pooled text and sizes) of SDXL.
    ``class_embed`` is "embedding" (``class_width`` classes), "projection" (a vector of ``class_width``),
    "timestep" (a real number) or None.
    """

    in_channels: int = 4
    out_channels: int = 4
    widths: tuple[int, ...] = (320, 640, 1280, 1280)
    down: tuple[tuple[int, ...], ...] = ((1, 1), (1, 1), (1, 1), (0, 0))
    mid: int | None = 1
    up: tuple[tuple[int, ...], ...] = ((0, 0, 0), (1, 1, 1), (1, 1, 1), (1, 1, 1))
    heads: tuple[int, ...] = (8, 8, 8, 8)
    context_width: int = 768
    linear_projection: bool = False
    only_cross: tuple[bool, ...] = (False, False, False, False)
    guidance_width: int | None = None
    added_width: int | None = None
    class_embed: str | None = None
    class_width: int | None = None
    groups: int = 32
    eps: float = 1e-5
    flip_sin_to_cos: bool = True
    freq_shift: float = 0

    @property
    def embedding_width(self) -> int:
        """The width of the embedding of time, which every residual block is told."""
        return 4 * self.widths[0]

    @property
    def skip_widths(self) -> tuple[int, ...]:
        """The widths of what the way down leaves for the way up."""
        widths = [self.widths[0]]
        for level, (width, depths) in enumerate(zip(self.widths, self.down, strict=True)):
            finest_of_next = level + 1 < len(self.widths)
            widths += [width] * (len(depths) + finest_of_next)
        return tuple(widths)

    @classmethod
    def from_diffusers(cls, values: Mapping[str, Any]) -> Self:
        """The config.json of a UNet2DConditionModel.

        Raises DarkroomError that names the option, if one asks for what we don't have.
        """
        refuse_unknown(values, READ)
        widths = tuple(values.get("block_out_channels", (320, 640, 1280, 1280)))
        down, mid, up = _depths(values, len(widths))
        attends = [any(a) or any(b) for a, b in zip(down, reversed(up or down), strict=True)]
        only_cross = _each(values.get("only_cross_attention", False), len(widths), "only_cross_attention")
        kind, class_width = _class_embedding(values)
        return cls(
            in_channels=values.get("in_channels", 4),
            out_channels=values.get("out_channels", 4),
            widths=widths,
            down=down,
            mid=mid,
            up=up,
            # by a slip of long ago, "attention_head_dim" is the number of heads
            heads=_each(values.get("attention_head_dim", 8), len(widths), "attention_head_dim"),
            context_width=_one(values.get("cross_attention_dim", 1280), "cross_attention_dim"),
            linear_projection=bool(values.get("use_linear_projection", False)),
            only_cross=tuple(bool(only) and some for only, some in zip(only_cross, attends, strict=True)),
            guidance_width=values.get("time_cond_proj_dim"),
            added_width=_added_width(values),
            class_embed=kind,
            class_width=class_width,
            groups=values.get("norm_num_groups", 32),
            eps=values.get("norm_eps", 1e-5),
            flip_sin_to_cos=values.get("flip_sin_to_cos", True),
            freq_shift=values.get("freq_shift", 0),
        )

    @classmethod
    def from_shapes(
        cls, shapes: Mapping[str, tuple[int, ...]], *, heads: int | None = None, head_dim: int | None = None
    ) -> Self:
        """Native names to shapes; ``heads`` (SD 1: 8) or ``head_dim`` (SD 2 and XL: 64) holds at all levels.

        What shapes do not tell, such as the number of groups, is that of all published ones. Raises
        DarkroomError where the names are not those of a U-Net, ValueError without heads.
        """
        if (heads is None) == (head_dim is None):
            raise ValueError("give either the number of heads or their width")
        if not {"conv_in.weight", "down_blocks.0.resnets.0.conv1.weight"} <= shapes.keys():
            raise DarkroomError(
                "the weights have no 'conv_in' and 'down_blocks', which every U-Net has; "
                "choose a file that holds a Stable Diffusion U-Net."
            )
        levels = range(_count(shapes, "down_blocks."))
        widths = tuple(shapes[f"down_blocks.{i}.resnets.0.conv1.weight"][0] for i in levels)
        attentions = [name for name in shapes if name.endswith("attn2.to_k.weight")]
        projections = [name for name in shapes if name.endswith("proj_in.weight")]
        kind, class_width = _class_embedding_of(shapes)
        return cls(
            in_channels=shapes["conv_in.weight"][1],
            out_channels=shapes.get("conv_out.weight", (4,))[0],
            widths=widths,
            down=tuple(_depths_of(shapes, f"down_blocks.{i}") for i in levels),
            mid=(_depths_of(shapes, "mid_block") or (None,))[0],
            up=tuple(_depths_of(shapes, f"up_blocks.{i}") for i in range(_count(shapes, "up_blocks."))),
            heads=tuple(heads or width // (head_dim or width) for width in widths),
            context_width=shapes[attentions[0]][1] if attentions else 1280,
            linear_projection=any(len(shapes[name]) == 2 for name in projections),
            only_cross=tuple(_only_cross_of(shapes, i, len(widths)) for i in levels),
            guidance_width=shapes.get("time_embedding.cond_proj.weight", (0, None))[1],
            added_width=shapes.get("add_embedding.linear_1.weight", (0, None))[1],
            class_embed=kind,
            class_width=class_width,
        )


def refuse_unknown(values: Mapping[str, Any], read: set[str]) -> None:
    """Raise DarkroomError for an option that would change the computation and that is not among ``read``."""
    for name, value in values.items():
        if name.startswith("_") or name in read | HARMLESS:
            continue
        if name in FIXED and value != FIXED[name]:
            raise unknown_option(name, value, repr(FIXED[name]))
        if name not in FIXED and value not in (None, False):
            raise unknown_option(name, value, "none")


def unknown_option(name: str, value: Any, known: str) -> DarkroomError:
    """The error for a value of an option that we do not have."""
    return DarkroomError(
        f"the network's config.json has {name} = {value!r}, of which we know {known}; "
        "choose a model of the Stable Diffusion family."
    )


def _depths(values: Mapping[str, Any], levels: int) -> tuple[tuple, int | None, tuple]:
    """Transformer blocks behind each residual block: of the way down, the middle and the way up."""
    layers = _each(values.get("layers_per_block", 2), levels, "layers_per_block")
    depths = _each(values.get("transformer_layers_per_block", 1), levels, "transformer_layers_per_block")
    back = values.get("reverse_transformer_layers_per_block") or tuple(reversed(depths))
    down_kinds, up_kinds = values.get("down_block_types", DOWN), values.get("up_block_types", UP)
    if len(down_kinds) != levels or len(up_kinds) not in (levels, 0):
        raise DarkroomError(
            f"the network's config.json has {levels} block_out_channels, {len(down_kinds)} down_block_types "
            f"and {len(up_kinds)} up_block_types; a U-Net has as many of each, so mend the file."
        )
    more = [count + 1 for count in reversed(layers)]
    down = tuple(_level(*level) for level in zip(down_kinds, layers, depths, strict=True))
    up = tuple(_level(*level) for level in zip(up_kinds, more, back, strict=False))
    return down, _mid(values.get("mid_block_type", MID), depths[-1]), up


def _level(kind: str, layers: int, depth: int | Sequence[int]) -> tuple[int, ...]:
    """One level's transformer blocks behind each of its residual blocks."""
    if kind in PLAIN:
        return (0,) * layers
    depths = (depth,) * layers if isinstance(depth, int) else tuple(depth)[:layers]
    if kind not in ATTENDING:
        raise unknown_option("down_block_types or up_block_types", kind, ", ".join(PLAIN + ATTENDING))
    if len(depths) != layers or 0 in depths:
        raise unknown_option(
            "transformer_layers_per_block", depth, "one or more for each of a block's layers"
        )
    return depths


def _mid(kind: str | None, depth: int | Sequence[int]) -> int | None:
    if kind not in (None, "UNetMidBlock2D", MID):
        raise unknown_option("mid_block_type", kind, f"{MID}, UNetMidBlock2D and null")
    if kind is None:
        return None
    return 0 if kind == "UNetMidBlock2D" else depth if isinstance(depth, int) else depth[0]


def _each(value: Any, levels: int, name: str) -> tuple[Any, ...]:
    """One value a level, where the file may have one for all."""
    if not isinstance(value, list | tuple):
        return (value,) * levels
    if len(value) != levels:
        raise DarkroomError(
            f"the network's config.json has {len(value)} values of {name} for {levels} levels; mend the file."
        )
    return tuple(value)


def _one(value: int | Sequence[int], name: str) -> int:
    """The one value of all levels."""
    several = {value} if isinstance(value, int) else set(value)
    if len(several) != 1:
        raise unknown_option(name, value, "one value for all levels")
    return several.pop()


def _added_width(values: Mapping[str, Any]) -> int | None:
    kind = values.get("addition_embed_type")
    if kind not in (None, "text_time"):
        raise unknown_option("addition_embed_type", kind, "text_time")
    return values.get("projection_class_embeddings_input_dim") if kind else None


def _class_embedding(values: Mapping[str, Any]) -> tuple[str | None, int | None]:
    """(kind, width or number of classes)."""
    kind, classes = values.get("class_embed_type"), values.get("num_class_embeds")
    if kind is None:
        return ("embedding", classes) if classes else (None, None)
    if kind not in ("projection", "timestep"):
        raise unknown_option("class_embed_type", kind, "projection and timestep")
    return kind, values["projection_class_embeddings_input_dim"] if kind == "projection" else None


def _class_embedding_of(shapes: Mapping[str, tuple[int, ...]]) -> tuple[str | None, int | None]:
    if table := shapes.get("class_embedding.weight"):
        return "embedding", table[0]
    if first := shapes.get("class_embedding.linear_1.weight"):
        # a projection as wide as the sinusoids of time cannot be told from an embedding of a number
        return ("timestep", None) if first[1] == shapes["conv_in.weight"][0] else ("projection", first[1])
    return None, None


def _count(names: Mapping[str, Any], prefix: str) -> int:
    """How many numbered parts there are behind the prefix."""
    return len({name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)})


def _depths_of(shapes: Mapping[str, Any], block: str) -> tuple[int, ...]:
    layers = range(_count(shapes, f"{block}.resnets."))
    return tuple(_count(shapes, f"{block}.attentions.{i}.transformer_blocks.") for i in layers)


def _only_cross_of(shapes: Mapping[str, tuple[int, ...]], level: int, levels: int) -> bool:
    """Whether the first attention's keys are not as wide as its queries."""
    first = "attentions.0.transformer_blocks.0.attn1"
    for block in (f"down_blocks.{level}", f"up_blocks.{levels - 1 - level}"):
        if key := shapes.get(f"{block}.{first}.to_k.weight"):
            return key[1] != shapes[f"{block}.{first}.to_q.weight"][1]
    return False

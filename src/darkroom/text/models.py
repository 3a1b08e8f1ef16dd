"""Text encoders of transformers: built without weights, then filled from tensors named as in files."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from darkroom.errors import DarkroomError

if TYPE_CHECKING:
    from transformers import CLIPTextConfig, T5Config

SHARED = ("shared.weight", "encoder.embed_tokens.weight")
"""T5's table of tokens, which files have under either name or both."""


@dataclass(frozen=True)
class Loaded:
    """A text encoder with its weights, and the names of the tensors that it has no use for.

    ``names`` are those that its parameters have among the tensors.
    """

    model: nn.Module
    unused: tuple[str, ...]
    names: Mapping[str, str]


def load_clip(
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
    projection: bool = False,
) -> Loaded:
    """A ``CLIPTextModel``, or with ``projection`` a ``CLIPTextModelWithProjection``, without gradients.

    ``tensors`` are named as in a folder of diffusers (``text_model.embeddings...``); ``config`` is its
    config.json, and what it would say is seen in the shapes where it is None. Raises DarkroomError when
    tensors are missing or have another shape.
    """
    from transformers import CLIPTextModel, CLIPTextModelWithProjection

    sizes = _clip_config(tensors) if config is None else _clip_said(config)
    with torch.device("meta"):
        model = CLIPTextModelWithProjection(sizes) if projection else CLIPTextModel(sizes)
    unused, names = _fill(model, tensors, dtype)
    embeddings: Any = getattr(model, "text_model", model).embeddings
    embeddings.position_ids = torch.arange(sizes.max_position_embeddings)[None]
    return Loaded(model, tuple(name for name in unused if not name.endswith("position_ids")), names)


def load_t5(
    tensors: Mapping[str, Tensor],
    config: Mapping[str, Any] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Loaded:
    """A ``T5EncoderModel`` without gradients, from tensors with the names of its folder or file.

    In float16 the last matrix of each feed-forward stays in float32: its sums overflow. Raises DarkroomError
    when tensors are missing or have another shape.
    """
    from transformers import T5EncoderModel

    sizes = _t5_config(tensors) if config is None else _t5_said(config)
    with torch.device("meta"):
        model = T5EncoderModel(sizes)
    unused, names = _fill(model, tensors, dtype)
    model.encoder.set_input_embeddings(model.shared)
    return Loaded(model, unused, names)


# ---- sizes


def _clip_config(tensors: Mapping[str, Tensor]) -> "CLIPTextConfig":
    """From shapes. What they don't show: heads are 64 wide; OpenAI's, 768 wide, has the quick GELU.

    OpenCLIP's have the exact one.
    """
    from transformers import CLIPTextConfig

    vocabulary, width = _shape(tensors, "text_model.embeddings.token_embedding.weight")
    projection = tensors.get("text_projection.weight")
    return CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=_shape(tensors, "text_model.encoder.layers.0.mlp.fc1.weight")[0],
        projection_dim=width if projection is None else projection.shape[0],
        num_hidden_layers=_count(tensors, "text_model.encoder.layers."),
        num_attention_heads=max(1, width // 64),
        max_position_embeddings=_shape(tensors, "text_model.embeddings.position_embedding.weight")[0],
        hidden_act="quick_gelu" if width == 768 else "gelu",
    )


def _t5_config(tensors: Mapping[str, Tensor]) -> "T5Config":
    """From shapes; the gated form is that of T5 v1.1."""
    from transformers import T5Config

    block = "encoder.block.0.layer"
    gated = f"{block}.1.DenseReluDense.wi_0.weight" in tensors
    shared = next((name for name in SHARED if name in tensors), SHARED[0])
    buckets, heads = _shape(tensors, f"{block}.0.SelfAttention.relative_attention_bias.weight")
    return T5Config(
        vocab_size=_shape(tensors, shared)[0],
        d_model=_shape(tensors, shared)[1],
        d_kv=_shape(tensors, f"{block}.0.SelfAttention.q.weight")[0] // heads,
        d_ff=_shape(tensors, f"{block}.1.DenseReluDense.{'wi_0' if gated else 'wi'}.weight")[0],
        num_layers=_count(tensors, "encoder.block."),
        num_heads=heads,
        relative_attention_num_buckets=buckets,
        feed_forward_proj="gated-gelu" if gated else "relu",
    )


def _clip_said(config: Mapping[str, Any]) -> "CLIPTextConfig":
    from transformers import CLIPTextConfig

    return CLIPTextConfig(**_said(config.get("text_config", config)))


def _t5_said(config: Mapping[str, Any]) -> "T5Config":
    from transformers import T5Config

    return T5Config(**_said(config))


def _said(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a config.json says of the computation; not who made it, and not the precision it is stored in."""
    about = (
        "architectures",
        "dtype",
        "model_type",
        "torch_dtype",
        "transformers_version",
        "task_specific_params",
    )
    return {name: value for name, value in config.items() if name not in about and not name.startswith("_")}


def _shape(tensors: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    if name not in tensors:
        raise DarkroomError(
            f"the text encoder lacks {name}; expected a whole one of its kind: take another file."
        )
    return tuple(tensors[name].shape)


def _count(tensors: Mapping[str, Tensor], prefix: str) -> int:
    """How many blocks there are whose names go on with a number."""
    return 1 + max(
        int(name.removeprefix(prefix).split(".")[0]) for name in tensors if name.startswith(prefix)
    )


# ---- weights


def _fill(
    model: nn.Module, tensors: Mapping[str, Tensor], dtype: torch.dtype
) -> tuple[tuple[str, ...], dict[str, str]]:
    """Lay ``tensors`` in a model that has none; the names left over, and those of its parameters."""
    found: dict[str, str] = {}
    for name, slot in model.state_dict().items():
        stored = next((one for one in _names(name) if one in tensors), name)
        if (shape := _shape(tensors, stored)) != tuple(slot.shape):
            raise DarkroomError(
                f"{stored} has shape {shape}; expected {tuple(slot.shape)}: take another file."
            )
        found[name] = stored
    weights = {
        name: tensors[stored].to(_precision(name, dtype)).contiguous() for name, stored in found.items()
    }
    model.load_state_dict(weights, assign=True)
    model.requires_grad_(False).eval()
    known = {stored for name in found for stored in _names(name)}
    return tuple(sorted(set(tensors) - known)), found


def _names(name: str) -> Iterator[str]:
    """The names that files have for a tensor of a model: with CLIP's prefix, or without."""
    yield name
    yield f"text_model.{name}"
    yield name.removeprefix("text_model.")
    if name in SHARED:
        yield from SHARED


def _precision(name: str, dtype: torch.dtype) -> torch.dtype:
    keeps = dtype == torch.float16 and name.endswith("DenseReluDense.wo.weight")
    return torch.float32 if keeps else dtype

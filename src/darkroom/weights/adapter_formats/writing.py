"""Writing adapters so that other tools read them: as kohya does, or as PEFT and diffusers do.

Layers are named as our parameters are, with the part first ("unet.mid_block.attentions.0.proj_in"); their
tensors by role, as :mod:`darkroom.weights.adapter_formats.reading` gives them.
"""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from torch import Tensor

from darkroom.errors import DarkroomError
from darkroom.weights.store import MemoryStore
from darkroom.weights.writing import write_store

Layers = Mapping[str, Mapping[str, Tensor]]
Style = Literal["kohya", "peft"]

KOHYA_PARTS = {
    "unet": "lora_unet",
    "transformer": "lora_transformer",
    "text_encoder": "lora_te1",
    "text_encoder_2": "lora_te2",
    "text_encoder_3": "lora_te3",
}
PEFT_ROLES = {"lora_down": "lora_A.weight", "lora_up": "lora_B.weight", "lora_up_bias": "lora_B.bias"}
FACTORS = ("lora_down", "lora_up", "lora_mid")
ARCHITECTURES: Mapping[str, str] = {
    "sd1": "stable-diffusion-v1",
    "sd2": "stable-diffusion-v2-768-v",
    "sdxl": "stable-diffusion-xl-v1-base",
    "sdxl-refiner": "stable-diffusion-xl-v1-refiner",
    "sd3": "stable-diffusion-3",
    "sd3.5-medium": "stable-diffusion-v3.5-medium",
    "sd3.5-large": "stable-diffusion-v3.5-large",
    "flux": "flux-1-dev",
}
"""How ``modelspec.architecture`` calls our families."""


def save_adapter(
    path: Path,
    layers: Layers,
    style: Style = "kohya",
    *,
    family: str,
    title: str = "",
    metadata: Mapping[str, str] = MappingProxyType({}),
) -> Path:
    """Write an adapter for a model of ``family`` ("sd1", "sdxl", "flux", ...); returns the path.

    ``metadata`` comes beside what is written anyway. The file appears whole. Raises DarkroomError for what
    the style has no names for and for a place that cannot be written.
    """
    tensors = to_peft(layers) if style == "peft" else to_kohya(layers, single=family in ("sd1", "sd2"))
    about = described(layers, family, title or path.stem)
    return write_store(path, MemoryStore(tensors), about | dict(metadata))


def to_kohya(layers: Layers, single: bool = False) -> dict[str, Tensor]:
    """As kohya names them; ``single`` where the model has one text encoder alone, "te" and not "te1"."""
    tensors: dict[str, Tensor] = {}
    for layer, roles in layers.items():
        part, module = published(layer)
        if part not in KOHYA_PARTS:
            raise DarkroomError(f"kohya has no name for layers of the {part}; save the adapter as 'peft'.")
        start = "lora_te" if single and part == "text_encoder" else KOHYA_PARTS[part]
        for role, tensor in roles.items():
            bare = f"{start}_{module.replace('.', '_')}.{role}"
            tensors[f"{bare}.weight" if role in FACTORS else bare] = tensor
    return tensors


def to_peft(layers: Layers) -> dict[str, Tensor]:
    """As PEFT and diffusers name them. alpha / rank goes into ``lora_B``, so that no reader can miss it.

    Raises DarkroomError for what is not LoRA or DoRA with a magnitude for each row.
    """
    tensors: dict[str, Tensor] = {}
    for layer, roles in layers.items():
        name = ".".join(published(layer))
        for role, tensor in _peft(layer, roles).items():
            tensors[f"{name}.{role}"] = tensor
    return tensors


def published(layer: str) -> tuple[str, str]:
    """The part and the module, with "text_model." before it in CLIP as published checkpoints have it."""
    part, _, module = layer.partition(".")
    bare = part.startswith("text_encoder") and module.startswith(("encoder.layers.", "embeddings."))
    return part, f"text_model.{module}" if bare else module


def _peft(layer: str, roles: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of one layer by the end of their keys."""
    known = roles.keys() - {"alpha", "dora_scale"}
    if not known <= PEFT_ROLES.keys() or not known >= {"lora_down", "lora_up"}:
        raise DarkroomError(
            f"'{layer}' has {', '.join(sorted(roles))}, and the style 'peft' knows LoRA alone; "
            "save the adapter as 'kohya'."
        )
    down, up = roles["lora_down"], roles["lora_up"]
    scale = float(roles["alpha"]) / down.shape[0] if "alpha" in roles else 1.0
    found = {PEFT_ROLES[role]: roles[role] * scale for role in known - {"lora_down"}}
    if "dora_scale" in roles:
        found["lora_magnitude_vector"] = _rows(layer, roles["dora_scale"], up, down.ndim)
    return {PEFT_ROLES["lora_down"]: down} | found


def _rows(layer: str, magnitude: Tensor, up: Tensor, dimensions: int) -> Tensor:
    """Magnitudes as PEFT has them: flat, and (1, out, 1, 1) for convolutions."""
    if magnitude.shape[0] != up.shape[0]:
        raise DarkroomError(
            f"'{layer}' has magnitudes for columns, which PEFT does not know; save the adapter as 'kohya'."
        )
    return magnitude.reshape(-1) if dimensions == 2 else magnitude.reshape(1, -1, *[1] * (dimensions - 2))


def described(layers: Layers, family: str, title: str) -> dict[str, str]:
    """What other tools look for beside the tensors: kohya's ``ss_*`` and Stability's modelspec 1.0.0."""
    ranks = {roles["lora_down"].shape[0] for roles in layers.values() if "lora_down" in roles}
    alphas = {float(roles["alpha"]) for roles in layers.values() if "alpha" in roles}
    about = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.title": title,
        "ss_network_module": "networks.lora",
        "ss_network_dim": str(ranks.pop()) if len(ranks) == 1 else "Dynamic",
        "ss_network_alpha": str(alphas.pop()) if len(alphas) == 1 else "Dynamic",
    }
    if family in ARCHITECTURES:
        about["modelspec.architecture"] = f"{ARCHITECTURES[family]}/lora"
    return about

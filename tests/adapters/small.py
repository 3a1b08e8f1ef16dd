"""Small models of diffusers and transformers to lay adapters over, and LoRAs for them in any style."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

RANK, ALPHA = 2, 1.0


def awake(module: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights everywhere, zero-initialised layers too."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=draw))
    return module.eval()


def unet(linear: bool = False, **options: Any) -> nn.Module:
    """A U-Net of three levels; ``linear`` projections as SD 2 and XL have them."""
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    sizes: dict[str, Any] = {
        "block_out_channels": (8, 8, 16),
        "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        "layers_per_block": 2,
        "norm_num_groups": 4,
        "attention_head_dim": 2,
        "cross_attention_dim": 12,
        "use_linear_projection": linear,
    }
    return awake(UNet2DConditionModel(**(sizes | options)))


def flux() -> nn.Module:
    """A FLUX.1 transformer of two blocks of either kind."""
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

    return awake(
        FluxTransformer2DModel(
            in_channels=4,
            num_layers=2,
            num_single_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=12,
            pooled_projection_dim=10,
            axes_dims_rope=(2, 2, 4),
        )
    )


def sd3() -> nn.Module:
    """A Stable Diffusion 3 transformer of two blocks."""
    from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel

    return awake(
        SD3Transformer2DModel(
            sample_size=8,
            in_channels=4,
            out_channels=4,
            num_layers=2,
            attention_head_dim=8,
            num_attention_heads=2,
            joint_attention_dim=12,
            caption_projection_dim=16,
            pooled_projection_dim=10,
            pos_embed_max_size=8,
        )
    )


def clip() -> nn.Module:
    """CLIP's text encoder of two layers."""
    from transformers import CLIPTextConfig, CLIPTextModel

    sizes = {"hidden_size": 12, "intermediate_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2}
    return awake(CLIPTextModel(CLIPTextConfig(vocab_size=50, max_position_embeddings=8, **sizes)))


def answer(network: nn.Module) -> Tensor:
    """What a network says to a fixed input."""
    draw = torch.Generator().manual_seed(1)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=draw)

    name = type(network).__name__
    with torch.no_grad():
        if name == "CLIPTextModel":
            return network(torch.tensor([[1, 7, 3, 9]])).last_hidden_state
        time, text, pooled = torch.tensor([0.5]), random(1, 3, 12), random(1, 10)
        if name == "UNet2DConditionModel":
            return network(random(1, 4, 8, 8), 500 * time, text).sample
        if name == "SD3Transformer2DModel":
            return network(random(1, 4, 8, 8), text, pooled, 1000 * time).sample
        ids = torch.zeros(4, 3), torch.zeros(3, 3)
        hidden = random(1, 4, 4)
        return network(hidden, text, pooled, time, img_ids=ids[0], txt_ids=ids[1], guidance=None).sample


def layers(module: nn.Module, ending: tuple[str, ...] = ("",)) -> dict[str, nn.Module]:
    """Linear layers and convolutions whose names end so."""
    found = {n: m for n, m in module.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    return {name: layer for name, layer in found.items() if name.endswith(ending)}


Factors = Mapping[str, tuple[Tensor, Tensor]]


def factors(
    module: nn.Module, ending: tuple[str, ...] = ("",), seed: int = 0
) -> dict[str, tuple[Tensor, Tensor]]:
    """down and up for each layer, in the shapes that trainers give them."""
    draw, made = torch.Generator().manual_seed(seed), {}
    for name, layer in layers(module, ending).items():
        out, *inner = layer.weight.shape
        ones = [1] * (len(inner) - 1)
        down = 0.3 * torch.randn(RANK, *inner, generator=draw)
        made[name] = (down, 0.3 * torch.randn(out, RANK, *ones, generator=draw))
    return made


def written(
    factors: Factors,
    name: Callable[[str], str],
    down: str = "lora_down.weight",
    up: str = "lora_up.weight",
    alpha: str | None = "alpha",
) -> dict[str, Tensor]:
    """A file's tensors; ``name`` makes the beginning of a key. Without an alpha, ``up`` takes its part."""
    tensors = {}
    for module, (one, two) in factors.items():
        tensors[f"{name(module)}{down}"] = one
        tensors[f"{name(module)}{up}"] = two if alpha else two * (ALPHA / RANK)
        if alpha:
            tensors[f"{name(module)}{alpha}"] = torch.tensor(ALPHA)
    return tensors


def merged(factors: Factors, module: nn.Module) -> dict[str, Tensor]:
    """The weights that a model should have with the LoRA."""
    return {
        name: layer.weight + ALPHA / RANK * (up.flatten(1) @ down.flatten(1)).reshape(layer.weight.shape)
        for name, layer in layers(module).items()
        if name in factors
        for down, up in [factors[name]]
    }


def state(parts: Iterable[nn.Module]) -> list[Tensor]:
    """Copies of all tensors."""
    return [tensor.clone() for part in parts for tensor in part.state_dict().values()]

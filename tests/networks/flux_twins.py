"""A small FLUX of diffusers and ours with the same random weights, and the same question to both."""

import pytest
import torch
from twins import awake

from darkroom.networks.conditioning import Conditioning
from darkroom.networks.flux import Flux, FluxConfig
from darkroom.networks.flux_patches import pack, unpack

reference = pytest.importorskip("diffusers.models.transformers.transformer_flux")

DEV = {
    "in_channels": 16,
    "num_layers": 2,
    "num_single_layers": 2,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": 12,
    "pooled_projection_dim": 10,
    "guidance_embeds": True,
    "axes_dims_rope": [4, 6, 6],
}


def twins(values):
    """Diffusers' network and ours, with the same weights."""
    theirs = awake(reference.FluxTransformer2DModel(**values))
    ours = Flux(FluxConfig.from_diffusers(values)).eval()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def inputs(values, rows=2, high=6, wide=10):
    """Of a picture wider than high. Times and scales are such that bfloat16 holds a thousand times them."""
    draw = torch.Generator().manual_seed(1)
    more = values["in_channels"] // 4 - 4
    cond = Conditioning(
        tokens=torch.randn(rows, 5, values["joint_attention_dim"], generator=draw),
        pooled=torch.randn(rows, values["pooled_projection_dim"], generator=draw),
        concat=torch.randn(rows, more, high, wide, generator=draw) if more else None,
        extra={"guidance": torch.tensor([4.0, 2.0, 1.0])[:rows]} if values["guidance_embeds"] else {},
    )
    return torch.randn(rows, 4, high, wide, generator=draw), torch.tensor([0.25, 0.5, 0.125])[:rows], cond


def ask(theirs, x, time, cond, **more):
    """Diffusers' network on the same question."""
    latents = x if cond.concat is None else torch.cat([x, cond.concat], dim=1)
    patches, ids = pack(latents, 4 * latents.shape[1]), grid(x, 0)
    if "reference" in cond.extra:
        patches = torch.cat([patches, pack(cond.extra["reference"], 4 * x.shape[1])], dim=1)
        ids = torch.cat([ids, grid(cond.extra["reference"], 1)])
    answer = theirs(
        hidden_states=patches,
        encoder_hidden_states=cond.tokens,
        pooled_projections=cond.pooled,
        timestep=time,
        img_ids=ids,
        txt_ids=torch.zeros(cond.tokens.shape[1], 3),
        guidance=cond.extra.get("guidance"),
        **more,
    ).sample
    high, wide = x.shape[-2] // 2, x.shape[-1] // 2
    return unpack(answer[:, : high * wide], high, wide)


def grid(x, first):
    """The position of each patch as diffusers wants it."""
    high, wide = x.shape[-2] // 2, x.shape[-1] // 2
    return torch.tensor([[first, y, x] for y in range(high) for x in range(wide)]).float()

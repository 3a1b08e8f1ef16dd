"""A small MMDiT of diffusers and ours with the same random weights, and the same question to both."""

import pytest
import torch
from twins import awake

from darkroom.networks.conditioning import Conditioning
from darkroom.networks.mmdit import MMDiT, MMDiTConfig

reference = pytest.importorskip("diffusers.models.transformers.transformer_sd3")

SD3 = {
    "sample_size": 16,
    "in_channels": 4,
    "out_channels": 4,
    "num_layers": 3,
    "attention_head_dim": 16,
    "num_attention_heads": 2,
    "joint_attention_dim": 12,
    "caption_projection_dim": 32,
    "pooled_projection_dim": 10,
    "pos_embed_max_size": 12,
}
SD35_LARGE = SD3 | {"qk_norm": "rms_norm"}
SD35_MEDIUM = SD35_LARGE | {"dual_attention_layers": [0, 1]}


def twins(values):
    """Diffusers' network and ours, with the same weights."""
    theirs = awake(reference.SD3Transformer2DModel(**values))
    ours = MMDiT(MMDiTConfig.from_diffusers(values)).eval()
    torch.testing.assert_close(ours.pos_embed.pos_embed, theirs.pos_embed.pos_embed, rtol=0, atol=1e-6)
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def inputs(values, rows=2, high=8, wide=14):
    """Of a picture wider than high."""
    draw = torch.Generator().manual_seed(1)
    more = values["in_channels"] - 4
    cond = Conditioning(
        tokens=torch.randn(rows, 5, values["joint_attention_dim"], generator=draw),
        pooled=torch.randn(rows, values["pooled_projection_dim"], generator=draw),
        concat=torch.randn(rows, more, high, wide, generator=draw) if more else None,
    )
    return torch.randn(rows, 4, high, wide, generator=draw), torch.tensor([0.25, 0.873, 0.5])[:rows], cond


def ask(theirs, x, time, cond, **more):
    """Diffusers' network on the same question."""
    latents = x if cond.concat is None else torch.cat([x, cond.concat], dim=1)
    return theirs(latents, cond.tokens, cond.pooled, 1000 * time, **more).sample

"""What a network predicts, found by asking it: files of Stable Diffusion 2 do not say."""

import torch
from torch import nn

from darkroom.networks.conditioning import Conditioning

SIDE = 16
"""Of the latents that are asked about: small, and enough for a sure answer."""
LAST = 999.0
"""The noisiest index."""


@torch.inference_mode()
def predicts_v(network: nn.Module, channels: int, text_width: int) -> bool:
    """Whether a VP network predicts v rather than eps.

    Where all is noise, eps is the signal itself and v = alpha eps - sigma x0 has next to nothing of it. So
    the answer to pure noise is like the noise, or it is not.
    """
    x = torch.randn(1, channels, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    told = Conditioning(tokens=torch.zeros(1, 77, text_width))
    answer = network(x, torch.tensor([LAST]), told)
    likeness = torch.corrcoef(torch.stack([x.flatten(), answer.float().flatten()]))[0, 1]
    return not bool(likeness > 0.5)  # so is one that answers nothing at all

"""How FLUX lays a picture out as tokens: patches of 2x2 latents, their places, and the channels of Fill."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from darkroom.errors import InvalidRequest
from darkroom.networks.joint_attention import Turns


def pack(x: Tensor, channels: int) -> Tensor:
    """(B, C, H, W) -> (B, H / 2 * W / 2, 4 * C), row by row; a patch keeps a channel's four values together.

    Raises InvalidRequest for an odd height or width, and where 4 * C is not ``channels``.
    """
    if x.shape[-2] % 2 or x.shape[-1] % 2:
        raise InvalidRequest(
            f"FLUX draws latents of even height and width, not {x.shape[-2]}x{x.shape[-1]}; "
            "choose a height and a width in pixels that 16 divides."
        )
    if 4 * x.shape[1] != channels:
        raise InvalidRequest(
            f"this FLUX takes {channels // 4} channels of latents and got {x.shape[1]}; give what it was "
            "made for: a picture and a mask for Fill, a depth or edge picture for those, nothing for others."
        )
    return F.pixel_unshuffle(x, 2).flatten(2).transpose(1, 2)


def unpack(patches: Tensor, high: int, wide: int) -> Tensor:
    """The inverse of :func:`pack`, from ``high`` rows of ``wide`` patches."""
    return F.pixel_shuffle(patches.transpose(1, 2).unflatten(2, (high, wide)), 2)


def fill_channels(masked: Tensor, mask: Tensor) -> Tensor:
    """What FLUX Fill has behind the noisy latents, as ``cond.concat``: (B, C + 64, H, W).

    ``masked`` (B, C, H, W) latents of the picture with nothing (mid-grey, 0 in [-1, 1]) where it is to be
    filled; ``mask`` (B, 1, 8H, 8W) in pixels, 1 where it is to be filled. Each 8x8 pixels of the mask become
    the 64 channels of one position.
    """
    return torch.cat([masked, F.pixel_unshuffle(mask.to(masked.dtype), 8)], dim=1)


def rotary(text: int, grids: Sequence[tuple[int, int]], axes: Sequence[int], device: torch.device) -> Turns:
    """The turns of ``text`` tokens, which stand at the origin, and of the patches of each grid behind them.

    The i-th picture's patch (y, x) stands at (i, y, x); each of ``axes`` dimensions of a head turns with one
    of these (Su et al. 2021, eq. 15). Angles are in double precision where the device has it.
    """
    real = torch.float32 if device.type == "mps" else torch.float64
    origin = torch.zeros(text, 3, dtype=real, device=device)
    positions = [_positions(i, *grid, origin) for i, grid in enumerate(grids)]
    at = torch.cat([origin, *positions])
    angles = torch.cat([_angles(at[:, i], axis) for i, axis in enumerate(axes)], dim=-1)  # (L + N, head / 2)
    return angles.cos().float(), angles.sin().float()


def _positions(picture: int, high: int, wide: int, like: Tensor) -> Tensor:
    """(picture, y, x) of each patch, row by row: (high * wide, 3)."""
    y = torch.arange(high, dtype=like.dtype, device=like.device).repeat_interleave(wide)
    x = torch.arange(wide, dtype=like.dtype, device=like.device).repeat(high)
    return torch.stack([torch.full_like(x, picture), y, x], dim=-1)


def _angles(positions: Tensor, width: int) -> Tensor:
    """(L,) -> (L, width / 2)."""
    steps = torch.arange(0, width, 2, dtype=positions.dtype, device=positions.device)
    return positions[:, None] * 10_000.0 ** (-steps / width)

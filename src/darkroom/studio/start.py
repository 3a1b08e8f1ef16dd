"""What sampling starts from: noise, a picture under noise, and what of a picture stays as it is."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import adaptive_max_pool2d, interpolate

from darkroom.diffusion.brownian import Brownian
from darkroom.diffusion.editing import inpaint
from darkroom.diffusion.grids import Grid
from darkroom.diffusion.guidance import Guide
from darkroom.diffusion.levels import Level, left
from darkroom.diffusion.noise import Noise, Philox, resized, varied
from darkroom.diffusion.torch_noise import comfy, torch_cpu, torch_gpu
from darkroom.families.family import Model
from darkroom.studio.pictures import read_mask, read_to_fit, signal
from darkroom.studio.request import Request

NOISES: dict[str, Callable[[Sequence[int], Sequence[int]], Noise]] = {
    "philox": Philox,
    "brownian": Brownian,
    "torch": torch_cpu,
    "torch-gpu": torch_gpu,
    "comfy": comfy,
}
"""Who draws the noise, of seeds and the shape of a row."""

SMALL_CELL = 8
"""Pixels a side of a latent, up to which masks are read as other tools read them."""
OURS = "philox", "brownian"
"""Those whose draws need no order: the start is the same with both."""


@dataclass(frozen=True)
class Given:
    """The picture that a request starts from: ``latents`` (1, C, H, W), ``deviation`` of a random code.

    ``mask`` (1, 1, H, W) is 1 where it is to be painted over; ``masked`` are the picture's latents without
    that part and how far they may deviate. Of a request without a picture everything is None.
    """

    latents: Tensor | None = None
    deviation: Tensor | None = None
    mask: Tensor | None = None
    masked: tuple[Tensor, Tensor | None] | None = None


@dataclass(frozen=True)
class Start:
    """One picture's start: the signal, the noise for the sampler, what of the picture is kept under way and
    in the end, and what the network sees beside its signal, where it wants that.
    """

    x: Tensor
    noise: Noise
    kept: "Kept | None" = None
    concat: Tensor | None = None


@dataclass(frozen=True)
class Kept:
    """Latents that stay as they are where ``mask`` is 0; ``eps`` is the noise that sampling began with."""

    known: Tensor
    eps: Tensor
    mask: Tensor

    def guide(self, guide: Guide) -> Guide:
        """Under way: the guide sees them under their noise, and answers them."""
        return inpaint(guide, self.known, self.eps, self.mask)

    def settle(self, x: Tensor) -> Tensor:
        """In the end: to the bit, wherever the sampler's last step led."""
        return torch.where(self.mask > 0, x, self.known.to(x))


class Draws:
    """A noise's draws one after the other."""

    def __init__(self, noise: Noise) -> None:
        self.noise, self.taken = noise, 0

    def take(self) -> Tensor:
        """The next one."""
        self.taken += 1
        return self.noise(self.taken - 1)

    def rest(self) -> Noise:
        """The noise for a sampler, whose first draw is the one after those that were taken."""
        later = self.taken - 1
        return (lambda draw: self.noise(draw + later)) if later else self.noise


def given_of(request: Request, model: Model) -> Given:
    """Read and encode the pictures of a filled request."""
    if request.init_image is None:
        return Given()
    width, height = request.width or 0, request.height or 0
    picture = signal(read_to_fit(request.init_image, width, height))
    latents, deviation = model.encode_pictures(picture)
    if request.mask is None:
        return Given(latents, deviation)
    mask = torch.from_numpy(read_mask(request.mask, width, height))[None, None].float()
    return Given(latents, deviation, mask, model.encode_pictures(picture * (mask < 0.5)))


def start_of(request: Request, model: Model, given: Given, grid: Grid) -> Start:
    """The start of a request for one picture.

    With torch's noise the draws come in the order of diffusers' pipelines: a random code first, then the
    noise, then the code of the masked picture, then the sampler's. Ours needs no such order: there a random
    code is at its mean. A network that sees the mask starts from noise alone at full strength, as there, and
    is trusted to keep the rest of the picture.
    """
    shape = model.latent_shape(request.width or 0, request.height or 0)
    draws, draws_codes = Draws(NOISES[request.noise]((request.seed,), shape)), request.noise not in OURS

    def code(latents: Tensor, deviation: Tensor | None) -> Tensor:
        return latents + deviation * draws.take() if draws_codes and deviation is not None else latents

    whole = model.sees_mask and given.mask is not None and request.strength == 1
    # a flow starts from noise alone anyhow, and its pipelines draw the code that goes under in it
    anew = given.latents is None or (whole and bool(grid.start.alpha > 0))
    known = None if anew else code(given.latents, given.deviation)  # type: ignore[arg-type]
    eps = start_noise(request, draws, shape, request.seed_size and model.latent_shape(*request.seed_size))
    masked = None if given.masked is None else code(*given.masked)
    process = model.process_at(request.width or 0, request.height or 0)
    x = noise_alone(eps, grid.start) if known is None else process.corrupt(known, eps, grid.start)
    if model.sees_mask:
        return Start(x, draws.rest(), concat=beside(model, given.mask, masked, shape))
    return Start(x, draws.rest(), kept(known, eps, given.mask))


def noise_alone(eps: Tensor, level: Level) -> Tensor:
    """What stands for a signal of which nothing is known: noise as strong as signal and noise together.

    diffusers and ComfyUI start there too; where alpha is 0, nothing else could be.
    """
    return left(torch.hypot(level.alpha, level.sigma), eps) * eps


def start_noise(
    request: Request, draws: Draws, shape: Sequence[int], seed_shape: Sequence[int] | None = None
) -> Tensor:
    """The noise to start from, turned towards that of the variation's seed where there is one.

    With a ``seed_shape`` it is that of a picture of this shape, in the middle of the noise of its own, as in
    A1111.
    """
    source, own = NOISES[request.noise], draws.take()
    eps = source((request.seed,), seed_shape)(0) if seed_shape else own
    if request.variation_seed is not None:
        other = source((request.variation_seed,), seed_shape or shape)(0)
        eps = varied(eps, other, request.variation_strength)
    return resized(own, eps) if seed_shape else eps


def beside(model: Model, mask: Tensor | None, masked: Tensor | None, shape: Sequence[int]) -> Tensor:
    """The channels that lie beside the signal; without a picture a grey one is painted over as a whole."""
    if mask is None or masked is None:
        down = model.downscale
        mask, masked = torch.ones(1, 1, down * shape[1], down * shape[2]), torch.zeros(1, *shape)
    return model.mask_condition(mask, masked)


def kept(known: Tensor | None, eps: Tensor, mask: Tensor | None) -> Kept | None:
    """What stays of the picture, at the latents' size.

    One pixel decides for a small cell, as in other tools; a stroke would be lost in large ones, which are
    made anew where they are painted at all.
    """
    if known is None or mask is None:
        return None
    shape = known.shape[-2:]
    large = mask.shape[-1] > SMALL_CELL * shape[-1]
    small = adaptive_max_pool2d(mask, shape) if large else interpolate(mask, shape)
    return Kept(known, eps, (small >= 0.5).float())

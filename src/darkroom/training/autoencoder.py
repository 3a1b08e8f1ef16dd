"""The recipe of the starter's autoencoder."""

from functools import partial
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn

from darkroom.data.scenes.dataset import SceneDataset
from darkroom.networks.autoencoder import Autoencoder, reconstruction_loss
from darkroom.training.ema import Decay
from darkroom.training.optimizer import LearningRate, OptimizerRecipe
from darkroom.training.pictures import CloseUps, Pictures, tile, to_signal
from darkroom.training.presets import preset
from darkroom.training.recipe import Batch, Recipe, generator

if TYPE_CHECKING:
    from PIL.Image import Image

LATENT_NOISE = 0.3


def autoencoder(name: str, seed: int = 0) -> Recipe:
    """The recipe of the decoder: L1 on pixels and edges, from slightly noisy latents of close-ups."""
    chosen = preset(name)
    dataset, cell = SceneDataset(chosen.world, seed), chosen.autoencoder.downscale

    def build() -> nn.Module:
        network = Autoencoder(chosen.autoencoder)
        few = Pictures(SceneDataset(chosen.world, seed + 1), chosen.side, 64 if name == "smoke" else 1024)
        network.start_from(to_signal(torch.from_numpy(few(0)["picture"])).contiguous())
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss(network: nn.Module, batch: Batch, step: int) -> dict[str, Tensor]:
        picture = to_signal(batch["picture"])
        with torch.no_grad(), torch.autocast(chosen.device, enabled=False):
            latent = cast(Autoencoder, network).encode(picture)
        draw = generator(seed, step, picture.device)
        strength = LATENT_NOISE * torch.rand(len(picture), 1, 1, 1, generator=draw, device=picture.device)
        noise = torch.randn(latent.shape, generator=draw, device=picture.device)
        made = network(latent + strength * noise)
        likeness = psnr(made.detach(), picture).mean()
        return {"loss": reconstruction_loss(made, picture).mean(), "psnr": likeness}

    return Recipe(
        name="autoencoder",
        build=build,
        batch=CloseUps(dataset, chosen.side, chosen.autoencoder_batch, cell),
        loss=loss,
        steps=chosen.autoencoder_steps,
        batch_size=chosen.autoencoder_batch,
        seed=seed,
        optimizer=OptimizerRecipe(rate=LearningRate(peak=1.5e-3, warmup=100, decay=chosen.autoencoder_steps)),
        ema=(Decay(0.995),),
        sheet=partial(reconstruction_sheet, pictures=Pictures(dataset, chosen.side, 8)),
        sheet_every=400,
        workers=chosen.workers,
        device=chosen.device,
        compile=chosen.compile,
        data={"world": chosen.world},
    )


def psnr(made: Tensor, true: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of pictures in [-1, 1], one a row."""
    return -10 * torch.log10(((made - true) / 2).square().mean(dim=(1, 2, 3)).clamp(min=1e-10))


def reconstruction_sheet(network: nn.Module, step: int, pictures: Pictures) -> "Image":
    """Pictures above, their reconstructions below."""
    true = to_signal(torch.from_numpy(pictures(10**6)["picture"]))
    true = true.to(next(network.parameters()).device)
    made = network.decode(network.encode(true))  # type: ignore[operator]
    return tile(torch.cat([true, made]), columns=len(true))

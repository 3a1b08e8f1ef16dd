"""The recipe of the starter's text encoder and diffusion transformer."""

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from darkroom.data.scenes.cells import cell_classes
from darkroom.data.scenes.dataset import SceneDataset
from darkroom.diffusion.grids import trailing
from darkroom.diffusion.guidance import Query, cfg, guided
from darkroom.diffusion.noise import Philox
from darkroom.diffusion.process import Network, as_velocity
from darkroom.diffusion.samplers import dpmpp_2m, sample
from darkroom.families.starter import Painter, Starter, StarterConfig
from darkroom.networks.autoencoder import Autoencoder
from darkroom.networks.text_encoder import TextEncoderConfig
from darkroom.text.tokenizer import Tokenizer
from darkroom.training.alignment import AlignedPainter, naming_loss, spelling_loss
from darkroom.training.ema import Decay, PowerFunction
from darkroom.training.optimizer import LearningRate, OptimizerRecipe
from darkroom.training.pictures import CaptionedPictures, tile, to_signal, without_sign_words
from darkroom.training.presets import Preset, preset
from darkroom.training.recipe import Batch, Recipe, generator

if TYPE_CHECKING:
    from PIL.Image import Image

TIMES = (1.0, 1.0)
"""Mean and deviation of a time's logit, before the schedule's shift. A caption matters most above times of
0.8, where the latents' strong coarse channels are decided: with it the loss there is less by 0.13 to 0.41,
below 0.6 by 0.03 at most (``python -m bench.captions``). A mean of 0 would spend a quarter of the steps above
0.8, this one six in ten."""

ANY_TIME = 0.2
"""The part of times drawn from all alike: letters turn sharp below 0.3, where one in 200 of `TIMES` is."""

NAMING = 0.1
"""What naming a cell weighs: it makes up a seventh of the loss, at the start as at the end."""

SPELLING = 0.3
"""What naming a letter weighs, over the cells that show one: those are one in a hundred, and without a weight
of their own the painter never began to read the prompt's letters."""

SHEET_PROMPTS = (
    "a red apple",
    "a cat on a beach",
    "exactly five apples",
    "three blue stars",
    "a red cube on top of a blue sphere",
    "a green book to the left of a yellow cup",
    "a dog and a purple umbrella",
    "a yellow balloon above a house",
    "three apples, two red and one green, on the left of a book",
    "a red cube on top of a blue sphere to the left of a green cylinder",
    "a cat wearing sunglasses on a beach",
    "a book on top of a table",
    "three cats in a pyramid formation",
    "a red umbrella in a crowd of people holding black umbrellas in the rain",
    "a sign that says OPEN",
    "a sign that says FISH",
)


def painter(
    name: str,
    autoencoder: Autoencoder,
    start: Starter | None = None,
    *,
    steps: int | None = None,
    seed: int = 0,
) -> Recipe:
    """The recipe of text encoder and transformer, on the latents of a trained autoencoder.

    It begins with the weights and the vocabulary of ``start`` if there is one.

    Rectified flow; the network predicts x0 under the velocity loss (Li and He 2025, arXiv 2511.13720), at
    times drawn logit-normally and shifted by the schedule (Esser et al. 2024, arXiv 2403.03206, section 3.1).
    """
    chosen = preset(name)
    length = steps or chosen.steps
    dataset, classes = SceneDataset(chosen.world, seed), cell_classes(chosen.world)
    tokenizer = (
        start.tokenizer if start else Tokenizer.train(without_sign_words(dataset, chosen.vocabulary_captions))
    )
    config = starter_config(chosen, tokenizer)
    frozen = autoencoder.eval().requires_grad_(False).to(chosen.device)

    def build() -> nn.Module:
        network = Painter(config.text, config.network)
        if start:
            network.load_state_dict(start.painter.state_dict())
        return AlignedPainter(network, classes)

    def loss(network: nn.Module, batch: Batch, step: int) -> dict[str, Tensor]:
        with torch.no_grad(), torch.autocast(chosen.device, enabled=False):
            x0 = frozen.encode(to_signal(batch["picture"])).contiguous()
        draw = generator(seed, step, x0.device)
        named: list[Tensor] = []

        def answer(x: Tensor, time: Tensor, cond: None) -> Tensor:
            painted, names = network(batch["words"], batch["letters"], x, time)
            named.append(names)
            return painted

        velocity = velocity_losses(answer, x0, draw).mean()
        naming = naming_loss(named[0], batch["cells"], classes)
        spelling = spelling_loss(named[0], batch["cells"], classes)
        whole = velocity + NAMING * naming + SPELLING * spelling
        return {"loss": whole, "velocity": velocity, "naming": naming, "spelling": spelling}

    def sheet(network: nn.Module, step: int) -> "Image":
        return sample_sheet(Starter(config, network.painter, frozen), SHEET_PROMPTS)  # type: ignore[arg-type]

    return Recipe(
        name="painter",
        build=build,
        batch=CaptionedPictures(
            dataset, chosen.side, chosen.batch, chosen.text_length, tokenizer, chosen.autoencoder.downscale
        ),
        loss=loss,
        steps=length,
        batch_size=chosen.batch,
        seed=seed,
        optimizer=OptimizerRecipe(
            rate=learning_rate(chosen, length, fresh=start is None),
            betas=(0.9, 0.98),
        ),
        ema=(Decay(0.998), PowerFunction(0.10)) if chosen.device == "cuda" else (Decay(0.998),),
        sheet=sheet,
        sheet_every=max(250, length // 12),
        checkpoint_every=500,
        workers=chosen.workers,
        device=chosen.device,
        compile=chosen.compile,
        data={"vocabulary": tokenizer.vocabulary, "world": chosen.world},
    )


def velocity_losses(
    answer: Network, x0: Tensor, draw: torch.Generator, any_time: float = ANY_TIME, most: float = 1.0
) -> Tensor:
    """The velocity loss of each row of latents (B, C, H, W) at a time of its own, see `times`: (B,)."""
    levels = Starter.process.schedule.at(times(len(x0), draw, x0.device, any_time, most))
    eps = torch.randn(x0.shape, generator=draw, device=x0.device)
    return Starter.process.loss(answer, x0, eps, levels, None, as_velocity)


def held_losses(
    after: Network,
    before: Network,
    x0: Tensor,
    draw: torch.Generator,
    any_time: Tensor | float = ANY_TIME,
) -> tuple[Tensor, Tensor]:
    """The velocity loss of each row, and the square of the velocity's way from what it was: (B,) both.

    ``after`` learns, ``before`` does not.
    """
    process = Starter.process
    level = process.schedule.at(times(len(x0), draw, x0.device, any_time))
    x = process.corrupt(x0, torch.randn(x0.shape, generator=draw, device=x0.device), level)
    with torch.no_grad():
        was = process.denoise(before, x, level, None)
    now, weight = process.denoise(after, x, level, None), as_velocity(level)
    to, way = ((now.float() - other).square().flatten(1).mean(1) for other in (x0, was))
    return weight * to, weight * way


def times(
    count: int,
    draw: torch.Generator,
    device: torch.device,
    any_time: Tensor | float = ANY_TIME,
    most: float = 1.0,
) -> Tensor:
    """Times to train at, before the schedule's shift, (count,): uniform up to ``most`` with the probability
    ``any_time``, one for all or (count,), else as `TIMES` says.
    """
    mean, deviation = TIMES
    usual = torch.sigmoid(mean + deviation * torch.randn(count, generator=draw, device=device))
    uniform, which = torch.rand((2, count), generator=draw, device=device)
    return torch.where(which < any_time, most * uniform, usual)


def learning_rate(chosen: Preset, length: int, fresh: bool) -> LearningRate:
    """A rate that holds, then falls over the last quarter; weights that have learnt begin at half of it, and
    it falls over all of the run, as a rate that rises to the whole undoes what took the last run to settle.
    """
    warmup = min(200, length // 4)
    if fresh:
        return LearningRate(peak=chosen.rate, warmup=warmup, decay=length // 4, shape="sqrt")
    return LearningRate(peak=chosen.rate / 2, warmup=warmup, decay=length - warmup, shape="linear")


def starter_config(
    chosen: Preset, tokenizer: Tokenizer, about: dict[str, str] | None = None
) -> StarterConfig:
    """What a file of this preset's starter tells about itself."""
    text = TextEncoderConfig(
        words=tokenizer.word_count,
        letters=tokenizer.letter_count,
        slots=tokenizer.slots,
        width=chosen.network.text_width,
        depth=chosen.text_depth,
        heads=chosen.network.text_width // 64,
    )
    return StarterConfig(
        text, chosen.network, chosen.autoencoder, tokenizer.vocabulary, chosen.side, about or {}
    )


def sample_sheet(model: Starter, prompts: tuple[str, ...], steps: int = 12, scale: float = 3.0) -> "Image":
    """One picture a prompt, in rows of eight; the seed of a prompt is its place."""
    shape = model.latent_shape(model.config.side, model.config.side)
    noise = Philox.run(0, len(prompts), shape, device=model.device)
    guide = cfg(model.encode_prompts(prompts), model.encode_prompts([""] * len(prompts)), scale)

    def answer(queries: tuple[Query, ...]) -> list[Tensor]:
        return [model.process.denoise(model.network, q.x, q.level, q.cond) for q in queries]

    with torch.inference_mode():
        grid = trailing(model.process.schedule, steps)
        latents = sample(dpmpp_2m(noise(0), grid, noise), guided(guide, answer))
        return tile(model.decode_latents(latents), columns=8)

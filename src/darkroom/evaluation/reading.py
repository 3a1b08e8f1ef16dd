"""How the examiner's reader is trained: on signs with any letters, cut askew out of worn pictures."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from darkroom.data.scenes.chance import philox
from darkroom.data.scenes.graph import Scene
from darkroom.data.scenes.render import render
from darkroom.data.scenes.skills import draw
from darkroom.data.scenes.words import spelling
from darkroom.data.scenes.world import World
from darkroom.training.ema import Decay
from darkroom.training.optimizer import LearningRate, OptimizerRecipe
from darkroom.training.recipe import Batch, Recipe, generator

from .examiner import SIDE, as_images
from .lessons import anywhere
from .reader import Reader, boards, reading_loss
from .recipe import Preset, preset
from .wear import worn_out

_WEAR = 1  # the stream of draws for wear
LONGEST = 6
JITTER = 0.06  # how far, in parts of its size, a sign's box is off


@dataclass(frozen=True)
class SignPictures:
    """Batches of worn pictures of signs: images uint8 (B, 128, 128, 3); picture int64 (N,) and boxes float32
    (N, 4), left, top, right and bottom in fractions, of each sign; words, a list of what they say.
    """

    world: World
    seed: int
    size: int

    def scene(self, index: int) -> Scene:
        """A scene with a sign, nine in ten with letters at random: none is easier to read than another."""
        return draw(philox(self.seed, index), self.world, "word")

    def __call__(self, step: int) -> Batch:
        numbers = range(step * self.size, (step + 1) * self.size)
        scenes = [self.scene(i) for i in numbers]
        worn = [
            worn_out(render(scene, SIDE), philox(self.seed, i, _WEAR))
            for i, scene in zip(numbers, scenes, strict=True)
        ]
        signs = [(i, t.box, t.word) for i, scene in enumerate(scenes) for t in scene.things if t.word]
        return {
            "images": np.stack(worn),
            "picture": np.array([i for i, _, _ in signs], np.int64),
            "boxes": np.array([(b.left, b.top, b.right, b.bottom) for _, b, _ in signs], np.float32),
            "words": [word for _, _, word in signs],
        }


def reading(network: nn.Module, batch: Batch, draw: torch.Generator) -> Tensor:
    """The reading loss on signs whose boxes are a little off."""
    boxes = batch["boxes"]
    size = torch.cat([boxes[:, 2:] - boxes[:, :2]] * 2, dim=1)
    off = torch.rand(boxes.shape, generator=draw, device=boxes.device) * 2 - 1
    cut = boards(as_images(batch["images"]), batch["picture"], boxes + JITTER * size * off)
    return reading_loss(network(cut), batch["words"])


def spelling_world(chosen: Preset) -> World:
    """The preset's world with letters at random on nine signs in ten."""
    world = anywhere(chosen.world)
    return replace(world, words=world.words + spelling(LONGEST), plain_signs=0.4)


def reader(name: str = "cpu", seed: int = 0) -> Recipe:
    """The recipe of the examiner's reader; the names are those of the examiner's presets."""
    chosen = preset(name)
    steps = min(2000, chosen.steps)

    def loss(network: nn.Module, batch: Batch, step: int) -> dict[str, Tensor]:
        return {"loss": reading(network, batch, generator(seed, step, batch["images"].device))}

    return Recipe(
        name="reader",
        build=Reader,
        batch=SignPictures(spelling_world(chosen), seed, 32),
        loss=loss,
        steps=steps,
        batch_size=32,
        seed=seed,
        optimizer=OptimizerRecipe(
            rate=LearningRate(peak=chosen.rate, warmup=min(100, steps // 4), decay=steps),
            weight_decay=0.02,
            clip=5.0,
        ),
        ema=(Decay(0.995),),
        workers=chosen.workers,
        device=chosen.device,
        data={"world": chosen.world},
    )

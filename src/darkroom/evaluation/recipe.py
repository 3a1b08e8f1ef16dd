"""How the examiner is trained: on true pictures of a world, worn out as a generator's are."""

import copy
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from darkroom.data.scenes.catalogue import COLOURS
from darkroom.data.scenes.chance import philox
from darkroom.data.scenes.render import render
from darkroom.data.scenes.world import World, full_world, small_world
from darkroom.errors import DarkroomError, UnknownName
from darkroom.training.ema import Decay
from darkroom.training.optimizer import LearningRate, OptimizerRecipe
from darkroom.training.recipe import Batch, Recipe, generator

from .examiner import SIDE, Examiner, ExaminerConfig, as_images
from .findings import truth
from .judge import Judge
from .lessons import Lessons, anywhere
from .targets import (
    around_loss,
    asked_loss,
    bumps,
    heat_loss,
    nearby,
    rows_of,
    things_of,
)
from .wear import worn_out

_WEAR = 1  # the stream of draws for wear


@dataclass(frozen=True)
class Preset:
    """The size of one examiner and of the run that makes it."""

    world: World
    widths: tuple[int, int, int]
    features: int
    steps: int
    batch: int
    rate: float
    workers: int
    device: str


def preset(name: str) -> Preset:
    """``cpu``: two cores, 20 minutes, the small world; ``gpu``: every kind and style; ``smoke``: seconds.

    Raises UnknownName for another.
    """
    presets = {
        "cpu": Preset(small_world(), (32, 72, 144), 64, 4000, 32, 3e-3, 1, "cpu"),
        "gpu": Preset(full_world(), (40, 88, 176), 80, 12_000, 256, 3e-3, 14, "cuda"),
        "smoke": Preset(small_world(), (8, 16, 16), 16, 8, 8, 3e-3, 0, "cpu"),
    }
    if name not in presets:
        raise UnknownName("preset", name, presets)
    return presets[name]


def config_of(
    world: World, widths: tuple[int, int, int] = (32, 72, 144), features: int = 64
) -> ExaminerConfig:
    """An examiner of all that a world shows."""
    return ExaminerConfig(world.kinds, tuple(COLOURS), world.grounds, world.lights, widths, features)


@dataclass(frozen=True)
class TruePictures:
    """Batches of worn pictures with the truth about them.

    images uint8 (B, 128, 128, 3); things float32 (N, 7), see `targets.rows_of`; around int64 (B, 2), the
    numbers of ground and light.
    """

    lessons: Lessons
    config: ExaminerConfig
    size: int
    wear: bool = True

    def __call__(self, step: int) -> Batch:
        numbers = range(step * self.size, (step + 1) * self.size)
        scenes = [self.lessons.scene(i) for i in numbers]
        seen = [truth(scene) for scene in scenes]
        images = [render(scene, SIDE) for scene in scenes]
        if self.wear:
            images = [
                worn_out(picture, philox(self.lessons.seed, i, _WEAR))
                for i, picture in zip(numbers, images, strict=True)
            ]
        around = [
            (self.config.grounds.index(scene.ground), self.config.lights.index(scene.light))
            for scene in scenes
        ]
        return {
            "images": np.stack(images),
            "things": rows_of(self.config, seen),
            "around": np.array(around, np.int64),
        }


def losses(network: Examiner, batch: Batch, draw: torch.Generator) -> dict[str, Tensor]:
    """What the examiner's answers to a batch lack, part by part and weighed together as ``loss``."""
    images, things = as_images(batch["images"]), things_of(batch["things"])
    maps = network(images)
    heat = bumps(things, len(images), len(network.config.kinds))
    shift = torch.randint(-1, 2, things.centre.shape, generator=draw, device=images.device)
    spots = nearby(things, shift)
    box, colour = asked_loss(*network.ask(maps, spots), spots, things)
    parts = {
        "heat": heat_loss(maps.heat, heat),
        "box": box,
        "colour": colour,
        "around": around_loss(maps, batch["around"]),
    }
    loss = parts["heat"] + parts["box"] + 0.5 * parts["colour"] + 0.1 * parts["around"]
    return {"loss": loss, **parts}


def examiner(name: str = "cpu", seed: int = 0, start: Judge | None = None) -> Recipe:
    """The recipe of the examiner; see `preset` for the names. With ``start`` it goes on from the eyes of that
    judge, at half the rate. Raises DarkroomError for one of other sizes than the preset's.
    """
    chosen = preset(name)
    config = config_of(chosen.world, chosen.widths, chosen.features)
    if start and start.config != config:
        raise DarkroomError(f"those eyes are of other sizes than the preset '{name}'; choose another preset.")

    def build() -> nn.Module:
        network = copy.deepcopy(start.network).train().requires_grad_(True) if start else Examiner(config)
        return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def loss(network: nn.Module, batch: Batch, step: int) -> dict[str, Tensor]:
        return losses(network, batch, generator(seed, step, batch["images"].device))  # type: ignore[arg-type]

    return Recipe(
        name="examiner",
        build=build,
        batch=TruePictures(Lessons(anywhere(chosen.world), seed), config, chosen.batch),
        loss=loss,
        steps=chosen.steps,
        batch_size=chosen.batch,
        seed=seed,
        optimizer=OptimizerRecipe(
            rate=LearningRate(
                peak=chosen.rate / (2 if start else 1), warmup=min(200, chosen.steps // 4), decay=chosen.steps
            ),
            weight_decay=0.02,
            clip=5.0,
        ),
        ema=(Decay(0.998),),
        checkpoint_every=1000,
        workers=chosen.workers,
        device=chosen.device,
        data={"world": chosen.world},
    )

"""Teaching a starter one skill, and holding the rest as it is.

More training on pictures of everything undoes what a starter has learnt from its own (`reward`), as the loss
on true pictures knows nothing of it. Here half of a batch shows the skill and is learnt from; the other half
shows everything else, and there the painter is held to what it said before (learning without forgetting, Li
and Hoiem 2016, arXiv 1606.09282).
"""

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from darkroom.data.scenes.cells import cell_classes
from darkroom.data.scenes.dataset import SceneDataset
from darkroom.data.scenes.skills import SKILLS
from darkroom.data.scenes.world import World
from darkroom.errors import UnknownName
from darkroom.families.starter import Painter, Starter
from darkroom.training.alignment import AlignedPainter, naming_loss, spelling_loss
from darkroom.training.ema import Decay
from darkroom.training.optimizer import OptimizerRecipe
from darkroom.training.painter import (
    ANY_TIME,
    NAMING,
    SHEET_PROMPTS,
    SPELLING,
    held_losses,
    learning_rate,
    sample_sheet,
    velocity_losses,
)
from darkroom.training.pictures import CaptionedPictures, to_signal
from darkroom.training.presets import preset
from darkroom.training.recipe import Batch, Recipe, generator, mix
from darkroom.training.starter import train_on

if TYPE_CHECKING:
    from PIL.Image import Image

DETAIL = "detail"
"""A lesson of no skill: how things look. It is learnt where the picture itself tells all else, and all that
captions decide is held. Practice does not look there, and drawings come out of it less crisp."""

LATE = 0.4
"""The latest time of that lesson, before the schedule's shift: 0.57 after it. Captions say little below."""

HOLD = 3.0
"""What the square of a velocity's way from what it was weighs beside the velocity loss on what is learnt."""

PARTS = "words", "letters", "cells"


@dataclass(frozen=True)
class Lesson:
    """Batches of ``learnt`` pictures and then as many ``held`` ones: what `CaptionedPictures` gives."""

    learnt: CaptionedPictures
    held: CaptionedPictures

    def __call__(self, step: int) -> Batch:
        first, second = self.learnt(step), self.held(step)
        return {part: np.concatenate([first[part], second[part]]) for part in first}


class LessonLoss:
    """The loss of a step: what is learnt as in `painter`, what is held as far as it moves."""

    def __init__(
        self, start: Starter, classes: tuple[int, ...], seed: int, device: str, detail: bool
    ) -> None:
        self.start, self.classes, self.seed = start, classes, seed
        self.learnt_at, self.held_at = ((1.0, LATE), 0.0) if detail else ((ANY_TIME, 1.0), ANY_TIME)
        self.decoder = start.autoencoder.eval().requires_grad_(False).to(device)
        self.before = copy.deepcopy(start.painter).eval().requires_grad_(False).to(device)

    def __call__(self, network: nn.Module, batch: Batch, step: int) -> dict[str, Tensor]:
        """``velocity`` and ``spelling`` of what is learnt, and the ``drift`` of what is held."""
        draw = generator(self.seed, step, batch["picture"].device)
        learnt, held = (
            dict(zip((*PARTS, "x0"), rows, strict=True))
            for rows in zip(*(part.chunk(2) for part in self._tensors(batch)), strict=True)
        )
        named: list[Tensor] = []

        def answer(x: Tensor, time: Tensor, cond: None) -> Tensor:
            painted, names = network(learnt["words"], learnt["letters"], x, time)
            named.append(names)
            return painted

        told = held["words"], held["letters"]
        velocity = velocity_losses(answer, learnt["x0"], draw, *self.learnt_at).mean()
        _, ways = held_losses(
            lambda x, time, cond: network(*told, x, time)[0],
            lambda x, time, cond: self.before(*told, x, time),
            held["x0"],
            draw,
            self.held_at,
        )
        naming = naming_loss(named[0], learnt["cells"], self.classes)
        spelling = spelling_loss(named[0], learnt["cells"], self.classes)
        drift = ways.mean()
        loss = velocity + NAMING * naming + SPELLING * spelling + HOLD * drift
        return {"loss": loss, "velocity": velocity, "drift": drift, "spelling": spelling}

    def sheet(self, network: nn.Module, step: int) -> "Image":
        """Pictures of fixed prompts."""
        painter = cast(Painter, network.painter)
        return sample_sheet(Starter(self.start.config, painter, self.decoder), SHEET_PROMPTS)

    def _tensors(self, batch: Batch) -> list[Tensor]:
        pictures = batch["picture"]
        with torch.no_grad(), torch.autocast(pictures.device.type, enabled=False):
            x0 = self.decoder.encode(to_signal(pictures)).contiguous()
        return [*(batch[part] for part in PARTS), x0]


def lesson(name: str, start: Starter, skill: str, *, steps: int | None = None, seed: int = 0) -> Recipe:
    """The recipe that teaches ``start``, a starter of the preset's sizes, a skill of its world or `DETAIL`.

    Raises UnknownName for a skill that there is not.
    """
    if skill not in {*SKILLS, DETAIL}:
        raise UnknownName("skill", skill, [*SKILLS, DETAIL])
    chosen = preset(name)
    length = steps or chosen.lesson_steps
    classes = cell_classes(chosen.world)
    loss = LessonLoss(start, classes, seed, chosen.device, skill == DETAIL)

    def pictures(world: World, seed: int) -> CaptionedPictures:
        return CaptionedPictures(
            SceneDataset(world, seed),
            chosen.side,
            chosen.batch // 2,
            chosen.text_length,
            start.tokenizer,
            chosen.autoencoder.downscale,
        )

    others = tuple((other, weight) for other, weight in chosen.world.skills if other != skill)
    learnt = chosen.world.skills if skill == DETAIL else ((skill, 1.0),)
    return Recipe(
        name=f"lesson-{skill}",  # so that a run of another skill is not carried on
        build=lambda: AlignedPainter(copy.deepcopy(start.painter).requires_grad_(True), classes),
        batch=Lesson(
            pictures(replace(chosen.world, skills=learnt), seed),
            pictures(replace(chosen.world, skills=others), mix("held", seed)),
        ),
        loss=loss,
        steps=length,
        batch_size=chosen.batch,
        seed=seed,
        optimizer=OptimizerRecipe(rate=learning_rate(chosen, length, fresh=False), betas=(0.9, 0.98)),
        ema=(Decay(0.998),),
        sheet=loss.sheet,
        sheet_every=max(250, length // 8),
        checkpoint_every=500,
        workers=chosen.workers,
        device=chosen.device,
        compile=chosen.compile,
        data={"vocabulary": start.tokenizer.vocabulary, "world": chosen.world},
    )


def train_lesson(
    name: str,
    out: Path,
    *,
    start: Path | None = None,
    skill: str = "word",
    steps: int | None = None,
    seed: int = 0,
    **how: Any,
) -> Path:
    """Teach a skill to the starter in the file ``start``, as :func:`~darkroom.training.starter.train_on`."""

    def make(begun: Starter) -> Recipe:
        return lesson(name, begun, skill, steps=steps, seed=seed)

    about = {"taught by": f"darkroom train lesson --skill {skill} --preset {name}"}
    return train_on(name, out, start, "lesson", make, about, **how)

"""At which times a caption matters: ``python -m bench.captions [MODEL]``.

The velocity loss of a starter on scenes that it has not seen, told their caption and told nothing; and where
there are signs (``--skill word``), told the caption with other letters on its sign.
"""

import argparse
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import numpy as np
import torch

from bench.measure import table
from darkroom.data.scenes.dataset import SceneDataset
from darkroom.data.scenes.world import small_world
from darkroom.diffusion.noise import Philox
from darkroom.diffusion.process import as_velocity
from darkroom.errors import DarkroomError
from darkroom.families.starter import Starter
from darkroom.studio.models import load_model
from darkroom.training.pictures import to_signal

TIMES = (1.0, 0.96, 0.92, 0.87, 0.83, 0.8, 0.7, 0.6, 0.4, 0.2)
UNSEEN = 99
"""A seed of scenes that no run here has used."""


def misspelt(dataset: SceneDataset, number: int) -> str:
    """A scene's caption with each sign's letters moved on by some places in the alphabet."""
    caption = dataset.caption(number)
    for word in (thing.word for thing in dataset.scene(number).things if thing.word):
        other = "".join(chr((ord(c) - ord("A") + 7 + 3 * i) % 26 + ord("A")) for i, c in enumerate(word))
        caption = re.sub(rf"\b{word}\b", other, caption, flags=re.IGNORECASE)
    return caption


@torch.inference_mode()
def losses(model: Starter, pictures: torch.Tensor, captions: Sequence[str]) -> list[float]:
    """The velocity loss at each of TIMES, the noise being the same for any captions."""
    x0, _ = model.encode_pictures(to_signal(pictures))
    eps = Philox.run(0, len(x0), x0.shape[1:])(0)
    cond, shift = model.encode_prompts(captions), model.process.schedule.shift
    found = []
    for time in TIMES:
        level = model.process.schedule.at(torch.full((len(x0),), time / (shift - (shift - 1) * time)))
        found.append(float(model.process.loss(model.network, x0, eps, level, cond, as_velocity).mean()))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="starter")
    parser.add_argument("--skill")
    parser.add_argument("--pictures", type=int, default=256)
    given = parser.parse_args()
    try:
        model = cast(Starter, load_model(given.model).model)
    except DarkroomError as error:
        parser.error(str(error))
    world = small_world()
    if given.skill:
        world = replace(world, skills=((given.skill, 1.0),))
    dataset, numbers = SceneDataset(world, UNSEEN), range(given.pictures)
    pictures = torch.from_numpy(np.stack([dataset.example(i, 128).image for i in numbers]))
    told = {
        "with": [dataset.caption(i) for i in numbers],
        "without": [""] * given.pictures,
        "other letters": [misspelt(dataset, i) for i in numbers],
    }
    rows = [
        [name, *(f"{v:.3f}" for v in losses(model, pictures, captions))] for name, captions in told.items()
    ]
    print(table(["time", *map(str, TIMES)], rows))


if __name__ == "__main__":
    main()

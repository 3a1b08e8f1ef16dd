"""Pictures and captions by number: sample ``index`` is a pure function of (seed, index)."""

from dataclasses import dataclass

import numpy as np

from .captions import caption
from .chance import philox
from .graph import Scene
from .render import render
from .skills import sample_scene
from .world import World

_SCENE, _CAPTION = 0, 1


@dataclass(frozen=True)
class Example:
    """``image``: uint8 (side, side, 3); ``caption`` and ``scene`` tell what it shows."""

    image: np.ndarray
    caption: str
    scene: Scene


@dataclass(frozen=True)
class SceneDataset:
    """Endless captioned scenes of a world, in the same numbers whatever the order, process or machine."""

    world: World
    seed: int = 0

    def scene(self, index: int) -> Scene:
        return sample_scene(philox(self.seed, index, _SCENE), self.world)

    def caption(self, index: int) -> str:
        return caption(self.scene(index), philox(self.seed, index, _CAPTION))

    def example(self, index: int, side: int) -> Example:
        """The index-th picture, ``side`` pixels wide, with its caption and its scene."""
        scene = self.scene(index)
        return Example(render(scene, side), caption(scene, philox(self.seed, index, _CAPTION)), scene)

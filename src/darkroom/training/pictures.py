"""Batches of scenes for training, and sheets of pictures to look at."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from torch import Tensor

from darkroom.data.scenes.cells import cell_map
from darkroom.data.scenes.dataset import SceneDataset
from darkroom.data.scenes.graph import Box
from darkroom.text.tokenizer import UNKNOWN, Tokenizer
from darkroom.training.recipe import Batch

if TYPE_CHECKING:
    from PIL.Image import Image

CAPTION_DROPOUT = 0.1
WORD_DROPOUT = 0.05


@dataclass(frozen=True)
class Pictures:
    """Batches of whole pictures: {"picture": uint8 (size, side, side, 3)}."""

    dataset: SceneDataset
    side: int
    size: int

    def __call__(self, step: int) -> Batch:
        numbers = range(step * self.size, (step + 1) * self.size)
        return {"picture": np.stack([self.dataset.example(i, self.side).image for i in numbers])}


@dataclass(frozen=True)
class CloseUps:
    """Batches of crops about things, two a scene: {"picture": uint8 (size, side / 2, side / 2, 3)}.

    An autoencoder learns little from empty ground. Crops begin at multiples of ``cell``, so that things keep
    their places in the cells of its latents.
    """

    dataset: SceneDataset
    side: int
    size: int
    cell: int

    def __call__(self, step: int) -> Batch:
        chance = np.random.default_rng((self.dataset.seed, step))
        crops: list[np.ndarray] = []
        for i in range(step * self.size // 2, (step + 1) * self.size // 2):
            one = self.dataset.example(i, self.side)
            boxes = [one.scene.things[k].box for k in chance.integers(len(one.scene.things), size=2)]
            crops += [self._crop(one.image, box, chance) for box in boxes]
        return {"picture": np.stack(crops)}

    def _crop(self, image: np.ndarray, box: Box, chance: np.random.Generator) -> np.ndarray:
        half = self.side // 2
        centre = np.array([box.top + box.bottom, box.left + box.right]) / 2 * self.side
        start = (centre + chance.uniform(-half / 4, half / 4, 2) - half / 2).clip(0, self.side - half)
        top, left = (start / self.cell).round().astype(int) * self.cell
        return image[top : top + half, left : left + half]


@dataclass(frozen=True)
class CaptionedPictures:
    """Batches of pictures with tokenized captions and what each of their cells shows.

    picture; words (B, L); letters (B, L, slots); cells (B, aspects, side / cell, side / cell), see
    :func:`darkroom.data.scenes.cells.cell_map`.

    A caption is dropped, so that the network learns to paint without one (Ho and Salimans 2022, arXiv
    2207.12598), when chance says so or when it is longer than ``length``; single words lose their id, so that
    their letters have to do.
    """

    dataset: SceneDataset
    side: int
    size: int
    length: int
    tokenizer: Tokenizer
    cell: int

    def __call__(self, step: int) -> Batch:
        chance = np.random.default_rng((self.dataset.seed, step))
        examples = [
            self.dataset.example(i, self.side) for i in range(step * self.size, (step + 1) * self.size)
        ]
        captions = [one.caption if self._keeps(one.caption, chance.random()) else "" for one in examples]
        tokens = self.tokenizer.encode(captions, self.length)
        forgotten = (chance.random(tokens.words.shape) < WORD_DROPOUT) & (tokens.words > UNKNOWN)
        words = np.where(forgotten, UNKNOWN, tokens.words)
        return {
            "picture": np.stack([one.image for one in examples]),
            "words": words,
            "letters": tokens.letters,
            "cells": np.stack(
                [cell_map(one.scene, self.dataset.world, self.side // self.cell) for one in examples]
            ),
        }

    def _keeps(self, caption: str, draw: float) -> bool:
        return draw >= CAPTION_DROPOUT and self.tokenizer.length(caption) <= self.length


def to_signal(picture: Tensor) -> Tensor:
    """uint8 (B, H, W, 3) -> (B, 3, H, W) in [-1, 1], channels last in memory."""
    return picture.permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pixels(signal: Tensor) -> np.ndarray:
    """The inverse: (B, 3, H, W), clamped to [-1, 1] -> uint8 (B, H, W, 3)."""
    return ((signal.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()


def without_sign_words(dataset: SceneDataset, count: int) -> Iterator[str]:
    """Captions of the first ``count`` scenes without what signs say: that is to be read by its letters."""
    for i in range(count):
        caption = dataset.caption(i)
        for thing in dataset.scene(i).things:
            if thing.word:
                caption = re.sub(rf"\b{thing.word}\b", "", caption, flags=re.IGNORECASE)
        yield caption


def tile(signal: Tensor, columns: int) -> "Image":
    """(B, 3, H, W) in [-1, 1] -> one picture, row by row."""
    from PIL import Image

    pixels = to_pixels(signal)
    rows = pixels.reshape(-1, columns, *pixels.shape[1:])  # (R, columns, H, W, 3)
    return Image.fromarray(np.vstack([np.hstack(list(row)) for row in rows]))

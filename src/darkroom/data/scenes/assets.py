"""The drawings that ship with the package: an atlas of emoji, the letters of signs, and their manifest."""

import json
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
from PIL import Image

FOLDER = files(__package__) / "assets"


@cache
def manifest() -> dict[str, Any]:
    """What the packer wrote: sources and licences, every file's hash, every drawing's place and hash."""
    return json.loads((FOLDER / "manifest.json").read_text(encoding="utf-8"))


@cache
def _atlas(name: str) -> Image.Image:
    with (FOLDER / name).open("rb") as file:
        image = Image.open(file)
        image.load()
    return image


def _cut(entry: dict[str, Any]) -> np.ndarray:
    return np.asarray(_atlas(entry["file"]).crop(entry["box"]))


def sprite(name: str, look: int = 0) -> np.ndarray:
    """One look of an emoji kind, cropped to what shows: uint8 (H, W, 4), alpha not premultiplied."""
    return _cut(manifest()["drawings"][name][look])


def letter(character: str) -> np.ndarray:
    """The coverage of one capital letter A to Z: uint8 (H, W), the same for all."""
    return _cut(manifest()["letters"][character])

"""``darkroom train``: recipes by name."""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path

from darkroom.errors import UnknownName
from darkroom.training.loop import train as train_recipe
from darkroom.training.recipe import Recipe

RECIPES = {
    "starter": "darkroom.training.starter:starter",
    "autoencoder": "darkroom.training.starter:autoencoder",
    "examiner": "darkroom.evaluation.recipe:examiner",
}
"""Where each recipe's function is, which takes a preset's name; imported only when it is asked for."""


def find(name: str, preset: str) -> Recipe:
    """The recipe of that name. Raises UnknownName, and what the recipe's function says about the preset."""
    if name not in RECIPES:
        raise UnknownName("recipe", name, RECIPES)
    module, _, function = RECIPES[name].partition(":")
    make: Callable[[str], Recipe] = getattr(import_module(module), function)
    return make(preset)


def train(
    name: str,
    preset: str,
    out: Path | None = None,
    *,
    steps: int | None = None,
    finish: int | None = None,
    max_minutes: float | None = None,
    resume: bool = True,
    quiet: bool = False,
) -> Path:
    """Train a recipe by name into ``out`` ("runs/NAME-PRESET"); ``steps`` replaces its length.

    Everything else is as in :func:`darkroom.training.loop.train`.
    """
    recipe = find(name, preset)
    if steps is not None:
        recipe = replace(recipe, steps=steps)
    folder = out or Path("runs") / f"{name}-{preset}"
    return train_recipe(recipe, folder, resume=resume, max_minutes=max_minutes, finish=finish, quiet=quiet)

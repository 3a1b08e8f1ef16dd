"""``darkroom train``: what can be trained, by name."""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from darkroom.errors import UnknownName
from darkroom.training.loop import train as train_recipe
from darkroom.training.recipe import Recipe

COURSES = {"starter": "darkroom.training.starter:train_starter"}
"""Trainings of several recipes: a function (preset, out, **options) that returns what it made."""

RECIPES = {
    "autoencoder": "darkroom.training.autoencoder:autoencoder",
    "examiner": "darkroom.evaluation.recipe:examiner",
}
"""Trainings of one recipe: a function (preset) that returns it. All are imported only when asked for."""


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
    """Train by name into ``out`` ("runs/NAME-PRESET"); ``steps`` replaces the length of the (longest) run.

    Returns what was made: a checkpoint, or the starter's file. Everything else is as in
    :func:`darkroom.training.loop.train`. Raises UnknownName, and what is said about the preset.
    """
    folder = out or Path("runs") / f"{name}-{preset}"
    how: dict[str, Any] = {"resume": resume, "max_minutes": max_minutes, "finish": finish, "quiet": quiet}
    if name in COURSES:
        course: Callable[..., Path] = function(COURSES[name])
        return course(preset, folder, steps=steps, **how)
    recipe = find(name, preset)
    return train_recipe(recipe if steps is None else replace(recipe, steps=steps), folder, **how)


def find(name: str, preset: str) -> Recipe:
    """The recipe of that name. Raises UnknownName, and what the recipe's function says about the preset."""
    if name not in RECIPES:
        raise UnknownName("training", name, RECIPES | COURSES)
    make: Callable[[str], Recipe] = function(RECIPES[name])
    return make(preset)


def function(path: str) -> Callable[..., Any]:
    """The function at ``module:name``."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)

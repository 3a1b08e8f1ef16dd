"""``darkroom train``: what can be trained, by name."""

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

from darkroom.errors import DarkroomError, UnknownName
from darkroom.studio.models import locate
from darkroom.training.beginning import begun_with, keep_start
from darkroom.training.loop import train as train_recipe
from darkroom.training.recipe import Recipe

COURSES = {
    "starter": "darkroom.training.starter:train_starter",
    "reward": "darkroom.training.reward:train_reward",
    "lesson": "darkroom.training.lesson:train_lesson",
}
"""Trainings that end with a starter's file: a function (preset, out, **options) that returns what it made."""

RECIPES = {
    "autoencoder": "darkroom.training.autoencoder:autoencoder",
    "examiner": "darkroom.evaluation.recipe:examiner",
    "reader": "darkroom.evaluation.reading:reader",
}
"""Trainings of one recipe: a function (preset, seed) that returns it. All are imported when asked for."""


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
    start: str | None = None,
    seed: int = 0,
    skill: str | None = None,
    thing: str | None = None,
    blend: float | None = None,
) -> Path:
    """Train by name into ``out`` ("runs/NAME-PRESET"); ``steps`` replaces the length of the (longest) run.

    ``start`` names what to begin with, a file or the name of what ships (a starter: "starter", an examiner:
    "examiner" or "tutor"); ``seed`` chooses the pictures and the first weights, ``skill`` what a lesson
    teaches or practice dwells on, ``thing`` what practice shows most, ``blend`` in (0, 1] how much of what
    was learnt the starter takes. Returns what was made: a checkpoint, or the starter's file. Everything else
    is as in :func:`darkroom.training.loop.train`. Raises UnknownName, what is said about the preset, and
    DarkroomError for a ``start``, ``skill``, ``thing`` or ``blend`` that the training cannot use, and for a
    folder that has begun with another ``start``.
    """
    folder = out or Path("runs") / f"{name}-{preset}"
    how: dict[str, Any] = {"resume": resume, "max_minutes": max_minutes, "finish": finish, "quiet": quiet}
    how |= of_courses(name, skill=skill, thing=thing, blend=blend)
    if name in COURSES:
        course: Callable[..., Path] = function(COURSES[name])
        return course(preset, folder, steps=steps, seed=seed, start=start and locate(start), **how)
    file = beginning(name, folder, start)
    recipe = find(name, preset, seed, file)
    keep_start(file, folder)
    return train_recipe(recipe if steps is None else replace(recipe, steps=steps), folder, **how)


def of_courses(
    name: str, *, skill: str | None, thing: str | None, blend: float | None
) -> dict[str, str | float]:
    """What only some courses can be told; DarkroomError for what the training ``name`` cannot."""
    if skill and name not in {"lesson", "reward"}:
        raise DarkroomError(f"{name} has no single skill; leave --skill out, or train a lesson or reward.")
    if thing and name != "reward":
        raise DarkroomError(f"{name} is about no single thing; leave --thing out, or train a reward.")
    if blend and name not in {"lesson", "reward"}:
        raise DarkroomError(f"{name} is not blended; leave --blend out, or train a lesson or reward.")
    told = {"skill": skill, "thing": thing, "blend": blend}
    return {option: value for option, value in told.items() if value}


def find(name: str, preset: str, seed: int = 0, start: Path | None = None) -> Recipe:
    """The recipe of that name; ``start`` is the file of an examiner to begin with. Raises UnknownName, what
    the recipe's function says about the preset, and what `darkroom.evaluation.judge.load` raises.
    """
    from darkroom.evaluation.judge import load

    if name not in RECIPES:
        raise UnknownName("training", name, RECIPES | COURSES)
    make: Callable[..., Recipe] = function(RECIPES[name])
    return make(preset, seed, load(start)) if start else make(preset, seed)


def beginning(name: str, out: Path, start: str | None) -> Path | None:
    """The file that a run of one recipe in ``out`` begins with, or has begun with; None where with nothing.

    Raises DarkroomError where the folder has begun otherwise, and for a ``start`` that cannot be had.
    """
    if name == "examiner":
        return begun_with(out, judge_file(start) if start else None, name, ("checkpoints", "metrics.jsonl"))
    if start and name in RECIPES:
        raise DarkroomError(f"{name} always begins with nothing; leave --from out.")
    return None


def judge_file(start: str) -> Path:
    """The file of the judge ``start``, or of one of those that ship: "examiner" and "tutor".

    Raises DarkroomError where there is none.
    """
    from darkroom.evaluation.judge import SHIPPED, TUTOR

    path = {"examiner": SHIPPED, "tutor": TUTOR}.get(start, Path(start))
    if not path.is_file():
        raise DarkroomError(
            f"there is no examiner at '{start}'; name a file, or 'examiner' or 'tutor', which ship."
        )
    return path


def function(path: str) -> Callable[..., Any]:
    """The function at ``module:name``."""
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)

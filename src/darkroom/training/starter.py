"""The starter from nothing to one file: its autoencoder, then its painter, then the file that ships."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import nn

from darkroom.errors import DarkroomError
from darkroom.families.starter import Painter, Starter, load
from darkroom.networks.autoencoder import Autoencoder
from darkroom.training import checkpoint as checkpoints
from darkroom.training.alignment import AlignedPainter
from darkroom.training.autoencoder import autoencoder
from darkroom.training.beginning import begun_with, keep_start
from darkroom.training.disk import explaining
from darkroom.training.loop import train, weights
from darkroom.training.painter import painter, starter_config
from darkroom.training.pictures import CaptionedPictures
from darkroom.training.presets import preset
from darkroom.training.recipe import Recipe

PARTS = ("painter", "reward", "lesson")
"""What a folder holds of each training that ends with a starter's file; of one alone, or one would go."""


def train_starter(
    name: str,
    out: Path,
    *,
    steps: int | None = None,
    finish: int | None = None,
    max_minutes: float | None = None,
    resume: bool = True,
    quiet: bool = False,
    start: Path | None = None,
    seed: int = 0,
) -> Path:
    """Train a preset's starter in ``out`` and write ``out/starter.safetensors``; returns that file.

    The same call carries on wherever an earlier one stopped. ``steps`` and ``finish`` are about the painter,
    the long part; ``max_minutes`` counts for both together. ``start`` is a starter file to begin with: its
    vocabulary and its autoencoder stay, its painter learns on; another ``seed`` shows it other pictures.

    Raises what :func:`darkroom.training.loop.train` raises, and DarkroomError when the time ends before there
    is a painter to write, and for a ``start`` of other sizes than the preset's.
    """
    started = monotonic()
    if begun := beginning(name, out, start, "painter"):
        first, second = begun.autoencoder, painter(name, begun.autoencoder, begun, steps=steps, seed=seed)
    else:
        first = trained_autoencoder(name, out / "autoencoder", max_minutes, resume, quiet, seed)
        second = painter(name, first, steps=steps, seed=seed)
    keep_start(start, out)
    left = None if max_minutes is None else max(max_minutes - (monotonic() - started) / 60, 0.01)
    train(second, out / "painter", max_minutes=left, finish=finish, resume=resume, quiet=quiet)
    network = cast(AlignedPainter, weights(out / "painter", second)).painter
    tokenizer = cast(CaptionedPictures, second.batch).tokenizer
    config = starter_config(preset(name), tokenizer, history(name, second, out / "painter", begun))
    return export(Starter(config, network, first), out)


def train_on(
    name: str,
    out: Path,
    start: Path | None,
    part: str,
    make: Callable[[Starter], Recipe],
    about: dict[str, str],
    *,
    blend: float = 1.0,
    **how: Any,
) -> Path:
    """Train the painter of a starter on by the recipe that is made of it, in the folder ``part`` of ``out``;
    ``about`` is what the new ``out/starter.safetensors`` says besides its history. Returns that file.

    ``blend`` is how much of the way is taken from the weights that it began with to those that were learnt: a
    part of it often keeps what was known before and most of what is new (Wortsman et al. 2022, arXiv
    2109.01903, equation 1). A run that is over can be blended again.

    The same call carries on; ``how`` is as in :func:`darkroom.training.loop.train`. Raises what it raises,
    and DarkroomError without a ``start`` and for one of other sizes than the preset's.
    """
    begun = beginning(name, out, start, part)
    if begun is None:
        raise DarkroomError("name the starter to begin with by --from, such as: --from starter.")
    recipe, run = make(begun), out / part
    keep_start(start, out)
    train(recipe, run, **how)
    network = weights(run, recipe)
    painter = cast(Painter, network.painter if isinstance(network, AlignedPainter) else network)
    move(painter, begun.painter, 1 - blend)
    told = about if blend == 1 else about | {"blend": f"{blend:g}"}
    config = replace(begun.config, about=history(name, recipe, run, begun) | told)
    return export(Starter(config, painter, begun.autoencoder), out)


def move(network: nn.Module, other: nn.Module, way: float) -> None:
    """Move each weight a part of the ``way`` to that of another network of the same shape."""
    with torch.no_grad():
        for weight, there in zip(network.parameters(), other.parameters(), strict=True):
            weight.lerp_(there, way)


def beginning(name: str, out: Path, start: Path | None, part: str) -> Starter | None:
    """The starter that a run of ``part`` in ``out`` begins with, or has begun with; None where it begins with
    nothing. Raises DarkroomError where the folder is another run's.
    """
    if any((out / other).exists() for other in PARTS if other != part):
        raise DarkroomError(f"'{out}' holds another training; choose another folder with --out.")
    file = begun_with(out, start, "starter", ("autoencoder", part))
    return _fitting(name, file) if file else None


def _fitting(name: str, start: Path) -> Starter:
    """The starter in a file. Raises DarkroomError unless it is of the preset's sizes."""
    try:
        begun = load(start)
    except (SafetensorError, OSError, ValueError) as error:
        raise DarkroomError(f"cannot begin with '{start}': {error}; name a starter's file.") from None
    if begun.config != starter_config(preset(name), begun.tokenizer, begun.config.about):
        raise DarkroomError(f"'{start}' is of other sizes than the preset '{name}'; choose another preset.")
    return begun


def trained_autoencoder(
    name: str, out: Path, max_minutes: float | None, resume: bool, quiet: bool, seed: int
) -> Autoencoder:
    """Train the autoencoder to its end in ``out``."""
    recipe = autoencoder(name, seed)
    train(recipe, out, max_minutes=max_minutes, resume=resume, quiet=quiet)
    if not is_done(recipe, out):
        raise DarkroomError("the time is up before the autoencoder is trained; the same command carries on.")
    return cast(Autoencoder, weights(out, recipe))


def is_done(recipe: Recipe, out: Path) -> bool:
    """Whether the newest checkpoint is the run's last."""
    found, _ = checkpoints.newest(out / "checkpoints")
    return found is not None and found.step >= recipe.steps


def export(trained: Starter, out: Path) -> Path:
    """Write ``out/starter.safetensors``."""
    path = out / "starter.safetensors"
    with explaining(path):
        trained.save(path)
    return path


def history(name: str, recipe: Recipe, run: Path, begun: Starter | None) -> dict[str, str]:
    """What a starter file tells of its training: the command, and how much its parts have seen in all."""
    chosen, before = preset(name), begun.config.about if begun else {}
    found, _ = checkpoints.newest(run / "checkpoints")
    seen = recipe.batch_size * (found.step if found else 0) + int(before.get("pictures", "0"))
    close_ups = chosen.autoencoder_steps * chosen.autoencoder_batch
    return {
        "made by": f"darkroom train starter --preset {name}",
        "pictures": str(seen),
        "decoder close-ups": before.get("decoder close-ups", str(close_ups)),
    }

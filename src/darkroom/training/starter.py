"""The starter from nothing to one file: its autoencoder, then its painter, then the file that ships."""

from pathlib import Path
from time import monotonic
from typing import cast

from darkroom.errors import DarkroomError
from darkroom.families.starter import Starter
from darkroom.networks.autoencoder import Autoencoder
from darkroom.text.tokenizer import Tokenizer
from darkroom.training import checkpoint as checkpoints
from darkroom.training.alignment import AlignedPainter
from darkroom.training.autoencoder import autoencoder
from darkroom.training.disk import explaining
from darkroom.training.loop import train, weights
from darkroom.training.painter import painter, starter_config
from darkroom.training.pictures import CaptionedPictures
from darkroom.training.presets import preset
from darkroom.training.recipe import Recipe


def train_starter(
    name: str,
    out: Path,
    *,
    steps: int | None = None,
    finish: int | None = None,
    max_minutes: float | None = None,
    resume: bool = True,
    quiet: bool = False,
) -> Path:
    """Train a preset's starter in ``out`` and write ``out/starter.safetensors``; returns that file.

    The same call carries on wherever an earlier one stopped. ``steps`` and ``finish`` are about the painter,
    the long part; ``max_minutes`` counts for both together. Raises what :func:`darkroom.training.loop.train`
    raises, and DarkroomError when the time ends before there is a painter to write.
    """
    started = monotonic()
    first = autoencoder(name)
    train(first, out / "autoencoder", max_minutes=max_minutes, resume=resume, quiet=quiet)
    if not is_done(first, out / "autoencoder"):
        raise DarkroomError("the time is up before the autoencoder is trained; the same command carries on.")
    trained = cast(Autoencoder, weights(out / "autoencoder", first))
    second = painter(name, trained, steps=steps)
    left = None if max_minutes is None else max(max_minutes - (monotonic() - started) / 60, 0.01)
    train(second, out / "painter", max_minutes=left, finish=finish, resume=resume, quiet=quiet)
    return export(name, second, trained, out)


def is_done(recipe: Recipe, out: Path) -> bool:
    """Whether the newest checkpoint is the run's last."""
    found, _ = checkpoints.newest(out / "checkpoints")
    return found is not None and found.step >= recipe.steps


def export(name: str, recipe: Recipe, trained: Autoencoder, out: Path) -> Path:
    """Write the averaged painter and its autoencoder as one starter file."""
    batches = cast(CaptionedPictures, recipe.batch)
    config = starter_config(preset(name), Tokenizer(batches.tokenizer.vocabulary, batches.tokenizer.slots))
    network = cast(AlignedPainter, weights(out / "painter", recipe)).painter
    path = out / "starter.safetensors"
    with explaining(path):
        Starter(config, network, trained).save(path)
    return path

"""``darkroom train``: a thin caller of ``darkroom.training``."""

from pathlib import Path

import click


@click.command()
@click.argument("name")
@click.option(
    "--preset",
    type=click.Choice(["cpu", "gpu", "smoke"]),
    default="cpu",
    show_default=True,
    help="How much to train, and on what.",
)
@click.option("--out", type=click.Path(path_type=Path), help="Where the run lies.  [default: runs/NAME-PRESET]")
@click.option("--resume/--fresh", default=True, help="Go on where a run stopped, or start it over.")
def train(name: str, preset: str, out: Path | None, resume: bool) -> None:
    """Train a model of this project, or go on training it.

    A run survives being killed at any moment: start it again with the same words and it goes on, in the same
    numbers as if it had never stopped.

    \b
    Examples:
      darkroom train starter --preset smoke
      darkroom train starter --preset cpu --out runs/starter
    """
    from darkroom.training.command import train

    train(name, preset=preset, out=out or Path("runs") / f"{name}-{preset}", resume=resume)

"""``darkroom train``: a thin caller of ``darkroom.training``."""

from pathlib import Path
from typing import Any

import click


@click.command(short_help="Train a model, or go on training it.")
@click.argument("name")
@click.option(
    "--preset", metavar="cpu|gpu|smoke", default="cpu", show_default=True, help="The size of the run."
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Where the run lies.  [default: runs/NAME-PRESET]"
)
@click.option("--resume/--no-resume", default=True, help="Carry on with the run in --out, or refuse to.")
@click.option("--steps", type=click.IntRange(1), help="Another length than the recipe's.")
@click.option(
    "--max-minutes", type=click.FloatRange(0, min_open=True), help="Stop with a checkpoint by then."
)
@click.option("--finish", type=click.IntRange(1), help="End the run well within this many steps from now.")
@click.option(
    "--from",
    "start",
    metavar="FILE",
    help="Begin with this starter or examiner; 'starter', 'examiner' and 'tutor' are those that ship.",
)
@click.option(
    "--skill", help="What a lesson teaches (by default word), or half of a reward training is about."
)
@click.option(
    "--thing", metavar="KIND", help="A kind of thing, such as apple, that half of a reward training is about."
)
@click.option(
    "--blend",
    type=click.FloatRange(0, 1, min_open=True),
    help="How much of a lesson or reward training to take; the rest is what it began with.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Which pictures it sees."
)
@click.option("--quiet", is_flag=True, help="No progress.")
def train(name: str, preset: str, **settings: Any) -> None:
    """Train a model of this project, or go on training it.

    A run survives being killed at any moment: give the same words again and it goes on, in the same numbers
    as if it had never stopped. Prints where the last checkpoint lies.

    \b
    Examples:
      darkroom train starter --preset smoke
      darkroom train starter --out runs/mine --max-minutes 120
      darkroom train starter --out runs/mine --finish 2000
      darkroom train starter --out runs/more --from starter --seed 1
      darkroom train reward --out runs/tuned --from starter
      darkroom train reward --skill crowd --from starter
      darkroom train reward --skill mixed --thing apple --from starter
      darkroom train reward --skill mixed --thing apple --from starter --blend 0.3
      darkroom train lesson --skill word --from starter
      darkroom train examiner --out runs/sharper --from examiner --seed 1
    """
    from darkroom.training.command import train

    click.echo(train(name, preset, **settings))

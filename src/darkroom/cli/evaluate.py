"""``darkroom evaluate``: a thin caller of ``darkroom.evaluation``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from darkroom.cli.output import json_option


@click.command(short_help="Measure what a model can do.")
@click.argument("name")
@click.option(
    "--out", type=click.Path(path_type=Path), help="A folder for the run.  [default: runs/evaluate-NAME]"
)
@click.option("--skill", "skills", multiple=True, help="Only this skill; may come again.  [default: all]")
@click.option(
    "--prompts", type=click.IntRange(1), default=100, show_default=True, help="Prompts of each skill."
)
@click.option(
    "--pictures", type=click.IntRange(1), default=4, show_default=True, help="Pictures of each prompt."
)
@click.option("--steps", type=int, help="Sampling steps.  [default: the model's]")
@click.option(
    "--cfg-scale", "--cfg", "--guidance-scale", type=float, help="How closely to follow the prompt."
)
@click.option("--sampling-method", "--sampler", "sampler", metavar="NAME", help="One of 'darkroom samplers'.")
@click.option(
    "--precision",
    metavar="float32|bfloat16|int8",
    help="Left out, bfloat16 where the processor has it.",
)
@click.option("--strictly", is_flag=True, help="Two where a prompt says 'a house' are wrong in every skill.")
@json_option
def evaluate(name: str, skills: Sequence[str], **settings: Any) -> None:
    """Measure what a model can do, skill by skill, mostly on what training never shows.

    Prints a table with the examiner's own accuracy beside it, and saves sheets of judged pictures. Eight hard
    prompts have 64 pictures each besides, and are a skill of their own, 'hard'. A run that was stopped goes
    on where it was: give the same words again.

    \b
    Examples:
      darkroom evaluate starter
      darkroom evaluate starter --skill count --skill colour --prompts 20
      darkroom evaluate starter --json > skills.json
    """
    from darkroom.evaluation.command import evaluate

    evaluate(name, skills=skills or None, **settings)

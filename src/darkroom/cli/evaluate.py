"""``darkroom evaluate``: a thin caller of ``darkroom.evaluation``."""

from pathlib import Path

import click

from darkroom.cli.output import json_option


@click.command(short_help="Measure what a model can do.")
@click.argument("name")
@click.option("--out", type=click.Path(path_type=Path), help="Where the sheets of pictures go.")
@json_option
def evaluate(name: str, out: Path | None, as_json: bool) -> None:
    """Measure what a model can do, skill by skill, on prompts held out from its training.

    \b
    Examples:
      darkroom evaluate starter
      darkroom evaluate starter --json > skills.json
    """
    from darkroom.evaluation.command import evaluate

    evaluate(name, out=out, as_json=as_json)

"""From runs to the examiner that ships: ``python -m darkroom.evaluation.ship --eyes runs/examiner-cpu``."""

from pathlib import Path
from typing import cast

import click

from darkroom.data.scenes.chance import philox
from darkroom.data.scenes.graph import Scene
from darkroom.data.scenes.skills import SKILLS, draw
from darkroom.data.scenes.world import World
from darkroom.errors import DarkroomError

from .evaluate import measure_trust
from .examiner import Examiner
from .judge import SHIPPED, Judge, load, save
from .lessons import Lessons, anywhere
from .prompts import skill_prompts
from .reader import Reader

UNSEEN = 1  # the seed of scenes that no examiner trains on


def validation_scenes(world: World, count: int) -> list[Scene]:
    """Scenes to calibrate on: half as in the lessons, half as the world lays them out."""
    lessons = Lessons(anywhere(world), UNSEEN)
    skills = tuple(SKILLS)
    as_laid = [draw(philox(UNSEEN, i), world, skills[i % len(skills)]) for i in range(count - count // 2)]
    return [lessons.scene(i) for i in range(count // 2)] + as_laid


def ship(
    eyes: Path | None,
    reader: Path | None,
    preset: str,
    seed: int = 0,
    path: Path = SHIPPED,
    scenes: int = 3000,
) -> Judge:
    """Write an examiner to ``path``: the averaged weights of a run of the examiner, calibrated, and of one of
    its reader, both of the seed that is told. What has no run stays as it is there, or else as it ships.
    """
    from darkroom.training.loop import weights

    from .calibration import calibrated
    from .reading import reader as reader_recipe
    from .recipe import examiner
    from .recipe import preset as preset_of

    judge = load(path) if path.exists() else load()
    if reader:
        read = cast(Reader, weights(reader, reader_recipe(preset, seed)))
        judge = Judge(judge.network, read, judge.thresholds)
    if eyes:
        judge = Judge(cast(Examiner, weights(eyes, examiner(preset, seed))), judge.reader)
        judge = calibrated(judge, validation_scenes(preset_of(preset).world, scenes))
    save(judge, path)
    return load(path)


@click.command()
@click.option("--eyes", type=click.Path(path_type=Path, exists=True), help="A run of the examiner.")
@click.option("--reader", type=click.Path(path_type=Path, exists=True), help="A run of its reader.")
@click.option("--preset", default="cpu", show_default=True)
@click.option("--seed", default=0, show_default=True, help="The runs'.")
@click.option("--out", type=click.Path(path_type=Path), default=SHIPPED)
@click.option("--scenes", default=200, show_default=True, help="Held-out scenes a skill to measure on.")
def main(eyes: Path | None, reader: Path | None, preset: str, seed: int, out: Path, scenes: int) -> None:
    """Ship what runs have learnt, and say how well it judges true pictures and wrong ones."""
    from .recipe import preset as preset_of

    if not (eyes or reader):
        raise click.UsageError("there is nothing new to ship; name a run with --eyes or --reader.")
    try:
        judge, world = ship(eyes, reader, preset, seed, out), preset_of(preset).world
    except DarkroomError as error:
        raise click.ClickException(str(error)) from None
    for skill in SKILLS:
        told = [prompt.scene for prompt in skill_prompts(world, skill, scenes, 1) if prompt.scene]
        trust = measure_trust(told, world, judge)
        click.echo(
            f"{skill:12} true {trust.right / trust.scenes:7.2%}   wrong {trust.caught / trust.scenes:7.2%}"
        )


if __name__ == "__main__":
    main()

"""From a run to the examiner that ships: ``python -m darkroom.evaluation.ship runs/examiner-cpu``."""

from pathlib import Path

import click

from darkroom.data.scenes.chance import philox
from darkroom.data.scenes.graph import Scene
from darkroom.data.scenes.skills import SKILLS, draw
from darkroom.data.scenes.world import World

from .evaluate import measure_trust
from .judge import SHIPPED, Judge, load, save
from .lessons import Lessons, anywhere
from .prompts import held_out_prompts

UNSEEN = 1  # the seed of scenes that no examiner trains on


def validation_scenes(world: World, count: int) -> list[Scene]:
    """Scenes to calibrate on: half as in the lessons, half as the world lays them out."""
    lessons = Lessons(anywhere(world), UNSEEN)
    skills = tuple(SKILLS)
    as_laid = [draw(philox(UNSEEN, i), world, skills[i % len(skills)]) for i in range(count - count // 2)]
    return [lessons.scene(i) for i in range(count // 2)] + as_laid


def ship(run: Path, preset: str, seed: int = 0, path: Path = SHIPPED, scenes: int = 3000) -> Judge:
    """Take the averaged weights of a run, whose seed is told, calibrate them and write them to ``path``."""
    from darkroom.training.loop import weights

    from .calibration import calibrated
    from .recipe import examiner
    from .recipe import preset as preset_of

    judge = Judge(weights(run, examiner(preset, seed)))  # type: ignore[arg-type]
    save(calibrated(judge, validation_scenes(preset_of(preset).world, scenes)), path)
    return load(path)


@click.command()
@click.argument("run", type=click.Path(path_type=Path, exists=True))
@click.option("--preset", default="cpu", show_default=True)
@click.option("--seed", default=0, show_default=True, help="The run's.")
@click.option("--out", type=click.Path(path_type=Path), default=SHIPPED)
@click.option("--scenes", default=200, show_default=True, help="Held-out scenes a skill to measure on.")
def main(run: Path, preset: str, seed: int, out: Path, scenes: int) -> None:
    """Ship a run's examiner, and say how well it judges true pictures and wrong ones."""
    from .recipe import preset as preset_of

    judge, world = ship(run, preset, seed, out), preset_of(preset).world
    for skill in SKILLS:
        told = [prompt.scene for prompt in held_out_prompts(world, skill, scenes, 1) if prompt.scene]
        trust = measure_trust(told, world, judge)
        click.echo(
            f"{skill:12} true {trust.right / trust.scenes:7.2%}   wrong {trust.caught / trust.scenes:7.2%}"
        )


if __name__ == "__main__":
    main()

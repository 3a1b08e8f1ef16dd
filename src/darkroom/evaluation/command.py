"""``darkroom evaluate``: a model by name, measured, shown and saved."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from darkroom import __version__
from darkroom.data.scenes.skills import SKILLS
from darkroom.data.scenes.world import World, full_world, small_world
from darkroom.disk import whole
from darkroom.errors import UnknownName
from darkroom.studio.digests import file_digest
from darkroom.studio.home import name_of
from darkroom.studio.placement.precision import default_precision

from .evaluate import SHOWN, Generator, Plan, run
from .journal import Journal, explaining
from .judge import SHIPPED, Judge, load
from .prompts import HARD_PICTURES, HARD_SKILL
from .scores import Report, report


def evaluate(
    name: str = "starter",
    *,
    out: Path | None = None,
    as_json: bool = False,
    prompts: int = 100,
    pictures: int = 4,
    skills: Sequence[str] | None = None,
    steps: int | None = None,
    cfg_scale: float | None = None,
    sampler: str | None = None,
    precision: str | None = None,
    strictly: bool = False,
    examiner: Path = SHIPPED,
) -> Report:
    """Measure a model: print the table (or JSON), and leave it with sheets of judged pictures in ``out``.

    ``out`` (see `default_folder`) keeps every verdict, so that the same call goes on where a stopped one was.
    What is None is left to model and machine; ``strictly`` is as in `Plan`. Raises DarkroomError for unknown
    names and another's folder.
    """
    judge = load(examiner)
    plan = replace(_plan(world_of(judge), _known(skills), prompts, pictures), strictly=strictly)
    chosen = {
        "steps": steps,
        "cfg_scale": cfg_scale,
        "sampler": sampler,
        "precision": precision or default_precision(),
    }
    generate, settings = studio(name, chosen)
    settings |= {"examiner": file_digest(examiner), "strictly": strictly, "version": __version__}
    journal = Journal(out or default_folder(name), settings)
    with _progress(plan.total) as advance:
        run(plan, generate, judge, journal, advance)
    found = report(name, plan, journal)
    save(found, plan, journal)
    _print(found, as_json)
    return found


def default_folder(name: str) -> Path:
    """Where a model's evaluation lies: ``runs/evaluate-NAME``, with the folders of a path in the name.

    A file of the current folder keeps its ending, as it is not the model whose name it would have.
    """
    path = Path(name)
    folders = [part for part in path.parent.parts if part != path.anchor]
    return Path("runs") / "-".join(["evaluate", *folders, name_of(path) if folders else path.name])


def world_of(judge: Judge) -> World:
    """The world whose every kind the examiner knows: the whole one, or the small one."""
    return full_world() if set(full_world().kinds) <= set(judge.config.kinds) else small_world()


def _plan(world: World, skills: Sequence[str], prompts: int, pictures: int) -> Plan:
    hard = HARD_PICTURES if HARD_SKILL in skills else 0
    return Plan(world, tuple(skill for skill in skills if skill != HARD_SKILL), prompts, pictures, hard)


def _known(skills: Sequence[str] | None) -> tuple[str, ...]:
    """The skills to be measured, each once: all, and the hard prompts as one more, unless some are named."""
    every = (*SKILLS, HARD_SKILL)
    for skill in skills or ():
        if skill not in every:
            raise UnknownName("skill", skill, every)
    return tuple(dict.fromkeys(skills or every))


def studio(name: str, chosen: dict[str, Any]) -> tuple[Generator, dict[str, Any]]:
    """A model of the studio as a generator, and all that its pictures depend on, the hash of its weights too.

    Raises DarkroomError for what cannot be had.
    """
    from darkroom.studio.develop import develop_many, fill
    from darkroom.studio.models import load_model
    from darkroom.studio.request import Request

    def generate(prompts: Sequence[str], seeds: Sequence[int]) -> list[np.ndarray]:
        asked = [Request(prompt=p, seed=s, model=name, **chosen) for p, s in zip(prompts, seeds, strict=True)]
        return [result.images[0] for result in develop_many(asked)]

    found = load_model(name)
    filled = fill(Request(prompt="a red apple", model=name, **chosen), found.model)
    told = {part: getattr(filled, part) for part in ("scheduler", *chosen)}
    return generate, {"model": name, "sha256": found.digest, **told}


def save(found: Report, plan: Plan, journal: Journal) -> None:
    """Write report.json, skills.md and a sheet for each skill beside the journal."""
    from .sheet import sheet
    from .table import markdown

    texts = {"report.json": json.dumps(found.to_json(), indent=2) + "\n", "skills.md": markdown(found)}
    sheets = {skill: (plan.of(skill)[:SHOWN], plan.pictures) for skill in plan.skills}
    sheets |= {HARD_SKILL: (plan.hard(), 16)} if plan.hard_pictures else {}
    for name, text in texts.items():
        with explaining(path := journal.folder / name), whole(path) as file:
            file.write(text.encode())
    for name, (prompts, columns) in sheets.items():
        drawn = sheet(prompts, journal, columns=columns)
        with explaining(path := journal.folder / f"{name}.png"), whole(path) as file:
            drawn.save(file, "PNG")


def _print(found: Report, as_json: bool) -> None:
    from rich.console import Console

    from .table import table

    if as_json:
        print(json.dumps(found.to_json(), indent=2, ensure_ascii=False))
    else:
        Console().print(table(found))


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """A bar on standard error, where there is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = TextColumn("pictures"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("pictures", total=total)
        yield lambda done: progress.advance(task, done)

"""Evaluations: a perfect generator scores 1, a bad one 0, and a stopped one goes on where it was."""

import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from scipy.stats import binomtest

from darkroom.data.scenes.chance import philox
from darkroom.data.scenes.graph import Scene
from darkroom.data.scenes.heldout import is_held_out
from darkroom.data.scenes.render import render
from darkroom.data.scenes.world import small_world
from darkroom.errors import DarkroomError
from darkroom.evaluation.breaks import broken
from darkroom.evaluation.command import save
from darkroom.evaluation.evaluate import Plan, measure_trust, run
from darkroom.evaluation.findings import Findings, truth
from darkroom.evaluation.journal import Journal
from darkroom.evaluation.prompts import skill_prompts
from darkroom.evaluation.requirements import Spelled
from darkroom.evaluation.scores import report, wilson
from darkroom.evaluation.table import COLUMNS, markdown, table
from darkroom.evaluation.told import hard

WORLD = small_world()
PLAN = Plan(WORLD, ("count", "word"), prompts=6, pictures=2, hard_pictures=1, batch=5)
SETTINGS = {"model": "painter"}


class Studio:
    """A generator that paints the scenes of its prompts, and an examiner that knows what it painted."""

    def __init__(self, faults: bool = False) -> None:
        self.scenes = {p.text: p.scene for skill in PLAN.skills for p in PLAN.of(skill)}
        self.faults, self.asked = faults, 0
        self.painted: dict[bytes, Scene] = {}

    def generate(self, prompts: list[str], seeds: list[int]) -> list[np.ndarray]:
        self.asked += len(prompts)
        return [self._paint(prompt, seed) for prompt, seed in zip(prompts, seeds, strict=True)]

    def _paint(self, prompt: str, seed: int) -> np.ndarray:
        scene = self.scenes.get(prompt) or Scene(())  # nothing at all for the hard ones
        if self.faults and scene.things:
            scene = broken(scene, WORLD, philox(1, seed))
        return self._remember(scene)

    def _remember(self, scene: Scene) -> np.ndarray:
        picture = render(scene)
        self.painted[picture.tobytes()] = scene
        return picture

    def look(self, pictures: np.ndarray) -> list[Findings]:
        return [truth(self.painted[picture.tobytes()]) for picture in pictures]

    def with_trust(self) -> "Studio":
        """Also know the pictures on which the examiner itself is measured."""
        for skill in PLAN.skills:
            for i, prompt in enumerate(PLAN.of(skill)):
                assert prompt.scene
                self._remember(prompt.scene)
                self._remember(broken(prompt.scene, WORLD, philox(2026, i, 4)))
        return self


def evaluated(folder, studio: Studio):
    journal = Journal(folder, SETTINGS)
    run(PLAN, studio.generate, studio.with_trust(), journal)
    return report("painter", PLAN, journal), journal


def test_a_perfect_generator_is_always_right_and_nothing_painted_is_never(tmp_path):
    found, _ = evaluated(tmp_path, Studio())
    assert [(s.name, s.prompts, s.pictures, s.share) for s in found.skills] == [
        ("count", 6, 12, 1.0),
        ("word", 6, 12, 1.0),
    ]
    assert found.overall == 1.0
    assert len(found.hard) == 8 and all(score.right == 0 and score.pictures == 1 for score in found.hard)
    assert all(s.trust and (s.trust.right, s.trust.caught) == (6, 6) for s in found.skills)


def test_a_generator_of_broken_pictures_is_never_right(tmp_path):
    found, journal = evaluated(tmp_path, Studio(faults=True))
    assert found.overall == 0
    assert all(v.reasons for v in journal.verdicts.values())


def test_what_training_never_shows_is_counted_apart(tmp_path):
    class Rote(Studio):
        """Paints what training may show, and nothing else."""

        def __init__(self) -> None:
            super().__init__()
            held = {p.text for skill in PLAN.skills for p in PLAN.of(skill) if p.held_out}
            self.scenes = {text: scene for text, scene in self.scenes.items() if text not in held}

    found, _ = evaluated(tmp_path, Rote())
    for score in found.skills:
        held = sum(prompt.held_out for prompt in PLAN.of(score.name))
        assert score.held_out and 0 < score.held_out.prompts == held
        assert score.held_out.right == 0 and score.right == 2 * (6 - held)
        assert score.to_json()["skill_prompts"] == held and score.to_json()["held_out_score"] == 0
        assert f"| 6 ({held}) | 12 |" in markdown(found) and "(0.0%)" in markdown(found)
    assert any(score.right for score in found.skills)


def test_an_examiner_that_sees_only_what_it_hopes_for_is_shown_up():
    scenes = [prompt.scene for prompt in skill_prompts(WORLD, "count", 4, 1) if prompt.scene]

    class Yes:
        calls = 0

        def look(self, pictures):
            return [truth(scene) for scene in scenes]

    trust = measure_trust(scenes, WORLD, Yes())
    assert (trust.right, trust.caught) == (4, 0)


def test_a_stopped_evaluation_goes_on_where_it_was(tmp_path):
    class Stop(Exception):
        pass

    stopping, whole = Studio().with_trust(), Studio()
    journal = Journal(tmp_path, SETTINGS)

    def stops(prompts, seeds):
        if stopping.asked >= 10:
            raise Stop
        return stopping.generate(prompts, seeds)

    with pytest.raises(Stop):
        run(PLAN, stops, stopping, journal)
    assert len(journal.verdicts) == 10
    with journal.path.open("a") as file:
        file.write('{"skill": "count", "pro')  # the line that a kill cut short
    found, _ = evaluated(tmp_path, whole)
    assert whole.asked == PLAN.total - 10
    assert found.overall == 1.0 and sum(s.pictures for s in found.skills) == 24
    assert all(json.loads(line) for line in journal.path.read_text().splitlines())


def test_verdicts_of_other_prompts_are_not_counted(tmp_path):
    """As after an upgrade by which a prompt of the same number asks for something else."""

    class Older(Plan):
        def of(self, skill):
            first, *others = super().of(skill)
            return [replace(first, requirements=(Spelled("OLD"),)) if skill == "count" else first, *others]

    studio, journal = Studio(), Journal(tmp_path, SETTINGS)
    older = Older(WORLD, PLAN.skills, PLAN.prompts, PLAN.pictures, PLAN.hard_pictures)
    run(older, studio.generate, studio.with_trust(), journal)
    assert report("painter", older, journal).skills[0].right == 10
    again = Studio()
    found, journal = evaluated(tmp_path, again)
    assert again.asked == 2 and found.skills[0].right == 12
    trusted = [line["skill"] for line in map(json.loads, journal.path.open()) if "trust" in line]
    assert trusted == ["count", "word", "count"]


def test_strictly_is_asked_of_the_hard_prompts_too():
    strict = replace(PLAN, strictly=True).hard()
    assert [list(prompt.requirements) for prompt in strict] == [*hard(strictly=True).values()]
    assert sum(one != other for one, other in zip(strict, PLAN.hard(), strict=True)) == 5


def test_a_folder_of_another_evaluation_is_left_alone(tmp_path):
    Journal(tmp_path, SETTINGS | {"steps": 16})
    with pytest.raises(DarkroomError, match=r"an evaluation with steps 16, not 8; choose.*--out"):
        Journal(tmp_path, SETTINGS | {"steps": 8})
    with pytest.raises(DarkroomError, match=r"with model painter, not another; choose.*--out"):
        Journal(tmp_path, {"model": "another", "steps": 8})


@pytest.mark.parametrize("text", ["my notes", "my notes\n", '{"settings": {}}\n{garbage\n'])
def test_a_file_that_is_no_journal_is_left_alone(tmp_path, text):
    (tmp_path / "results.jsonl").write_text(text)
    with pytest.raises(DarkroomError, match="not of an evaluation"):
        Journal(tmp_path, SETTINGS)
    assert (tmp_path / "results.jsonl").read_text() == text


@pytest.mark.parametrize("text", ["", '{"sett', '{"settings": {"mod'])
def test_a_journal_that_a_kill_cut_short_at_its_beginning_begins_again(tmp_path, text):
    (tmp_path / "results.jsonl").write_text(text)
    Journal(tmp_path, SETTINGS)
    assert json.loads((tmp_path / "results.jsonl").read_text()) == {"settings": SETTINGS}


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DarkroomError, match="--out"):
        Journal(tmp_path / "file" / "run", SETTINGS)


def test_the_examiner_is_measured_again_where_there_are_more_prompts(tmp_path):
    plan = replace(PLAN, prompts=3)
    studio = Studio()
    run(plan, studio.generate, studio.with_trust(), Journal(tmp_path, SETTINGS))
    found, _ = evaluated(tmp_path, studio)
    assert [s.trust.scenes for s in found.skills if s.trust] == [6, 6]


def test_prompts_are_fixed_held_out_and_grow_without_changing():
    few, many = (skill_prompts(WORLD, "two", n, 4) for n in (3, 6))
    assert many[:3] == few
    assert all(prompt.scene and is_held_out(prompt.scene) for prompt in few[::2])
    assert len({prompt.text for prompt in many}) == 6
    assert len({seed for prompt in many for seed in prompt.seeds}) == 24


@pytest.mark.parametrize(("right", "of"), [(0, 10), (3, 7), (10, 10), (399, 400)])
def test_intervals_are_wilsons(right, of):
    reference = binomtest(right, of).proportion_ci(0.95, "wilson")
    assert wilson(right, of) == pytest.approx((reference.low, reference.high), abs=1e-6)


def test_what_is_left_behind_can_be_read(tmp_path):
    found, journal = evaluated(tmp_path, Studio())
    save(found, PLAN, journal)
    facts = json.loads((tmp_path / "report.json").read_text())
    assert facts["overall"] == 1.0 and facts["skills"][0]["examiner_on_wrong_pictures"] == 1.0
    lines = markdown(found).splitlines()
    assert len(lines) == 2 + 2 + 1 + 8 and all(line.count("|") == len(COLUMNS) + 1 for line in lines)
    assert table(found).row_count == 11
    for name in ("count", "word", "hard"):
        with Image.open(tmp_path / f"{name}.png") as sheet:
            assert sheet.width > 200

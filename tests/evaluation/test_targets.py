"""What the examiner is taught and what is read from it invert each other."""

from collections.abc import Sequence

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from darkroom.data.scenes.graph import Box
from darkroom.data.scenes.world import small_world
from darkroom.evaluation.decoding import decode, peaks, single
from darkroom.evaluation.examiner import CELLS, ExaminerConfig, Spots
from darkroom.evaluation.findings import Finding, Findings, truth
from darkroom.evaluation.lessons import Lessons, anywhere
from darkroom.evaluation.recipe import config_of
from darkroom.evaluation.targets import (
    Things,
    boxes_at,
    boxes_from,
    bumps,
    heat_loss,
    nearby,
    rows_of,
    things_of,
)

WORLD = anywhere(small_world())
CONFIG = config_of(WORLD)


class Oracle:
    """Answers as a perfect examiner would: what of that kind is nearest to the spot."""

    def __init__(self, config: ExaminerConfig, things: Things) -> None:
        self.config, self.things = config, things

    def __call__(self, spots: Spots) -> tuple[torch.Tensor, torch.Tensor]:
        where = torch.stack([spots.column, spots.row], dim=1) + 0.5
        far = torch.cdist(where, self.things.centre)
        others = (spots.picture[:, None] != self.things.picture) | (spots.kind[:, None] != self.things.kind)
        nearest = far.masked_fill(others, 1e9).argmin(1)
        meant = Things(*(part[nearest] for part in self.things))
        colours = F.one_hot(meant.colour, len(self.config.colours) + 1).float()
        return boxes_at(spots, meant), colours


def there_and_back(pictures: list[Findings]) -> list[list[Finding]]:
    things = things_of(torch.from_numpy(rows_of(CONFIG, pictures)))
    heat = bumps(things, len(pictures), len(CONFIG.kinds))
    return decode(CONFIG, heat, Oracle(CONFIG, things), [0.3] * len(CONFIG.kinds))


def same(some: Sequence[Finding], others: Sequence[Finding]) -> bool:
    """Whether each of some is one of the others, and there are no more."""
    return len(some) == len(others) and all(sum(alike(a, b) for b in others) == 1 for a in some)


def alike(a: Finding, b: Finding) -> bool:
    off = max(abs(x - y) for x, y in zip(a.box, b.box, strict=True))
    return (a.kind, a.colour) == (b.kind, b.colour) and off < 1e-4


def test_everything_in_true_pictures_comes_back_from_its_targets():
    pictures = [truth(Lessons(WORLD, 5).scene(i)) for i in range(60)]
    for seen, back in zip(pictures, there_and_back(pictures), strict=True):
        assert same(seen.things, back)


@settings(max_examples=60, deadline=None)
@given(
    st.floats(0.02, 0.98), st.floats(0.02, 0.98), st.floats(0.08, 0.6), st.integers(-1, 1), st.integers(-1, 1)
)
def test_a_box_comes_back_from_any_cell_next_to_its_centre(x, y, side, right, down):
    seen = Findings((Finding("cat", Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2), "red"),))
    things = things_of(torch.from_numpy(rows_of(CONFIG, [seen])))
    spots = nearby(things, torch.tensor([[right, down]]))
    back = boxes_from(spots, boxes_at(spots, things))[0]
    assert torch.allclose(back, torch.tensor(seen.things[0].box), atol=1e-5)


def test_neighbours_of_a_kind_stay_two():
    pair = [Finding("cat", Box(x, 0.4, x + 0.18, 0.58), "red") for x in (0.2, 0.40)]
    [back] = there_and_back([Findings(tuple(pair))])
    assert same(pair, back)


def test_a_kind_that_the_examiner_does_not_know_is_left_out():
    config = ExaminerConfig(("cat",), ("red",), ("white",), ("day",))
    seen = Findings((Finding("dog", Box(0, 0, 0.5, 0.5)), Finding("cat", Box(0, 0, 0.5, 0.5), "blue")))
    rows = rows_of(config, [seen])
    assert rows.shape == (1, 7) and rows[0, 2] == 1, "one cat, of no colour that it knows"


def test_a_peak_is_found_once_and_faint_ones_not_at_all():
    heat = torch.zeros(1, 2, CELLS, CELLS)
    heat[0, 1, 4, 6], heat[0, 1, 4, 7], heat[0, 0, 20, 20] = 0.9, 0.6, 0.05
    spots, scores = peaks(heat)
    assert [part.tolist() for part in spots] == [[0], [1], [4], [6]] and abs(scores.item() - 0.9) < 1e-6


def test_of_two_names_for_one_thing_the_surer_stays_but_glasses_stay_on_their_face():
    face = Box(0.3, 0.3, 0.6, 0.6)
    man, boy = Finding("man", face, score=0.9), Finding("boy", face, score=0.4)
    glasses = Finding("sunglasses", face, score=0.3)
    assert single([boy, glasses, man]) == [man, glasses]


def test_the_loss_of_heat_falls_as_answers_come_near_and_spares_the_cells_beside_a_centre():
    things = things_of(torch.from_numpy(rows_of(CONFIG, [truth(Lessons(WORLD, 5).scene(0))])))
    heat = bumps(things, 1, len(CONFIG.kinds))
    good = torch.logit(heat.clamp(1e-4, 1 - 1e-4))
    assert heat_loss(good, heat) < 0.2 < heat_loss(torch.zeros_like(heat), heat)
    beside, far = good.clone(), good.clone()
    kind, (x, y) = things.kind[0], things.centre[0].floor().long().tolist()
    beside[0, kind, y, min(x + 1, CELLS - 1)], far[0, kind, (y + 16) % CELLS, (x + 16) % CELLS] = 2.0, 2.0
    assert heat_loss(beside, heat) < heat_loss(far, heat)


def test_lessons_are_a_function_of_their_number_and_know_every_kind():
    lessons = Lessons(WORLD, 7)
    assert lessons.scene(3) == Lessons(WORLD, 7).scene(3) != lessons.scene(4)
    kinds = {f.kind for i in range(500) for f in truth(lessons.scene(i)).things}
    assert kinds == set(WORLD.kinds)

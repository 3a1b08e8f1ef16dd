"""Guides from prompts, on a network that answers with the words it is told."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from darkroom.diffusion.grids import GRIDS
from darkroom.diffusion.levels import Flow
from darkroom.errors import DarkroomError
from darkroom.networks.conditioning import Conditioning
from darkroom.studio.hung import Told
from darkroom.studio.prompts import SLACK, guide_of, with_named_loras
from darkroom.studio.request import Request

STEPS = 8
GRID = GRIDS["trailing"](Flow(2.0), STEPS)
WORDS = ("", "cat", "dog", "bird")


def encode(text: str, wanted: bool) -> Conditioning:
    return Conditioning(pooled=torch.tensor([[float(WORDS.index(text.strip()))]]))


def asked(request: Request, finish=None) -> list[list[str]]:
    """The words that are asked at each step, the wanted ones first."""
    guide = guide_of(request, encode, GRID, finish or Told())
    told = []
    for t, _ in GRID.steps():
        queries = next(guide(torch.zeros(1, 1), t))
        told.append([WORDS[int(query.cond.pooled)] for query in queries])
    return told


def of(prompt: str, **settings) -> Request:
    return Request(prompt=prompt, cfg_scale=3.0, steps=STEPS, **settings)


def test_words_change_after_their_share_of_the_steps_and_take_turns():
    assert asked(of("[cat:dog:0.25]")) == [["cat", ""]] * 2 + [["dog", ""]] * 6
    assert asked(of("[cat|dog]")) == [["cat", ""], ["dog", ""]] * 4
    assert asked(of("cat", negative="[dog:bird:3]")) == [["cat", "dog"]] * 3 + [["cat", "bird"]] * 5
    assert asked(of("cat")) == [["cat", ""]] * 8


def test_prompts_joined_by_and_add_up_with_their_weights():
    guiding = guide_of(of("cat AND dog:0.5"), encode, GRID, Told())(torch.zeros(1, 1), GRID.start)
    queries = next(guiding)
    with pytest.raises(StopIteration) as stop:
        guiding.send([query.cond.pooled for query in queries])  # negative 0, cat 1, dog 2
    assert stop.value.value.item() == pytest.approx(3.0 * (1.0 + 0.5 * 2.0))
    with pytest.raises(DarkroomError, match="AND"):
        asked(of("cat", negative="cat AND dog"))


def test_what_hangs_on_a_model_acts_between_its_shares_of_the_steps():
    class Late(Told):
        def __call__(self, cond, first, end, wanted):
            return encode("bird", wanted) if first >= 0.5 and wanted else cond

    assert asked(of("cat"), Late(breaks=(0.5,))) == [["cat", ""]] * 4 + [["bird", ""]] * 4


@given(st.integers(1, 12), st.integers(0, 99), st.integers(1, 100))
def test_a_control_acts_in_the_steps_that_lie_whole_within_its_shares(steps, start, end):
    """As diffusers has it: not(i / steps < start or (i + 1) / steps > end)."""
    start, end = start / 100, max(start + 1, end) / 100

    class Acting(Told):
        def __call__(self, cond, first, until, wanted):
            acts = start <= first + SLACK and until - SLACK <= end
            return encode("bird" if acts else "cat", wanted)

    grid = GRIDS["trailing"](Flow(2.0), steps)
    guide = guide_of(
        Request(prompt="cat", cfg_scale=1.0, steps=steps), encode, grid, Acting(breaks=(start, end))
    )
    for i, (t, _) in enumerate(grid.steps()):
        (query, *_) = next(guide(torch.zeros(1, 1), t))
        acts = not (i / steps < start or (i + 1) / steps > end)
        assert WORDS[int(query.cond.pooled)] == ("bird" if acts else "cat")


def test_loras_in_a_prompt_are_attached_by_their_name(tmp_path, monkeypatch):
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))
    (tmp_path / "loras").mkdir()
    file = tmp_path / "loras" / "ink.safetensors"
    file.touch()
    made = with_named_loras(of("a cat <lora:ink:0.5>"))
    assert made.prompt.strip() == "a cat" and made.attached.loras[0].file == file
    assert made.attached.loras[0].weight == 0.5
    assert with_named_loras(made) == made
    for prompt, message in (("<lora:inc:1> cat", "did you mean 'ink'"), ("<hypernet:x:1> cat", "hypernet")):
        with pytest.raises(DarkroomError, match=message):
            with_named_loras(replace(made, prompt=prompt))

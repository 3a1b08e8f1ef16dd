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
MIDDLE = [False, True, False]
WORDS = ("", "cat", "dog", "bird")


def encode(text: str, wanted: bool) -> Conditioning:
    return Conditioning(pooled=torch.tensor([[float(WORDS.index(text.strip()))]]))


def asked(request: Request, finish=None) -> list[list[str]]:
    """The words that are asked at each step, the wanted ones first; "blind" before them where they are."""
    guide = guide_of(request, encode, GRID, finish or Told(), MIDDLE)
    told = []
    for t, _ in GRID.steps():
        queries = next(guide(torch.zeros(1, 1), t))
        told.append([word(query.cond) for query in queries])
    return told


def word(cond: Conditioning) -> str:
    if cond.perturb is None:
        return WORDS[int(cond.pooled)]
    assert cond.perturb.tolist() == [MIDDLE]
    return f"blind {WORDS[int(cond.pooled)]}"


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


def test_in_comfys_dialect_the_networks_weight_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("DARKROOM_HOME", str(tmp_path))
    (tmp_path / "loras").mkdir()
    (tmp_path / "loras" / "ink.safetensors").touch()
    for emphasis, network, words in (("a1111", 1.0, 0.5), ("comfy", 0.5, 1.0)):
        (lora,) = with_named_loras(replace(of("a <lora:ink:0.5:1>"), emphasis=emphasis)).attached.loras
        assert (lora.weight, lora.text_weight) == (network, words)


def answered(request: Request, step: int) -> float:
    """What the guide makes at a step of answers that are the number of the word, halved where it is blind."""
    guiding = guide_of(request, encode, GRID, Told(), MIDDLE)(torch.zeros(1, 1), GRID.levels.rows(step))
    queries = next(guiding)
    with pytest.raises(StopIteration) as stop:
        guiding.send([q.cond.pooled / (1 if q.cond.perturb is None else 2) for q in queries])
    return stop.value.value.item()


def test_guidance_acts_within_its_interval_alone():
    """Noise / signal along this grid: infinite, 14, 6, 3.3, 2, 1.2, 0.67, 0.29."""
    inside = [["cat", ""]]
    assert asked(of("cat", cfg_interval=(1.0, 7.0))) == [["cat"]] * 2 + inside * 4 + [["cat"]] * 2
    assert answered(of("dog", cfg_interval=(1.0, 7.0)), 3) == 3.0 * 2
    told = asked(of("cat AND dog", cfg_interval=(1.0, 7.0)))
    assert told == [["", "cat", "dog"]] * 8


def test_perturbed_attention_asks_once_more_and_without_guidance_in_place_of_the_negative():
    assert asked(of("dog", pag_scale=2.0)) == [["dog", "", "blind dog"]] * 8
    assert answered(of("dog", pag_scale=2.0), 3) == pytest.approx(3.0 * 2 + 2.0 * (2 - 1))
    alone = replace(of("dog", pag_scale=2.0), cfg_scale=1.0)
    assert asked(alone) == [["dog", "blind dog"]] * 8
    assert answered(alone, 3) == pytest.approx(2 + 2.0 * (2 - 1))


def test_the_guide_that_is_named_guides():
    step = GRID.levels.sigma / GRID.levels.alpha
    by_step = 0.5 / (1 - step[4] / step[3])
    assert answered(replace(of("dog"), guide="cfg_pp", cfg_scale=0.5), 3) == pytest.approx(2 * by_step.item())
    assert answered(of("dog", guide="apg"), 3) == pytest.approx(2.0), "all of it lies along the answer"
    assert answered(of("dog", guide="cfg_zero", negative="cat"), 3) == pytest.approx(2.0), "and so here"


@pytest.mark.parametrize("other", [{"guide": "apg"}, {"cfg_rescale": 0.3}, {"pag_scale": 2.0}])
def test_prompts_joined_by_and_go_with_plain_guidance(other):
    with pytest.raises(DarkroomError, match="joined by AND"):
        asked(of("cat AND dog", **other))


@pytest.mark.parametrize("emphasis", ["a1111", "plain", "none"])
def test_words_change_on_the_way_in_every_dialect_but_comfys(emphasis):
    assert asked(of("[cat:dog:0.25]", emphasis=emphasis)) == [["cat", ""]] * 2 + [["dog", ""]] * 6


def test_in_comfys_dialect_no_words_change_and_none_are_joined():
    read = []

    def reading(text: str, wanted: bool) -> Conditioning:
        read.append(text)
        return encode("", wanted)

    for words in ("[cat|dog]", "a cat AND a dog:0.5"):
        guide_of(of(words, negative="[cat:dog:0.5]", emphasis="comfy"), reading, GRID, Told())
        assert read == [words, "[cat:dog:0.5]"]
        read.clear()


def test_a_tag_in_a_negative_prompt_is_refused_in_a_sentence():
    with pytest.raises(DarkroomError, match=r"<lora:ink:0\.8>.*negative prompt; take it out"):
        with_named_loras(of("cat", negative="blurry <lora:ink:0.8>"))

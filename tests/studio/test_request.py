"""Requests: what can be asked, and how a refusal reads."""

import sys
from pathlib import Path
from subprocess import run

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from darkroom.errors import DarkroomError, InvalidRequest, UnknownName
from darkroom.studio.request import MAX_PROMPT, MAX_SEED, Picture, Record, Request, Result

WRONG = [
    ({"prompt": ""}, "empty"),
    ({"prompt": " \n\t "}, "empty"),
    ({"prompt": "word " * 10_000}, f"shorten it to {MAX_PROMPT:,}"),
    ({"prompt": 3}, "must be text, not int"),
    ({"prompt": "caf\udce9"}, "not UTF-8 at character 3"),
    ({"negative": "x" * (MAX_PROMPT + 1)}, "negative prompt"),
    ({"model": None}, "the model None is no name"),
    ({"seed": -1}, "leave it out for a random one"),
    ({"seed": MAX_SEED + 1}, "seed"),
    ({"seed": MAX_SEED, "count": 2}, "seed"),
    ({"seed": 1.5}, "whole number"),
    ({"count": 0}, "from 1 to"),
    ({"width": 0}, "width 0"),
    ({"height": 10**9}, "height 1000000000"),
    ({"steps": 0}, "steps 0"),
    ({"steps": 10**6}, "steps 1000000"),
    ({"steps": True}, "steps True"),
    ({"cfg_scale": float("nan")}, "cfg scale nan"),
    ({"cfg_scale": float("inf")}, "cfg scale inf"),
    ({"cfg_scale": "7"}, "cfg scale '7'"),
    ({"strength": 1.5}, "strength 1.5"),
    ({"strength": 0}, "strength 0"),
    ({"noise": "torch_gpu"}, "did you mean 'torch-gpu'?"),
    ({"variation_strength": 0.2}, "both its seed and a strength"),
    ({"variation_seed": 4}, "both its seed and a strength"),
    ({"variation_seed": 4, "variation_strength": 1.2}, "variation strength 1.2"),
    ({"seed_size": (64, 0)}, "seed height 0"),
    ({"guide": "cgf"}, "did you mean 'cfg'?"),
    ({"guide": "cfg_pp", "cfg_scale": 3.0}, "up to 1"),
    ({"cfg_rescale": 1.5}, "cfg rescale 1.5"),
    ({"cfg_rescale": float("nan")}, "cfg rescale nan"),
    ({"guide": "apg", "cfg_rescale": 0.5}, "choose cfg and cfg_pp"),
    ({"guide": "cfg_zero", "pag_scale": 3.0}, "choose cfg and cfg_pp"),
    ({"cfg_rescale": 0.5, "pag_scale": 3.0}, "leave one out"),
    ({"pag_scale": -1.0}, "pag scale -1.0"),
    ({"cfg_interval": (2.0, 1.0)}, "lower end first"),
    ({"cfg_interval": (0.1, float("inf"))}, "cfg interval inf"),
    ({"cfg_interval": (0.1,)}, "two numbers"),
    ({"variation_seed": MAX_SEED, "variation_strength": 0.2, "count": 2}, "variation seed"),
]


@pytest.mark.parametrize(("wrong", "words"), WRONG)
def test_a_wrong_value_is_refused_in_one_sentence(wrong, words):
    with pytest.raises(InvalidRequest) as refusal:
        Request(**{"prompt": "a red apple", **wrong})
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value) and len(str(refusal.value)) < 200


@given(st.integers(0, MAX_SEED - 999), st.integers(1, 1000), st.data())
def test_a_picture_of_a_batch_has_a_request_of_its_own(seed, count, data):
    index = data.draw(st.integers(0, count - 1))
    alone = Request(prompt="a cone", seed=seed, count=count).single(index)
    assert (alone.seed, alone.count) == (seed + index, 1)


def test_variations_of_a_batch_are_of_one_picture():
    run = Request(prompt="a cone", seed=3, count=4, variation_seed=8, variation_strength=0.2)
    assert [(run.single(i).seed, run.single(i).variation_seed) for i in (0, 3)] == [(3, 8), (3, 11)]


def test_filling_leaves_what_was_chosen():
    filled = Request(prompt="a cone", steps=7).filled(steps=20, width=128)
    assert (filled.steps, filled.width, filled.height) == (7, 128, None)


def test_seeds_that_nobody_chose_differ():
    assert len({Request(prompt="a cone").seed for _ in range(20)}) == 20


def test_json_round_trip_and_its_refusals():
    request = Request(prompt="a cone", negative="blur", init_image=Path("a/b.png"), cfg_scale=3.5)
    assert Request.from_json(request.to_json()) == request
    with pytest.raises(InvalidRequest, match="no field 'colour'"):
        Request.from_json({"prompt": "a cone", "colour": "red"})
    with pytest.raises(InvalidRequest, match="needs the field 'prompt'"):
        Request.from_json({"seed": 3})


def test_a_result_hands_out_pictures_with_their_own_records():
    record = Record(
        request=Request(prompt="a cone", seed=5, count=3), model_hash="ab", version="1", torch="2"
    )
    images = tuple(np.full((4, 6, 3), i, np.uint8) for i in range(3))
    result = Result(images, record)
    assert [picture.record.request.seed for picture in result] == [5, 6, 7]
    assert result[-1].record == result[2].record
    with pytest.raises(IndexError):
        result[3]
    assert isinstance(result.on_one_sheet(), Picture) and result.on_one_sheet().record.request.count == 3


def test_an_unknown_name_offers_the_nearest_or_all():
    assert "did you mean 'euler_a'?" in str(UnknownName("sampler", "Euler_A2", ["heun", "euler_a"]))
    assert "choose from heun, lms." in str(UnknownName("sampler", "zzz", ["lms", "heun"]))
    assert isinstance(UnknownName("sampler", "z", []), DarkroomError)


def test_checking_a_request_costs_no_torch():
    code = "import sys, darkroom.studio.request; sys.exit(bool({'torch', 'numpy', 'PIL'} & set(sys.modules)))"
    assert run([sys.executable, "-c", code]).returncode == 0

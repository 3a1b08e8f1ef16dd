"""Samplers and schedulers are known by the names that people's hands know."""

from dataclasses import replace

import pytest

from darkroom.diffusion.samplers import SAMPLERS
from darkroom.errors import UnknownName
from darkroom.studio.methods import in_our_names, sampler_named
from darkroom.studio.request import Request


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("Euler a", ("euler_a", None)),
        ("euler_ancestral", ("euler_a", None)),
        ("DPM++ 2M", ("dpmpp_2m", None)),
        ("dpm++ 2m karras", ("dpmpp_2m", "karras")),
        ("dpmpp_2s_ancestral", ("dpmpp_2s_a", None)),
        ("dpm_2_ancestral", ("dpm2_a", None)),
        ("dpm_2", ("dpm2", None)),
        ("uni_pc", ("unipc", None)),
        ("DPM++ 2M SDE Exponential", ("dpmpp_2m_sde", "exponential")),
    ],
)
def test_other_tools_names_are_known(theirs: str, ours: tuple[str, str | None]) -> None:
    assert sampler_named(theirs) == ours


def test_each_sampler_has_its_name_and_label_to_itself() -> None:
    for sampler in SAMPLERS.values():
        assert sampler_named(sampler.name) == sampler_named(sampler.label) == (sampler.name, None)


def test_a_sampler_of_ones_own_is_known_too(monkeypatch: pytest.MonkeyPatch) -> None:
    sampler_named("euler")
    monkeypatch.setitem(SAMPLERS, "mine", replace(SAMPLERS["euler"], name="mine"))
    assert sampler_named("mine") == ("mine", None)
    assert sampler_named("euler") == ("euler", None)


def test_a_scheduler_that_is_told_counts_before_one_behind_the_sampler() -> None:
    told = in_our_names(Request(prompt="x", sampler="DPM++ 2M Karras", scheduler="SGM Uniform"))
    assert (told.sampler, told.scheduler) == ("dpmpp_2m", "sgm_uniform")
    assert in_our_names(Request(prompt="x", sampler="DPM++ 2M Karras")).scheduler == "karras"
    assert in_our_names(Request(prompt="x", seed=1)) == Request(prompt="x", seed=1)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("eulr", "'euler'"), ("DPM++ 2N", "'DPM++ 2M'"), ("DPM++ 2M Kerras", "'DPM++ 2M"), ("", "dpmpp_2m")],
)
def test_an_unknown_one_is_told_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UnknownName, match=f"no sampler named '{name.replace('+', '.')}'") as raised:
        sampler_named(name)
    assert nearest in str(raised.value)


def test_a_name_of_a_million_words_is_refused_at_once() -> None:
    with pytest.raises(UnknownName):
        sampler_named("a " * 1_000_000)

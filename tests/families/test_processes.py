"""What the config of a scheduler says of a model's process, and what a batch of prompts is told."""

import pytest
import torch

from darkroom.diffusion.levels import VP, Flow
from darkroom.errors import DarkroomError
from darkroom.families.flux import process_of
from darkroom.families.schedules import vp_process
from darkroom.families.sdxl import SdxlText


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("linear", VP.linear(1000, 1e-4, 0.02)),
        ("scaled_linear", VP.scaled_linear(1000, 1e-4, 0.02)),
        ("squaredcos_cap_v2", VP.cosine()),
        ("sigmoid", VP.sigmoid()),
    ],
)
def test_the_betas_that_diffusers_knows_are_known(name, table):
    config = {"beta_schedule": name, "beta_start": 1e-4, "beta_end": 0.02}
    assert vp_process(config).schedule == table


def test_other_betas_are_refused():
    with pytest.raises(DarkroomError, match="'laplace' of this model is unknown"):
        vp_process({"beta_schedule": "laplace"})


def test_times_of_flux_are_shifted_as_told_or_refused():
    told = {"use_dynamic_shifting": True, "time_shift_type": "exponential", "shift_terminal": None}
    assert process_of(told, True, 16)(1024, 1024).schedule == Flow.for_tokens(4096)
    for other in ({"time_shift_type": "linear"}, {"shift_terminal": 0.02}):
        with pytest.raises(DarkroomError, match="shifts times in a way unknown"):
            process_of(told | other, True, 16)


def test_a_distilled_pixart_is_told_and_wants_few_steps(tmp_path):
    pytest.importorskip("diffusers")
    from tests.families import tiny

    from darkroom.studio.models import load_model

    folder = tiny.save(tiny.pixart("alpha"), tmp_path / "pixart")
    made = load_model(str(folder), "float32", "lcm", False, ()).model
    assert (made.defaults["sampler"], made.defaults["steps"]) == ("lcm", 4)


def test_a_damaged_starter_is_refused_in_a_sentence(tmp_path):
    from safetensors import safe_open
    from safetensors.torch import save_file

    from darkroom.families.family import Options
    from darkroom.families.registry import load
    from darkroom.families.starter import SHIPPED

    with safe_open(SHIPPED, "pt") as file:
        told = dict.fromkeys(file.metadata(), "{")
    save_file({"painter.x": torch.zeros(1)}, tmp_path / "bad.safetensors", told)
    with pytest.raises(DarkroomError, match="its configuration is damaged"):
        load(tmp_path / "bad.safetensors", Options())


def test_a_prompt_of_sdxl_is_told_the_same_alone_and_in_a_batch(monkeypatch):
    from darkroom.families import sdxl
    from darkroom.families.family import Reading
    from darkroom.text.encoded import Encoded

    def read_by(clip, name, prompts, reading):
        values = torch.tensor([1.0 + len(prompt) for prompt in prompts])
        return Encoded(values[:, None, None].expand(-1, 3, 8).clone(), values[:, None].expand(-1, 4))

    monkeypatch.setattr(sdxl, "read_by", read_by)
    text = SdxlText({"text_encoder": None}, zeroes=True, guided=False)
    unwanted = Reading(width=64, height=64, wanted=False)
    both = text.encode(["", "blurred"], unwanted)
    for row, prompt in enumerate(("", "blurred")):
        alone = text.encode([prompt], unwanted)
        assert torch.equal(both.tokens[row], alone.tokens[0])
        assert torch.equal(both.pooled[row], alone.pooled[0])
    assert not both.tokens[0].any() and both.tokens[1].all()

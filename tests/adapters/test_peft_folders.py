"""What PEFT saves acts as much here as there: how much, a file beside it says."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.adapters import small
from torch import nn

from darkroom.adapters.lora import attach
from darkroom.errors import DarkroomError
from darkroom.weights.adapter_formats import config_of, read_adapter
from darkroom.weights.store import MemoryStore, open_store

peft = pytest.importorskip("peft")

SAID: dict[str, dict[str, Any]] = {
    "alpha": {"r": 2, "lora_alpha": 16},
    "alpha over the root": {"r": 4, "lora_alpha": 8, "use_rslora": True},
    "ranks and alphas of their own": {
        "r": 4,
        "lora_alpha": 4,
        "rank_pattern": {"attn1.to_q": 2},
        "alpha_pattern": {"attn2.to_k": 12},
    },
}


def saved(base: nn.Module, folder: Path, said: dict[str, Any]) -> nn.Module:
    """Saves an adapter of random numbers as PEFT does; returns what PEFT makes of the base with it."""
    config = peft.LoraConfig(target_modules=["to_q", "to_k"], init_lora_weights=False, **said)
    torch.manual_seed(0)
    model = peft.get_peft_model(copy.deepcopy(base), config)
    model.save_pretrained(str(folder))
    return model.merge_and_unload()


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
@pytest.mark.parametrize("file", [".", "adapter_model.safetensors"])
def test_a_folder_of_peft_acts_as_there(tmp_path: Path, said: dict[str, Any], file: str):
    base = small.unet()
    theirs, ours, path = saved(base, tmp_path, said), copy.deepcopy(base), tmp_path / file
    attached = attach({"unet": ours}, read_adapter(open_store(path), config_of(path)))
    assert not attached.unused
    changed = 0
    for name, weight in theirs.state_dict().items():
        torch.testing.assert_close(ours.state_dict()[name], weight, atol=1e-6, rtol=1e-5)
        changed += not torch.equal(weight, base.state_dict()[name])
    assert changed > 4


def test_a_second_adapter_in_the_same_file_is_not_passed_over_in_silence():
    keys = ("a.lora_A.one.weight", "a.lora_B.one.weight", "a.lora_A.two.weight", "a.lora_B.two.weight")
    file = read_adapter(MemoryStore({key: torch.ones(1, 1) for key in keys}))
    assert file.unknown == keys[2:] and file.modules == {"a": {"lora_down": keys[0], "lora_up": keys[1]}}


def test_the_file_of_another_adapter_has_nothing_to_do_with_the_one_beside_it(tmp_path: Path):
    saved(small.unet(), tmp_path, {"r": 2, "lora_alpha": 16})
    assert config_of(tmp_path / "ink.safetensors") is None
    (tmp_path / "adapter_config.json").write_text("{")
    with pytest.raises(DarkroomError, match="get the whole folder again"):
        config_of(tmp_path)
    (tmp_path / "adapter_config.json").write_text(json.dumps([1]))
    with pytest.raises(DarkroomError, match="it is not an object"):
        config_of(tmp_path / "adapter_model.safetensors")

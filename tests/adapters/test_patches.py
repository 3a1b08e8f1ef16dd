"""The mathematics of each kind of adapter, against PEFT's own layers and against the papers' formulas."""

from collections.abc import Mapping

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from darkroom.adapters.patches import Decomposed, LowRank, fits, patches
from darkroom.weights.adapter_formats import read_adapter
from darkroom.weights.store import MemoryStore

peft = pytest.importorskip("peft")

ALPHA, RANK = 3, 2


class Two(nn.Module):
    """A linear layer and a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 12)
        self.conv = nn.Conv2d(4, 6, 3, padding=1)
        self.one = nn.Conv2d(4, 6, 1)


LORA = {"r": RANK, "lora_alpha": ALPHA}
LYCORIS = {"r": RANK, "alpha": ALPHA}
CONFIGS = {
    "lora": lambda to: peft.LoraConfig(target_modules=to, **LORA),
    "rslora": lambda to: peft.LoraConfig(target_modules=to, use_rslora=True, **LORA),
    "patterns": lambda to: peft.LoraConfig(
        target_modules=to, rank_pattern={"conv": 4}, alpha_pattern={"linear": 5, "^conv": 7}, **LORA
    ),
    "bias": lambda to: peft.LoraConfig(target_modules=to, lora_bias=True, **LORA),
    "dora": lambda to: peft.LoraConfig(target_modules=to, use_dora=True, **LORA),
    "loha": lambda to: peft.LoHaConfig(target_modules=to, **LYCORIS),
    "loha with cores": lambda to: peft.LoHaConfig(target_modules=to, use_effective_conv2d=True, **LYCORIS),
    "lokr": lambda to: peft.LoKrConfig(target_modules=to, **LYCORIS),
    "lokr of two": lambda to: peft.LoKrConfig(
        target_modules=to, decompose_both=True, decompose_factor=4, r=1, alpha=ALPHA
    ),
    "lokr with cores": lambda to: peft.LoKrConfig(
        target_modules=to, use_effective_conv2d=True, r=1, alpha=ALPHA
    ),
    "lokr of whole ones": lambda to: peft.LoKrConfig(target_modules=to, r=16, alpha=ALPHA),
}


def trained(config: object, seed: int = 0) -> nn.Module:
    """A model with PEFT's layers, with random values everywhere."""
    torch.manual_seed(seed)
    model = peft.get_peft_model(Two(), config)
    for parameter in model.parameters():
        parameter.data = 0.5 * torch.randn_like(parameter)
    return model.eval()


@pytest.mark.parametrize("kind", CONFIGS)
@torch.no_grad()
def test_merged_weights_are_those_of_peft(kind: str):
    config = CONFIGS[kind](["linear", "conv", "one"])
    model = trained(config)
    file = read_adapter(MemoryStore(peft.get_peft_model_state_dict(model)), config.to_dict())
    own = {name: getattr(model.base_model.model, name).get_base_layer() for name in ("linear", "conv", "one")}
    before = {name: (layer.weight.clone(), layer.bias.clone()) for name, layer in own.items()}
    merged = model.merge_and_unload()
    for name in own:
        found = patches(file.tensors(name))
        assert found.used >= set(file.modules[name]) and not found.missing and found.weight is not None
        weight, bias = before[name]
        after = getattr(merged, name)
        assert fits(found.weight.shape, tuple(weight.shape))
        torch.testing.assert_close(weight + found.weight.delta(weight), after.weight, atol=1e-6, rtol=1e-6)
        told = bias if found.bias is None else bias + found.bias.delta(bias)
        torch.testing.assert_close(told, after.bias, atol=1e-6, rtol=1e-6)
        assert (weight - after.weight).abs().max() > 0.01
    assert (found.bias is not None) == (kind == "bias")


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed + sum(shape)))


def delta(tensors: Mapping[str, Tensor], weight: Tensor) -> Tensor:
    found = patches(tensors)
    assert found.weight is not None and found.used == set(tensors)
    return found.weight.delta(weight)


def test_the_core_of_a_convolution_is_the_middle_of_three_convolutions():
    """LyCORIS' Tucker decomposition: 1x1, then the core, then 1x1 give what the delta alone gives."""
    down, mid, up = draw(3, 4, 1, 1), draw(2, 3, 3, 3), draw(6, 2, 1, 1)
    x = draw(1, 4, 5, 5)
    tensors = {"lora_down": down, "lora_mid": mid, "lora_up": up, "alpha": torch.tensor(6.0)}
    change = delta(tensors, torch.zeros(6, 4, 3, 3))
    conv = nn.functional.conv2d
    told = 6 / 3 * conv(conv(conv(x, down), mid, padding=1), up)
    torch.testing.assert_close(conv(x, change, padding=1), told, atol=1e-4, rtol=1e-4)


def test_loha_is_the_product_of_two_products():
    """FedPara, equation 2, entry by entry."""
    a1, b1, a2, b2 = draw(5, 2), draw(2, 4), draw(5, 2, seed=1), draw(2, 4, seed=1)
    tensors = {"hada_w1_a": a1, "hada_w1_b": b1, "hada_w2_a": a2, "hada_w2_b": b2, "alpha": torch.tensor(1.0)}
    change = delta(tensors, torch.zeros(5, 4))
    for o in range(5):
        for i in range(4):
            told = (
                0.5 * sum(a1[o, r] * b1[r, i] for r in range(2)) * sum(a2[o, r] * b2[r, i] for r in range(2))
            )
            torch.testing.assert_close(change[o, i], told)


def test_lokr_is_blocks_of_the_second_factor():
    """LyCORIS, section 3.1; of two whole factors alpha says nothing, as LyCORIS has it."""
    one, two = draw(2, 3), draw(4, 5, 3, 3)
    tensors = {"lokr_w1": one, "lokr_w2": two}
    change = delta(tensors, torch.zeros(8, 15, 3, 3))
    for i in range(2):
        for j in range(3):
            torch.testing.assert_close(change[4 * i : 4 * i + 4, 5 * j : 5 * j + 5], one[i, j] * two)
    found = patches({**tensors, "alpha": torch.tensor(1e10)}).weight
    assert found is not None and torch.equal(found.delta(torch.zeros(8, 15, 3, 3)), change)


@pytest.mark.parametrize("shape", [(6, 6), (5, 7), (6, 6, 3, 3), (4, 6, 3, 3)])
@pytest.mark.parametrize("kept", [0, 1])
def test_dora_gives_each_row_or_column_its_magnitude(shape: tuple[int, ...], kept: int):
    """LyCORIS' ``dora_scale`` says by its shape which norm is meant; DoRA, equation 5."""
    sides = [side if axis == kept else 1 for axis, side in enumerate(shape)]
    magnitude, weight = draw(*sides).abs() + 0.1, draw(*shape)
    tensors = {"lora_down": draw(2, *shape[1:]), "lora_up": draw(shape[0], 2), "dora_scale": magnitude}
    after = weight + delta(tensors, weight)
    torch.testing.assert_close(after.transpose(0, kept).flatten(1).norm(dim=1), magnitude.flatten())
    plain = weight + delta({role: tensors[role] for role in ("lora_down", "lora_up")}, weight)
    direction = nn.functional.cosine_similarity(
        after.transpose(0, kept).flatten(1), plain.transpose(0, kept).flatten(1)
    )
    torch.testing.assert_close(direction, torch.ones_like(direction))


@given(st.sampled_from([torch.float16, torch.bfloat16]), st.integers(0, 100))
def test_a_patch_is_computed_in_the_precision_of_the_weight(dtype: torch.dtype, seed: int):
    down, up = draw(2, 8, seed=seed).to(dtype), draw(6, 2, seed=seed).to(dtype)
    change = LowRank(down, up, scale=0.3).delta(torch.zeros(6, 8))
    assert change.dtype == torch.float32
    torch.testing.assert_close(change, 0.3 * (up.float() @ down.float()))


def test_a_zero_weight_has_no_direction_and_no_nan():
    """A layer that begins at zero, as those of ControlNets: LoRA changes it, DoRA leaves it at zero."""
    inner = LowRank(torch.zeros(2, 4), torch.zeros(3, 2))
    assert torch.equal(Decomposed(inner, torch.ones(3, 1)).delta(torch.zeros(3, 4)), torch.zeros(3, 4))


@pytest.mark.parametrize(
    ("roles", "missing"),
    [
        (["lora_down", "alpha"], ["lora_up"]),
        (["hada_w1_a", "hada_w1_b", "hada_w2_a"], ["hada_w2_b"]),
        (["lokr_w1"], ["lokr_w2"]),
        (["alpha"], []),
    ],
)
def test_what_is_missing_is_named(roles: list[str], missing: list[str]):
    found = patches({role: torch.ones(2, 2) for role in roles})
    assert found.weight is None and list(found.missing) == missing and not found.used & {"alpha"}


@pytest.mark.parametrize(
    ("patch", "weight", "answer"),
    [
        ((4, 6), (4, 6), True),
        ((4, 6), (4, 6, 1, 1), True),
        ((4, 6, 1, 1), (4, 6), True),
        ((4, 54), (4, 6, 3, 3), True),
        ((4, 6), (4, 6, 3, 3), False),
        ((4, 6), (6, 4), False),
        ((8, 3), (4, 6), False),
    ],
)
def test_shapes_that_fit(patch: tuple[int, ...], weight: tuple[int, ...], answer: bool):
    assert fits(patch, weight) is answer


@pytest.mark.parametrize(
    ("kind", "roles"),
    [
        ("loha with cores", {"hada_t1", "hada_t2"}),
        ("lokr of two", {"lokr_w1_a", "lokr_w2_b"}),
        ("lokr with cores", {"lokr_t2"}),
        ("lokr of whole ones", {"lokr_w1", "lokr_w2"}),
        ("dora", {"lora_magnitude_vector"}),
        ("bias", {"lora_up_bias"}),
    ],
)
def test_the_kinds_of_peft_are_what_they_are_called(kind: str, roles: set[str]):
    """So that the comparison above does compare every kind."""
    model = trained(CONFIGS[kind](["conv"]))
    file = read_adapter(MemoryStore(peft.get_peft_model_state_dict(model)))
    assert roles <= file.modules["conv"].keys()

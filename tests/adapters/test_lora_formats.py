"""Every style of key means the same layers, and what diffusers makes of a file we make of it too."""

from collections.abc import Callable

import pytest
import torch
from tests.adapters import small
from torch import Tensor, nn

from darkroom.adapters.lora import attach
from darkroom.errors import DarkroomError
from darkroom.weights.adapter_formats import read_adapter
from darkroom.weights.store import MemoryStore, open_store

pytest.importorskip("diffusers")
pytest.importorskip("peft")

ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")
LDM = {
    "input_blocks.1.1": "down_blocks.0.attentions.0",
    "input_blocks.5.1": "down_blocks.1.attentions.1",
    "middle_block.1": "mid_block.attentions.0",
    "output_blocks.3.1": "up_blocks.1.attentions.0",
    "output_blocks.8.1": "up_blocks.2.attentions.2",
}
"""Counted by hand, for two layers a level and attention at the two highest resolutions."""


def joined(prefix: str) -> Callable[[str], str]:
    return lambda name: f"{prefix}{name.replace('.', '_')}."


def dotted(prefix: str, tail: str = ".") -> Callable[[str], str]:
    return lambda name: f"{prefix}{name}{tail}"


def processor(name: str) -> str:
    """attn1.to_out.0 as attn1.processor.to_out_lora."""
    place, last = name.replace("to_out.0", "to_out").rsplit(".", 1)
    return f"unet.{place}.processor.{last}_lora."


def ldm(name: str) -> str:
    old, new = next((old, new) for old, new in LDM.items() if name.startswith(new))
    return f"lora_unet_{name.replace(new, old).replace('.', '_')}."


KOHYA = ("lora_down.weight", "lora_up.weight", "alpha")
PEFT = ("lora_A.weight", "lora_B.weight", None)
STYLES: dict[str, tuple[Callable[[str], str], tuple[str, str, str | None]]] = {
    "kohya": (joined("lora_unet_"), KOHYA),
    "kohya with the names of latent diffusion": (ldm, KOHYA),
    "lycoris": (joined("lycoris_"), KOHYA),
    "peft of diffusers": (dotted("unet."), PEFT),
    "peft with the adapter's name": (
        dotted("unet."),
        ("lora_A.default.weight", "lora_B.default.weight", None),
    ),
    "peft": (dotted("base_model.model."), PEFT),
    "peft of diffusers and an alpha": (dotted("unet."), ("lora_A.weight", "lora_B.weight", "alpha")),
    "bare": (dotted("diffusion_model."), PEFT),
    "bare and whole": (dotted("model.diffusion_model."), KOHYA),
    "naked": (dotted(""), PEFT),
    "early diffusers": (processor, ("down.weight", "up.weight", None)),
    "diffusers": (dotted("unet."), ("lora.down.weight", "lora.up.weight", None)),
}


def laid(parts: dict[str, nn.Module], tensors: dict[str, Tensor], **options: object) -> str:
    """Attach and say how much was matched."""
    attached = attach(parts, read_adapter(MemoryStore(tensors)), **options)  # type: ignore[arg-type]
    return str(attached)


def assert_merged(module: nn.Module, told: dict[str, Tensor]) -> None:
    for name, weight in told.items():
        torch.testing.assert_close(module.get_submodule(name).weight, weight, atol=1e-6, rtol=1e-6, msg=name)


@pytest.mark.parametrize("style", STYLES)
def test_one_delta_in_every_style_gives_the_same_weights(style: str):
    model = small.unet()
    made = {
        name: pair
        for name, pair in small.factors(model, ATTENTION).items()
        if name.startswith(tuple(LDM.values()))
    }
    told = small.merged(made, model)
    name, (down, up, alpha) = STYLES[style]
    tensors = small.written(made, name, down, up, alpha)
    assert laid({"unet": model}, tensors) == f"matched {len(tensors)}, unused 0, missing 0"
    assert len(made) == 5 * 8
    assert_merged(model, told)


@pytest.mark.parametrize("prefix", ["lora_te_", "lora_te1_", "text_encoder.", "lora_te2_", "text_encoder_2."])
@pytest.mark.parametrize("start", ["text_model.", ""])
def test_text_encoders_are_found_under_either_name(prefix: str, start: str):
    model = small.clip()
    made = small.factors(model, ("_proj", "fc1", "fc2"))
    told = small.merged(made, model)
    bare = {start + name.removeprefix("text_model."): pair for name, pair in made.items()}
    tensors = small.written(bare, (dotted if prefix.endswith(".") else joined)(prefix))
    part = "text_encoder_2" if "2" in prefix else "text_encoder"
    assert laid({"unet": nn.Linear(2, 2), part: model}, tensors).endswith("unused 0, missing 0")
    assert_merged(model, told)


def early(name: str) -> str:
    """self_attn.q_proj as self_attn.to_q_lora."""
    place, last = name.removesuffix("_proj").rsplit(".", 1)
    return f"text_encoder.text_model.{place.removeprefix('text_model.')}.to_{last}_lora."


def test_early_names_of_text_encoders():
    model = small.clip()
    made = small.factors(model, ("_proj",))
    told = small.merged(made, model)
    tensors = small.written(made, early, "down.weight", "up.weight", None)
    assert laid({"text_encoder": model}, tensors).endswith("unused 0, missing 0")
    assert_merged(model, told)


FLUX = {
    "double_blocks.{}.img_attn.qkv": ["attn.to_q", "attn.to_k", "attn.to_v"],
    "double_blocks.{}.txt_attn.qkv": ["attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"],
    "double_blocks.{}.img_attn.proj": ["attn.to_out.0"],
    "double_blocks.{}.txt_mlp.2": ["ff_context.net.2"],
    "double_blocks.{}.img_mod.lin": ["norm1.linear"],
    "single_blocks.{}.linear1": ["attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"],
    "single_blocks.{}.linear2": ["proj_out"],
    "single_blocks.{}.modulation.lin": ["norm.linear"],
}
SD3 = {
    "joint_blocks.{}.x_block.attn.qkv": ["attn.to_q", "attn.to_k", "attn.to_v"],
    "joint_blocks.{}.context_block.attn.qkv": ["attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"],
    "joint_blocks.{}.x_block.mlp.fc1": ["ff.net.0.proj"],
    "joint_blocks.{}.x_block.adaLN_modulation.1": ["norm1.linear"],
}


def fused(model: nn.Module, table: dict[str, list[str]]) -> tuple[small.Factors, dict[str, Tensor]]:
    """Factors for the layers as their authors made them, and the weights that ours should have with them."""
    draw, made, told = torch.Generator().manual_seed(3), {}, {}
    for block in range(2):
        for name, ours in table.items():
            kind = "single_transformer_blocks" if name.startswith("single") else "transformer_blocks"
            names = [f"{kind}.{block}.{one}" for one in ours]
            weights = [model.get_submodule(one).weight for one in names]
            whole = torch.cat(weights)
            down = torch.randn(small.RANK, whole.shape[1], generator=draw)
            up = torch.randn(whole.shape[0], small.RANK, generator=draw)
            made[name.format(block)] = (down, up)
            after = whole + small.ALPHA / small.RANK * up @ down
            told |= dict(zip(names, after.split([len(one) for one in weights]), strict=True))
    return made, told


@pytest.mark.parametrize(("make", "table"), [(small.flux, FLUX), (small.sd3, SD3)])
@pytest.mark.parametrize(
    ("name", "ends"),
    [
        (joined("lora_unet_"), KOHYA),
        (dotted("diffusion_model."), PEFT),
        (dotted("transformer."), PEFT),
    ],
)
@pytest.mark.parametrize("live", [False, True])
def test_fused_layers_are_shared_out(make, table, name, ends, live: bool):
    model, plain = make(), make()
    made, told = fused(model, table)
    tensors = small.written(made, name, *ends)
    assert laid({"transformer": model}, tensors, live=live).endswith("unused 0, missing 0")
    if live:
        for module, weight in told.items():
            plain.get_submodule(module).weight.data = weight
        torch.testing.assert_close(small.answer(model), small.answer(plain), atol=1e-5, rtol=1e-4)
    else:
        assert_merged(model, told)


def test_the_last_modulation_has_scale_and_shift_the_other_way_round():
    """FLUX and SD 3, and the context of SD 3's last block."""
    last, context = "final_layer.adaLN_modulation.1", "joint_blocks.1.context_block.adaLN_modulation.1"
    for make, old, new in (
        (small.flux, last, "norm_out.linear"),
        (small.sd3, last, "norm_out.linear"),
        (small.sd3, context, "transformer_blocks.1.norm1_context.linear"),
    ):
        model = make()
        layer = model.get_submodule(new)
        before, change = layer.weight.clone(), torch.randn_like(layer.weight)
        laid({"transformer": model}, {f"diffusion_model.{old}.diff": change})
        torch.testing.assert_close(layer.weight, before + torch.cat(change.chunk(2)[::-1]))


def test_xlabs_processors():
    model = small.flux()
    names = {
        "double_blocks.{}.img_attn.qkv": "double_blocks.{}.processor.qkv_lora1.",
        "double_blocks.{}.txt_attn.qkv": "double_blocks.{}.processor.qkv_lora2.",
        "double_blocks.{}.img_attn.proj": "double_blocks.{}.processor.proj_lora1.",
        "single_blocks.{}.linear2": "single_blocks.{}.processor.proj_lora.",
    }
    made, told = fused(model, {name: FLUX[name] for name in names})
    by_block = {old.format(i): new.format(i) for old, new in names.items() for i in range(2)}
    tensors = small.written(made, lambda name: by_block[name], "down.weight", "up.weight", None)
    qkv = [model.get_submodule(f"single_transformer_blocks.0.attn.to_{which}") for which in "qkv"]
    whole = torch.cat([layer.weight for layer in qkv])
    down, up = torch.randn(2, whole.shape[1]), torch.randn(whole.shape[0], 2)
    tensors["single_blocks.0.processor.qkv_lora.down.weight"] = down
    tensors["single_blocks.0.processor.qkv_lora.up.weight"] = up
    assert laid({"transformer": model}, tensors).endswith("unused 0, missing 0")
    assert_merged(model, told)
    torch.testing.assert_close(torch.cat([layer.weight for layer in qkv]), whole + up @ down)


def test_t5_is_the_third_for_kohya_and_the_second_in_flux():
    layer = nn.ModuleDict(
        {"encoder": nn.ModuleDict({"SelfAttention": nn.ModuleDict({"q": nn.Linear(4, 4)})})}
    )
    made = small.factors(layer)
    told = small.merged(made, layer)
    assert laid({"text_encoder_2": layer}, small.written(made, joined("lora_te3_"))).startswith("matched 3,")
    assert_merged(layer, told)


def diffusers_answer(model: nn.Module, mixin: str, tensors: dict[str, Tensor]) -> Tensor:
    """What the model says with the file as diffusers reads it."""
    from diffusers.loaders import lora_pipeline

    loader = getattr(lora_pipeline, mixin)
    options = {"return_alphas": True} if mixin.startswith("Flux") else {}
    told = loader.lora_state_dict(dict(tensors), **options)
    values, alphas = told if isinstance(told, tuple) else (told, None)
    prefix = "unet" if hasattr(model, "conv_in") else "transformer"
    model.load_lora_adapter(values, prefix=prefix, network_alphas=alphas or None)
    return small.answer(model)


FLUX_KOHYA = {name: ours for name, ours in FLUX.items() if name.startswith("double")}
"""diffusers expects the one size of the published model where it splits single blocks."""


def cases() -> dict[str, tuple[Callable[[], nn.Module], str, Callable[[nn.Module], dict[str, Tensor]]]]:
    sd, flux, sd3 = "StableDiffusionLoraLoaderMixin", "FluxLoraLoaderMixin", "SD3LoraLoaderMixin"

    def all_of(name: Callable[[str], str], ends: tuple[str, str, str | None]):
        ending = (*ATTENTION, "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2")
        return lambda model: small.written(small.factors(model, ending), name, *ends)

    return {
        "SD, kohya": (small.unet, sd, all_of(joined("lora_unet_"), KOHYA)),
        "SD, peft": (small.unet, sd, all_of(dotted("unet."), PEFT)),
        "SD, linear, kohya": (lambda: small.unet(linear=True), sd, all_of(joined("lora_unet_"), KOHYA)),
        "SD, convolutions, peft": (
            small.unet,
            sd,
            lambda model: small.written(
                small.factors(model, ("conv1", "conv2", "conv_in")), dotted("unet."), *PEFT
            ),
        ),
        "FLUX, peft": (small.flux, flux, all_of(dotted("transformer."), PEFT)),
        "FLUX, kohya": (
            small.flux,
            flux,
            lambda model: small.written(fused(model, FLUX_KOHYA)[0], joined("lora_unet_"), *KOHYA),
        ),
        "SD 3, peft": (small.sd3, sd3, all_of(dotted("transformer."), PEFT)),
    }


@pytest.mark.parametrize("case", cases())
@pytest.mark.parametrize("live", [False, True])
def test_diffusers_says_the_same_with_the_same_file(case: str, live: bool):
    make, mixin, write = cases()[case]
    ours, theirs = make(), make()
    tensors = write(ours)
    before = small.answer(ours)
    laid({"unet" if "SD," in case else "transformer": ours}, tensors, live=live)
    told, mine = diffusers_answer(theirs, mixin, tensors), small.answer(ours)
    assert (told - mine).abs().max() <= 1e-5 * told.abs().max()
    assert (told - before).abs().max() > 1e-3 * told.abs().max()


def test_what_diffusers_saves_with_alpha_in_the_metadata(tmp_path):
    """It writes alphas as JSON beside the tensors; without them the strength would be wrong."""
    from diffusers.loaders import StableDiffusionLoraLoaderMixin
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    theirs, ours = small.unet(), small.unet()
    patterns = {"target_modules": ["to_q", "to_v"], "alpha_pattern": {"attn2.to_q": 3}}
    theirs.add_adapter(LoraConfig(r=4, lora_alpha=1, **patterns))
    small.awake(theirs, seed=5)
    values = {name.replace(".base_layer", ""): value for name, value in theirs.state_dict().items()}
    ours.load_state_dict({name: values[name] for name in ours.state_dict()})
    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(theirs))
    metadata = theirs.peft_config["default"].to_dict()
    StableDiffusionLoraLoaderMixin.save_lora_weights(
        tmp_path, unet_lora_layers=layers, unet_lora_adapter_metadata=metadata
    )
    attach({"unet": ours}, read_adapter(open_store(tmp_path / "pytorch_lora_weights.safetensors")))
    told, mine = small.answer(theirs), small.answer(ours)
    assert (told - mine).abs().max() <= 1e-5 * told.abs().max()


def test_a_file_that_is_no_adapter_says_what_it_holds():
    with pytest.raises(DarkroomError, match=r"is not a LoRA or one of its kin: it holds 'down\.weight'"):
        read_adapter(MemoryStore({"down.weight": torch.ones(1)}))

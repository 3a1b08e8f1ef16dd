"""Folder to file and back to the bit; diffusers loads what comes out."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from darkroom.errors import DarkroomError
from darkroom.weights.convert import Converted, convert
from darkroom.weights.inspect import describe

pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

BLOCKS = ("DownEncoderBlock2D", "UpDecoderBlock2D")
XL = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (64, 64, 128),
    "transformer_layers_per_block": (1, 1, 2),
    "attention_head_dim": (1, 1, 2),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "projection_class_embeddings_input_dim": 6 * 8 + 64,
}


def unet(**more: Any) -> Any:
    from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel

    base = {"block_out_channels": (32, 32, 64, 64), "layers_per_block": 1, "cross_attention_dim": 64}
    return UNet2DConditionModel(**{**base, **more})


def vae(latents: int = 4, quant: bool = True) -> Any:
    from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

    return AutoencoderKL(
        block_out_channels=(32, 32), layers_per_block=1, latent_channels=latents, use_quant_conv=quant,
        use_post_quant_conv=quant, down_block_types=BLOCKS[:1] * 2, up_block_types=BLOCKS[1:] * 2,
    )  # fmt: skip


def clip(projection: bool = False) -> Any:
    config = transformers.CLIPTextConfig(
        vocab_size=50, hidden_size=64, intermediate_size=80, num_hidden_layers=2, num_attention_heads=1,
        max_position_embeddings=9, projection_dim=64,
    )  # fmt: skip
    return (transformers.CLIPTextModelWithProjection if projection else transformers.CLIPTextModel)(config)


def t5() -> Any:
    return transformers.T5EncoderModel(
        transformers.T5Config(
            vocab_size=50,
            d_model=32,
            d_kv=16,
            d_ff=48,
            num_layers=2,
            num_heads=2,
            feed_forward_proj="gated-gelu",
        )
    )


def sd3() -> Any:
    from diffusers.models.transformers.transformer_sd3 import SD3Transformer2DModel

    return SD3Transformer2DModel(
        sample_size=8, num_layers=2, attention_head_dim=16, num_attention_heads=2, joint_attention_dim=32,
        caption_projection_dim=32, pooled_projection_dim=128, pos_embed_max_size=6, in_channels=4,
        out_channels=4, qk_norm="rms_norm", dual_attention_layers=(0,),
    )  # fmt: skip


def flux() -> Any:
    from diffusers.models.transformers.transformer_flux import FluxTransformer2DModel

    return FluxTransformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=2, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=32, pooled_projection_dim=64, guidance_embeds=True, axes_dims_rope=(4, 6, 6),
    )  # fmt: skip


MODELS: dict[str, Callable[[], dict[str, Any]]] = {
    "sd1": lambda: {"unet": unet(), "vae": vae(), "text_encoder": clip()},
    "sd2": lambda: {
        "unet": unet(use_linear_projection=True, attention_head_dim=(1, 1, 1, 1)),
        "vae": vae(),
        "text_encoder": clip(),
    },
    "sdxl": lambda: {"unet": unet(**XL), "vae": vae(), "text_encoder": clip(), "text_encoder_2": clip(True)},
    "sd3.5-medium": lambda: {
        "transformer": sd3(),
        "vae": vae(4, False),
        "text_encoder": clip(True),
        "text_encoder_2": clip(True),
        "text_encoder_3": t5(),
    },
    "flux": lambda: {
        "transformer": flux(),
        "vae": vae(4, False),
        "text_encoder": clip(),
        "text_encoder_2": t5(),
    },
}


SETTINGS = {
    "num_attention_heads",
    "attention_head_dim",
    "num_heads",
    "d_kv",
    "axes_dims_rope",
    "qk_norm",
    "transformer_layers_per_block",
    "addition_time_embed_dim",
    "patch_size",
    "pos_embed_max_size",
    "dual_attention_layers",
    "guidance_embeds",
    "use_linear_projection",
    "feed_forward_proj",
}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Path, dict[str, Any]]]:
    """Small models in folders, as diffusers itself writes them."""
    made: dict[str, tuple[Path, dict[str, Any]]] = {}

    def model(family: str) -> tuple[Path, dict[str, Any]]:
        if family not in made:
            torch.manual_seed(1)
            made[family] = written(tmp_path_factory.mktemp("models") / family, MODELS[family]())
        return made[family]

    return model


def written(folder: Path, parts: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    with torch.no_grad():
        for module in parts.values():
            for parameter in module.parameters():
                parameter.copy_(torch.randn(parameter.shape))
    for name, module in parts.items():
        module.save_pretrained(folder / name)
        published(folder / name / "model.safetensors")
    index = {name: ["diffusers" if hasattr(module, "load_config") else "transformers", type(module).__name__]
             for name, module in parts.items()}  # fmt: skip
    index |= {"scheduler": ["diffusers", "DDIMScheduler"], "tokenizer": ["transformers", "CLIPTokenizer"]}
    (folder / "scheduler").mkdir()
    (folder / "scheduler" / "scheduler_config.json").write_text('{"prediction_type": "v_prediction"}')
    tokenizer(folder / "tokenizer")
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "Some", **index}))
    return folder, parts


def published(file: Path) -> None:
    """CLIP under the names of published folders; transformers writes those of its memory from 5.6 on."""
    if file.is_file() and "embeddings.token_embedding.weight" in (tensors := load_file(file)):
        save_file({f"text_model.{name}": one for name, one in tensors.items()}, file, {"format": "pt"})


def tokenizer(folder: Path) -> None:
    """One that knows a few letters, with 50 words in all."""
    letters = "abcdefghijklmnopqrstuvwx"
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir()
    (folder / "vocab.json").write_text(json.dumps({word: n for n, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    (folder / "tokenizer_config.json").write_text(
        '{"model_max_length": 9, "tokenizer_class": "CLIPTokenizer"}'
    )


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return {
        f"{path.parent.name}.{name}": one
        for path in sorted(folder.glob("*/*.safetensors"))
        for name, one in load_file(path).items()
    }


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys(), sorted(left.keys() ^ right.keys())[:6]
    for name in left:
        assert left[name].dtype == right[name].dtype and torch.equal(left[name], right[name]), name


@pytest.mark.parametrize("family", MODELS)
def test_folder_to_file_to_folder_is_the_same_to_the_bit(family: str, models: Any, tmp_path: Path):
    folder, parts = models(family)
    file = convert(folder, tmp_path / "one.safetensors")
    assert (file.family, set(file.parts)) == (family, set(parts))
    assert file.notes == ("a single file has no place for scheduler, tokenizer",)
    back = convert(file.path, tmp_path / "back", tokenizers=folder)
    same(weights(back.path), weights(folder))
    again = convert(back.path, tmp_path / "two.safetensors")
    same(load_file(again.path), load_file(file.path))
    assert (back.path / "tokenizer" / "merges.txt").is_file()


@pytest.mark.parametrize("family", MODELS)
def test_diffusers_loads_the_folders_that_are_made(family: str, models: Any, tmp_path: Path):
    """With the settings that were inferred, every part has the same weights and nothing is missing."""
    folder, parts = models(family)
    file = convert(folder, tmp_path / "one.safetensors")
    back = convert(file.path, tmp_path / "back")
    index = json.loads((back.path / "model_index.json").read_text())
    assert index["tokenizer"] == [None, None] and any("--tokenizers" in note for note in back.notes)
    for name, module in parts.items():
        loaded, info = type(module).from_pretrained(
            back.path / name, output_loading_info=True, local_files_only=True
        )
        assert not info["missing_keys"] and not info["unexpected_keys"], name
        same(dict(loaded.state_dict()), dict(module.state_dict()))
        _same_settings(_settings(loaded), _settings(module))


def _settings(module: Any) -> dict[str, Any]:
    """As JSON has them: lists, no tuples."""
    config = module.config.to_dict() if hasattr(module.config, "to_dict") else dict(module.config)
    return json.loads(json.dumps(config, default=str))


def _same_settings(found: dict[str, Any], real: dict[str, Any]) -> None:
    """What decides the computation: heads above all, which no shape shows."""
    for key in SETTINGS & real.keys() & found.keys():
        if real[key] is not None:
            assert found[key] == real[key], key


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl", "sd3.5-medium"])
def test_diffusers_loads_the_files_that_are_made(family: str, models: Any, tmp_path: Path):
    """diffusers' own reader of single files, told the settings, gets the same weights.

    FLUX is left out: that reader knows the published width alone, see test_layouts.
    """
    folder, parts = models(family)
    file = convert(folder, tmp_path / "one.safetensors")
    for name in {"unet", "transformer", "vae"} & parts.keys():
        loaded = type(parts[name]).from_single_file(
            str(file.path), config=str(folder / name), local_files_only=True, disable_mmap=True
        )
        same(dict(loaded.state_dict()), dict(parts[name].state_dict()))


def test_a_whole_pipeline_makes_the_same_picture(models: Any, tmp_path: Path):
    """Stable Diffusion 1, from the folder that came out of a file, against its parts as they were."""
    from diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion import StableDiffusionPipeline

    folder, parts = models("sd1")
    file = convert(folder, tmp_path / "one.safetensors")
    back = convert(file.path, tmp_path / "back", tokenizers=folder)
    pipe = StableDiffusionPipeline.from_pretrained(back.path, local_files_only=True)
    assert type(pipe.scheduler).__name__ == "PNDMScheduler"
    assert pipe.scheduler.config.prediction_type == "v_prediction"  # the folder said so, and the file kept it

    def picture() -> torch.Tensor:
        draw = torch.Generator().manual_seed(0)
        return pipe(
            "a cat", num_inference_steps=2, height=16, width=16, generator=draw, output_type="pt"
        ).images

    ours = picture()
    pipe.register_modules(**{name: module.eval() for name, module in parts.items()})
    assert torch.equal(ours, picture()) and ours.std() > 0


def test_folders_that_transformers_writes_today_give_the_same_file(models: Any, tmp_path: Path):
    folder, _ = models("sdxl")
    now = shutil.copytree(folder, tmp_path / "now")
    file = now / "text_encoder" / "model.safetensors"
    tensors = {name.removeprefix("text_model."): one for name, one in load_file(file).items()}
    save_file(tensors, file, {"format": "pt"})
    one, other = (convert(path, tmp_path / f"{path.name}.safetensors").path for path in (folder, now))
    assert one.read_bytes() == other.read_bytes()


def test_an_encoder_without_projection_gets_the_identity(models: Any, tmp_path: Path):
    """Files of Stable Diffusion 3 leave out CLIP-L's projection, which folders have."""
    folder, _ = models("sd3.5-medium")
    file = convert(folder, tmp_path / "one.safetensors").path
    tensors = load_file(file)
    del tensors["text_encoders.clip_l.transformer.text_projection.weight"]
    save_file(tensors, file)
    back = weights(convert(file, tmp_path / "back").path)
    assert torch.equal(back["text_encoder.text_projection.weight"], torch.eye(64))


def test_the_type_can_be_changed_and_nothing_else(models: Any, tmp_path: Path):
    folder, _ = models("sd1")
    half = convert(folder, tmp_path / "half.safetensors", dtype=torch.bfloat16)
    whole = load_file(convert(folder, tmp_path / "one.safetensors").path)
    for name, one in load_file(half.path).items():
        assert torch.equal(one, whole[name].to(torch.bfloat16)), name


def test_numbers_too_large_for_the_type_are_refused(models: Any, tmp_path: Path):
    folder, _ = models("sd1")
    file = convert(folder, tmp_path / "one.safetensors").path
    tensors = load_file(file)
    tensors["first_stage_model.quant_conv.bias"][0] = 1e6
    save_file(tensors, file)
    with pytest.raises(DarkroomError, match=r"quant_conv\.bias' has numbers too large"):
        convert(file, tmp_path / "half", dtype=torch.float16)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["one.safetensors"]


def test_nothing_is_replaced_unless_asked(models: Any, tmp_path: Path):
    folder, _ = models("sd1")
    target = tmp_path / "there.safetensors"
    target.write_text("mine")
    with pytest.raises(DarkroomError, match="there already"):
        convert(folder, target)
    assert target.read_text() == "mine"
    convert(folder, target, overwrite=True)
    (tmp_path / "back").mkdir()
    (tmp_path / "back" / "mine.txt").write_text("mine")
    with pytest.raises(DarkroomError, match="there already"):
        convert(target, tmp_path / "back")
    made: Converted = convert(target, tmp_path / "back", overwrite=True)
    assert not (made.path / "mine.txt").exists()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["back", "there.safetensors"]


def test_what_cannot_be_placed_is_said(models: Any, tmp_path: Path):
    folder, _ = models("sd1")
    file = convert(folder, tmp_path / "one.safetensors").path
    save_file({**load_file(file), "mystery": torch.zeros(2), "betas": torch.zeros(3)}, file)
    back = convert(file, tmp_path / "back")
    assert any("1 of " in note and "'mystery'" in note for note in back.notes)


def test_other_things_are_refused_by_name(models: Any, tmp_path: Path):
    folder, _ = models("sd1")
    save_file({"emb_params": torch.zeros(2, 768)}, tmp_path / "word.safetensors")
    with pytest.raises(DarkroomError, match="is textual inversion"):
        convert(tmp_path / "word.safetensors", tmp_path / "out")
    with pytest.raises(DarkroomError, match=r"ends in \.safetensors"):
        convert(folder, tmp_path / "out")
    file = convert(folder, tmp_path / "one.safetensors").path
    with pytest.raises(DarkroomError, match="should be a folder"):
        convert(file, tmp_path / "two.safetensors")


def test_folders_are_described_like_files(models: Any, tmp_path: Path):
    folder, parts = models("sdxl")
    file = convert(folder, tmp_path / "one.safetensors").path
    one, other = describe(folder), describe(file)
    assert (one.family, one.layout, one.prediction) == ("sdxl", "diffusers folder", "v")
    assert (other.family, other.layout, other.prediction) == ("sdxl", "single file", "v")
    assert (
        one.parameters
        == other.parameters
        == sum(p.numel() for m in parts.values() for p in m.state_dict().values())
    )
    assert {part.name: part.parameters for part in one.parts} == {
        part.name: part.parameters for part in other.parts
    }
    assert one.besides == ("scheduler", "tokenizer") and one.left == other.left == 0

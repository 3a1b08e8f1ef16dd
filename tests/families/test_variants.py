"""What each family has besides the plain model, against the pipelines of diffusers: whole pictures."""

import inspect
import shutil
import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from darkroom.errors import DarkroomError
from darkroom.studio.develop import develop
from darkroom.studio.models import load_model
from darkroom.studio.request import Request
from darkroom.weights.convert import convert

diffusers = pytest.importorskip("diffusers")
from tests.families import tiny  # noqa: E402  it needs diffusers

PROMPT, NEGATIVE, SEED, SIDE = "a red cat, and a dog", "blurred", 3, 64
EULER = diffusers.EulerDiscreteScheduler(**tiny.SD_SCHEDULER, timestep_spacing="leading")
EULER_A = diffusers.EulerAncestralDiscreteScheduler(**tiny.SD_SCHEDULER, timestep_spacing="trailing")


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """A picture to start from."""
    path = tmp_path_factory.mktemp("pictures") / "picture.png"
    colours = np.random.default_rng(0).integers(0, 255, (8, 8, 3), np.uint8)
    Image.fromarray(colours).resize((SIDE, SIDE)).save(path)
    return path


@pytest.fixture(scope="module")
def mask(picture):
    """White where it is to be painted over."""
    made = Image.new("L", (SIDE, SIDE), 0)
    made.paste(255, (16, 8, 56, 48))
    made.save(picture.with_name("mask.png"))
    return picture.with_name("mask.png")


def theirs(pipeline, steps=6, **settings):
    """What a pipeline of diffusers makes, (H, W, 3) in [0, 255]."""
    given = {"height": SIDE, "width": SIDE, "output_type": "np"} | settings
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline.set_progress_bar_config(disable=True)
        generator = torch.Generator().manual_seed(SEED)
        made = pipeline(PROMPT, num_inference_steps=steps, generator=generator, **given)
    return made.images[0] * 255


def ours(pipeline, tmp_path, steps=6, **settings):
    """What Darkroom makes of the folder that it writes."""
    folder = tiny.save(pipeline, tmp_path / "model")
    asked = {"prompt": PROMPT, "seed": SEED, "steps": steps, "width": SIDE, "height": SIDE, "noise": "torch"}
    return develop(Request(model=str(folder), **{**asked, **settings})).images[0].astype(float)


def as_kind(name, pipeline, scheduler=None):
    """The same parts in another pipeline, with another scheduler."""
    kind = getattr(diffusers, name)
    parts = {**pipeline.components, **({"scheduler": scheduler} if scheduler else {})}
    taken = inspect.signature(kind.__init__).parameters
    return tiny.quietly(kind, **{part: one for part, one in parts.items() if part in taken})


def check(made, expected):
    assert made.std() > 10
    assert np.abs(made - expected).max() <= 1


@pytest.mark.parametrize("strength", [1.0, 0.75])
def test_inpainting_with_nine_channels(picture, mask, tmp_path, strength):
    parts = tiny.sd1(in_channels=9)
    pipeline = as_kind("StableDiffusionInpaintPipeline", parts, EULER)
    given = {"image": Image.open(picture), "mask_image": Image.open(mask), "strength": strength}
    expected = theirs(pipeline, negative_prompt=NEGATIVE, guidance_scale=5.0, **given)
    shown = {"init_image": picture, "mask": mask, "strength": strength, "negative": NEGATIVE}
    made = ours(parts, tmp_path, cfg_scale=5.0, sampler="euler", scheduler="leading", **shown)
    check(made, expected)


def test_lcm_with_its_guidance_told(tmp_path):
    pipeline = tiny.sd1(time_cond_proj_dim=32)
    expected = theirs(
        as_kind("StableDiffusionPipeline", pipeline, diffusers.LCMScheduler(**tiny.SD_SCHEDULER)),
        4,
        guidance_scale=8.0,
    )
    check(ours(pipeline, tmp_path, 4, guidance=8.0, scheduler="lcm"), expected)


def test_refiner(picture, tmp_path):
    pipeline = tiny.refiner()
    given = {"image": Image.open(picture), "strength": 0.5, "height": None, "width": None}
    expected = theirs(pipeline, 8, negative_prompt=NEGATIVE, guidance_scale=5.0, **given)
    asked = {"sampler": "euler", "scheduler": "leading", "negative": NEGATIVE, "cfg_scale": 5.0}
    check(ours(pipeline, tmp_path, 8, init_image=picture, strength=0.5, **asked), expected)


def test_sdxl_is_told_the_size(tmp_path):
    pipeline, size = tiny.sdxl(), {"width": 96, "height": 64}
    expected = theirs(as_kind("StableDiffusionXLPipeline", pipeline, EULER), guidance_scale=5.0, **size)
    made = ours(pipeline, tmp_path, sampler="euler", scheduler="leading", cfg_scale=5.0, **size)
    check(made, expected)
    told = theirs(
        as_kind("StableDiffusionXLPipeline", pipeline, EULER),
        guidance_scale=5.0,
        original_size=(512, 512),
        **size,
    )
    assert np.abs(told - expected).max() > 2  # so the sizes count


def test_turbo(tmp_path):
    pipeline = tiny.sdxl()
    expected = theirs(as_kind("StableDiffusionXLPipeline", pipeline, EULER_A), 4, guidance_scale=0.0)
    check(ours(pipeline, tmp_path, None, variant="turbo"), expected)


def test_schnell(tmp_path):
    pipeline = tiny.flux(guided=False)
    expected = theirs(pipeline, 4, max_sequence_length=256, guidance_scale=0.0)
    check(ours(pipeline, tmp_path, None), expected)


@pytest.mark.parametrize("strength", [1.0, 0.75])
def test_fill(picture, mask, tmp_path, strength):
    parts = tiny.flux(channels=96)
    given = {"image": Image.open(picture), "mask_image": Image.open(mask), "strength": strength}
    expected = theirs(as_kind("FluxFillPipeline", parts), 8, guidance_scale=30.0, **given)
    made = ours(parts, tmp_path, 8, init_image=picture, mask=mask, strength=strength)
    check(made, expected)


@pytest.mark.parametrize(
    "options",
    [{"qk_norm": "rms_norm"}, {"qk_norm": "rms_norm", "dual_attention_layers": (0,)}],
    ids=["large", "medium"],
)
def test_stable_diffusion_3_5(tmp_path, options):
    pipeline = tiny.sd3(**options)
    expected = theirs(pipeline, guidance_scale=4.0, negative_prompt=NEGATIVE)
    check(ours(pipeline, tmp_path, cfg_scale=4.0, negative=NEGATIVE), expected)


def test_stable_diffusion_3_without_t5_reads_256_zeros(tmp_path):
    pipeline = tiny.sd3(with_t5=False)
    expected = theirs(pipeline, guidance_scale=4.0, negative_prompt=NEGATIVE)
    check(ours(pipeline, tmp_path, cfg_scale=4.0, negative=NEGATIVE), expected)
    fewer = theirs(pipeline, guidance_scale=4.0, negative_prompt=NEGATIVE, max_sequence_length=77)
    assert np.abs(fewer - expected).max() > 2  # so their number counts


@pytest.mark.parametrize("size", [(64, 64), (96, 48)])
@pytest.mark.parametrize("kind", ["alpha", "sigma"])
def test_pixart(tmp_path, kind, size):
    pipeline = tiny.pixart(kind)
    size = dict(zip(("width", "height"), size, strict=True))
    expected = theirs(
        pipeline, 8, guidance_scale=4.5, negative_prompt=NEGATIVE, use_resolution_binning=False, **size
    )
    check(ours(pipeline, tmp_path, 8, negative=NEGATIVE, **size), expected)


# ---- how weights are stored


def drawn(model, **settings):
    """A picture of few steps from a file or folder."""
    asked = {"prompt": PROMPT, "negative": NEGATIVE, "seed": SEED, "steps": 4, "width": SIDE, "height": SIDE}
    return develop(Request(model=str(model), **{**asked, **settings})).images[0].astype(float)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """SD 1 and FLUX.1 as single files, with the tokenizer of T5 beside that."""
    root = tmp_path_factory.mktemp("whole")
    for name, pipeline in (("sd1", tiny.sd1(act="gelu")), ("flux", tiny.flux(act="gelu"))):
        folder = tiny.save(pipeline, root / f"{name}-folder")
        convert(folder, root / f"{name}.safetensors")
    shutil.copytree(root / "flux-folder" / "tokenizer_2", root / "tokenizer_2")
    return root


STORED = (
    (torch.float16, "float32"),
    (torch.float8_e4m3fn, "float32"),
    (torch.float16, "bfloat16"),
    (torch.bfloat16, "bfloat16"),
)


@pytest.mark.parametrize(("stored", "precision"), STORED, ids=str)
def test_stored_types_count_as_if_cast_by_hand(whole, tmp_path, stored, precision):
    tensors = load_file(whole / "sd1.safetensors")
    rounded = {name: one.to(stored) if one.is_floating_point() else one for name, one in tensors.items()}
    save_file(rounded, tmp_path / "stored.safetensors")
    plain = {name: one.float() if one.is_floating_point() else one for name, one in rounded.items()}
    save_file(plain, tmp_path / "by-hand.safetensors")
    made, by_hand = (
        drawn(tmp_path / f"{name}.safetensors", precision=precision) for name in ("stored", "by-hand")
    )
    assert made.std() > 10 and np.abs(made - by_hand).max() <= 1
    assert np.abs(made - drawn(whole / "sd1.safetensors")).max() > 0  # so the type counts


FAMILIES = {
    "sd1": tiny.sd1,
    "sdxl": tiny.sdxl,
    "sd3": tiny.sd3,
    "flux": tiny.flux,
    "pixart": lambda: tiny.pixart("alpha"),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_bfloat16_is_near(tmp_path, family):
    folder = tiny.save(FAMILIES[family](), tmp_path / "model")
    exact, near = drawn(folder), drawn(folder, precision="bfloat16")
    model = load_model(str(folder), "bfloat16", None, False, ()).model
    kinds = {weight.dtype for part in model.parts.values() for weight in part.parameters()}
    assert kinds == {torch.bfloat16}
    assert np.abs(exact - near).mean() < 0.1 * exact.std()


def test_shards_and_variants_of_a_folder(tmp_path):
    pipeline = tiny.sd1()
    plain = drawn(tiny.save(pipeline, tmp_path / "plain"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline.save_pretrained(tmp_path / "shards", max_shard_size="2MB")
        pipeline.save_pretrained(tmp_path / "fp16", variant="fp16")
    assert list((tmp_path / "shards" / "unet").glob("*-of-*.safetensors"))
    assert list((tmp_path / "fp16" / "unet").glob("*.fp16.safetensors"))
    assert np.array_equal(drawn(tmp_path / "shards"), plain)
    assert np.array_equal(drawn(tmp_path / "fp16"), plain)


@pytest.mark.parametrize("kind", ["F16", "Q8_0"])
@pytest.mark.parametrize("family", ["sd1", "flux"])
def test_a_network_in_gguf_with_parts_in_files(whole, tmp_path, family, kind):
    """The network alone, as ComfyUI-GGUF writes it; the picture is that of the numbers that it holds."""
    gguf = pytest.importorskip("gguf")
    prefix = "model.diffusion_model."
    tensors = load_file(whole / f"{family}.safetensors")
    writer = gguf.GGUFWriter(str(tmp_path / "network.gguf"), "flux" if family == "flux" else "sd1")
    for name in [name for name in tensors if name.startswith(prefix)]:
        tensor = tensors[name].numpy()
        blocks = kind == "Q8_0" and tensor.ndim == 2 and tensor.shape[1] % 32 == 0
        packing = gguf.GGMLQuantizationType[kind if blocks else "F16"]
        packed = gguf.quants.quantize(tensor, packing)
        writer.add_tensor(name.removeprefix(prefix), packed, raw_dtype=packing)
        tensors[name] = torch.from_numpy(gguf.quants.dequantize(packed, packing).copy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file(tensors, tmp_path / "by-hand.safetensors")
    if family == "flux":
        shutil.copytree(whole / "tokenizer_2", tmp_path / "tokenizer_2")
    made = drawn(tmp_path / "network.gguf", others=(whole / f"{family}.safetensors",))
    assert np.abs(made - drawn(tmp_path / "by-hand.safetensors")).max() <= 1
    assert np.abs(made - drawn(whole / f"{family}.safetensors")).max() > 0


def test_a_pickle_is_read_where_it_is_allowed_and_nowhere_else(whole, tmp_path):
    tensors = load_file(whole / "sd1.safetensors")
    torch.save({"state_dict": tensors, "global_step": 3}, tmp_path / "model.ckpt")
    with pytest.raises(DarkroomError, match="allow-pickle"):
        drawn(tmp_path / "model.ckpt")
    made = drawn(tmp_path / "model.ckpt", allow_pickle=True)
    assert np.abs(made - drawn(whole / "sd1.safetensors")).max() <= 1

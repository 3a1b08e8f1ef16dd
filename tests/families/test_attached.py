"""What hangs on a model, in whole pictures: ours and those of diffusers differ by 1 of 255 at most."""

import pytest
import torch

from darkroom.errors import DarkroomError
from darkroom.studio.attachments import Attachments, Control, ImagePrompt, Lora
from darkroom.studio.models import load_model

pytest.importorskip("diffusers")
pytest.importorskip("peft")
from tests.families import hanging, tiny
from tests.families.hanging import NOTHING, far, ours, theirs


def weights_of(folder):
    model = load_model(str(folder), "float32", None, False, ()).model
    return [tensor.clone() for part in model.parts.values() for tensor in part.state_dict().values()]


# ---- LoRA


@pytest.mark.parametrize("family", ["sd1", "sdxl", "flux"])
def test_a_lora_in_every_style_makes_the_picture_of_diffusers(folders, plain, root, family):
    pipeline, folder, made = (
        getattr(tiny, family)(),
        folders(family),
        hanging.factors(hanging.parts_of(family)),
    )
    with hanging.merged(pipeline, made, 0.7):
        expected = theirs(pipeline, family)
    styles = {"kohya": hanging.as_kohya(made, family == "sd1"), "peft": hanging.as_peft(made)}
    if family != "flux":
        styles["processors"] = hanging.as_processors(made)
    without, before = plain(family), weights_of(folder)
    assert far(without, expected) > 5
    for style, tensors in styles.items():
        file = hanging.saved(tensors, root / f"{family}-{style}.safetensors")
        result = ours(folder, family, Attachments(loras=(Lora(file, 0.7),)))
        assert far(result, expected) <= 1
        assert result.notices == (f"{file.name}: matched {len(tensors)}, unused 0, missing 0",)
    assert all(map(torch.equal, before, weights_of(folder)))
    assert far(ours(folder, family, NOTHING), without) == 0


@pytest.mark.parametrize("family", ["sd1", "flux"])
def test_diffusers_loads_the_same_lora_to_the_same_picture(folders, root, family):
    """Its own loader, of the part that it reads whatever the version of transformers."""
    part = "transformer" if family == "flux" else "unet"
    made = hanging.factors({part: hanging.parts_of(family)[part]})
    file = hanging.saved(hanging.as_peft(made), root / f"{family}-own.safetensors")
    pipeline = getattr(tiny, family)()
    pipeline.load_lora_weights(str(file), adapter_name="one")
    pipeline.set_adapters(["one"], [0.7])
    expected = theirs(pipeline, family)
    pipeline.unload_lora_weights()
    result = ours(folders(family), family, Attachments(loras=(Lora(file, 0.7),)))
    assert far(result, expected) <= 1


def test_a_lora_by_its_name_in_the_prompt(folders, root, monkeypatch):
    monkeypatch.setenv("DARKROOM_HOME", str(root))
    (root / "loras").mkdir()
    tensors = hanging.as_kohya(hanging.factors(hanging.parts_of("sd1")), single=True)
    file = hanging.saved(tensors, root / "loras" / "ink.safetensors")
    by_name = ours(folders("sd1"), "sd1", NOTHING, prompt=f"{hanging.PROMPT}<lora:ink:0.5>")
    by_file = ours(folders("sd1"), "sd1", Attachments(loras=(Lora(file, 0.5),)))
    assert far(by_name, by_file) == 0 and by_name.notices == by_file.notices
    twice = ours(
        folders("sd1"), "sd1", Attachments(loras=(Lora(file, 0.2),)), prompt=f"{hanging.PROMPT}<lora:ink:0.3>"
    )
    assert far(twice, by_file) <= 1


def test_what_does_not_fit_is_one_sentence_and_the_model_stays_as_it_was(folders, plain, root):
    other = hanging.saved(
        hanging.as_kohya(hanging.factors(hanging.parts_of("flux")), False), root / "other.safetensors"
    )
    with pytest.raises(DarkroomError, match=r"none of the .* layers .* is in this model") as error:
        ours(folders("sd1"), "sd1", Attachments(loras=(Lora(other),)))
    assert "\n" not in str(error.value)
    made = hanging.factors({"unet": hanging.parts_of("sd1")["unet"]})
    first = hanging.saved(hanging.as_peft(made), root / "first.safetensors")
    with pytest.raises(DarkroomError, match="none of the"):
        ours(folders("sd1"), "sd1", Attachments(loras=(Lora(first), Lora(other))))
    assert far(ours(folders("sd1"), "sd1", NOTHING), plain("sd1")) == 0


def test_what_of_a_lora_was_not_used_is_told(folders, root):
    tensors = hanging.as_peft(hanging.factors({"unet": hanging.parts_of("sd1")["unet"]}))
    some = dict(list(tensors.items())[:3]) | {"unet.nowhere.lora_A.weight": torch.ones(2, 2)}
    file = hanging.saved(some, root / "some.safetensors")
    (notice,) = ours(folders("sd1"), "sd1", Attachments(loras=(Lora(file),))).notices
    assert notice == "some.safetensors: matched 2, unused 2, missing 1"


# ---- IP-Adapter


@pytest.mark.parametrize("plus", [False, True], ids=["plain", "plus"])
@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_a_picture_among_the_prompts(folders, plain, root, encoder, family, plus):
    from safetensors.torch import load_file
    from transformers import CLIPImageProcessor

    folder, (network, place), without = folders(family), encoder, plain(family)
    file = hanging.ip_adapter(folder, plus, root / f"{family}-ip-{plus}.safetensors")
    shown, image = hanging.picture(root / "shown.png", 52, side=72)
    nested = {"image_proj": {}, "ip_adapter": {}}
    for name, tensor in load_file(file).items():
        part, rest = name.split(".", 1)
        nested[part][rest] = tensor
    pipeline = hanging.copied(getattr(tiny, family)())
    processor = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    pipeline.register_modules(image_encoder=network, feature_extractor=processor)
    pipeline.unet._load_ip_adapter_weights([nested], low_cpu_mem_usage=False)
    pipeline.set_ip_adapter_scale(0.6)
    expected = theirs(pipeline, family, ip_adapter_image=image)
    result = ours(folder, family, Attachments(image_prompts=(ImagePrompt(file, place, shown, 0.6),)))
    assert far(without, expected) > 2
    assert far(result, expected) <= 1
    assert far(ours(folder, family, NOTHING), without) == 0
    single = hanging.saved(network.state_dict(), root / "encoder.safetensors")
    alike = Attachments(image_prompts=(ImagePrompt(file, single, shown, 0.6),))
    assert far(ours(folder, family, alike), result) == 0


def test_an_ip_adapter_that_does_not_fit_is_refused(folders, root, encoder):
    _, place = encoder
    shown, _ = hanging.picture(root / "shown.png", 52)
    other = hanging.ip_adapter(folders("sdxl"), False, root / "other-ip.safetensors")
    plus = hanging.ip_adapter(folders("sd1"), True, root / "plus-ip.safetensors")
    lora = hanging.saved(hanging.as_peft(hanging.factors(hanging.parts_of("sd1"))), root / "lora.safetensors")
    for file, where, said in (
        (other, place, "choose an adapter for this kind of model"),
        (lora, place, r"lora.safetensors has no IP-Adapter but an adapter \(LoRA\)"),
        (plus, folders("sd1") / "vae", "has no CLIP image encoder but vae"),
        (plus, root / "shown.png", "shown.png"),
    ):
        with pytest.raises(DarkroomError, match=said) as error:
            ours(folders("sd1"), "sd1", Attachments(image_prompts=(ImagePrompt(file, where, shown),)))
        assert "\n" not in str(error.value)


# ---- textual inversion


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_an_embedding_by_its_name_in_the_prompt(folders, plain, root, monkeypatch, family):
    from darkroom.adapters import textual_inversion

    pipeline, draw = (
        hanging.copied(getattr(tiny, family)(), "tokenizer", "tokenizer_2"),
        torch.Generator().manual_seed(60),
    )
    first, second = (torch.randn(3, 64, generator=draw) for _ in range(2))
    tensors = {"emb_params": first} if family == "sd1" else {"clip_l": first, "clip_g": second}
    file = hanging.saved(tensors, root / f"{family}-inkish.safetensors")
    monkeypatch.setattr(textual_inversion, "PARTS", {32: "text_encoder", 64: "text_encoder"})
    word, prompt = file.stem, f"a red cat by {file.stem}, and a dog"
    if family == "sd1":
        pipeline.load_textual_inversion(tensors, token=word)
    else:
        for vectors, tail in ((first, ""), (second, "_2")):
            told = {part: getattr(pipeline, f"{part}{tail}") for part in ("text_encoder", "tokenizer")}
            pipeline.load_textual_inversion({word: vectors}, token=word, **told)
    expected = theirs(pipeline, family, prompt=prompt)
    result = ours(folders(family), family, Attachments(embeddings=(file,)), prompt=prompt)
    without = ours(folders(family), family, NOTHING, prompt=prompt)
    assert far(without, expected) > 2
    assert far(result, expected) <= 1 and result.notices == ()
    silent = ours(folders(family), family, Attachments(embeddings=(file,)))
    assert far(silent, plain(family)) == 0
    assert silent.notices == (f"{word}: unused, no prompt has it",)
    narrow = hanging.saved(
        {"emb_params": torch.randn(3, 32, generator=draw)}, root / f"{family}-narrow.safetensors"
    )
    with pytest.raises(DarkroomError, match="made for another kind of model"):
        ours(folders(family), family, Attachments(embeddings=(narrow,)), prompt=f"a {narrow.stem}")


# ---- all of it


@pytest.mark.parametrize("family", ["sd1", "flux"])
def test_all_at_once_in_half_precision_stays_near(folders, nets, root, family, encoder):
    """Every attachment takes the precision of what it hangs on."""
    if family == "flux":
        place = root / "half-net.safetensors"
        hanging.saved(hanging.flux_controlnet().state_dict(), place)
        hint, pictures = hanging.picture(root / "half-hint.png", 44)[0], ()
    else:
        _, (place, _), ((hint, _), _) = nets(family)
        adapter = hanging.ip_adapter(folders(family), True, root / "half-ip.safetensors")
        pictures = (ImagePrompt(adapter, encoder[1], hint, 0.6),)
    lora = hanging.saved(
        hanging.as_peft(hanging.factors(hanging.parts_of(family))), root / "half.safetensors"
    )
    attached = Attachments((Lora(lora, 0.5),), (Control(place, hint, 0.7),), pictures)
    whole = ours(folders(family), family, attached)
    half = ours(folders(family), family, attached, precision="bfloat16")
    difference = abs(whole.images[0].astype(float) - half.images[0]).mean()
    assert len(whole.notices) == len(half.notices) == 2 + len(pictures)
    assert 0 < difference < 5

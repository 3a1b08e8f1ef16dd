"""What hangs on a model, in whole pictures: ours and those of diffusers differ by 1 of 255 at most."""

from dataclasses import replace

import pytest
import torch

from darkroom.errors import DarkroomError
from darkroom.studio.attachments import Attachments, Control, ImagePrompt, Lora
from darkroom.studio.develop import develop, develop_many
from darkroom.studio.models import load_model

pytest.importorskip("diffusers")
pytest.importorskip("peft")
from tests.families import hanging, tiny
from tests.families.hanging import far, ours, theirs

NOTHING = Attachments()


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("attached")


@pytest.fixture(scope="module")
def folders(root):
    """The folder of each tiny model, written once."""
    made = {}

    def folder(family):
        if family not in made:
            made[family] = tiny.save(getattr(tiny, family)(), root / family)
        return made[family]

    return folder


@pytest.fixture(scope="module")
def plain(folders):
    """The picture of each model with nothing on it, made once."""
    made = {}

    def picture(family):
        if family not in made:
            made[family] = ours(folders(family), family, NOTHING)
        return made[family]

    return picture


def parts_of(family):
    pipeline = getattr(tiny, family)()
    if family == "flux":
        return {"transformer": pipeline.transformer}
    names = ("unet", "text_encoder", "text_encoder_2")
    return {name: getattr(pipeline, name) for name in names if hasattr(pipeline, name)}


def weights_of(folder):
    model = load_model(str(folder), "float32", None, False, ()).model
    return [tensor.clone() for part in model.parts.values() for tensor in part.state_dict().values()]


# ---- LoRA


@pytest.mark.parametrize("family", ["sd1", "sdxl", "flux"])
def test_a_lora_in_every_style_makes_the_picture_of_diffusers(folders, plain, root, family):
    pipeline, folder, made = getattr(tiny, family)(), folders(family), hanging.factors(parts_of(family))
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
        print("@@ lora", family, style, far(result, expected), far(without, expected))
        assert far(result, expected) <= 1
        assert result.notices == (f"{file.name}: matched {len(tensors)}, unused 0, missing 0",)
    assert all(map(torch.equal, before, weights_of(folder)))
    assert far(ours(folder, family, NOTHING), without) == 0


@pytest.mark.parametrize("family", ["sd1", "flux"])
def test_diffusers_loads_the_same_lora_to_the_same_picture(folders, root, family):
    """Its own loader, of the part that it reads whatever the version of transformers."""
    part = "transformer" if family == "flux" else "unet"
    made = hanging.factors({part: parts_of(family)[part]})
    file = hanging.saved(hanging.as_peft(made), root / f"{family}-own.safetensors")
    pipeline = getattr(tiny, family)()
    pipeline.load_lora_weights(str(file), adapter_name="one")
    pipeline.set_adapters(["one"], [0.7])
    expected = theirs(pipeline, family)
    pipeline.unload_lora_weights()
    result = ours(folders(family), family, Attachments(loras=(Lora(file, 0.7),)))
    print("@@ own loader", family, far(result, expected))
    assert far(result, expected) <= 1


def test_a_lora_by_its_name_in_the_prompt(folders, root, monkeypatch):
    monkeypatch.setenv("DARKROOM_HOME", str(root))
    (root / "loras").mkdir()
    tensors = hanging.as_kohya(hanging.factors(parts_of("sd1")), single=True)
    file = hanging.saved(tensors, root / "loras" / "ink.safetensors")
    by_name = ours(folders("sd1"), "sd1", NOTHING, prompt=f"{hanging.PROMPT}<lora:ink:0.5>")
    by_file = ours(folders("sd1"), "sd1", Attachments(loras=(Lora(file, 0.5),)))
    assert far(by_name, by_file) == 0 and by_name.notices == by_file.notices
    twice = ours(
        folders("sd1"), "sd1", Attachments(loras=(Lora(file, 0.2),)), prompt=f"{hanging.PROMPT}<lora:ink:0.3>"
    )
    print("@@ twice", far(twice, by_file))
    assert far(twice, by_file) <= 1


def test_what_does_not_fit_is_one_sentence_and_the_model_stays_as_it_was(folders, plain, root):
    other = hanging.saved(
        hanging.as_kohya(hanging.factors(parts_of("flux")), False), root / "other.safetensors"
    )
    with pytest.raises(DarkroomError, match=r"none of the .* layers .* is in this model") as error:
        ours(folders("sd1"), "sd1", Attachments(loras=(Lora(other),)))
    assert "\n" not in str(error.value)
    made = hanging.factors({"unet": parts_of("sd1")["unet"]})
    first = hanging.saved(hanging.as_peft(made), root / "first.safetensors")
    with pytest.raises(DarkroomError, match="none of the"):
        ours(folders("sd1"), "sd1", Attachments(loras=(Lora(first), Lora(other))))
    assert far(ours(folders("sd1"), "sd1", NOTHING), plain("sd1")) == 0


def test_what_of_a_lora_was_not_used_is_told(folders, root):
    tensors = hanging.as_peft(hanging.factors({"unet": parts_of("sd1")["unet"]}))
    some = dict(list(tensors.items())[:3]) | {"unet.nowhere.lora_A.weight": torch.ones(2, 2)}
    file = hanging.saved(some, root / "some.safetensors")
    (notice,) = ours(folders("sd1"), "sd1", Attachments(loras=(Lora(file),))).notices
    assert notice == "some.safetensors: matched 2, unused 2, missing 1"


# ---- ControlNet


def as_original(network, path):
    """The ControlNet as latent-diffusion names it, under "control_model."."""
    from darkroom.weights.layouts.controlnet import from_native
    from darkroom.weights.store import MemoryStore

    state = MemoryStore(network.state_dict())
    store = from_native(state.header.shapes).original(state)
    tensors = {f"control_model.{name}": store.tensor(name) for name in store.header.tensors}
    return hanging.saved(tensors, path)


@pytest.fixture(scope="module")
def nets(root):
    """Two ControlNets for each U-Net, each with the picture that it follows."""
    made = {}

    def pair(family):
        if family not in made:
            networks = [hanging.unet_controlnet(family, seed) for seed in (21, 31)]
            for i, network in enumerate(networks):
                network.save_pretrained(root / f"{family}-net-{i}")
            hints = [hanging.picture(root / f"{family}-hint-{i}.png", 40 + i) for i in range(2)]
            made[family] = networks, [root / f"{family}-net-{i}" for i in range(2)], hints
        return made[family]

    return pair


NAMES = {"sd1": "StableDiffusionControlNetPipeline", "sdxl": "StableDiffusionXLControlNetPipeline"}


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_a_controlnet_from_a_folder_and_from_files(folders, plain, nets, root, family):
    (network, _), (folder, _), ((hint, image), _) = nets(family)
    pipeline = hanging.with_parts(NAMES[family], getattr(tiny, family)(), controlnet=network)
    expected = theirs(pipeline, family, image=image, controlnet_conditioning_scale=0.7)
    named = hanging.saved(network.state_dict(), root / f"{family}-named.safetensors")
    original = as_original(network, root / f"{family}-original.safetensors")
    assert far(plain(family), expected) > 5
    for place in (folder, named, original):
        result = ours(folders(family), family, Attachments(controls=(Control(place, hint, 0.7),)))
        print("@@ controlnet", family, place.name, far(result, expected), far(plain(family), expected))
        assert far(result, expected) <= 1
        assert result.notices[0].startswith(f"{place.name}: matched ")
        assert result.notices[0].endswith("unused 0, missing 0")
    assert far(ours(folders(family), family, NOTHING), plain(family)) == 0


@pytest.mark.parametrize("shares", [(0.0, 0.5), (0.3, 1.0), (0.3, 0.9), (0.05, 0.7)])
def test_a_controlnet_for_some_of_the_steps(folders, nets, shares):
    (network, _), (folder, _), ((hint, image), _) = nets("sd1")
    pipeline = hanging.with_parts(NAMES["sd1"], tiny.sd1(), controlnet=network)
    expected = theirs(
        pipeline,
        "sd1",
        image=image,
        control_guidance_start=shares[0],
        control_guidance_end=shares[1],
        num_inference_steps=6,
    )
    result = ours(
        folders("sd1"), "sd1", Attachments(controls=(Control(folder, hint, 1.0, *shares),)), steps=6
    )
    print("@@ shares", shares, far(result, expected))
    assert far(result, expected) <= 1


def test_a_controlnet_on_a_picture_to_start_from(folders, nets):
    """Shares are then of the steps that are left."""
    (network, _), (folder, _), ((hint, image), (start, given)) = nets("sd1")
    pipeline = hanging.with_parts("StableDiffusionControlNetImg2ImgPipeline", tiny.sd1(), controlnet=network)
    expected = theirs(
        pipeline,
        "sd1",
        image=given,
        control_image=image,
        controlnet_conditioning_scale=1.0,
        strength=0.75,
        control_guidance_end=0.6,
        num_inference_steps=8,
    )
    attached = Attachments(controls=(Control(folder, hint, 1.0, 0.0, 0.6),))
    result = ours(folders("sd1"), "sd1", attached, steps=8, init_image=start, strength=0.75)
    print("@@ img2img", far(result, expected))
    assert far(result, expected) <= 1


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_two_controlnets(folders, nets, family):
    from diffusers.models.controlnets.multicontrolnet import MultiControlNetModel

    networks, places, hints = nets(family)
    pipeline = hanging.with_parts(
        NAMES[family], getattr(tiny, family)(), controlnet=MultiControlNetModel(networks)
    )
    expected = theirs(
        pipeline, family, image=[image for _, image in hints], controlnet_conditioning_scale=[0.7, 0.4]
    )
    controls = tuple(
        Control(place, hint, scale) for place, (hint, _), scale in zip(places, hints, (0.7, 0.4), strict=True)
    )
    result = ours(folders(family), family, Attachments(controls=controls))
    print("@@ two", family, far(result, expected))
    assert far(result, expected) <= 1


@pytest.fixture
def at_the_mean(monkeypatch):
    """Diffusers draws a transformer's control latents at random; here at the mean, as ours are."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mean)


@pytest.mark.parametrize("modes", [None, 3])
def test_controlnets_of_flux(folders, plain, root, at_the_mean, modes):
    network = hanging.flux_controlnet(modes)
    network.save_pretrained(root / f"flux-net-{modes}")
    named = hanging.saved(network.state_dict(), root / f"flux-net-{modes}.safetensors")
    hint, image = hanging.picture(root / "flux-hint.png", 42)
    pipeline = hanging.with_parts("FluxControlNetPipeline", tiny.flux(), controlnet=network)
    mode = None if modes is None else 1
    expected = theirs(
        pipeline, "flux", control_image=image, controlnet_conditioning_scale=0.7, control_mode=mode
    )
    assert far(plain("flux"), expected) > 5
    for place in (root / f"flux-net-{modes}", named):
        attached = Attachments(controls=(Control(place, hint, 0.7, mode=mode),))
        result = ours(folders("flux"), "flux", attached)
        print("@@ flux", modes, place.name, far(result, expected), far(plain("flux"), expected))
        assert far(result, expected) <= 1
    wrong = Attachments(controls=(Control(named, hint, mode=None if modes else 0),))
    with pytest.raises(DarkroomError, match=r"kinds? of control picture"):
        ours(folders("flux"), "flux", wrong)


@pytest.mark.parametrize("zero_pooled", [True, False])
def test_controlnets_of_sd3(folders, plain, root, at_the_mean, zero_pooled):
    """One that is told zeros for the pooled text sees latents without their shift."""
    network = hanging.sd3_controlnet(zero_pooled)
    place = root / f"sd3-net-{zero_pooled}"
    network.save_pretrained(place)
    hint, image = hanging.picture(root / "sd3-hint.png", 43)
    pipeline = hanging.with_parts("StableDiffusion3ControlNetPipeline", tiny.sd3(), controlnet=network)
    expected = theirs(pipeline, "sd3", control_image=image, controlnet_conditioning_scale=0.7)
    assert far(plain("sd3"), expected) > 5
    named = hanging.saved(network.state_dict(), root / "sd3-net.safetensors")
    for one in (place, named) if zero_pooled else (place,):
        result = ours(folders("sd3"), "sd3", Attachments(controls=(Control(one, hint, 0.7),)))
        print("@@ sd3", one.name, far(result, expected), far(plain("sd3"), expected))
        assert far(result, expected) <= 1


def test_a_controlnet_of_another_model_is_refused(folders, nets, root):
    _, (place, _), ((hint, _), _) = nets("sdxl")
    lora = hanging.saved(hanging.as_peft(hanging.factors(parts_of("sd1"))), root / "lora.safetensors")
    network = hanging.flux_controlnet()
    flux = hanging.saved(network.state_dict(), root / "flux-control.safetensors")
    for one, said in (
        (place, "made for another kind of model: its context width is 128 and the model's 32"),
        (lora, r"has no ControlNet but an adapter \(LoRA\)"),
        (flux, "made for another kind of model"),
    ):
        with pytest.raises(DarkroomError, match=said) as error:
            ours(folders("sd1"), "sd1", Attachments(controls=(Control(one, hint),)))
        print("@@", error.value)
        assert "\n" not in str(error.value)


# ---- what is told beside words


def test_pictures_made_together_are_those_made_alone(folders, nets):
    """Rows that differ in strength, control picture, time of the control and seed, in one batch."""
    _, (folder, _), ((first, _), (second, _)) = nets("sd1")
    controls = [
        Control(folder, first, 0.7),
        Control(folder, second, 0.3),
        Control(folder, first, 1.0, 0.0, 0.5),
    ]
    requests = [
        hanging.request(folders("sd1"), "sd1", Attachments(controls=(one,)), noise="philox", count=2)
        for one in controls
    ]
    rows = []
    network = load_model(str(folders("sd1")), "float32", None, False, ()).model.network
    hook = network.register_forward_pre_hook(lambda _, given: rows.append(len(given[0])))
    together = develop_many(requests)
    hook.remove()
    assert rows == [12] * hanging.STEPS  # two prompts for each of six pictures
    for request, result in zip(requests, together, strict=True):
        for i in range(2):
            alone = develop(request.single(i))
            difference = abs(alone.images[0].astype(int) - result.images[i]).max()
            print("@@ together", difference)
            assert difference <= 1
    assert far(together[0], together[1]) > 5 and far(together[0], together[2]) > 5


def test_sizes_differ_among_pictures_made_together(folders, nets):
    _, (folder, _), ((hint, _), _) = nets("sd1")
    attached = Attachments(controls=(Control(folder, hint, 0.7),))
    small = hanging.request(folders("sd1"), "sd1", attached)
    wide = replace(small, width=128)
    both = develop_many([small, wide])
    assert far(both[0], develop(small)) <= 1 and far(both[1], develop(wide)) <= 1


@pytest.mark.parametrize("family", ["sd1", "flux"])
def test_all_at_once_in_half_precision_stays_near(folders, nets, root, family, encoder):
    """Every attachment takes the precision of what it hangs on."""
    if family == "flux":
        place = root / "half-net.safetensors"
        hanging.saved(hanging.flux_controlnet().state_dict(), place)
        hint, pictures = hanging.picture(root / "half-hint.png", 44)[0], ()
    else:
        _, (place, _), ((hint, _), _) = nets(family)
        folders(family)
        adapter = ip_adapter(family, True, root / "half-ip.safetensors")
        pictures = (ImagePrompt(adapter, encoder[1], hint, 0.6),)
    lora = hanging.saved(hanging.as_peft(hanging.factors(parts_of(family))), root / "half.safetensors")
    attached = Attachments((Lora(lora, 0.5),), (Control(place, hint, 0.7),), pictures)
    whole = ours(folders(family), family, attached)
    half = ours(folders(family), family, attached, precision="bfloat16")
    difference = abs(whole.images[0].astype(float) - half.images[0]).mean()
    print("@@ half", family, difference)
    assert len(whole.notices) == len(half.notices) == 2 + len(pictures)
    assert 0 < difference < 5


# ---- IP-Adapter


@pytest.fixture(scope="module")
def encoder(root):
    """A tiny CLIP image encoder, in memory and in its folder."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    torch.manual_seed(50)
    sizes = {"hidden_size": 20, "intermediate_size": 40, "num_hidden_layers": 3, "num_attention_heads": 4}
    config = CLIPVisionConfig(**sizes, projection_dim=24, image_size=32, patch_size=8)
    network = tiny.shaken(CLIPVisionModelWithProjection(config), 50)
    network.save_pretrained(root / "image_encoder")
    return network, root / "image_encoder"


def ip_adapter(family, plus, path):
    """A random adapter for a tiny U-Net, as published files have it."""
    from darkroom.networks.ip_adapter import IPAdapter, IPAdapterConfig, ResamplerConfig, cross_attentions

    unet = load_model(str(path.parent / family), "float32", None, False, ()).model.network
    widths = tuple(one.to_q.out_features for one in cross_attentions(unet))
    resampler = ResamplerConfig(width=32, depth=4, heads=1) if plus else None
    config = IPAdapterConfig(
        widths, unet.config.context_width, 20 if plus else 24, 6 if plus else 4, resampler
    )
    torch.manual_seed(51)
    adapter = tiny.shaken(IPAdapter(config), 51)
    return hanging.saved(adapter.state_dict(), path)


@pytest.mark.parametrize("plus", [False, True], ids=["plain", "plus"])
@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_a_picture_among_the_prompts(folders, plain, root, encoder, family, plus):
    from safetensors.torch import load_file
    from transformers import CLIPImageProcessor

    folder, (network, place), without = folders(family), encoder, plain(family)
    file = ip_adapter(family, plus, root / f"{family}-ip-{plus}.safetensors")
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
    print("@@ ip", family, plus, far(result, expected), far(without, expected))
    assert far(without, expected) > 2
    assert far(result, expected) <= 1
    assert far(ours(folder, family, NOTHING), without) == 0


def test_an_ip_adapter_that_does_not_fit_is_refused(folders, root, encoder):
    _, place = encoder
    shown, _ = hanging.picture(root / "shown.png", 52)
    folders("sdxl"), folders("sd1")
    other = ip_adapter("sdxl", False, root / "other-ip.safetensors")
    plus = ip_adapter("sd1", True, root / "plus-ip.safetensors")
    lora = hanging.saved(hanging.as_peft(hanging.factors(parts_of("sd1"))), root / "lora.safetensors")
    for file, where, said in (
        (other, place, "choose an adapter for this kind of model"),
        (lora, place, r"lora.safetensors has no IP-Adapter but an adapter \(LoRA\)"),
        (plus, root / "sd1" / "vae", "CLIP image encoder"),
        (plus, root / "shown.png", "CLIP image encoder"),
    ):
        with pytest.raises(DarkroomError, match=said) as error:
            ours(folders("sd1"), "sd1", Attachments(image_prompts=(ImagePrompt(file, where, shown),)))
        print("@@", error.value)
        assert "\n" not in str(error.value)


# ---- textual inversion


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_an_embedding_by_its_name_in_the_prompt(folders, plain, root, monkeypatch, family):
    from darkroom.adapters import textual_inversion

    pipeline, draw = (
        hanging.copied(getattr(tiny, family)(), "tokenizer", "tokenizer_2"),
        torch.Generator().manual_seed(60),
    )
    first, second = (torch.randn(3, width, generator=draw) for width in (32 if family == "sd1" else 64, 64))
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
    print("@@ embedding", family, far(result, expected), far(without, expected))
    assert far(without, expected) > 2
    assert far(result, expected) <= 1 and result.notices == ()
    silent = ours(folders(family), family, Attachments(embeddings=(file,)))
    assert far(silent, plain(family)) == 0
    assert silent.notices == (f"{word}: unused, no prompt has it",)
    if family == "sdxl":
        with pytest.raises(DarkroomError, match="made for another kind of model"):
            ours(folders("sd1"), "sd1", Attachments(embeddings=(file,)), prompt=prompt)

"""ControlNets in whole pictures: ours and those of diffusers differ by 1 of 255 at most."""

from dataclasses import replace

import pytest

from darkroom.errors import DarkroomError
from darkroom.studio.attachments import Attachments, Control
from darkroom.studio.develop import develop, develop_many
from darkroom.studio.models import load_model
from darkroom.weights.layouts.controlnet import flux_from_original

pytest.importorskip("diffusers")
from tests.families import hanging, tiny
from tests.families.hanging import NOTHING, far, ours, theirs

NAMES = {"sd1": "StableDiffusionControlNetPipeline", "sdxl": "StableDiffusionXLControlNetPipeline"}


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_a_controlnet_from_a_folder_and_from_files(folders, plain, nets, root, family):
    (network, _), (folder, _), ((hint, image), _) = nets(family)
    pipeline = hanging.with_parts(NAMES[family], getattr(tiny, family)(), controlnet=network)
    expected = theirs(pipeline, family, image=image, controlnet_conditioning_scale=0.7)
    named = hanging.saved(network.state_dict(), root / f"{family}-named.safetensors")
    original = hanging.as_original(network, root / f"{family}-original.safetensors")
    assert far(plain(family), expected) > 5
    for place in (folder, named, original):
        result = ours(folders(family), family, Attachments(controls=(Control(place, hint, 0.7),)))
        assert far(result, expected) <= 1
        assert result.notices[0].startswith(f"{place.name}: matched ")
        assert result.notices[0].endswith("unused 0, missing 0")
    assert far(ours(folders(family), family, NOTHING), plain(family)) == 0


@pytest.mark.parametrize("shares", [(0.3, 0.9), (0.05, 0.7)])
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
    assert far(result, expected) <= 1


@pytest.fixture
def at_the_mean(monkeypatch):
    """Diffusers draws a transformer's control latents at random; here at the mean, as ours are."""
    from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

    monkeypatch.setattr(DiagonalGaussianDistribution, "sample", lambda self, generator=None: self.mean)


FLUX = {
    "plain": {},
    "union": {"num_mode": 3},
    "pixels": {"conditioning_embedding_channels": 16, "num_single_layers": 0, "patch_size": 2},
}
"""The three kinds of ControlNets for FLUX; the last is XLabs', of double blocks alone."""


@pytest.mark.parametrize("kind", FLUX)
def test_controlnets_of_flux(folders, plain, root, at_the_mean, kind):
    network = hanging.flux_controlnet(**FLUX[kind])
    network.save_pretrained(root / f"flux-{kind}")
    named = hanging.saved(network.state_dict(), root / f"flux-{kind}.safetensors")
    places = [root / f"flux-{kind}", named]
    if kind == "pixels":
        places.append(hanging.as_original(network, root / "xlabs.safetensors", flux_from_original, prefix=""))
    hint, image = hanging.picture(root / "flux-hint.png", 42)
    pipeline = hanging.with_parts("FluxControlNetPipeline", tiny.flux(), controlnet=network)
    mode = 1 if kind == "union" else None
    expected = theirs(
        pipeline, "flux", control_image=image, controlnet_conditioning_scale=0.7, control_mode=mode
    )
    assert far(plain("flux"), expected) > 5
    for place in places:
        attached = Attachments(controls=(Control(place, hint, 0.7, mode=mode),))
        result = ours(folders("flux"), "flux", attached)
        assert far(result, expected) <= 1
    wrong = Attachments(controls=(Control(named, hint, mode=None if mode else 0),))
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
        assert far(result, expected) <= 1


def test_a_controlnet_of_another_model_is_refused(folders, nets, root):
    _, (place, _), ((hint, _), _) = nets("sdxl")
    lora = hanging.saved(hanging.as_peft(hanging.factors(hanging.parts_of("sd1"))), root / "lora.safetensors")
    network = hanging.flux_controlnet()
    flux = hanging.saved(network.state_dict(), root / "flux-control.safetensors")
    for one, said in (
        (place, "made for another kind of model: its context width is 128 and the model's 64"),
        (lora, r"has no ControlNet but an adapter \(LoRA\)"),
        (flux, "made for another kind of model"),
    ):
        with pytest.raises(DarkroomError, match=said) as error:
            ours(folders("sd1"), "sd1", Attachments(controls=(Control(one, hint),)))
        assert "\n" not in str(error.value)


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
            assert difference <= 1
    assert far(together[0], together[1]) > 5 and far(together[0], together[2]) > 5


def test_sizes_differ_among_pictures_made_together(folders, nets):
    _, (folder, _), ((hint, _), _) = nets("sd1")
    attached = Attachments(controls=(Control(folder, hint, 0.7),))
    small = hanging.request(folders("sd1"), "sd1", attached)
    wide = replace(small, width=128)
    both = develop_many([small, wide])
    assert far(both[0], develop(small)) <= 1 and far(both[1], develop(wide)) <= 1

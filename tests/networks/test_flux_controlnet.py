"""The ControlNets of FLUX beside it, against those of diffusers, with the same random weights."""

from dataclasses import replace

import pytest
import torch
from flux_twins import DEV, ask, grid, inputs
from flux_twins import twins as transformers
from twins import assert_rows_stand_alone, awake, relative, shapes

from darkroom.errors import DarkroomError, InvalidRequest
from darkroom.networks.flux import FluxConfig
from darkroom.networks.flux_controlnet import ControlledFlux, FluxControlNet, FluxControlNetConfig, sources
from darkroom.networks.flux_patches import pack

reference = pytest.importorskip("diffusers.models.controlnets.controlnet_flux")

DEEP = DEV | {"num_layers": 3, "num_single_layers": 3}
PLAIN = DEV | {"num_layers": 2, "num_single_layers": 2}
UNION = PLAIN | {"num_mode": 4, "guidance_embeds": False, "num_single_layers": 0}
PIXELS = PLAIN | {"conditioning_embedding_channels": 4, "patch_size": 2, "num_single_layers": 0}
PUBLISHED = {"_class_name": "FluxControlNetModel", "attention_head_dim": 128, "guidance_embeds": True}
REAL = {
    "canny": PUBLISHED | {"num_layers": 5, "num_single_layers": 10, "patch_size": 1, "num_mode": None},
    "union": PUBLISHED | {"num_layers": 5, "num_single_layers": 10, "num_mode": 10},
    "pixels": PUBLISHED
    | {"num_layers": 2, "num_single_layers": 0, "patch_size": 2, "conditioning_embedding_channels": 16},
}


def controls(values, seed):
    """Diffusers' ControlNet and ours, with the same weights."""
    theirs = awake(reference.FluxControlNetModel(**values), seed)
    ours = FluxControlNet(FluxControlNetConfig.from_diffusers(values)).eval()
    ours.load_state_dict(theirs.state_dict())
    return ours, theirs


def residuals(theirs, x, time, cond, hint, scale, mode):
    """What diffusers' ControlNet answers, for the blocks with two streams and for those with one."""
    return theirs(
        hidden_states=pack(x, 16),
        controlnet_cond=hint if theirs.input_hint_block else pack(hint, 16),
        controlnet_mode=None if mode is None else mode[:, None],
        conditioning_scale=scale[:, None, None],
        encoder_hidden_states=cond.tokens,
        pooled_projections=cond.pooled,
        timestep=time,
        img_ids=grid(x, 0),
        txt_ids=torch.zeros(cond.tokens.shape[1], 3),
        guidance=cond.extra["guidance"] if theirs.config.guidance_embeds else None,
        return_dict=False,
    )


def told(cond, values, number=0, rows=2):
    """``cond`` with a control picture whose latents and scale differ from row to row."""
    draw = torch.Generator().manual_seed(5 + number)
    size = (3, 48, 80) if "conditioning_embedding_channels" in values else (4, 6, 10)
    parts = {"hint": torch.randn(rows, *size, generator=draw), "scale": torch.tensor([0.5, 1.25, 0.0])[:rows]}
    if "num_mode" in values:
        parts["mode"] = torch.tensor([3, 1, 0])[:rows]
    return replace(
        cond, extra=cond.extra | {f"control.{number}.{name}": part for name, part in parts.items()}
    )


def question(values, rows=2):
    x, time, cond = inputs(DEEP, rows)
    return x, time, told(cond, values, rows=rows)


@pytest.fixture(scope="module")
def flux():
    return transformers(DEEP)


@pytest.mark.parametrize("values", [PLAIN, UNION, PIXELS], ids=["plain", "union", "pixels"])
@torch.inference_mode()
def test_answers_as_diffusers_does(flux, values):
    ours, theirs = controls(values, seed=1)
    x, time, cond = question(values)
    hint, scale, mode = (cond.extra.get(f"control.0.{name}") for name in ("hint", "scale", "mode"))
    double, single = residuals(theirs, x, time, cond, hint, scale, mode)
    alone = ours(x, time, cond, hint, mode)
    for mine, other in zip(alone, [*double, *(single or [])], strict=True):
        assert relative(mine * scale[:, None, None], other) < 1e-5
    wanted = ask(
        flux[1],
        x,
        time,
        cond,
        controlnet_block_samples=double,
        controlnet_single_block_samples=single,
        controlnet_blocks_repeat=values is PIXELS,
    )
    answer = ControlledFlux(flux[0], [ours])(x, time, cond)
    assert relative(answer, wanted) < 1e-5
    assert relative(answer, flux[0](x, time, cond)) > 1e-3


@torch.inference_mode()
def test_two_of_them_add_up(flux):
    (one, its_twin), (two, other_twin) = controls(PLAIN, seed=1), controls(PLAIN, seed=2)
    x, time, cond = question(PLAIN)
    cond = told(cond, PLAIN, number=1)
    first, second = (
        residuals(net, x, time, cond, cond.extra[f"control.{i}.hint"], cond.extra[f"control.{i}.scale"], None)
        for i, net in enumerate((its_twin, other_twin))
    )
    double, single = ([a + b for a, b in zip(*pair, strict=True)] for pair in zip(first, second, strict=True))
    wanted = ask(
        flux[1], x, time, cond, controlnet_block_samples=double, controlnet_single_block_samples=single
    )
    assert relative(ControlledFlux(flux[0], [one, two])(x, time, cond), wanted) < 1e-5


@pytest.mark.parametrize("values", [PLAIN, UNION], ids=["plain", "union"])
@torch.inference_mode()
def test_neither_other_rows_nor_padding_change_an_answer(flux, values):
    network = ControlledFlux(flux[0], [controls(values, seed=1)[0]])
    x, time, cond = question(values, rows=3)
    assert_rows_stand_alone(network, x, time, cond)
    together = network(x, time, cond)
    assert relative(network(x, time, cond.padded(9)), together) < 1e-5
    assert relative(together[2], flux[0](x, time, cond)[2]) < 1e-6  # its scale is 0


@torch.inference_mode()
def test_a_hint_without_a_scale_counts_once_and_one_of_scale_0_is_not_looked_at(flux):
    network = ControlledFlux(flux[0], [controls(PLAIN, seed=1)[0]])
    x, time, cond = question(PLAIN)
    plain = {name: part for name, part in cond.extra.items() if not name.startswith("control")}
    hint = {"control.0.hint": cond.extra["control.0.hint"]}
    once, off = (hint | {"control.0.scale": torch.full((2,), scale)} for scale in (1.0, 0.0))
    answers = [network(x, time, replace(cond, extra=plain | more)) for more in (hint, once, off, {})]
    assert torch.equal(answers[0], answers[1])
    assert torch.equal(answers[2], answers[3])
    assert torch.equal(answers[3], flux[0](x, time, cond))


@torch.inference_mode()
def test_a_picture_of_reference_is_left_as_it_is(flux):
    network = ControlledFlux(flux[0], [controls(PLAIN, seed=1)[0]])
    x, time, cond = question(PLAIN)
    cond = replace(cond, extra=cond.extra | {"reference": torch.randn(2, 4, 4, 4)})
    off = replace(cond, extra=cond.extra | {"control.0.scale": torch.zeros(2)})
    assert relative(network(x, time, off), flux[0](x, time, cond)) < 1e-6
    assert relative(network(x, time, cond), flux[0](x, time, cond)) > 1e-3


@torch.inference_mode()
def test_a_new_one_changes_nothing_so_that_training_starts_at_the_transformer(flux):
    x, time, cond = question(PLAIN)
    network = ControlledFlux(flux[0], [FluxControlNet(FluxControlNetConfig.from_diffusers(PLAIN))])
    assert torch.equal(network(x, time, cond), flux[0](x, time, cond))


@torch.inference_mode()
def test_compiles_into_one_graph():
    small = DEV | {"num_layers": 1, "num_single_layers": 1}
    network = ControlledFlux(transformers(small)[0], [controls(UNION | {"num_layers": 1}, seed=1)[0]])
    asked = question(UNION)
    assert relative(torch.compile(network, fullgraph=True, backend="eager")(*asked), network(*asked)) < 1e-5


@pytest.mark.parametrize("values", REAL.values(), ids=REAL)
def test_published_sizes_have_diffusers_names_and_shapes(values):
    with torch.device("meta"):
        theirs = reference.FluxControlNetModel(**{k: v for k, v in values.items() if k[0] != "_"})
        ours = FluxControlNet(FluxControlNetConfig.from_diffusers(values))
    assert shapes(ours) == shapes(theirs)
    assert FluxControlNetConfig.from_shapes(shapes(theirs)) == ours.config


def test_residuals_serve_runs_of_blocks():
    control = FluxControlNetConfig(depth=5, single_depth=10)
    double = [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4 + [4] * 3
    single = [5 + i // 4 for i in range(38)]
    assert sources(control, FluxConfig()) == double + single
    pixels = replace(control, depth=2, single_depth=0, hint_channels=16)
    assert sources(pixels, FluxConfig()) == [i % 2 for i in range(19)] + [None] * 38


@torch.inference_mode()
def test_says_what_is_wrong_with_a_question(flux):
    plain, union = controls(PLAIN, seed=1)[0], controls(UNION, seed=1)[0]
    x, time, cond = inputs(DEEP)
    with pytest.raises(DarkroomError, match=r"'control\.1\.hint' and there are 1 ControlNets"):
        ControlledFlux(flux[0], [plain])(x, time, told(cond, PLAIN, number=1))
    with pytest.raises(InvalidRequest, match="4x10 where 6x10"):
        plain(x, time, cond, torch.zeros(2, 4, 4, 10))
    with pytest.raises(InvalidRequest, match="knows 4 kinds"):
        union(x, time, cond, torch.zeros_like(x))
    with pytest.raises(DarkroomError, match="patch_size"):
        FluxControlNetConfig.from_diffusers(PLAIN | {"patch_size": 4})

"""Weights that come and go: the same pictures to the bit, and no more in memory than was planned."""

import gc
import json
import threading
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from darkroom.errors import DarkroomError
from darkroom.families.family import Options, Reading
from darkroom.families.registry import load
from darkroom.studio.attachments import Attachments, Control, ImagePrompt, Lora
from darkroom.studio.develop import develop
from darkroom.studio.metadata import from_json, to_json
from darkroom.studio.models import load_model, open_model
from darkroom.studio.placement import demand
from darkroom.studio.placement.blocks import blocks_of
from darkroom.studio.placement.budget import Budget, Plan, Working, plan
from darkroom.studio.placement.offload import offloaded, sizes_of
from darkroom.studio.request import Request
from darkroom.weights.origin import Origin, is_absent, parameter_from

pytest.importorskip("diffusers")
from tests.families import hanging
from tests.families.hanging import NOTHING

FAMILIES = ("sd1", "sdxl", "sd3", "flux")


def absent(model):
    return [is_absent(one) for part in model.parts.values() for one in part.parameters()]


def made(folder, family, attached=NOTHING, memory="high", progress=None, **settings):
    return develop(hanging.request(folder, family, attached, **settings), progress, memory)


# ---- the same pictures


@pytest.mark.parametrize("family", FAMILIES)
def test_the_same_bits_whatever_the_setting(folders, family):
    precision = "bfloat16" if family in ("sdxl", "flux") else "float32"  # converted as it comes, or not
    results = {one: made(folders(family), family, memory=one, precision=precision) for one in SETTINGS}
    for result in results.values():
        assert (result.images[0] == results["high"].images[0]).all()
        assert to_json(result.record) == to_json(results["high"].record)
    assert not any(absent(load_model(str(folders(family)), precision, None, False, ()).model))


@pytest.mark.parametrize("family", FAMILIES)
def test_blocks_that_are_passed_over_at_some_steps_come_and_go_with_the_others(folders, family):
    one, two = (made(folders(family), family, memory=how, reuse=2, steps=4) for how in ("high", "low"))
    assert (one.images[0] == two.images[0]).all()
    assert hanging.far(one, made(folders(family), family, steps=4)) > 0


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_from_a_file_can_be_had_in_eight_bits(folders, family):
    fine, coarse = (made(folders(family), family, precision=one) for one in ("float32", "int8"))
    assert (coarse.images[0] == made(folders(family), family, memory="low", precision="int8").images[0]).all()
    assert hanging.far(fine, coarse) < 60


SETTINGS = ("high", "low", "auto", "low", "high")
"""Also one after the other, on the same model."""


def test_after_a_run_that_spares_memory_no_weight_is_left_and_no_thread(folders):
    model = open_model(str(folders("sd1")), "float32", None, False, ()).model
    before = set(threading.enumerate())
    during = []
    made(folders("sd1"), "sd1", memory="low", progress=lambda step: during.append(absent(model)))
    assert all(absent(model)) and set(threading.enumerate()) == before
    assert all(sum(one) > len(one) / 2 for one in during)
    made(folders("sd1"), "sd1", memory="high")
    assert not any(absent(model))


# ---- what hangs on a model


@pytest.mark.parametrize("family", ["sd1", "flux"])
def test_loras_controlnets_and_pictures_act_on_weights_that_come_and_go(folders, nets, root, encoder, family):
    tensors = hanging.as_kohya(hanging.factors(hanging.parts_of(family)), family == "sd1")
    loras = tuple(
        Lora(hanging.saved(tensors, root / f"off-{family}-{i}.safetensors"), weight)
        for i, weight in enumerate((0.7, -0.2))
    )
    if family == "sd1":
        _, (place, _), ((hint, _), _) = nets("sd1")
        adapter = hanging.ip_adapter(folders("sd1"), True, root / "off-ip.safetensors")
        pictures = (ImagePrompt(adapter, encoder[1], hint, 0.6),)
    else:
        place, pictures = root / "off-net.safetensors", ()
        hanging.saved(hanging.flux_controlnet().state_dict(), place)
        hint, _ = hanging.picture(root / "off-hint.png", 44)
    attached = Attachments(loras, (Control(place, hint, 0.7),), pictures)
    one, two = (made(folders(family), family, attached, memory) for memory in ("high", "low"))
    assert (one.images[0] == two.images[0]).all() and one.notices == two.notices
    plain = made(folders(family), family, memory="low")
    assert hanging.far(plain, one) > 2
    assert hanging.far(plain, made(folders(family), family)) == 0, "they are off again"


# ---- how much is there


class Watched:
    """A store that knows which of the tensors it gave are still in memory."""

    def __init__(self, store):
        self.store, self.header, self.alive, self.most = store, store.header, {}, 0

    def tensor(self, name):
        tensor = self.store.tensor(name).clone()
        key = object()
        self.alive[key] = tensor.nbytes
        self.most = max(self.most, sum(self.alive.values()))
        weakref.finalize(tensor.untyped_storage(), self.alive.pop, key, None)
        return tensor


def test_no_more_is_in_memory_than_was_planned(folders, monkeypatch):
    """Counted are the storages that live: of the rest, of what stays, and of two blocks at most."""
    from darkroom.families import source

    stores = {}
    real = source.Source.store

    def watched(self, part):
        if part not in stores:
            stores[part] = Watched(real(self, part))
        return stores[part]

    monkeypatch.setattr(source.Source, "store", watched)
    model = load(folders("sdxl"), Options(later=True))
    sizes = sizes_of(model.parts)
    room = sizes["unet"].least + sum(sizes["unet"].blocks) // 3
    found = plan({"unet": sizes["unet"]}, Working(), Budget(room))
    kept = sum(sizes["unet"].blocks) - sum(sizes["unet"].blocks[i] for i in found.streams["unet"])
    assert 0 < kept < sum(sizes["unet"].blocks) / 2
    x, time = torch.randn(1, 4, 8, 8), torch.tensor([500.0])
    with torch.inference_mode(), offloaded(model.parts, found):
        cond = model.encode_prompts(["a cat"], Reading(64, 64))
        for _ in range(2):
            model.network(x, time, cond)
        assert not stores["text_encoder_2"].alive
    gc.collect()
    buffers = sum(one.nbytes for one in model.network.buffers())
    assert stores["unet"].most <= room - buffers
    assert stores["unet"].most > sizes["unet"].rest + kept
    assert not any(store.alive for store in stores.values() if store.alive)


def test_blocks_are_taken_apart_until_nothing_of_weight_is_left_over(folders):
    for family, part in (("sdxl", "unet"), ("flux", "transformer"), ("sd3", "text_encoder_3")):
        module = load(folders(family), Options(later=True)).parts[part]
        rest, *blocks = blocks_of(part, module)
        together = [id(one) for block in (rest, *blocks) for one in block.parameters]
        assert sorted(together) == sorted(map(id, module.parameters())), "each parameter in one block"
        assert len(blocks) > 2 and not rest.repeated and all(block.repeated for block in blocks)


# ---- one block computes while the next one comes


class Slow(nn.Module):
    """A block that goes on once the next one is on its way."""

    def __init__(self, number, log):
        super().__init__()
        self.number, self.log = number, log
        self.weight = nn.Parameter(torch.empty(2, device="meta"))

    def forward(self, x):
        self.log.append(("computes", self.number))
        if self.number + 1 in self.coming:
            assert self.coming[self.number + 1].wait(10), "the next block was not sent for meanwhile"
        return x + self.weight


def chain(blocks, log, damaged=None):
    """A network of such blocks, the weights of block i all i."""
    network = nn.Module()
    network.blocks = nn.ModuleList(Slow(i, log) for i in range(blocks))
    coming = {i: threading.Event() for i in range(blocks)}
    for i, block in enumerate(network.blocks):
        block.coming = coming

        def read(check, i=i):
            log.append(("comes", i))
            coming[i].set()
            if i == damaged:
                raise DarkroomError("it is damaged")
            return torch.full((2,), float(i))

        block.weight = parameter_from(Origin(read, mapped=False), block.weight, torch.float32)
    return network


def passed(network, x):
    for block in network.blocks:
        x = block(x)
    return x


EVERY = Plan(frozenset(), {"unet": tuple(range(5))})


def test_the_next_block_comes_while_one_computes():
    log = []
    network = chain(5, log)
    with offloaded({"unet": network}, EVERY):
        for _ in range(2):
            assert passed(network, torch.zeros(2)).tolist() == [10.0, 10.0]
    order = [number for what, number in log if what == "comes"]
    assert order[:10] == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]


def test_the_order_is_learned_where_it_is_not_that_of_the_modules():
    log = []
    network = chain(4, log)
    for event in network.blocks[0].coming.values():
        event.set()
    order = [2, 0, 3, 1]
    with offloaded({"unet": network}, Plan(frozenset(), {"unet": (0, 1, 2, 3)})):
        for _ in range(3):
            x = torch.zeros(2)
            for i in order:
                x = network.blocks[i](x)
            assert x.tolist() == [6.0, 6.0]
    brought = [number for what, number in log if what == "comes"]
    if brought[-1] == order[0]:  # for a fourth time through, if it was not called off
        brought.pop()
    assert brought[-4:] == order, "in the third each came once, in its turn"


def test_a_stop_in_the_middle_leaves_no_thread_and_no_weights():
    before, log = set(threading.enumerate()), []
    network = chain(5, log)

    def stop(*_):
        raise KeyboardInterrupt

    network.blocks[2].register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt), offloaded({"unet": network}, EVERY):
        passed(network, torch.zeros(2))
    assert set(threading.enumerate()) == before
    assert all(map(is_absent, network.parameters()))
    assert all(not block._forward_pre_hooks for block in network.blocks)


def test_a_block_that_is_damaged_is_told_where_it_is_wanted():
    network = chain(5, [], damaged=3)
    with pytest.raises(DarkroomError, match="damaged"), offloaded({"unet": network}, EVERY):
        passed(network, torch.zeros(2))


def test_numbers_that_are_not_finite_are_found_when_they_come(folders, tmp_path):
    from safetensors.torch import load_file, save_file

    copy = tmp_path / "model"
    copy.mkdir()
    for one in folders("sd1").iterdir():
        (copy / one.name).symlink_to(one)
    for part, name in (("unet", "mid_block.resnets.0.conv1.weight"), ("text_encoder", "q_proj.weight")):
        file = next((folders("sd1") / part).glob("*.safetensors"))
        tensors = load_file(file)
        chosen = next(one for one in tensors if one.endswith(name))
        tensors[chosen] = tensors[chosen].clone()
        tensors[chosen].view(-1)[5] = float("nan")
        (copy / part).unlink()
        (copy / part).mkdir()
        save_file(tensors, copy / part / file.name)
        (copy / part / "config.json").symlink_to(folders("sd1") / part / "config.json")
        for memory in ("low", "high"):
            with pytest.raises(DarkroomError, match="NaN or infinite"):
                made(copy, "sd1", memory=memory)
        open_model.cache_clear()


# ---- where there is too little


def test_a_picture_that_is_too_large_for_this_machine_is_refused_in_one_sentence(folders, monkeypatch):
    monkeypatch.setattr(demand, "budget_of", lambda setting, held: Budget(2**20))
    with pytest.raises(DarkroomError, match=r"needs .* GiB of memory and 0\.0 GiB are free") as error:
        made(folders("sd1"), "sd1", memory="auto")
    assert "\n" not in str(error.value)


def test_tiles_are_in_the_record_and_replay_on_a_machine_that_needs_none(folders, monkeypatch):
    folder, wide = folders("sd1"), {"width": 192, "height": 64}
    whole = made(folder, "sd1", **wide)
    monkeypatch.setattr(demand, "TILES", (64,))
    monkeypatch.setattr(demand, "PIXEL", 100)
    model = open_model(str(folder), "float32", None, False, ()).model
    filled = replace(hanging.request(folder, "sd1", NOTHING, **wide), cfg_scale=5.0)
    working = demand.working_of(model, [filled])
    room = sizes_of(model.parts)["vae"].least + working.of("autoencoder") - 1
    monkeypatch.setattr(demand, "budget_of", lambda setting, held: Budget(room))
    tiled = made(folder, "sd1", memory="auto", **wide)
    monkeypatch.undo()
    assert whole.record.request.vae_tile is None and tiled.record.request.vae_tile == 64
    assert (whole.images[0] != tiled.images[0]).any()
    again = develop(from_json(to_json(tiled.record)).request, memory="high")
    assert (again.images[0] == tiled.images[0]).all()
    assert json.loads(to_json(again.record))["request"]["vae_tile"] == 64
    asked = made(folder, "sd1", vae_tile=64, **wide)
    assert np.array_equal(asked.images[0], tiled.images[0])


def test_the_starter_too_is_refused_what_this_machine_cannot_hold(monkeypatch):
    monkeypatch.setattr(demand, "budget_of", lambda setting, held: Budget(2 * 2**30))
    with pytest.raises(DarkroomError, match=r"needs .* GiB of memory and 2\.0 GiB are free"):
        develop(Request(prompt="a cat", steps=1, width=8192, height=8192))
    assert develop(Request(prompt="a cat", steps=1, width=512, height=512)).images[0].shape == (512, 512, 3)


def test_the_starter_takes_no_tiles():
    with pytest.raises(DarkroomError, match="takes no tiles"):
        develop(Request(prompt="a cat", steps=1, vae_tile=64))

"""What a run promises besides its numbers: bad steps skipped, misfits named, runs finished, sheets drawn."""

import errno
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from toy import RECIPE, STEPS, Toy, batch, digests, journal, loss, recipe, with_bad_steps

from darkroom.errors import DarkroomError
from darkroom.training.disk import locked
from darkroom.training.ema import Decay
from darkroom.training.loop import train, weights
from darkroom.training.optimizer import LearningRate, OptimizerRecipe
from darkroom.training.recipe import Batch, generator, mix
from darkroom.training.state import State, multiplies_bfloat16

CONSTANT = OptimizerRecipe(rate=LearningRate(peak=1e-2, warmup=5))


def made(step: int) -> Batch:
    return {name: torch.from_numpy(v) if isinstance(v, np.ndarray) else v for name, v in batch(step).items()}


def flat(state: State) -> dict[str, Tensor]:
    parts = state.parts()
    return {f"{part}/{name}": value.clone() for part in parts for name, value in parts[part].items()}


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def infinite_gradient(network: nn.Module, batch: Batch, step: int) -> dict[str, Tensor]:
    """A finite loss whose gradient is not, at step 4."""
    parts = loss(network, batch, step)
    if step == 4:
        weight = next(network.parameters())
        parts["loss"] = parts["loss"] + (weight * 0).sum().sqrt()
    return parts


@pytest.mark.parametrize("how", ["loss", "gradient"])
def test_a_bad_step_changes_nothing_and_the_rest_goes_on_as_if_it_had_not_been(how: str) -> None:
    bad = recipe(loss=infinite_gradient) if how == "gradient" else RECIPE
    state, other = State(bad), State(RECIPE)
    for step in range(4):
        state.advance(made(step))
        other.advance(made(step))
    poison = made(4)
    if how == "loss":
        poison["x"][0, 0] = float("nan")
    before = flat(state)
    values = state.advance(poison)
    assert np.isfinite(values["loss"]) == (how == "gradient") and not np.isfinite(values["gradient_norm"])
    assert equal(flat(state), before) and (state.step, state.updates, state.skipped) == (5, 4, 1)
    other.step = 5
    for step in range(5, 9):
        state.advance(made(step))
        other.advance(made(step))
    assert equal(flat(state), flat(other)) and not equal(flat(state), before)
    assert state.skipped_in_row == 0


def test_bad_steps_are_counted_across_a_stop_and_written_as_null(tmp_path: Path) -> None:
    bad = recipe(batch=with_bad_steps(batch, range(6, 9)), patience=4)
    train(bad, tmp_path / "one", quiet=True)
    for _ in range(STEPS):
        train(bad, tmp_path / "two", max_minutes=0, quiet=True)
    last = f"checkpoints/step-{STEPS:08d}"
    assert digests(tmp_path / "one" / last) == digests(tmp_path / "two" / last)
    manifest = json.loads((tmp_path / "two" / last / "manifest.json").read_text())
    assert manifest["body"]["facts"]["updates"] == STEPS - 3
    lines = [json.loads(line) for line in journal(tmp_path / "one").splitlines()]
    assert [line["step"] for line in lines] == list(range(STEPS))
    assert [line["step"] for line in lines if line["loss"] is None] == [6, 7, 8]


def test_patience_ends_at_the_same_step_however_often_the_run_was_stopped(tmp_path: Path) -> None:
    bad = recipe(batch=with_bad_steps(batch, range(10, STEPS)), patience=5)
    ends = "5 steps in a row, up to step 14, had no finite loss and gradient; lower the learning rate"
    with pytest.raises(DarkroomError, match=ends):
        train(bad, tmp_path / "one", quiet=True)
    for _ in range(14):
        train(bad, tmp_path / "two", max_minutes=0, quiet=True)
    with pytest.raises(DarkroomError, match=ends):
        train(bad, tmp_path / "two", quiet=True)


def test_the_loss_falls(tmp_path: Path) -> None:
    train(recipe(steps=300, ema=(), checkpoint_every=1000, optimizer=CONSTANT), tmp_path, quiet=True)
    losses = [json.loads(line)["loss"] for line in journal(tmp_path).splitlines()]
    assert np.mean(losses[-30:]) < 0.5 * np.mean(losses[:5])


def widened() -> nn.Module:
    return Toy(17)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"seed": 4}, "seed 0, but this recipe has 4"),
        ({"batch_size": 9}, "batch_size 8, but this recipe has 9"),
        ({"name": "other"}, "name toy, but this recipe has other"),
        ({"ema": (Decay(0.8),)}, r"ema \['ema-0.9', 'ema-power-0.1'\], but this recipe has \['ema-0.8'\]"),
        (
            {"optimizer": replace(RECIPE.optimizer, kind="muon")},
            "optimizer.kind adamw, but this recipe has muon",
        ),
        ({"build": widened}, r"'first.weight' is of shape \(16, 6\) in it and of shape \(17, 6\) here"),
        ({"build": lambda: nn.Linear(6, 6)}, r"'weight' is missing in it and of shape \(6, 6\) here"),
    ],
)
def test_another_recipe_is_refused_by_what_differs(
    tmp_path: Path, change: dict[str, Any], names: str
) -> None:
    train(recipe(steps=4), tmp_path, quiet=True)
    with pytest.raises(DarkroomError, match=names):
        train(recipe(**change), tmp_path, quiet=True)


def test_another_vocabulary_is_refused_where_the_checkpoint_tells_of_it(tmp_path: Path) -> None:
    words, turned = ({"vocabulary": told} for told in (("a", "cat"), ("cat", "a")))
    train(recipe(steps=2), tmp_path, quiet=True)
    train(recipe(steps=4, data=words), tmp_path, quiet=True)  # the checkpoint at 2 tells of none
    with pytest.raises(DarkroomError, match=r"with another vocabulary than this recipe has; use.*--out"):
        train(recipe(data=turned), tmp_path, quiet=True)
    train(recipe(steps=6, data=words), tmp_path, quiet=True)


def test_a_run_may_be_made_longer(tmp_path: Path) -> None:
    train(recipe(optimizer=CONSTANT, steps=17), tmp_path / "two", quiet=True)
    long = recipe(optimizer=CONSTANT, steps=33)
    assert digests(train(long, tmp_path / "two", quiet=True)) == digests(
        train(long, tmp_path / "one", quiet=True)
    )


def test_finishing_is_remembered_and_exact(tmp_path: Path) -> None:
    """A constant trunk is finished in 8 steps, once at a stretch and once with stops in between."""
    trunk = recipe(
        optimizer=replace(CONSTANT, rate=LearningRate(peak=1e-2, warmup=5, shape="linear")), steps=20
    )
    train(trunk, tmp_path / "one", quiet=True)
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    one = train(trunk, tmp_path / "one", finish=8, quiet=True)
    train(trunk, tmp_path / "two", finish=8, max_minutes=0, quiet=True)
    train(trunk, tmp_path / "two", finish=8, max_minutes=0, quiet=True)
    two = train(trunk, tmp_path / "two", quiet=True)
    assert one.name == two.name == "step-00000028" and digests(one) == digests(two)
    rates = [json.loads(line)["rate"] for line in journal(tmp_path / "two").splitlines()][20:]
    assert rates == pytest.approx([1e-2 * (1 - k / 8) for k in range(8)])
    assert train(trunk, tmp_path / "two", finish=8, quiet=True) == two, "it is over"


def test_a_rate_that_falls_already_goes_on_falling_from_where_it_is(tmp_path: Path) -> None:
    falling = replace(CONSTANT, rate=LearningRate(peak=1e-2, decay=20, shape="linear"))
    train(recipe(optimizer=falling, steps=20), tmp_path, max_minutes=0, quiet=True)
    train(recipe(optimizer=falling, steps=20), tmp_path, finish=9, max_minutes=0, quiet=True)
    path = train(recipe(optimizer=falling, steps=20), tmp_path, quiet=True)
    rates = [json.loads(line)["rate"] for line in journal(tmp_path).splitlines()]
    assert path.name == "step-00000010" and len(rates) == 10
    assert rates == pytest.approx([1e-2, *(1e-2 * 0.95 * (1 - k / 9) for k in range(9))])
    assert train(recipe(optimizer=falling, steps=20), tmp_path, finish=5, quiet=True) == path, "it is over"


def test_nothing_is_begun_over_what_is_there(tmp_path: Path) -> None:
    path = train(recipe(steps=4), tmp_path, quiet=True)
    before = digests(path)
    with pytest.raises(DarkroomError, match="is there already; carry on from it, or choose another --out"):
        train(recipe(steps=4), tmp_path, resume=False, quiet=True)
    assert digests(path) == before


def test_one_run_a_folder(tmp_path: Path) -> None:
    with locked(tmp_path), pytest.raises(DarkroomError, match="another run is training in"):
        train(recipe(), tmp_path, quiet=True)
    train(recipe(steps=1), tmp_path, quiet=True)


def test_places_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        DarkroomError, match=r"cannot write '.*file/out': not a directory; choose another folder"
    ):
        train(recipe(), tmp_path / "file" / "out", quiet=True)


def test_a_disk_that_fills_up_is_told_and_the_run_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync
    full = {"now": False}

    def fsync(file: int) -> None:
        if full["now"]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(file)

    def fills_up(step: int) -> Batch:
        full["now"] = step > 10
        return batch(step)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(DarkroomError, match="the disk is full"):
        train(recipe(batch=fills_up), tmp_path / "one", quiet=True)
    full["now"] = False
    one, two = (train(recipe(), tmp_path / name, quiet=True) for name in ("one", "two"))
    assert digests(one) == digests(two)


def test_sheets_come_from_the_average(tmp_path: Path) -> None:
    seen: list[tuple[int, bool, Tensor]] = []

    def sheet(network: nn.Module, step: int) -> Image.Image:
        seen.append((step, network.training, network.state_dict()["first.weight"].clone()))
        return Image.new("RGB", (4, 4), (step, 0, 0))

    with_sheets = recipe(sheet=sheet, sheet_every=15)
    path = train(with_sheets, tmp_path / "one", quiet=True)
    assert [step for step, _, _ in seen] == [15, 30, 40] and not any(training for _, training, _ in seen)
    saved = load_file(path / "ema-0.9.safetensors")
    assert torch.equal(seen[-1][2], saved["first.weight"])
    assert torch.equal(
        weights(tmp_path / "one", with_sheets).state_dict()["first.weight"], saved["first.weight"]
    )
    with Image.open(tmp_path / "one" / "sheets" / "step-00000015.png") as picture:
        assert picture.getpixel((0, 0)) == (15, 0, 0)
    assert digests(path) == digests(train(RECIPE, tmp_path / "two", quiet=True)), "looking changes nothing"


def test_without_an_average_sheets_come_from_the_network_itself(tmp_path: Path) -> None:
    modes: list[bool] = []
    bare = recipe(ema=(), sheet=lambda network, step: modes.append(network.training), sheet_every=10)
    path = train(bare, tmp_path / "one", quiet=True)
    assert modes == [False] * 4
    assert digests(path) == digests(train(recipe(ema=()), tmp_path / "two", quiet=True))


def test_weights_are_those_of_the_checkpoint(tmp_path: Path) -> None:
    path = train(RECIPE, tmp_path, quiet=True)
    for average in ("ema-0.9", "ema-power-0.1"):
        network = weights(tmp_path, RECIPE, average)
        saved = load_file(path / f"{average}.safetensors")
        assert all(torch.equal(saved[name], value) for name, value in network.state_dict().items())
    assert not network.training and not any(p.requires_grad for p in network.parameters())
    with pytest.raises(DarkroomError, match="no checkpoint in"):
        weights(tmp_path / "nothing", RECIPE)


def test_torchs_own_generator_is_left_as_it_was(tmp_path: Path) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    train(recipe(steps=3), tmp_path, quiet=True)
    assert torch.equal(torch.get_rng_state(), before)


def test_draws_depend_on_seed_and_step_alone() -> None:
    draws = {(s, k): torch.rand(2, generator=generator(s, k)).tolist() for s in range(3) for k in range(3)}
    assert len({tuple(v) for v in draws.values()}) == 9
    assert torch.rand(2, generator=generator(1, 2)).tolist() == draws[1, 2]
    assert len({mix(), mix(0), mix(0, 0), mix("0"), mix(1, 0), mix(10)}) == 6


def test_compiling_leaves_checkpoints_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Traced, but run by torch's own kernels, so that the numbers can be compared."""
    compiled: list[type[nn.Module]] = []
    compile_in_place = nn.Module.compile

    def trace(module: nn.Module) -> None:
        compiled.append(type(module))
        compile_in_place(module, backend="eager")

    monkeypatch.setattr(nn.Module, "compile", trace)
    monkeypatch.setenv("CXX", "true")
    one = train(recipe(compile=("", "first"), steps=3), tmp_path / "one", quiet=True)
    two = train(recipe(steps=3), tmp_path / "two", quiet=True)
    assert compiled == [Toy, nn.Linear] and digests(one) == digests(two)


def test_without_a_compiler_training_is_slow_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    train(recipe(compile=("",), steps=1), tmp_path, quiet=True)
    assert "there is no C++ compiler (no-such-compiler): training runs uncompiled" in capsys.readouterr().err


def test_a_gpu_that_is_not_there_is_told(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(DarkroomError, match="toy asks for a GPU, and torch finds none here"):
        train(recipe(device="cuda"), tmp_path, quiet=True)


def test_another_machine_is_noted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train(recipe(), tmp_path, max_minutes=0, quiet=True)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        train(recipe(steps=2), tmp_path, quiet=True)
    finally:
        torch.set_num_threads(threads)
    assert f"threads was {threads}, is {threads + 1}" in capsys.readouterr().err


def test_bf16_is_taken_where_the_processor_says_that_it_multiplies_it():
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    if "avx2" not in flags:
        pytest.skip("only x86 on Linux lists its instructions there")
    assert multiplies_bfloat16(torch.device("cpu")) == ("avx512_bf16" in flags or "amx_bf16" in flags)


def test_bf16_learns_what_single_precision_learns():
    """The toy's losses, step by step; dropout and noise are the same draws in both."""
    ways: list[list[float]] = []
    for half in (False, True):
        state = State(recipe())
        state.half = half
        ways.append([state.advance(made(i))["loss"] for i in range(STEPS)])
        assert all(p.dtype == torch.float32 for p in state.network.parameters())
    single, half_precision = ways
    assert single != half_precision
    assert half_precision == pytest.approx(single, rel=0.05)

"""What is chosen on which machine: a table."""

import os
import subprocess
import sys

import pytest

from darkroom.errors import UnknownName
from darkroom.studio.placement import machine as machines
from darkroom.studio.placement.choices import LARGE, Needs, choose
from darkroom.studio.placement.machine import FEATURES, Machine, features, without

GIB = 2**30
BIG, SMALL = Needs(int(9e8)), Needs(int(LARGE / 10))
ALL = frozenset(FEATURES) - {"amx"}


def machine(*lacking: str, more: tuple[str, ...] = ()) -> Machine:
    return Machine("a processor", 2, 24 * GIB, (ALL | set(more)) - set(lacking))


@pytest.mark.parametrize(
    ("here", "needs", "chosen"),
    [
        (machine(), BIG, ("bfloat16", True, True, "ours")),
        (machine(), SMALL, ("bfloat16", True, True, "torch")),
        (machine("compiler"), BIG, ("bfloat16", True, True, "torch")),
        (machine(more=("amx",)), BIG, ("bfloat16", True, True, "torch")),
        (machine("bf16"), BIG, ("float32", False, False, "torch")),
        (machine("bf16", "avx512", "vnni"), BIG, ("float32", False, False, "torch")),
        (machine("onednn"), BIG, ("bfloat16", False, False, "ours")),
    ],
    ids=["all", "small model", "no compiler", "amx", "no bf16", "avx2", "no onednn"],
)
def test_what_is_chosen(here, needs, chosen):
    found = choose(here, needs)
    assert (found.precision, found.packed, found.channels_last, found.attention) == chosen
    assert set(found.why) == {"precision", "threads", "packed", "channels_last", "attention", "compiled"}


def test_weights_are_packed_only_where_onednn_has_blocks_for_them():
    for precision in ("bfloat16", "int8"):
        assert choose(machine("bf16"), BIG, precision).packed
        assert choose(machine("avx512"), BIG, precision).packed  # a processor of another kind
        old = choose(machine("bf16", "avx512", "vnni"), BIG, precision)
        assert old.precision == precision and not old.packed and "AVX-512" in old.why["packed"]


def test_what_is_asked_for_is_had_and_said():
    found = choose(machine(), BIG, "float32")
    assert found.precision == "float32" and "asked" in found.why["precision"]
    assert found.attention == "torch"


def test_a_machine_can_be_told_to_do_without(monkeypatch):
    monkeypatch.setenv("DARKROOM_WITHOUT", "bf16, compiler")
    able = {"architecture": "x86_64", "avx2": True, "avx512_f": True, "avx512_bf16": True}
    assert without() == {"bf16", "compiler"}
    assert not features(able) & {"bf16", "compiler"}
    monkeypatch.setenv("DARKROOM_WITHOUT", "bf61")
    with pytest.raises(UnknownName, match="bf16"):
        without()


@pytest.mark.parametrize(("isa", "has"), [("AVX2", False), ("AVX512_CORE_BF16", True), ("", True)])
def test_bfloat16_that_onednn_is_kept_from_is_not_counted_on(monkeypatch, isa, has):
    monkeypatch.delenv("DARKROOM_WITHOUT", raising=False)
    monkeypatch.setattr(machines.torch.backends.cpu, "get_cpu_capability", lambda: "AVX512")
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", isa) if isa else monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", False)
    able = {"architecture": "x86_64", "avx512_bf16": True}
    assert ("bf16" in features(able)) is has


def test_cores_and_memory_are_those_of_the_control_group(tmp_path, monkeypatch):
    monkeypatch.setattr(machines, "CGROUP", tmp_path)
    (tmp_path / "cpu.max").write_text("100000 100000\n")
    (tmp_path / "memory.max").write_text(f"{GIB}\n")
    assert (machines.cores(), machines.memory()) == (1, GIB)
    (tmp_path / "cpu.max").write_text("max 100000\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert machines.cores() >= 1 and machines.memory() > 0


LACKS = {
    "nothing": {"DARKROOM_WITHOUT": ""},
    "bf16 and AMX": {"DARKROOM_WITHOUT": "bf16,amx"},
    "AVX-512": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "DARKROOM_WITHOUT": ""},
    "AVX2": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "DARKROOM_WITHOUT": ""},
    "oneDNN": {"DARKROOM_WITHOUT": "onednn"},
    "a compiler": {"DARKROOM_WITHOUT": "compiler"},
}
DRAW = (
    "import darkroom; picture = darkroom.open().generate('a red apple', seed=1, steps=4)[0];"
    "from hashlib import sha256; print(picture.record.dtype, picture.pixels.mean() > 0)"
)


@pytest.mark.parametrize("lack", LACKS)
def test_pictures_come_without_what_a_machine_may_lack(lack):
    done = subprocess.run(
        [sys.executable, "-c", DRAW], env=os.environ | LACKS[lack], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    told, drawn = done.stdout.split()
    assert drawn == "True"
    if lack in ("bf16 and AMX", "AVX-512", "AVX2"):
        assert told == "float32"


def test_a_picture_in_eight_bits_is_near_that_in_single_precision():
    """The starter's network in integers, from the same noise."""
    from darkroom.studio.develop import develop
    from darkroom.studio.request import Request

    asked = {"prompt": "a red apple", "seed": 3, "steps": 4}
    exact, coarse = (develop(Request(**asked, precision=one)).images[0] for one in ("float32", "int8"))
    assert (exact != coarse).any()
    assert abs(exact.astype(float) - coarse).mean() < 25  # another picture altogether is 60 away


def test_a_start_does_not_wait_for_torch_s_compiler():
    code = DRAW + "; import sys; print('torch._dynamo' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split()[-1] == "False", done.stderr


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="this system binds no process to a core")
def test_one_core_is_enough_and_gets_one_thread():
    code = f"import os; os.sched_setaffinity(0, {{min(os.sched_getaffinity(0))}}); {DRAW}"
    code += "; import torch; print(torch.get_num_threads())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split()[1:] == ["True", "1"], done.stderr

"""PyTorch's own files: the tensors that torch.load gives, and nothing that a pickle asks for is ever run."""

import argparse
import collections
import io
import os
import pickle
import struct
import subprocess
import time
import zipfile
from pathlib import Path

import pytest
import torch
from handmade import same, written

from darkroom.errors import DarkroomError
from darkroom.weights.store import open_store

DRAW = torch.Generator().manual_seed(0)
BASE = torch.randn(100, 300, generator=DRAW)
TENSORS = {
    "float32": torch.randn(200, 300, generator=DRAW),
    "float16": torch.randn(50, generator=DRAW).half(),
    "bfloat16": torch.randn(50, generator=DRAW).bfloat16(),
    "float64": torch.randn(3, dtype=torch.float64, generator=DRAW),
    "fp8": torch.randn(50, generator=DRAW).to(torch.float8_e4m3fn),
    "uint16": torch.arange(5).to(torch.uint16),
    "int64": torch.arange(7),
    "bool": torch.tensor([True, False]),
    "turned": BASE.t(),
    "cut out": BASE[10:20, 5:50],
    "same again": BASE,
    "repeated": torch.arange(77).expand(1, 77),
    "parameter": torch.nn.Parameter(torch.ones(3)),
    "one": torch.tensor(2.0),
    "none": torch.empty(0, 4),
}


def saved(folder: Path, value: object, name: str = "model.ckpt") -> Path:
    torch.save(value, folder / name)
    return folder / name


def wrapped(tensors: dict[str, torch.Tensor]) -> dict[str, dict[str, object]]:
    """How trainers wrap their weights."""
    return {
        "bare": {**tensors},
        "lightning": {
            "epoch": 3,
            "global_step": 10,
            "state_dict": collections.OrderedDict(tensors),
            "optimizer_states": [{"state": {0: {"exp_avg": torch.zeros(2)}}}],
            "hyper_parameters": argparse.Namespace(rate=0.1),
            "seen": {1, 2},
            "path": Path("/x"),
        },
        "with EMA": {"params": {"x": torch.ones(1)}, "params_ema": tensors},
        "twice": {"model": {"state_dict": tensors}, "optimizer": {"x": torch.ones(1)}},
    }


@pytest.mark.parametrize("how", wrapped(TENSORS))
def test_the_tensors_are_those_of_torch(tmp_path, how):
    path = saved(tmp_path, wrapped(TENSORS)[how])
    store = open_store(path, allow_pickle=True)
    assert store.header.tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert same(store.tensor(name), tensor), name
        assert store.header.tensors[name].shape == tuple(tensor.shape)
    if how == "lightning":
        assert store.header.metadata == {"epoch": "3", "global_step": "10"}


def test_modules_save_their_state_and_an_embedding_its_names(tmp_path):
    state = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4)).state_dict()
    store = open_store(saved(tmp_path, state), allow_pickle=True)
    assert all(same(store.tensor(name), tensor) for name, tensor in state.items())
    embedding = {
        "string_to_token": {"*": 265},
        "string_to_param": {"*": torch.ones(2, 8)},
        "name": "cat",
        "step": 5,
    }
    header = open_store(saved(tmp_path, embedding), allow_pickle=True).header
    assert header.shapes == {"string_to_param.*": (2, 8)} and header.metadata == {"name": "cat", "step": "5"}


def test_a_pickle_is_read_only_when_it_is_allowed_and_a_folder_of_one_too(tmp_path):
    saved(tmp_path, TENSORS, "pytorch_model.bin")
    for path in (tmp_path / "pytorch_model.bin", tmp_path):
        with pytest.raises(DarkroomError, match="use a safetensors file, or say --allow-pickle"):
            open_store(path)
        assert open_store(path, allow_pickle=True).header.tensors.keys() == TENSORS.keys()


def test_nothing_is_copied(tmp_path):
    path = saved(tmp_path, {"x": torch.zeros(1 << 22)})
    tensor = open_store(path, allow_pickle=True).tensor("x")
    if Path("/proc/self/maps").exists():
        assert "model.ckpt" in Path("/proc/self/maps").read_text()
    tensor.fill_(1)
    assert not open_store(path, allow_pickle=True).tensor("x").any()


# Attacks


def archive(data: bytes, entries: dict[str, bytes] | None = None, packed: int = zipfile.ZIP_STORED) -> bytes:
    """A file as torch writes it, around any pickle."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packed) as target:
        for name, content in ({"data.pkl": data, "data/0": bytes(400)} | (entries or {})).items():
            target.writestr(f"archive/{name}", content)
    return file.getvalue()


class Calls:
    """Pickles as a call of ``function`` with ``args``."""

    def __init__(self, function: object, *args: object, state: object = None) -> None:
        self.call = (function, args) if state is None else (function, args, state)

    def __reduce__(self):
        return self.call


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def name_of(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


STORAGE = b"(" + text("storage") + name_of("torch", "FloatStorage") + text("0") + text("cpu") + b"K\x64tQ"
"""A hundred numbers."""


def tensor_of(offset: bytes, shape: bytes, stride: bytes) -> bytes:
    """{"x": a tensor}, each part as pickle has it."""
    build = name_of("torch._utils", "_rebuild_tensor_v2") + b"(" + STORAGE + offset + shape + stride
    return b"\x80\x02}" + text("x") + build + b"\x89}tRs."


def attacks(canary: Path) -> dict[str, tuple[bytes, str]]:
    """Pickles that would make ``canary`` in a careless reader."""
    touch = f"touch {canary}"
    system, evil = name_of("posix", "system"), text(touch) + b"\x85R"
    python = f"open({str(canary)!r}, 'w')"
    return {
        "system": (pickle.dumps(Calls(os.system, touch), 2), "posix.system"),
        "system, protocol 4": (pickle.dumps(Calls(os.system, touch), 4), "posix.system"),
        "subprocess": (
            pickle.dumps({"x": Calls(subprocess.Popen, ["touch", str(canary)])}, 2),
            ".Popen",
        ),
        "eval": (pickle.dumps(Calls(eval, python), 2), "__builtin__.eval"),
        "exec": (pickle.dumps(Calls(exec, python), 4), "builtins.exec"),
        "getattr": (
            pickle.dumps(Calls(getattr, collections.OrderedDict, "fromkeys"), 2),
            "__builtin__.getattr",
        ),
        "import": (name_of("builtins", "__import__") + text("os") + b"\x85R.", "builtins.__import__"),
        "old opcode": (b"(" + text(touch) + b"iposix\nsystem\n.", "posix.system"),
        "object opcode": (b"(" + system + text(touch) + b"o.", "posix.system"),
        "load within load": (
            name_of("torch.storage", "_load_from_bytes") + b"C\x00\x85R.",
            "_load_from_bytes",
        ),
        "torch.load": (name_of("torch", "load") + evil + b".", "torch.load"),
        "dots in a name": (
            b"\x80\x04" + text("collections") + text("OrderedDict.__init__.__globals__") + b"\x93.",
            "OrderedDict.__init__.__globals__",
        ),
        "a friend's module": (name_of("numpy_evil", "f") + evil + b".", "numpy_evil.f"),
        "extension": (b"\x82\x01.", "not read"),
        "late, behind good tensors": (
            pickle.dumps({"a": 1, "b": Calls(os.system, touch)}, 2),
            "posix.system",
        ),
        "in a key": (b"}" + system + evil + text("x") + b"s.", "posix.system"),
        "changes the reader": (
            name_of("torch._utils", "_rebuild_tensor_v2") + b"}" + text("_note") + system + b"sb.",
            "posix.system",
        ),
        "changes the reader with words": (
            name_of("torch._utils", "_rebuild_tensor_v2") + b"N}" + text("_note") + text("x") + b"s\x86b.",
            "change what reads it",
        ),
        "changes a stand-in": (
            name_of("numpy", "dtype") + b"N}" + text("__call__") + name_of("numpy", "x") + b"s\x86b.",
            "not read",
        ),
        "calls through a friend": (name_of("numpy", "load") + evil + b".", "there is no tensor in it"),
        "calls a wrapped call": (
            name_of("torch._tensor", "_rebuild_from_type_v2") + b"(" + name_of("numpy", "x") + b"N)NtR.",
            "a tensor of an unknown kind",
        ),
    }


@pytest.mark.parametrize("which", attacks(Path("x")))
def test_no_attack_runs(tmp_path, which):
    canary = tmp_path / "canary"
    data, says = attacks(canary)[which]
    path = written(tmp_path, archive(data), "model.pt")
    with pytest.raises(DarkroomError) as caught:
        open_store(path, allow_pickle=True)
    assert says in str(caught.value) and str(path) in str(caught.value)
    assert not canary.exists()


def test_the_attack_is_a_real_one(tmp_path):
    """The canary appears where a careless reader opens the same pickle."""
    data, _ = attacks(tmp_path / "canary")["system"]
    pickle.loads(data)
    assert (tmp_path / "canary").exists()


LAUGHS = b"]" + b"".join(b"q%c](h%ch%ch%ch%ch%ch%ch%ch%ch%ch%ce" % ((i, *[i] * 10)) for i in range(24)) + b"."
BOMBS = {
    "a storage that unpacks to 256 MB": (
        archive(pickle.dumps({}), {"data/0": bytes(1 << 28)}, zipfile.ZIP_DEFLATED),
        "is packed",
    ),
    "a pickle that unpacks": (archive(pickle.dumps([0] * 10**6), packed=zipfile.ZIP_DEFLATED), "is packed"),
    "a huge memo": (archive(b"Nr\xff\xff\xff\x7f."), "more memory"),
    "a huge text": (archive(b"\x8d" + struct.pack("<Q", 1 << 40) + b"."), "not read"),
    "a billion laughs": (archive(LAUGHS), "more in it than weights have"),
    "deep nesting": (archive(b"(" * 10 + b"]" * 200_000 + b"a" * 199_999 + b"."), "not read"),
    "a number of a million digits": (archive(b"I" + b"9" * 10**6 + b"\n."), "not read"),
    "a huge pickle": (archive(bytes((64 << 20) + 1)), "its pickle is larger"),
}


@pytest.mark.parametrize(("data", "says"), BOMBS.values(), ids=BOMBS)
def test_bombs_cost_little_memory_and_time(tmp_path, data, says):
    began = time.perf_counter()
    with pytest.raises(DarkroomError, match=says):
        open_store(written(tmp_path, data, "model.pt"), allow_pickle=True)
    assert time.perf_counter() - began < 30  # on a busy machine; far less on an idle one


def number(value: int) -> bytes:
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


ONE = number(1) + b"\x85"
PLACES = {
    "beyond the storage": tensor_of(number(0), number(101) + b"\x85", ONE),
    "from beyond the storage": tensor_of(number(100), ONE, ONE),
    "by long steps": tensor_of(number(0), number(2) + b"\x85", number(100) + b"\x85"),
    "before the storage": tensor_of(number(-1), ONE, ONE),
    "backwards": tensor_of(number(50), number(2) + b"\x85", number(-1) + b"\x85"),
    "of a negative side": tensor_of(number(0), number(-5) + b"\x85", ONE),
    "of a terabyte by repeating": tensor_of(number(0), number(1 << 40) + b"\x85", number(0) + b"\x85"),
    "that overflows": tensor_of(
        number(0), number(1 << 62) + number(1 << 62) + b"\x86", number(0) * 2 + b"\x86"
    ),
    "with a stride too few": tensor_of(number(0), number(2) + number(2) + b"\x86", ONE),
    "of true": tensor_of(number(0), b"\x88\x85", ONE),
    "of texts": tensor_of(number(0), text("a") + b"\x85", ONE),
    "of nothing": tensor_of(b"N", b"N", b"N"),
}


@pytest.mark.parametrize("data", PLACES.values(), ids=PLACES)
def test_a_tensor_at_an_impossible_place_is_refused(tmp_path, data):
    with pytest.raises(DarkroomError, match="is not read"):
        open_store(written(tmp_path, archive(data), "model.pt"), allow_pickle=True)


def test_the_same_words_around_a_possible_place_are_read(tmp_path):
    data = archive(
        tensor_of(number(3), number(97) + b"\x85", ONE), {"data/0": torch.arange(100.0).numpy().tobytes()}
    )
    tensor = open_store(written(tmp_path, data, "model.pt"), allow_pickle=True).tensor("x")
    assert torch.equal(tensor, torch.arange(3.0, 100))


ARCHIVES = {
    "no pickle": (archive(b".").replace(b"data.pkl", b"data.pkx"), "not one that PyTorch wrote"),
    "TorchScript": (archive(b"}.", {"constants.pkl": b"}."}), "TorchScript"),
    "big-endian": (archive(b"}.", {"byteorder": b"big"}), "another byte order"),
    "two pickles": (archive(b"}.", {"x/data.pkl": b"}."}), "not one that PyTorch wrote"),
    "a path": (archive(b"}.", {"../../x": b""}), "is a path"),
    "a storage missing": (
        archive(tensor_of(number(0), ONE, ONE)).replace(b"data/0", b"data/9"),
        "a storage that",
    ),
    "empty": (archive(b"}."), "there is no tensor"),
    "a name with tricks": (
        archive(tensor_of(number(0), ONE, ONE).replace(text("x"), text("../x"))),
        "is a path",
    ),
}


@pytest.mark.parametrize(("data", "says"), ARCHIVES.values(), ids=ARCHIVES)
def test_an_archive_that_is_wrong_is_called_so(tmp_path, data, says):
    with pytest.raises(DarkroomError, match=says):
        open_store(written(tmp_path, data, "model.pt"), allow_pickle=True)


def test_pickles_from_before_torch_1_6_are_refused_with_advice(tmp_path):
    file = io.BytesIO()
    torch.save(TENSORS["float32"], file, _use_new_zipfile_serialization=False)
    with pytest.raises(DarkroomError, match=r"format from before 1\.6.*save it again"):
        open_store(written(tmp_path, file.getvalue(), "model.pt"), allow_pickle=True)


def test_damaged_files_are_refused_or_right(tmp_path):
    """Bits flipped and ends cut off, by seed: no other error, and no other shape than the header says."""
    good = saved(
        tmp_path, {"state_dict": {"a": torch.arange(6.0).view(2, 3), "b": torch.ones(3).half()}}
    ).read_bytes()
    draw, refused = torch.Generator().manual_seed(0), 0
    for i in range(24):
        data = bytearray(good)
        where = int(torch.randint(len(data), (1,), generator=draw))
        if i % 4:
            data[where] ^= 1 << int(torch.randint(8, (1,), generator=draw))
        else:
            del data[where:]
        try:
            store = open_store(written(tmp_path, bytes(data), "model.pt"), allow_pickle=True)
            for name, info in store.header.tensors.items():
                assert tuple(store.tensor(name).shape) == info.shape
        except DarkroomError:
            refused += 1
    assert refused >= 10

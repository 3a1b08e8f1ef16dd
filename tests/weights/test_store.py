"""Stores: every kind of place gives the tensors that were put there, or says what is wrong."""

import gc
import json
from pathlib import Path

import pytest
import torch
from handmade import same, written
from safetensors.torch import save, save_file

from darkroom.errors import DarkroomError
from darkroom.weights.header import DTYPES
from darkroom.weights.mapped import SMALL
from darkroom.weights.store import MemoryStore, Part, Store, open_store
from darkroom.weights.writing import write_shards

DRAW = torch.Generator().manual_seed(0)
TENSORS = {
    "unet.large": torch.randn(200, 300, generator=DRAW),
    "unet.small": torch.randn(5, generator=DRAW).bfloat16(),
    "vae.none": torch.empty(0, 3),
    "vae.one": torch.tensor(3),
}

MAPS = Path("/proc/self/maps")


def check(store: Store, tensors: dict[str, torch.Tensor] = TENSORS) -> None:
    assert store.header.tensors.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert same(store.tensor(name), tensor), name
        assert store.header.tensors[name].shape == tuple(tensor.shape)
        assert store.header.tensors[name].dtype == tensor.dtype


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_file(TENSORS, tmp_path / "model.safetensors", {"k": "v"})
    return tmp_path


def test_a_file_under_any_name_and_its_folder_give_the_same(folder):
    named = folder / "weights.ckpt"
    (folder / "model.safetensors").rename(named)
    check(open_store(named))
    named.rename(folder / "diffusion_pytorch_model.safetensors")
    check(open_store(folder))
    assert open_store(str(folder)).header.metadata == {"k": "v"}


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
def test_every_type_comes_back_to_the_bit_mapped_or_read(tmp_path, dtype):
    bits = torch.randint(
        0, 2 if dtype == torch.bool else 256, (2 * SMALL,), dtype=torch.uint8, generator=DRAW
    )
    tensors = {"mapped": bits.view(dtype), "read": bits[:64].clone().view(dtype)}
    check(open_store(written(tmp_path, save(tensors))), tensors)


@pytest.mark.parametrize("spaces", range(1, 8))
def test_tensors_at_odd_places_come_back(tmp_path, spaces):
    """Old files begin their tensors anywhere."""
    data = save({"x": torch.arange(2 * SMALL)})
    length = int.from_bytes(data[:8], "little")
    odd = (length + spaces).to_bytes(8, "little") + data[8 : 8 + length] + b" " * spaces + data[8 + length :]
    check(open_store(written(tmp_path, odd)), {"x": torch.arange(2 * SMALL)})


def test_what_is_written_to_a_tensor_reaches_neither_the_file_nor_another(folder):
    store = open_store(folder)
    store.tensor("unet.large").zero_()
    store.tensor("unet.small").zero_()
    check(store)
    check(open_store(folder))


@pytest.mark.skipif(not MAPS.exists(), reason="only Linux lists the maps of a process")
def test_tensors_outlive_their_store_and_maps_do_not_outlive_their_tensors(folder):
    tensor = open_store(folder).tensor("unet.large")
    gc.collect()
    assert same(tensor, TENSORS["unet.large"])
    assert str(folder) in MAPS.read_text()
    del tensor
    gc.collect()
    assert str(folder) not in MAPS.read_text()


def test_a_part_has_the_names_behind_its_prefix_and_no_others(folder):
    part = Part(open_store(folder), "vae.")
    check(part, {"none": TENSORS["vae.none"], "one": TENSORS["vae.one"]})
    assert part.header.metadata == {"k": "v"}
    for name in ("large", "vae.one", "unet.large"):
        with pytest.raises(KeyError):
            part.tensor(name)


def test_tensors_in_memory_are_a_store(folder):
    check(MemoryStore(TENSORS))
    with pytest.raises(KeyError):
        MemoryStore({}).tensor("x")


def test_a_variant_is_chosen_or_the_only_one(tmp_path):
    half = {"x": torch.ones(2).half()}
    save_file(half, tmp_path / "model.fp16.safetensors")
    check(open_store(tmp_path), half)
    check(open_store(tmp_path, variant="fp16"), half)
    with pytest.raises(DarkroomError, match="no variant 'bf16'; it has 'fp16'"):
        open_store(tmp_path, variant="bf16")
    save_file(half, tmp_path / "model.non_ema.safetensors")
    with pytest.raises(DarkroomError, match="has the variants 'fp16', 'non_ema'; choose one"):
        open_store(tmp_path)
    save_file(TENSORS, tmp_path / "model.safetensors")
    check(open_store(tmp_path))
    check(open_store(tmp_path, variant="fp16"), half)


def test_a_folder_without_weights_says_what_it_should_have(tmp_path):
    save_file(TENSORS, tmp_path / "model-00001-of-00002.safetensors")  # a shard is no checkpoint
    with pytest.raises(DarkroomError, match=r"expected diffusion_pytorch_model, model or adapter"):
        open_store(tmp_path)


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Three shards, of at most ten bytes where a tensor is not larger."""
    return write_shards(tmp_path, MemoryStore(TENSORS, {"k": "v"}), limit=10)


def test_shards_are_one_store(index):
    assert len(list(index.parent.glob("*.safetensors"))) == 3
    check(open_store(index.parent))
    assert open_store(index.parent).header.metadata == {"k": "v"}


def test_shards_of_a_variant_bear_the_names_of_diffusers(index):
    for path in index.parent.glob("*.safetensors"):
        path.rename(path.with_name(path.name.replace("model-", "model.fp16-")))
    where = json.loads(index.read_text().replace("model-", "model.fp16-"))
    index.unlink()
    index.with_name("model.safetensors.index.fp16.json").write_text(json.dumps(where))
    check(open_store(index.parent))
    check(open_store(index.parent, variant="fp16"))


def moved(where: dict[str, str], shard: str) -> dict[str, str]:
    return where | {"unet.small": shard}


CHANGES = {
    "a shard elsewhere": (
        lambda where: moved(where, "../model-00001-of-00003.safetensors"),
        "not the plain name",
    ),
    "a shard by its root": (lambda where: moved(where, "/etc/passwd"), "not the plain name"),
    "a shard that is a number": (lambda where: moved(where, 5), "not the plain name"),
    "a shard that is a pickle": (lambda where: moved(where, "model.bin"), "not the plain name"),
    "a shard that is not there": (lambda where: where | {"vae.one": "other.safetensors"}, "is not there"),
    "a name in another shard": (
        lambda where: moved(where, "model-00001-of-00003.safetensors"),
        "lacks 'unet.small'",
    ),
    "a name too many": (lambda where: where | {"x": "model-00001-of-00003.safetensors"}, "lacks 'x'"),
    "a name too few": (
        lambda where: {k: v for k, v in where.items() if k != "unet.small"},
        "has 'unet.small'",
    ),
    "no names": (lambda where: {}, "no weight_map"),
    "a list": (list, "no weight_map"),
}


@pytest.mark.parametrize(("change", "says"), CHANGES.values(), ids=CHANGES)
def test_an_index_that_does_not_fit_its_shards_is_refused(index, change, says):
    values = json.loads(index.read_text())
    values["weight_map"] = change(values["weight_map"])
    index.write_text(json.dumps(values))
    with pytest.raises(DarkroomError, match="does not fit its shards") as caught:
        open_store(index.parent)
    assert says in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"weight_map": {}, "weight_map": {}}', "[" * 100_000])
def test_an_index_that_is_no_index_is_refused(index, text):
    index.write_text(text)
    with pytest.raises(DarkroomError, match="does not fit its shards"):
        open_store(index.parent)


OTHERS = {
    "": "an empty file",
    "version https://git-lfs.github.com/spec/v1\noid sha256:0\n": "a pointer that git-lfs",
    "<!DOCTYPE html><html>404</html>": "a web page",
    "\x89PNG\r\n\x1a\n": "a picture",
    "\x89HDF\r\n\x1a\n": "an HDF5 file",
    "\x1f\x8b\x08": "a gzip file",
    "hello world, I am a text": "damaged or not a safetensors file",
}


@pytest.mark.parametrize(("data", "says"), OTHERS.items(), ids=OTHERS.values())
def test_other_files_under_a_checkpoints_name_are_called_what_they_are(tmp_path, data, says):
    with pytest.raises(DarkroomError, match=says):
        open_store(written(tmp_path, data.encode("latin-1")))

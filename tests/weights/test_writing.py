"""Writing: the bytes, their order, and what is left when it goes wrong."""

import json
from pathlib import Path

import pytest
import torch
from handmade import same
from safetensors.torch import load_file

from darkroom.errors import DarkroomError
from darkroom.weights.header import DTYPES
from darkroom.weights.store import MemoryStore, open_store
from darkroom.weights.writing import CHUNK, write_shards, write_store

DRAW = torch.Generator().manual_seed(0)
TENSORS = {
    f"part.{name}": torch.randint(0, 2, (3, 8), dtype=torch.uint8, generator=DRAW).view(dtype)
    for name, dtype in DTYPES.items()
}
TENSORS |= {
    "turned": torch.randn(3, 4, generator=DRAW).t(),
    "one": torch.tensor(2.5),
    "none": torch.empty(0, 2),
}


def test_the_library_reads_what_was_written(tmp_path):
    path = write_store(tmp_path / "new" / "x.safetensors", MemoryStore(TENSORS), {"b": "2", "a": "1"})
    loaded = load_file(path)
    assert loaded.keys() == TENSORS.keys()
    assert all(same(loaded[name], tensor) for name, tensor in TENSORS.items())
    assert [one.name for one in path.parent.iterdir()] == ["x.safetensors"]


def test_the_same_tensors_give_the_same_bytes_in_any_order_and_every_one_is_aligned(tmp_path):
    turned = dict(reversed(TENSORS.items()))
    one = write_store(tmp_path / "one", MemoryStore(TENSORS, {"a": "1", "b": "2"}))
    other = write_store(tmp_path / "other", MemoryStore(turned, {"b": "2", "a": "1"}))
    assert one.read_bytes() == other.read_bytes()
    length = int.from_bytes(one.read_bytes()[:8], "little")
    entries = json.loads(one.read_bytes()[8 : 8 + length])
    assert (8 + length) % 64 == 0
    for name, tensor in TENSORS.items():
        assert entries[name]["data_offsets"][0] % tensor.itemsize == 0


def test_a_tensor_of_more_than_a_chunk_is_written_whole(tmp_path):
    tensors = {"x": torch.arange(CHUNK // 4 + 5, dtype=torch.int32)}
    path = write_store(tmp_path / "x", MemoryStore(tensors))
    assert same(open_store(path).tensor("x"), tensors["x"])


def test_the_metadata_of_a_store_stay_unless_others_are_given(tmp_path):
    store = MemoryStore({"x": torch.ones(1)}, {"a": "1"})
    assert open_store(write_store(tmp_path / "x", store)).header.metadata == {"a": "1"}
    assert open_store(write_store(tmp_path / "x", store, {})).header.metadata == {}


class Broken(MemoryStore):
    """Fails at its second tensor."""

    def tensor(self, name: str) -> torch.Tensor:
        if name == "b":
            raise DarkroomError("no more.")
        return super().tensor(name)


def test_a_writing_that_fails_leaves_the_file_that_was_there_and_no_other(tmp_path):
    path = write_store(tmp_path / "x", MemoryStore({"a": torch.zeros(9)}))
    before = path.read_bytes()
    with pytest.raises(DarkroomError, match="no more"):
        write_store(path, Broken({"a": torch.ones(9), "b": torch.ones(9)}))
    assert path.read_bytes() == before and list(tmp_path.iterdir()) == [path]


def test_a_store_that_promised_another_shape_is_found_out(tmp_path):
    class Liar(MemoryStore):
        def tensor(self, name: str) -> torch.Tensor:
            return torch.zeros(3)

    with pytest.raises(ValueError, match="promised 'a'"):
        write_store(tmp_path / "x", Liar({"a": torch.ones(9)}))
    assert not list(tmp_path.iterdir())


def test_places_and_names_that_do_not_do_are_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DarkroomError, match="cannot write"):
        write_store(tmp_path / "file" / "x", MemoryStore(TENSORS))
    for name in ("../x", "__metadata__", "a\n", ""):
        with pytest.raises(DarkroomError, match="give it another"):
            write_store(tmp_path / "x", MemoryStore({name: torch.ones(1)}))
    with pytest.raises(DarkroomError, match="complex128, which safetensors does not have"):
        write_store(tmp_path / "x", MemoryStore({"a": torch.ones(1, dtype=torch.complex128)}))
    assert [one.name for one in tmp_path.iterdir()] == ["file"]


def test_a_full_disk_is_said_and_nothing_is_left(tmp_path):
    with pytest.raises(DarkroomError, match="the disk is full; free some space"):
        write_store(_full(tmp_path), MemoryStore({"x": torch.ones(1 << 16)}))
    assert not list(tmp_path.iterdir())


def _full(folder: Path) -> Path:
    """A path whose temporary files cannot be filled."""

    class Full(type(folder)):  # type: ignore[misc]
        def open(self, *args, **kwargs):
            super().open(*args, **kwargs).close()
            return open("/dev/full", "wb")

    return Full(folder / "x")


def test_shards_hold_at_most_the_limit_and_lie_in_the_order_of_names(tmp_path):
    tensors = {f"t{i}": torch.full((10,), float(i)) for i in range(7)}
    index = write_shards(tmp_path, MemoryStore(tensors), "diffusion_pytorch_model", limit=120)
    values = json.loads(index.read_text())
    assert index.name == "diffusion_pytorch_model.safetensors.index.json"
    assert values["metadata"] == {"total_size": 280}
    assert sorted(set(values["weight_map"].values())) == [
        f"diffusion_pytorch_model-0000{i}-of-00003.safetensors" for i in (1, 2, 3)
    ]
    assert [values["weight_map"][f"t{i}"][-22] for i in range(7)] == list("1112223")
    with pytest.raises(DarkroomError, match="choose an empty folder"):
        write_shards(tmp_path, MemoryStore(tensors), "diffusion_pytorch_model")


def test_what_fits_is_one_file(tmp_path):
    path = write_shards(tmp_path, MemoryStore({"a": torch.ones(2)}), limit=8)
    assert path.name == "model.safetensors" and open_store(tmp_path).header.parameters == 2

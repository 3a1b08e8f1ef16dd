"""GGUF files that the gguf package writes, and files that it would not."""

import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from handmade import same, written

from darkroom.errors import DarkroomError
from darkroom.weights.blocks import FORMATS
from darkroom.weights.gguf import CHUNK
from darkroom.weights.store import open_store

gguf = pytest.importorskip("gguf")
quants = pytest.importorskip("gguf.quants")

ROWS, WIDTH = 24, 512
NUMBERS = np.random.default_rng(0).standard_normal((ROWS, WIDTH)).astype(np.float32)
PLAIN = {
    "F32": np.float32,
    "F16": np.float16,
    "F64": np.float64,
    "I8": np.int8,
    "I16": np.int16,
    "I32": np.int32,
}


def blocks(name: str) -> np.ndarray:
    """(rows, bytes) of a quantised type: NUMBERS where the package can quantise, and else any bytes."""
    kind = gguf.GGMLQuantizationType[name]
    try:
        return quants.quantize(NUMBERS, kind)
    except NotImplementedError:
        block, size = gguf.GGML_QUANT_SIZES[kind]
        return np.random.default_rng(1).integers(0, 60, (ROWS, WIDTH // block * size), dtype=np.uint8)


def write(
    path: Path, tensors: dict[str, tuple[np.ndarray, str]], shapes: dict[str, list[int]] | None = None
) -> Path:
    writer = gguf.GGUFWriter(path, "flux")
    writer.add_string("general.name", "a name")
    writer.add_array("tokenizer.ggml.tokens", ["a", "bb"] * 40)
    writer.add_array("some.numbers", list(range(40)))
    for name, shape in (shapes or {}).items():
        writer.add_array(f"comfy.gguf.orig_shape.{name}", shape)
    for name, (data, kind) in tensors.items():
        raw = None if kind in PLAIN else gguf.GGMLQuantizationType[kind]
        writer.add_tensor(name, data, raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_the_table_of_types_is_that_of_the_package():
    for number, form in FORMATS.items():
        kind = gguf.GGMLQuantizationType(number)
        assert (kind.name, *gguf.GGML_QUANT_SIZES[kind]) == form[:3]


@pytest.mark.parametrize("name", PLAIN)
def test_plain_numbers_come_back_to_the_bit(tmp_path, name):
    numbers = (10 * NUMBERS).astype(PLAIN[name])
    store = open_store(write(tmp_path / "x", {"t": (numbers, name)}))
    assert same(store.tensor("t"), torch.from_numpy(numbers))


def test_bfloat16_stays_bfloat16(tmp_path):
    store = open_store(write(tmp_path / "x", {"t": (blocks("BF16"), "BF16")}))
    assert same(store.tensor("t"), torch.from_numpy(NUMBERS).bfloat16())


@pytest.mark.parametrize("form", FORMATS.values(), ids=lambda form: form.name)
def test_blocks_of_any_bits_are_what_the_package_makes_of_them(form):
    """Equal, with a NaN where it has one."""
    data = np.random.default_rng(1).integers(0, 256, (500, form.nbytes), dtype=np.uint8)
    with np.errstate(invalid="ignore"):
        expected = quants.dequantize(data, gguf.GGMLQuantizationType[form.name])
    np.testing.assert_array_equal(form.unpack(torch.from_numpy(data)).numpy(), expected)


@pytest.mark.parametrize("name", [form.name for form in FORMATS.values()])
def test_quantised_tensors_come_back_whole(tmp_path, name):
    data = blocks(name)
    store = open_store(write(tmp_path / "x", {"t": (data, name)}))
    expected = quants.dequantize(data, gguf.GGMLQuantizationType[name])
    assert store.header.tensors["t"].shape == (ROWS, WIDTH)
    assert store.header.tensors["t"].dtype == torch.float32
    assert same(store.tensor("t"), torch.from_numpy(expected))


def test_a_quantised_tensor_of_several_chunks_is_whole(tmp_path):
    numbers = np.random.default_rng(2).standard_normal((3, CHUNK // 2 + 32)).astype(np.float32)
    store = open_store(
        write(tmp_path / "x", {"t": (quants.quantize(numbers, gguf.GGMLQuantizationType.Q8_0), "Q8_0")})
    )
    assert (store.tensor("t") - torch.from_numpy(numbers)).abs().max() < 0.03


def test_names_shapes_and_metadata(tmp_path):
    tensors = {
        "a.weight": (NUMBERS, "F32"),
        "conv.weight": (blocks("Q8_0"), "Q8_0"),
        "bias": (NUMBERS[0], "F32"),
    }
    store = open_store(write(tmp_path / "x", tensors, {"conv.weight": [WIDTH, 8, ROWS // 8, 1]}))
    assert store.header.shapes == {
        "a.weight": (ROWS, WIDTH),
        "conv.weight": (WIDTH, 8, 3, 1),
        "bias": (WIDTH,),
    }
    assert store.tensor("conv.weight").shape == (WIDTH, 8, 3, 1)
    assert store.header.metadata == {"general.architecture": "flux", "general.name": "a name"}


def test_an_original_shape_that_does_not_fit_is_refused(tmp_path):
    with pytest.raises(DarkroomError, match="the original shape of 't' does not fit"):
        open_store(write(tmp_path / "x", {"t": (NUMBERS, "F32")}, {"t": [5, 5]}))


# Files that the package would not write


def text(value: bytes) -> bytes:
    return struct.pack("<Q", len(value)) + value


def tensor(name: bytes = b"t", sides: tuple[int, ...] = (32,), kind: int = 0, start: int = 0) -> bytes:
    return text(name) + struct.pack(f"<I{len(sides)}QIQ", len(sides), *sides, kind, start)


def by_hand(
    tensors: tuple[bytes, ...] = (),
    entries: tuple[bytes, ...] = (),
    data: int = 128,
    version: int = 3,
    counts: tuple[int, int] | None = None,
) -> bytes:
    head = b"GGUF" + struct.pack("<IQQ", version, *(counts or (len(tensors), len(entries))))
    head += b"".join(entries) + b"".join(tensors)
    return head + bytes(-len(head) % 32 + data)


def entry(kind: int, value: bytes, key: bytes = b"k") -> bytes:
    return text(key) + struct.pack("<I", kind) + value


BAD = {
    "version 1": (by_hand(version=1), "is of version 1, and 2 and 3 are known"),
    "big-endian": (by_hand(version=3 << 24), "is of version"),
    "tensors beyond reason": (by_hand(counts=(2**60, 0)), "claims more than the file has"),
    "entries beyond reason": (by_hand(counts=(0, 2**60)), "claims more than the file has"),
    "text beyond reason": (by_hand(entries=(struct.pack("<Q", 2**63),)), "claims more than the file has"),
    "array beyond reason": (by_hand(entries=(entry(9, struct.pack("<IQ", 0, 2**63)),)), "claims more than"),
    "texts beyond reason": (by_hand(entries=(entry(9, struct.pack("<IQ", 8, 2**60)),)), "claims more than"),
    "arrays in arrays": (by_hand(entries=(entry(9, struct.pack("<IQ", 9, 1) * 50),)), "unknown kind 9"),
    "unknown kind": (by_hand(entries=(entry(99, b""),)), "unknown kind 99"),
    "no UTF-8": (by_hand(entries=(entry(8, text(b"\xff")),)), "not UTF-8"),
    "alignment of nothing": (by_hand(entries=(entry(4, bytes(4), b"general.alignment"),)), "alignment is 0"),
    "alignment of a text": (
        by_hand(entries=(entry(8, text(b"x"), b"general.alignment"),)),
        "alignment is 'x'",
    ),
    "a tensor twice": (by_hand((tensor(), tensor())), "'t' comes twice"),
    "a path": (by_hand((tensor(b"../t"),)), "a name that is a path"),
    "an unknown type": (
        by_hand((tensor(kind=77),)),
        "has ggml's type 77, and known are plain numbers and Q4_0",
    ),
    "many dimensions": (by_hand((tensor(sides=(1,) * 17),)), "has 17 dimensions"),
    "sides that overflow": (by_hand((tensor(sides=(2**40, 2**40)),)), "more numbers than can be counted"),
    "half a block": (by_hand((tensor(sides=(33,), kind=8),)), "not made of whole blocks"),
    "an odd place": (by_hand((tensor(start=5),)), "not made of whole blocks"),
    "overlap": (by_hand((tensor(), tensor(b"u", start=64)), data=256), "'u' overlaps"),
    "cut short": (by_hand((tensor(),), data=100), "28 bytes are missing"),
    "beyond the file": (by_hand((tensor(start=2**62),)), "bytes are missing"),
    "half a header": (by_hand((tensor(),))[:40], "claims more than the file has"),
    "a magic word alone": (b"GGUF", "claims more than the file has"),
}


@pytest.mark.parametrize(("data", "says"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_said(tmp_path, data, says):
    path = written(tmp_path, data, "model.gguf")
    with pytest.raises(DarkroomError) as caught:
        open_store(path)
    assert says in str(caught.value) and str(path) in str(caught.value) and str(caught.value).isprintable()


def test_the_right_file_beside_all_the_wrong_ones_is_read(tmp_path):
    data = by_hand(
        (tensor(), tensor(b"u", start=128)), (entry(4, struct.pack("<I", 64), b"general.alignment"),), 320
    )
    assert open_store(written(tmp_path, data)).header.shapes == {"t": (32,), "u": (32,)}


def test_damaged_files_are_refused_or_have_the_shapes_they_claim(tmp_path):
    """Bits flipped anywhere in the header, and ends cut off, by seed."""
    good = write(tmp_path / "x", {"a": (NUMBERS, "F32"), "b": (blocks("Q8_0"), "Q8_0")}, {"b": [8, 3, WIDTH]})
    whole, draw, refused = good.read_bytes(), np.random.default_rng(3), 0
    for i in range(300):
        data = bytearray(whole)
        if i % 5:
            data[draw.integers(1500)] ^= 1 << draw.integers(8)
        else:
            del data[draw.integers(len(data)) :]
        try:
            store = open_store(written(tmp_path, bytes(data)))
            assert all(tuple(store.tensor(k).shape) == info.shape for k, info in store.header.tensors.items())
        except DarkroomError:
            refused += 1
    assert refused > 100

"""Headers: what is read, what is refused, and that nothing behind them is touched."""

import os
import time

import pytest
import torch
from handmade import entry, raw, written
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save

from darkroom.errors import DarkroomError
from darkroom.weights.header import DTYPES, MAX_NAME, name_trouble, read_header
from darkroom.weights.store import MemoryStore
from darkroom.weights.writing import write_store

WHOLE = {"a": entry("F32", [2, 3], 0, 24), "b": entry("BF16", [], 24, 26), "__metadata__": {"k": "v"}}


def test_what_the_library_writes_is_read(tmp_path):
    tensors = {
        "x.weight": torch.zeros(2, 3, dtype=torch.float16),
        "n": torch.tensor(3),
        "e": torch.zeros(0, 4),
    }
    header = read_header(written(tmp_path, save(tensors, {"format": "pt"})))
    assert header.shapes == {"x.weight": (2, 3), "n": (), "e": (0, 4)}
    assert {name: info.dtype for name, info in header.tensors.items()} == {
        k: v.dtype for k, v in tensors.items()
    }
    assert (header.parameters, header.nbytes, header.metadata) == (7, 20, {"format": "pt"})


def test_what_lies_behind_the_header_is_not_read(tmp_path):
    path = written(tmp_path, raw({"big": entry("U8", [1 << 40], 0, 1 << 40)}))
    os.truncate(path, path.stat().st_size + (1 << 40))  # a file with a hole of a terabyte
    began = time.perf_counter()
    assert read_header(path).parameters == 1 << 40
    assert time.perf_counter() - began < 1


TENSOR = b'"dtype":"U8","shape":[1],"data_offsets":[0,1]'
BAD = {
    "no length": (b"\x05\x00", "does not begin with the length"),
    "nothing": (b"", "does not begin with the length"),
    "length beyond the file": (raw(WHOLE, bytes(26), 10**6), "claims 1,000,000 bytes"),
    "length beyond reason": (raw(WHOLE, bytes(26), 2**63), "does not begin with the length"),
    "no JSON": (raw(b"{nonsense"), "not sound JSON"),
    "no object": (raw([1, 2]), "not an object"),
    "not UTF-8": (raw(b'{"\xff":1}'), "not sound JSON"),
    "UTF-16": (raw('{"a":1}'.encode("utf-16")), "not sound JSON"),
    "nested": (raw(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "nested too deep"),
    "NaN": (raw(b'{"a":NaN}'), "NaN is no JSON"),
    "a number of 5000 digits": (raw(b'{"a":' + b"9" * 5000 + b"}"), "not sound JSON"),
    "a tensor twice": (raw(b'{"a":{' + TENSOR + b'},"a":{' + TENSOR + b"}}", b"1"), "'a' comes twice"),
    "a key of a tensor twice": (raw(b'{"a":{"dtype":"U8",' + TENSOR + b"}}", b"1"), "'dtype' comes twice"),
    "metadata of numbers": (raw({"__metadata__": {"k": 1}}), "metadata are not texts"),
    "metadata of nothing": (raw({"__metadata__": None}), "metadata are not texts"),
    "tensor is a list": (raw({"a": []}), "lacks a dtype"),
    "no shape": (raw({"a": {"dtype": "U8", "data_offsets": [0, 0]}}), "lacks a dtype"),
    "unknown type": (raw({"a": entry("F4", [1], 0, 1)}, b"1"), "the type 'F4'"),
    "type is a number": (raw({"a": entry(5, [1], 0, 1)}, b"1"), "the type 5"),
    "type is a list": (raw({"a": entry([], [1], 0, 1)}, b"1"), "the type []"),
    "negative side": (raw({"a": entry("U8", [-1, -1], 0, 1)}, b"1"), "not a list of whole numbers"),
    "side is true": (raw({"a": entry("U8", [True], 0, 1)}, b"1"), "not a list of whole numbers"),
    "side is a fraction": (raw({"a": entry("U8", [1.0], 0, 1)}, b"1"), "not a list of whole numbers"),
    "shape is a number": (raw({"a": entry("U8", 1, 0, 1)}, b"1"), "not a list of whole numbers"),
    "too many sides": (raw({"a": entry("U8", [1] * 65, 0, 1)}, b"1"), "65 dimensions"),
    "sides overflow": (raw({"a": entry("U8", [2**32, 2**32], 0, 0)}), "more numbers than can be counted"),
    "sides overflow and vanish": (raw({"a": entry("U8", [2**60, 2**60, 0], 0, 0)}), "more numbers than"),
    "offsets fall": (raw({"a": entry("U8", [1], 1, 0)}, b"1"), "two rising numbers"),
    "three offsets": (raw({"a": entry("U8", [1], 0, 1) | {"data_offsets": [0, 1, 1]}}, b"1"), "two rising"),
    "negative offset": (raw({"a": entry("U8", [1], -1, 0)}, b"1"), "two rising numbers"),
    "shape and place differ": (raw({"a": entry("F32", [2], 0, 4)}, bytes(4)), "8 bytes by its shape and 4"),
    "overlap": (raw({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 1, 3)}, b"123"), "'b' overlaps"),
    "same place": (raw({"a": entry("U8", [2], 0, 2), "b": entry("U8", [2], 0, 2)}, b"12"), "'b' overlaps"),
    "gap": (raw({"a": entry("U8", [1], 0, 1), "b": entry("U8", [1], 2, 3)}, b"123"), "'b' leaves a gap"),
    "gap at the front": (raw({"a": entry("U8", [1], 1, 2)}, b"12"), "'a' leaves a gap"),
    "cut short": (raw(WHOLE, bytes(20)), "6 of 26 bytes are missing"),
    "too long": (raw(WHOLE, bytes(30)), "4 bytes that belong to no tensor"),
    "path": (raw({"../../x": entry("U8", [1], 0, 1)}, b"1"), "has a name that is a path"),
    "root path": (raw({"/etc/x": entry("U8", [1], 0, 1)}, b"1"), "has a name that is a path"),
    "path of Windows": (raw({"a\\..\\x": entry("U8", [1], 0, 1)}, b"1"), "has a name that is a path"),
    "control": (raw({"a\x1b[2J": entry("U8", [1], 0, 1)}, b"1"), "cannot be printed"),
    "turned text": (raw({"a\u202eb": entry("U8", [1], 0, 1)}, b"1"), "cannot be printed"),
    "half a character": (raw(b'{"\\ud800":{' + TENSOR + b"}}", b"1"), "cannot be printed"),
    "long name": (raw({"n" * 1001: entry("U8", [1], 0, 1)}, b"1"), "a name of 1001 characters"),
    "no name": (raw({"": entry("U8", [1], 0, 1)}, b"1"), "a name of 0 characters"),
}


@pytest.mark.parametrize(("data", "says"), BAD.values(), ids=BAD)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path, data, says):
    path = written(tmp_path, data)
    with pytest.raises(DarkroomError) as caught:
        read_header(path)
    message = str(caught.value)
    assert says in message and str(path) in message
    assert message.isprintable() and len(message) < 600 and message.endswith(".")


def test_the_right_file_beside_all_the_wrong_ones_is_read(tmp_path):
    header = read_header(written(tmp_path, raw(WHOLE, bytes(26))))
    assert header.shapes == {"a": (2, 3), "b": ()} and header.metadata == {"k": "v"}


def test_a_place_without_a_file_is_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "none", tmp_path, tmp_path / "pipe", f"{tmp_path}/a\0b"):
        with pytest.raises(DarkroomError, match=r"check its name|is not a file"):
            read_header(path)


@st.composite
def headers(draw):
    """Tensors of any type and shape (of few bytes), by any sound name, with metadata."""
    alphabet = st.characters(exclude_categories=("C", "Z"))
    names = draw(
        st.sets(
            st.text(alphabet, min_size=1, max_size=30).filter(lambda name: name_trouble(name) is None),
            max_size=8,
        )
    )
    shapes = st.lists(st.integers(0, 4), max_size=4)
    tensors = {
        name: torch.zeros(draw(shapes), dtype=draw(st.sampled_from(sorted(DTYPES.values(), key=str))))
        for name in sorted(names)
    }
    return tensors, draw(st.dictionaries(st.text(max_size=10), st.text(max_size=20), max_size=3))


@settings(max_examples=60)
@given(headers())
def test_a_header_comes_back_and_the_library_agrees(tmp_path_factory, case):
    tensors, metadata = case
    if any("\ud800" <= letter <= "\udfff" for key in (*metadata, *metadata.values()) for letter in key):
        return  # half characters cannot be written as UTF-8
    path = write_store(tmp_path_factory.mktemp("round") / "x", MemoryStore(tensors, metadata))
    header = read_header(path)
    assert header.metadata == metadata
    assert {k: (v.dtype, v.shape) for k, v in header.tensors.items()} == {
        k: (v.dtype, tuple(v.shape)) for k, v in tensors.items()
    }
    with safe_open(path, "pt") as file:
        assert set(file.keys()) == set(tensors) and (file.metadata() or {}) == metadata


def test_the_longest_name_is_allowed(tmp_path):
    assert read_header(written(tmp_path, raw({"n" * MAX_NAME: entry("U8", [1], 0, 1)}, b"1"))).parameters == 1

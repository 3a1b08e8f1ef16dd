"""Hundreds of damaged and hostile files, made by seed: each loads right, or is refused in one sentence.

A file counts as right when every tensor has the bits that lie in it. A bit that flips in a number and leaves
it finite cannot be seen by anyone who does not know the file's hash, and is not asked for here.
"""

import json
import struct
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from random import Random

import pytest
import torch
from handmade import entry, raw, same, written
from safetensors.torch import save
from torch import Tensor, nn

from darkroom.errors import DarkroomError
from darkroom.weights.loading import hollow, load_into
from darkroom.weights.store import open_store

Files = Iterator[bytes]
MOST_MEMORY = 4 << 20
"""Bytes that Python may hold for a file of a kilobyte, whatever it claims."""


class Network(nn.Module):
    """No two of its tensors have one shape."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.linear = nn.Linear(6, 8)
        self.embed = nn.Embedding(7, 2)
        self.register_buffer("count", torch.tensor(5))


def tensors() -> dict[str, Tensor]:
    draw = torch.Generator().manual_seed(0)
    dtypes = iter((torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float32))
    return {
        name: torch.randn(one.shape, generator=draw).to(next(dtypes)) if one.is_floating_point() else one
        for name, one in Network().state_dict().items()
    }


TENSORS = tensors()
GOOD = save(TENSORS, {"format": "pt", "note": "a note of some length"})
BEGIN = 8 + int.from_bytes(GOOD[:8], "little")
HEADER, BODY = json.loads(GOOD[8:BEGIN]), GOOD[BEGIN:]
NAMES = sorted(TENSORS)


def cut_off(random: Random) -> Files:
    for length in {*range(0, BEGIN, 7), *range(BEGIN, len(GOOD), 11)}:
        yield GOOD[:length]


def prolonged(random: Random) -> Files:
    for length in (1, 2, 3, 7, 8, 9, 64, 4096):
        yield GOOD + bytes(length)
        yield GOOD + random.randbytes(length)


def flipped(data: bytes, bit: int) -> bytes:
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def flips_in_the_length(random: Random) -> Files:
    for bit in range(64):
        yield flipped(GOOD, bit)


def flips_in_the_header(random: Random) -> Files:
    for bit in random.sample(range(64, 8 * BEGIN), 250):
        yield flipped(GOOD, bit)


def bytes_in_the_header(random: Random) -> Files:
    for _ in range(100):
        changed = bytearray(GOOD)
        changed[random.randrange(8, BEGIN)] = random.choice(b'\x00"\\{}[]:,0-9eE.\xff\x80nt')
        yield bytes(changed)


def flips_in_the_body(random: Random) -> Files:
    for bit in random.sample(range(8 * BEGIN, 8 * len(GOOD)), 80):
        yield flipped(GOOD, bit)


NUMBERS = (
    -1,
    0,
    1,
    2,
    1 << 31,
    1 << 32,
    1 << 62,
    1 << 63,
    1 << 64,
    10**30,
    1.5,
    1e308,
    True,
    None,
    "4",
    [],
    {},
)
VALUES = (
    None,
    True,
    -1,
    0.5,
    "x",
    [],
    {},
    [[]],
    [None],
    [1, 2, 3],
    [-1, 5],
    {"dtype": "F32"},
    "F32" * 10_000,
)
DTYPES = (
    "F31",
    "f32",
    "F32 ",
    "",
    "F64",
    "I64",
    "BOOL",
    "F4",
    "F8_E8M0",
    "Q4_0",
    "torch.float32",
    5,
    None,
    ["F32"],
)
STRANGE = (
    "../x",
    "/x",
    "a/../../b",
    "..\\x",
    "C:\\..\\x",
    "",
    " \n",
    "\0",
    "\x1b[31m",
    "\u202e",
    "\ud800",
    "x" * 5000,
)
STRANGE += (
    "__metadata__",
    "__class__",
    "conv",
    "conv.weight.",
    ".conv.weight",
    "conv..weight",
    "сonv.weight",
)


def changed_entries(random: Random) -> Files:
    """One value of one entry is another, or is away, or the entry is."""
    for _ in range(220):
        header = json.loads(json.dumps(HEADER))
        name = random.choice(NAMES)
        its, key = header[name], random.choice(("shape", "data_offsets", "dtype", "entry"))
        if key == "entry":
            header[name] = random.choice(VALUES)
        elif random.random() < 0.2:
            del its[key]
        elif key == "dtype":
            its[key] = random.choice(DTYPES)
        elif its[key] and random.random() < 0.7:
            its[key][random.randrange(len(its[key]))] = random.choice(NUMBERS)
        else:
            its[key] = random.choice(VALUES)
        yield raw(header, BODY)


def moved_entries(random: Random) -> Files:
    """Overlaps, holes, and tensors that have changed places."""
    for _ in range(80):
        header = json.loads(json.dumps(HEADER))
        one, other = random.sample(NAMES, 2)
        how = random.randrange(4)
        if how == 0:
            header[one]["data_offsets"] = list(header[other]["data_offsets"])
        elif how == 1:
            header[one], header[other] = header[other], header[one]
        elif how == 2:
            header[one]["data_offsets"] = [
                at + random.choice((-8, -1, 1, 8)) for at in header[one]["data_offsets"]
            ]
        else:
            del header[one]
        yield raw(header, BODY)


def strange_names(random: Random) -> Files:
    for strange in STRANGE:
        header = json.loads(json.dumps(HEADER))
        header[strange] = header.pop(random.choice(NAMES))
        yield raw(header, BODY)
        yield raw(HEADER | {strange: entry("U8", [0], 0, 0)}, BODY)


def keys_that_come_twice(random: Random) -> Files:
    text = json.dumps(HEADER)
    for name in NAMES:
        yield raw(f'{text[:-1]}, "{name}": {json.dumps(HEADER[name])}}}'.encode(), BODY)
        for key in ("dtype", "shape", "data_offsets"):
            value = json.dumps(HEADER[name][key])
            yield raw(text.replace(f'"{key}": {value}', f'"{key}": {value}, "{key}": {value}').encode(), BODY)


def huge_claims(random: Random) -> Files:
    for count in (1 << 33, 1 << 40, 1 << 61, 1 << 63, (1 << 64) - 1):
        yield raw({"conv.weight": entry("F32", [count], 0, 4 * count)}, BODY)
        yield raw({"conv.weight": entry("F32", [count, count, 0], 0, 0)})
        yield raw({"conv.weight": entry("F32", [1] * 5000, 0, 4)}, bytes(4))
        yield raw(b"{}", b"", count)
    yield raw(b"[" * 200_000)
    yield raw(b'{"a":' * 200_000)
    yield raw(b'{"a":' + b"1" * 200_000 + b"}")
    yield raw(b'{"a":1e' + b"9" * 200_000 + b"}")
    yield raw({"__metadata__": {"k": {"k": {}}}})


def numbers_that_are_none(random: Random) -> Files:
    for value in (float("nan"), float("inf"), -float("inf")):
        for name, tensor in TENSORS.items():
            if tensor.dtype in (torch.float32, torch.float16, torch.bfloat16):
                changed = tensor.clone()
                changed.view(-1)[random.randrange(changed.numel())] = value
                yield save(TENSORS | {name: changed})


def other_files(random: Random) -> Files:
    archive = BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("x", "y")
    yield from (
        b"",
        b"{",
        b"{}",
        b"\n",
        b"hello",
        b"GGUF",
        b"\x80\x02}.",
        archive.getvalue(),
        b"%PDF-1.7 ...",
    )
    yield b"\x89PNG\r\n\x1a\n" + bytes(100)
    yield b"GGUF" + struct.pack("<IQQ", 3, 1 << 40, 1 << 40) + bytes(100)
    yield json.dumps(HEADER).encode()
    yield b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64


def noise(random: Random) -> Files:
    for length in range(1, 200, 5):
        yield random.randbytes(length)
        yield raw(random.randbytes(length))
        yield raw(b"{" + bytes(random.choice(b'{}[]":,019ae \\') for _ in range(length)) + b"}")


def other_networks(random: Random) -> Files:
    for name in NAMES:
        yield save({k: v for k, v in TENSORS.items() if k != name})
        yield save({f"model.{k}": v for k, v in TENSORS.items()})
        yield save(TENSORS | {name: TENSORS[name].unsqueeze(0)})
        yield save(TENSORS | {name: torch.zeros(TENSORS[name].shape, dtype=torch.int16)})


KINDS = (
    cut_off,
    prolonged,
    flips_in_the_length,
    flips_in_the_header,
    bytes_in_the_header,
    flips_in_the_body,
    changed_entries,
    moved_entries,
    strange_names,
    keys_that_come_twice,
    huge_claims,
    numbers_that_are_none,
    other_files,
    noise,
    other_networks,
)
MAY_LOAD = {flips_in_the_header, bytes_in_the_header, flips_in_the_body, strange_names, changed_entries}
"""Where a change can leave a sound file: in the metadata's words, in a finite number, in a name too many."""


def made(kind: Callable[[Random], Files]) -> list[bytes]:
    return list(kind(Random(kind.__name__)))


def loaded(path: Path) -> nn.Module:
    with hollow():
        network = Network()
    load_into(network, open_store(path))
    return network


def body_of(data: bytes) -> bytes:
    return data[8 + int.from_bytes(data[:8], "little") :]


def check_loaded(network: nn.Module, data: bytes) -> None:
    """Each tensor has the bits at its old place in the body."""
    for name, tensor in network.state_dict().items():
        start, stop = HEADER[name]["data_offsets"]
        bits = torch.frombuffer(bytearray(body_of(data)[start:stop]), dtype=torch.uint8)
        assert same(tensor, bits.view(TENSORS[name].dtype).view(TENSORS[name].shape)), name


def check_sentence(message: str, path: Path) -> None:
    assert str(path) in message and message.isprintable() and len(message) < 700 and message.endswith("."), (
        message
    )


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_each_is_right_or_refused_in_one_sentence(tmp_path, kind):
    files, refused, slowest = made(kind), 0, 0.0
    for i, data in enumerate(files):
        path = written(tmp_path, data, f"{i}.safetensors")
        began = time.process_time()
        try:
            check_loaded(loaded(path), data)
        except DarkroomError as error:
            refused += 1
            check_sentence(str(error), path)
        slowest = max(slowest, time.process_time() - began)
        path.unlink()
    assert slowest < 2
    assert refused == len(files) if kind not in MAY_LOAD else 0 < refused <= len(files)


def test_the_good_file_loads_right(tmp_path):
    check_loaded(loaded(written(tmp_path, GOOD)), GOOD)


def test_there_are_many_of_them():
    assert sum(len(made(kind)) for kind in KINDS) >= 1000
    assert made(flips_in_the_header) == made(flips_in_the_header)


@pytest.mark.parametrize(
    "kind", [huge_claims, flips_in_the_length, changed_entries], ids=lambda kind: kind.__name__
)
def test_no_claim_takes_memory(tmp_path, kind):
    for data in made(kind)[:70]:
        path = written(tmp_path, data)
        tracemalloc.start()
        try:
            loaded(path)
        except DarkroomError:
            pass
        finally:
            _, most = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert most < MOST_MEMORY + 8 * len(data)


def test_names_that_lead_elsewhere_make_no_file(tmp_path):
    """Nothing of a checkpoint is ever used as a path but the shards of an index."""
    folder = tmp_path / "deep" / "down"
    folder.mkdir(parents=True)
    for data in made(strange_names):
        with pytest.raises(DarkroomError):
            loaded(written(folder, data + b"x"))
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["model.safetensors"]

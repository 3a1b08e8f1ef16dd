"""Finds the tensors in a PyTorch file, as a program of its own: ``python -I -S unpickling.py < file > JSON``.

``torch.save`` writes a zip file with ``data.pkl``, which says names, types and shapes, and an entry of plain
numbers for each storage. A pickle is a list of calls to make. Here nothing that it names is imported or
called: names of torch stand for the few classes below, which note what they are given; names of harmless
bookkeeping stand for a thing that does nothing; any other name ends the reading. This runs with little memory
and time, imports the standard library alone, and prints where in the file each tensor lies.
"""

import json
import pickle
import resource
import struct
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, BinaryIO, NamedTuple

MEMORY, SECONDS = 2 << 30, 60
MAX_PICKLE = 64 << 20
MAX_TENSORS = 100_000
MAX_DEPTH = 16
MAX_NAME = 1000
MAX_TEXT = 2000
"""Characters of a text that is kept as metadata."""

DTYPES = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
}
SIZES = {
    "float64": 8,
    "float32": 4,
    "float16": 2,
    "bfloat16": 2,
    "float8_e4m3fn": 1,
    "float8_e5m2": 1,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint8": 1,
    "uint16": 2,
    "uint32": 4,
    "uint64": 8,
    "bool": 1,
    "complex64": 8,
}
BOOKKEEPING = (
    "pytorch_lightning",
    "lightning",
    "lightning_fabric",
    "omegaconf",
    "numpy",
    "argparse",
    "pathlib",
)
"""Packages whose objects trainers leave beside the weights; what they were does not matter here."""
PLAIN = {
    "__builtin__": ("set", "frozenset", "complex", "bytearray", "slice", "range"),
    "_codecs": ("encode",),
}
PLAIN |= {"datetime": ("datetime", "timedelta"), "typing": ("Any",), "collections": ("Counter", "deque")}
PLAIN |= {"torch": ("device", "Tensor"), "torch.nn.parameter": ("Parameter",)}
WRAPPERS = ("state_dict", "params_ema", "params", "model_state_dict", "model_ema", "model", "module", "ema")
"""Under which key trainers put the weights, in the order in which they are looked for."""


class Unfit(Exception):
    """What is wrong with the file."""


class Storage(NamedTuple):
    """An entry of the zip file: its name, its type, and how many numbers it claims."""

    key: str
    dtype: str | None
    numbers: int


class Found(NamedTuple):
    """A tensor: which numbers of a storage, in the terms of ``torch.as_strided``."""

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class Nothing:
    """Stands for whatever is not needed; takes anything and does nothing with it."""

    __slots__ = ()

    def __new__(cls, *args: object, **kwargs: object) -> "Nothing":
        return object.__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None: ...
    def __setstate__(self, state: object) -> None: ...
    def __setitem__(self, key: object, value: object) -> None: ...
    def append(self, value: object) -> None: ...
    def extend(self, values: object) -> None: ...


class Entries(dict[Any, Any]):
    """Stands for the dictionaries of ``collections``; attributes that were set on them are dropped."""

    __slots__ = ()

    def __init__(self, pairs: object = (), *rest: object) -> None:
        super().__init__(pairs if isinstance(pairs, list | dict) else ())

    def __setstate__(self, state: object) -> None: ...


class Call:
    """Stands for a function of torch. Nothing can be set on it from within a pickle."""

    __slots__ = ("_note",)

    def __init__(self, note: Callable[..., object]) -> None:
        self._note = note

    def __call__(self, *args: object) -> object:
        return self._note(*args)

    def __setstate__(self, state: object) -> None:
        raise Unfit("it tries to change what reads it")


def tensor(storage: Any, offset: Any, shape: Any, stride: Any, *rest: Any) -> Found:
    """``torch._utils._rebuild_tensor_v2`` and ``_v3``, which has the type as its third further argument."""
    dtype = storage.dtype if storage.dtype is not None else rest[2]
    return Found(storage, dtype, offset, tuple(shape), tuple(stride))


def from_type(function: Any, kind: Any, args: Any, state: Any) -> object:
    """``torch._tensor._rebuild_from_type_v2``: a tensor with attributes, which are dropped."""
    if not isinstance(function, Call):
        raise Unfit("it has a tensor of an unknown kind")
    return function(*args)


CALLS = {
    "torch._utils._rebuild_tensor": Call(tensor),
    "torch._utils._rebuild_tensor_v2": Call(tensor),
    "torch._utils._rebuild_tensor_v3": Call(tensor),
    "torch._utils._rebuild_parameter": Call(lambda data, *rest: data),
    "torch._utils._rebuild_parameter_with_state": Call(lambda data, *rest: data),
    "torch._tensor._rebuild_from_type_v2": Call(from_type),
    "torch.Size": Call(lambda sides=(): tuple(sides)),
    "torch.storage.UntypedStorage": None,
    "collections.OrderedDict": Entries,
    "collections.defaultdict": Entries,
}


class Reader(pickle.Unpickler):
    """A pickle read with stand-ins for all that it names."""

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in for a name; nothing is imported."""
        if (path := f"{module}.{name}") in CALLS:
            return CALLS[path]
        if module in ("torch", "torch.storage") and (name in DTYPES or name in SIZES):
            return DTYPES.get(name, name)
        if module.partition(".")[0] in BOOKKEEPING or name in PLAIN.get(module, ()):
            return Nothing
        raise Unfit(f"it calls for {path[:100]!r}, which no weights need and which may be an attack")

    def persistent_load(self, pid: Any) -> Storage:
        """("storage", type, key, device, count)"""
        if not (isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage"):
            raise Unfit("it has a storage that is none")
        return Storage(pid[2], pid[1], pid[4])


def main() -> None:
    """Print {"tensors": [[name, dtype, byte, shape, stride], ...], "metadata": {...}} or {"error": ...}."""
    try:
        _limit()
        answer: dict[str, Any] = found(sys.stdin.buffer)
    except Unfit as error:
        answer = {"error": str(error)}
    except (MemoryError, RecursionError):
        answer = {"error": "it takes more memory than weights need"}
    except Exception as error:  # a pickle can make its reader fail in any way
        answer = {"error": f"it is damaged ({type(error).__name__}: {str(error)[:100]})"}
    json.dump(answer, sys.stdout)


def found(file: BinaryIO) -> dict[str, Any]:
    """Where the tensors of a PyTorch file lie."""
    with zipfile.ZipFile(file) as archive:
        entries = checked_entries(archive, file.seek(0, 2))
        root = pickle_root(entries)
        if (order := entries.get(f"{root}/byteorder")) is not None and archive.read(order) != b"little":
            raise Unfit("it was written on a machine of another byte order")
        with archive.open(entries[f"{root}/data.pkl"]) as stream:
            top = Reader(stream, encoding="utf-8").load()
    weights = unwrapped(top)
    tensors = [
        [name, one.dtype, *_place(file, one, entries.get(f"{root}/data/{one.storage.key}"))]
        for name, one in flattened(weights)
    ]
    return {"tensors": tensors, "metadata": texts(top)}


def checked_entries(archive: zipfile.ZipFile, size: int) -> dict[str, zipfile.ZipInfo]:
    """The entries by name, none packed, none twice, and no more in them than in the file."""
    entries: dict[str, zipfile.ZipInfo] = {}
    for entry in archive.infolist():
        name = entry.filename
        if entry.compress_type or entry.compress_size != entry.file_size or entry.flag_bits & 1:
            raise Unfit(f"its entry {name[:100]!r} is packed, and PyTorch never packs")
        if name in entries or ".." in name.split("/") or name.startswith("/") or "\\" in name:
            raise Unfit(f"its entry {name[:100]!r} comes twice or is a path")
        entries[name] = entry
    if sum(entry.file_size for entry in entries.values()) > size:
        raise Unfit("its entries claim more bytes than the file has")
    return entries


def pickle_root(entries: dict[str, zipfile.ZipInfo]) -> str:
    """The folder in which the archive has data.pkl."""
    roots = [name.removesuffix("/data.pkl") for name in entries if name.endswith("/data.pkl")]
    if len(roots) != 1:
        raise Unfit("it is a zip file, but not one that PyTorch wrote")
    if f"{roots[0]}/constants.pkl" in entries:
        raise Unfit("it is a TorchScript program, not weights")
    if entries[f"{roots[0]}/data.pkl"].file_size > MAX_PICKLE:
        raise Unfit("its pickle is larger than that of any weights")
    return roots[0]


def unwrapped(top: object) -> object:
    """The weights among what a trainer saved beside them."""
    while isinstance(top, dict) and not any(isinstance(value, Found) for value in top.values()):
        inner = next((top[key] for key in WRAPPERS if isinstance(top.get(key), dict) and top[key]), None)
        if inner is None:
            break
        top = inner
    return top


def flattened(top: object) -> Iterator[tuple[str, Found]]:
    """Every tensor with the keys that lead to it, joined by dots."""
    stack, seen, count = [("", top, 0)], 0, 0
    while stack:
        name, value, depth = stack.pop()
        seen += 1
        if isinstance(value, Found):
            count += 1
            yield name, value
        elif isinstance(value, dict | list | tuple):
            pairs = list(value.items() if isinstance(value, dict) else enumerate(value))
            below = [(f"{name}.{key}" if name else str(key), one, depth + 1) for key, one in reversed(pairs)]
            stack += [entry for entry in below if isinstance(entry[1], dict | list | tuple)]
        if count > MAX_TENSORS or seen > 10 * MAX_TENSORS or depth > MAX_DEPTH or len(name) > MAX_NAME:
            raise Unfit("it has more in it than weights have")


def texts(top: object) -> dict[str, str]:
    """The short texts and numbers that lie beside the weights."""
    pairs = top.items() if isinstance(top, dict) else ()
    return {
        key: str(value)
        for key, value in pairs
        if isinstance(key, str) and isinstance(value, str | int | float) and len(str(value)) <= MAX_TEXT
    }


def _place(file: BinaryIO, found: Found, entry: zipfile.ZipInfo | None) -> tuple[int, list[int], list[int]]:
    """First byte, shape and stride, all inside the storage's entry."""
    if entry is None:
        raise Unfit("a storage that a tensor needs is not in it")
    numbers = (found.offset, found.storage.numbers, *found.shape, *found.stride)
    if any(type(one) is not int or one < 0 for one in numbers) or len(found.shape) != len(found.stride):
        raise Unfit("it has a tensor with an impossible shape")
    size = SIZES[found.dtype]
    reach = found.offset + sum(
        (side - 1) * step for side, step in zip(found.shape, found.stride, strict=True)
    )
    if 0 not in found.shape and (reach + 1) * size > entry.file_size:
        raise Unfit("it has a tensor that reaches beyond its storage")
    return _begin(file, entry) + found.offset * size, list(found.shape), list(found.stride)


def _begin(file: BinaryIO, entry: zipfile.ZipInfo) -> int:
    """The byte after an entry's own header (APPNOTE.TXT 4.3.7)."""
    file.seek(entry.header_offset)
    head = file.read(30)
    if len(head) < 30 or head[:4] != b"PK\x03\x04":
        raise Unfit("an entry of it has no header")
    name, extra = struct.unpack("<HH", head[26:])
    return entry.header_offset + 30 + name + extra


def _limit() -> None:
    """Bound what a hostile pickle can take from the machine: memory, time, files and processes."""
    limits = (("RLIMIT_AS", MEMORY), ("RLIMIT_CPU", SECONDS), ("RLIMIT_FSIZE", 0), ("RLIMIT_CORE", 0))
    for name, most in limits:
        with suppress(ValueError, OSError, AttributeError):  # not every system has each
            resource.setrlimit(getattr(resource, name), (most, most))


if __name__ == "__main__":
    main()

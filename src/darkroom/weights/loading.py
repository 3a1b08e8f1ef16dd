"""Laying a checkpoint's tensors into a network that was built without any.

    with hollow():
        network = UNet(config)
    print(load_into(network, open_store(path), torch.bfloat16))  # matched 686, unused 0, missing 0

Where the type is the stored one, the network's weights are the file's pages themselves. Otherwise tensors are
converted one by one, the largest first, so that memory never holds much more than the network will. With
``later`` parameters stay in the file until somebody brings them, see :mod:`darkroom.weights.origin`.

Every number is looked at: NaN and infinity are found. A flipped bit that leaves a finite number is not; only
who knows the file's SHA-256 can tell.
"""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook
from torch.overrides import TorchFunctionMode

from darkroom.errors import DarkroomError
from darkroom.weights.header import Header, shown
from darkroom.weights.origin import Origin, parameter_from
from darkroom.weights.store import Store

CHUNK = 1 << 20
"""Numbers converted at a time: they are checked while they are still in the cache."""
NAMED = 3
"""How many names a message lists."""


@dataclass(frozen=True)
class Matched:
    """What became of a checkpoint's tensors and of a network's; ``missing`` are as they were built."""

    matched: int
    unused: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"matched {self.matched}, unused {len(self.unused)}, missing {len(self.missing)}"


class Unfilled(TorchFunctionMode):
    """Nothing is drawn into parameters that have no memory: torch would import its compiler for it, which
    takes longer than all the rest of a start.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        if getattr(func, "__module__", None) == "torch.nn.init":
            tensor = args[0] if args else kwargs["tensor"]
            if tensor.is_meta:
                return tensor
        return func(*args, **(kwargs or {}))


@contextmanager
def hollow() -> Iterator[None]:
    """Modules that this thread builds in here have parameters without memory (on the meta device).

    Buffers are real, unlike under ``torch.device("meta")``: those that no checkpoint has keep their values.
    """
    thread = threading.get_ident()

    def emptied(module: nn.Module, name: str, parameter: nn.Parameter | None) -> nn.Parameter | None:
        if parameter is None or parameter.is_meta or threading.get_ident() != thread:
            return None  # as it is; a parameter that two modules share stays shared
        return nn.Parameter(parameter.detach().to("meta"), parameter.requires_grad)

    hook = register_module_parameter_registration_hook(emptied)  # type: ignore[arg-type]
    try:
        with Unfilled():
            yield
    finally:
        hook.remove()


def load_into(
    module: nn.Module,
    store: Store,
    dtype: torch.dtype | None = None,
    *,
    allow_missing: Collection[str] = (),
    allow_nan: bool = False,
    later: bool = False,
) -> Matched:
    """Lay the store's tensors into ``module``, by name.

    ``dtype`` is what real numbers become; None leaves each as it is stored, and then the weights share memory
    with the store. ``allow_missing`` are names (with * for any part) that the store need not have; they stay
    as they are in ``module``. Names that share one parameter need one tensor among them.

    With ``later`` parameters are absent at first, and their numbers are read and looked at when they are
    brought.

    Raises DarkroomError, before any tensor is read, where nothing matches, where a shape or a kind of number
    is another, and where one is missing; and while reading for numbers that are not finite (unless
    ``allow_nan``) or too large for ``dtype``.
    """
    wanted = {name: one for name, one in module.state_dict(keep_vars=True).items() if isinstance(one, Tensor)}
    header = store.header
    _check_materialised(module, wanted)
    _check_fits(type(module).__name__, wanted, header)
    groups = _groups(wanted)
    missing = [name for names in groups if not header.tensors.keys() & set(names) for name in names]
    _check_missing(missing, allow_missing, wanted, header)
    for names in sorted(groups, key=lambda names: -wanted[names[0]].numel()):
        if found := [name for name in names if name in header.tensors]:
            if later and isinstance(slot := wanted[names[0]], nn.Parameter):
                _place(module, names, _deferred(store, found, slot, dtype, allow_nan))
            else:
                _place(module, names, _read(store, found, dtype, allow_nan))
    matched = wanted.keys() & header.tensors.keys()
    return Matched(len(matched), tuple(sorted(header.tensors.keys() - wanted.keys())), tuple(sorted(missing)))


def _groups(wanted: Mapping[str, Tensor]) -> list[list[str]]:
    """The names of each tensor; several where modules share it."""
    groups: dict[int, list[str]] = {}
    for name, tensor in wanted.items():
        groups.setdefault(id(tensor), []).append(name)
    return list(groups.values())


def _place(module: nn.Module, names: list[str], tensor: Tensor) -> None:
    """Make ``tensor`` the parameter or buffer of these names."""
    parameter: nn.Parameter | None = None
    for name in names:
        path, _, leaf = name.rpartition(".")
        owner = module.get_submodule(path)
        if leaf in owner._buffers:
            owner._buffers[leaf] = tensor
            continue
        old = owner._parameters[leaf]
        assert old is not None
        if parameter is None and isinstance(tensor, nn.Parameter):
            parameter = tensor
        elif parameter is None:
            parameter = nn.Parameter(tensor, old.requires_grad)
        owner._parameters[leaf] = parameter


def defer(module: nn.Module, store: Store, names: Mapping[str, str]) -> None:
    """Let the parameters of ``module``, which have no memory, come from ``store``, each in its own type.

    ``names`` are those that the store has for them.
    """
    slots = dict(module.named_parameters(remove_duplicate=False))
    for alike in _groups(slots):
        slot, found = slots[alike[0]], [names[alike[0]]]
        _place(module, alike, _deferred(store, found, slot, slot.dtype, allow_nan=False))


def _deferred(
    store: Store, found: list[str], slot: nn.Parameter, dtype: torch.dtype | None, allow_nan: bool
) -> nn.Parameter:
    """A parameter that is absent until its numbers are read."""
    stored = store.header.tensors[found[0]].dtype
    target = dtype if dtype is not None and stored.is_floating_point else stored

    def read(check: bool) -> Tensor:
        return _read(store, found if check else found[:1], dtype, allow_nan or not check)

    return parameter_from(Origin(read, mapped=stored == target), slot, target)


def _read(store: Store, names: list[str], dtype: torch.dtype | None, allow_nan: bool) -> Tensor:
    """The tensor of these names, which must be one and the same, in the target type."""
    place, first = f"'{store.header.source}': {shown(names[0])}", store.tensor(names[0]).detach()
    for other in names[1:]:
        if not torch.equal(first, store.tensor(other)):
            raise DarkroomError(
                f"{place} and {shown(other)} differ, and the network has one weight for both; use a"
                " checkpoint of this very network."
            )
    target = dtype if dtype is not None and first.is_floating_point() else first.dtype
    return _converted(first.contiguous(), target, None if allow_nan else place)


def _converted(tensor: Tensor, dtype: torch.dtype, place: str | None) -> Tensor:
    """``tensor`` as ``dtype``, itself where it is that already. ``place`` names it if it is to be checked."""
    result = tensor if tensor.dtype == dtype else torch.empty(tensor.shape, dtype=dtype)
    for source, target in zip(tensor.view(-1).split(CHUNK), result.view(-1).split(CHUNK), strict=True):
        if result is not tensor:
            target.copy_(source)
        if place is not None and not _finite(target):
            raise DarkroomError(f"{place} {_unfit(source, dtype)}.")
    return result


def _finite(numbers: Tensor) -> bool:
    """Whether none is NaN or infinite. The extremes tell, and are found as fast as memory is read."""
    if not numbers.is_floating_point() or not numbers.numel():
        return True
    low, high = (numbers.float() if numbers.itemsize == 1 else numbers).aminmax()
    return bool(low.isfinite() & high.isfinite())


def _unfit(source: Tensor, dtype: torch.dtype) -> str:
    if _finite(source):
        return (
            f"has numbers too large for {str(dtype).removeprefix('torch.')}; load it in bfloat16 or float32"
        )
    return "has numbers that are NaN or infinite; the file is damaged, get it again from where it came"


def _check_materialised(module: nn.Module, wanted: dict[str, Tensor]) -> None:
    """A buffer that is not saved and has no memory cannot get its values from any file."""
    for name, buffer in module.named_buffers():
        if buffer.is_meta and name not in wanted:
            raise RuntimeError(
                f"the buffer {name} has no values; build {type(module).__name__} under hollow()"
            )


def _check_fits(network: str, wanted: dict[str, Tensor], header: Header) -> None:
    """Some names match, and each that does has its shape and kind of number."""
    matched = wanted.keys() & header.tensors.keys()
    if not matched:
        raise DarkroomError(
            f"'{header.source}' has none of the {len(wanted)} tensors of {network}: it has"
            f" {_some(header.tensors)} and not {_some(wanted)}; use a checkpoint of the same kind of network."
        )
    for name in sorted(matched):
        slot, info = wanted[name], header.tensors[name]
        expected, found = _described(slot.dtype, slot.shape), _described(info.dtype, info.shape)
        both_real = slot.is_floating_point() and info.dtype.is_floating_point
        if slot.shape != info.shape or not (both_real or slot.dtype == info.dtype):
            raise DarkroomError(
                f"'{header.source}' does not fit {network}: {shown(name)} should be {expected} and is"
                f" {found}; use a checkpoint of the same size and kind."
            )


def _described(dtype: torch.dtype, shape: tuple[int, ...]) -> str:
    kind = "real" if dtype.is_floating_point else str(dtype).removeprefix("torch.")
    return f"{kind} {tuple(shape)}"


def _check_missing(
    missing: list[str], allowed: Collection[str], wanted: dict[str, Tensor], header: Header
) -> None:
    absent = [name for name in missing if not any(fnmatchcase(name, pattern) for pattern in allowed)]
    if absent:
        raise DarkroomError(
            f"'{header.source}' lacks {len(absent)} of {len(wanted)} tensors ({_some(absent)}); get the whole"
            " file, or the one that belongs to this network."
        )


def _some(names: Collection[str]) -> str:
    """A few of the names."""
    first = ", ".join(shown(name) for name in sorted(names)[:NAMED])
    return f"{first}, ..." if len(names) > NAMED else first or "nothing"

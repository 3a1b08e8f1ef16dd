"""Names of single files and names of ours, translated both ways and one to one.

A rule is two templates and what happens to the values in between:

    rule("blocks.{i}.qkv.{w}", "layers.{i}.q.{w}", "layers.{i}.k.{w}", "layers.{i}.v.{w}", how=THIRDS)

``{w}`` stands for "weight" or "bias", any other placeholder for a number. A :class:`KeyMap` reads its rules
in either direction and shows a store under the other names. Nothing is read before a tensor is asked for, and
names that no rule knows are listed, never dropped in silence.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Generic, TypeVar

import torch
from torch import Tensor

from darkroom.errors import DarkroomError
from darkroom.weights.header import Header, TensorInfo
from darkroom.weights.operations import SAME, Operation
from darkroom.weights.store import Store

Shapes = Mapping[str, tuple[int, ...]]
T = TypeVar("T")

PLACEHOLDER = re.compile(r"\{(\w+)\}")


@dataclass(frozen=True)
class Rule:
    """One tensor of a single file, the one or more of ours that it holds, and how.

    All templates of a rule have the same placeholders: ValueError otherwise.
    """

    original: str
    native: tuple[str, ...]
    how: Operation = SAME

    def __post_init__(self) -> None:
        asked = set(PLACEHOLDER.findall(self.original))
        if any(set(PLACEHOLDER.findall(one)) != asked for one in self.native):
            raise ValueError(f"the templates of {self} differ in their placeholders")


def rule(original: str, *native: str, how: Operation = SAME) -> Rule:
    """A rule; with one name alone, a tensor that both layouts call the same."""
    return Rule(original, native or (original,), how)


def rules(
    pairs: Iterable[tuple[str, str]], original: str = "", native: str = "", tail: str = ""
) -> list[Rule]:
    """Plain renamings, each name put between a common beginning and end."""
    return [rule(f"{original}{old}{tail}", f"{native}{new}{tail}") for old, new in pairs]


class Templates(Generic[T]):
    """Finds the first template that a name fits, what belongs to it, and what its placeholders stand for."""

    def __init__(self, entries: Iterable[tuple[str, T]]) -> None:
        self._by_form: dict[str, list[tuple[re.Pattern[str], T]]] = {}
        for template, value in entries:
            form = _form(template)
            self._by_form.setdefault(form, []).append((_pattern(template), value))

    def find(self, name: str) -> tuple[T, dict[str, str]] | None:
        """What belongs to the name's template, or None."""
        for pattern, value in self._by_form.get(_form(name), ()):
            if match := pattern.fullmatch(name):
                return value, match.groupdict()
        return None


def _form(name: str) -> str:
    """A name or template without its numbers: what a template and all its names have in common."""
    bare = PLACEHOLDER.sub(lambda match: "#w" if match[1] == "w" else "#", name)
    bare = re.sub(r"(?<=\.)(weight|bias)$", "#w", bare)
    return re.sub(r"\d+", "#", bare)


def _pattern(template: str) -> re.Pattern[str]:
    """A regular expression for the names of a template."""
    seen: set[str] = set()

    def group(match: re.Match[str]) -> str:
        name = match[1]
        if name in seen:
            return f"(?P={name})"
        seen.add(name)
        return f"(?P<{name}>{'weight|bias' if name == 'w' else '[0-9]+'})"

    pieces = PLACEHOLDER.split(template)
    literal = [re.escape(piece) for piece in pieces[::2]]
    groups = [group(match) for match in PLACEHOLDER.finditer(template)]
    return re.compile("".join(a + b for a, b in zip(literal, [*groups, ""], strict=True)))


@dataclass(frozen=True)
class Source:
    """Where a tensor of a view comes from: names in the store, and what is done with them."""

    names: tuple[str, ...]
    how: Operation
    part: int | None  # which part of a split, or None for a merge

    def of(self, tensors: Sequence[Tensor]) -> Tensor:
        return self.how.merge(tensors) if self.part is None else self.how.split(tensors[0])[self.part]

    def info(self, infos: Sequence[TensorInfo]) -> TensorInfo:
        """Type and shape, found without reading."""
        if self.how is SAME:
            return infos[0]
        empty = [torch.empty(info.shape, dtype=info.dtype, device="meta") for info in infos]
        made = self.of(empty)
        return TensorInfo(made.dtype, tuple(made.shape))


@dataclass(frozen=True)
class View:
    """A store under other names. A split of a mapped tensor is a view of it; a merge is read when asked for.

    ``unknown`` are the names, as the store has them, that no rule knows or that lack their other parts;
    ``idle`` those that are known and that no network needs.
    """

    store: Store
    header: Header
    sources: Mapping[str, Source]
    unknown: tuple[str, ...] = ()
    idle: tuple[str, ...] = ()

    def tensor(self, name: str) -> Tensor:
        """Read one tensor. Raises KeyError for a name that is not in the header."""
        source = self.sources[name]
        return source.of([self.store.tensor(one) for one in source.names])


@dataclass(frozen=True)
class KeyMap:
    """Rules between the names of a single file, all behind ``prefix``, and ours; the first that fits counts.

    ``idle`` are templates (after the prefix) of tensors that a file may hold and no network needs; they are
    looked at before the rules.
    """

    rules: tuple[Rule, ...]
    prefix: str = ""
    idle: tuple[str, ...] = ()

    def under(self, prefix: str) -> "KeyMap":
        """The same rules for names behind another prefix."""
        return replace(self, prefix=prefix)

    def native(self, store: Store) -> View:
        """A store of a single file, or the part of it behind ``prefix``, under our names.

        Raises DarkroomError when two of its tensors would bear the same name.
        """
        sources: dict[str, Source] = {}
        unknown: list[str] = []
        idle: list[str] = []
        for name in store.header.tensors:
            if not name.startswith(self.prefix):
                continue
            bare = name[len(self.prefix) :]
            if self._idle.find(bare):
                idle.append(name)
            elif found := self._originals.find(bare):
                for native, source in _split(found[0], found[1], name):
                    _put(sources, native, source)
            else:
                unknown.append(name)
        return _view(store, sources, unknown, idle)

    def original(self, store: Store) -> View:
        """A store with our names under those of a single file, each behind ``prefix``."""
        groups: dict[tuple[str, Rule], dict[int, str]] = {}
        unknown: list[str] = []
        for name in store.header.tensors:
            if found := self._natives.find(name):
                (known, part), values = found
                groups.setdefault((known.original.format(**values), known), {})[part] = name
            else:
                unknown.append(name)
        sources: dict[str, Source] = {}
        for (original, known), parts in groups.items():
            if len(parts) < len(known.native):
                unknown += parts.values()
                continue
            names = tuple(parts[part] for part in range(len(parts)))
            _put(sources, self.prefix + original, Source(names, known.how, None))
        return _view(store, sources, unknown, [])

    def native_names(self, original: str) -> tuple[str, ...]:
        """What a name of a single file becomes; nothing where no rule knows it."""
        found = (
            self._originals.find(original.removeprefix(self.prefix))
            if original.startswith(self.prefix)
            else None
        )
        return tuple(one.format(**found[1]) for one in found[0].native) if found else ()

    def knows(self, original: str) -> bool:
        """Whether a name of a single file, prefix and all, has a rule or is known to be idle."""
        bare = original.removeprefix(self.prefix)
        known = self._originals.find(bare) is not None or self._idle.find(bare) is not None
        return original.startswith(self.prefix) and known

    @cached_property
    def _originals(self) -> Templates[Rule]:
        return Templates((known.original, known) for known in self.rules)

    @cached_property
    def _natives(self) -> Templates[tuple[Rule, int]]:
        return Templates(
            (one, (known, part)) for known in self.rules for part, one in enumerate(known.native)
        )

    @cached_property
    def _idle(self) -> Templates[None]:
        return Templates((one, None) for one in self.idle)


def _split(known: Rule, values: Mapping[str, str], name: str) -> Iterator[tuple[str, Source]]:
    for part, template in enumerate(known.native):
        yield template.format(**values), Source((name,), known.how, part)


def _put(sources: dict[str, Source], name: str, source: Source) -> None:
    if name in sources:
        raise DarkroomError(
            f"'{source.names[0]}' and '{sources[name].names[0]}' would both be '{name}'; "
            "the file holds the same layer twice, remove one."
        )
    sources[name] = source


def _view(store: Store, sources: dict[str, Source], unknown: list[str], idle: list[str]) -> View:
    held = store.header.tensors
    infos = {name: source.info([held[one] for one in source.names]) for name, source in sources.items()}
    return View(store, replace(store.header, tensors=infos), sources, tuple(unknown), tuple(idle))

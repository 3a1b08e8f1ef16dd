"""Which layers of a model a name in an adapter's file means.

The names of files join words with dots or underscores, so they cannot be taken apart; they are looked up
among the names that the model's own layers have in each style. A name that could mean two layers means none.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import torch

from darkroom.weights.keymap import KeyMap, Shapes
from darkroom.weights.layouts import flux, mmdit, unet
from darkroom.weights.operations import SAME, THIRDS, Operation
from darkroom.weights.store import MemoryStore

DENOISERS = ("unet", "transformer")
TEXT = ("text_encoder", "text_encoder_2", "text_encoder_3")
PREFIXES: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("lora_unet_", DENOISERS),
    ("lora_transformer_", DENOISERS[::-1]),
    ("lora_te1_", TEXT[:1]),
    ("lora_te2_", TEXT[1:2]),
    ("lora_te3_", TEXT[:0:-1]),  # kohya counts T5 as the third also where there is no CLIP G
    ("lora_te_", TEXT[:1]),
    *((f"{part}_", (part,)) for part in (*DENOISERS, *TEXT)),
    ("lycoris_", DENOISERS + TEXT),
    ("", DENOISERS + TEXT),
)
"""How a file marks the part of a model, and the parts that may be meant, the likelier first."""
ORIGINALS: tuple[tuple[str, Callable[[Shapes], KeyMap]], ...] = (
    ("single_transformer_blocks.0.proj_mlp.weight", flux.from_native),
    ("transformer_blocks.0.norm1_context.linear.weight", mmdit.from_native),
    ("up_blocks.0.resnets.0.conv1.weight", unet.from_native),
)
"""By a parameter that tells: how the networks were named by their authors."""


@dataclass(frozen=True)
class Target:
    """A layer as a file sees it: ``how`` makes its weight of those of our ``modules`` of ``part``."""

    part: str
    modules: tuple[str, ...]
    how: Operation = SAME


class Targets:
    """Finds targets by the names that files use.

    ``shapes`` has, by part ("unet"), the names and shapes of its parameters; ``layouts`` the key maps of
    parts that other tools name in their own way, for parts where that cannot be seen from their parameters.
    """

    def __init__(self, shapes: Mapping[str, Shapes], layouts: Mapping[str, KeyMap] | None = None) -> None:
        self.tables = {
            part: _table(part, names, (layouts or {}).get(part) or original_layout(names))
            for part, names in shapes.items()
        }

    def find(self, name: str) -> Target | None:
        """The target of a module's name in a file, or None."""
        joined = name.replace(".", "_")
        for prefix, parts in PREFIXES:
            if not joined.startswith(prefix):
                continue
            for part in parts:
                if found := self.tables.get(part, {}).get(joined.removeprefix(prefix)):
                    return found
        return None


def original_layout(shapes: Shapes) -> KeyMap | None:
    """The key map from its authors' names to ours for a network of known kind, None for others."""
    return next((layout(shapes) for tell, layout in ORIGINALS if tell in shapes), None)


def _table(part: str, shapes: Shapes, layout: KeyMap | None) -> dict[str, Target | None]:
    """Every layer of a part by each of its names, words joined by underscores; None for two of one name."""
    table: dict[str, Target | None] = {}
    for name, target in _named(part, shapes, layout):
        joined = name.replace(".", "_")
        table[joined] = target if table.get(joined, target) == target else None
    return table


def _named(part: str, shapes: Shapes, layout: KeyMap | None) -> Iterable[tuple[str, Target]]:
    for name in dict.fromkeys(name.rpartition(".")[0] for name in shapes):
        for alias in aliases(name):
            yield alias, Target(part, (name,))
        if name.endswith(".to_q"):  # as diffusers calls the three where it fuses them
            modules = tuple(f"{name.removesuffix('q')}{which}" for which in "qkv")
            yield f"{name}kv", Target(part, modules, THIRDS)
    if layout is not None:
        yield from _originals(shapes, part, layout)


def _originals(shapes: Shapes, part: str, layout: KeyMap) -> Iterable[tuple[str, Target]]:
    """Each layer by the name that the network's authors gave it."""
    view = layout.original(MemoryStore({name: torch.empty(s, device="meta") for name, s in shapes.items()}))
    for name, source in view.sources.items():
        if name.endswith(".weight"):
            modules = tuple(one.removesuffix(".weight") for one in source.names)
            yield name.removeprefix(layout.prefix).removesuffix(".weight"), Target(part, modules, source.how)


def aliases(name: str) -> tuple[str, ...]:
    """A module of CLIP has two names: with "text_model." on disk, and without in later transformers."""
    return (
        name,
        name.removeprefix("text_model.") if name.startswith("text_model.") else f"text_model.{name}",
    )

"""Where a model's weights come from: the parts of a folder or of a single file, under our names."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from darkroom.errors import DarkroomError
from darkroom.weights.loading import Matched, load_into
from darkroom.weights.store import Store


@dataclass(frozen=True)
class Source:
    """A model on disk. ``parts`` are stores of tensors under their native names, by the names of the parts.

    ``configs`` are the parsed config.json of a folder's parts; a single file has none. ``folders`` is where
    tokenizers are looked for, in order: the model's folder, or those that its files lie in.
    """

    path: Path
    parts: Mapping[str, Store]
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    folders: tuple[Path, ...] = ()

    def store(self, part: str) -> Store:
        """The tensors of a part. Raises DarkroomError where there is none."""
        if part not in self.parts:
            there = ", ".join(sorted(self.parts)) or "nothing that is known here"
            raise DarkroomError(
                f"'{self.path}' has no {part}, only {there}; give the missing part with --with, or choose a "
                "file that has the whole model."
            )
        return self.parts[part]

    def tensors(self, part: str, hollow: bool = False) -> Mapping[str, Tensor]:
        """The tensors of a part by name, each read when it is asked for; ``hollow`` ones have no memory."""
        return Tensors(self.store(part), hollow)

    def with_parts(self, other: "Source") -> "Source":
        """The same with the parts of another in place of its own, and what is told of those."""
        own = {name: told for name, told in self.configs.items() if name not in other.parts}
        told = {name: told for name, told in other.configs.items() if name in other.parts}
        folders = dict.fromkeys((*self.folders, *other.folders))
        return replace(
            self, parts={**self.parts, **other.parts}, configs={**own, **told}, folders=tuple(folders)
        )

    def with_store(self, part: str, store: Store) -> "Source":
        """The same with another store for a part; what its config says still holds."""
        return replace(self, parts={**self.parts, part: store})

    def lay(self, module: nn.Module, part: str, dtype: torch.dtype, later: bool = False) -> Matched:
        """Put a part's tensors, now or ``later``, into a module that was built on the meta device."""
        return load_into(module, self.store(part), dtype, later=later)


@dataclass(frozen=True)
class Tensors(Mapping[str, Tensor]):
    """A store as a mapping, so that no tensor is in memory for longer than it is used."""

    store: Store
    hollow: bool = False

    def __getitem__(self, name: str) -> Tensor:
        info = self.store.header.tensors[name]
        if self.hollow:
            return torch.empty(info.shape, dtype=info.dtype, device="meta")
        return self.store.tensor(name)

    def __contains__(self, name: object) -> bool:
        return name in self.store.header.tensors

    def __iter__(self) -> Iterator[str]:
        return iter(self.store.header.tensors)

    def __len__(self) -> int:
        return len(self.store.header.tensors)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file, {} where there is none. Raises DarkroomError where it is damaged."""
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DarkroomError(f"'{path}' cannot be read ({error}); get the model again.") from None
    if not isinstance(values, dict):
        raise DarkroomError(f"'{path}' is not a JSON object; get the model again.")
    return values

"""Where a model's weights come from: the parts of a folder or of a single file, under our names."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from darkroom.errors import DarkroomError
from darkroom.weights.loading import Matched, load_into
from darkroom.weights.store import Store


@dataclass(frozen=True)
class Source:
    """A model on disk. ``parts`` are stores of tensors under their native names, by the names of the parts.

    ``configs`` are the parsed config.json of a folder's parts; a single file has none. ``folder`` is where
    tokenizers are looked for: the model's folder, or the one that a single file lies in.
    """

    path: Path
    parts: Mapping[str, Store]
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    folder: Path | None = None

    def store(self, part: str) -> Store:
        """The tensors of a part. Raises DarkroomError where there is none."""
        if part not in self.parts:
            there = ", ".join(sorted(self.parts)) or "nothing that is known here"
            raise DarkroomError(
                f"'{self.path}' has no {part}, only {there}; add a file that has it: --with FILE."
            )
        return self.parts[part]

    def with_parts(self, parts: Mapping[str, Store]) -> "Source":
        """The same with these parts in place of its own; what its configs said of them does not hold."""
        configs = {name: told for name, told in self.configs.items() if name not in parts}
        return replace(self, parts={**self.parts, **parts}, configs=configs)

    def lay(self, module: nn.Module, part: str, dtype: torch.dtype) -> Matched:
        """Put a part's tensors into a module that was built on the meta device."""
        return load_into(module, self.store(part), dtype)


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

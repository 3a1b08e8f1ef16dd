"""Checkpoints that survive: each is there whole or not at all, and damage is found before anything is loaded.

A checkpoint is a folder ``step-00001000`` of safetensors files and ``manifest.json`` with the SHA-256 of each
and of itself. It is written under a hidden name, synced, and renamed; only then is the oldest one removed.
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from typing import Any

from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor

from darkroom.disk import sync_folder, write_through
from darkroom.errors import DarkroomError
from darkroom.training.disk import explaining

FORMAT = "darkroom.checkpoint.1"
NAME = re.compile(r"step-(\d{8,})")
Parts = Mapping[str, Mapping[str, Tensor]]


class Damaged(DarkroomError):
    """A checkpoint is not what was written."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"the checkpoint '{path}' is damaged ({why}); use an older one.")
        self.path, self.why = path, why


@dataclass(frozen=True)
class Checkpoint:
    """What was saved: tensors by file and name, and ``facts`` that JSON can hold."""

    path: Path
    step: int
    parts: Parts
    facts: Mapping[str, Any]


def save(folder: Path, step: int, parts: Parts, facts: Mapping[str, Any], keep: int = 2) -> Path:
    """Write a checkpoint into ``folder`` and leave the newest ``keep`` up to it; returns its path.

    Those of later steps can only be damaged ones that were passed over: they neither count nor go.
    Raises DarkroomError on a full or unwritable disk; older checkpoints are then as they were.
    """
    final = folder / f"step-{step:08d}"
    part = folder / f".{final.name}.{token_hex(4)}.part"
    with explaining(folder):
        try:
            part.mkdir(parents=True)
            _write(part, step, parts, facts)
            _remove([final] if final.exists() else [])
            part.rename(final)
        except OSError:
            shutil.rmtree(part, ignore_errors=True)
            raise
        sync_folder(folder)
        _remove([path for at, path in _all(folder) if at <= step][:-keep])
    return final


def load(path: Path) -> Checkpoint:
    """Read one checkpoint; what is returned is what was checked. Raises Damaged."""
    manifest = _manifest(path)
    parts = {name: _part(path, name, digest) for name, digest in manifest["files"].items()}
    return Checkpoint(path, manifest["step"], parts, manifest["facts"])


def newest(folder: Path) -> tuple[Checkpoint | None, list[Damaged]]:
    """The newest whole checkpoint (None where there is none), and the damaged ones that were passed over."""
    damaged: list[Damaged] = []
    for _, path in reversed(_all(folder)):
        try:
            return load(path), damaged
        except Damaged as error:
            damaged.append(error)
    return None, damaged


def sweep(folder: Path) -> None:
    """Remove what killed processes left half written or half removed. Nobody else may write to ``folder``."""
    for path in (*folder.glob(".step-*.part"), *folder.glob(".step-*.old")):
        shutil.rmtree(path, ignore_errors=True)


def _all(folder: Path) -> list[tuple[int, Path]]:
    """Step and path of each checkpoint, from the oldest to the newest."""
    matches = ((NAME.fullmatch(path.name), path) for path in folder.glob("step-*"))
    return sorted((int(match[1]), path) for match, path in matches if match)


def _write(part: Path, step: int, parts: Parts, facts: Mapping[str, Any]) -> None:
    files = {
        name: write_through(part / f"{name}.safetensors", safetensors.save(_portable(tensors)))
        for name, tensors in parts.items()
    }
    body = {"format": FORMAT, "step": step, "files": files, "facts": facts}
    text = json.dumps({"sha256": _digest(body), "body": body}, indent=1)
    write_through(part / "manifest.json", text.encode())
    sync_folder(part)


def _portable(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU, none sharing memory with another: what safetensors can write."""
    return {name: value.detach().to("cpu", copy=True).contiguous() for name, value in tensors.items()}


def _remove(paths: Sequence[Path]) -> None:
    """Take the names away first: a removal that is cut short must not look like a damaged checkpoint."""
    for path in paths:
        old = path.with_name(f".{path.name}.{token_hex(4)}.old")
        path.rename(old)
        shutil.rmtree(old, ignore_errors=True)


def _manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((path / "manifest.json").read_bytes())
        body: dict[str, Any] = manifest["body"]
        whole = manifest["sha256"] == _digest(body)
    except OSError as error:
        raise Damaged(path, f"manifest.json: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise Damaged(path, "manifest.json has changed") from None
    if not whole:
        raise Damaged(path, "manifest.json has changed")
    if body["format"] != FORMAT:
        raise Damaged(path, f"its format is {body['format']}, not {FORMAT}")
    return body


def _part(path: Path, name: str, digest: str) -> dict[str, Tensor]:
    file = path / f"{name}.safetensors"
    try:
        data = file.read_bytes()
        if sha256(data).hexdigest() != digest:
            raise Damaged(path, f"{file.name} has changed")
        return safetensors.load(data)
    except OSError as error:
        raise Damaged(path, f"{file.name}: {error.strerror}") from None
    except SafetensorError as error:
        raise Damaged(path, f"{file.name}: {error}") from None


def _digest(body: Mapping[str, Any]) -> str:
    return sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()

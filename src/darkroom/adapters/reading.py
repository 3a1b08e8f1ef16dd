"""Parts that hang on a model, from a file or a folder, under our names."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darkroom.errors import DarkroomError
from darkroom.weights.detect import Detected, detect
from darkroom.weights.store import Store

CALLED = {"controlnet": "ControlNet", "image_encoder": "CLIP image encoder"}
"""What messages call parts."""


def part_of(store: Store, name: str) -> Store:
    """The part called ``name`` in a store, under our names. Raises DarkroomError where it has none."""
    found = detect(store.header)
    if name not in found.parts:
        raise holds_another(store, CALLED.get(name, name), found)
    return found.parts[name].native(store)


def holds_another(store: Store, wanted: str, found: Detected) -> DarkroomError:
    """The file does not hold what is wanted."""
    return DarkroomError(f"{store.header.source} has no {wanted} but {account(found)}; choose another file.")


def account(found: Detected) -> str:
    """What a file holds, in a few words."""
    if found.adapter is not None:
        fits = f" for {' or '.join(found.fits)}" if found.fits else ""
        return f"an adapter ({found.adapter.method}){fits}"
    return ", ".join(found.parts) or "nothing that is known here"


def config_json(path: Path) -> Mapping[str, Any]:
    """The config.json of a part's folder; nothing for a file. Raises DarkroomError where it is damaged."""
    file = path / "config.json"
    if not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise DarkroomError(f"'{file}' cannot be read ({error}); get it again.") from None

"""A model in a folder as diffusers writes it: model_index.json, and a folder for each part."""

from pathlib import Path
from typing import Any

from darkroom.errors import DarkroomError
from darkroom.families.source import Source, read_json
from darkroom.weights.store import Store, open_store

INDEX = "model_index.json"
WEIGHTS = ("unet", "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3")
"""The parts that have weights; a safety checker is none of ours."""
BY_TRANSFORMER = {
    "SD3Transformer2DModel": "sd3",
    "FluxTransformer2DModel": "flux",
    "PixArtTransformer2DModel": "pixart",
}
"""Families by the class that a folder says its transformer is."""


def open_folder(path: Path, allow_pickle: bool = False) -> tuple[str, Source]:
    """The family of the model in a folder, and its parts. Raises DarkroomError for any other folder."""
    index = read_json(path / INDEX)
    if not index:
        raise DarkroomError(f"'{path}' has no {INDEX}; name a model's folder, or a single file.")
    there = [part for part in WEIGHTS if isinstance(index.get(part), list) and index[part][1]]
    parts = {part: open_store(path / part, allow_pickle) for part in there}
    configs = {part: read_json(path / part / "config.json") for part in there}
    configs["scheduler"] = read_json(path / "scheduler" / "scheduler_config.json")
    configs["index"] = index
    return _family(path, parts, configs), Source(path, parts, configs, path)


def _family(path: Path, parts: dict[str, Store], configs: dict[str, Any]) -> str:
    """By what the folder is made of."""
    if "transformer" in parts:
        kind = configs["transformer"].get("_class_name", "")
        if kind not in BY_TRANSFORMER:
            known = ", ".join(BY_TRANSFORMER)
            raise DarkroomError(f"'{path}' has a transformer '{kind}'; known here are {known}.")
        return BY_TRANSFORMER[kind]
    if "unet" in parts:
        return "sdxl" if "text_encoder_2" in parts else "sd"
    raise DarkroomError(f"'{path}' has neither a unet nor a transformer; choose another model.")

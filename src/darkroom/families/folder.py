"""A model in a folder as diffusers writes it: model_index.json, and a folder for each part."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from darkroom.errors import DarkroomError
from darkroom.families.source import Source, read_json
from darkroom.weights.store import open_store

INDEX = "model_index.json"
WEIGHTS = ("unet", "transformer", "vae", "text_encoder", "text_encoder_2", "text_encoder_3")
"""The parts that have weights; a safety checker is none of ours."""
BY_TRANSFORMER = {
    "SD3Transformer2DModel": "sd3",
    "FluxTransformer2DModel": "flux",
    "PixArtTransformer2DModel": "pixart",
    "Transformer2DModel": "pixart",
}
"""Families by the class that a folder says its transformer is; the last is what PixArt-alpha's first say."""


def open_folder(path: Path, allow_pickle: bool = False) -> tuple[str, Source]:
    """The family of the model in a folder, and its parts. Raises DarkroomError for any other folder."""
    index = read_json(path / INDEX)
    if not index:
        raise DarkroomError(f"'{path}' has no {INDEX}; {advice(path)}.")
    parts = {part: open_store(path / part, allow_pickle) for part in named(index) if (path / part).is_dir()}
    configs: dict[str, Any] = {part: read_json(path / part / "config.json") for part in parts}
    configs["scheduler"] = read_json(path / "scheduler" / "scheduler_config.json")
    configs["index"] = index
    return _family(path, configs), Source(path, parts, configs, (path,))


def named(index: Mapping[str, Any]) -> list[str]:
    """The parts with weights that an index names."""
    return [part for part in WEIGHTS if isinstance(index.get(part), list) and index[part][1:] != [None]]


def check_complete(source: Source) -> None:
    """Raise DarkroomError for a folder that lacks what its index names; SD 3 would run without T5."""
    lacking = [part for part in named(source.configs.get("index", {})) if part not in source.parts]
    if lacking:
        raise DarkroomError(
            f"'{source.path}' lacks {', '.join(lacking)}, which its {INDEX} names; get the whole folder "
            "again, or give the missing part with --with."
        )


def advice(path: Path) -> str:
    """What to do with a folder that is no model."""
    files = sorted(file.name for file in path.iterdir() if file.suffix in (".safetensors", ".gguf", ".ckpt"))
    if not files:
        return "name a model's folder, or a single file"
    return (
        f"name one of its files ({', '.join(files[:3])}{', ...' if len(files) > 3 else ''}), not the folder"
    )


def _family(path: Path, configs: Mapping[str, Any]) -> str:
    """By what the folder should be made of."""
    there = named(configs["index"])
    if "transformer" in there:
        kind = configs["index"]["transformer"][1]
        if kind not in BY_TRANSFORMER:
            known = ", ".join(BY_TRANSFORMER)
            raise DarkroomError(f"'{path}' has a transformer '{kind}'; known here are {known}.")
        return BY_TRANSFORMER[kind]
    if "unet" in there:
        return "sdxl" if "text_encoder_2" in there else "sd"
    raise DarkroomError(
        f"'{path}' has neither a unet nor a transformer, so it makes no pictures; choose another model."
    )

"""A model in a single file, known by its header alone, and parts of models in files by themselves."""

from pathlib import Path

from darkroom.errors import DarkroomError
from darkroom.families.source import Source
from darkroom.weights.detect import Detected, detect
from darkroom.weights.parts import Part
from darkroom.weights.store import Store, open_store

FAMILIES = {
    "sd1": "sd",
    "sd2": "sd",
    "sdxl": "sdxl",
    "sdxl-refiner": "sdxl",
    "sd3": "sd3",
    "sd3.5-medium": "sd3",
    "sd3.5-large": "sd3",
    "flux": "flux",
    "pixart": "pixart",
}
"""Where what a header shows is loaded."""
T5_NAMES = {"sd3": "text_encoder_3", "flux": "text_encoder_2", "pixart": "text_encoder"}
BY_WIDTH = {768: "text_encoder", 1024: "text_encoder", 1280: "text_encoder_2"}
"""CLIP encoders in files by themselves, by their width."""


def open_single(path: Path, allow_pickle: bool = False) -> tuple[str, Source]:
    """The family of the model in a file, and its parts.

    Raises DarkroomError, which says what the file is, for one that is no model known here.
    """
    store = open_store(path, allow_pickle)
    found = detect(store.header)
    if found.kind != "model" or found.family not in FAMILIES:
        raise DarkroomError(f"'{path}' is no model that makes pictures: {account(found)}.")
    parts = {name: part.native(store) for name, part in found.parts.items()}
    configs = {"scheduler": {"prediction_type": "v_prediction"}} if found.prediction == "v" else {}
    return FAMILIES[found.family], Source(path, parts, configs, path.parent)


def parts_of(path: Path, family: str, allow_pickle: bool = False) -> dict[str, Store]:
    """The parts in a file of encoders, an autoencoder or the like, as a family calls them."""
    store = open_store(path, allow_pickle)
    found = detect(store.header)
    if not found.parts:
        raise DarkroomError(f"'{path}' has no part of a model: {account(found)}.")
    return {called(part, family): part.native(store) for part in found.parts.values()}


def called(part: Part, family: str) -> str:
    """What a part is called in a model of this family."""
    if part.kind.network == "t5":
        return T5_NAMES.get(family, part.name)
    if part.kind.network == "clip" and not part.prefix:
        width = next(shape[-1] for name, shape in part.shapes.items() if "token_embedding" in name)
        return BY_WIDTH.get(width, part.name) if family != "sd" else "text_encoder"
    return part.name


def account(found: Detected) -> str:
    """What a file is, in half a sentence."""
    if found.kind == "unknown":
        return "; ".join(found.notes)
    fits = f" for {', '.join(found.fits)}" if found.fits else ""
    names = f" ({', '.join(found.parts)})" if found.parts else ""
    what = {"adapter": "an adapter, which --lora or --ip-adapter takes", "part": "a part of a model"}
    return f"it is {what.get(found.kind, f'a {found.family}')}{names}{fits}"

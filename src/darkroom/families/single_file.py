"""A model in a single file, known by its header alone, and parts of models in files by themselves."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from darkroom.errors import DarkroomError
from darkroom.families.folder import INDEX, open_folder
from darkroom.families.schedules import CALLED
from darkroom.families.source import Source, read_json
from darkroom.weights.detect import Detected, detect
from darkroom.weights.facts import text_width
from darkroom.weights.parts import Part
from darkroom.weights.scales import scaled
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
NETWORKS = ("unet", "transformer")
GIVEN = ("vae", "text_encoder", "text_encoder_2", "text_encoder_3", *NETWORKS)
"""What may be given beside a model; a ControlNet and the like hang on one in other ways."""


def open_single(path: Path, allow_pickle: bool = False) -> tuple[str, Source]:
    """The family of the model in a file, and its parts.

    Raises DarkroomError, which says what the file is, for one that is no model known here.
    """
    store = scaled(open_store(path, allow_pickle))
    found = detect(store.header)
    if found.kind != "model" or found.family not in FAMILIES:
        raise DarkroomError(f"'{path}' is no model that makes pictures: {account(found)}.")
    check_readable(path, found)
    parts = {name: part.native(store) for name, part in found.parts.items()}
    return FAMILIES[found.family], Source(path, parts, {"scheduler": scheduler(found)}, (path.parent,))


def check_readable(path: Path, found: Detected) -> None:
    """Raise DarkroomError for a known kind of model in a form that is not read."""
    for note in found.notes:
        if "bitsandbytes" in note or "EDM" in note:
            raise DarkroomError(f"'{path}' cannot be used: {note}; take another file of this model.")
    for name, part in found.parts.items():
        if part.kind.naming == "PixArt":
            raise DarkroomError(
                f"'{path}' names its {name} as PixArt's authors do, which is not read; take its folder of "
                "diffusers."
            )


def scheduler(found: Detected) -> dict[str, Any]:
    """What the header shows of the process, as a scheduler's config has it."""
    told: dict[str, Any] = {}
    if found.prediction in CALLED:
        told["prediction_type"] = CALLED[found.prediction]
    if any("ztsnr" in note for note in found.notes):
        told["rescale_betas_zero_snr"] = True
    return told


def parts_of(path: Path, family: str, allow_pickle: bool = False) -> Source:
    """The parts in a file of encoders, an autoencoder or the like, under the names that a family gives them.

    A folder may be that of a part, or a whole model's; of a whole model all but its network is taken.
    Raises DarkroomError for a file without a part, and for parts of another family.
    """
    if (path / INDEX).is_file():
        other, source = open_folder(path, allow_pickle)
        if other != family:
            raise DarkroomError(misfit(path, other, family))
        return replace(source, parts=without_networks(source.parts))
    store = scaled(open_store(path, allow_pickle))
    found = detect(store.header)
    fits = {FAMILIES[one] for one in found.fits if one in FAMILIES}
    if found.kind not in ("model", "part") or not all(name in GIVEN for name in found.parts):
        raise DarkroomError(f"'{path}' has no part that --with can give: {account(found)}.")
    if fits and family not in fits:
        raise DarkroomError(misfit(path, ", ".join(found.fits), family))
    parts: Mapping[str, Store] = {called(part, family): part.native(store) for part in found.parts.values()}
    if found.kind == "model":
        parts = without_networks(parts)
    told = read_json(path / "config.json") if path.is_dir() and len(parts) == 1 else {}
    folders = (path.parent, path) if path.is_dir() else (path.parent,)
    return Source(path, parts, {name: told for name in parts if told}, folders)


def misfit(path: Path, other: str, family: str) -> str:
    """The sentence for a file of parts that another family has."""
    return (
        f"'{path}' has parts for {other}, and the model is of the family {family}; "
        "give with --with only parts of the same family."
    )


def without_networks(parts: Mapping[str, Store]) -> dict[str, Store]:
    """Parts but the network: that comes from the model itself."""
    return {name: store for name, store in parts.items() if name not in NETWORKS}


def called(part: Part, family: str) -> str:
    """What a part is called in a model of this family."""
    if part.kind.network == "t5":
        return T5_NAMES.get(family, part.name)
    if part.kind.network == "clip" and not part.prefix:
        width = text_width(part.shapes)
        return BY_WIDTH.get(width, part.name) if family != "sd" else "text_encoder"
    return part.name


def account(found: Detected) -> str:
    """What a file is, in half a sentence."""
    if found.kind == "unknown":
        return "; ".join(found.notes)
    fits = f" for {', '.join(found.fits)}" if found.fits else ""
    names = f" ({', '.join(found.parts)})" if found.parts else ""
    return f"it is {called_kind(found)}{names}{fits}"


def called_kind(found: Detected) -> str:
    """The kind of a known file in words, and the option that takes it."""
    if found.kind == "adapter":
        return "an adapter, which --lora or --ip-adapter takes"
    if found.kind != "part":
        return f"a {found.family}"
    if "controlnet" in found.parts:
        return "a ControlNet, which --control-net takes"
    if "image_encoder" in found.parts:
        return "an image encoder, which --ip-encoder takes"
    return "a part, which --with takes beside a model"

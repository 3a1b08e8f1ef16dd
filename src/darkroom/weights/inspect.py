"""What a checkpoint is, for people: family, parts, sizes, metadata. Headers alone are read."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from darkroom.errors import DarkroomError
from darkroom.weights.detect import Detected, detect
from darkroom.weights.folder import Folder, is_folder, open_model
from darkroom.weights.header import Header, TensorInfo
from darkroom.weights.store import Store, open_store

LICENCE_KEYS = ("modelspec.license", "license", "licence")
TRIGGER_KEYS = ("modelspec.trigger_phrase", "trigger_phrase", "ss_trigger_words", "activation text")
LONG = 200
"""Characters of a metadatum that are shown."""
MOST_TAGS = 8


@dataclass(frozen=True)
class PartLine:
    """One network of a checkpoint. ``types`` are its tensors', the most used first; ``size`` is in bytes."""

    name: str
    network: str
    naming: str
    parameters: int
    types: tuple[str, ...]
    size: int


@dataclass(frozen=True)
class Description:
    """All that a header tells of a checkpoint.

    ``size`` is in bytes on disk. ``fits`` are the families that can use a part or an adapter. ``tags`` are
    the words that an adapter's pictures were captioned with most, and how often; ``triggers`` the words that
    its maker names. ``besides`` are the parts of a folder without weights. ``left`` counts tensors that
    belong to nothing known.
    """

    path: str
    kind: str
    layout: str
    family: str | None
    variant: str
    fits: tuple[str, ...]
    prediction: str | None
    size: int
    tensors: int
    parameters: int
    parts: tuple[PartLine, ...]
    adapter: Mapping[str, Any]
    triggers: tuple[str, ...]
    tags: Mapping[str, int]
    licence: str | None
    metadata: Mapping[str, str]
    besides: tuple[str, ...]
    notes: tuple[str, ...]
    left: int


def describe(path: Path, allow_pickle: bool = False, variant: str | None = None) -> Description:
    """Describe a checkpoint: a file, a part's folder or a model's folder.

    Raises DarkroomError where nothing can be read there.
    """
    if is_folder(path):
        folder = open_model(path, allow_pickle, variant)
        return _description(path, folder, _with_scheduler(detect(folder.header), folder), folder.besides)
    store = open_store(path, allow_pickle, variant)
    return _description(path, store, detect(store.header), ())


def _description(path: Path, store: Store, found: Detected, besides: tuple[str, ...]) -> Description:
    header = store.header
    return Description(
        path=str(path),
        kind=found.kind,
        layout="diffusers folder" if isinstance(store, Folder) else found.layout,
        family=found.family,
        variant=found.variant,
        fits=found.fits,
        prediction=found.prediction,
        size=_on_disk(path),
        tensors=len(header.tensors),
        parameters=header.parameters,
        parts=tuple(_lines(found, header)),
        adapter=_adapter(found),
        triggers=_triggers(header, found),
        tags=tags(header.metadata),
        licence=_licence(path, header.metadata),
        metadata=trimmed(header.metadata),
        besides=besides,
        notes=(*found.differences, *found.notes),
        left=len(found.left),
    )


def _with_scheduler(found: Detected, folder: Folder) -> Detected:
    """A folder's scheduler says what the network predicts where its header cannot."""
    from dataclasses import replace

    said = folder.config("scheduler", "scheduler_config.json").get("prediction_type")
    known = {"epsilon": "eps", "v_prediction": "v"}.get(said) if isinstance(said, str) else None
    if known is None or found.prediction == "flow":
        return found
    notes = tuple(note for note in found.notes if "does not tell" not in note)
    return replace(found, prediction=known, notes=notes)


def _lines(found: Detected, header: Header) -> list[PartLine]:
    lines = []
    for name, part in found.parts.items():
        infos = [header.tensors[part.prefix + inner] for inner in part.shapes]
        network = part.kind.network
        lines.append(
            PartLine(
                name,
                network,
                part.kind.naming,
                sum(info.elements for info in infos),
                types_of(infos),
                sum(info.nbytes for info in infos),
            )
        )
    return lines


def types_of(infos: list[TensorInfo]) -> tuple[str, ...]:
    """The types of tensors, that of the most bytes first."""
    sizes: dict[str, int] = {}
    for info in infos:
        name = str(info.dtype).removeprefix("torch.")
        sizes[name] = sizes.get(name, 0) + info.nbytes
    return tuple(sorted(sizes, key=lambda name: -sizes[name]))


def _adapter(found: Detected) -> dict[str, Any]:
    if found.adapter is None:
        return {}
    adapter = found.adapter
    targets = {"tokens" if adapter.method == "textual inversion" else "layers": dict(adapter.targets)}
    ranks = {"ranks": list(adapter.ranks)} if adapter.ranks else {}
    return {"method": adapter.method, "style": adapter.style, **targets, **ranks}


def _triggers(header: Header, found: Detected) -> tuple[str, ...]:
    """Words that call an adapter, as its metadata or, for a token, its tensors name them."""
    said = [header.metadata[key] for key in TRIGGER_KEYS if header.metadata.get(key, "").strip()]
    if found.adapter and (found.adapter.method, found.adapter.style) == ("textual inversion", "diffusers"):
        said += list(header.tensors)
    return tuple(said)


def tags(metadata: Mapping[str, str]) -> dict[str, int]:
    """The captions' most frequent words in kohya's ``ss_tag_frequency``; empty where there are none."""
    try:
        folders = json.loads(metadata.get("ss_tag_frequency", "{}"))
    except ValueError:
        return {}
    counts: dict[str, int] = {}
    for words in folders.values() if isinstance(folders, dict) else ():
        for word, count in words.items() if isinstance(words, dict) else ():
            if isinstance(count, int):
                counts[word.strip()] = counts.get(word.strip(), 0) + count
    most = sorted(counts, key=lambda word: (-counts[word], word))[:MOST_TAGS]
    return {word: counts[word] for word in most}


def trimmed(metadata: Mapping[str, str]) -> dict[str, str]:
    """Metadata for reading: no pictures, no long lists, no empty values."""
    return {
        key: " ".join(value.split())[: LONG - 3] + "..." if len(value) > LONG else value
        for key, value in sorted(metadata.items())
        if value not in ("", "None", "{}", "[]")
        and not value.startswith("data:")
        and key != "ss_tag_frequency"
    }


def _licence(path: Path, metadata: Mapping[str, str]) -> str | None:
    """As the metadata, the folder's card or its licence file say."""
    for key in LICENCE_KEYS:
        if metadata.get(key):
            return metadata[key]
    if not path.is_dir():
        return None
    card = path / "README.md"
    if card.is_file():
        head = card.read_text(encoding="utf-8", errors="replace")[:4000]
        if match := re.search(r"^license(?:_name)?:\s*(\S+)", head, re.MULTILINE):
            return match[1]
    found = next(
        (one for one in sorted(path.iterdir()) if re.match("licen[cs]e", one.name, re.IGNORECASE)), None
    )
    return f"see {found.name}" if found else None


def _on_disk(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    try:
        files = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
        return sum(one.stat().st_size for one in files)
    except OSError as error:
        raise DarkroomError(f"cannot read '{path}': {error.strerror}; check its rights.") from error

"""What a key of an adapter's file means: the module it names, and the role its tensor plays there.

There are many styles of naming and few roles. Roles are called as kohya and LyCORIS call them
(``lora_down``, ``lora_up``, ``hada_w1_a``, ``lokr_w2``, ``diff``, ...). Which module of a model a name means
is not known here: see ``targets``.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from darkroom.errors import DarkroomError
from darkroom.weights.header import sound_json
from darkroom.weights.store import Store

ADAPTER_NAME = r"(?:\.(?!weight\b|bias\b)\w+)?"
"""PEFT puts the name of the adapter in the middle of a key of its live models: ``lora_A.default.weight``."""
ROLES = tuple(
    (re.compile(pattern + "$"), role)
    for pattern, role in (
        (rf"\.lora_(?:down|A){ADAPTER_NAME}\.weight", "lora_down"),
        (rf"\.lora_(?:up|B){ADAPTER_NAME}\.weight", "lora_up"),
        (rf"\.lora_(?:up|B){ADAPTER_NAME}\.bias", "lora_up_bias"),
        (r"\.lora_mid\.weight", "lora_mid"),
        (r"(?:\.lora|\.lora_linear_layer|_lora\d?)\.down\.weight", "lora_down"),
        (r"(?:\.lora|\.lora_linear_layer|_lora\d?)\.up\.weight", "lora_up"),
        (r"\.lora_embedding_A(?:\.\w+)?", "lora_embedding_A"),
        (r"\.lora_embedding_B(?:\.\w+)?", "lora_embedding_B"),
        (r"(?:_lora\d?|\.lora)?\.(?:network_)?alpha", "alpha"),
        (rf"\.lora_magnitude_vector{ADAPTER_NAME}(?:\.weight)?", "lora_magnitude_vector"),
        (r"\.dora_scale", "dora_scale"),
        *((rf"\.hada_w{i}_{ab}(?:\.\w+)?", f"hada_w{i}_{ab}") for i in "12" for ab in "ab"),
        *((rf"\.hada_t{i}(?:\.\w+)?", f"hada_t{i}") for i in "12"),
        *((rf"\.lokr_w{i}_{ab}(?:\.\w+)?", f"lokr_w{i}_{ab}") for i in "12" for ab in "ab"),
        *((rf"\.lokr_w{i}(?:\.\w+)?", f"lokr_w{i}") for i in "12"),
        (r"\.lokr_t2(?:\.\w+)?", "lokr_t2"),
        *((rf"\.{role}", role) for role in ("diff", "diff_b", "w_norm", "b_norm")),
    )
)
PEFT_FILE, PEFT_CONFIG = "adapter_model", "adapter_config.json"
WRAPPERS = ("base_model.model.", "model.diffusion_model.", "diffusion_model.")
XLABS = {
    "qkv_lora1": "{}.img_attn.qkv",
    "qkv_lora2": "{}.txt_attn.qkv",
    "proj_lora1": "{}.img_attn.proj",
    "proj_lora2": "{}.txt_attn.proj",
    "qkv_lora": "single_transformer_blocks.{}.attn.to_qkv",
    "proj_lora": "single_transformer_blocks.{}.proj_out",
}
"""What XLabs' processors (``double_blocks.0.processor.qkv_lora1``) change; {} is the block or its number."""
OF_TEXT = {"to_q": "q_proj", "to_k": "k_proj", "to_v": "v_proj", "to_out": "out_proj"}
"""How early diffusers named the projections of CLIP."""


@dataclass(frozen=True)
class AdapterFile:
    """An adapter as its file names it.

    ``modules`` has, by the name of a module as the file spells it, the key of each role; ``unknown`` the
    keys that have no role that is known; ``config`` what is said of alpha and rank beside the tensors.
    """

    store: Store
    modules: Mapping[str, Mapping[str, str]]
    unknown: tuple[str, ...] = ()
    config: "PeftConfig" = field(default_factory=lambda: PeftConfig({}))

    def tensors(self, module: str) -> dict[str, Tensor]:
        """The tensors of a module by role, "scale" (alpha / rank) among them if the config alone says it."""
        found = {role: self.store.tensor(key) for role, key in self.modules[module].items()}
        if "alpha" not in found and (scale := self.config.scale(module)) is not None:
            found["scale"] = torch.tensor(scale)
        return found

    @property
    def source(self) -> str:
        """What messages call the file."""
        return self.store.header.source


def read_adapter(store: Store, config: Mapping[str, Any] | None = None) -> AdapterFile:
    """Sort the keys of ``store``; no tensor is read yet.

    ``config`` is what PEFT keeps in ``adapter_config.json`` beside a file; without it, what diffusers keeps
    in the file's metadata is used. Raises DarkroomError for a file without a single key that an adapter has.
    """
    modules: dict[str, dict[str, str]] = {}
    unknown = []
    for key in store.header.tensors:
        if (meaning := meaning_of(key)) is None:
            unknown.append(key)
        else:
            module, role = meaning
            if modules.setdefault(module, {}).setdefault(role, key) != key:
                unknown.append(key)  # of a second adapter in the same file
    file = AdapterFile(store, modules, tuple(unknown), PeftConfig.of(store.header.metadata, config))
    if not modules:
        seen = ", ".join(f"'{key}'" for key in unknown[:3]) or "nothing"
        raise DarkroomError(
            f"{file.source} is not a LoRA or one of its kin: it holds {seen}; name a file with keys such as "
            "'...lora_down.weight' or '...lora_A.weight'."
        )
    return file


def config_of(path: Path) -> Mapping[str, Any] | None:
    """What PEFT keeps in the folder of an adapter, or beside its file, which is then called adapter_model.

    Raises DarkroomError where it cannot be read: without it the adapter would act too much or too little.
    """
    file = (path if path.is_dir() else path.parent) / PEFT_CONFIG
    if not file.is_file() or not (path.is_dir() or path.stem == PEFT_FILE):
        return None
    try:
        return sound_json(file.read_bytes())
    except (OSError, ValueError) as error:
        raise DarkroomError(f"'{file}' cannot be read ({error}); get the whole folder again.") from error


def meaning_of(key: str) -> tuple[str, str] | None:
    """The module and the role that a key names, or None."""
    for pattern, role in ROLES:
        if match := pattern.search(key):
            return plain(key[: match.start()], key[match.start() : match.end()]), role
    return None


def plain(module: str, ending: str) -> str:
    """A module's name without what a style lays around it."""
    for wrapper in WRAPPERS:
        module = module.removeprefix(wrapper)
    if not ending.startswith("_lora"):
        return module
    place, _, last = module.rpartition(".")
    place, changed = place.removesuffix(".processor"), last + ending.split(".")[0]
    if changed in XLABS:
        single = place.removeprefix("single_blocks.")
        return XLABS[changed].format(single)
    if "self_attn" in place:
        return f"{place}.{OF_TEXT.get(last, last)}"
    return f"{place}.{'to_out.0' if last == 'to_out' else last}"


@dataclass(frozen=True)
class PeftConfig:
    """alpha / rank where no tensor tells it: by part of a model (``unet``), or for all under no name."""

    parts: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, metadata: Mapping[str, str], config: Mapping[str, Any] | None) -> "PeftConfig":
        """From ``adapter_config.json``, or from what diffusers writes as ``lora_adapter_metadata``."""
        if config is not None:
            return cls({"": config})
        try:
            values = json.loads(metadata.get("lora_adapter_metadata", "{}"))
        except ValueError:
            return cls({})
        parts: dict[str, dict[str, Any]] = {}
        for key, value in values.items() if isinstance(values, dict) else ():
            part, _, name = key.rpartition(".")
            parts.setdefault(part, {})[name] = value
        return cls(parts)

    def scale(self, module: str) -> float | None:
        """alpha / rank (with rsLoRA alpha / sqrt(rank)) of a module, or None if nothing is said."""
        part = next((part for part in self.parts if not part or module.startswith(part + ".")), None)
        if part is None:
            return None
        values, name = self.parts[part], module.removeprefix(f"{part}.")
        alpha = _patterned(values, "alpha_pattern", name, values.get("lora_alpha", values.get("alpha")))
        rank = _patterned(values, "rank_pattern", name, values.get("r"))
        if not isinstance(alpha, int | float) or not isinstance(rank, int | float) or rank <= 0:
            return None
        return float(alpha / (rank**0.5 if values.get("use_rslora") else rank))


def _patterned(values: Mapping[str, Any], table: str, module: str, otherwise: Any) -> Any:
    """The first entry of PEFT's table whose pattern is the module's name ("^name") or the end of it."""
    patterns = values.get(table)
    for pattern, value in patterns.items() if isinstance(patterns, dict) else ():
        whole, bare = pattern.startswith("^"), pattern.lstrip("^").replace("\\.", ".")
        if module == bare or (not whole and module.endswith(f".{bare}")):
            return value
    return otherwise

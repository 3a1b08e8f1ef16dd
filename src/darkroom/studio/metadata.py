"""What made a picture, as text: our own record in JSON and the infotext that other tools read.

Infotext is the plain text that AUTOMATIC1111's web UI writes under the key ``parameters`` and that nearly
every other tool reads. It cannot hold every prompt (one with a line that starts "Negative prompt:" reads back
wrongly), so the JSON record stands beside it and is the one we trust.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from darkroom.errors import DarkroomError
from darkroom.studio.attachments import Lora
from darkroom.studio.home import name_of
from darkroom.studio.request import Record, Request

FORMAT = 2
"""Version of the JSON record; a reader refuses a newer one."""

NEGATIVE = "Negative prompt:"
PAIR = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
RNG = {"philox": "Philox", "brownian": "Brownian", "torch": "CPU", "torch-gpu": "NV", "comfy": "ComfyUI"}
"""Who draws the noise, as A1111 calls it where it has a name for it."""
FEWEST_PAIRS = 3
"""Below this, a last line that looks like settings is taken for a part of the prompt, as A1111 does."""


def plain(record: Record) -> dict[str, Any]:
    """The record in values that JSON knows."""
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    values["request"] = record.request.to_json()
    further = [request.to_json() for request in values.pop("further")]
    return values | {"further": further} if further else values


def to_json(record: Record) -> str:
    """One line of ASCII that ``from_json`` reads back to an equal record."""
    return json.dumps({"format": FORMAT, **plain(record)})


def from_json(text: str) -> Record:
    """The record that ``to_json`` wrote. Raises DarkroomError when it is damaged or from a newer Darkroom."""
    try:
        values = json.loads(text)
        if (written := values.pop("format")) <= FORMAT:
            request, *further = (
                Request.from_json(_as_of_now(asked, written))
                for asked in (values.pop("request"), *values.pop("further", ()))
            )
            return _checked(Record(request=request, further=tuple(further), **_with_hashes(values, request)))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DarkroomError(
            f"the record of this picture is damaged ({error}); it cannot be replayed."
        ) from error
    raise DarkroomError("this picture was made by a newer Darkroom; update Darkroom to read its record.")


def _checked(record: Record) -> Record:
    """The record. Raises TypeError where what should be text is none."""
    for name in ("model_hash", "version", "torch", "device", "dtype"):
        if not isinstance(getattr(record, name), str):
            raise TypeError(f"its {name} is no text")
    if not isinstance(record.hashes, dict):
        raise TypeError("its hashes have no names")
    return record


def _as_of_now(asked: dict[str, Any], written: int) -> dict[str, Any]:
    """A request as it was written, in the words of today: in the first format our noise was Brownian."""
    noise = asked.get("noise", "philox")
    return asked | {"noise": "brownian"} if written < 2 and noise == "philox" else asked


def _with_hashes(values: dict[str, Any], request: Request) -> dict[str, Any]:
    """The first records had a field of its own for the one file they knew, the picture to start from."""
    start = values.pop("init_hash", None)
    return values if start is None else values | {"hashes": {str(request.init_image): start}}


@dataclass(frozen=True)
class Infotext:
    """A prompt, a negative prompt and settings as text by name, in the order in which they were written."""

    prompt: str
    negative: str
    settings: Mapping[str, str]


def infotext(record: Record, labels: Mapping[str, str]) -> str:
    """The record as A1111 writes it; ``labels`` are the names others use for our samplers and schedulers."""
    request = record.request
    settings: dict[str, Any] = {
        "Steps": request.steps,
        "Sampler": labels.get(request.sampler or "", request.sampler),
        "Schedule type": labels.get(request.scheduler or "", request.scheduler),
        "CFG scale": request.cfg_scale,
        "Seed": request.seed,
        "Size": f"{request.width}x{request.height}",
        "Model hash": record.model_hash[:10],
        "Model": request.model,
        "Denoising strength": request.strength if request.init_image else None,
        "Variation seed": request.variation_seed,
        "Variation seed strength": request.variation_strength or None,
        "Seed resize from": request.seed_size and "{}x{}".format(*request.seed_size),
        "Guide": None if request.guide == "cfg" else request.guide,
        "CFG rescale": request.cfg_rescale or None,
        "CFG interval": request.cfg_interval and "{:g} to {:g}".format(*request.cfg_interval),
        "PAG scale": request.pag_scale or None,
        "Reuse": None if request.reuse == 1 else request.reuse,
        "Clip skip": request.clip_skip,
        "Distilled CFG Scale": request.guidance,
        "Lora hashes": _lora_hashes(record),
        "RNG": RNG[request.noise],
        "Version": f"Darkroom {record.version}",
    }
    prompt = request.prompt + "".join(map(_tag, request.attached.loras))
    return write_infotext(Infotext(prompt, request.negative, _texts(settings)))


def _tag(lora: Lora) -> str:
    """A LoRA as A1111 has it in prompts: the text encoders' weight first, where it is another."""
    same = lora.text_weight is None or lora.text_weight == lora.weight
    return f"<lora:{name_of(lora.file)}:{lora.weight if same else f'{lora.text_weight}:{lora.weight}'}>"


def _lora_hashes(record: Record) -> str | None:
    """``name: hash`` of each, the first twelve digits as A1111 has them."""
    told = {
        name_of(one.file): record.hashes.get(str(one.file), "")[:12] for one in record.request.attached.loras
    }
    return ", ".join(f"{name}: {digits}" for name, digits in told.items()) or None


def write_infotext(info: Infotext) -> str:
    """Prompt, negative prompt where there is one, and the settings on the last line."""
    settings = ", ".join(f"{name}: {_quoted(value)}" for name, value in info.settings.items())
    negative = [f"{NEGATIVE} {info.negative}"] if info.negative else []
    return "\n".join([info.prompt, *negative, settings])


def read_infotext(text: str) -> Infotext:
    """The parts of an infotext from any tool; a text without settings is all prompt."""
    *lines, last = text.split("\n")
    pairs = PAIR.findall(last)
    if len(pairs) < FEWEST_PAIRS:
        lines, pairs = [*lines, last], []
    starts = (i for i, line in enumerate(lines) if line.startswith(NEGATIVE))
    split = next(starts, len(lines))
    negative = "\n".join(lines[split:]).removeprefix(NEGATIVE).removeprefix(" ")
    return Infotext("\n".join(lines[:split]), negative, {name: _unquoted(value) for name, value in pairs})


def _texts(settings: Mapping[str, Any]) -> dict[str, str]:
    """What is there, as text."""
    return {name: str(value) for name, value in settings.items() if value is not None}


def _quoted(value: str) -> str:
    """JSON-quoted where the value would otherwise end early or be taken for a quoted one."""
    needs_quotes = any(mark in value for mark in ',:\n"') or value != value.strip()
    return json.dumps(value, ensure_ascii=False) if needs_quotes else value


def _unquoted(value: str) -> str:
    if not value.startswith('"'):
        return value
    try:
        return str(json.loads(value))
    except ValueError:
        return value

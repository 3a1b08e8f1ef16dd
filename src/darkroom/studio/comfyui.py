"""Reading ComfyUI's workflows: what a picture was asked for, as far as the usual nodes tell.

A graph comes in two forms: the one that its server is sent (PNG text key ``prompt``, "API format": nodes by
id with named inputs) and the one that its editor saves (key ``workflow``: nodes with a list of values, and
links). Of a graph with several samplers the last one counts: it made the picture. Nothing in it is run.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from darkroom.errors import DarkroomError

Node = Mapping[str, Any]
Graph = Mapping[str, Node]

SAMPLERS = ("KSampler", "KSamplerAdvanced", "SamplerCustom", "SamplerCustomAdvanced")
SIZES = ("EmptyLatentImage", "EmptySD3LatentImage", "EmptyFlux2LatentImage", "EmptyHunyuanLatentVideo")
MODELS = {"CheckpointLoaderSimple": "ckpt_name", "UNETLoader": "unet_name", "UnetLoaderGGUF": "unet_name"}
WIDGETS: dict[str, tuple[str, ...]] = {
    "KSampler": ("seed", "", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    "KSamplerAdvanced": ("add_noise", "noise_seed", "", "steps", "cfg", "sampler_name", "scheduler"),
    "SamplerCustom": ("add_noise", "noise_seed", "", "cfg"),
    "CLIPTextEncode": ("text",),
    "FluxGuidance": ("guidance",),
    "RandomNoise": ("noise_seed",),
    "KSamplerSelect": ("sampler_name",),
    "BasicScheduler": ("scheduler", "steps", "denoise"),
    "CFGGuider": ("cfg",),
    "LoraLoader": ("lora_name", "strength_model", "strength_clip"),
    "LoraLoaderModelOnly": ("lora_name", "strength_model"),
    "PrimitiveNode": ("value",),
    "PrimitiveString": ("value",),
    "PrimitiveStringMultiline": ("value",),
    **dict.fromkeys(SIZES, ("width", "height")),
    **{name: (widget,) for name, widget in MODELS.items()},
}
"""What the values of a node stand for in the form that the editor saves; "" is a control of the editor."""


def read_workflow(text: str) -> dict[str, Any]:
    """Settings by our names: prompt, negative, seed, steps, cfg_scale, guidance, sampler, scheduler, width,
    height, strength, model, loras (names and strengths). What the graph does not tell is left out.

    Raises DarkroomError for a text that is no workflow, or has no sampler that is known here.
    """
    graph = _graph(text)
    samplers = [node for node in graph.values() if node.get("class_type") in SAMPLERS]
    if not samplers:
        raise DarkroomError(
            f"this workflow has no sampler that is known here; expected one of {', '.join(SAMPLERS)}."
        )
    return {name: value for name, value in _told(graph, samplers[-1]).items() if value not in (None, "", [])}


def _told(graph: Graph, sampler: Node) -> dict[str, Any]:
    def first(*names: str) -> Any:
        """The value of the first of these inputs, of the sampler or of a node that feeds it."""
        nodes = list(_above(graph, sampler))
        return next(
            (value for name in names for node in nodes if _plain(value := _value(graph, node, name))), None
        )

    guider = _linked(graph, sampler, "guider") or sampler
    positive = _linked(graph, guider, "positive") or _linked(graph, guider, "conditioning")
    return {
        "prompt": _text(graph, positive),
        "negative": _text(graph, _linked(graph, guider, "negative")),
        "seed": first("seed", "noise_seed"),
        "steps": first("steps"),
        "cfg_scale": first("cfg"),
        "guidance": first("guidance"),
        "sampler": first("sampler_name"),
        "scheduler": first("scheduler"),
        "width": first("width"),
        "height": first("height"),
        "strength": first("denoise"),
        "model": first(*MODELS.values()),
        "loras": [
            (str(node["inputs"].get("lora_name")), node["inputs"].get("strength_model", 1.0))
            for node in _above(graph, sampler)
            if str(node.get("class_type")).startswith("LoraLoader")
        ],
    }


def _graph(text: str) -> Graph:
    """Nodes by id with named inputs, whichever form it comes in."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DarkroomError(f"this is not a workflow of ComfyUI ({error}); expected its JSON.") from error
    if isinstance(values, dict) and isinstance(values.get("nodes"), list):
        return _from_editor(values)
    nodes = {
        str(name): node
        for name, node in (values.items() if isinstance(values, dict) else ())
        if isinstance(node, dict) and isinstance(node.get("inputs"), dict) and "class_type" in node
    }
    if not nodes:
        raise DarkroomError("this is not a workflow of ComfyUI; expected nodes with class_type and inputs.")
    return nodes


def _from_editor(values: Mapping[str, Any]) -> Graph:
    """The editor's form with values and links named as the server's form has them."""
    links = {str(link[0]): [str(link[1]), link[2]] for link in _lists(values.get("links")) if len(link) > 2}
    graph: dict[str, Node] = {}
    for node in values["nodes"]:
        if not isinstance(node, dict) or "id" not in node or node.get("mode") in (2, 4):  # muted, bypassed
            continue
        kind, widgets = str(node.get("type")), node.get("widgets_values")
        named = zip(WIDGETS.get(kind, ()), widgets if isinstance(widgets, list) else (), strict=False)
        inputs = {name: value for name, value in named if name}
        slots = node.get("inputs")
        for slot in slots if isinstance(slots, list) else ():
            if isinstance(slot, dict) and str(slot.get("link")) in links:
                inputs[str(slot.get("name"))] = links[str(slot["link"])]
        graph[str(node["id"])] = {"class_type": kind, "inputs": inputs}
    return graph


def _lists(value: object) -> list[list[Any]]:
    """The lists in a list; nothing where it is none."""
    return [one for one in value if isinstance(one, list)] if isinstance(value, list) else []


def _linked(graph: Graph, node: Node, name: str) -> Node | None:
    """The node that feeds an input."""
    link = node["inputs"].get(name)
    return graph.get(str(link[0])) if isinstance(link, list) and link else None


def _value(graph: Graph, node: Node, name: str) -> Any:
    """The value of an input, or of the simple node that feeds it."""
    value = node["inputs"].get(name)
    fed = _linked(graph, node, name)
    return value if fed is None else next((v for v in fed["inputs"].values() if _plain(v)), None)


def _plain(value: object) -> bool:
    return isinstance(value, (str, int, float)) and value != ""


def _above(graph: Graph, node: Node) -> Iterator[Node]:
    """A node and all that feed it, the nearest first, each once."""
    seen, waiting = set[int](), [node]
    while waiting:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting += [fed for name in one["inputs"] if (fed := _linked(graph, one, name)) is not None]


def _text(graph: Graph, node: Node | None) -> str | None:
    """The words that a condition was made of: those of the first text above it."""
    if node is None:
        return None
    for one in _above(graph, node):
        for name in ("text", "text_g", "t5xxl", "clip_l"):
            if name in one["inputs"] and isinstance(value := _value(graph, one, name), str):
                return value.encode(errors="replace").decode()  # JSON can hold half characters
    return None

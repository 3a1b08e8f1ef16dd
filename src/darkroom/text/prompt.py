"""Prompts as people write them: weights, changes on the way, several prompts in one, adapters.

The syntax is that of AUTOMATIC1111's web UI:

============================ ===========================================================================
``(x)``, ``(x:1.3)``         weight 1.1, or the one given; nested weights multiply
``[x]``                      weight 1/1.1
``[a:b:0.5]``, ``[a:b:8]``   ``a`` becomes ``b`` after half the steps, or after step 8
``[b:0.5]``, ``[a::0.5]``    ``b`` comes in; ``a`` goes
``[a|b]``                    take turns, step by step
``BREAK``                    starts a new chunk of tokens
``a AND b:0.5``              two prompts, each with its weight
``<lora:name:0.8>``          an adapter; ``<lora:name:0.5:1>``: 0.5 on the text encoders, 1 on the network
============================ ===========================================================================

and a backslash before a bracket takes its meaning. "comfy" is ComfyUI's: weights in round brackets alone.
No text is an error: what is no syntax stands for itself.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from darkroom.text.emphasis import BREAK, NUMBER, Dialect, Fragment, escape, weighted
from darkroom.text.schedules import Nodes, ends, read, tree

__all__ = ["BREAK", "Branch", "Dialect", "Fragment", "Lora", "Prompt", "escape", "parse", "weighted"]

TAG = re.compile(r"<(\w+):([^<>]+)>")


class Lora(NamedTuple):
    """An adapter that a prompt names: its strength on the network that denoises, and on the text encoders."""

    name: str
    network: float = 1.0
    text: float = 1.0


@dataclass(frozen=True)
class Branch:
    """One of the prompts that AND joins, with its weight."""

    nodes: Nodes
    weight: float = 1.0

    def at(self, step: int, steps: int) -> str:
        """What it reads at ``step``, 1 to ``steps``; :func:`weighted` reads its weights and escapes."""
        return read(self.nodes, step, steps)

    def schedule(self, steps: int) -> list[tuple[int, str]]:
        """(last step, what is read up to it), in order: the first from step 1, the last up to ``steps``."""
        return [(until, self.at(until, steps)) for until in sorted(ends(self.nodes, steps) | {steps})]


@dataclass(frozen=True)
class Prompt:
    """A prompt taken apart: its branches, the adapters it names, and the tags in it that we cannot follow."""

    branches: tuple[Branch, ...]
    loras: tuple[Lora, ...] = ()
    unsupported: tuple[str, ...] = ()


def parse(text: str, dialect: Dialect = "a1111") -> Prompt:
    """Take a prompt apart. Never raises; tags such as ``<hypernet:x>`` come back in ``unsupported``."""
    loras: list[Lora] = []
    unsupported: list[str] = []
    for match in TAG.finditer(text):
        if lora := _lora(match[1], match[2].split(":"), dialect):
            loras.append(lora)
        else:
            unsupported.append(match[0])
    bare = TAG.sub("", text)
    branches = _branches(bare) if dialect == "a1111" else (Branch((bare,)),)
    return Prompt(branches, tuple(loras), tuple(unsupported))


def _lora(kind: str, args: Sequence[str], dialect: Dialect) -> Lora | None:
    """``name:text:network`` as in A1111, ``name:network:text`` as ComfyUI's loaders; or ``te=``, ``unet=``.

    What is not given is as the other. None for other kinds of tag, for options we lack, and without a number.
    """
    order = ("te", "unet") if dialect == "a1111" else ("unet", "te")
    plain = [arg for arg in args[1:] if "=" not in arg]
    given = dict(zip(order, plain, strict=False))
    given |= {
        name.strip(): value for name, _, value in (arg.partition("=") for arg in args[1:] if "=" in arg)
    }
    known = kind in ("lora", "lyco") and args[0].strip() and len(plain) < 3 and given.keys() <= set(order)
    if not known or not all(re.fullmatch(rf"\s*{NUMBER}\s*", value) for value in given.values()):
        return None
    weights = {name: float(value) for name, value in given.items()}
    either = weights.get(order[0], 1.0)
    return Lora(args[0].strip(), weights.get("unet", either), weights.get("te", either))


def _branches(text: str) -> tuple[Branch, ...]:
    """Split at AND. Weights are read only beside one, so that "a 16:9 screen" and "ratio 16:9" have none."""
    parts = re.split(r"\bAND\b", text)
    return tuple(_branch(part.strip()) for part in parts) if len(parts) > 1 else (Branch(tree(text)),)


def _branch(part: str) -> Branch:
    match = re.search(rf":\s*({NUMBER})$", part)
    return Branch(tree(part[: match.start()].rstrip()), float(match[1])) if match else Branch(tree(part))

"""Attaching LoRA and its kin to a model, merged into the weights or beside them, and taking them off again.

    attached = attach({"unet": unet, "text_encoder": clip}, read_adapter(open_store(path)), 0.8)
    print(attached)          # matched 264, unused 0, missing 0
    attached.reweigh(0.5)
    attached.remove()        # every weight has its old bits

Several may be attached at once and taken off in any order. Deltas add up: each is reckoned from the model's
own weight.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import nn

from darkroom.adapters.block_weights import BlockWeights
from darkroom.adapters.changes import Change, Live, Merged, Strength, split
from darkroom.adapters.live import Beside, is_linear, is_quantised, shape_of
from darkroom.adapters.patches import Decomposed, Difference, Patch, fits, patches
from darkroom.errors import DarkroomError
from darkroom.weights.adapter_formats import AdapterFile, Target, Targets
from darkroom.weights.adapter_signs import adapter_of
from darkroom.weights.header import shown
from darkroom.weights.keymap import KeyMap


class Attached:
    """An adapter on a model.

    ``matched`` are the keys of the file that were used, ``unused`` those that were not (their layer is not
    in the parts that were given, or they mean nothing here), ``missing`` those without which others could
    not be used.
    """

    def __init__(
        self,
        changes: Sequence[Change],
        matched: Sequence[str],
        unused: Sequence[str],
        missing: Sequence[str],
    ) -> None:
        self.matched, self.unused, self.missing = tuple(matched), tuple(unused), tuple(missing)
        self._changes = changes

    def __str__(self) -> str:
        return f"matched {len(self.matched)}, unused {len(self.unused)}, missing {len(self.missing)}"

    def reweigh(
        self, weight: float, text_weight: float | None = None, block_weights: BlockWeights | None = None
    ) -> None:
        """Other strengths, given as to :func:`attach`. At once if it is live; a merge otherwise."""
        strength = Strength(weight, text_weight, block_weights)
        for change in self._changes:
            change.apply(strength)

    def remove(self) -> None:
        """Take it off. Twice does no harm."""
        for change in self._changes:
            change.undo()
        self._changes = ()


def attach(
    parts: Mapping[str, nn.Module],
    adapter: AdapterFile,
    weight: float = 1.0,
    *,
    block_weights: BlockWeights | None = None,
    text_weight: float | None = None,
    live: bool = False,
    layouts: Mapping[str, KeyMap] | None = None,
) -> Attached:
    """Attach an adapter to the parts of a model ("unet", "transformer", "text_encoder", ...).

    ``weight`` is its strength, ``text_weight`` that for text encoders where it differs, ``block_weights``
    factors as :func:`darkroom.adapters.block_weights.block_weight` takes them. ``live`` leaves weights alone
    and computes the adapter beside each layer, as is always done for quantised ones; the few changes that
    this does not fit (norms, biases) are merged all the same. ``layouts`` are key maps of parts whose
    authors' names cannot be told from their parameters.

    Raises DarkroomError if no key fits the model, if a shape does not, or if DoRA asks for the weight of a
    quantised layer; the model is then as it was.
    """
    targets = Targets({part: shapes_of(module) for part, module in parts.items()}, layouts)
    plan = Plan(adapter, parts, live)
    for module in adapter.modules:
        plan.add(module, targets.find(module))
    if not plan.changes:
        raise nothing_fits(adapter, parts)
    attached = Attached(plan.changes, plan.matched, (*plan.unused, *adapter.unknown), plan.missing)
    try:
        attached.reweigh(weight, text_weight, block_weights)
    except BaseException:  # out of memory half-way, for one
        attached.remove()
        raise
    return attached


@dataclass
class Plan:
    """What attaching will change, gathered before anything is changed."""

    adapter: AdapterFile
    parts: Mapping[str, nn.Module]
    live: bool
    changes: list[Change] = field(default_factory=list)
    matched: list[str] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    def add(self, name: str, target: Target | None) -> None:
        """Plan what the module ``name`` of the file asks for."""
        keys = self.adapter.modules[name]
        if target is None:
            self.unused += keys.values()
            return
        with self.sound(name):
            found = patches(self.adapter.tensors(name))
        used = set(found.used)
        layers = tuple(self.parts[target.part].get_submodule(module) for module in target.modules)
        if found.weight is not None:
            self.check(name, found.weight, target, layers)
            self.change_weights(found.weight, target, layers)
        if found.bias is not None and not self.change_biases(name, found.bias, target, layers):
            used -= {"diff_b", "b_norm", "lora_up_bias"}
        self.missing += (f"{name}.{role}" for role in found.missing)
        for role, key in keys.items():
            (self.matched if role in used else self.unused).append(key)

    def change_weights(self, patch: Patch, target: Target, layers: tuple[nn.Module, ...]) -> None:
        for module, layer, own in zip(target.modules, layers, split(patch, target.how, layers), strict=True):
            if (self.live or is_quantised(layer)) and is_linear(layer):
                self.changes.append(Live(target.part, module, layer, Beside(own, 0.0)))
            else:
                self.changes.append(Merged(target.part, module, layer.weight, own))  # type: ignore[arg-type]

    def change_biases(
        self, name: str, patch: Difference, target: Target, layers: tuple[nn.Module, ...]
    ) -> bool:
        """Whether the layers have biases."""
        biases = [layer.bias for layer in layers if isinstance(layer.bias, nn.Parameter)]
        if len(biases) < len(layers):
            return False
        if patch.shape != (sum(map(len, biases)),):
            raise self.torn(name)
        for module, bias, own in zip(target.modules, biases, target.how.split(patch.difference), strict=True):
            self.changes.append(Merged(target.part, module, bias, Difference(own, patch.scale)))
        return True

    def check(self, name: str, patch: Patch, target: Target, layers: tuple[nn.Module, ...]) -> None:
        """Raise DarkroomError for a patch that its layers cannot take."""
        place = f"{target.part}.{target.modules[0]}"
        with self.sound(name):
            empty = [torch.empty(shape_of(layer), device="meta") for layer in layers]
            weight, shape = tuple(target.how.merge(empty).shape), patch.shape
            if not fits(shape, weight):
                raise self.misfit(name, shape, place, weight)
            if not patch.agrees(weight):
                raise self.torn(name)
        if any(map(is_quantised, layers)) and not additive(patch):
            raise DarkroomError(
                f"'{place}' is quantised, and '{name}' would have to change its weight; "
                "load the model without quantisation."
            )

    @contextmanager
    def sound(self, name: str) -> Iterator[None]:
        """Blame the file for tensors that cannot be reckoned with."""
        try:
            yield
        except (RuntimeError, IndexError, ValueError) as error:
            raise self.torn(name) from error

    def torn(self, name: str) -> DarkroomError:
        """Tensors of one module that cannot belong to one module."""
        return DarkroomError(f"the tensors of '{name}' do not go together; get {self.adapter.source} again.")

    def misfit(self, name: str, shape: tuple[int, ...], place: str, weight: tuple[int, ...]) -> DarkroomError:
        """A module's tensors are for a layer of another shape."""
        key = next(iter(self.adapter.modules[name].values()))
        return DarkroomError(
            f"'{key}' is for a weight of shape {shape}, and '{place}' has {weight}; "
            f"the adapter seems to be made for {made_for(self.adapter)}, take one for this model."
        )


def made_for(adapter: AdapterFile) -> str:
    """The families that an adapter seems to be made for, or a layer's name where they cannot be told."""
    signs = adapter_of(adapter.store.header)
    if signs is None or not signs.fits:
        return f"a model with a layer named {shown(next(iter(adapter.modules)))}"
    return " or ".join(signs.fits)


def additive(patch: Patch) -> bool:
    """Whether a patch adds the same to any weight."""
    return not isinstance(patch, Decomposed)


def shapes_of(part: nn.Module) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the parameters of a part; of layers that are quantised, as if they were not."""
    shapes = {name: tuple(parameter.shape) for name, parameter in part.named_parameters()}
    for name, module in part.named_modules():
        if is_linear(module):
            shapes[f"{name}.weight"] = shape_of(module)
    return shapes


def nothing_fits(adapter: AdapterFile, parts: Mapping[str, nn.Module]) -> DarkroomError:
    """No key of the adapter means a layer of the model."""
    return DarkroomError(
        f"none of the {len(adapter.modules)} layers that {adapter.source} changes is in this model "
        f"({', '.join(parts)}); it seems to be made for {made_for(adapter)}, take one for this model."
    )

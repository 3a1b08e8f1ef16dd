"""All that a run carries from step to step: it and (seed, step) alone determine what follows."""

from collections.abc import Mapping
from dataclasses import astuple
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

from darkroom.errors import DarkroomError
from darkroom.training.checkpoint import Checkpoint, Parts
from darkroom.training.data import to_device
from darkroom.training.ema import Average
from darkroom.training.optimizer import Ending, Optimizer
from darkroom.training.recipe import Batch, Recipe, mix


class State:
    """A network in training. ``step`` counts steps, ``updates`` those that were not skipped."""

    def __init__(self, recipe: Recipe) -> None:
        torch.manual_seed(mix("build", recipe.seed))
        self.recipe = recipe
        self.device = torch.device(recipe.device)
        self.half = multiplies_bfloat16(self.device)
        self.network = recipe.build().to(self.device).train()
        self.averages = [Average(profile, self.network) for profile in recipe.ema]
        self.optimizer = Optimizer(recipe.optimizer, self.network)
        self.ending = recipe.ending
        self.step = self.updates = self.skipped_in_row = 0

    @property
    def skipped(self) -> int:
        """Steps whose loss or gradient was not finite."""
        return self.step - self.updates

    @property
    def done(self) -> bool:
        """Whether the run is at its end."""
        return self.step >= self.ending.end

    @property
    def best(self) -> nn.Module:
        """What to sample from, in eval mode: the first average, or the network where there is none."""
        return self.averages[0].network if self.averages else self.network.eval()

    def advance(self, batch: Batch) -> dict[str, float]:
        """One step: forward, backward, update. Returns the loss and its parts, the gradient's norm, the rate.

        A step whose loss or gradient is not finite changes neither weights, buffers, optimizer nor averages.
        Raises DarkroomError when the recipe's patience with such steps is at its end.
        """
        buffers = [buffer.clone() for buffer in self.network.buffers()]
        rate = self.recipe.optimizer.rate.at(self.step, self.ending)
        values = {name: float(value) for name, value in self._backward(batch).items()}
        if isfinite(values["loss"]) and isfinite(values["gradient_norm"]):
            self._update(rate)
        else:
            self._skip(buffers)
        self.optimizer.zero_grad()
        self.step += 1
        return {**values, "rate": rate}

    def _backward(self, batch: Batch) -> dict[str, Tensor]:
        torch.manual_seed(mix("step", self.recipe.seed, self.step))
        batch = to_device(batch, self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            parts = self.recipe.loss(self.network.train(), batch, self.step)
        parts["loss"].backward()  # type: ignore[no-untyped-call]
        shown = {name: value.detach() for name, value in parts.items()}
        return {**shown, "gradient_norm": self.optimizer.clip()}

    def _update(self, rate: float) -> None:
        self.optimizer.step(rate)
        self.updates += 1
        self.skipped_in_row = 0
        for average in self.averages:
            average.update(self.network, self.updates)

    def _skip(self, buffers: list[Tensor]) -> None:
        for buffer, before in zip(self.network.buffers(), buffers, strict=True):
            buffer.copy_(before)
        self.skipped_in_row += 1
        if self.skipped_in_row >= self.recipe.patience:
            raise DarkroomError(
                f"{self.skipped_in_row} steps in a row, up to step {self.step}, had no finite loss and "
                "gradient; lower the learning rate, or remove the newest checkpoints to go back."
            )

    def parts(self) -> Parts:
        """The tensors of a checkpoint, by file: "network", one of each average's name, "optimizer"."""
        averages = {average.profile.name: average.network.state_dict() for average in self.averages}
        return {"network": self.network.state_dict(), **averages, "optimizer": self.optimizer.state()}

    def facts(self) -> dict[str, Any]:
        """The rest of a checkpoint."""
        return {
            "recipe": self.recipe.facts(),
            "machine": self.machine(),
            "updates": self.updates,
            "skipped_in_row": self.skipped_in_row,
            "finish": None if self.ending == self.recipe.ending else astuple(self.ending),
        }

    def machine(self) -> dict[str, Any]:
        """What rounding depends on."""
        cuda = self.device.type == "cuda"
        return {
            "torch": torch.__version__,
            "device": torch.cuda.get_device_name(self.device)
            if cuda
            else torch.backends.cpu.get_cpu_capability(),
            "precision": "bfloat16" if self.half else "float32",
            "threads": torch.get_num_threads(),
            "compiled": list(self.recipe.compile),
        }

    def restore(self, checkpoint: Checkpoint) -> None:
        """Stand where the checkpoint stood. Raises DarkroomError that names the first thing that differs."""
        _check_recipe(checkpoint, self.recipe)
        _fill(self.network, checkpoint, "network")
        for average in self.averages:
            _fill(average.network, checkpoint, average.profile.name)
        self.optimizer.load(checkpoint.parts["optimizer"])
        self.step, self.updates = checkpoint.step, checkpoint.facts["updates"]
        self.skipped_in_row = checkpoint.facts["skipped_in_row"]
        if finish := checkpoint.facts["finish"]:
            self.ending = Ending(*finish)


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether bf16 is what a device multiplies fastest: GPUs, and processors with instructions for it.

    Those give four times the speed of single precision; without them bf16 is hundreds of times slower.
    """
    if device.type == "cuda":
        return True
    able: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(able.get("avx512_bf16") or able.get("amx_bf16"))


def _check_recipe(checkpoint: Checkpoint, recipe: Recipe) -> None:
    now = recipe.facts()
    untold = {name: now[name] for name in recipe.data}  # older checkpoints do not tell of it
    then = untold | checkpoint.facts["recipe"]
    for name in {**now, **then}:
        if then.get(name) != now.get(name):
            raise DarkroomError(
                f"the checkpoint '{checkpoint.path}' was made with {_unlike(name, then, now, recipe)}, "
                "or choose another folder with --out."
            )


def _unlike(name: str, then: Mapping[str, Any], now: Mapping[str, Any], recipe: Recipe) -> str:
    """What differs, and what to use instead; of data there are hashes, which say nothing to anyone."""
    if name in recipe.data:
        return f"another {name} than this recipe has; use the preset and the version that made it"
    return f"{name} {then.get(name)}, but this recipe has {now.get(name)}; use the recipe that made it"


def _fill(network: nn.Module, checkpoint: Checkpoint, part: str) -> None:
    """Copy a part's tensors into the network, once all names and shapes are known to agree."""
    own, saved = network.state_dict(), checkpoint.parts[part]
    if differences := _differences(own, saved):
        raise DarkroomError(
            f"the checkpoint '{checkpoint.path}' does not fit: {differences[0]} ({len(differences)} such in "
            f"'{part}'); use the recipe that made it, or choose another folder with --out."
        )
    network.load_state_dict(dict(saved))


def _differences(own: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> list[str]:
    pairs = {name: (_shape(saved.get(name)), _shape(own.get(name))) for name in {**own, **saved}}
    return [f"'{name}' is {then} in it and {now} here" for name, (then, now) in pairs.items() if then != now]


def _shape(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else f"of shape {tuple(tensor.shape)}"

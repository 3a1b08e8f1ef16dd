"""Weights that come into memory when they are needed, and go.

    with offloaded(model.parts, plan(sizes_of(model.parts), working, budget)):
        ...  # use the model as ever

Every module that computes with weights of a block asks for them first, by a hook. One thread brings them:
while a block computes, the next one that is not there comes in. On a processor alone weights come from the
model's file, and are its pages as long as no other type is wanted. For a graphics processor they lie in
pinned memory after the first time, and come on a stream of their own.
"""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from darkroom.adapters.merging import bring, bring_all, drop
from darkroom.studio.placement.blocks import Block, blocks_of
from darkroom.studio.placement.budget import Plan, Size, phase_of
from darkroom.weights.origin import Origin, origin_of


@contextmanager
def offloaded(
    parts: Mapping[str, nn.Module], plan: Plan, device: torch.device | str = "cpu"
) -> "Iterator[Offload]":
    """While the block lasts, the weights of these parts come and go as planned; afterwards no thread is left.

    What stays is brought now and stays beyond the end. Raises DarkroomError for weights that are damaged, now
    or when they are brought.
    """
    offload = Offload(parts, plan, device)
    try:
        offload.begin()
        yield offload
    finally:
        offload.close()


def sizes_of(parts: Mapping[str, nn.Module]) -> dict[str, Size]:
    """What each part takes, as :func:`~darkroom.studio.placement.budget.plan` wants it."""
    sizes = {}
    for part, module in parts.items():
        blocks = tuple(block.nbytes for block in blocks_of(part, module) if block.repeated)
        alone = sum(t.numel() * t.element_size() for t in (*module.parameters(), *module.buffers()))
        sizes[part] = Size(alone - sum(blocks), blocks)
    return sizes


class Offload:
    """The weights of some parts, as they come and go. Used by one thread."""

    def __init__(self, parts: Mapping[str, nn.Module], plan: Plan, device: torch.device | str) -> None:
        self.carrier = Carrier(torch.device(device))
        self.parts = parts
        self.blocks = {part: blocks_of(part, module) for part, module in parts.items()}
        self.places = {part: {one: i for i, one in enumerate(some)} for part, some in self.blocks.items()}
        self.plan = plan
        self.goes = {
            [block for block in self.blocks[part] if block.repeated][i]
            for part, which in plan.streams.items()
            for i in which
        }
        self.there: set[Block] = set()
        self.follows: dict[Block, Block] = {}
        self.at: Block | None = None
        self.phase: str | None = None
        self.coming: tuple[Block, Future[None]] | None = None
        self._thread = ThreadPoolExecutor(1, "weights")
        self._handles: list[RemovableHandle] = []

    def begin(self) -> None:
        """Drop what does not stay and watch over it, then bring what stays."""
        for block in self._passing():
            self._drop(block)
            for module in block.modules:
                self._handles.append(module.register_forward_pre_hook(self._asking(block)))
        for part in self.plan.stays & self.parts.keys():
            self.carrier.settle(self.parts[part])

    def _passing(self) -> Iterator[Block]:
        """The blocks that do not stay."""
        for part, blocks in self.blocks.items():
            if part not in self.plan.stays:
                yield from blocks

    def close(self) -> None:
        """Drop what does not stay, and end the thread."""
        for handle in self._handles:
            handle.remove()
        self._thread.shutdown(wait=True, cancel_futures=True)
        for block in self._passing():
            self._drop(block)

    def _asking(self, block: Block) -> Callable[[nn.Module, Any], None]:
        def ask(module: nn.Module, inputs: Any) -> None:
            if block not in self.there or (block.repeated and block is not self.at):
                self.want(block)

        return ask

    def want(self, block: Block) -> None:
        """Have a block there; what was only needed before it goes, and the next one is sent for."""
        if (phase := phase_of(block.part)) != self.phase:
            self._enter(phase)
        before = self.at
        if block.repeated and block is not before:
            if before is not None and before.part == block.part:
                self.follows[before] = block
            if before in self.goes and before in self.there:
                self._drop(before)
            self.at = block
        self._take(block)
        if self.coming is None and (coming := self._next(block)) is not None:
            self.coming = coming, self._thread.submit(self.carrier.bring, coming)

    def _enter(self, phase: str) -> None:
        """Drop what was there for another phase."""
        self._await()
        for block in self._passing():
            if phase_of(block.part) != phase and block in self.there:
                self._drop(block)
        self.phase, self.at = phase, None

    def _take(self, block: Block) -> None:
        """Wait until a block is there."""
        if self.coming is not None and (self.coming[0] is block or block not in self.there):
            came = self.coming[0]
            self._await()
            if came is not block and came in self.goes:  # another was awaited than was wanted
                self._drop(came)
        if block not in self.there:
            self._thread.submit(self.carrier.bring, block).result()
            self.there.add(block)
        self.carrier.ready(block)

    def _await(self) -> None:
        if self.coming is None:
            return
        (block, future), self.coming = self.coming, None
        future.result()
        self.there.add(block)

    def _drop(self, block: Block) -> None:
        self.carrier.drop(block)
        self.there.discard(block)

    def _next(self, block: Block) -> Block | None:
        """The block of the same part that is not there and will be wanted first: as it was the last time, or
        by its place.
        """
        blocks = self.blocks[block.part]
        places = self.places[block.part]
        one = block
        for _ in blocks:
            one = self.follows.get(one) or blocks[(places[one] + 1) % len(blocks)]
            if one not in self.there:
                return one
        return None


class Carrier:
    """Brings the weights of blocks to a device, and drops them."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self._pinned: dict[nn.Parameter, Tensor] = {}
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._arrived: dict[Block, Any] = {}

    def settle(self, part: nn.Module) -> None:
        """Bring a whole part for good."""
        bring_all([part])
        if self._stream is not None:
            part.to(self.device)

    def bring(self, block: Block) -> None:
        """From the file, or where it lies. In a thread of its own."""
        if self._stream is None:
            bring({one: _origin(one).fetch() for one in block.parameters})
            return
        with torch.cuda.stream(self._stream):
            hosts = {one: self._host(one) for one in block.parameters}
            bring({one: host.to(self.device, non_blocking=True) for one, host in hosts.items()})
            self._arrived[block] = self._stream.record_event()

    def ready(self, block: Block) -> None:
        """What this thread computes from now on finds the block's weights arrived."""
        if (event := self._arrived.pop(block, None)) is not None:
            torch.cuda.current_stream(self.device).wait_event(event)
            for one in block.parameters:  # its memory is free again when both streams are done with it
                one.data.record_stream(torch.cuda.current_stream(self.device))

    def drop(self, block: Block) -> None:
        """Give its memory back."""
        drop(block.parameters, self.device)

    def _host(self, parameter: nn.Parameter) -> Tensor:
        """A parameter's numbers where a graphics processor can fetch them by itself."""
        if parameter not in self._pinned:
            self._pinned[parameter] = _origin(parameter).fetch().pin_memory()
        return self._pinned[parameter]


def _origin(parameter: nn.Parameter) -> Origin:
    """Of a block's parameters it is known."""
    origin = origin_of(parameter)
    assert origin is not None
    return origin

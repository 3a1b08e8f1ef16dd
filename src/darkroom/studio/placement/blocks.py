"""A network taken apart into what is brought into memory and dropped together: repeated blocks, and the rest.

Networks know nothing of it. Their repeated blocks are the members of ``nn.ModuleList``; a member whose own
repeated blocks make up nearly all of it (a stage of a U-Net) is taken apart further.
"""

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from torch import nn

from darkroom.weights.origin import origin_of

NEARLY_ALL = 0.9


@dataclass(eq=False)
class Block:
    """Parameters that come and go together, and the modules that compute with them.

    ``repeated`` is false for the rest of a network, which stays as long as the network is used.
    """

    part: str
    name: str
    modules: tuple[nn.Module, ...]
    parameters: tuple[nn.Parameter, ...]
    repeated: bool = True

    @property
    def nbytes(self) -> int:
        """What it takes in memory."""
        return sum(nbytes(one) for one in self.parameters)


def blocks_of(part: str, module: nn.Module) -> list[Block]:
    """The rest of a network, then its repeated blocks in the order in which it has them.

    Parameters that are in memory alone (those of adapters) are in none of them.
    """
    roots = list(repeated(module))
    owners = Counter(id(one) for _, root in roots for one in root.parameters())
    alone = {key for key, many in owners.items() if many == 1}
    blocks = []
    for name, root in roots:
        having = having_any(root, alone)
        blocks.append(Block(part, name, tuple(dict.fromkeys((root, *having))), _all_of(having)))
    taken = {id(one) for block in blocks for one in block.parameters}
    having = having_any(module, {id(one) for one in module.parameters()} - taken)
    return [Block(part, "", tuple(having), _all_of(having), repeated=False), *blocks]


def repeated(module: nn.Module, name: str = "") -> Iterator[tuple[str, nn.Module]]:
    """Names and modules of its blocks."""
    for child_name, child in module.named_children():
        place = f"{name}.{child_name}" if name else child_name
        if not isinstance(child, nn.ModuleList):
            yield from repeated(child, place)
            continue
        for i, member in enumerate(child):
            inside = list(repeated(member, f"{place}.{i}"))
            whole, parts = size(member), sum(size(one) for _, one in inside)
            if whole and parts >= NEARLY_ALL * whole:
                yield from inside
            else:
                yield f"{place}.{i}", member


def size(module: nn.Module) -> int:
    """Bytes of all parameters."""
    return sum(map(nbytes, module.parameters()))


def nbytes(parameter: nn.Parameter) -> int:
    """What its numbers take, whether they are there or not."""
    return parameter.numel() * parameter.element_size()


def having_any(root: nn.Module, which: Collection[int]) -> dict[nn.Module, list[nn.Parameter]]:
    """The modules that have one of these parameters (by id) themselves, and those that come from a file."""
    found = {}
    for module in root.modules():
        own = [one for one in module.parameters(recurse=False) if id(one) in which and origin_of(one)]
        if own:
            found[module] = own
    return found


def _all_of(having: Mapping[nn.Module, list[nn.Parameter]]) -> tuple[nn.Parameter, ...]:
    return tuple({id(one): one for own in having.values() for one in own}.values())

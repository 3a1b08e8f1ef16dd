"""Our networks beside those of diffusers: one set of random weights in both, and what must then agree."""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from darkroom.networks.conditioning import Conditioning


def awake(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random weights everywhere, zero-initialised layers and gains too; buffers stay."""
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=draw))
    return network.eval()


def relative(ours: Tensor, theirs: Tensor) -> float:
    """How far apart two tensors are, as a share of the second's norm."""
    assert ours.shape == theirs.shape
    return float((ours.double() - theirs.double()).norm() / theirs.double().norm().clamp_min(1e-30))


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """Each tensor's name and shape."""
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


Ask = Callable[[nn.Module, Tensor, Tensor, Conditioning], Tensor]
"""(a network of diffusers, x, time, cond) -> its answer."""


def assert_same_in_half(
    ours: nn.Module, theirs: nn.Module, ask: Ask, x: Tensor, time: Tensor, cond: Conditioning
) -> None:
    """In bf16, which both are from here on, answers agree to 1e-2 and have the precision of ``x``."""
    half = x.bfloat16(), time, cond.to(dtype=torch.bfloat16)
    ours, theirs = ours.bfloat16(), theirs.bfloat16()
    answer = ours(*half)
    assert answer.dtype == torch.bfloat16
    assert relative(answer, ask(theirs, *half)) < 1e-2
    assert ours(x, time, cond).dtype == torch.float32


def assert_same_gradients(
    ours: nn.Module, theirs: nn.Module, ask: Ask, question: Callable[[], tuple[Tensor, Tensor, Conditioning]]
) -> None:
    """The gradients of all inputs and weights agree to 1e-4; ``question`` makes the same inputs each time."""
    found = []
    for network, call in ((ours, ours), (theirs, lambda *told: ask(theirs, *told))):
        network.zero_grad()
        x, time, cond = question()
        inputs = [x, *(part for part in cond.parts().values() if part.is_floating_point())]
        inputs = [part.requires_grad_() for part in inputs]
        answer = call(x, time, cond)
        (answer * torch.linspace(-1, 1, answer.numel()).view_as(answer)).sum().backward()
        found.append(inputs)
    for mine, other in zip(*found, strict=True):
        assert relative(mine.grad, other.grad) < 1e-4
    largest = max(weight.grad.norm() for weight in theirs.parameters() if weight.grad is not None)
    weights = dict(theirs.named_parameters())
    for name, weight in ours.named_parameters():
        wanted = weights.pop(name).grad
        if wanted is None or wanted.norm() < 1e-6 * largest:  # what nothing depends on: rounding alone
            assert weight.grad is None or weight.grad.norm() < 1e-5 * largest, name
        else:
            assert relative(weight.grad, wanted) < 1e-4, name
    assert not weights


def assert_rows_stand_alone(network: nn.Module, x: Tensor, time: Tensor, cond: Conditioning) -> None:
    """Every row of a batch is what it is alone."""
    together = network(x, time, cond)
    for i in range(len(x)):
        one = slice(i, i + 1)
        assert relative(together[one], network(x[one], time[one], cond.rows(one))) < 1e-5


def assert_padding_changes_nothing(network: nn.Module, x: Tensor, time: Tensor, cond: Conditioning) -> None:
    """Tokens that do not count may hold anything, and may as well not be there."""
    padded = cond.padded(cond.tokens.shape[1] + 3)
    noise = torch.where(padded.mask[..., None], padded.tokens, 5 * torch.randn_like(padded.tokens))
    plain = network(x, time, cond)
    assert relative(network(x, time, replace(padded, tokens=noise)), plain) < 1e-5
    assert relative(network(x, time, replace(padded, mask=None)), plain) > 1e-3

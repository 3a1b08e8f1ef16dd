"""What of a prompt changes from step to step: ``[a:b:0.5]``, ``[b:8]``, ``[a::8]`` and ``[a|b]``.

As AUTOMATIC1111's web UI reads them. Brackets that balance are read from the inside out; a bracket that has
no partner, or whose inside is no syntax, stands for itself and so do those around it.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby

DEEPEST = 100
"""Brackets nested deeper than this are read as plain characters."""

TOKEN = re.compile(r"\\.|[\[\]():|]|[^\\\[\]():|]+|\\", re.DOTALL)
WHEN = re.compile(r"\s*([-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?)\s*")


@dataclass(frozen=True)
class Scheduled:
    """``before`` up to ``when``, then ``after``; ``when`` is a fraction of the steps, or a number of them."""

    before: "Nodes"
    after: "Nodes"
    when: float
    fraction: bool

    def last(self, steps: int) -> int:
        """The last step, counted from 1, that still reads ``before``; 0 when there is none."""
        return int(max(0, min(steps, self.when * steps if self.fraction else self.when)))


@dataclass(frozen=True)
class Alternating:
    """Takes the options in turn, one a step."""

    options: "tuple[Nodes, ...]"


Node = str | Scheduled | Alternating
Nodes = tuple[Node, ...]


def read(nodes: Nodes, step: int, steps: int) -> str:
    """The text at ``step``, which counts from 1 to ``steps``."""
    return "".join(
        node if isinstance(node, str) else read(_choice(node, step, steps), step, steps) for node in nodes
    )


def ends(nodes: Nodes, steps: int) -> set[int]:
    """The steps, 1 to ``steps``, after which the text may change."""
    found: set[int] = set()
    for node in nodes:
        if isinstance(node, Scheduled):
            found |= {node.last(steps)} | ends(node.before, steps) | ends(node.after, steps)
        elif isinstance(node, Alternating):
            found.update(range(1, steps + 1))
    return found - {0}


def _choice(node: Scheduled | Alternating, step: int, steps: int) -> Nodes:
    if isinstance(node, Alternating):
        return node.options[(step - 1) % len(node.options)]
    return node.before if step <= node.last(steps) else node.after


# ---- reading


@dataclass
class _Group:
    """A bracket not yet closed: what it holds, in parts, and the ":" and "|" between them."""

    opener: str = ""
    parts: list[list[Node]] = field(default_factory=lambda: [[]])
    signs: list[str] = field(default_factory=list)

    def split(self, sign: str) -> None:
        self.signs.append(sign)
        self.parts.append([])

    def at(self, *signs: str) -> list[list[Node]]:
        """The parts between ``signs``; the other signs are text."""
        whole = [list(self.parts[0])]
        for sign, part in zip(self.signs, self.parts[1:], strict=True):
            if sign in signs:
                whole.append(list(part))
            else:
                whole[-1] += [sign, *part]
        return whole

    @property
    def text(self) -> list[Node]:
        """All it holds, its signs and its opener as text."""
        return [self.opener, *self.at()[0]]


def tree(text: str) -> Nodes:
    """Take a text apart. Never raises; a text without schedules is one string."""
    stack = [_Group()]
    for token in TOKEN.findall(text):
        if token in "([" and len(stack) <= DEEPEST:
            stack.append(_Group(token))
        elif token in "([])":
            _close(stack, token)
        elif token in ":|" and len(stack) > 1:
            stack[-1].split(token)
        else:
            stack[-1].parts[-1].append(token)
    _spill(stack)
    return _merged(stack[0].parts[0])


def _close(stack: list[_Group], token: str) -> None:
    """Replace the innermost group by what it means; without a meaning, all that is open is text."""
    nodes = _meaning(stack[-1]) if stack[-1].opener + token in ("()", "[]") else None
    if nodes is None:
        _spill(stack)
        stack[0].parts[-1].append(token)
    else:
        stack.pop()
        stack[-1].parts[-1] += nodes


def _spill(stack: list[_Group]) -> None:
    """No open bracket has a partner: let them and what they hold be text."""
    for group in stack[1:]:
        stack[0].parts[-1] += group.text
    del stack[1:]


def _meaning(group: _Group) -> list[Node] | None:
    """What a closed group stands for, or None when it is no syntax."""
    colons = group.signs.count(":")
    if group.opener == "(":
        return [*group.text, ")"] if colons < 2 else None
    if scheduled := _scheduled(group.at(":")):
        return [scheduled]
    if "|" in group.signs:
        return [Alternating(tuple(_merged(part) for part in group.at("|")))]
    return None if colons else [*group.text, "]"]


def _scheduled(parts: list[list[Node]]) -> Scheduled | None:
    """``[b:when]`` and ``[a:b:when]``; a number with a point or below 1 is a fraction of the steps."""
    *sides, last = parts
    match = WHEN.fullmatch(last[0]) if len(last) == 1 and isinstance(last[0], str) else None
    if match is None or len(sides) not in (1, 2):
        return None
    before, after = ([], *sides)[-2:]
    when = float(match[1])
    return Scheduled(_merged(before), _merged(after), when, "." in match[1] or when < 1)


def _merged(nodes: Iterable[Node]) -> Nodes:
    """The same with neighbouring strings joined and empty ones dropped."""
    merged: list[Node] = []
    for is_text, group in groupby(nodes, key=lambda node: isinstance(node, str)):
        found = list(group)
        merged += ["".join(node for node in found if isinstance(node, str))] if is_text else found
    return tuple(node for node in merged if node != "")

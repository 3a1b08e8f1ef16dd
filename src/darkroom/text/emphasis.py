"""The weights in a prompt: ``(x)``, ``(x:1.3)``, ``[x]``, and BREAK between chunks.

"a1111" is read as AUTOMATIC1111's web UI does: nested weights multiply, and a bracket without a partner
reaches to the end. "comfy" is read as ComfyUI does: round brackets alone, a weight that is given replaces the
outer one, and a bracket without a partner stands for itself. In both ``\\(`` is the character.
"""

import re
from typing import Literal, NamedTuple

Dialect = Literal["a1111", "comfy"]

NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)"
MORE = 1.1
DEEPEST = 100
"""Brackets nested deeper than this are plain characters: so the work grows with a prompt's length alone."""

SIGN = re.compile(rf"\\[\\()\[\]]?|[(\[]|:\s*(?P<weight>{NUMBER})\s*\)|[)\]]|[^\\()\[\]:]+|:")
BREAKS = re.compile(r"\bBREAK\b")
ROUND = re.compile(r"\\[()]|[()]|[^\\()]+|\\")
OWN_WEIGHT = re.compile(rf"(?P<inside>.*):\s*(?P<weight>{NUMBER})\s*", re.DOTALL)


class Fragment(NamedTuple):
    """A piece of a prompt, its escapes undone, and its weight."""

    text: str
    weight: float = 1.0


BREAK = Fragment("BREAK", -1.0)
"""Stands between the fragments where a new chunk starts."""


def weighted(text: str, dialect: Dialect = "a1111") -> list[Fragment]:
    """A prompt at one step, in fragments of one weight each; :data:`BREAK` between chunks. Never raises."""
    pieces = _a1111(text) if dialect == "a1111" else _comfy(ROUND.findall(text), 1.0, 0)
    return _merged(pieces) or [Fragment("")]


def escape(text: str, dialect: Dialect = "a1111") -> str:
    """The same text with a backslash before every character that would be read as a weight's."""
    return re.sub(r"([\\()\[\]])" if dialect == "a1111" else r"([()])", r"\\\1", text)


def _a1111(text: str) -> list[Fragment]:
    pieces: list[Fragment] = []
    starts: dict[str, list[int]] = {"(": [], "[": []}
    factor = {"(": MORE, "[": 1 / MORE}
    for match in SIGN.finditer(text):
        token = match[0]
        opener = {")": "(", "]": "["}.get(token[-1], "") if token[0] in ":)]" else ""
        if token[0] == "\\":
            pieces.append(Fragment(token[1:]))
        elif token in starts and len(starts[token]) < DEEPEST:
            starts[token].append(len(pieces))
        elif opener and starts[opener]:
            weight = float(match["weight"]) if match["weight"] else factor[opener]
            _multiply(pieces, starts[opener].pop(), weight)
        else:
            pieces += _broken(token)
    for opener, places in starts.items():
        for start in places:
            _multiply(pieces, start, factor[opener])
    return pieces


def _multiply(pieces: list[Fragment], start: int, factor: float) -> None:
    """Weigh everything from ``start`` on."""
    pieces[start:] = [
        piece if piece is BREAK else Fragment(piece.text, piece.weight * factor) for piece in pieces[start:]
    ]


def _broken(text: str, weight: float = 1.0) -> list[Fragment]:
    """A text without brackets, split at BREAK; the space around it is dropped."""
    first, *rest = BREAKS.split(text)
    if not rest:
        return [Fragment(first, weight)]
    *between, last = rest
    parts = [first.rstrip(), *(part.strip() for part in between), last.lstrip()]
    return [piece for part in parts for piece in (BREAK, Fragment(part, weight))][1:]


def _comfy(tokens: list[str], weight: float, depth: int) -> list[Fragment]:
    """The fragments of ``tokens``: text, brackets and escaped brackets."""
    pieces: list[Fragment] = []
    for group in _groups(tokens):
        if len(group) > 1 and (group[0], group[-1]) == ("(", ")") and depth < DEEPEST:
            inside, own = _own_weight(group[1:-1], weight)
            pieces += _comfy(inside, own, depth + 1)
        else:
            plain = "".join(token[1:] if len(token) > 1 and token[0] == "\\" else token for token in group)
            pieces += [piece for piece in _broken(plain, weight) if piece.text]
    return pieces


def _groups(tokens: list[str]) -> list[list[str]]:
    """Cut where a bracket opens on the outermost level and where it closes.

    A bracket that closes what was never open keeps all that follows from opening, as in ComfyUI.
    """
    groups: list[list[str]] = [[]]
    level = 0
    for token in tokens:
        if token == "(":
            if level == 0:
                groups.append([])
            level += 1
        groups[-1].append(token)
        if token == ")":
            level -= 1
            if level == 0:
                groups.append([])
    return [group for group in groups if group]


def _own_weight(inside: list[str], outer: float) -> tuple[list[str], float]:
    """A group without the weight that ends it, and its weight: that one, or a tenth more than the outer."""
    match = OWN_WEIGHT.fullmatch(inside[-1]) if inside else None
    if match and (match["inside"] or len(inside) > 1):
        return [*inside[:-1], *filter(None, [match["inside"]])], float(match["weight"])
    return inside, outer * MORE


def _merged(pieces: list[Fragment]) -> list[Fragment]:
    """Neighbours of the same weight joined."""
    merged: list[Fragment] = []
    for piece in pieces:
        if merged and piece is not BREAK is not merged[-1] and piece.weight == merged[-1].weight:
            merged[-1] = Fragment(merged[-1].text + piece.text, piece.weight)
        else:
            merged.append(piece)
    return merged

"""Files by the names that they have in the user's own folder. Clients give names, never paths."""

from pathlib import Path

from darkroom.errors import UnknownName
from darkroom.studio import home
from darkroom.studio.models import SHIPPED

KINDS = {
    "loras": "LoRA",
    "embeddings": "embedding",
    "controlnets": "ControlNet",
    "ip_adapters": "IP-Adapter",
}
"""What a message calls a file of each kind."""


def model(name: str) -> str:
    """The same name, if it is one that a model ships or lies under. Raises UnknownName."""
    known = models()
    if name not in known:
        raise UnknownName("model", name, known)
    return name


def models() -> dict[str, Path]:
    """All models, by the names that stand for them."""
    return {n: p for n, p in (home.named("models") | SHIPPED).items() if p.exists()}


def find(kind: str, name: str) -> Path:
    """The file of a kind that lies in the user's folder under this name. Raises UnknownName."""
    known = home.named(kind)
    if name not in known:
        raise UnknownName(KINDS[kind], name, known)
    return known[name]

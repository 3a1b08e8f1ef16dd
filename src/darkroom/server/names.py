"""Models by the names that they have here. Clients give names, never paths."""

from pathlib import Path

from darkroom.errors import UnknownName
from darkroom.studio import home
from darkroom.studio.models import SHIPPED


def model(name: str) -> str:
    """The same name, if it is one that a model ships or lies under. Raises UnknownName."""
    known = models()
    if name not in known:
        raise UnknownName("model", name, known)
    return name


def models() -> dict[str, Path]:
    """All models, by the names that stand for them."""
    return {n: p for n, p in (home.named("models") | SHIPPED).items() if p.exists()}

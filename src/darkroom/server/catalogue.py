"""Our own API: what there is to choose from, and how the server is doing."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

import darkroom.families.grids  # noqa: F401  they join the registry
from darkroom.diffusion.grids import GRIDS
from darkroom.diffusion.samplers import SAMPLERS
from darkroom.server import names
from darkroom.server.desk import OurDesk
from darkroom.server.shapes import PROBLEMS
from darkroom.studio import home
from darkroom.studio.expanding import known_styles
from darkroom.studio.guides import GUIDES
from darkroom.studio.models import family_or_trouble
from darkroom.text.styles import Style

HANGING = ("loras", "embeddings", "controlnets", "ip_adapters")
"""The kinds of files that a client can hang on a model."""

router = APIRouter(prefix="/api", tags=["what there is"], responses=PROBLEMS)


class ModelTold(BaseModel):
    """A model by its name; ``is_default`` is what those get who name none."""

    name: str
    family: str
    is_default: bool


class SamplerTold(BaseModel):
    """A way from noise to a picture; ``label`` is what other tools call it."""

    name: str
    label: str
    order: int
    calls: int
    stochastic: bool
    when: str


class SchedulerTold(BaseModel):
    """A way to spread steps."""

    name: str
    label: str
    when: str


class GuideTold(BaseModel):
    """A way to follow the prompt; ``calls`` is how often a step asks the network."""

    name: str
    calls: int
    when: str


class StyleTold(BaseModel):
    """Words to lay around a prompt."""

    name: str
    prompt: str
    negative: str


@router.get("/models")
def models(desk: OurDesk) -> list[ModelTold]:
    """The models that a wish can name."""
    return [
        ModelTold(name=name, family=family, is_default=name == desk.settings.model)
        for name, family in families().items()
    ]


@router.get("/samplers")
def samplers() -> list[SamplerTold]:
    """The samplers that a wish can name."""
    return [
        SamplerTold(
            name=s.name, label=s.label, order=s.order, calls=s.calls, stochastic=s.stochastic, when=s.when
        )
        for s in SAMPLERS.values()
    ]


@router.get("/schedulers")
def schedulers() -> list[SchedulerTold]:
    """The schedulers that a wish can name."""
    return [SchedulerTold(name=g.name, label=g.label, when=g.when) for g in GRIDS.values()]


@router.get("/guides")
def guides() -> list[GuideTold]:
    """The guides that a wish can name."""
    return [GuideTold(name=g.name, calls=g.calls, when=g.when) for g in GUIDES.values()]


@router.get("/styles")
def styles() -> list[StyleTold]:
    """The styles that a wish can name."""
    return [StyleTold(**style._asdict()) for style in own_styles().values()]


@router.get("/files")
def files() -> dict[str, list[str]]:
    """LoRAs, embeddings, ControlNets and IP-Adapters that a wish can name."""
    return {kind: sorted(home.named(kind)) for kind in HANGING}


@router.get("/limits")
def limits(desk: OurDesk) -> dict[str, Any]:
    """How much one may ask for."""
    ours = {"body": desk.settings.body, "upload_pixels": desk.settings.pixels}
    return asdict(desk.service.limits) | ours


@router.get("/load")
def load(desk: OurDesk) -> dict[str, float]:
    """What the server is doing."""
    return {name: float(value) for name, value in desk.service.load().items()}


def families() -> dict[str, str]:
    """What each model is, by its name; of one that cannot be read, "unknown"."""
    found = {name: family_or_trouble(path) for name, path in names.models().items()}
    return {name: "unknown" if family.startswith("?") else family for name, family in found.items()}


def own_styles() -> Mapping[str, Style]:
    """The user's own styles; none where there is no file of them."""
    return known_styles() if home.styles().is_file() else {}

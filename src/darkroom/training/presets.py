"""The sizes of the starter and of the runs that make it: what a CPU can train, and what a GPU can."""

from dataclasses import dataclass, replace

from darkroom.data.scenes.words import spelling
from darkroom.data.scenes.world import World, full_world, small_world
from darkroom.errors import UnknownName
from darkroom.networks.autoencoder import AutoencoderConfig
from darkroom.networks.dit import DiTConfig


@dataclass(frozen=True)
class Preset:
    """The sizes of one starter and of the runs that make it."""

    world: World
    side: int
    autoencoder: AutoencoderConfig
    network: DiTConfig
    text_depth: int
    text_length: int
    autoencoder_steps: int
    autoencoder_batch: int
    steps: int
    batch: int
    rate: float
    workers: int
    device: str
    compile: tuple[str, ...]
    reward_steps: int
    lesson_steps: int
    vocabulary_captions: int = 30_000


def preset(name: str) -> Preset:
    """``cpu``: two cores, two hours, the small world at 128 pixels; ``gpu``: one large GPU, half an hour, the
    whole world at 256; ``smoke``: seconds, to see that every part turns. Raises UnknownName for another.
    """
    presets = {"cpu": _cpu, "gpu": _gpu, "smoke": _smoke}
    if name not in presets:
        raise UnknownName("preset", name, presets)
    return presets[name]()


def _spelling(world: World, longest: int) -> World:
    """The world with letters at random on nine signs in ten, and more of the coloured boards, which take
    longer to learn than white ones: each colour mixes with letters in its own way.
    """
    return replace(world, words=world.words + spelling(longest), plain_signs=0.3)


def _cpu() -> Preset:
    return Preset(
        world=_spelling(small_world(), 4),
        side=128,
        autoencoder=AutoencoderConfig(),
        network=DiTConfig(channels=48),
        text_depth=2,
        text_length=36,
        autoencoder_steps=8000,
        autoencoder_batch=16,
        steps=12_000,
        batch=32,
        rate=1e-3,
        workers=1,
        device="cpu",
        compile=("",),
        reward_steps=1300,
        lesson_steps=4000,
    )


def _gpu() -> Preset:
    return Preset(
        world=_spelling(full_world(), 6),
        side=256,
        autoencoder=AutoencoderConfig(channels=64, widths=(96, 192, 384), depths=(2, 3, 3)),
        network=DiTConfig(channels=64, width=512, depth=10, heads=8, text_width=384),
        text_depth=4,
        text_length=64,
        autoencoder_steps=3000,
        autoencoder_batch=256,
        steps=7000,
        batch=256,
        rate=1e-3,
        workers=14,
        device="cuda",
        compile=("",),
        reward_steps=2000,
        lesson_steps=2000,
    )


def _smoke() -> Preset:
    return Preset(
        world=small_world(),
        side=64,
        autoencoder=AutoencoderConfig(8, (16, 32, 64), (0, 0, 0)),
        network=DiTConfig(channels=8, width=64, depth=2, heads=2, text_width=64),
        text_depth=1,
        text_length=64,
        autoencoder_steps=8,
        autoencoder_batch=4,
        steps=8,
        batch=8,
        rate=1e-3,
        workers=0,
        device="cpu",
        compile=(),
        reward_steps=2,
        lesson_steps=4,
        vocabulary_captions=200,
    )

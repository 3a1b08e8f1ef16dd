"""Tuning a starter by its own pictures: what a judge finds right becomes likelier.

Negative-aware fine-tuning (Zheng et al. 2025, DiffusionNFT, arXiv 2509.16117). Its loss of the policy draws
velocities towards good pictures and away from bad ones. With one update a picture, the policy that painted is
the one that learns, and the gradient is that of the velocity loss on each picture times its advantage, which
is computed here. What the painter said before holds it, so that pictures look as they did: that asks for
nothing as long as nothing has changed, where a loss on true pictures would be mostly noise.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from darkroom.data.scenes.captions import exact_caption
from darkroom.data.scenes.chance import chance, philox
from darkroom.data.scenes.dataset import SceneDataset
from darkroom.data.scenes.graph import Scene
from darkroom.data.scenes.skills import scene_about
from darkroom.diffusion.grids import trailing
from darkroom.diffusion.noise import Philox
from darkroom.diffusion.samplers import dpmpp_2m, sample
from darkroom.errors import DarkroomError, UnknownName
from darkroom.evaluation.findings import Findings
from darkroom.evaluation.judge import TUTOR, Judge
from darkroom.evaluation.judge import load as load_judge
from darkroom.evaluation.requirements import Requirement, Spelled
from darkroom.evaluation.told import requirements_of
from darkroom.families.starter import Painter, Starter
from darkroom.text.tokenizer import Tokenizer
from darkroom.training.ema import Decay
from darkroom.training.optimizer import LearningRate, OptimizerRecipe
from darkroom.training.painter import SHEET_PROMPTS, held_losses, sample_sheet
from darkroom.training.pictures import to_pixels
from darkroom.training.presets import Preset, preset
from darkroom.training.recipe import Batch, Recipe, generator, mix
from darkroom.training.starter import train_on

if TYPE_CHECKING:
    from PIL.Image import Image

PROMPTS, PICTURES = 16, 8
"""Prompts a step, and pictures of each, which are compared with each other."""

STEPS = 8
"""Sampling steps of a picture, without guidance: what guidance adds, the painter is to learn."""

BEST_AND_WORST, REPEATS, KEPT = 48, 3, 32
"""What a step learns from: own pictures of the largest advantages, at so many times each. And what it is only
to keep: some of them at times from all alike, as drawings are to stay crisp, half of those without a prompt,
which is what guidance compares with."""

HOLD, KEEP = 0.2, 0.1
"""What the square of a velocity's way from what it was weighs: where it learns, and where it is to keep."""

FURTHEST = 3.0
"""What the loss of a wrong picture counts at most: several times that of a right one."""

SPREAD = 0.4
"""The difference of a picture's reward from its prompt's mean that counts in full."""

# How often each skill is practised: what is right nearly always, or nearly never, teaches little.
SKILLS = (
    ("one", 0.01),
    ("two", 0.02),
    ("count", 0.22),
    ("colour", 0.09),
    ("position", 0.04),
    ("stack", 0.04),
    ("depth", 0.06),
    ("three", 0.08),
    ("mixed", 0.18),
    ("arrangement", 0.06),
    ("worn", 0.07),
    ("held", 0.01),
    ("crowd", 0.07),
    ("word", 0.05),
)
_EXACT, _COUNTS, _THING = 5, 6, 7  # the streams of draws: captions, whether they count, what they are about


@dataclass(frozen=True)
class Practice:
    """Prompts to paint with what must be seen: exact captions of ``scenes``, so what is held out stays so.

    Half of the crowds are told without their number, as people speak of crowds. Half of the scenes are about
    the kind ``thing``, where there is one to dwell on. Prompts (P, L) and prompt letters (P, L, slots);
    wanted, a list of requirements a prompt.
    """

    scenes: SceneDataset
    tokenizer: Tokenizer
    length: int
    thing: str | None = None

    def __call__(self, step: int) -> Batch:
        numbers = range(step * PROMPTS, (step + 1) * PROMPTS)
        told = [self.scene(i) for i in numbers]
        counts = [chance(philox(self.scenes.seed, i, _COUNTS), 0.5) for i in numbers]
        captions = [
            exact_caption(scene, philox(self.scenes.seed, i, _EXACT), count)
            for i, scene, count in zip(numbers, told, counts, strict=True)
        ]
        tokens = self.tokenizer.encode(captions, self.length)
        return {
            "prompts": tokens.words,
            "prompt letters": tokens.letters,
            "wanted": [
                tuple(requirements_of(scene, count, strictly=True))
                for scene, count in zip(told, counts, strict=True)
            ],
        }

    def scene(self, index: int) -> Scene:
        """The index-th scene of the practice."""
        rng = philox(self.scenes.seed, index, _THING)
        if self.thing and chance(rng, 0.5):
            return scene_about(rng, self.scenes.world, self.thing)
        return self.scenes.scene(index)


class RewardLoss:
    """The loss of a step: the painter paints, the judge looks, and velocities are weighed by its verdicts.

    Own pictures are learnt from at the times where the caption decides. Near the picture a velocity's error
    is that of x0 over a small time; to be drawn away from it, without end, tears the painter apart.
    """

    def __init__(self, start: Starter, judge: Judge, seed: int) -> None:
        self.start, self.judge, self.seed = start, judge, seed
        self.decoder = start.autoencoder.eval().requires_grad_(False).to(judge.device)
        self.before = copy.deepcopy(start.painter).eval().requires_grad_(False).to(judge.device)

    def __call__(self, network: nn.Module, batch: Batch, step: int) -> dict[str, Tensor]:
        """``practice`` on own pictures, the share of those that were ``right``, how far it drifts there, and
        where it is to be ``kept``.
        """
        assert isinstance(network, Painter)
        draw = generator(self.seed, step, batch["prompts"].device)
        told = [batch[part].repeat_interleave(PICTURES, 0) for part in ("prompts", "prompt letters")]
        own = painted(network, told[0], told[1], self.start, draw)
        earned = rewards(self.judge, to_pixels(self.decoder.decode(own)), batch["wanted"])
        gains = advantages(earned).flatten().to(own)
        rows = gains.abs().topk(min(BEST_AND_WORST, len(gains))).indices.repeat(REPEATS)
        shown, count = torch.cat([rows, rows[:KEPT]]), len(rows)
        nothing = self._nothing(told[0])
        told = [torch.cat([part[shown[: -len(to)]], to]) for part, to in zip(told, nothing, strict=True)]
        losses, ways = held_losses(
            lambda x, time, cond: network(*told, x, time),
            lambda x, time, cond: self.before(*told, x, time),
            own[shown],
            draw,
            any_time=(torch.arange(len(shown), device=own.device) >= count).float(),
        )
        practice = practised(losses[:count], gains[rows]).mean()
        drift, kept = ways[:count].mean(), ways[count:].mean()
        loss, right = practice + HOLD * drift + KEEP * kept, (earned == 1).float().mean()
        return {"loss": loss, "practice": practice, "drift": drift, "kept": kept, "right": right}

    def sheet(self, network: nn.Module, step: int) -> "Image":
        """Pictures of fixed prompts."""
        return sample_sheet(Starter(self.start.config, cast(Painter, network), self.decoder), SHEET_PROMPTS)

    def _nothing(self, words: Tensor) -> list[Tensor]:
        """The tokens of empty prompts, for half of what is kept."""
        tokens = self.start.tokenizer.encode([""] * (KEPT // 2), words.shape[1])
        return [torch.from_numpy(part).to(words.device) for part in (tokens.words, tokens.letters)]


def reward(
    name: str,
    start: Starter,
    *,
    skill: str | None = None,
    thing: str | None = None,
    steps: int | None = None,
    seed: int = 0,
) -> Recipe:
    """The recipe that tunes the painter of ``start``, a starter of the preset's sizes.

    ``skill`` is practised as much as all others together; half of what is practised is about the kind
    ``thing``. Raises UnknownName for a skill or thing that there is not, and DarkroomError where the judge
    does not know what the preset's world shows.
    """
    chosen = preset(name)
    length = steps or chosen.reward_steps
    loss = RewardLoss(start, judge_of(chosen), seed)
    skills = dwelling_on(skill) if skill else SKILLS
    if thing and thing not in chosen.world.kinds:
        raise UnknownName("thing", thing, chosen.world.kinds)
    scenes = SceneDataset(replace(chosen.world, skills=skills), mix("practice", seed))
    return Recipe(
        name="-".join(["reward", *filter(None, (skill, thing))]),
        build=lambda: copy.deepcopy(start.painter).requires_grad_(True),
        batch=Practice(scenes, start.tokenizer, chosen.text_length, thing),
        loss=loss,
        steps=length,
        batch_size=PROMPTS * PICTURES,
        seed=seed,
        optimizer=OptimizerRecipe(rate=learning_rate(chosen, length), betas=(0.9, 0.98)),
        ema=(Decay(0.99),),
        sheet=loss.sheet,
        sheet_every=max(50, length // 8),
        checkpoint_every=100,
        keep=4,  # to go back to, where practice goes astray
        workers=chosen.workers,
        device=chosen.device,
        compile=("text", "network") if chosen.compile else (),
        data={"vocabulary": start.tokenizer.vocabulary, "world": chosen.world},
    )


def train_reward(
    name: str,
    out: Path,
    *,
    start: Path | None = None,
    skill: str | None = None,
    thing: str | None = None,
    steps: int | None = None,
    seed: int = 0,
    **how: Any,
) -> Path:
    """Tune the starter in the file ``start``, as :func:`~darkroom.training.starter.train_on`."""

    def make(begun: Starter) -> Recipe:
        return reward(name, begun, skill=skill, thing=thing, steps=steps, seed=seed)

    dwelt = (f" --skill {skill}" if skill else "") + (f" --thing '{thing}'" if thing else "")
    about = {"tuned by": f"darkroom train reward{dwelt} --preset {name}"}
    return train_on(name, out, start, "reward", make, about, **how)


def dwelling_on(skill: str) -> tuple[tuple[str, float], ...]:
    """`SKILLS` with half of all practice on one of them. Raises UnknownName for what is none of them."""
    weights = dict(SKILLS)
    if skill not in weights:
        raise UnknownName("skill", skill, weights)
    weights[skill] = sum(weights.values()) - weights[skill]
    return tuple(weights.items())


def judge_of(chosen: Preset) -> Judge:
    """The judge of a preset's pictures. Raises DarkroomError where it does not know what they show."""
    judge = load_judge(TUTOR)
    unknown = sorted(set(chosen.world.kinds) - set(judge.config.kinds))
    if unknown:
        raise DarkroomError(
            f"the judge that ships does not know {len(unknown)} kinds of things of this preset, such as "
            f"'{unknown[0]}'; reward tuning is for the preset 'cpu' so far."
        )
    return judge.to(chosen.device)


def learning_rate(chosen: Preset, steps: int) -> LearningRate:
    """A fifth of the painter's, falling linearly over the second half."""
    return LearningRate(peak=chosen.rate / 5, warmup=min(20, steps // 4), decay=steps // 2, shape="linear")


def painted(
    network: Painter, words: Tensor, letters: Tensor, start: Starter, draw: torch.Generator
) -> Tensor:
    """The network's own latents of tokenized prompts (B, L), without guidance: (B, C, H, W)."""
    device, process = words.device, Starter.process
    shape = start.latent_shape(start.config.side, start.config.side)
    noise = torch.randn((len(words), *shape), generator=draw, device=device)
    half = torch.is_autocast_enabled(device.type)  # its cache would keep weights that take no gradient
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=half, cache_enabled=False):
        cond = network.text(words, letters)
        return sample(
            dpmpp_2m(noise, trailing(process.schedule, STEPS), Philox((), ())),
            lambda x, level: process.denoise(network.network, x, level, cond).float(),
        )


def rewards(judge: Judge, pictures: np.ndarray, wanted: Sequence[Sequence[Requirement]]) -> Tensor:
    """What each picture (P * K, H, W, 3) of P prompts earns: (P, K), 1 if it is right, 0.2 with one fault.

    The fewer faults, the more, so that pictures of a prompt that is never right differ; a word that is nearly
    right is less than a fault.
    """
    with torch.autocast(judge.device.type, enabled=False):
        seen = judge.look(pictures)
    each = len(seen) // len(wanted)
    faults = torch.tensor([faults_of(wanted[i // each], one) for i, one in enumerate(seen)])
    return (1 / (1 + 4 * faults)).unflatten(0, (-1, each))


def faults_of(wanted: Sequence[Requirement], seen: Findings) -> float:
    """How many faults a picture has; a wrong word is a part of one, as its letters are wrong."""
    return sum(_faults(requirement, seen) for requirement in wanted)


def _faults(requirement: Requirement, seen: Findings) -> float:
    if not isinstance(requirement, Spelled):
        return float(len(list(requirement.faults(seen))))
    said = [sign.word or "" for sign in seen.of(("sign",))]
    return 1 - max((SequenceMatcher(None, word, requirement.word).ratio() for word in said), default=0.0)


def practised(losses: Tensor, gains: Tensor) -> Tensor:
    """The loss of own pictures (N,) with gains in [-1, 1]: what is to be left pushes less the further it is.

    Without that bound a painter that has left a wrong picture is pushed on, ever harder.
    """
    return gains * torch.where(gains > 0, losses, losses / (1 + losses / FURTHEST))


def advantages(earned: Tensor) -> Tensor:
    """How much better each of a prompt's pictures is than their mean, in [-1, 1]: (P, K) -> (P, K)."""
    return ((earned - earned.mean(1, keepdim=True)) / SPREAD).clamp(-1, 1)

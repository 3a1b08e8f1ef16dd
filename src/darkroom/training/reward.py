"""Tuning a starter by its own pictures: what a judge finds right becomes likelier.

Negative-aware fine-tuning (Zheng et al. 2025, DiffusionNFT, arXiv 2509.16117). Its loss of the policy draws
velocities towards good pictures and away from bad ones. With one update a picture, the policy that painted is
the one that learns, and the gradient is that of the velocity loss on each picture times its advantage, which
is computed here. True pictures beside them keep pictures looking as they should.
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
from darkroom.data.scenes.chance import philox
from darkroom.data.scenes.dataset import SceneDataset
from darkroom.diffusion.grids import trailing
from darkroom.diffusion.noise import Philox
from darkroom.diffusion.samplers import dpmpp_2m, sample
from darkroom.errors import DarkroomError
from darkroom.evaluation.findings import Findings
from darkroom.evaluation.judge import TUTOR, Judge
from darkroom.evaluation.judge import load as load_judge
from darkroom.evaluation.requirements import Requirement, Spelled
from darkroom.evaluation.told import requirements_of
from darkroom.families.starter import Painter, Starter
from darkroom.training.ema import Decay
from darkroom.training.loop import train, weights
from darkroom.training.optimizer import LearningRate, OptimizerRecipe
from darkroom.training.painter import ANY_TIME, SHEET_PROMPTS, sample_sheet, velocity_losses
from darkroom.training.pictures import CaptionedPictures, to_pixels, to_signal
from darkroom.training.presets import Preset, preset
from darkroom.training.recipe import Batch, Recipe, generator, mix
from darkroom.training.starter import beginning, export, history

if TYPE_CHECKING:
    from PIL.Image import Image

PROMPTS, PICTURES = 16, 8
"""Prompts a step, and pictures of each, which are compared with each other."""

STEPS = 8
"""Sampling steps of a picture, without guidance: what guidance adds, the painter is to learn."""

TRUE_ROWS, BEST_AND_WORST, REPEATS = 32, 48, 2
"""What a step learns from: true pictures, and own ones of the largest advantages, at so many times each."""

OWN_WEIGHT = 3.0
"""What the mean over own pictures weighs beside that over true ones."""

SPREAD = 0.4
"""The difference of a picture's reward from its prompt's mean that counts in full."""

# How often each skill is practised: what is right nearly always, or nearly never, teaches little.
SKILLS = (
    ("one", 0.02),
    ("two", 0.03),
    ("count", 0.10),
    ("colour", 0.13),
    ("position", 0.02),
    ("stack", 0.05),
    ("depth", 0.09),
    ("three", 0.08),
    ("mixed", 0.14),
    ("arrangement", 0.08),
    ("worn", 0.12),
    ("held", 0.03),
    ("crowd", 0.06),
    ("word", 0.05),
)
_EXACT = 5  # the stream of draws for captions


@dataclass(frozen=True)
class Practice:
    """Batches of true pictures, as ``true`` makes them, and prompts to paint with what must be seen.

    Besides ``true``'s: prompts (P, L) and prompt letters (P, L, slots); wanted, a list of requirements a
    prompt. Prompts are exact captions of training's own scenes: what is held out stays so.
    """

    true: CaptionedPictures
    seed: int

    @property
    def scenes(self) -> SceneDataset:
        """The scenes to practise, others than those of true pictures."""
        return SceneDataset(replace(self.true.dataset.world, skills=SKILLS), mix("practice", self.seed))

    def __call__(self, step: int) -> Batch:
        scenes = self.scenes
        numbers = range(step * PROMPTS, (step + 1) * PROMPTS)
        told = [scenes.scene(i) for i in numbers]
        captions = [
            exact_caption(scene, philox(scenes.seed, i, _EXACT))
            for i, scene in zip(numbers, told, strict=True)
        ]
        tokens = self.true.tokenizer.encode(captions, self.true.length)
        return self.true(step) | {
            "prompts": tokens.words,
            "prompt letters": tokens.letters,
            "wanted": [tuple(requirements_of(scene)) for scene in told],
        }


class RewardLoss:
    """The loss of a step: the painter paints, the judge looks, and velocities are weighed by its verdicts.

    Own pictures are learnt from at the times where the caption decides. Near the picture a velocity's error
    is that of x0 over a small time; to be drawn away from it, without end, tears the painter apart.
    """

    def __init__(self, start: Starter, judge: Judge, seed: int) -> None:
        self.start, self.judge, self.seed = start, judge, seed
        self.decoder = start.autoencoder.eval().requires_grad_(False).to(judge.device)

    def __call__(self, network: nn.Module, batch: Batch, step: int) -> dict[str, Tensor]:
        """``velocity`` of true pictures, ``practice`` of own ones, and the share of those that were right."""
        assert isinstance(network, Painter)
        draw = generator(self.seed, step, batch["picture"].device)
        words, letters = (
            batch[part].repeat_interleave(PICTURES, 0) for part in ("prompts", "prompt letters")
        )
        own = painted(network, words, letters, self.start, draw)
        earned = rewards(self.judge, to_pixels(self.decoder.decode(own)), batch["wanted"])
        gains = advantages(earned).flatten().to(own)
        rows = gains.abs().topk(min(BEST_AND_WORST, len(gains))).indices.repeat(REPEATS)
        x0 = torch.cat([self._latents(batch["picture"]), own[rows]])
        told = torch.cat([batch["words"], words[rows]]), torch.cat([batch["letters"], letters[rows]])
        uniform = torch.where(torch.arange(len(x0), device=x0.device) < TRUE_ROWS, ANY_TIME, 0.0)
        each = velocity_losses(lambda x, time, _: network(*told, x, time), x0, draw, uniform)
        velocity, practice = each[:TRUE_ROWS].mean(), practised(each[TRUE_ROWS:], gains[rows]).mean()
        right = (earned == 1).float().mean()
        loss = velocity + OWN_WEIGHT * practice
        return {"loss": loss, "velocity": velocity, "practice": practice, "right": right}

    def sheet(self, network: nn.Module, step: int) -> "Image":
        """Pictures of fixed prompts."""
        return sample_sheet(Starter(self.start.config, cast(Painter, network), self.decoder), SHEET_PROMPTS)

    def _latents(self, pictures: Tensor) -> Tensor:
        with torch.no_grad(), torch.autocast(pictures.device.type, enabled=False):
            return self.decoder.encode(to_signal(pictures))


def reward(name: str, start: Starter, *, steps: int | None = None, seed: int = 0) -> Recipe:
    """The recipe that tunes the painter of ``start``, a starter of the preset's sizes.

    Raises DarkroomError where the judge does not know what the preset's world shows.
    """
    chosen = preset(name)
    length = steps or chosen.reward_steps
    loss = RewardLoss(start, judge_of(chosen), seed)
    true = CaptionedPictures(
        SceneDataset(chosen.world, seed),
        chosen.side,
        TRUE_ROWS,
        chosen.text_length,
        start.tokenizer,
        chosen.autoencoder.downscale,
    )
    return Recipe(
        name="reward",
        build=lambda: copy.deepcopy(start.painter).requires_grad_(True),
        batch=Practice(true, seed),
        loss=loss,
        steps=length,
        batch_size=TRUE_ROWS + PROMPTS * PICTURES,
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
    )


def train_reward(
    name: str,
    out: Path,
    *,
    start: Path | None = None,
    steps: int | None = None,
    seed: int = 0,
    **how: Any,
) -> Path:
    """Tune the starter in the file ``start`` in ``out`` and write ``out/starter.safetensors``; returns that.

    The same call carries on; ``how`` is as in :func:`darkroom.training.loop.train`. Raises what it raises,
    and DarkroomError without a ``start`` and for one of other sizes than the preset's.
    """
    begun = beginning(name, out, start)
    if begun is None:
        raise DarkroomError("name the starter to tune with --from, such as: --from starter.")
    recipe, run = reward(name, begun, steps=steps, seed=seed), out / "reward"
    train(recipe, run, **how)
    about = history(name, recipe, run, begun) | {"tuned by": f"darkroom train reward --preset {name}"}
    config = replace(begun.config, about=about)
    return export(Starter(config, cast(Painter, weights(run, recipe)), begun.autoencoder), out)


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
    return gains * torch.where(gains > 0, losses, losses / (1 + losses))


def advantages(earned: Tensor) -> Tensor:
    """How much better each of a prompt's pictures is than their mean, in [-1, 1]: (P, K) -> (P, K)."""
    return ((earned - earned.mean(1, keepdim=True)) / SPREAD).clamp(-1, 1)

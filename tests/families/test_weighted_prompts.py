"""Prompt syntax in whole pictures: ours, and diffusers' from embeddings made here by published formulas."""

import warnings

import numpy as np
import pytest
import torch

pytest.importorskip("diffusers")
pytest.importorskip("transformers")
from tests.families import tiny

from darkroom.studio.develop import develop
from darkroom.studio.request import Request

SEED, SIDE, STEPS = 3, 64, 6
SCALE = 20.0  # words must count: a network that never learnt hardly hears them
START, END = 49406, 49407


@pytest.fixture(scope="module")
def pipe():
    from diffusers import DDIMScheduler

    pipe = tiny.sd1()
    pipe.scheduler = DDIMScheduler(**tiny.SD_SCHEDULER, set_alpha_to_one=False, clip_sample=False)
    return pipe


@pytest.fixture(scope="module")
def ours(pipe, tmp_path_factory):
    """The picture of a prompt, (H, W, 3) of 0 to 255."""
    folder = tiny.save(pipe, tmp_path_factory.mktemp("model"))
    size = {"width": SIDE, "height": SIDE, "steps": STEPS, "cfg_scale": SCALE}
    how = {"sampler": "ddim", "scheduler": "ddim_original", "noise": "torch", "seed": SEED, **size}

    def make(prompt, **settings):
        return develop(Request(prompt=prompt, model=str(folder), **how, **settings)).images[0].astype(float)

    return make


# ---- references


def ids_of(pipe, text):
    return pipe.tokenizer(text, add_special_tokens=False, truncation=False, verbose=False).input_ids


def encoded(pipe, ids):
    """The hidden states (1, 77, D) of up to 75 tokens, framed and filled up."""
    framed = [START, *ids, *[END] * (76 - len(ids))]
    return pipe.text_encoder(torch.tensor([framed])).last_hidden_state


def embedded(pipe, *fragments, how="plain"):
    """Fragments of (text, weight) in one chunk.

    A1111 multiplies and gives the mean back ("original" emphasis); "plain" is its "no norm"; ComfyUI moves
    away from what the empty prompt has in each place.
    """
    told = [(token, weight) for text, weight in fragments for token in ids_of(pipe, text)]
    hidden = encoded(pipe, [token for token, _ in told])
    weights = torch.tensor([1.0, *(w for _, w in told), *[1.0] * (76 - len(told))])[None, :, None]
    if how == "comfy":
        empty = encoded(pipe, [])
        return empty + weights * (hidden - empty)
    weighed = hidden * weights
    return weighed * (hidden.mean() / weighed.mean()) if how == "a1111" else weighed


def theirs(pipe, told, untold=None, scale=SCALE, **settings):
    """The pipeline's picture for embeddings of a prompt and a negative prompt."""
    if untold is None and scale != 1:
        untold = embedded(pipe).repeat(1, told.shape[1] // 77, 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = pipe(
            prompt_embeds=told,
            negative_prompt_embeds=untold,
            guidance_scale=scale,
            num_inference_steps=STEPS,
            generator=torch.Generator().manual_seed(SEED),
            height=SIDE,
            width=SIDE,
            output_type="np",
            **settings,
        )
    return made.images[0] * 255


@torch.no_grad()
def by_hand(pipe, answer):
    """The picture of a DDIM loop; ``answer(eps)`` asks the U-Net with ``eps(embeddings)``."""
    side = SIDE // 8
    x = torch.randn(1, 4, side, side, generator=torch.Generator().manual_seed(SEED))
    pipe.scheduler.set_timesteps(STEPS)
    for t in pipe.scheduler.timesteps:
        eps = answer(lambda told, x=x, t=t: pipe.unet(x, t, encoder_hidden_states=told).sample)
        x = pipe.scheduler.step(eps, t, x).prev_sample
    made = pipe.vae.decode(x / pipe.vae.config.scaling_factor).sample[0]
    return ((made / 2 + 0.5).clamp(0, 1) * 255).permute(1, 2, 0).numpy()


def check(made, expected, most=1.0):
    assert made.std() > 10
    assert np.abs(made - expected).max() <= most


# ---- weights

WEIGHTED = "a (cat:2.5) on a mat"
CAT = (("a ", 1.0), ("cat", 2.5), (" on a mat", 1.0))


@pytest.mark.parametrize("how", ["a1111", "comfy", "plain"])
def test_weights(pipe, ours, how):
    check(ours(WEIGHTED, emphasis=how), theirs(pipe, embedded(pipe, *CAT, how=how)))


def test_without_emphasis_brackets_are_brackets(pipe, ours):
    check(ours(WEIGHTED, emphasis="none"), theirs(pipe, embedded(pipe, (WEIGHTED, 1.0))))


def test_every_emphasis_makes_another_picture(ours):
    made = [ours(WEIGHTED, emphasis=how) for how in ("a1111", "comfy", "plain", "none")]
    made.append(ours("a cat on a mat"))
    for i, one in enumerate(made):
        assert all(np.abs(one - other).max() > 2 for other in made[:i])


def test_without_weights_every_emphasis_is_the_same(ours):
    plain = ours("a cat on a mat")
    assert all((ours("a cat on a mat", emphasis=how) == plain).all() for how in ("comfy", "plain", "none"))


def test_nested_weights_in_both_dialects(pipe, ours):
    prompt = "((cat:1.5) mat) [dog]"
    a1111 = (("cat", 1.5 * 1.1), (" mat", 1.1), ("dog", 1 / 1.1))
    comfy = (("cat", 1.5), (" mat", 1.1), (" [dog]", 1.0))
    check(ours(prompt), theirs(pipe, embedded(pipe, *a1111, how="a1111")))
    check(ours(prompt, emphasis="comfy"), theirs(pipe, embedded(pipe, *comfy, how="comfy")))


def test_weights_in_the_negative_prompt(pipe, ours):
    untold = embedded(pipe, ("blurred", 1.4), how="a1111")
    check(ours("a cat", negative="(blurred:1.4)"), theirs(pipe, embedded(pipe, ("a cat", 1.0)), untold))


# ---- chunks

LONG = " ".join(["red", "cat", "dog", "mat", "house"] * 40)


def chunks(pipe, text):
    ids = ids_of(pipe, text)
    return torch.cat([encoded(pipe, ids[i : i + 75]) for i in range(0, len(ids), 75)], dim=1)


def test_a_prompt_of_200_tokens(pipe, ours):
    told = chunks(pipe, LONG)
    assert told.shape[1] == 3 * 77
    check(ours(LONG), theirs(pipe, told))
    assert np.abs(ours(LONG) - ours(LONG[: LONG.index("house") + 5])).max() > 2


def test_break(pipe, ours):
    told = torch.cat([embedded(pipe, ("a cat", 1.0)), embedded(pipe, ("a dog", 1.0))], dim=1)
    check(ours("a cat BREAK a dog"), theirs(pipe, told))


@pytest.mark.parametrize("longer", ["prompt", "negative"])
def test_neither_prompt_is_filled_up_to_the_other(pipe, ours, longer):
    """Each is asked by itself with its own length, as A1111 does unless told to pad."""
    short, long = embedded(pipe, ("a cat", 1.0)), chunks(pipe, LONG)
    words, told, untold = ("a cat", short, long) if longer == "negative" else (LONG, long, short)
    negative = LONG if longer == "negative" else "a cat"
    expected = by_hand(pipe, lambda eps: eps(untold) + SCALE * (eps(told) - eps(untold)))
    check(ours(words, negative=negative), expected)


# ---- on the way


def test_words_that_change_half_way(pipe, ours):
    cat, dog = (embedded(pipe, (word, 1.0)) for word in ("a cat", "a dog"))

    def switch(pipe, step, _, tensors):
        if step + 1 == STEPS // 2:
            tensors["prompt_embeds"] = torch.cat([embedded(pipe), dog])
        return tensors

    given = {"callback_on_step_end": switch, "callback_on_step_end_tensor_inputs": ["prompt_embeds"]}
    made = ours("a [cat:dog:0.5]")
    check(made, theirs(pipe, cat, embedded(pipe), **given))
    assert all(np.abs(made - ours(f"a {word}")).max() > 2 for word in ("cat", "dog"))


def test_words_that_take_turns(pipe, ours):
    told = [embedded(pipe, (word, 1.0)) for word in ("a cat", "a dog")]
    empty, asked = embedded(pipe), []

    def answer(eps):
        asked.append(eps)
        return eps(empty) + SCALE * (eps(told[(len(asked) - 1) % 2]) - eps(empty))

    check(ours("a [cat|dog]"), by_hand(pipe, answer))


def test_prompts_joined_by_and(pipe, ours):
    cat, dog, empty = (embedded(pipe, (words, 1.0)) for words in ("a cat", "a dog", ""))

    def answer(eps):
        nothing = eps(empty)
        return nothing + SCALE * (eps(cat) - nothing + 0.4 * (eps(dog) - nothing))

    # two differences, each twenty times: there the rounding of kernels shows
    check(ours("a cat AND a dog:0.4"), by_hand(pipe, answer), most=2.5)

"""Guides beyond plain guidance: each is the formula of its paper, and plain where its scale says so."""

import pytest
import torch
from bench.mixture import GaussianMixture
from bench.sampler_orders import PATHS, TWO_PEAKS, even
from hypothesis import given, settings
from hypothesis import strategies as st

from darkroom.diffusion.grids import Grid, karras, trailing
from darkroom.diffusion.guidance import (
    apg,
    autoguidance,
    cfg,
    cfg_plus_plus,
    cfg_zero_star,
    composition,
    guided,
    perturbed_attention,
    together,
    unguided,
)
from darkroom.diffusion.levels import VE, VP, Flow, Level
from darkroom.diffusion.noise import Philox
from darkroom.diffusion.samplers import ddim, euler, sample

X = torch.arange(2 * 3 * 4 * 4, dtype=torch.float64).reshape(2, 3, 4, 4).sin()
LEVEL = Flow().at(torch.tensor([0.2, 0.8], dtype=torch.float64))
YES, NO, OTHER = 2.0, -1.0, 0.5


class Network:
    """Answers by condition and network, and remembers in which tuples it was asked."""

    def __init__(self):
        self.asked = []

    def __call__(self, queries):
        self.asked.append([query.cond if query.network is None else query.network for query in queries])
        return [answer(query.x, self.asked[-1][i]) for i, query in enumerate(queries)]


def answer(x, cond):
    return torch.tanh(x * cond) + cond


def found(guide, level=LEVEL):
    network = Network()
    return guided(guide, network)(X, level), network.asked


def rows(x):
    return x.flatten(1)


# ---- linear guides


@pytest.mark.parametrize("scale", [0.0, 1.0, 7.5])
def test_a_composition_of_one_prompt_is_that_prompt(scale):
    one, asked = found(composition([(YES, 1.0)], NO, scale))
    torch.testing.assert_close(one, scale * answer(X, YES) + (1 - scale) * answer(X, NO))
    assert asked == [[NO, YES]]


def test_and_adds_what_each_prompt_adds_and_not_takes_it_away():
    empty, yes, other = (answer(X, cond) for cond in (NO, YES, OTHER))
    one, asked = found(composition([(YES, 0.8), (OTHER, -0.3)], NO, 5.0))
    torch.testing.assert_close(one, empty + 5 * (0.8 * (yes - empty) - 0.3 * (other - empty)))
    assert asked == [[NO, YES, OTHER]]


def test_composition_on_a_mixture_is_the_product_of_its_parts():
    """With Gaussians that all have variance 1 the product p(x) * prod (p_i(x) / p(x)) has a mean in closed
    form, and so has its score: composing at scale 1 denoises it exactly (arXiv 2206.01714)."""

    def peak(mean):
        one = torch.ones(1, dtype=torch.float64)
        return GaussianMixture(one, one[:, None] * mean, one)

    queries = {None: peak(0.3), "a": peak(1.0), "b": peak(-2.0)}
    guide = composition([("a", 1.0), ("b", 1.0)], None, 1.0)
    level = VP.linear().at(torch.tensor(0.4, dtype=torch.float64))
    x = torch.linspace(-2, 2, 5, dtype=torch.float64)[:, None]
    denoise = guided(guide, lambda asked: [queries[q.cond].denoise(q.x, q.level) for q in asked])
    torch.testing.assert_close(denoise(x, level), peak(1.0 - 2.0 - 0.3).denoise(x, level))


def test_autoguidance_asks_another_network_the_same():
    one, asked = found(autoguidance(YES, OTHER, 3.0))
    torch.testing.assert_close(one, answer(X, OTHER) + 3 * (answer(X, YES) - answer(X, OTHER)))
    assert asked == [[YES, OTHER]]
    torch.testing.assert_close(found(autoguidance(YES, OTHER, 1.0))[0], answer(X, YES))


def test_perturbed_attention_pushes_away_from_the_blind_answer():
    one, asked = found(perturbed_attention(YES, NO, OTHER, 4.0, lambda level: 3 * level.sigma))
    yes, no, blind = (answer(X, cond) for cond in (YES, NO, OTHER))
    push = 3 * LEVEL.sigma[:, None, None, None]
    torch.testing.assert_close(one, no + 4 * (yes - no) + push * (yes - blind))
    assert asked == [[YES, NO, OTHER]]
    torch.testing.assert_close(found(perturbed_attention(YES, NO, OTHER, 1.0, 0.0))[0], yes)


# ---- projected guidance


def test_apg_with_nothing_taken_away_is_cfg():
    plain, _ = found(cfg(YES, NO, 6.0))
    torch.testing.assert_close(found(apg(YES, NO, 6.0, parallel=1.0, largest=1e9))[0], plain)
    torch.testing.assert_close(found(apg(YES, NO, 1.0))[0], answer(X, YES))


def test_apg_adds_only_what_stands_across_the_answer():
    moved = rows(found(apg(YES, NO, 6.0))[0] - answer(X, YES))
    assert ((moved * rows(answer(X, YES))).sum(1).abs() < 1e-10).all()
    assert (moved.norm(dim=1) > 0.1).all()


def test_apg_cuts_long_differences():
    moved = rows(found(apg(YES, NO, 6.0, parallel=1.0, largest=0.25))[0] - answer(X, YES))
    torch.testing.assert_close(moved.norm(dim=1), torch.full((2,), 5 * 0.25, dtype=torch.float64))


def test_apg_remembers_the_differences_before():
    guide, network = apg(YES, NO, 2.0, parallel=1.0, largest=1e9, momentum=-0.5), Network()
    denoise, apart = guided(guide, network), answer(X, YES) - answer(X, NO)
    for share in (1.0, 0.5, 0.75):
        torch.testing.assert_close(denoise(X, LEVEL), answer(X, YES) + share * apart)


# ---- CFG-Zero*


@pytest.mark.parametrize("scale", [0.0, 1.0, 5.0])
def test_cfg_zero_star_is_its_formula_in_velocities(scale):
    t = LEVEL.sigma[:, None, None, None]
    wanted, unwanted = ((X - answer(X, cond)) / t for cond in (YES, NO))  # eps - x0 on a flow
    best = (rows(wanted) * rows(unwanted)).sum(1) / rows(unwanted).square().sum(1)
    best = best[:, None, None, None] * unwanted
    velocity = best + scale * (wanted - best)
    torch.testing.assert_close(found(cfg_zero_star(YES, NO, scale))[0], X - t * velocity)


def test_cfg_zero_star_starts_at_rest_without_asking():
    guide = cfg_zero_star(YES, NO, 5.0, zero_above=0.96)
    grid = trailing(Flow(), 20)
    network = Network()
    denoise = guided(guide, network)
    sampling = euler(X, grid, None)
    x, level = next(sampling)
    x, level = sampling.send(denoise(x, level))
    torch.testing.assert_close(x, X, rtol=1e-14, atol=1e-14)
    assert network.asked == [[]]
    denoise(x, level)
    assert network.asked == [[], [YES, NO]]


# ---- CFG++


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("scale", [0.0, 0.6, 1.0])
def test_cfg_plus_plus_is_algorithm_2(path, scale):
    """DDIM whose new noise is the negative answer's, step by step: here on a known mixture."""
    grid = even(PATHS[path], 12, (1.0, 0.0))
    towards = GaussianMixture(*(torch.tensor(v, dtype=torch.float64) for v in ([1.0], [[0.7]], [0.3])))
    denoisers = {YES: towards, NO: TWO_PEAKS}
    x = expected = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None] * grid.start.sigma
    for t, s in grid.steps():
        wanted, unwanted = (denoisers[cond].denoise(expected, t) for cond in (YES, NO))
        eps = (expected - t.alpha * unwanted) / t.sigma
        expected = s.alpha * (unwanted + scale * (wanted - unwanted)) + s.sigma * eps
    guide = cfg(YES, NO, cfg_plus_plus(scale, grid))
    denoise = guided(guide, lambda asked: [denoisers[q.cond].denoise(q.x, q.level) for q in asked])
    for method in (euler, ddim):
        torch.testing.assert_close(sample(method(x, grid, None), denoise), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("schedule", [Flow(), VP.linear(), VE()], ids=["flow", "vp", "ve"])
def test_cfg_plus_plus_knows_its_step_in_single_precision_too(schedule):
    grid = karras(schedule, 15)
    scale = cfg_plus_plus(0.6, grid)
    for i in range(15):
        single = Level(*(part.float() for part in grid.levels.rows(i)))
        assert scale(single).item() == pytest.approx(scale(grid.levels.rows(i)).item(), rel=1e-3)


def test_cfg_plus_plus_with_a_grid_for_each_row():
    times = torch.tensor([[1.0, 0.8], [0.5, 0.3], [0.0, 0.1]], dtype=torch.float64)
    both = cfg_plus_plus(0.6, Grid(Flow(), Flow().at(times)))
    for row in range(2):
        alone = cfg_plus_plus(0.6, Grid(Flow(), Flow().at(times[:, row])))
        for i in range(2):
            assert both(Flow().at(times[i]))[row] == alone(Flow().at(times[i, row]))


def test_cfg_plus_plus_on_one_grid_for_rows_at_levels_of_their_own():
    grid = Grid(Flow(), Flow().at(torch.linspace(1, 0, 5, dtype=torch.float64)))
    scale = cfg_plus_plus(0.6, grid)
    for rows in (3, 5):
        times = torch.linspace(1, 0.2, rows, dtype=torch.float64)
        alone = [scale(Flow().at(time)) for time in times]
        torch.testing.assert_close(scale(Flow().at(times)), torch.stack(alone))


# ---- side by side, and row by row


def test_guides_side_by_side_are_asked_in_one_tuple():
    def twice(x, level):
        first = yield from unguided(YES)(x, level)
        second = yield from cfg(OTHER, NO, 3.0)(x, level)
        return first - second

    def both(x, level):
        one, two, three = yield from together([twice(x, level), unguided(NO)(x, level), rest(x, level)])
        return one + two + three

    def rest(x, level):
        yield ()
        return 0 * x

    one, asked = found(both)
    expected = answer(X, YES) - (3 * answer(X, OTHER) - 2 * answer(X, NO)) + answer(X, NO)
    torch.testing.assert_close(one, expected)
    assert asked == [[YES, NO], [OTHER, NO]]


GUIDES = {
    "cfg": lambda: cfg(YES, NO, 4.0, rescale=0.5),
    "composition": lambda: composition([(YES, 1.0), (OTHER, 0.5)], NO, 4.0),
    "autoguidance": lambda: autoguidance(YES, OTHER, 2.0),
    "perturbed attention": lambda: perturbed_attention(YES, NO, OTHER, 4.0, 3.0),
    "apg": lambda: apg(YES, NO, 4.0),
    "cfg zero star": lambda: cfg_zero_star(YES, NO, 4.0),
}


@pytest.mark.parametrize("name", GUIDES)
@given(st.floats(0.001, 1), st.floats(0.001, 1))
@settings(max_examples=8)
def test_rows_are_guided_as_if_alone(name, t, s):
    level = Flow().at(torch.tensor([t, s], dtype=torch.float64))
    both, _ = found(GUIDES[name](), level)
    for row in range(2):
        alone = guided(GUIDES[name](), Network())(X[row : row + 1], level.rows(slice(row, row + 1)))
        torch.testing.assert_close(both[row : row + 1], alone, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", GUIDES)
@pytest.mark.parametrize("schedule", [Flow(), VP.linear().zero_terminal(), VE()], ids=["flow", "vp", "ve"])
def test_guides_are_regular_from_pure_noise_to_the_clean_signal(name, schedule):
    guide = GUIDES[name]()
    for t in (1.0, 0.5, 0.0):
        one, _ = found(guide, schedule.at(torch.tensor(t)))
        assert one.isfinite().all()
        zero = guided(GUIDES[name](), lambda asked: [torch.zeros_like(q.x) for q in asked])
        assert zero(torch.zeros(1, 2, 2, 2), schedule.at(torch.tensor(t))).isfinite().all()


def test_guidance_on_a_mixture_pulls_as_its_formula_says():
    """Samples of cfg at scale 2 on Gaussians of one variance are those of p_yes**2 / p_no: another Gaussian.

    Exactly so only where the two have noised densities whose ratio is itself a noised density; with equal
    variances the guided denoiser is that of a Gaussian around 2 * yes - no.
    """

    def peak(mean):
        one = torch.ones(1, dtype=torch.float64)
        return GaussianMixture(one, one[:, None] * mean, 0.5 * one)

    known, grid = {YES: peak(1.0), NO: peak(-0.5)}, trailing(Flow(), 40)
    x = Philox((1,), (64, 1), dtype=torch.float64)(0)[0]
    denoise = guided(cfg(YES, NO, 2.0), lambda asked: [known[q.cond].denoise(q.x, q.level) for q in asked])
    torch.testing.assert_close(
        sample(euler(x, grid, None), denoise), sample(euler(x, grid, None), peak(2.5).denoise)
    )

"""What stays, what goes and what comes block by block: a table of plans, and what is true of all."""

from dataclasses import replace

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from darkroom.errors import DarkroomError
from darkroom.studio.placement.budget import (
    NETWORK,
    PHASES,
    TEXT,
    VAE,
    Budget,
    Plan,
    Size,
    Working,
    held,
    phase_of,
    plan,
    spread,
)

XL = {
    "unet": Size(200, (100,) * 49),
    "vae": Size(170),
    "text_encoder": Size(90, (10,) * 16),
    "text_encoder_2": Size(90, (40,) * 32),
}
"""About Stable Diffusion XL in MB: 5100, 170, 250, 1370."""
FLUX = {
    "transformer": Size(1000, (680,) * 19 + (280,) * 38),
    "vae": Size(170),
    "text_encoder": Size(250),
    "text_encoder_2": Size(260, (385,) * 24),
}
"""About FLUX.1 in MB: 24560, 170, 250, 9500."""
WORKING = Working({TEXT: 100, NETWORK: 1000, VAE: 2300}, {1024: 2300, 512: 700})

TABLE = {
    "all of XL": (XL, 9300, XL.keys(), {}, None),
    "XL without its text": (XL, 8000, {"unet", "vae"}, {}, None),
    "XL, each part alone": (XL, 6200, set(), {}, None),
    "XL, its U-Net without a few blocks": (XL, 5800, set(), {"unet": 5}, None),
    "XL where its autoencoder just fits": (XL, 2470, set(), {"unet": 39}, None),
    "XL in tiles": (XL, 2469, set(), {"unet": 39}, 512),
    "FLUX on a large machine": (FLUX, 40_000, FLUX.keys(), {}, None),
    "FLUX, its text dropped": (FLUX, 34_700, {"transformer", "vae"}, {}, None),
    "FLUX, each part alone": (FLUX, 26_000, set(), {}, None),
    "FLUX on 20": (FLUX, 20_000, set(), {"transformer": 17}, None),
    "FLUX on 8": (FLUX, 8_000, set(), {"transformer": 45, "text_encoder_2": 7}, None),
}


def going(sizes: dict[str, Size], made: Plan) -> dict[str, int]:
    return {part: len(blocks) for part, blocks in made.streams.items()}


def peak_of(sizes: dict[str, Size], working: Working, made: Plan) -> int:
    """What a plan takes, reckoned anew from its words."""
    peaks = []
    for phase in PHASES:
        there = 0
        for part, size in sizes.items():
            if part in made.stays:
                there += size.total
            elif phase_of(part) == phase:
                blocks = made.streams.get(part, ())
                there += size.rest + sum(one for i, one in enumerate(size.blocks) if i not in blocks)
                there += 2 * max((size.blocks[i] for i in blocks), default=0)
        peaks.append(there + working.of(phase, made.tile))
    return max(peaks)


@pytest.mark.parametrize(("sizes", "nbytes", "stays", "streams", "tile"), TABLE.values(), ids=TABLE)
def test_the_table_of_plans(sizes, nbytes, stays, streams, tile):
    made = plan(sizes, WORKING, Budget(nbytes))
    assert made.stays == set(stays) and made.tile == tile
    assert going(sizes, made) == streams
    assert made.peak == peak_of(sizes, WORKING, made) <= nbytes


def test_sparing_keeps_nothing_and_leaves_pictures_as_they_are():
    for sizes, nbytes in ((XL, 10**6), (FLUX, 10**6), (XL, 2470)):
        made = plan(sizes, WORKING, Budget(nbytes, sparing=True))
        assert not made.stays and made.tile is None
        assert all(len(made.streams.get(part, ())) == len(size.blocks) for part, size in sizes.items())


def test_without_a_bound_everything_stays():
    made = plan(FLUX, WORKING, Budget())
    assert made.stays == FLUX.keys() and not made.streams and made.tile is None


def test_a_budget_that_is_too_small_is_one_sentence_with_what_would_do():
    gib = 2**30
    sizes = {"unet": Size(gib, (gib, gib)), "vae": Size(gib)}
    working = Working({NETWORK: gib, VAE: 9 * gib}, {512: gib})
    with pytest.raises(DarkroomError, match=r"needs 4\.0 GiB of memory and 3\.5 GiB are free") as error:
        plan(sizes, working, Budget(3.5 * gib))
    assert "\n" not in str(error.value)
    assert plan(sizes, working, Budget(4 * gib)).peak == 4 * gib


def test_the_blocks_that_go_are_evenly_spread():
    assert spread((1,) * 9, 6) == (0, 3, 6)
    assert spread((1,) * 9, 0) == tuple(range(9)) and spread((1,) * 9, -5) == tuple(range(9))
    assert spread((1,) * 9, 9) == () and spread((), 5) == ()


sizes = st.dictionaries(
    st.sampled_from(("unet", "vae", "text_encoder", "text_encoder_2")),
    st.builds(Size, st.integers(0, 50), st.lists(st.integers(1, 50), max_size=8).map(tuple)),
    min_size=1,
)
workings = st.builds(
    lambda one, two, three: Working({TEXT: one, NETWORK: two, VAE: three}, {512: three // 3}),
    *[st.integers(0, 60)] * 3,
)


@given(sizes, workings, st.integers(0, 900), st.booleans())
def test_every_plan_keeps_to_its_budget_and_says_its_peak(sizes, working, nbytes, sparing):
    try:
        made = plan(sizes, working, Budget(nbytes, sparing))
    except DarkroomError:
        least = {part: Size(size.rest, size.blocks) for part, size in sizes.items()}
        small = Plan(frozenset(), {part: tuple(range(len(size.blocks))) for part, size in least.items()}, 512)
        assert peak_of(sizes, replace(working, tiles={512: working.of(VAE, 512)}), small) > nbytes
        return
    assert made.peak == peak_of(sizes, working, made) <= nbytes
    assert not made.stays or not made.streams


ONE_TILE_OR_WHOLE = ({"unet": Size(1)}, Working({VAE: 2}, {512: 0}), 1, 1)
"""With 1 the network stays and the autoencoder works in tiles; with 2 it sees the picture whole, alone."""


@example(*ONE_TILE_OR_WHOLE)
@given(sizes, workings, st.integers(0, 900), st.integers(0, 300))
def test_more_memory_never_cuts_smaller_nor_lets_more_go(sizes, working, nbytes, more):
    try:
        little = plan(sizes, working, Budget(nbytes))
    except DarkroomError:
        assume(False)
    much = plan(sizes, working, Budget(nbytes + more))
    if much.tile != little.tile:  # the whole picture comes before what stays, as tiles alone change a picture
        assert little.tile is not None and (much.tile is None or much.tile > little.tile)
        return
    assert little.stays <= much.stays
    for part, size in sizes.items():
        assert held(size, much.streams.get(part, ())) >= 0
        blocks = [sum(size.blocks[i] for i in one.streams.get(part, ())) for one in (little, much)]
        if part not in little.stays:
            assert blocks[1] <= blocks[0] + max(size.blocks, default=0)

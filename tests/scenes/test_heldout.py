"""What training never shows is fixed, never leaks, and is all that evaluation asks for."""

import pytest

from darkroom.data.scenes.chance import philox
from darkroom.data.scenes.heldout import NEVER, SHARES, combinations_of, held_out, is_held_out, kinds_shown
from darkroom.data.scenes.own_colours import OWN_COLOURS, called
from darkroom.data.scenes.skills import SKILLS, evaluation_scenes, sample_scene
from darkroom.data.scenes.words import WORDS
from darkroom.data.scenes.world import full_world, small_world


def test_no_held_out_combination_in_20000_training_scenes() -> None:
    world = small_world()
    for i in range(20_000):
        scene = sample_scene(philox(3, i), world)
        assert not any(held_out(combination) for combination in combinations_of(scene)), i


def test_the_shares_are_as_stated() -> None:
    kinds, colours = full_world().kinds, full_world().colours
    pairs = [("pair", a, b) for a in kinds for b in kinds if a < b]
    painted = [("colour", kind, colour) for kind in kinds for colour in colours]
    for name, all_ in {"pair": pairs, "colour": painted, "word": [("word", w) for w in WORDS]}.items():
        assert sum(map(held_out, all_)) / len(all_) == pytest.approx(SHARES[name], rel=0.15)


def test_the_choice_is_the_same_everywhere() -> None:
    # written out, so that a change of the hash, the seed or the shares cannot pass unseen
    assert [w for w in WORDS if len(w) == 2 and held_out(("word", w))] == ["GO", "IF", "IN", "IT", "ME", "MY"]
    assert [c for c in full_world().colours if held_out(("colour", "car", c))] == ["orange", "white"]


def test_the_parts_of_the_hard_prompts_may_be_learnt() -> None:
    assert not any(map(held_out, NEVER))
    assert ("word", "OPEN") in NEVER and "OPEN" in small_world().words


@pytest.mark.parametrize("skill", sorted(SKILLS))
def test_evaluation_asks_for_what_training_never_shows(skill: str) -> None:
    scenes = evaluation_scenes(small_world(), skill, 40, seed=1)
    assert scenes == evaluation_scenes(small_world(), skill, 40, seed=1)
    assert scenes[:20] == evaluation_scenes(small_world(), skill, 20, seed=1)
    assert len(set(scenes)) == 40
    for scene in scenes:
        assert scene.skill == skill
        assert is_held_out(scene) or not list(combinations_of(scene))
    assert sum(map(is_held_out, scenes)) >= 20


def test_worn_and_held_things_count() -> None:
    scene = next(
        s for i in range(50) if (s := sample_scene(philox(0, i), small_world(), "held")).things[0].held
    )
    held = scene.things[0].held
    assert held is not None and held[0] in kinds_shown(scene.things)
    assert ("colour", *held) in set(combinations_of(scene))


def test_what_is_held_out_is_not_shown_in_a_things_own_colour_either() -> None:
    for kind, colour in OWN_COLOURS.items():
        assert not held_out(("colour", kind, colour))
    for i in range(3000):
        for thing in sample_scene(philox(4, i), small_world()).things:
            if colour := called(thing.kind, thing.colour):
                assert not held_out(("colour", thing.kind, colour)), i

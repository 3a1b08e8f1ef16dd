"""What a picture must show: true pictures are right, and each kind of fault is found and told."""

from dataclasses import replace

import pytest

from darkroom.data.scenes.chance import philox
from darkroom.data.scenes.graph import Box
from darkroom.data.scenes.own_colours import OWN_COLOURS, called
from darkroom.data.scenes.skills import SKILLS, draw
from darkroom.data.scenes.world import full_world, small_world
from darkroom.evaluation.breaks import broken
from darkroom.evaluation.findings import Finding, Findings, truth
from darkroom.evaluation.requirements import (
    Around,
    Arranged,
    Group,
    Held,
    Only,
    Placed,
    Spelled,
    Verdict,
    Worn,
    check,
)
from darkroom.evaluation.told import hard, requirements_of

LEFT, RIGHT = Box(0.1, 0.4, 0.3, 0.6), Box(0.6, 0.4, 0.8, 0.6)


def found(*things: Finding, **around: str) -> Findings:
    return Findings(things, **around)


@pytest.mark.parametrize("world", [small_world(), full_world()], ids=["small", "full"])
@pytest.mark.parametrize("skill", SKILLS)
def test_the_truth_about_a_scene_is_right_and_the_truth_about_a_broken_one_is_wrong(skill, world):
    for i in range(25):
        scene = draw(philox(11, i), world, skill)
        requirements = requirements_of(scene)
        assert requirements
        assert check(requirements, truth(scene)) == Verdict(True)
        wrong = check(requirements, truth(broken(scene, world, philox(12, i))))
        assert not wrong.right and wrong.reasons


def test_a_crowd_that_was_not_counted_may_be_of_any_number():
    for i in range(25):
        scene = draw(philox(14, i), small_world(), "crowd")
        seen, wanted = truth(scene), requirements_of(scene, counts=False)
        colours = [thing.held[1] for thing in scene.things if thing.held]
        (odd,) = [c for c in colours if colours.count(c) == 1]
        of_odd = next(t for t in seen.things if t.colour == odd and t.kind in {"umbrella", "balloon"})
        usual = next(t for t in seen.things if t.kind == of_odd.kind and t is not of_odd)
        assert check(wanted, seen).right
        if len(colours) > 3:
            fewer = [thing for thing in scene.things if thing.held and thing.held[1] != odd][1:]
            rest = tuple(thing for thing in scene.things if thing is not fewer[0])
            assert check(wanted, truth(replace(scene, things=rest, relations=()))).right
            assert check(wanted, found(*(t for t in seen.things if t is not usual))).reasons == (
                f"1 of the people without {usual.kind}",
            )
        assert not check(wanted, found(*(t for t in seen.things if t is not of_odd))).right
        recoloured = replace(usual, colour=odd)
        assert not check(wanted, found(*(t for t in seen.things if t is not usual), recoloured)).right


@pytest.mark.parametrize("skill", SKILLS)
def test_an_empty_picture_is_wrong(skill):
    scene = draw(philox(13, 0), small_world(), skill)
    assert not check(requirements_of(scene), found()).right


def test_a_number_told_exactly_allows_no_more_and_a_name_alone_does():
    apples = [Finding("apple", Box(x, 0.4, x + 0.1, 0.5), "red") for x in (0.1, 0.3, 0.5)]
    exact, some = Group(("apple",), None, 2, exactly=True), Group(("apple",), None, 2)
    assert check([exact, some], found(*apples[:2])).right
    assert check([some], found(*apples)).right
    assert check([exact], found(*apples)).reasons == ("3 apples, not 2 apples",)
    assert check([some], found(apples[0])).reasons == ("1 apple, not 2 apples",)


def test_strictly_one_means_one():
    """ "a balloon above a house" is no picture of two houses."""
    for skill in ("two", "position", "stack", "depth", "three"):
        scene = draw(philox(17, 0), small_world(), skill)
        seen, more = truth(scene), replace(truth(scene).things[0], box=Box(0.9, 0.9, 0.98, 0.98))
        assert check(requirements_of(scene, strictly=True), seen).right
        assert not check(requirements_of(scene, strictly=True), found(*seen.things, more)).right


def test_colours_are_bound_to_their_things():
    told = [Group(("cube",), "red"), Group(("sphere",), "blue"), Only(("cube",), ("red",))]
    right = found(Finding("cube", LEFT, "red"), Finding("sphere", RIGHT, "blue"))
    swapped = found(Finding("cube", LEFT, "blue"), Finding("sphere", RIGHT, "red"))
    assert check(told, right).right
    assert check(told, swapped).reasons == (
        "no red cube",
        "no blue sphere",
        "a blue cube, not red",
    )


def test_a_thing_left_in_its_own_colour_has_the_one_that_people_see():
    assert called("apple", None) == "red" and called("apple", "blue") == "blue"
    assert called("cube", None) == "grey" and called("panda", None) is None
    assert set(OWN_COLOURS) <= set(full_world().kinds)


def test_positions_hold_for_every_pair():
    cats, dog = Group(("cat",), None, 2), Group(("dog",))
    left = [Finding("cat", Box(0.1, y, 0.3, y + 0.2)) for y in (0.1, 0.6)]
    place = Placed(cats, "left of", dog)
    assert check([place], found(*left, Finding("dog", RIGHT))).right
    stray = replace(left[1], box=Box(0.82, 0.6, 0.98, 0.8))
    assert check([place], found(left[0], stray, Finding("dog", RIGHT))).reasons == (
        "the cats not left of the dog",
    )
    assert not check([place], found(*left)).right, "without the other thing there is no relation"


def test_of_too_many_the_surest_are_meant():
    place = Placed(Group(("cat",)), "left of", Group(("dog",)))
    faint = Finding("cat", Box(0.85, 0.4, 0.95, 0.6), score=0.4)
    assert check([place], found(faint, Finding("cat", LEFT), Finding("dog", RIGHT))).right


def test_clothes_must_be_on_the_right_head():
    pig, man = Finding("pig", LEFT), Finding("man", RIGHT)
    crown = Finding("crown", Box(0.12, 0.3, 0.28, 0.42))
    assert check([Worn(Group(("crown",)), Group(("pig",)))], found(pig, man, crown)).right
    assert check([Worn(Group(("crown",)), Group(("man",)))], found(pig, man, crown)).reasons == (
        "the crown not worn by the man",
    )


def test_who_wears_what_others_wear_too_is_wrong():
    """ "a lion wearing sunglasses and a bear wearing a crown": not both on both."""
    for i in range(200):
        scene = draw(philox(15, i), small_world(), "worn")
        if len({thing.worn for thing in scene.things}) == 2:
            break
    wanted, (first, second, *_) = requirements_of(scene), scene.things
    both = (*first.worn, *second.worn)
    dressed = replace(scene, things=(replace(first, worn=both), replace(second, worn=both)))
    assert check(wanted, truth(scene)).right and not check(wanted, truth(dressed)).right


def test_what_is_held_in_another_colour_besides_is_wrong():
    scene = next(
        scene for i in range(99) if (scene := draw(philox(16, i), small_world(), "held")).things[0].held[1]
    )
    wanted, seen = requirements_of(scene), truth(scene)
    kind, colour = scene.things[0].held
    other = Finding(kind, Box(0.05, 0.05, 0.15, 0.15), "blue" if colour != "blue" else "red")
    assert check(wanted, seen).right
    assert check(wanted, found(*seen.things, other)).reasons == (f"a {other.colour} {kind}, not {colour}",)


def test_what_is_held_belongs_to_the_nearest_person():
    boy, girl = Finding("boy", Box(0.1, 0.4, 0.3, 0.7)), Finding("girl", Box(0.35, 0.4, 0.55, 0.7))
    heart = Finding("heart", Box(0.52, 0.5, 0.62, 0.6), "red")
    assert check([Held(Group(("heart",), "red"), Group(("girl",)))], found(boy, girl, heart)).right
    assert not check([Held(Group(("heart",), "red"), Group(("boy",)))], found(boy, girl, heart)).right
    assert not check([Held(Group(("heart",), "red"), Group(("girl",)))], found(heart)).right


def test_a_word_must_be_spelled_to_the_letter():
    sign = Finding("sign", LEFT, word="OPEN")
    assert check([Spelled("OPEN")], found(sign)).right
    assert check([Spelled("OPEN")], found(replace(sign, word="OPN"))).reasons == (
        "the sign says OPN, not OPEN",
    )
    assert check([Spelled("OPEN")], found()).reasons == ("no sign",)


def test_a_figure_needs_all_its_things():
    cats = [Finding("cat", Box(x, y, x + 0.2, y + 0.2)) for x, y in ((0.4, 0.2), (0.27, 0.45), (0.53, 0.45))]
    figure = Arranged(Group(("cat",), None, 3), "pyramid")
    assert check([figure], found(*cats)).right
    assert not check([figure], found(*cats[:2])).right


def test_ground_and_light_are_judged_where_they_are_required():
    assert check([Around(ground="beach")], found(ground="beach", light="day")).right
    assert check([Around(light="rain")], found(ground="beach", light="day")).reasons == (
        "day around, not rain",
    )


def test_every_hard_prompt_is_wrong_for_an_empty_picture_and_names_only_what_there_is():
    assert len(hard()) == 8
    for requirements in (*hard().values(), *hard(strictly=True).values()):
        assert not check(requirements, found()).right


TABLE = Box(0.1, 0.6, 0.3, 0.9)
HARD = {
    "three apples, two red and one green, on the left of a book": (
        *(Finding("apple", Box(0.1, y, 0.2, y + 0.1), "red") for y in (0.1, 0.4)),
        Finding("apple", Box(0.1, 0.7, 0.2, 0.8), "green"),
        Finding("book", RIGHT),
    ),
    "a red cube on top of a blue sphere to the left of a green cylinder": (
        Finding("cube", LEFT, "red"),
        Finding("sphere", TABLE, "blue"),
        Finding("cylinder", Box(0.6, 0.6, 0.8, 0.9), "green"),
    ),
    "a cat wearing sunglasses on a beach": (
        Finding("cat", LEFT),
        Finding("sunglasses", Box(0.15, 0.42, 0.25, 0.48)),
    ),
    "a book on top of a table": (Finding("book", LEFT), Finding("table", TABLE)),
    "a sign that says OPEN": (Finding("sign", LEFT, word="OPEN"),),
}


@pytest.mark.parametrize("prompt", HARD)
def test_strictly_one_means_one_in_the_hard_prompts_too(prompt):
    things = HARD[prompt]
    for thing in (thing for thing in things if thing.kind != "apple"):
        more = found(*things, replace(thing, box=Box(0.9, 0.9, 0.98, 0.98), score=0.4), ground="beach")
        assert check(hard()[prompt], more).right
        assert check(hard(strictly=True)[prompt], found(*things, ground="beach")).right
        assert not check(hard(strictly=True)[prompt], more).right


def test_strictly_a_solid_in_another_colour_besides_is_wrong():
    prompt = "a red cube on top of a blue sphere to the left of a green cylinder"
    more = found(*HARD[prompt], Finding("cube", Box(0.9, 0.9, 0.98, 0.98), "yellow"))
    assert check(hard()[prompt], more).right
    assert check(hard(strictly=True)[prompt], more).reasons == ("a yellow cube, not red",)


def test_strictly_a_crowd_is_of_any_number_still():
    prompt = "a red umbrella in a crowd of people holding black umbrellas in the rain"
    assert hard(strictly=True)[prompt] == hard()[prompt]


def test_the_hardest_prompt_is_right_when_it_is_shown_and_wrong_when_one_umbrella_changes_its_colour():
    prompt = "a red umbrella in a crowd of people holding black umbrellas in the rain"
    people = [Finding("man", Box(x, 0.5, x + 0.15, 0.8)) for x in (0.1, 0.4, 0.7)]
    umbrellas = [
        Finding("umbrella", Box(x, 0.3, x + 0.16, 0.6), colour)
        for x, colour in ((0.1, "black"), (0.4, "red"), (0.7, "black"))
    ]
    assert check(hard()[prompt], found(*people, *umbrellas, light="rain")).right
    umbrellas[0] = replace(umbrellas[0], colour="red")
    assert not check(hard()[prompt], found(*people, *umbrellas, light="rain")).right

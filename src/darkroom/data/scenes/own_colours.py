"""What colour people call a drawing that was left in its own: an apple is red without being asked to be.

Judged by eye. A kind that is missing has several colours, or none that all would agree on.
"""

from .catalogue import CATALOGUE

_BY_COLOUR = {
    "red": """apple, strawberry, tomato, chilli, teapot, rose, car, racing car, scarf, high heel, backpack,
        book, balloon, heart, guitar, drum, telephone, alarm clock, crayon, flag""",
    "orange": "crab, butterfly, maple leaf, sailing boat, tent, fire",
    "yellow": "cat, flower, scooter, lock, pencil, bell, lightning bolt",
    "green": "turtle, snake, lizard, pear, bell pepper, tree, jigsaw piece",
    "blue": "bird, fish, dolphin, cap, shirt, dress, coat, shorts, running shoe, bucket, droplet",
    "purple": "umbrella, blouse, party hat",
    "pink": "tulip, purse, octopus",
    "brown": "doughnut, boot, bag, chair, door, vase, feather, table, shelf",
    "black": "top hat",
    "white": "cup, candle, cloud, sign",
    "grey": "elephant",
}
OWN_COLOURS = {kind.strip(): colour for colour, kinds in _BY_COLOUR.items() for kind in kinds.split(",")}


def called(kind: str, colour: str | None) -> str | None:
    """The colour that people see in a thing painted ``colour`` (None: as it is drawn), where there is one.

    >>> called("apple", None), called("apple", "blue"), called("panda", None)
    ('red', 'blue', None)
    """
    if colour is not None or kind in OWN_COLOURS:
        return colour or OWN_COLOURS[kind]
    return "grey" if CATALOGUE[kind].group in ("solid", "shape") else None

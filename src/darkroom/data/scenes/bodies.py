"""Which part of each recolourable emoji is its body, found by looking at every one in every colour."""

from .recolour import NEUTRAL, Body

_PALE_BLUE = (Body(220, 50, (0.015, 1.0)),)

BODIES: dict[str, tuple[Body, ...]] = {
    "cat": (Body(eyes=True),),
    "bird": (Body(eyes=True),),
    "fish": (Body(eyes=True),),
    "turtle": (Body(eyes=True),),
    "snake": (Body(eyes=True),),
    "dolphin": (Body(eyes=True),),
    "whale": (Body(eyes=True),),
    "octopus": (Body(eyes=True),),
    "crab": (Body(eyes=True),),
    "dog": (Body(67, 30, (0.01, 0.06), (0.7, 1.1), eyes=True), Body(20, 30, (0.02, 0.08), (0.3, 0.7))),
    "elephant": (Body(0, 180, (-1.0, 0.06), eyes=True),),
    "doughnut": (Body(lightness=(0, 0.62)),),
    "cup": (Body(0, 180, (-1.0, 0.06), (0.6, 1.1)),),
    "mushroom": (Body(width=20),),
    "bus": (Body(230, 60, (0.02, 1.0), (0.48, 0.8)), Body(0, 180, (-1, 0.02), (0.85, 1.1))),
    "van": (Body(0, 180, (-1.0, 0.03), (0.7, 1.1)),),
    "top hat": (NEUTRAL,),
    "hat": (Body(80, 30),),
    "socks": _PALE_BLUE,
    "tie": (Body(55, 35),),
    "house": (Body(85, 40, (0.012, 0.05), (0.6, 1.1)),),
    "present": (Body(70, 22),),
    "bed": (Body(230, 50),),
    "candle": (NEUTRAL,),
    "fire": (Body(width=80),),
    "cloud": (NEUTRAL,),
    "planet": (Body(84, 50, (0.04, 1.0)),),
}

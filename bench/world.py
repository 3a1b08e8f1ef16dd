"""How fast the world is drawn: ``python -m bench.world`` prints pictures a second on one core."""

import argparse
from dataclasses import replace
from itertools import count
from time import perf_counter

from bench.measure import machine, median, table
from darkroom.data.scenes.dataset import SceneDataset
from darkroom.data.scenes.world import STYLES, World, full_world, small_world


def rate(world: World, side: int, pictures: int, rounds: int) -> float:
    """Pictures with captions a second: the median of ``rounds`` runs of ``pictures``, after a warm-up."""
    dataset, number, rates = SceneDataset(world, 1), count(), []
    for _ in range(rounds + 1):
        start = perf_counter()
        for _ in range(pictures):
            dataset.example(next(number), side)
        rates.append(pictures / (perf_counter() - start))
    return median(rates[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=600)
    options = parser.parse_args()
    worlds = {"small": small_world(), "full": full_world()}
    worlds |= {f"full, {style} alone": replace(full_world(), styles=(style,)) for style in STYLES}
    rows = []
    for name, world in worlds.items():
        rates = [rate(world, side, options.pictures, options.rounds) for side in (64, 128, 256)]
        rows.append([name, *(f"{value:.0f}" for value in rates)])
    print(f"{machine()}; one process, pictures with captions a second, medians of {options.rounds} runs.\n")
    print(table(["world", "64 px", "128 px", "256 px"], rows))


if __name__ == "__main__":
    main()

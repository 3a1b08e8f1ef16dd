"""All that docs/samplers.md shows, in one go: ``python -m bench.samplers``."""

import argparse
from pathlib import Path

from bench import sampler_orders, sampler_overhead, sampler_paths, sampler_quality
from bench.sampler_quality import CALLS

QUICK = ("dpmpp_2m", "euler_a")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-skill", type=int, default=8, help="Held-out prompts of each skill.")
    parser.add_argument(
        "--precision", default="float32", help="bfloat16 is faster where the processor has it."
    )
    parser.add_argument("--rounds", type=int, default=15, help="How often the overhead is timed.")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    parser.add_argument(
        "--quick", action="store_true", help="See that all of it works: two samplers, one prompt a skill."
    )
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    names, counts = (QUICK, CALLS[:2]) if chosen.quick else ([], CALLS)
    per_skill, rounds = (1, 2) if chosen.quick else (chosen.per_skill, chosen.rounds)
    print(sampler_orders.report(), end="\n\n")
    print(sampler_paths.draw(chosen.out / "sampler-paths.png"), end="\n\n")
    curves = chosen.out / "sampler-quality.png"
    print(sampler_quality.report(names, per_skill, chosen.precision, curves, counts), end="\n\n")
    print(sampler_overhead.report(rounds))


if __name__ == "__main__":
    main()

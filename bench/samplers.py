"""All that docs/samplers.md shows, in one go: ``python -m bench.samplers``."""

import argparse
from pathlib import Path

from bench import sampler_orders, sampler_overhead, sampler_paths, sampler_quality


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--per-skill", type=int, default=8, help="Held-out prompts of each skill.")
    parser.add_argument(
        "--precision", default="float32", help="bfloat16 is faster where the processor has it."
    )
    parser.add_argument("--rounds", type=int, default=15, help="How often the overhead is timed.")
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    chosen = parser.parse_args()
    print(sampler_orders.report(), end="\n\n")
    print(sampler_paths.draw(chosen.out / "sampler-paths.png"), end="\n\n")
    curves = chosen.out / "sampler-quality.png"
    print(sampler_quality.report([], chosen.per_skill, chosen.precision, curves), end="\n\n")
    print(sampler_overhead.report(chosen.rounds))


if __name__ == "__main__":
    main()

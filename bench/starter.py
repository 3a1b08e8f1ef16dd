"""How fast the starter is: ``python -m bench.starter`` prints docs/performance.md's tables.

Cold start is measured in processes of their own, against ``import torch`` in the same rounds; warm rates in
one process, step counts in turn.
"""

import argparse
import subprocess
import sys
import tempfile
from functools import partial

from bench.measure import alternate, machine, median, table

PROMPT = "two red apples to the left of a book"


def cold(rounds: int) -> str:
    """From nothing to a picture on disk, and what other processes take in the same rounds."""
    with tempfile.TemporaryDirectory() as folder:
        generate = [sys.executable, "-m", "darkroom", "generate", PROMPT, "--seed", "1", "-o", folder]
        actions = {
            "import torch": [sys.executable, "-c", "import torch"],
            "darkroom --help": [sys.executable, "-m", "darkroom", "--help"],
            "darkroom generate, the defaults": generate,
            "darkroom generate --steps 4": [*generate, "--steps", "4"],
        }
        seconds = alternate({name: partial(run, command) for name, command in actions.items()}, rounds)
    base = median(seconds["import torch"])
    rows = [[name, f"{median(s):.2f}", f"{median(s) / base:.2f}"] for name, s in seconds.items()]
    return table(["process", "seconds", "times import torch"], rows)


def run(command: list[str]) -> None:
    """Run a command to its end; raises CalledProcessError when it fails."""
    subprocess.run(command, check=True, capture_output=True)


def warm(rounds: int) -> str:
    """Pictures a second with the model in memory, by steps, guidance and batch."""
    from darkroom.studio.develop import develop
    from darkroom.studio.request import Request

    cases = [(steps, scale, count) for steps in (4, 8, 16) for scale in (1.0, 3.0) for count in (1, 8)]
    actions = {
        case: partial(
            develop, Request(prompt=PROMPT, seed=1, steps=case[0], cfg_scale=case[1], count=case[2])
        )
        for case in cases
    }
    named = {"/".join(map(str, case)): action for case, action in actions.items()}
    seconds = alternate(named, rounds)
    base = median(seconds["16/3.0/1"])
    rows = []
    for steps, scale, count in cases:
        each = median(seconds[f"{steps}/{scale}/{count}"]) / count
        guided = "none" if scale == 1 else f"{scale:g}"
        rows.append([str(steps), guided, str(count), f"{1 / each:.1f}", f"{base / each:.1f}"])
    return table(["steps", "guidance", "batch", "pictures a second", "times 16 steps guided alone"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    print(f"{machine()}; medians of {rounds} rounds, everything in turn.\n")
    print(cold(rounds), warm(rounds), sep="\n\n")


if __name__ == "__main__":
    main()

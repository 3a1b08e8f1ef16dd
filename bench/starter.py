"""How fast the starter is: ``python -m bench.starter`` prints docs/performance.md's tables.

Cold start is measured in processes of their own, against ``import torch`` in the same rounds; warm rates in
one process, step counts in turn. Everything is as a user gets it who sets nothing.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from functools import partial
from time import perf_counter

from bench.measure import alternate, machine, median, table

PROMPT = "two red apples to the left of a book"
PARTS = ("import", "load", "encode", "sample", "decode")
MIB = 2**20


def cold(rounds: int) -> str:
    """From nothing to a picture on disk, and what other processes take in the same rounds."""
    with tempfile.TemporaryDirectory() as folder:
        generate = [sys.executable, "-m", "darkroom", "generate", PROMPT, "--seed", "1", "-o", folder]
        commands = {
            "import torch": [sys.executable, "-c", "import torch"],
            "darkroom --help": [sys.executable, "-m", "darkroom", "--help"],
            "darkroom generate, the defaults": generate,
            "darkroom generate --steps 4": [*generate, "--steps", "4"],
        }
        peaks: dict[str, list[float]] = {name: [] for name in commands}
        actions = {name: partial(run, command, peaks[name]) for name, command in commands.items()}
        seconds = alternate(actions, rounds)
    base = median(seconds["import torch"])
    rows = [
        [name, f"{median(s):.2f}", f"{median(s) / base:.2f}", f"{median(peaks[name]):.0f}"]
        for name, s in seconds.items()
    ]
    return table(["process", "seconds", "times import torch", "peak memory, MiB"], rows)


def run(command: list[str], peaks: list[float]) -> None:
    """Run a command to its end, and note its peak memory; raises RuntimeError when it fails."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{command} failed")
    peaks.append(usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024) / MIB)


def parts(rounds: int) -> str:
    """Where the time of a cold start goes, as the command itself tells."""
    seconds: dict[str, list[float]] = {name: [] for name in (*PARTS, "the rest")}
    with tempfile.TemporaryDirectory() as folder:
        command = [
            sys.executable,
            "-m",
            "darkroom",
            "generate",
            PROMPT,
            "--seed",
            "1",
            "-o",
            folder,
            "--json",
        ]
        for _ in range(rounds):
            begun = perf_counter()
            done = subprocess.run(command, check=True, capture_output=True)
            (one,) = json.loads(done.stdout)["runs"]
            told = one["seconds"]
            whole = perf_counter() - begun
            for name in PARTS:
                seconds[name].append(told[name])
            seconds["the rest"].append(whole - sum(told.values()))
    meaning = {
        "import": "torch and what of ours needs it",
        "load": "the model's file",
        "encode": "the prompt, the first use of the network's operators",
        "sample": "16 guided steps",
        "decode": "latents to pixels",
        "the rest": "Python itself, the command line, the picture's file",
    }
    rows = [[name, f"{median(s):.2f}", meaning[name]] for name, s in seconds.items()]
    return table(["part", "seconds", "what it is"], rows)


def warm(rounds: int) -> str:
    """Pictures a second with the model in memory, by steps, guidance and batch."""
    from darkroom.studio.develop import develop
    from darkroom.studio.request import Request

    cases = [(steps, scale, count) for steps in (4, 8, 20) for scale in (1.0, 3.0) for count in (1, 8)]
    actions = {
        case: partial(
            develop, Request(prompt=PROMPT, seed=1, steps=case[0], cfg_scale=case[1], count=case[2])
        )
        for case in cases
    }
    named = {"/".join(map(str, case)): action for case, action in actions.items()}
    seconds = alternate(named, rounds)
    base = median(seconds["20/3.0/1"])
    rows = []
    for steps, scale, count in cases:
        each = median(seconds[f"{steps}/{scale}/{count}"]) / count
        guided = "none" if scale == 1 else f"{scale:g}"
        rows.append([str(steps), guided, str(count), f"{1 / each:.1f}", f"{base / each:.1f}"])
    return table(["steps", "guidance", "batch", "pictures a second", "times 20 steps guided alone"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    started = cold(rounds)  # before torch is here: a new process is counted with what its parent had
    from darkroom.studio.placement.precision import default_precision

    print(f"{machine()}; {default_precision()}; medians of {rounds} rounds, everything in turn.\n")
    print(started, end="\n\n", flush=True)
    for part in (parts, warm):
        print(part(rounds), end="\n\n", flush=True)


if __name__ == "__main__":
    main()

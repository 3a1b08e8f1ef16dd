"""Models of others at their full size on this machine: ``python -m bench.full_size FOLDER``.

SD 1.5 at 512 pixels, SDXL at 1024 and FLUX.1 at 256, in bf16, with random weights of the published shapes,
which are written into FOLDER first (2, 7 and 34 GB; what is there is used again). Each makes one picture in
a process of its own, from a cold disk, for each setting of ``--memory``. ``--within 8`` lets the process have
8 GiB and no more, by a control group (needs root), the cache of its files included; otherwise it takes what
it likes. Loading is without hashing the files, which is done once a file.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from time import perf_counter

from bench.measure import machine, median, table
from bench.random_models import MODELS, write_model
from darkroom.studio.digests import digest

SIDES = {"SD 1.5": 512, "SDXL": 1024, "FLUX.1 schnell": 256}
GUIDED = {"SD 1.5": 7.0, "SDXL": 5.0, "FLUX.1 schnell": 1.0}
GROUPS = Path("/sys/fs/cgroup")
COLUMNS = [
    "model",
    "side",
    "memory",
    "within, GiB",
    "s to load",
    "s to read the prompt",
    "s the first step",
    "s a later step",
    "s to decode",
    "peak, GiB",
]


def run(name: str, folder: Path, setting: str, steps: int, side: int) -> dict[str, float]:
    """Make one picture here; seconds of each part, and the most that this process had in memory."""
    from darkroom.studio.develop import develop
    from darkroom.studio.request import Progress, Request

    ends: list[float] = []

    def progress(step: Progress) -> None:
        ends.append(perf_counter())

    request = Request(
        prompt="a cat on a beach",
        seed=1,
        model=str(folder),
        width=side,
        height=side,
        steps=steps,
        cfg_scale=GUIDED[name],
        sampler="euler",
        precision="bfloat16",
    )
    seconds = dict(develop(request, progress, setting).seconds)
    later = [after - before for before, after in pairwise(ends)]
    seconds |= {"first": seconds["sample"] - sum(later), "later": median(later) if later else 0.0}
    return seconds | {"peak": peak() / 2**30}


def peak() -> int:
    """The most bytes that this process ever had in memory, pages of files included."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
        return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextmanager
def group(gib: float | None) -> Iterator[Path | None]:
    """A control group that may have so much memory, of either version; None for no bound."""
    if gib is None:
        yield None
        return
    mine = dict(line.split(":", 2)[1:] for line in Path("/proc/self/cgroup").read_text().splitlines())
    first = "memory" in mine
    base = GROUPS / "memory" / mine["memory"].lstrip("/") if first else GROUPS / mine[""].lstrip("/")
    made = base / f"darkroom-{os.getpid()}"
    made.mkdir()
    try:
        (made / ("memory.limit_in_bytes" if first else "memory.max")).write_text(str(int(gib * 2**30)))
        yield made
    finally:
        made.rmdir()


def forget(folder: Path) -> None:
    """Let the system forget the files, so that they are read from the disk, in the group that reads them."""
    for path in folder.rglob("*.safetensors"):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def row(name: str, folder: Path, setting: str, told: argparse.Namespace) -> list[str]:
    """Run it in a process of its own; a row of the table."""
    side = told.side or SIDES[name]
    command = [sys.executable, "-m", "bench.full_size", str(folder), "--run", name, "--memory", setting]
    command += ["--steps", str(told.steps), "--side", str(side)]
    forget(folder)
    with group(told.within) as place:
        join = None if place is None else lambda: (place / "cgroup.procs").write_text(str(os.getpid()))
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, preexec_fn=join)
    start = [name, str(side), setting, f"{told.within:g}" if told.within else ""]
    if done.returncode:
        return [*start, *[""] * 5, "killed" if done.returncode < 0 else "failed"]
    found = json.loads(done.stdout.splitlines()[-1])
    parts = [f"{found[part]:.1f}" for part in ("load", "encode", "first", "later", "decode")]
    return [*start, *parts, f"{found['peak']:.2f}"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", choices=MODELS, nargs="+", default=list(MODELS))
    parser.add_argument("--memory", nargs="+", default=["high", "auto", "low"])
    parser.add_argument("--within", type=float, metavar="GIB")
    parser.add_argument("--side", type=int)
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--run", choices=MODELS, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.run:
        print(json.dumps(run(told.run, told.folder, told.memory[0], told.steps, told.side)))
        return
    folders = {name: write_model(name, told.folder / name) for name in told.only}
    for folder in folders.values():
        digest(folder)
    rows = [row(name, folder, one, told) for name, folder in folders.items() for one in told.memory]
    print(f"{machine()}; bf16, one picture, with guidance but for FLUX.1; {told.steps} steps.\n")
    print(table(COLUMNS, rows))


if __name__ == "__main__":
    main()

"""A service that is killed at random moments, again and again: ``python killed.py FOLDER KILLS JOBS SEED``.

Each round is a child of its own, forked once everything is imported. It hands in every job under the job's
key, as a client would that cannot know what was accepted, and writes down what it was told. The last child
is left in peace until all jobs have ended.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

import darkroom.studio.serving.worker  # noqa: F401  so that children need not import it
from darkroom.studio.request import Request
from darkroom.studio.serving.service import Service

CANCELLED = 9
"""Each so-and-so-many-th job is cancelled as soon as it is accepted."""


def request(number: int) -> Request:
    """Job ``number``: one to three pictures of one to four steps."""
    return Request(
        prompt=f"{number % 5 + 1} apples",
        seed=number,
        count=number % 3 + 1,
        steps=number % 4 + 1,
        width=32,
        height=32,
        sampler=("euler", "heun", "euler_a")[number % 3],
    )


def serve(folder: Path, jobs: int) -> None:
    service = Service(folder)
    service.start()
    accepted = []
    with (folder / "told.txt").open("a", buffering=1) as told:
        for number in range(jobs):
            job = service.submit([request(number)], key=str(number), owner=f"owner {number % 4}")
            told.write(f"accepted {number} {job.id}\n")
            accepted.append(job.id)
            if number % CANCELLED == 0:
                told.write(f"{service.cancel(job.id).status} {number} {job.id}\n")
    for number, job in enumerate(accepted):
        told_status = service.wait(job).status
        with (folder / "told.txt").open("a") as told:
            told.write(f"{told_status} {number} {job}\n")
    os._exit(0)


def main() -> None:
    folder, kills, jobs, seed = Path(sys.argv[1]), *map(int, sys.argv[2:])
    torch.set_num_threads(1)
    folder.mkdir(exist_ok=True)
    rng, killed = random.Random(seed), 0
    for turn in range(kills + 1):
        child = os.fork()
        if not child:
            serve(folder, jobs)
        if turn < kills:
            time.sleep(rng.uniform(0, 0.6))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        killed += os.WIFSIGNALED(status)
        if turn == kills and status:
            sys.exit(f"the last one ended with {status}")
    print(f"killed {killed}")


if __name__ == "__main__":
    main()

"""Twice the work that the service can do, for as long as you like: ``python -m bench.soak --minutes 30``.

Clients of all sorts come without waiting for each other: they watch with previews, cancel, redraw live, hand
in the same job twice, ask for what cannot be had. In the end every accepted job must have ended as it should
with every picture once, every refusal must have been one of ours with a time to come back, and memory must
not have grown. Prints what happened; ends with 1 where something was wrong.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from bench.measure import machine, table
from darkroom.errors import DarkroomError, InvalidRequest
from darkroom.studio.replay import read_record
from darkroom.studio.request import Request
from darkroom.studio.serving.jobs import JobView, NoSuchJob, QueueFull, QuotaReached, Status
from darkroom.studio.serving.limits import Limits
from darkroom.studio.serving.service import Service, resident

OWNERS = ("", "A", "B", "C", "D")
SAMPLERS = ("euler", "dpmpp_2m", "heun", "euler_a")
FASTER_THAN_BORNE = 2.0
CLIENTS = 32
"""Who measure the capacity: so many that passes are as full as they become."""
MEASURING = 0.1
"""Share of the time that the capacity is measured in, before the load is doubled."""
MOST_GROWTH = 0.05
"""Of memory, as a share: from the first half of the load to the second."""


@dataclass
class Findings:
    """What happened; ``wrong`` says what must not."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    pictures: set[str] = field(default_factory=set)
    memory: list[int] = field(default_factory=list)
    waited: list[float] = field(default_factory=list)

    def check(self, true: bool, told: str) -> None:
        """Note what should be true and is not."""
        if not true:
            self.wrong.append(told)


@dataclass
class Soak:
    """One run; ``side`` is that of the pictures, in pixels."""

    service: Service
    side: int
    rng: random.Random
    found: Findings = field(default_factory=Findings)
    ended: int = 0
    _number: int = 0
    _overtaken: set[str] = field(default_factory=set)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)

    def request(self) -> Request:
        """Anything small."""
        rng = self.rng
        return Request(
            prompt=f"a {rng.choice(('red', 'blue'))} {rng.choice(('cat', 'house', 'apple'))}",
            seed=self._number,
            steps=rng.randint(1, 8),
            count=rng.choice((1, 1, 1, 2, 4)),
            cfg_scale=rng.choice((1.0, 3.0)),
            sampler=rng.choice(SAMPLERS),
            width=self.side,
            height=rng.choice((self.side, 2 * self.side)),
        )

    async def client(self) -> None:
        """Ask for a job, and see what becomes of it."""
        self._number += 1
        kind = self.rng.choices(
            ("plain", "watch", "cancel", "live", "twice", "bad"), (50, 15, 10, 10, 10, 5)
        )[0]
        request = (
            replace(self.request(), width=self.side + 1, height=None) if kind == "bad" else self.request()
        )
        live, key = ("live" if kind == "live" else None), f"key {self._number}"
        owner = self.rng.choice(OWNERS)
        told = {"owner": owner, "latest": live, "key": key, "previews": 1 if kind == "watch" else 0}
        told |= {"priority": self.rng.choice((0, 0, 0, 1))}
        try:
            job = await asyncio.to_thread(self.service.submit, [request], **told)
        except (QueueFull, QuotaReached) as refused:
            self.found.counts[f"refused: {type(refused).__name__}"] += 1
            self.found.check(1 <= refused.retry_after <= 60, "a refusal without a time to come back")
            return
        except InvalidRequest:
            self.found.counts["refused: InvalidRequest"] += 1
            self.found.check(kind == "bad", "a good request was refused")
            return
        self.found.counts["accepted"] += 1
        if kind == "twice":
            with suppress(NoSuchJob):
                again = await asyncio.to_thread(self.service.submit, [request], **told)
                self.found.check(again.id == job.id, "one key, two jobs")
        await self.follow(job, kind)

    async def follow(self, job: JobView, kind: str) -> None:
        """Watch a job to its end, which must be as it was asked for."""
        stop, view = self.rng.randint(1, 4), job
        async for event in self.service.events(job.id):
            stop, view = stop - 1, event.view
            self.found.counts["previews"] += event.kind == "preview"
            if kind == "cancel" and stop == 0:
                await asyncio.to_thread(self.service.cancel, job.id)
        self.ended += 1
        self.found.counts[f"ended: {view.status}"] += 1
        self.found.waited.append((view.ended or 0) - view.created)
        may = {"cancel": (Status.DONE, Status.CANCELLED), "live": (Status.DONE, Status.CANCELLED)}
        may["bad"] = (Status.FAILED,)
        ends = may.get(kind, (Status.DONE,))
        self.found.check(view.status in ends, f"a job to {kind} ended {view.status}: {view.error}")
        if view.status is Status.DONE:
            await asyncio.to_thread(self.look_at, view)

    def look_at(self, view: JobView) -> None:
        """Every picture of a job is there, once, and is the one that was asked for."""
        wanted = [request.single(i).seed for request in view.requests for i in range(request.count)]
        self.found.check(len(view.pictures) == len(wanted), "a job without all of its pictures")
        for picture, seed in zip(view.pictures, wanted, strict=False):
            self.found.check(picture not in self.found.pictures, "a picture of two jobs")
            self.found.pictures.add(picture)
            path = self.service.picture(picture)
            self.found.check(read_record(path).request.seed == seed, "a picture of another seed")

    async def load(self, rate: float, until: float) -> None:
        """Clients come at random times, so many a second."""
        while time.monotonic() < until:
            await asyncio.sleep(self.rng.expovariate(rate))
            task = asyncio.create_task(self.guarded())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def guarded(self) -> None:
        """A client; whatever it meets that is no plain refusal is wrong."""
        try:
            await self.client()
        except DarkroomError as error:
            self.found.wrong.append(f"refused without a reason to: {error}")
        except Exception as error:
            self.found.wrong.append(f"{type(error).__name__}: {error}")

    async def capacity(self, seconds: float) -> float:
        """Jobs a second that the service ends when as many clients as may wait each wait for their own."""
        until, before = time.monotonic() + seconds, self.ended

        async def ask_again() -> None:
            while time.monotonic() < until:
                await self.guarded()

        await asyncio.gather(*(ask_again() for _ in range(CLIENTS)))
        return (self.ended - before) / seconds

    async def watch_memory(self) -> None:
        """How much the process has, each half second."""
        while True:
            self.found.memory.append(resident())
            await asyncio.sleep(0.5)

    async def run(self, seconds: float) -> float:
        """All of it; returns the jobs a second that were asked for."""
        rate = FASTER_THAN_BORNE * await self.capacity(seconds * MEASURING)
        watching = asyncio.create_task(self.watch_memory())
        await self.load(rate, time.monotonic() + seconds * (1 - MEASURING))
        watching.cancel()
        await asyncio.gather(*self._tasks)
        return rate


def growth(memory: list[int]) -> float:
    """By what share the second half is above the first, a tenth for warming up aside."""
    kept = np.array(memory[len(memory) // 10 :], dtype=float)
    first, second = np.array_split(kept, 2)
    return float(np.median(second) / np.median(first) - 1)


def soak(
    folder: Path, seconds: float, side: int, seed: int = 0, most_growth: float = MOST_GROWTH
) -> Findings:
    """Put a service in ``folder`` under twice the load that it bears, and see."""
    limits = Limits(queue=40, per_owner=16, kept_bytes=2**40)
    with Service(folder, limits) as service:
        one = Soak(service, side, random.Random(seed))
        rate = asyncio.run(one.run(seconds))
        found, left = one.found, service.load()
        found.check(left["queued"] == left["running"] == 0, "work is left")
    files = {path.name for path in (folder / "pictures").iterdir()}  # now that nobody writes any more
    found.check(files >= {f"{picture}.png" for picture in found.pictures}, "a picture is gone")
    found.check(len(files) <= service_pictures(service), "a file of no job")
    found.check(growth(found.memory) <= most_growth, f"memory grew by {growth(found.memory):.1%}")
    ended = sum(count for name, count in found.counts.items() if name.startswith("ended"))
    found.check(ended == found.counts["accepted"], f"{found.counts['accepted'] - ended} jobs were lost")
    found.counts["asked a second, times 100"] = round(100 * rate)
    return found


def service_pictures(service: Service) -> int:
    """How many pictures the service keeps."""
    return sum(len(view.pictures) for view in service.jobs(limit=10**9))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--side", type=int, default=64)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = soak(Path(folder), options.minutes * 60, options.side)
    print(f"{machine()}; {options.minutes:g} minutes of pictures of {options.side} pixels a side.\n")
    print(table(["what", "how often"], [[name, str(count)] for name, count in sorted(found.counts.items())]))
    waited = np.quantile(found.waited, (0.5, 0.95))
    print(f"\nSeconds from accepted to ended: p50 {waited[0]:.1f}, p95 {waited[1]:.1f}.")
    print(f"Memory: {found.memory[-1] / 2**20:.0f} MiB, {growth(found.memory):+.1%} from half to half.")
    if found.wrong:
        print("\n".join(["", "Wrong:", *(f"{n} times {told}" for told, n in Counter(found.wrong).items())]))
        sys.exit(1)
    print("Nothing was wrong.")


if __name__ == "__main__":
    main()

"""How the service bears load: ``python -m bench.serving`` prints the tables of docs/serving.md.

Requests come as they please (a Poisson process, open loop: nobody waits for an answer before asking again),
each for one picture of the starter with its own prompt, steps, sampler and guidance. The same arrivals meet

- one at a time: a queue, and ``develop`` for the first in it;
- static batches: ``develop_many`` for all that wait, to its end, then for all that came meanwhile;
- the service: whoever comes joins at the next step.

All three write each picture's file to the disk. They take turns in one run, load after load. A latency is
from arrival to the picture on disk. ``--save FILE`` keeps the latencies; ``--pool FILE...`` prints the tables
of several runs taken together.
"""

import argparse
import json
import queue
import random
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np

from bench.measure import machine, table
from darkroom.disk import whole
from darkroom.studio.request import Request
from darkroom.studio.serving.limits import Limits

SAMPLERS = ("euler", "dpmpp_2m", "unipc", "heun", "euler_a")
THINGS = ("apple", "cat", "house", "star", "boat", "tree", "fish", "cup", "book", "cube")
COLOURS = ("red", "blue", "green", "yellow", "purple")
LOADS = {
    "one at a time": (0.5, 0.7, 0.85),
    "static batches": (0.85, 1.3, 1.7),
    "the service": (0.85, 1.3, 1.7, 2.1, 2.5),
}
"""As multiples of what one at a time can bear."""
MOST = 32
"""Pictures of a static batch."""


def mixed(number: int, seed: int, precision: str) -> Request:
    """Request ``number`` of a run: anything that a user may ask of the starter."""
    rng = random.Random(f"{seed} {number}")
    prompt = (
        f"a {rng.choice(COLOURS)} {rng.choice(THINGS)} beside a {rng.choice(COLOURS)} {rng.choice(THINGS)}"
    )
    return Request(
        prompt=prompt,
        seed=number,
        steps=rng.randint(4, 20),
        cfg_scale=rng.choice((1.0, 3.0)),
        sampler=rng.choice(SAMPLERS),
        precision=precision,
    )


class Server(Protocol):
    """Takes requests; says of each when its picture was on disk (Unix time)."""

    def submit(self, request: Request) -> None: ...
    def finish(self) -> list[float]: ...


class Looping:
    """A thread that takes what waits, up to ``most`` requests, and makes it to its end."""

    def __init__(self, folder: Path, most: int) -> None:
        self._folder, self._most = folder, most
        self._waiting: queue.SimpleQueue[tuple[int, Request] | None] = queue.SimpleQueue()
        self._done: dict[int, float] = {}
        self._number = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def submit(self, request: Request) -> None:
        self._waiting.put((self._number, request))
        self._number += 1

    def finish(self) -> list[float]:
        self._waiting.put(None)
        self._thread.join()
        return [self._done[i] for i in range(self._number)]

    def _run(self) -> None:
        while first := self._waiting.get():
            taken = [first]
            last = False
            while len(taken) < self._most and not self._waiting.empty() and not last:
                more = self._waiting.get()
                last = more is None
                taken += [more] if more else []
            self._make(taken)
            if last:
                return

    def _make(self, taken: Sequence[tuple[int, Request]]) -> None:
        from darkroom.studio.develop import develop_many
        from darkroom.studio.pictures import encode

        results = develop_many([request for _, request in taken])
        for (number, _), result in zip(taken, results, strict=True):
            with whole(self._folder / f"{number}.png") as file:
                file.write(encode(result[0], "PNG"))
            self._done[number] = time.time()


class Serving:
    """The service."""

    def __init__(self, folder: Path) -> None:
        from darkroom.studio.serving.service import Service

        self._service = Service(folder, Limits(queue=10_000, per_owner=10_000))
        self._service.start()
        self._jobs: list[str] = []

    def submit(self, request: Request) -> None:
        self._jobs.append(self._service.submit([request]).id)

    def finish(self) -> list[float]:
        views = [self._service.wait(job) for job in self._jobs]
        if failed := [view.error for view in views if view.error]:
            raise RuntimeError(failed[0])
        self._service.stop()
        return [view.ended or 0.0 for view in views]


SERVERS: dict[str, Callable[[Path], Server]] = {
    "one at a time": lambda folder: Looping(folder, 1),
    "static batches": lambda folder: Looping(folder, MOST),
    "the service": Serving,
}


@dataclass(frozen=True)
class Point:
    """What one server did with one load: requests a second asked and answered, and each latency."""

    asked: float
    done: float
    latencies: tuple[float, ...]


def bear(name: str, rate: float, requests: Sequence[Request], seed: int) -> Point:
    """Put a load on a server."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        server = SERVERS[name](Path(folder))
        for _ in range(2):  # a model is loaded with the first
            server.submit(replace(requests[0], steps=1))
        time.sleep(2.0)
        start, at, arrivals = time.time(), 0.0, []
        for request in requests:
            at += rng.expovariate(rate)
            time.sleep(max(start + at - time.time(), 0.0))
            server.submit(request)
            arrivals.append(start + at)
        ended = server.finish()[2:]
    latencies = tuple(end - came for end, came in zip(ended, arrivals, strict=True))
    return Point(len(requests) / (arrivals[-1] - start), len(requests) / (max(ended) - start), latencies)


def capacity(requests: Sequence[Request]) -> float:
    """Requests a second that one at a time can bear, when the next is always there."""
    with tempfile.TemporaryDirectory() as folder:
        server = SERVERS["one at a time"](Path(folder))
        for request in requests:
            server.submit(request)
        start = time.time()
        ended = server.finish()
    return (len(requests) - 4) / (ended[-1] - max(ended[3], start))


def measure(count: int, seed: int, precision: str) -> dict[str, dict[str, list[Point]]]:
    """All servers under all loads, in turn."""
    requests = [mixed(i, seed, precision) for i in range(count)]
    base = capacity(requests[:24])
    points: dict[str, dict[str, list[Point]]] = defaultdict(lambda: defaultdict(list))
    for turn in range(max(map(len, LOADS.values()))):
        for name, loads in LOADS.items():
            if turn < len(loads):
                load = loads[turn]
                points[name][f"{load:g}"].append(bear(name, load * base, requests, seed))
    return {"base": {"": [Point(base, base, ())]}, **points}


def quantile(points: Sequence[Point], share: float) -> float:
    """Of the latencies of several runs together."""
    return float(np.quantile([latency for point in points for latency in point.latencies], share))


def tables(found: dict[str, dict[str, list[Point]]]) -> str:
    """What every server did under every load, and the load that each bears at the same p95."""
    rows = []
    for name in LOADS:
        for load, points in found[name].items():
            asked, done = (float(np.mean([getattr(p, what) for p in points])) for what in ("asked", "done"))
            p50, p95 = quantile(points, 0.5), quantile(points, 0.95)
            rows.append([name, load, f"{asked:.2f}", f"{done:.2f}", f"{p50:.2f}", f"{p95:.2f}"])
    first = table(["", "load", "asked a second", "done a second", "p50, s", "p95, s"], rows)
    return first + "\n\n" + at_equal_latency(found)


def at_equal_latency(found: dict[str, dict[str, list[Point]]]) -> str:
    """The highest load at which each server's p95 is no more than one at a time's, for each of its loads."""
    rows = []
    curves = {
        name: [(float(load), quantile(points, 0.95)) for load, points in found[name].items()]
        for name in LOADS
    }
    for load, limit in curves["one at a time"]:
        borne = [highest(curves[name], limit) for name in LOADS if name != "one at a time"]
        told = [f"{one:.2f} ({one / load:.1f} times)" for one in borne]
        rows.append([f"{limit:.2f}", f"{load:g}", *told])
    return table(["p95 up to, s", *LOADS], rows)


def highest(curve: Sequence[tuple[float, float]], limit: float) -> float:
    """The highest load whose p95 is within the limit, between two measured ones by a straight line."""
    best, before = 0.0, (0.0, 0.0)
    for load, p95 in curve:
        if p95 > limit:
            share = (limit - before[1]) / (p95 - before[1])
            return max(best, before[0] + share * (load - before[0])) if before[0] else best
        best, before = load, (load, p95)
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=40, help="at each load")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--precision", default="bfloat16")
    parser.add_argument("--save", type=Path)
    parser.add_argument("--pool", type=Path, nargs="+")
    options = parser.parse_args()
    found: dict[str, dict[str, list[Point]]] = defaultdict(lambda: defaultdict(list))
    if options.pool:
        for path in options.pool:
            for name, loads in json.loads(path.read_text()).items():
                for load, points in loads.items():
                    found[name][load] += [Point(*point) for point in points]
    else:
        found |= measure(options.requests, options.seed, options.precision)
    if options.save:
        plain = {
            name: {load: [[p.asked, p.done, p.latencies] for p in points] for load, points in loads.items()}
            for name, loads in found.items()
        }
        options.save.write_text(json.dumps(plain))
    base = np.mean([point.done for point in found["base"][""]])
    print(f"{machine()}; {options.precision}; load 1 is {base:.2f} requests a second.\n")
    print(tables(found))


if __name__ == "__main__":
    main()

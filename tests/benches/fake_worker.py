"""A worker whose tool is a counter: step n takes n seconds, or so it says; the fourth kills it."""

import os
from time import perf_counter

import numpy as np
from bench.inference.protocol import serve


class Counter:
    def load(self) -> None:
        os.write(1, b"a library that prints on the very stdout\n")
        self.count = 0

    def prepare(self) -> None:
        print("and one that prints from Python")

    def step(self) -> float:
        self.count += 1
        if self.count == 4:
            os._exit(3)
        return float(self.count)

    def answer(self) -> np.ndarray:
        return np.full((2, 3), self.count)


if __name__ == "__main__":
    serve(Counter(), perf_counter())

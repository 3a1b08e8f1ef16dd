"""Computing beside the engine without slowing it down for good."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def in_passing(name: str, work: Callable[[], T]) -> Future[T]:
    """Run ``work`` in a thread that ends with it.

    A thread that has computed keeps its team of OpenMP threads while it lives. With more of these than cores
    libgomp lets all of them sleep wherever they wait for each other, also those of the engine, whose passes
    then take up to twice as long.
    """
    thread = ThreadPoolExecutor(1, name)
    try:
        return thread.submit(work)
    finally:
        thread.shutdown(wait=False)

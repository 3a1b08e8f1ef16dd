"""Batches, made ahead of time in other processes: a batch is a function of its step, whoever makes it."""

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pickle import PicklingError
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from darkroom.errors import DarkroomError
from darkroom.training.recipe import Batch

AHEAD = 3
"""Batches that each worker keeps ready."""


class WorkerDied(DarkroomError):
    """A process that makes batches is gone."""

    def __init__(self) -> None:
        super().__init__(
            "a process that makes batches died, most often for want of memory; free some, or use fewer "
            "workers, and run the same command again to carry on."
        )


class Batches(Dataset[Any]):
    """A table from step to batch. A user's mistake comes back as a value: loaders reword what is raised."""

    def __init__(self, batch: Callable[[int], Batch]) -> None:
        self.batch = batch

    def __getitem__(self, step: int) -> Batch | DarkroomError:
        try:
            return {name: _tensor(value) for name, value in self.batch(step).items()}
        except DarkroomError as error:
            return DarkroomError(str(error))


@contextmanager
def batches(
    batch: Callable[[int], Batch], steps: range, *, workers: int = 0, pin: bool = False
) -> Iterator[Iterator[Batch]]:
    """The batches of ``steps`` in order, made by ``workers`` processes (0: here, when asked for).

    ``pin`` puts them into page-locked memory, which a GPU reads faster. The processes end with the context.
    Raises WorkerDied when one of them is killed, TypeError when ``batch`` cannot be sent to them.
    """
    loader = DataLoader(
        Batches(batch),
        batch_size=None,
        sampler=steps,
        collate_fn=_as_it_is,
        num_workers=workers,
        prefetch_factor=AHEAD if workers else None,
        multiprocessing_context="spawn" if workers else None,  # fork after threads have started may hang
        worker_init_fn=_leave_signals_to_parent,
        pin_memory=pin,
    )
    iterator = _start(loader)
    try:
        yield _checked(iterator)
    finally:
        _close(iterator)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on ``device``."""
    return {k: v.to(device, non_blocking=True) if isinstance(v, Tensor) else v for k, v in batch.items()}


def _start(loader: DataLoader[Any]) -> Any:
    """Start the workers, without torch's hook on SIGCHLD: it raises in mid-step when one dies."""
    main = threading.current_thread() is threading.main_thread()
    before = signal.getsignal(signal.SIGCHLD)
    try:
        return iter(loader)
    except (PicklingError, AttributeError, TypeError) as error:
        raise TypeError(f"recipe.batch must be picklable to run in workers: {error}") from error
    finally:
        if main and before is not None:
            signal.signal(signal.SIGCHLD, before)


def _checked(iterator: Any) -> Iterator[Batch]:
    while True:
        try:
            batch = next(iterator)
        except StopIteration:
            return
        except (RuntimeError, OSError, EOFError):
            if _one_has_died(iterator):
                raise WorkerDied from None
            raise
        if isinstance(batch, DarkroomError):
            raise batch
        yield batch


def _one_has_died(iterator: Any) -> bool:
    """Whether a worker is gone, or soon will be: its pipe closes before the system counts it as dead."""
    sentinels = [worker.sentinel for worker in _workers(iterator)]
    return bool(sentinels and wait(sentinels, timeout=2))


def _close(iterator: Any) -> None:
    """End the workers: gently first, for one that is killed while it holds a lock would leave us waiting."""
    if hasattr(iterator, "_shutdown_workers"):
        iterator._shutdown_workers()
    for worker in _workers(iterator):
        worker.kill()


def _workers(iterator: Any) -> Sequence[BaseProcess]:
    return getattr(iterator, "_workers", ())


def _leave_signals_to_parent(worker: int) -> None:
    """Ctrl-C reaches the whole process group; the parent decides when the workers end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def _tensor(value: Any) -> Any:
    return torch.from_numpy(value) if isinstance(value, np.ndarray) else value


def _as_it_is(batch: Any) -> Any:
    return batch

"""How many rows are worth answering together, and computing beside the engine."""

import threading
import time

import pytest
import torch

from darkroom.studio.serving.room import HOLDS, UNMEASURED, Worth
from darkroom.studio.threads import in_passing


def timed(worth, cost, passes=200):
    """Full passes of what is worth it, each as long as ``cost`` says of so many rows."""
    for _ in range(passes):
        worth.timed(worth.rows, cost(worth.rows))
    return worth.rows


def test_as_many_rows_are_answered_together_as_make_each_of_them_faster():
    assert timed(Worth(), lambda rows: 1.0 * rows) == UNMEASURED, "a large network on a processor"
    assert timed(Worth(), lambda rows: 5.0 + rows if rows <= 16 else 1.3 * rows) == 16
    assert timed(Worth(), lambda rows: 1.0 + 0.001 * rows) >= 64, "a GPU that is hardly busy"


def test_a_slow_moment_does_not_hide_what_more_rows_are_worth():
    slow = iter([30.0, 1.0, 1.0] * 100)
    assert timed(Worth(), lambda rows: (5.0 + rows if rows <= 8 else 1.7 * rows) * next(slow)) == 8


def test_a_slow_minute_binds_for_a_while_only():
    worth = Worth()
    assert timed(worth, lambda rows: 1.0 * rows, 20) == UNMEASURED, "while something else was busy"
    assert timed(worth, lambda rows: 5.0 + rows if rows <= 8 else 1.7 * rows, HOLDS + 30) == 8
    assert timed(worth, lambda rows: 1.0 * rows, 3 * HOLDS + 30) == UNMEASURED, "nor does a good one"


def test_passes_that_are_not_full_teach_nothing():
    worth = Worth(rows=8)
    for _ in range(20):
        worth.timed(3, 1.0)
    assert worth.rows == 8


def test_what_computes_in_passing_leaves_no_thread():
    before = set(threading.enumerate())
    assert in_passing("beside", lambda: torch.ones(3).sum().item()).result() == 3.0
    failed = in_passing("beside", lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        failed.result()
    end = time.monotonic() + 10
    while set(threading.enumerate()) - before:
        assert time.monotonic() < end
        time.sleep(0.01)

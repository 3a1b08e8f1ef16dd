"""Whose picture comes next: owners get equal shares, urgent work goes first, and nobody starves."""

from hypothesis import given
from hypothesis import strategies as st

from darkroom.studio.request import Request
from darkroom.studio.serving.fairness import AGING, Fairness
from darkroom.studio.serving.ledger import Entry
from darkroom.studio.serving.live import LiveJob
from darkroom.studio.serving.pace import Pace


def job(owner="", priority=0, created=0.0, count=1, steps=10, name="a"):
    request = Request(prompt="a", seed=0, count=count, steps=steps, width=10, height=10, cfg_scale=1.0)
    ids = tuple(f"{owner}{name}{created}{i}" for i in range(count))
    entry = Entry(
        id=ids[0], owner=owner, requests=(request,), pictures=ids, created=created, priority=priority
    )
    return LiveJob.of(entry)


def served(jobs: list[LiveJob], turns: int, costs: dict[str, float], now: float = 0.0) -> list[str]:
    """The owners of the pictures that a machine makes one after the other."""
    fairness = Fairness()
    for one in jobs:
        fairness.welcome(one.entry.owner, {other.entry.owner for other in jobs if other is not one})
    return owners_served(fairness, jobs, turns, costs, now)


def owners_served(fairness, jobs, turns, costs, now=0.0) -> list[str]:
    """The same, by what each owner had before."""
    owners = []
    for _ in range(turns):
        first = next(one for one in fairness.order(jobs, now) if one.waiting)
        first.waiting.popleft()
        fairness.charge(first.entry.owner, costs[first.entry.owner])
        owners.append(first.entry.owner)
    return owners


@given(st.dictionaries(st.sampled_from("ABCD"), st.floats(0.1, 5.0), min_size=2))
def test_owners_get_the_same_time_whatever_they_ask_for(costs):
    jobs = [job(owner, created=i, count=1000) for i, owner in enumerate(costs)]
    owners = served(jobs, 200, costs)
    had = {owner: owners.count(owner) * costs[owner] for owner in costs}
    assert max(had.values()) - min(had.values()) <= max(costs.values()) + 1e-6


def test_one_picture_does_not_wait_for_anothers_thousand():
    jobs = [job("A", created=0, count=1000), job("B", created=1)]
    assert served(jobs, 3, {"A": 1.0, "B": 1.0}) == ["A", "B", "A"]


def test_absence_earns_nothing():
    fairness = Fairness()
    fairness.charge("A", 100.0)
    fairness.welcome("B", {"A"})
    assert fairness.had["B"] == 100.0
    fairness.charge("B", 50.0)
    fairness.welcome("B", {"A"})
    assert fairness.had["B"] == 150.0, "nor does it forgive"


@given(st.floats(0.0, 1e5), st.floats(0.0, 1e5))
def test_work_that_was_done_while_nobody_else_was_here_is_held_against_nobody(bob, ann):
    fairness = Fairness()
    for owner, seconds in (("B", bob), ("A", ann)):  # each alone, and gone when the other comes
        fairness.welcome(owner, ())
        fairness.charge(owner, seconds)
    fairness.welcome("B", ())
    fairness.welcome("A", {"B"})
    jobs = [job("B", created=i / 64) for i in range(64)] + [job("A", created=1.0)]
    owners = owners_served(fairness, jobs, 2, {"A": 1.0, "B": 1.0})
    assert "A" in owners, "she waits for one of his pictures, not for sixty-four"


def test_the_urgent_go_first_and_the_patient_are_not_forgotten():
    low, high = job("A", priority=-1), job("B", priority=1, created=1.0)
    fairness = Fairness({"A": 0.0, "B": 1000.0})
    assert fairness.order([low, high], 1.0) == [high, low]
    fresh = job("B", priority=1, created=3 * AGING)
    assert fairness.order([low, fresh], 3 * AGING) == [low, fresh]


def test_within_an_owner_the_first_come_is_served():
    jobs = [job("A", created=float(i)) for i in (2, 0, 1)]
    assert [one.entry.created for one in Fairness().order(jobs, 5.0)] == [0.0, 1.0, 2.0]


def test_seconds_left_are_those_that_the_work_takes():
    pace, first, second = Pace(), job(count=2, steps=10), job(created=1.0, steps=20)
    pace.tell([first])
    assert first.seconds_left is None
    pace.learn(first.entry.requests[0], rows=2, seconds=0.2)
    pace.tell([first, second])
    assert abs(first.seconds_left - 2.0) < 1e-9 and abs(second.seconds_left - 4.0) < 1e-9
    for shot in first.shots:
        shot.questions, shot.answered = 10, 5
        first.waiting.popleft()
    pace.tell([first, second])
    assert abs(first.seconds_left - 1.0) < 1e-9 and abs(second.seconds_left - 3.0) < 1e-9

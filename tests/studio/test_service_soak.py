"""Twenty seconds of the soak: twice the work that can be done, and nothing lost, doubled or left unsaid."""

from bench.soak import soak


def test_twice_the_work_that_can_be_done_is_borne(tmp_path):
    found = soak(tmp_path, seconds=20.0, side=32, most_growth=0.2)
    assert not found.wrong
    assert found.counts["refused: QuotaReached"] + found.counts["refused: QueueFull"] > 0
    assert found.counts["ended: done"] > 20 and found.counts["previews"] > 0
    assert found.counts["ended: cancelled"] > 0 and found.counts["refused: InvalidRequest"] > 0

"""Full disks, dead threads, jobs of another version: no job is lost, and whoever asks is told what to do."""

import json
import os
import sqlite3
import threading
import time
from dataclasses import replace

import pytest
from test_service import LONG, SMALL, until

from darkroom.studio.serving import scribe, uploads
from darkroom.studio.serving.jobs import NoSuchJob, QueueFull, Status
from darkroom.studio.serving.keeping import Keeper
from darkroom.studio.serving.ledger import Entry, Ledger, OutOfOrder, Unreadable, new_id
from darkroom.studio.serving.service import Service

ODD = replace(SMALL, width=40)
"""What the starter refuses once it is loaded."""
FOREIGN = ('[{"prompt": "a cat", "seed": 1, "newer": 1}]', '[{"seed": 1}]', "[]", "null", "no JSON", "[1]")


class Disk:
    """A ledger's connection, on a disk that can be full for what begins with ``refused``."""

    def __init__(self, ledger: Ledger) -> None:
        self._db, self.refused, self.full = ledger._db, ("INSERT", "UPDATE"), False
        ledger._db = self

    def execute(self, statement, *values):
        if self.full and statement.startswith(self.refused):
            raise sqlite3.OperationalError("database or disk is full")
        return self._db.execute(statement, *values)

    def __getattr__(self, name):
        return getattr(self._db, name)


@pytest.fixture
def service(tmp_path, monkeypatch):
    monkeypatch.setattr(scribe, "BETWEEN_TRIES", 0.05)
    with Service(tmp_path / "studio") as service:
        yield service


def entry(**more):
    plain = {"id": new_id(), "owner": "", "requests": (SMALL,), "pictures": (new_id(),)}
    return Entry(**{**plain, "created": time.time(), **more})


def test_a_ledger_without_room_says_so_and_takes_jobs_again_once_there_is_some(tmp_path):
    ledger = Ledger(tmp_path / "queue.sqlite")
    (pages,) = ledger._db.execute("PRAGMA page_count").fetchone()
    ledger._db.execute(f"PRAGMA max_page_count = {pages + 4}")
    long, accepted = (replace(SMALL, prompt="x" * 5000),), []
    with pytest.raises(OutOfOrder, match=r"full; see that its disk has room .* then try again\.$") as refused:
        for _ in range(20):
            accepted.append(ledger.accept(entry(requests=long))[0].id)
    assert refused.value.retry_after >= 1
    assert [one.id for one in ledger.unfinished()] == accepted, "all of a job or nothing"
    ledger._db.execute(f"PRAGMA max_page_count = {pages + 100}")
    ledger.accept(entry(requests=long))


def test_a_transaction_that_cannot_be_written_is_over(tmp_path):
    ledger = Ledger(tmp_path / "queue.sqlite")
    disk = Disk(ledger)
    disk.refused, disk.full = ("COMMIT",), True
    with pytest.raises(OutOfOrder):
        ledger.accept(entry())
    disk.full = False
    assert not ledger.unfinished() and ledger.accept(entry())


@pytest.mark.parametrize(
    ("request_", "status", "error"),
    [(SMALL, Status.DONE, None), (ODD, Status.FAILED, "the starter draws pictures whose sides are")],
)
def test_an_end_waits_for_room_on_the_disk(service, request_, status, error):
    job = service.submit([request_])
    disk = Disk(service.ledger)
    disk.full = True
    until(lambda: service._scribe._late)
    with pytest.raises(OutOfOrder):
        service.submit([SMALL])
    assert not service.view(job.id).status.ended
    disk.full = False
    ended = service.wait(job.id, 20)
    assert ended.status is status and len(ended.pictures) == (status is Status.DONE)
    assert ended.error == error or ended.error.startswith(error)
    assert service.wait(service.submit([SMALL]).id, 20).status is Status.DONE


def test_a_cancel_that_cannot_be_written_leaves_the_job_as_it_was(service):
    job = service.submit([replace(SMALL, steps=30, count=3)])
    disk = Disk(service.ledger)
    disk.full = True
    with pytest.raises(OutOfOrder):
        service.cancel(job.id)
    disk.full = False
    ended = service.wait(job.id, 60)
    assert (ended.status, len(ended.pictures)) == (Status.DONE, 3)


def test_an_end_that_was_written_but_not_told_is_found_out(service, monkeypatch):
    end, calls = service.ledger.end, []

    def untold(job, how):
        calls.append(job)
        end(job, how)
        raise sqlite3.OperationalError("disk I/O error")

    job = service.submit([LONG])
    monkeypatch.setattr(service.ledger, "end", untold)
    with pytest.raises(sqlite3.OperationalError):
        service.cancel(job.id)
    monkeypatch.undo()
    service.cancel(job.id)
    assert service.wait(job.id, 20).status is Status.CANCELLED and calls


def test_a_stop_on_a_full_disk_loses_no_picture(service):
    job = service.submit([SMALL])
    disk = Disk(service.ledger)
    disk.full = True
    until(lambda: service._scribe._late)
    service.stop(drain=0.0)
    service.stop = lambda: None
    again = Service(service.folder)
    assert again.view(job.id).status is Status.DONE and len(again.view(job.id).pictures) == 1
    again.stop()


@pytest.mark.parametrize("thread", ["scribe", "engine"])
def test_no_job_is_taken_where_nobody_would_do_it(service, thread):
    service._starting.join()
    if thread == "scribe":
        service._scribe.finish()
    else:
        service._worker.halt(0.0)
        service._worker.join()
    with pytest.raises(OutOfOrder, match="start Darkroom again"):
        service.submit([SMALL])
    assert service.load()["queued"] == 0


def test_a_sweep_that_fails_ends_no_job(service, monkeypatch):
    def broken(self):
        raise PermissionError("not yours")

    monkeypatch.setattr(Keeper, "sweep_now_and_then", broken)
    for _ in range(2):
        assert service.wait(service.submit([SMALL]).id, 20).status is Status.DONE


def test_who_watches_a_job_that_is_deleted_as_it_ends_is_told(service, monkeypatch):
    end = service.ledger.end
    job, heard = service.submit([LONG]), []
    watcher = threading.Thread(target=lambda: heard.extend(service.watch(job.id)))
    watcher.start()
    until(lambda: service._board._readers)
    monkeypatch.setattr(service.ledger, "end", lambda *how: end(*how) and service.ledger.forget(job.id) != ())
    with pytest.raises(NoSuchJob):
        service.cancel(job.id)
    watcher.join(10)
    assert not watcher.is_alive()
    assert (heard[-1].kind, heard[-1].view.status) == ("ended", Status.CANCELLED)


@pytest.mark.parametrize("foreign", FOREIGN)
def test_a_job_that_cannot_be_read_ends_and_takes_no_other_with_it(tmp_path, foreign):
    service = Service(tmp_path)
    bad, good = service.submit([SMALL]).id, service.submit([SMALL]).id
    service.stop()
    rewrite(tmp_path, bad, foreign)
    again = Service(tmp_path)
    assert [job.id for job in again.jobs()] == [good] and again.load()["queued"] == 1
    for ask in (again.view, again.cancel, again.wait):
        with pytest.raises(Unreadable, match="another version of Darkroom"):
            ask(bad)
    again.stop()
    rewrite(tmp_path, bad, json.dumps([SMALL.to_json()]))
    once_more = Service(tmp_path)
    assert once_more.view(bad).status is Status.FAILED and "another version" in once_more.view(bad).error
    once_more.stop()


def test_lists_leave_out_what_cannot_be_read_and_it_can_be_deleted(tmp_path):
    service = Service(tmp_path)
    jobs = [service.submit([SMALL]).id for _ in range(5)]
    for job in jobs:
        service.cancel(job)
    rewrite(tmp_path, jobs[4], FOREIGN[0])
    rewrite(tmp_path, jobs[2], FOREIGN[0])
    assert [job.id for job in service.jobs(limit=2)] == [jobs[3], jobs[1]]
    assert [job.id for job in service.jobs()] == [jobs[3], jobs[1], jobs[0]]
    service.forget(jobs[4])
    with pytest.raises(NoSuchJob):
        service.view(jobs[4])
    service.stop()


def rewrite(folder, job, requests):
    """Give a job requests of another version."""
    with sqlite3.connect(folder / "queue.sqlite") as db:
        db.execute("UPDATE jobs SET requests = ? WHERE id = ?", (requests, job))
    db.close()


@pytest.fixture(params=[(450, 100), (10**6, 4)], ids=["bytes", "count"])
def cramped(request, tmp_path, monkeypatch):
    """A service, not started, that has room for four uploads of 100 bytes, and makes it for one."""
    monkeypatch.setattr(uploads, "MOST_BYTES", request.param[0])
    monkeypatch.setattr(uploads, "MOST_COUNT", request.param[1])
    service = Service(tmp_path)
    yield service
    service.stop()


def handed_in(service, name):
    """An upload of 100 bytes."""
    return service.keep_upload(name.encode().ljust(100))


def age(path, seconds=90.0):
    """Let it have been handed in so long ago."""
    os.utime(path, (time.time() - seconds,) * 2)


def started_from(service, path, owner=""):
    """A job that starts from an upload, as it stands a while later."""
    job = service.submit([replace(SMALL, init_image=path)], owner=owner)
    age(path)
    return service._board.get(job.id)


def done(service, job):
    """Make the picture of a job."""
    service._keeper.write(job.shots[0].id, b"a picture")
    service._board.made(job.shots[0], 9)
    service._board.end(job, Status.DONE)


def test_uploads_take_so_much_and_no_more(cramped):
    kept = [handed_in(cramped, name) for name in "abcd"]
    job = started_from(cramped, kept[0])
    with pytest.raises(QueueFull, match=r"take all the room .* in 60 seconds, or when jobs") as refused:
        handed_in(cramped, "x")
    assert refused.value.retry_after == 60 and all(path.exists() for path in kept)
    assert handed_in(cramped, "d") == kept[3], "what is there needs no room"
    for path, seconds in zip(kept[1:], (70, 80, 90), strict=True):
        age(path, seconds)
    assert handed_in(cramped, "x").exists(), "what no job reads made room"
    assert [path.exists() for path in kept] == [True, True, True, False], "the oldest alone"
    cramped.forget(job.id)
    assert handed_in(cramped, "y").exists() and not kept[0].exists()


def test_uploads_that_are_there_count_after_a_start(cramped):
    for name in "abcd":
        handed_in(cramped, name)
    cramped.stop()
    cramped.stop = lambda: None
    again = Service(cramped.folder)
    with pytest.raises(QueueFull, match="take all the room"):
        handed_in(again, "x")
    again.stop()


def test_jobs_that_have_ended_make_room_for_uploads_and_keep_their_pictures(cramped):
    """Of whoever has most such jobs the oldest goes first, so that nobody's many take the room of others."""
    owners = {"a": "bob", "b": "ann", "c": "ann", "d": "ann"}
    jobs = [started_from(cramped, handed_in(cramped, name), owner) for name, owner in owners.items()]
    for job in jobs:
        done(cramped, job)
    there = []
    for name in "xyz":
        assert handed_in(cramped, name).exists()
        there.append("".join(n for n, job in zip("abcd", jobs, strict=True) if upload_of(job).exists()))
    assert there == ["acd", "ad", "d"]
    for job in jobs:
        assert cramped.view(job.id).status is Status.DONE
        assert cramped.picture(job.shots[0].id).read_bytes() == b"a picture"


def upload_of(job):
    return job.entry.requests[0].init_image


def test_what_an_open_job_reads_too_is_not_spare(cramped):
    path = handed_in(cramped, "a")
    done(cramped, started_from(cramped, path))
    started_from(cramped, path, "bob")
    for name in "bcd":
        handed_in(cramped, name)
    with pytest.raises(QueueFull):
        handed_in(cramped, "x")
    assert path.exists()


def test_an_upload_stays_while_the_job_that_names_it_is_being_accepted(cramped, monkeypatch):
    path, accept = handed_in(cramped, "a"), cramped._accept
    age(path, 7200)

    def late(*how):
        for name in "bcd":
            handed_in(cramped, name)
        with pytest.raises(QueueFull):
            handed_in(cramped, "x")
        return accept(*how)

    monkeypatch.setattr(cramped, "_accept", late)
    started_from(cramped, path)
    assert path.exists()


def test_uploads_are_swept_where_no_picture_is_made(tmp_path, monkeypatch):
    service = Service(tmp_path)
    old = service.keep_upload(b"old")
    os.utime(old, (0, 0))
    service.keep_upload(b"new")
    assert old.exists(), "not at every one"
    monkeypatch.setattr(uploads, "BETWEEN_SWEEPS", 0.0)
    service.keep_upload(b"newer")
    assert not old.exists()
    service.stop()

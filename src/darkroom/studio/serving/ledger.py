"""The jobs on disk: what was accepted is there after a kill, and ends once.

SQLite in write-ahead mode. Accepting and ending wait for the disk (``synchronous=FULL``); a job's start need
only survive the process. The ids of a job's pictures are given when it is accepted: a picture's file that
is there is made, whether or not the job's end was written.
"""

import json
import logging
import secrets
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from darkroom.errors import DarkroomError
from darkroom.studio.request import Request
from darkroom.studio.serving.jobs import NoSuchJob, QueueFull, Status

LOG = logging.getLogger("darkroom")
VERSION = 1
BUSY_SECONDS = 30.0
RETRY_SECONDS = 60.0
"""After which to come back when the disk could not be written."""
OPEN = f"status = '{Status.QUEUED}'"
"""Of a job that has not ended: whether it runs is known to the process alone."""

TABLES = """
CREATE TABLE jobs (
  number INTEGER PRIMARY KEY AUTOINCREMENT,
  id TEXT NOT NULL UNIQUE,
  owner TEXT NOT NULL,
  key TEXT,
  tag TEXT NOT NULL,
  priority INTEGER NOT NULL,
  latest TEXT,
  previews INTEGER NOT NULL,
  requests TEXT NOT NULL,
  status TEXT NOT NULL,
  error TEXT,
  notices TEXT NOT NULL DEFAULT '[]',
  steps INTEGER NOT NULL DEFAULT 0,
  created REAL NOT NULL,
  started REAL,
  ended REAL,
  bytes INTEGER NOT NULL DEFAULT 0,
  attempts INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX keys ON jobs (owner, key) WHERE key IS NOT NULL;
CREATE INDEX open ON jobs (status) WHERE status = 'queued';
CREATE INDEX by_owner ON jobs (owner, created);
CREATE INDEX by_time ON jobs (created);
CREATE TABLE pictures (
  id TEXT PRIMARY KEY,
  job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  place INTEGER NOT NULL,
  made INTEGER NOT NULL DEFAULT 0,
  UNIQUE (job, place)
) WITHOUT ROWID;
CREATE TABLE uploads (
  name TEXT NOT NULL,
  job TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
  PRIMARY KEY (name, job)
) WITHOUT ROWID;
"""


class OutOfOrder(QueueFull):
    """Nothing can be written down or worked on for now. To every door it is a full queue: come back later."""

    def __init__(self, message: str) -> None:
        super().__init__(message, RETRY_SECONDS)


class Unreadable(NoSuchJob):
    """A job that another version of Darkroom wrote: for this one there is none."""

    def __init__(self) -> None:
        DarkroomError.__init__(
            self, "this job was written by another version of Darkroom and cannot be read; submit it again."
        )


def new_id() -> str:
    """An id that nobody can guess."""
    return secrets.token_urlsafe(16)


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A job as the ledger has it; ``pictures`` are the ids of all that it is to make, in order.

    ``made`` are those that are there, as its end tells; ``attempts`` counts how often it was begun.
    """

    id: str
    owner: str
    requests: tuple[Request, ...]
    pictures: tuple[str, ...]
    created: float
    key: str | None = None
    tag: str = ""
    priority: int = 0
    latest: str | None = None
    previews: int = 0
    status: Status = Status.QUEUED
    error: str | None = None
    notices: tuple[str, ...] = ()
    steps: int = 0
    started: float | None = None
    ended: float | None = None
    attempts: int = 0
    made: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class End:
    """How a job ended; ``made`` are the ids of its pictures that are on disk, with ``bytes`` in all."""

    status: Status
    time: float
    error: str | None = None
    notices: tuple[str, ...] = ()
    steps: int = 0
    made: tuple[str, ...] = ()
    bytes: int = 0


class Ledger:
    """Opens or makes the file. Any thread may call. Raises DarkroomError for a file of a newer Darkroom.

    Every method raises OutOfOrder where the disk is full or fails; nothing is changed then.
    """

    def __init__(self, path: Path) -> None:
        self._lock, self._closed = threading.RLock(), False
        self._db = _open(path)
        with self._change() as db:
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version > VERSION:
                raise DarkroomError(f"'{path}' was written by a newer Darkroom; update Darkroom to go on.")
            if version == 0:
                for statement in filter(str.strip, TABLES.split(";")):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {VERSION}")

    def close(self) -> None:
        """Nothing is written afterwards; clients may still fetch what was made for them."""
        with self._lock:
            self._closed = True

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """The file, for one thread at a time. Raises OutOfOrder for whatever SQLite says of it."""
        with self._lock:
            try:
                yield self._db
            except sqlite3.Error as error:
                raise OutOfOrder(
                    f"the queue cannot be read or written: {error}; see that its disk has room and works, "
                    "then try again."
                ) from error

    @contextmanager
    def _change(self, sure: bool = True) -> Iterator[sqlite3.Connection]:
        """A transaction; when the block is left it is on the disk, or if not ``sure``, safe from a kill.

        Raises DarkroomError once the file is closed.
        """
        with self._reading() as db:
            if self._closed:
                raise DarkroomError("the service has stopped; ask again when it is back.")
            db.execute(f"PRAGMA synchronous = {'FULL' if sure else 'NORMAL'}")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:  # a full disk may have ended it already
                    db.execute("ROLLBACK")
                raise

    def accept(self, entry: Entry, uploads: Sequence[str] = ()) -> tuple[Entry, list[str]]:
        """Write a job down, unless its owner gave one of the same key before; then that one is returned.

        Beside it the ids of the jobs that it overtakes, which are cancelled with the same stroke.
        """
        with self._change() as db:
            if entry.key is not None and (known := self._by_key(entry.owner, entry.key)):
                return known, []
            overtaken = [] if entry.latest is None else self._overtake(db, entry)
            _insert(db, entry, uploads)
            return entry, overtaken

    def by_key(self, owner: str, key: str) -> Entry | None:
        """The job that this owner gave under this key. Raises Unreadable."""
        with self._reading():
            return self._by_key(owner, key)

    def _by_key(self, owner: str, key: str) -> Entry | None:
        row = self._db.execute("SELECT * FROM jobs WHERE owner = ? AND key = ?", (owner, key)).fetchone()
        return row and self._entry(row)

    @staticmethod
    def _overtake(db: sqlite3.Connection, entry: Entry) -> list[str]:
        rows = db.execute(
            f"UPDATE jobs SET status = ?, ended = ? WHERE {OPEN} AND owner = ? AND latest = ? RETURNING id",
            (Status.CANCELLED, entry.created, entry.owner, entry.latest),
        )
        return [row["id"] for row in rows.fetchall()]

    def begin(self, job: str, time: float) -> None:
        """Count that a job was begun, so that one that ends the process is not tried for ever."""
        with self._change(sure=False) as db:
            db.execute(
                "UPDATE jobs SET attempts = attempts + 1, started = coalesce(started, ?) WHERE id = ?",
                (time, job),
            )

    def rest(self, job: str) -> None:
        """A job that was begun is left for later, by nobody's fault."""
        with self._change(sure=False) as db:
            db.execute("UPDATE jobs SET attempts = max(attempts - 1, 0) WHERE id = ?", (job,))

    def end(self, job: str, end: End) -> bool:
        """End a job and name its pictures, both or neither; False where it had ended before."""
        with self._change() as db:
            changed = db.execute(
                "UPDATE jobs SET status = ?, ended = ?, error = ?, notices = ?, steps = ?, bytes = ? "
                f"WHERE id = ? AND {OPEN}",
                (end.status, end.time, end.error, json.dumps(end.notices), end.steps, end.bytes, job),
            ).rowcount
            if changed:
                _mark_made(db, end.made)
            return bool(changed)

    def entry(self, job: str) -> Entry | None:
        """A job by its id. Raises Unreadable."""
        with self._reading() as db:
            row = db.execute("SELECT * FROM jobs WHERE id = ?", (job,)).fetchone()
            return row and self._entry(row)

    def unfinished(self) -> list[Entry]:
        """Jobs that have not ended, in the order in which they came, but for unreadable ones."""
        with self._reading() as db:
            return list(self._readable(db.execute(f"SELECT * FROM jobs WHERE {OPEN} ORDER BY number")))

    def give_up_unreadable(self, time: float) -> None:
        """End the jobs that nobody can work on, as this Darkroom cannot read them."""
        with self._reading() as db:
            opened = [row["id"] for row in db.execute(f"SELECT id FROM jobs WHERE {OPEN}").fetchall()]
        for job in opened:
            try:
                self.entry(job)
            except Unreadable as error:
                LOG.warning("job %s cannot be read and is given up: %s", job, error.__cause__)
                self.end(job, End(status=Status.FAILED, time=time, error=str(error)))

    def entries(self, owner: str | None, limit: int, before: float | None) -> list[Entry]:
        """The newest jobs, of one owner or of all, made before a time, but for unreadable ones."""
        wanted = "(:owner IS NULL OR owner = :owner) AND (:before IS NULL OR created < :before)"
        with self._reading() as db:
            rows = db.execute(
                f"SELECT * FROM jobs WHERE {wanted} ORDER BY created DESC, number DESC",
                {"owner": owner, "before": before},
            )
            with closing(rows):  # else one that is half read keeps SQLite from clearing its log
                return list(islice(self._readable(rows), limit))

    def is_made(self, picture: str) -> bool:
        """Whether the picture of this id belongs to a job, and was made."""
        with self._reading() as db:
            row = db.execute("SELECT made FROM pictures WHERE id = ?", (picture,)).fetchone()
            return row is not None and bool(row["made"])

    def forget(self, job: str) -> tuple[str, ...]:
        """Delete a job; returns the ids of its pictures, whose files may go now."""
        with self._change() as db:
            ids = [row["id"] for row in db.execute("SELECT id FROM pictures WHERE job = ?", (job,))]
            db.execute("DELETE FROM jobs WHERE id = ?", (job,))
            return tuple(ids)

    def expired(self, before: float, most_bytes: int) -> list[str]:
        """Jobs that ended before a time, and the oldest where pictures are more than so many bytes."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT id FROM (SELECT id, ended, sum(bytes) OVER (ORDER BY ended DESC, number DESC) "
                "AS kept FROM jobs WHERE ended IS NOT NULL) WHERE ended < ? OR kept > ?",
                (before, most_bytes),
            ).fetchall()
            return [row["id"] for row in rows]

    def picture_ids(self) -> set[str]:
        """Of every picture that is made, or that a job has yet to make."""
        with self._reading() as db:
            rows = db.execute(
                f"SELECT p.id FROM pictures p JOIN jobs j ON j.id = p.job WHERE p.made OR j.{OPEN}"
            ).fetchall()
            return {row["id"] for row in rows}

    def upload_names(self) -> set[str]:
        """Of every upload that a job reads."""
        with self._reading() as db:
            return {row["name"] for row in db.execute("SELECT DISTINCT name FROM uploads").fetchall()}

    def spare_uploads(self) -> list[str]:
        """Of uploads that only ended jobs read: first those of the oldest job of the owner who has most."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT name FROM uploads LEFT JOIN (SELECT id, ended, row_number() OVER "
                "(PARTITION BY owner ORDER BY ended DESC, number DESC) AS place FROM jobs "
                "WHERE ended IS NOT NULL AND id IN (SELECT job FROM uploads)) ON id = job "
                "GROUP BY name HAVING count(*) = count(id) ORDER BY min(place) DESC, max(ended)"
            ).fetchall()
            return [row["name"] for row in rows]

    def _readable(self, rows: Iterable[Mapping[str, Any]]) -> Iterator[Entry]:
        """The jobs of those rows that can be read."""
        for row in rows:
            with suppress(Unreadable):
                yield self._entry(row)

    def _entry(self, row: Mapping[str, Any]) -> Entry:
        pictures = self._db.execute(
            "SELECT id, made FROM pictures WHERE job = ? ORDER BY place", (row["id"],)
        ).fetchall()
        try:
            return _parsed(row, pictures)
        except Exception as error:  # what another version wrote may be wrong in any way
            raise Unreadable from error


def _open(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        db.row_factory = sqlite3.Row
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA foreign_keys = ON")
    except (OSError, sqlite3.Error) as error:
        raise DarkroomError(
            f"the queue '{path}' cannot be opened: {error}; choose another folder."
        ) from error
    return db


def _parsed(row: Mapping[str, Any], pictures: Sequence[Mapping[str, Any]]) -> Entry:
    """A job of its row and those of its pictures. Raises whatever is wrong with them."""
    plain = ("id", "owner", "key", "tag", "priority", "latest", "previews", "error", "steps")
    times = ("created", "started", "ended", "attempts")
    requests = tuple(map(Request.from_json, json.loads(row["requests"])))
    if not pictures or sum(request.count for request in requests) != len(pictures):
        raise ValueError(f"{len(pictures)} pictures are not those of its requests")
    return Entry(
        **{name: row[name] for name in (*plain, *times)},
        requests=requests,
        pictures=tuple(one["id"] for one in pictures),
        made=tuple(one["id"] for one in pictures if one["made"]),
        status=Status(row["status"]),
        notices=tuple(json.loads(row["notices"])),
    )


def _insert(db: sqlite3.Connection, entry: Entry, uploads: Sequence[str]) -> None:
    columns = ("id", "owner", "key", "tag", "priority", "latest", "previews", "status", "created")
    values = [getattr(entry, name) for name in columns]
    requests = json.dumps([request.to_json() for request in entry.requests])
    names, marks = ", ".join((*columns, "requests")), ", ".join("?" * (len(columns) + 1))
    db.execute(f"INSERT INTO jobs ({names}) VALUES ({marks})", (*values, requests))
    pictures = [(picture, entry.id, place) for place, picture in enumerate(entry.pictures)]
    db.executemany("INSERT INTO pictures (id, job, place) VALUES (?, ?, ?)", pictures)
    db.executemany("INSERT INTO uploads (name, job) VALUES (?, ?)", [(name, entry.id) for name in uploads])


def _mark_made(db: sqlite3.Connection, pictures: Sequence[str]) -> None:
    db.executemany("UPDATE pictures SET made = 1 WHERE id = ?", [(picture,) for picture in pictures])

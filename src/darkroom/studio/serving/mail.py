"""Events on their way to whoever watches: a slow reader misses steps and previews, never the end."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress

from darkroom.studio.serving.jobs import Event

PASSING = ("step", "preview")
"""Kinds of which only the newest counts, previews for each picture."""


class Mailbox:
    """Events for one reader. ``bell`` is called when there is something to take; any thread may put."""

    def __init__(self, bell: Callable[[], object]) -> None:
        self._bell, self._lock = bell, threading.Lock()
        self._events: dict[object, Event] = {}
        self._closed = False

    def put(self, event: Event) -> None:
        """Keep an event until it is taken; a newer step or preview takes the place of an older one."""
        with self._lock:
            passing = event.kind in PASSING
            key = (event.kind, event.picture) if passing else object()
            self._events.pop(key, None)
            self._events[key] = event
        self._bell()

    def close(self) -> None:
        """Nothing more will come."""
        with self._lock:
            self._closed = True
        self._bell()

    def take(self) -> tuple[list[Event], bool]:
        """What has come since, and whether that is all there will be."""
        with self._lock:
            events, self._events = list(self._events.values()), {}
            return events, self._closed or any(event.kind == "ended" for event in events)


def reading(subscribe: Callable[[Mailbox], Callable[[], None]]) -> Iterator[Event]:
    """Events one by one, waiting for each. ``subscribe`` returns what ends the subscription."""
    rung = threading.Event()
    box = Mailbox(rung.set)
    leave = subscribe(box)
    try:
        last = False
        while not last:
            rung.wait()
            rung.clear()
            events, last = box.take()
            yield from events
    finally:
        leave()


async def reading_async(subscribe: Callable[[Mailbox], Callable[[], None]]) -> AsyncIterator[Event]:
    """The same for asyncio; ``subscribe`` runs in a thread, as it may read the disk."""
    loop, rung = asyncio.get_running_loop(), asyncio.Event()

    def ring() -> None:
        with suppress(RuntimeError):  # the reader's loop is gone
            loop.call_soon_threadsafe(rung.set)

    box = Mailbox(ring)
    leave = await asyncio.to_thread(subscribe, box)
    try:
        last = False
        while not last:
            await rung.wait()
            rung.clear()
            events, last = box.take()
            for event in events:
                yield event
    finally:
        leave()

"""Models in memory, each in one state at a time: with the LoRAs, ControlNets, IP-Adapters of some requests.

A model is loaded beside the work, one at a time, by a thread of its own, and anew when its files were
replaced. First it is read without its weights, which tells how large it is, so that others can make room. Its
state changes only when no picture is under way on it. While others wait for another state, a state takes new
pictures for ``TENURE`` seconds, so that neither starves and weights are not changed for each picture.
"""

import math
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property, partial
from threading import Lock
from time import monotonic

import torch
from torch import nn

from darkroom.adapters.stamps import stamp_of
from darkroom.errors import DarkroomError
from darkroom.studio.attachments import Attachments
from darkroom.studio.develop import fill, how_loaded, hung_on
from darkroom.studio.hung import Hung
from darkroom.studio.models import Loaded, read_model, whole
from darkroom.studio.request import Request
from darkroom.studio.serving.previews import Previews
from darkroom.studio.threads import in_passing

TENURE = 10.0
PATIENCE = 10.0
"""Seconds for which a state that gives way waits to be asked for another again; who does not ask has gone."""


def state_of(attached: Attachments) -> Hashable:
    """The state that a model must be in: what changes it, out of files as they are now."""
    files = [lora.file for lora in attached.loras]
    files += [control.model for control in attached.controls]
    files += [shown.model for shown in attached.image_prompts]
    return attached.weights, stamp_of(*files)


PLAIN = state_of(Attachments())
"""The state in which nothing hangs on a model."""


@dataclass(eq=False)
class Stage:
    """A loaded model and its state.

    ``idle`` is called when no picture is under way on it any more. ``used`` is when it was last asked for or
    used, by ``monotonic``; one that was just loaded is yet to be used, by who asked for it.
    """

    loaded: Loaded
    bytes: int
    idle: Callable[[], None]
    state: Hashable = PLAIN
    used: float = math.inf
    since: float = field(default_factory=monotonic)
    gives_way_until: float = -math.inf
    _users: int = 0
    _hang: Callable[[Request], Hung] | None = None
    _hanging: ExitStack = field(default_factory=ExitStack)

    @property
    def users(self) -> int:
        """How many pictures are under way on it."""
        return self._users

    @users.setter
    def users(self, count: int) -> None:
        self._users, self.used = count, monotonic()
        if not count:
            self.idle()

    @cached_property
    def previews(self) -> Previews:
        """What shows its pictures under way."""
        return Previews(self.loaded.model)

    def hung(self, request: Request) -> Hung:
        """What the network is told of a filled request, whose state the model is in."""
        if self._hang is not None:
            return self._hang(request)
        model = self.loaded.model
        with hung_on(model, request) as hang:  # at most words of its own, which change nothing
            return hang(request, model)

    def ready(self, request: Request) -> bool:
        """Whether pictures of a request may begin now; brings the model into its state where it can be."""
        wanted = state_of(request.attached)
        if wanted == self.state:
            return not (self.users and self._gives_way())
        if self.users:
            self.gives_way_until = math.inf
            return False
        self.clear()
        self._change(request, wanted)
        return True

    def _gives_way(self) -> bool:
        """Whether pictures of this state wait for those of another, if any are still asked for."""
        now = monotonic()
        if now - self.since <= TENURE:
            return False
        self.gives_way_until = min(self.gives_way_until, now + PATIENCE)
        return now < self.gives_way_until

    def _change(self, request: Request, wanted: Hashable) -> None:
        """Hang on the plain model what brings it into the state that is ``wanted``."""
        if wanted != PLAIN:
            model, filled = self.loaded.model, fill(request, self.loaded.model)
            hang = self._hanging.enter_context(hung_on(model, filled))
            self._hang = lambda other: hang(other, model)
        self._enter(wanted)

    def _enter(self, state: Hashable) -> None:
        self.state, self.since, self.gives_way_until = state, monotonic(), -math.inf

    def clear(self) -> None:
        """Take off what hangs on the model."""
        hanging, self._hanging, self._hang = self._hanging, ExitStack(), None
        self._enter(PLAIN)
        hanging.close()


class Stages:
    """The models that are in memory, the least used dropped where together they are more than ``most`` bytes.

    They are more only while pictures are under way on them, or where one alone is. ``loaded`` is called, in
    another thread, when one more is read or there.
    """

    def __init__(self, most: int, loaded: Callable[[], None]) -> None:
        self._most, self._loaded = most, loaded
        self._stages: dict[Hashable, Stage] = {}
        self._reading: dict[Hashable, Future[Loaded]] = {}
        self._loading: dict[Hashable, Future[Loaded]] = {}
        self._coming: dict[Hashable, int] = {}
        self._errors: dict[Hashable, BaseException] = {}
        self._one, self._closed = Lock(), False

    def of(self, request: Request) -> Stage | None:
        """The stage for a request; None while its model is being loaded. Raises DarkroomError."""
        key = how_loaded(request)
        self._collect()
        if error := self._errors.pop(key, None):
            raise error
        if stage := self._current(key):
            stage.used = monotonic()
            return stage
        if key not in self._reading and key not in self._loading:
            self._reading[key] = self._in_turn(partial(read_model, *key))
        return None

    def _current(self, key: Hashable) -> Stage | None:
        """The stage of a model; one whose files were replaced goes, for pictures that are not under way."""
        stage = self._stages.get(key)
        if stage is None or not stage.loaded.replaced:
            return stage
        del self._stages[key]
        if not stage.users:
            stage.clear()
        return None

    def _in_turn(self, load: Callable[[], Loaded]) -> Future[Loaded]:
        """What will come of ``load``, which waits for those that came before."""
        loading = in_passing("darkroom-loader", lambda: self._alone(load))
        loading.add_done_callback(lambda _: self._loaded())
        return loading

    def _alone(self, load: Callable[[], Loaded]) -> Loaded:
        with self._one:
            if self._closed:
                raise DarkroomError("the service is stopping; ask again when it is back.")
            return load()

    def known(self, request: Request) -> Stage | None:
        """The stage for a request if its model is in memory; any thread may ask."""
        return self._stages.get(how_loaded(request))

    def has(self, stage: Stage) -> bool:
        """Whether it is still in memory for others."""
        return stage in self._stages.values()

    def _collect(self) -> None:
        """Make room for what was read meanwhile, and take in what was loaded."""
        for key, read in self._done(self._reading):
            self._coming[key] = size_in_memory(read)
            self._make_room()
            self._loading[key] = self._in_turn(partial(whole, read))
        for key, loaded in self._done(self._loading):
            self._stages[key] = Stage(loaded, self._coming.pop(key), self._make_room)
            self._make_room(key)

    def _done(self, loading: dict[Hashable, Future[Loaded]]) -> Iterator[tuple[Hashable, Loaded]]:
        """What came of those that are done, but for errors, which are kept for who asks again."""
        for key, one in [(key, one) for key, one in loading.items() if one.done()]:
            del loading[key]
            if error := one.exception():
                self._errors[key] = error
                self._coming.pop(key, None)
            else:
                yield key, one.result()

    def _make_room(self, but: Hashable = None) -> None:
        """Let go of those that nobody used for longest, ``but`` one, until all have room with those coming.

        One stays, however large: it would only be loaded again.
        """
        idle = sorted(
            (one for one, stage in self._stages.items() if not stage.users and one != but),
            key=lambda one: self._stages[one].used,
        )
        while idle and len(self._stages) + len(self._coming) > 1 and self._total > self._most:
            self._stages.pop(idle.pop(0)).clear()

    @property
    def _total(self) -> int:
        return self.bytes + sum(self._coming.values())

    @property
    def bytes(self) -> int:
        """What all models take."""
        return sum(stage.bytes for stage in list(self._stages.values()))

    def close(self) -> None:
        """Leave every model as its file has it."""
        self._closed = True
        wait([*self._reading.values(), *self._loading.values()])
        for stage in self._stages.values():
            stage.clear()
        self._stages.clear()


def size_in_memory(loaded: Loaded) -> int:
    """Bytes that a model takes once its weights are there, packed ones beside their own."""
    copies = 2 if loaded.placement.packed else 1
    return copies * size_of(loaded.model.parts.values())


def size_of(modules: Iterable[nn.Module]) -> int:
    """Bytes of the weights and buffers of modules, shared ones once."""
    tensors = {
        tensor.data_ptr() if tensor.layout == torch.strided else id(tensor): tensor.nbytes
        for module in modules
        for tensor in (*module.parameters(), *module.buffers())
    }
    return sum(tensors.values())

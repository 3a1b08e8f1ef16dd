"""Models in memory: each in one state at a time, none dropped while it works, the least used first."""

from contextlib import contextmanager
from pathlib import Path
from time import monotonic, sleep
from types import SimpleNamespace

import pytest
from torch import nn

from darkroom.errors import DarkroomError
from darkroom.studio.attachments import Attachments, Lora
from darkroom.studio.request import Request
from darkroom.studio.serving import stages as module
from darkroom.studio.serving.stages import PATIENCE, PLAIN, TENURE, Stages


def request(model="a", *loras):
    attached = Attachments(loras=tuple(Lora(Path(name)) for name in loras))
    return Request(prompt="x", seed=0, model=model, attached=attached)


@pytest.fixture
def made(monkeypatch):
    """Stages for models of 4000 bytes each; what hangs on them and leaves them is noted."""
    hung: list[str] = []

    def read_model(name, *_):
        if name == "broken":
            raise DarkroomError("broken cannot be loaded")
        model = SimpleNamespace(name=name, parts={"n": nn.Linear(1000, 1, bias=False)})
        return SimpleNamespace(model=model, placement=SimpleNamespace(packed=False), replaced=False)

    class Hanging:
        def __init__(self, model, request):
            self.names = [lora.file.name for lora in request.attached.loras]

        def __enter__(self):
            hung.extend(f"+{name}" for name in self.names)
            return lambda request, model: (model.name, *self.names)

        def __exit__(self, *_):
            hung.extend(f"-{name}" for name in self.names)

    monkeypatch.setattr(module, "read_model", read_model)
    monkeypatch.setattr(module, "hung_on", Hanging)
    monkeypatch.setattr(module, "fill", lambda request, model: request)
    found = Stages(10_000, lambda: None)
    yield found, hung
    found.close()


def ready(stages, wanted):
    for _ in range(1000):
        if stage := stages.of(wanted):
            return stage
        sleep(0.002)
    raise AssertionError("never loaded")


def test_a_model_is_loaded_beside_the_work_and_once(made):
    stages, _ = made
    assert stages.of(request()) is None
    stage = ready(stages, request())
    assert stages.of(request()) is stage and stage.bytes == 4000 == stages.bytes


def test_a_model_that_cannot_be_loaded_says_so_to_who_asked(made):
    stages, _ = made
    with pytest.raises(DarkroomError, match="broken"):
        ready(stages, request("broken"))
    assert ready(stages, request("a"))


def test_the_least_used_is_dropped_but_none_that_works(made):
    stages, _ = made
    a, b = ready(stages, request("a")), ready(stages, request("b"))
    a.users = 1
    ready(stages, request("a"))
    ready(stages, request("b"))
    c = ready(stages, request("c"))
    assert stages.has(a) and not stages.has(b) and stages.has(c)
    c.users = 1
    ready(stages, request("d"))
    assert stages.has(a) and stages.has(c), "over its bound rather than pull a model from under a picture"


def test_what_was_too_much_goes_when_nobody_works_on_it_any_more(made):
    stages, _ = made
    a, b = ready(stages, request("a")), ready(stages, request("b"))
    a.users = b.users = 1
    c = ready(stages, request("c"))
    assert stages.bytes == 12_000 > 10_000
    c.users = b.users = 2
    b.users = 1
    assert stages.has(b), "a picture is still under way on it"
    b.users = 0
    assert not stages.has(b) and stages.has(a) and stages.has(c)
    a.users = c.users = 0
    assert stages.has(a) and stages.has(c) and stages.bytes == 8000, "they have room"


def test_a_model_that_was_just_loaded_is_not_dropped_for_one_that_was_used(made, clock):
    stages, _ = made
    a, b = ready(stages, request("a")), ready(stages, request("b"))
    a.users = b.users = 1
    assert stages.of(request("c")) is None
    while not (c := stages.known(request("c"))):
        ready(stages, request("a"))  # others ask meanwhile
    clock[0] += 1
    b.users = 0
    assert stages.has(c) and not stages.has(b), "it would be loaded again and again, and never used"


def test_one_that_is_too_large_alone_is_loaded_once(made, monkeypatch):
    stages, _ = made
    monkeypatch.setattr(stages, "_most", 1000)
    a = ready(stages, request("a"))
    for _ in range(3):
        a.users = 1
        a.users = 0
        assert stages.of(request("a")) is a
    b = ready(stages, request("b"))
    assert stages.has(b) and not stages.has(a)


def test_others_make_room_before_a_model_is_loaded(made, monkeypatch):
    stages, _ = made
    ready(stages, request("a"))
    b, there = ready(stages, request("b")), []

    def whole(loaded):
        there.append((loaded.model.name, stages.bytes))
        return loaded

    monkeypatch.setattr(module, "whole", whole)
    ready(stages, request("c"))
    b.users = 1
    ready(stages, request("b"))
    ready(stages, request("d"))
    assert there == [("c", 4000), ("d", 4000)] and stages.has(b)


def test_a_state_changes_when_nobody_works_on_it(made):
    stages, hung = made
    stage = ready(stages, request())
    assert stage.ready(request()) and stage.state == PLAIN
    stage.users = 1
    assert not stage.ready(request("a", "ink")) and hung == []
    stage.users = 0
    assert stage.ready(request("a", "ink")) and hung == ["+ink"]
    assert stage.hung(request("a", "ink")) == ("a", "ink")
    assert stage.ready(request("a", "oil")) and hung == ["+ink", "-ink", "+oil"]
    assert stage.ready(request()) and hung[-1] == "-oil"
    stages.close()
    assert hung.count("+ink") == hung.count("-ink") == hung.count("-oil") == 1


def test_neither_state_starves(made, monkeypatch):
    stages, _ = made
    stage = ready(stages, request())
    stage.users = 1
    assert stage.ready(request())
    assert not stage.ready(request("a", "ink"))
    assert stage.ready(request()), "the state has its time, or weights were changed for each picture"
    monkeypatch.setattr(module, "TENURE", 0.0)
    assert not stage.ready(request()), "then it takes no more, so that its pictures run out"
    stage.users = 0
    assert stage.ready(request("a", "ink"))
    stage.users = 1
    assert stage.ready(request("a", "ink")), "nobody waits for another yet"
    assert not stage.ready(request())
    assert not stage.ready(request("a", "ink"))


@pytest.fixture
def clock(monkeypatch):
    """The time, which goes on when something is added to it."""
    seconds = [monotonic()]
    monkeypatch.setattr(module, "monotonic", lambda: seconds[0])
    return seconds


def test_pictures_are_made_together_again_when_who_waited_has_gone(made, clock):
    stages, _ = made
    stage = ready(stages, request())
    stage.users = 1
    assert not stage.ready(request("a", "ink")), "its job is cancelled then, and never asks again"
    clock[0] += TENURE + 1
    assert not stage.ready(request())
    clock[0] += PATIENCE
    assert stage.ready(request()), "one is under way, and nobody waits for another state"
    clock[0] += 3600
    assert stage.ready(request())


def test_who_waits_and_asks_in_each_round_is_not_taken_for_gone(made, clock):
    stages, _ = made
    stage = ready(stages, request())
    stage.users = 1
    for number in range(10):
        clock[0] += 10 * PATIENCE  # a pass may take long
        assert stage.ready(request()) == (number == 0), "before the first round nobody had asked for another"
        assert not stage.ready(request("a", "ink"))
    stage.users = 0
    assert stage.ready(request("a", "ink"))


def test_what_does_not_fit_holds_up_nobody(made, clock, monkeypatch):
    stages, _ = made
    stage = ready(stages, request())

    @contextmanager
    def unfit(model, request):
        raise DarkroomError("made for another model")
        yield

    monkeypatch.setattr(module, "hung_on", unfit)
    clock[0] += TENURE + 1
    with pytest.raises(DarkroomError, match="another model"):
        stage.ready(request("a", "ink"))
    stage.users = 1
    assert stage.state == PLAIN and stage.ready(request())


def test_a_lora_that_was_replaced_on_disk_is_hung_anew(made, tmp_path):
    stages, hung = made
    stage, file = ready(stages, request()), tmp_path / "ink"
    file.write_bytes(b"old")
    wanted = request("a", str(file))
    assert stage.ready(wanted) and stage.ready(wanted) and hung == ["+ink"]
    file.write_bytes(b"newer")
    stage.users = 1
    assert not stage.ready(wanted), "pictures under way are still made with the old one"
    stage.users = 0
    assert stage.ready(wanted) and stage.ready(wanted) and hung == ["+ink", "-ink", "+ink"]


def test_a_model_that_was_replaced_on_disk_is_loaded_anew(made):
    stages, hung = made
    old = ready(stages, request())
    assert old.ready(request("a", "ink"))
    old.loaded.replaced = True
    new = ready(stages, request())
    assert new is not old and not stages.has(old) and stages.of(request()) is new
    assert hung == ["+ink", "-ink"] and stages.bytes == 4000


def test_a_closed_stage_is_as_its_file_has_it(made):
    stages, hung = made
    assert ready(stages, request("a")).ready(request("a", "ink"))
    stages.close()
    assert hung == ["+ink", "-ink"]

"""Key maps: what goes over comes back to the bit, and nothing gets lost on the way."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from darkroom.errors import DarkroomError
from darkroom.weights.keymap import KeyMap, Rule, Templates, rule, rules
from darkroom.weights.layouts import autoencoder, clip, controlnet, flux, mmdit, unet
from darkroom.weights.operations import ONE_BY_ONE, SWAPPED, THIRDS, TRANSPOSED, Operation, Rows
from darkroom.weights.store import MemoryStore

MAP = KeyMap(
    (
        rule("blocks.{i}.qkv.{w}", "layers.{i}.q.{w}", "layers.{i}.k.{w}", "layers.{i}.v.{w}", how=THIRDS),
        rule("blocks.{i}.out.{w}", "layers.{i}.o.{w}"),
        rule("final.{w}", "last.{w}", how=SWAPPED),
    ),
    prefix="model.",
    idle=("step",),
)


def store(shapes: dict[str, tuple[int, ...]]) -> MemoryStore:
    draw = torch.Generator().manual_seed(len(shapes))
    return MemoryStore(
        {name: torch.randn(shape, generator=draw) for name, shape in shapes.items()}, {"a": "b"}
    )


def tensors(view) -> dict[str, torch.Tensor]:
    return {name: view.tensor(name) for name in view.header.tensors}


def equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    for name in left:
        assert left[name].shape == right[name].shape and torch.equal(left[name], right[name]), name


def test_a_store_goes_over_and_comes_back_to_the_bit():
    file = store(
        {"model.blocks.0.qkv.weight": (6, 2), "model.blocks.11.out.bias": (4,), "model.final.weight": (4, 2)}
    )
    native = MAP.native(file)
    assert set(native.header.tensors) == {
        *(f"layers.0.{which}.weight" for which in "qkv"),
        "layers.11.o.bias",
        "last.weight",
    }
    assert torch.equal(native.tensor("layers.0.k.weight"), file.tensor("model.blocks.0.qkv.weight")[2:4])
    assert torch.equal(native.tensor("last.weight"), file.tensor("model.final.weight")[[2, 3, 0, 1]])
    equal(tensors(MAP.original(native)), tensors(file))
    assert native.header.metadata == {"a": "b"}


def test_headers_say_what_tensors_are():
    native = MAP.native(store({"model.blocks.0.qkv.weight": (6, 2), "model.final.bias": (4,)}))
    for view in (native, MAP.original(native)):
        assert {name: tuple(one.shape) for name, one in tensors(view).items()} == view.header.shapes


def test_a_split_is_a_view_and_not_a_copy():
    file = store({"model.blocks.0.qkv.weight": (6, 2)})
    part = MAP.native(file).tensor("layers.0.v.weight")
    assert (
        part.untyped_storage().data_ptr()
        == file.tensor("model.blocks.0.qkv.weight").untyped_storage().data_ptr()
    )


def test_what_no_rule_knows_is_listed():
    native = MAP.native(
        store({"model.blocks.x.out.bias": (1,), "model.step": (), "model.final.bias": (2,), "other": (1,)})
    )
    assert (native.unknown, native.idle) == (("model.blocks.x.out.bias",), ("model.step",))
    halves = MAP.original(store({"layers.0.q.weight": (1, 1), "layers.0.v.weight": (1, 1), "what": ()}))
    assert set(halves.unknown) == {"layers.0.q.weight", "layers.0.v.weight", "what"}
    assert not halves.header.tensors


def test_rows_that_do_not_fit_are_refused():
    with pytest.raises(DarkroomError, match="7 rows cannot be shared out as 1:1:1"):
        MAP.native(store({"model.blocks.0.qkv.weight": (7, 2)}))
    with pytest.raises(DarkroomError, match="2, 2, 3 rows"):
        MAP.original(store({f"layers.0.{which}.bias": (3 if which == "v" else 2,) for which in "qkv"}))


def test_two_tensors_for_one_name_are_refused():
    twice = KeyMap((rule("a.{i}", "c.{i}"), rule("b.{i}", "c.{i}")))
    with pytest.raises(DarkroomError, match="same layer twice"):
        twice.native(store({"a.1": (1,), "b.1": (1,)}))


def test_templates_of_a_rule_have_the_same_placeholders():
    with pytest.raises(ValueError, match="placeholders"):
        Rule("blocks.{i}.weight", ("layers.{j}.weight",))


def test_a_dot_in_a_template_is_a_dot_and_a_number_is_a_number():
    find = Templates([("a.{i}.b.{w}", 1), ("a.{i}.{i}", 2)]).find
    assert find("a.10.b.bias") == (1, {"i": "10", "w": "bias"})
    assert find("a.3.3") == (2, {"i": "3"})
    assert [
        find(name) for name in ("a.1_b.bias", "a.1.b.scale", "axb", "a.3.4", "a..b.bias", "a.1.b.bias.x")
    ] == [None] * 6


@given(
    st.sampled_from([Rows((1, 1, 1, 4)), THIRDS, SWAPPED, TRANSPOSED, ONE_BY_ONE]),
    st.integers(1, 4),
    st.integers(1, 5),
)
def test_operations_are_undone_to_the_bit(how: Operation, rows: int, columns: int):
    tensor = torch.randn(42 * rows, columns)
    if how is ONE_BY_ONE:
        tensor = tensor[..., None, None]
    parts = how.split(tensor)
    assert torch.equal(how.merge(parts), tensor)
    again = how.split(how.merge(parts))
    assert all(torch.equal(one, other) for one, other in zip(again, parts, strict=True))


STRUCTURES = st.builds(
    unet.Structure,
    levels=st.integers(1, 4),
    layers=st.integers(1, 3),
    attended=st.frozensets(st.integers(0, 3)),
    label=st.sampled_from(["add_embedding", "class_embedding"]),
)
KEYMAPS = st.one_of(
    STRUCTURES.map(lambda structure: KeyMap(tuple(unet.unet(structure)))),
    STRUCTURES.map(lambda structure: KeyMap(tuple(controlnet.controlnet(structure)))),
    st.integers(1, 4).map(lambda levels: KeyMap(tuple(autoencoder.autoencoder(levels)))),
    st.integers(1, 40).map(lambda depth: KeyMap(tuple(mmdit.mmdit(depth)))),
    st.integers(1, 6).map(lambda ratio: KeyMap(tuple(flux.flux(ratio)))),
    st.sampled_from([clip.transformers_clip, clip.flat_clip, clip.open_clip, clip.t5]).map(
        lambda make: make({})
    ),
    st.builds(lambda: controlnet.flux_from_original({})),
    st.integers(1, 4).map(lambda n: autoencoder.from_old_native({f"encoder.down_blocks.{n}.x": (1,)})),
)


@given(KEYMAPS, st.integers(0, 30), st.sampled_from(["weight", "bias"]))
def test_every_layout_is_one_to_one(keymap: KeyMap, number: int, word: str):
    """Every name that a rule can make leads back to that rule and to nothing else."""
    values = {**dict.fromkeys("abcdefghijklmnopqrstuv", number), "w": word}
    originals, natives = set(), set()
    for known in keymap.rules:
        original = known.original.format(**values)
        names = tuple(one.format(**values) for one in known.native)
        assert keymap._originals.find(original)[0] == known  # type: ignore[index]
        assert keymap.native_names(original) == names
        for part, name in enumerate(names):
            assert keymap._natives.find(name)[0] == (known, part)  # type: ignore[index]
        assert original not in originals and not natives & set(names)
        originals.add(original)
        natives |= set(names)


def test_rules_join_beginning_names_and_end():
    assert rules([("a", "b")], "x.", "y.", ".{w}") == [Rule("x.a.{w}", ("y.b.{w}",))]

"""Options that go together, and those that would do nothing."""

import pytest
from PIL import Image

SERVER = ["--server", "http://127.0.0.1:9"]
IDLE = [
    (["--strength", 0.75], "--strength needs a picture to start from"),
    (["--ip-strength", 1], "--ip-strength needs an IP-Adapter"),
    (["--styles", "mine.csv"], "--styles needs a style"),
    (["--token", "secret"], "--token needs the server"),
    (["--memory", "auto", *SERVER], "--memory is for models on this machine"),
    (["--cfg-scale", 1, "--cfg-rescale", 0.5], "the cfg rescale has no effect at cfg scale 1"),
    (["--cfg-scale", 1, "--cfg-interval", 0.3, 5], "the cfg interval has no effect at cfg scale 1"),
    (["--overwrite"], "--overwrite replaces a file, and pictures in 'pictures' get free numbers"),
    (
        ["--overwrite", "-o", "shapes"],
        "--overwrite replaces a file, and pictures in 'shapes' get free numbers",
    ),
]


@pytest.mark.parametrize(("words", "sentence"), IDLE)
def test_what_would_do_nothing_is_refused_before_the_work(darkroom, developing, tmp_path, words, sentence):
    developing.develop_many = lambda *_, **__: pytest.fail("the work began")
    done = darkroom("generate", "a cone", *words)
    assert done.exit_code == 2 and done.stdout == "" and sentence in done.stderr
    assert done.stderr.startswith("darkroom: ") and done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_what_nobody_typed_is_no_reason_to_refuse(darkroom, monkeypatch):
    monkeypatch.setenv("DARKROOM_TOKEN", "secret")
    assert darkroom("generate", "a cone").exit_code == 0


NEGATIVE = "the negative prompt has no effect at cfg scale 1; choose another --cfg-scale, or leave it out.\n"


def test_a_negative_prompt_that_had_no_effect_is_told_of(darkroom):
    done = darkroom("generate", "a cone", "-n", "blur", "--cfg-scale", 1)
    assert (done.exit_code, done.stderr) == (0, NEGATIVE)


def test_so_is_what_a_models_own_scale_leaves_no_effect(darkroom, developing):
    exact = developing.develop
    developing.develop = lambda request, progress=None: exact(request.filled(cfg_scale=1.0), progress)
    done = darkroom("generate", "a cone", "-n", "blur", "--cfg-rescale", 0.5)
    assert done.exit_code == 0 and NEGATIVE in done.stderr
    assert "the cfg rescale has no effect at cfg scale 1" in done.stderr and done.stderr.count("\n") == 2


@pytest.mark.parametrize(
    "words",
    [
        ["-n", "blur"],
        ["--cfg-scale", 1],
        ["-n", "blur", "--cfg-scale", 1, "--guide", "cfg_pp"],
        ["a cat AND a house", "-n", "blur", "--cfg-scale", 1],
    ],
)
def test_what_has_an_effect_is_not_told_of(darkroom, words):
    prompt = [] if "AND" in str(words[0]) else ["a cone"]
    done = darkroom("generate", *prompt, *words)
    assert (done.exit_code, done.stderr) == (0, "")


def test_prompts_that_are_joined_differ_from_the_negative_one_at_any_scale():
    """That is why nobody is told that it has no effect: here it has."""
    torch = pytest.importorskip("torch")
    from darkroom.diffusion.guidance import composition

    answers = [torch.tensor([0.5]), torch.tensor([1.0]), torch.tensor([2.0])]
    results = []
    for unwanted in (answers[0], answers[0] + 1):
        asking = composition([("a", 1.0), ("b", 1.0)], "n", 1.0)(torch.zeros(1), None)
        next(asking)
        with pytest.raises(StopIteration) as end:
            asking.send([unwanted, *answers[1:]])
        results.append(float(end.value.value))
    assert results[0] != results[1]


def masked(darkroom, picture, mask):
    Image.new("RGB", picture).save("start.png")
    Image.new("L", mask, "white").save("mask.png")
    return darkroom(
        "generate", "a cone", "-i", "start.png", "--mask", "mask.png", "-o", "x.png", "--overwrite"
    )


def test_a_mask_of_another_shape_is_refused_before_the_work(darkroom, developing):
    developing.develop_many = lambda *_, **__: pytest.fail("the work began")
    for picture, mask in (((64, 64), (128, 64)), ((64, 64), (64, 66)), ((90, 60), (60, 90))):
        done = masked(darkroom, picture, mask)
        assert done.exit_code == 2 and done.stderr.count("\n") == 1
        sizes = "the mask 'mask.png' is {}x{} and 'start.png' {}x{}; ".format(*mask, *picture)
        assert sizes in done.stderr


def test_a_mask_of_the_same_shape_may_be_smaller_and_rounded(darkroom):
    for picture, mask in (((64, 64), (16, 16)), ((1000, 667), (100, 67)), ((64, 64), (64, 65))):
        done = masked(darkroom, picture, mask)
        assert done.exit_code == 0, done.stderr


def test_a_picture_on_its_side_is_measured_upright(darkroom):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    Image.new("RGB", (90, 60)).save("start.jpg", exif=exif)
    Image.new("L", (60, 90), "white").save("mask.png")
    done = darkroom("generate", "a cone", "-i", "start.jpg", "--mask", "mask.png", "-o", "x.png")
    assert done.exit_code == 0, done.stderr


def test_a_mask_that_is_not_there_is_noticed_before_the_work(darkroom, developing):
    developing.develop_many = lambda *_, **__: pytest.fail("the work began")
    Image.new("RGB", (8, 8)).save("start.png")
    done = darkroom("generate", "a cone", "-i", "start.png", "--mask", "gone.png")
    assert done.exit_code == 2 and "cannot read 'gone.png'" in done.stderr

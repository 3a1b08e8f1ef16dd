"""The page as a person uses it, in a real browser, with real pictures of the starter."""

import io
import json
import re
from urllib.parse import urljoin

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.xdist_group("browser")  # one server and one browser for all
PROMPT = "a red cat on a beach"
DARKNESS = """() => {
  const sheet = document.querySelector(".under-look canvas");
  const pixels = sheet.getContext("2d").getImageData(0, 0, sheet.width, sheet.height).data;
  return [...pixels].filter((_, i) => i % 4 === 3);
}"""
"""How dark each place of the picture is under the chosen word."""
SHAPE = "() => document.querySelector('.shape[aria-pressed=true]').innerText.includes('3:4')"
REDRAWN = """before => {
  const source = document.querySelector(".stage .well img").src;
  return source.includes("/studio/pictures/") && !source.endsWith(before);
}"""
NEWEST = "() => [...document.querySelectorAll('.print img')].find(x => x.offsetParent)?.src ?? null"
"""Where the newest print that is seen lies."""
PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}


def write(page, words: str) -> None:
    page.locator(".large textarea").fill(words)


def picture_of(page, locator) -> np.ndarray:
    """The pixels of an image on the page, as its server sends them."""
    address = urljoin(page.url, locator.get_attribute("src"))
    return np.asarray(Image.open(io.BytesIO(page.request.get(address).body())))


def settle(page) -> str:
    """Wait until the live picture is whole; returns what the page says of it."""
    words = page.locator(".stage .words")
    page.wait_for_function("() => /steps in/.test(document.querySelector('.stage .words').textContent)")
    return words.inner_text()


def develop(page) -> None:
    """Press the button, and wait until the print that comes of it is the first."""
    before = page.evaluate(NEWEST)
    page.get_by_role("button", name="Develop").locator("visible=true").click()
    page.wait_for_function(
        f"before => ({NEWEST})() !== before && !document.querySelector('.job')", arg=before
    )


def steps(page, value: int) -> None:
    page.get_by_label("Steps", exact=True).locator("visible=true").fill(str(value))


@pytest.fixture
def create(opened):
    """Create, with few steps, so that tests are quick."""
    page = opened("/")
    steps(page, 4)
    return page


def test_typing_develops_a_picture_and_a_slider_redraws_it(create):
    page = create
    prints = page.evaluate(NEWEST)
    write(page, PROMPT)
    first = settle(page)
    assert first.startswith("4 steps in")
    assert page.locator(".strip .frame:not(.blank)").count() >= 2
    before = page.locator(".stage .well img").get_attribute("src")
    page.get_by_label("Guidance", exact=True).fill("6")
    page.wait_for_function(REDRAWN, arg=before)
    assert page.evaluate(NEWEST) == prints, "a live picture is no print"
    settle(page)
    frame = page.locator(".strip .frame:not(.blank)").nth(1)
    frame.click()
    assert page.locator(".stage .tag").inner_text() == frame.get_attribute("aria-label").lower()


def test_live_can_be_turned_off_and_on(create):
    page = create
    switch = page.get_by_role("switch", name="Live")
    switch.click()
    write(page, "a blue house")
    page.wait_for_timeout(600)
    assert page.locator(".stage .well img").count() == 0
    switch.click()
    settle(page)
    assert switch.is_checked()


def test_the_newest_words_win(create):
    page = create
    steps(page, 30)
    for words in ("a blue house", "a blue house in", "a green apple"):
        write(page, words)
        page.wait_for_timeout(350)
    settle(page)
    assert page.locator(".stage .well img").get_attribute("alt") == "a green apple"


def test_unknown_words_and_bad_input_are_told_in_sentences(create):
    page = create
    write(page, "a zebrafish")
    page.get_by_text("The starter does not know: zebrafish").wait_for()
    write(page, "a cat <lora:/etc/passwd:1>")
    page.get_by_role("button", name="Develop").click()
    page.locator(".toast.bad").first.wait_for()
    assert re.match(r"^[A-Z'].*\.$", page.locator(".toast.bad").first.inner_text())


def test_prints_are_kept_and_reused_with_all_settings(create):
    page = create
    write(page, PROMPT)
    page.get_by_label("Seed", exact=True).fill("77")
    page.get_by_label("Seed", exact=True).press("Tab")
    page.get_by_label("Batch").select_option("1")
    page.get_by_role("button", name="3:4").click()
    develop(page)
    made = picture_of(page, page.locator(".print img").first)
    assert made.shape == (144, 112, 3)
    write(page, "something else")
    page.get_by_label("Seed", exact=True).fill("5")
    page.get_by_label("Seed", exact=True).press("Tab")
    page.get_by_role("button", name="1:1").click()
    page.locator(".print").first.click()
    page.get_by_role("button", name="Use these settings").click()
    page.wait_for_function("() => document.querySelector('.large textarea').value === 'a red cat on a beach'")
    assert page.get_by_label("Seed", exact=True).input_value() == "77"
    page.wait_for_function(SHAPE)
    page.wait_for_function("() => /seed 77/.test(document.querySelector('.stage .words').textContent)")
    again = picture_of(page, page.locator(".stage .well img"))
    assert np.abs(made.astype(int) - again).max() <= 1, "the same settings make the same picture"


def test_long_work_shows_progress_survives_a_reload_and_can_be_cancelled(create, opened):
    page = create
    page.get_by_text("Live", exact=True).click()
    steps(page, 60)
    page.get_by_label("Batch").select_option("16")
    write(page, "two apples")
    page.wait_for_timeout(400)
    page.get_by_role("button", name="Develop").click()
    page.locator(".job").wait_for()
    page.reload()
    page.locator(".job").wait_for()
    assert page.locator(".large textarea").input_value() == "two apples"
    page.wait_for_function("() => /16 pictures, step [1-9]/.test(document.querySelector('.job').textContent)")
    page.locator(".job").get_by_role("button", name="Cancel").click()
    page.locator(".job").wait_for(state="detached")


def test_two_prints_are_compared(create):
    page = create
    write(page, "a blue balloon")
    page.get_by_label("Batch").select_option("4")
    develop(page)
    page.get_by_role("button", name="Compare two").click()
    page.locator(".print").nth(0).click()
    page.locator(".print").nth(1).click()
    slider = page.get_by_label("Where the first picture ends and the second begins")
    slider.fill("25")
    assert "25%" in page.locator(".versus .right").get_attribute("style")
    page.keyboard.press("Escape")
    page.locator(".versus").wait_for(state="detached")


def test_a_painted_part_is_made_anew_and_the_rest_stays(create):
    page = create
    write(page, PROMPT)
    page.get_by_label("Batch").select_option("1")
    develop(page)
    before = picture_of(page, page.locator(".print img").first)
    page.locator(".print").first.click()
    page.get_by_role("button", name="Edit", exact=True).click()
    page.get_by_role("button", name="Repaint a part").click()
    page.locator(".easel canvas").wait_for()
    sheet = page.locator(".easel canvas").bounding_box()
    page.get_by_label("Brush size").fill("60")
    for down in (0.2, 0.45):  # all but a border at the right and the foot
        page.mouse.move(sheet["x"] + 5, sheet["y"] + sheet["height"] * down)
        page.mouse.down()
        page.mouse.move(sheet["x"] + sheet["width"] * 0.45, sheet["y"] + sheet["height"] * down, steps=4)
        page.mouse.up()
    page.locator(".panel:visible textarea").first.fill("a green apple on a red background")
    page.get_by_label("Pictures", exact=True).fill("1")
    steps(page, 6)
    page.wait_for_timeout(400)
    develop(page)
    after = picture_of(page, page.locator(".print:visible img").first)
    # the starter's autoencoder smears a border of a square over: look at what is far from the paint
    kept = np.abs(after[112:, 112:].astype(int) - before[112:, 112:]).mean()
    made = np.abs(after[:80, :80].astype(int) - before[:80, :80]).mean()  # with the thing, whatever the seed
    assert made > 5 and made > 5 * kept
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Develop").locator("visible=true").click()
    page.get_by_text("Nothing is painted yet").wait_for()


def test_a_dropped_picture_tells_its_settings(opened, tmp_path):
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text(
        "parameters",
        "a green tree\nNegative prompt: rain\n"
        "Steps: 5, Sampler: Euler a, CFG scale: 2.5, Seed: 9, Size: 128x128",
    )
    file = tmp_path / "theirs.png"
    Image.new("RGB", (64, 64), "green").save(file, pnginfo=info)
    page = opened("/library")
    page.locator(".drop input").set_input_files(file)
    page.get_by_role("button", name="Use these settings").click()
    page.wait_for_function("() => document.querySelector('.large textarea')?.value === 'a green tree'")
    assert page.get_by_label("Seed", exact=True).input_value() == "9"
    assert page.get_by_label("Sampler", exact=True).input_value() == "euler_a"
    assert page.get_by_label("Leave out").first.input_value() == "rain"


def test_what_is_no_picture_is_refused_in_a_sentence(opened, tmp_path):
    file = tmp_path / "bad.png"
    file.write_bytes(b"<svg onload=alert(1)>")
    page = opened("/library")
    page.locator(".drop input").set_input_files(file)
    page.get_by_text("That is not a PNG, JPEG or WebP picture").wait_for()


def test_prompts_are_kept_found_exported_and_imported(opened, tmp_path):
    page = opened("/library")
    page.get_by_placeholder("words to keep").fill("a ship made of <b>glass</b>")
    page.get_by_placeholder("tags, parted by commas").fill("Sea, glass")
    page.get_by_role("button", name="Keep", exact=True).click()
    page.get_by_text("a ship made of <b>glass</b>").wait_for()
    with page.expect_download() as download:
        page.get_by_role("button", name="Export").click()
    told = json.loads(download.value.path().read_text())
    assert told["prompts"][0] == {
        "prompt": "a ship made of <b>glass</b>",
        "negative": "",
        "tags": ["sea", "glass"],
    }
    other = tmp_path / "more.json"
    other.write_text(json.dumps(["a lighthouse", {"prompt": "two owls", "tags": ["birds"]}]))
    page.locator(".drop input").set_input_files(other)
    page.get_by_text("2 new prompts are kept.").wait_for()
    page.get_by_placeholder("search prompts and tags").fill("birds")
    page.wait_for_function("() => document.querySelectorAll('.kept-row').length === 1")
    page.get_by_role("button", name="Use", exact=True).click()
    page.wait_for_function("() => document.querySelector('.large textarea')?.value === 'two owls'")


def test_explain_tells_of_each_step_and_word(opened):
    page = opened("/explain", reduced_motion="reduce")
    page.locator(".panes.two").wait_for()
    slider = page.get_by_label("Step", exact=True)
    shown = []
    for step in (0, 6, 11):
        slider.fill(str(step))
        page.wait_for_timeout(100)
        shown.append(page.locator(".panes.two figcaption").first.inner_text())
    noise = [int(re.search(r"(\d+) % noise", words)[1]) for words in shown]
    assert noise[0] == 100 and noise == sorted(noise, reverse=True) and noise[2] < 60
    assert page.locator(".token:visible").all_inner_texts() == [
        "a",
        "red",
        "cat",
        "wearing",
        "a",
        "hat",
        "on",
        "a",
        "beach",
    ]
    page.locator(".token", has_text="hat").click()
    hat = page.evaluate(DARKNESS)
    page.locator(".token", has_text="beach").click()
    assert len(hat) == 64 and min(hat) == 0 and page.evaluate(DARKNESS) != hat


def test_the_table_of_samplers_is_emptied_for_other_words(opened):
    page = opened("/explain", reduced_motion="reduce")
    page.get_by_role("button", name="Make all of them").click()
    page.locator(".matrix img").first.wait_for()
    page.get_by_label("Words", exact=True).fill("a green book")
    page.get_by_role("button", name="Show me").click()
    page.wait_for_function("() => !document.querySelector('.matrix img')")
    page.get_by_role("button", name="Cancel").wait_for(state="hidden")


def test_it_fits_a_phone(opened):
    page = opened("/", **PHONE)
    for place in ("Create", "Edit", "Explain", "Library"):
        page.get_by_role("link", name=place, exact=True).tap()
        page.locator(".places a[aria-current=page]").filter(has_text=place).wait_for()
        page.wait_for_timeout(300)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, place
        assert page.locator(".places").bounding_box()["y"] > 700, "the places stand at the foot"
    page.go_back()
    page.wait_for_function(
        "() => document.querySelector('.places a[aria-current=page]').innerText.trim() === 'Explain'"
    )


def test_light_and_dark(opened):
    page = opened("/", color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    dark = page.evaluate(ground)
    page.get_by_role("button", name="Light or dark").click()
    light = page.evaluate(ground)
    page.reload()
    assert page.evaluate(ground) == light != dark


def test_it_works_by_keyboard_alone(create):
    page = create
    page.get_by_label("Batch").select_option("1")
    page.locator(".large textarea").focus()
    page.keyboard.type("a purple star")
    page.keyboard.press("Control+Enter")
    page.get_by_label("Print: a purple star").first.wait_for()
    page.locator(".print").first.focus()
    page.keyboard.press("Enter")
    page.locator(".over").wait_for()
    page.keyboard.press("Escape")
    page.locator(".over").wait_for(state="detached")

"""The pictures of the page in docs/studio.md: the real command in a real Chromium.

python -m bench.page [--out docs/pictures]
"""

import argparse
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ARGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run")
DESKTOP = {"viewport": {"width": 1280, "height": 860}}
PHONE = {
    "viewport": {"width": 390, "height": 844},
    "is_mobile": True,
    "has_touch": True,
    "device_scale_factor": 2,
}
PROMPTS = (
    "exactly five apples",
    "a yellow balloon above a house",
    "three cats in a pyramid formation",
    "a blue car in the rain",
    "a green book to the left of a yellow cup",
    "a cat wearing sunglasses on a beach",
)
STORY = "a red cat wearing a hat on a beach"
KEPT = (
    ("a watercolour of a cat in a forest", "cats, watercolour"),
    ("a {red|blue|green} house under a starry sky", "houses, night"),
    ("exactly three balloons above a city", "counting"),
    ("a dog holding an umbrella in the rain", "dogs, weather"),
)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """``darkroom serve`` on a folder of its own; yields its address."""
    log = folder / "log"
    with log.open("w") as file:
        command = [sys.executable, "-m", "darkroom", "serve", "--port", "0"]
        env = os.environ | {"DARKROOM_HOME": str(folder), "PYTHONUNBUFFERED": "1"}
        process = subprocess.Popen(command, env=env, stdout=file, stderr=file)
    try:
        while not (found := re.search(r"http://\S+", log.read_text())):
            if process.poll() is not None:
                raise SystemExit(log.read_text())
            time.sleep(0.2)
        yield found[0].rstrip("/.")
    finally:
        process.terminate()
        process.wait()


def opened(browser: Browser, url: str, dark: bool = False, **options: Any) -> Page:
    """A page in a browser that was never here."""
    scheme: Any = "dark" if dark else "light"
    page = browser.new_context(color_scheme=scheme, **options).new_page()
    page.set_default_timeout(60_000)
    page.goto(url)
    return page


def keep(page: Page, out: Path, name: str, tall: bool = False) -> None:
    """What is seen, as a small WebP."""
    page.wait_for_timeout(300)
    image = Image.open(io.BytesIO(page.screenshot(full_page=tall)))
    image.save(out / f"studio-{name}.webp", quality=80, method=6)
    print(f"{name}: {(out / f'studio-{name}.webp').stat().st_size // 1024} kB")


def settled(page: Page) -> None:
    """Wait for the live picture."""
    page.wait_for_function("() => /steps in/.test(document.querySelector('.stage .words').textContent)")


def create(page: Page, out: Path) -> None:
    """Prints of several prompts, and a picture that has just developed."""
    page.get_by_text("Live", exact=True).click()
    for i, prompt in enumerate(PROMPTS):
        page.locator(".large textarea").fill(prompt)
        page.wait_for_timeout(400)
        page.get_by_role("button", name="Develop").click()
        page.wait_for_function(f"() => document.querySelectorAll('.print').length === {4 * (i + 1)}")
    page.get_by_text("Live", exact=True).click()
    page.get_by_label("Seed", exact=True).fill("7")
    page.get_by_label("Seed", exact=True).press("Tab")
    page.locator(".large textarea").fill("a cat wearing sunglasses on a beach")
    page.wait_for_timeout(1500)
    settled(page)
    keep(page, out, "create", tall=True)
    page.locator(".print").first.click()
    page.get_by_role("button", name="Edit", exact=True).click()


def edit(page: Page, out: Path) -> None:
    """A part of a print painted over, and what became of it."""
    page.get_by_role("button", name="Repaint a part").click()
    page.locator(".panel:visible textarea").first.fill("a green apple on a beach")
    sheet = page.locator(".easel canvas").bounding_box()
    assert sheet is not None
    page.get_by_label("Brush size").fill("30")
    for x in (0.3, 0.5, 0.7):
        page.mouse.move(sheet["x"] + sheet["width"] * x, sheet["y"] + sheet["height"] * 0.3)
        page.mouse.down()
        page.mouse.move(sheet["x"] + sheet["width"] * x, sheet["y"] + sheet["height"] * 0.75, steps=5)
        page.mouse.up()
    page.wait_for_timeout(400)
    page.get_by_role("button", name="Develop").locator("visible=true").click()
    page.wait_for_function(
        "() => [...document.querySelectorAll('.print')].filter(x => x.offsetParent).length >= 4"
    )
    keep(page, out, "edit", tall=True)
    page.locator(".print:visible").first.click()
    keep(page, out, "before-after")
    page.keyboard.press("Escape")


def library(page: Page, out: Path, folder: Path) -> None:
    """Kept prompts, a picture that was read, the gallery."""
    page.get_by_role("link", name="Library").click()
    for prompt, tags in KEPT:
        page.get_by_placeholder("words to keep").fill(prompt)
        page.get_by_placeholder("tags, parted by commas").fill(tags)
        page.wait_for_timeout(300)
        page.get_by_role("button", name="Keep", exact=True).click()
        page.wait_for_timeout(300)
    picture = sorted((folder / "studio" / "pictures").glob("*.png"))[0]
    page.locator(".drop:visible input").set_input_files(picture)
    page.get_by_role("button", name="Use these settings").wait_for()
    keep(page, out, "library", tall=True)


def explain(browser: Browser, url: str, out: Path) -> None:
    """In the middle of a picture, with the table of samplers below."""
    page = opened(browser, f"{url}/explain", dark=True, reduced_motion="reduce", **DESKTOP)
    page.locator(".panes.two").wait_for()
    page.get_by_role("button", name="Make all of them").click()
    page.get_by_label("Step", exact=True).fill("5")
    page.locator(".token", has_text="hat").click()
    made = ".matrix img[src*='/pictures/']"
    page.wait_for_function(f'() => document.querySelectorAll("{made}").length >= 30')
    page.add_style_tag(content=".scrubber, .top { position: static !important }")
    keep(page, out, "explain", tall=True)


def main() -> None:
    """Take all of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=Path, default=Path("docs/pictures"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name, served(Path(name)) as url, sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=list(ARGS))
        page = opened(browser, url, **DESKTOP)
        create(page, out)
        edit(page, out)
        library(page, out, Path(name))
        explain(browser, url, out)
        page = opened(browser, url, dark=True, **PHONE)
        page.locator(".large textarea").fill("a yellow balloon above a house")
        page.wait_for_timeout(1500)
        settled(page)
        keep(page, out, "phone")
        browser.close()


if __name__ == "__main__":
    main()

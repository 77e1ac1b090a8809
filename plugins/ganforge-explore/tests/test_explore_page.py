"""Page of `ganforge explore` in a real browser."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from explore_parts import Served, served
from numpy.typing import NDArray
from PIL import Image

import ganforge
from ganforge.runs.latents import Latents

pytest_plugins = "explore_fixtures"

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("there is no Chromium: apt-get install chromium, or set CHROMIUM", allow_module_level=True)
playwright = pytest.importorskip(
    "playwright.sync_api", reason="there is no Playwright: python -m pip install './plugins/ganforge-explore[test]'"
)

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1200, "height": 900}
Opener = Callable[..., Any]
#: Content of the shown image, which the page has as a blob.
READ_IMAGE = """async () => [...new Uint8Array(await new Promise((resolve) => {
    const image = document.getElementById("picture"), canvas = document.createElement("canvas");
    canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
    canvas.getContext("2d").drawImage(image, 0, 0);
    canvas.toBlob(async (blob) => resolve(await blob.arrayBuffer()));
}))]"""
#: The smallest width that the shown image had in a second.
SMALLEST_WIDTH = """async () => {
    const widths = [];
    for (const end = performance.now() + 1000; performance.now() < end; await new Promise((next) => setTimeout(next)))
        widths.push(document.getElementById("picture").naturalWidth);
    return Math.min(...widths);
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start one browser for all tests."""
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Opener]:
    """Return a function that opens a page as a new visitor; foreign requests and errors of the page fail the test."""
    problems: list[str] = []
    contexts = []

    def open_page(server: Served, **settings: Any) -> Any:
        contexts.append(browser.new_context(**{"viewport": DESK, **settings}))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        origin = f"http://127.0.0.1:{server.port}/"
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", lambda request: problems.append(request.url) if foreign(request.url, origin) else None)
        page.goto(origin)
        page.get_by_text(" ms").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


def foreign(url: str, origin: str) -> bool:
    """Return whether a request goes to a server other than the page's own."""
    return not url.startswith((origin, f"blob:{origin}", "data:"))


def shown(page: Any) -> NDArray[np.uint8]:
    """Return the pixels of the image, `(H, W)`, as gray."""
    picture = Image.open(io.BytesIO(bytes(page.evaluate(READ_IMAGE))))
    return np.asarray(picture.convert("L"))


def after(page: Any, action: Callable[[], Any]) -> NDArray[np.uint8]:
    """Return the image that an action leads to."""
    action()
    page.locator("#frame[aria-busy=false]").wait_for()
    return shown(page)


def drawn(folder: Path, seed: int, **choices: Any) -> NDArray[np.uint8]:
    """Return the image of a seed that the run draws, `(H, W)`."""
    pixels: NDArray[np.uint8] = ganforge.load(folder).sample(1, seed, **choices).images[0, :, :, 0]
    return pixels


def test_seeds_sliders_and_checkpoints_draw_the_image_of_the_run(page: Served, digits: Path, visit: Opener) -> None:
    """The page shows the image of its seed and checkpoint; a slider changes it, and its reset restores it."""
    visitor = visit(page)
    assert (shown(visitor) == drawn(digits, 0)).all()
    assert (after(visitor, lambda: visitor.get_by_label("Seed").fill("5")) == drawn(digits, 5)).all()
    assert (after(visitor, lambda: visitor.get_by_label("pc1").fill("2")) != drawn(digits, 5)).any()
    assert [visitor.get_by_label(name).input_value() for name in ("pc0", "pc1", "pc2")] == ["0", "2", "0"]
    assert (after(visitor, lambda: visitor.get_by_role("button", name="Reset").click()) == drawn(digits, 5)).all()
    earlier = after(visitor, lambda: visitor.get_by_label("Checkpoint").fill("0"))
    assert (earlier == drawn(digits, 5, checkpoint=1)).all()


def test_two_visitors_have_separate_states(page: Served, digits: Path, visit: Opener) -> None:
    """Seeds, sliders and pins of one visitor leave the other's page unchanged."""
    first, second = visit(page), visit(page)
    after(first, lambda: first.get_by_label("Seed").fill("5"))
    after(first, lambda: first.get_by_label("pc0").fill("3"))
    first.get_by_role("button", name="Pin", exact=True).click()
    first.get_by_role("button", name="Go to pin 1").wait_for()
    assert (after(second, lambda: second.get_by_label("Seed").fill("6")) == drawn(digits, 6)).all()
    assert second.get_by_label("pc0").input_value() == "0"
    assert second.get_by_role("button", name="Go to pin 1").count() == 0
    assert first.get_by_label("Seed").input_value() == "5"


def test_nonsense_is_one_sentence(page: Served, digits: Path, visit: Opener) -> None:
    """A seed that is not a whole number in range is refused, and a valid one is drawn afterwards."""
    visitor = visit(page)
    for seed in ("-1", "1.5", "", "99999999999999999999", "1e400"):
        visitor.get_by_label("Seed").fill("7")
        visitor.get_by_text(" ms").wait_for()
        visitor.get_by_label("Seed").fill(seed)
        visitor.get_by_text("The seed is a whole number from 0 to 9007199254740991.").wait_for()
    assert (after(visitor, lambda: visitor.get_by_label("Seed").fill("8")) == drawn(digits, 8)).all()


def test_pins_are_ends_of_a_path(page: Served, digits: Path, visit: Opener) -> None:
    """A path leads from the first pin to the last one; a pin restores its image, and can be removed."""
    visitor = visit(page)
    for number, seed in enumerate((5, 6), start=1):
        after(visitor, partial(visitor.get_by_label("Seed").fill, str(seed)))
        visitor.get_by_role("button", name="Pin", exact=True).click()
        visitor.get_by_role("button", name=f"Go to pin {number}").wait_for()
    position = visitor.get_by_label("Path")
    assert (after(visitor, lambda: position.fill("1")) == drawn(digits, 6)).all()
    between = after(visitor, lambda: position.fill("0.5"))
    assert (between != drawn(digits, 5)).any()
    assert (between != drawn(digits, 6)).any()
    assert (after(visitor, visitor.get_by_role("button", name="Go to pin 1").click) == drawn(digits, 5)).all()
    visitor.get_by_role("button", name="Remove pin 1").click()
    assert position.is_hidden()


def test_a_walk_moves_until_it_is_stopped(page: Served, visit: Opener) -> None:
    """Images change during a walk, none of them empty, and the last one remains after it."""
    visitor = visit(page)
    walk = visitor.get_by_role("button", name="Walk")
    walk.click()
    visitor.wait_for_timeout(1000)
    assert walk.get_attribute("aria-pressed") == "true"
    moving = shown(visitor)
    assert visitor.evaluate(SMALLEST_WIDTH) == moving.shape[1]
    stopped = after(visitor, walk.click)
    visitor.wait_for_timeout(300)
    assert (stopped != moving).any()
    assert (shown(visitor) == stopped).all()


def test_image_and_latent_can_be_saved(page: Served, digits: Path, visit: Opener, tmp_path: Path) -> None:
    """The PNG has the image's pixels, and `ganforge sample --latents` draws it from the .npz file."""
    visitor = visit(page)
    after(visitor, lambda: visitor.get_by_label("Seed").fill("5"))
    moved = after(visitor, lambda: visitor.get_by_label("pc1").fill("-2"))
    for name, suffix in (("Save PNG", "png"), ("Save latent", "npz")):
        with visitor.expect_download() as waiting:
            visitor.get_by_role("button", name=name).click()
        assert waiting.value.suggested_filename == f"digits-seed-5.{suffix}"
        waiting.value.save_as(tmp_path / f"saved.{suffix}")
    assert (np.asarray(Image.open(tmp_path / "saved.png")) == moved).all()
    sampled = ganforge.load(digits).sample(latents=Latents.load(tmp_path / "saved.npz"))
    assert (sampled.images[0, :, :, 0] == moved).all()


def test_nearest_training_images_are_shown(page: Served, visit: Opener) -> None:
    """They are searched on demand, and shown with their numbers next to the image that they were searched for."""
    visitor = visit(page)
    assert visitor.locator("#neighbor-list li").count() == 0
    visitor.get_by_role("button", name="Find").click()
    items = visitor.locator("#neighbor-list li")
    items.nth(6).wait_for()
    assert items.nth(0).inner_text() == "generated"
    assert items.nth(6).locator("img").evaluate("image => image.naturalWidth") == 28


def test_classes_fields_and_truncation_have_controls(layered: Path, plugin: Path, visit: Opener) -> None:
    """A conditional generator has its classes, its latents their fields, and its sampling options sliders."""
    with served(layered, "--plugin", plugin) as server:
        visitor = visit(server, viewport=PHONE)
        run = ganforge.load(layered, plugins=[plugin])
        seven = after(visitor, lambda: visitor.get_by_label("Class").select_option("7"))
        assert (seven == run.sample(1, 0, condition=7).images[0, :, :, 0]).all()
        truncated = after(visitor, lambda: visitor.get_by_label("truncation").fill("0.5"))
        assert (truncated == run.sample(1, 0, condition=7, sampling={"truncation": 0.5}).images[0, :, :, 0]).all()
        categories = [after(visitor, partial(visitor.get_by_label("category").select_option, value)) for value in "123"]
        assert len({image.tobytes() for image in categories}) == 3


@pytest.mark.parametrize(("viewport", "scheme"), [(PHONE, "dark"), (PHONE, "light"), (DESK, "dark")])
def test_the_page_fits_the_screen_and_its_colors(page: Served, visit: Opener, viewport: Any, scheme: str) -> None:
    """Nothing is wider than the screen, all buttons are within it, and the colors follow the system."""
    visitor = visit(page, viewport=viewport, color_scheme=scheme)
    visitor.get_by_text("Dimensions").click()
    assert visitor.evaluate("document.documentElement.scrollWidth") == viewport["width"]
    for button in visitor.get_by_role("button").all():
        box = button.bounding_box()
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= viewport["width"]
    lightness = visitor.evaluate("getComputedStyle(document.body).backgroundColor.match(/\\d+/)[0]")
    assert (int(lightness) < 128) == (scheme == "dark")


def test_the_end_of_the_server_is_reported(digits: Path, browser: Any) -> None:
    """A page whose server has ended names that."""
    with served(digits) as server:
        page = browser.new_page()
        page.goto(server.address)
        page.get_by_text(" ms").wait_for()
    page.get_by_role("button", name="New image").click()
    page.get_by_text("The server does not answer; ganforge explore may have ended.").wait_for()
    page.close()

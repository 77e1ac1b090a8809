"""Page of `ganforge export --web` in a real browser."""

from __future__ import annotations

import functools
import json
import math
import os
import shutil
import struct
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ganforge.cli.app import app

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
if CHROMIUM is None:
    pytest.skip("there is no Chromium: apt-get install chromium, or set CHROMIUM", allow_module_level=True)
playwright = pytest.importorskip(
    "playwright.sync_api", reason="there is no Playwright: python -m pip install '.[test]'"
)
onnxruntime = pytest.importorskip(
    "onnxruntime", reason="there is no onnxruntime: python -m pip install 'ganforge[onnx]'"
)

PHONE, DESK = {"width": 390, "height": 844}, {"width": 1280, "height": 900}
CLASSES, COUNT, GAP = 10, 16, 2
#: Local plugin with networks that take classes.
PLUGIN = """
import torch
from torch import nn
from ganforge import Component, Discriminator, Generator, hookimpl

class Labeled(Generator):
    conditional = True
    def __init__(self, options, image):
        super().__init__(options, image)
        self.table = nn.Embedding(image.num_classes, options.latent_dim)
        self.layer = nn.Linear(options.latent_dim, image.numel)
    def forward(self, z, condition=None):
        return torch.tanh(self.layer(z + 2 * self.table(condition))).view(-1, *self.image.shape)

class Blind(Discriminator):
    def __init__(self, options, image):
        super().__init__(options, image)
        self.layer = nn.Linear(image.numel, 1)
    def forward(self, images, condition=None):
        return self.layer(images.flatten(1)).squeeze(1)

@hookimpl
def ganforge_components():
    networks = {"generator": ("labeled", Labeled), "discriminator": ("blind", Blind)}
    return [Component(kind=kind, name=name, target=target) for kind, (name, target) in networks.items()]
"""


class Quiet(SimpleHTTPRequestHandler):
    """Static server that prints nothing."""

    def log_message(self, *_: object) -> None:
        """Print nothing."""


def run(*words: object) -> None:
    """Run a command."""
    with pytest.raises(SystemExit) as end:
        app([str(word) for word in words])
    assert not end.value.code


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train two steps and export the page."""
    folder = tmp_path_factory.mktemp("web")
    plugin = folder / "labeled.py"
    plugin.write_text(PLUGIN)
    flags = ("--plugin", plugin, "--no-plugins")
    training = ("--gen", "labeled", "--disc", "blind", "--data.source", "sample", "--steps", "2", "--precision", "fp32")
    run("run", *training, *flags, "--out", folder / "digits", "--quiet")
    run("export", folder / "digits", "--web", *flags, "--out", folder / "site")
    return folder / "site"


@pytest.fixture(scope="module")
def address(site: Path) -> Iterator[str]:
    """Serve the folder as any static server does."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Start one browser for all tests."""
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield running
        running.close()


def open_page(browser: Any, address: str, **settings: Any) -> Any:
    """Return a page that shows its first images; errors and requests to other servers fail the test."""
    context = browser.new_context(**settings)
    page = context.new_page()
    page.set_default_timeout(60_000)
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: None if request.url.startswith(address) else problems.append(request.url))
    page.goto(address)
    page.get_by_text(" ms").wait_for()
    assert problems == []
    return page


def latents(seed: int, count: int, size: int) -> NDArray[np.float32]:
    """Return the page's normal latents of a seed: mulberry32 and Box–Muller."""
    state, values = seed, []

    def uniform() -> float:
        nonlocal state
        state = (state + 0x6D2B79F5) & 0xFFFFFFFF
        value = ((state ^ (state >> 15)) * (state | 1)) & 0xFFFFFFFF
        value ^= (value + ((value ^ (value >> 7)) * (value | 61))) & 0xFFFFFFFF
        return float((value ^ (value >> 14)) & 0xFFFFFFFF) / 2**32

    for _ in range(count * size):
        radius = math.sqrt(-2 * math.log(1 - uniform()))
        values.append(radius * math.cos(2 * math.pi * uniform()))
    return np.array(values, np.float32).reshape(count, size)


def shown(page: Any) -> NDArray[np.uint8]:
    """Return the pixels of the canvas, `(H, W)`, as gray."""
    script = """() => { const c = document.getElementById("picture");
        return [c.width, c.height, [...c.getContext("2d").getImageData(0, 0, c.width, c.height).data]]; }"""
    width, height, data = page.evaluate(script)
    return np.array(data, np.uint8).reshape(height, width, 4)[..., 0]


def expected(site: Path, seed: int, classes: NDArray[np.int64]) -> list[NDArray[np.float64]]:
    """Return the images of the model, as onnxruntime draws them."""
    session = onnxruntime.InferenceSession(site / "generator.onnx", providers=["CPUExecutionProvider"])
    size = json.loads((site / "facts.json").read_text())["latent"]["size"]
    (images,) = session.run(None, {"z": latents(seed, len(classes), size), "condition": classes})
    return [np.floor((image[0] + 1) * 127.5 + 0.5) for image in images]


def tiles(picture: NDArray[np.uint8], side: int = 28) -> list[NDArray[np.uint8]]:
    """Return the images of a grid, row by row."""
    starts = range(0, picture.shape[0], side + GAP)
    return [picture[top : top + side, left : left + side] for top in starts for left in starts]


def test_the_page_shows_the_images_of_the_model(site: Path, address: str, browser: Any) -> None:
    """Seed and class decide the images, which are onnxruntime's; the page requests nothing from elsewhere."""
    page = open_page(browser, address, viewport=DESK)
    in_turn = np.arange(COUNT) % CLASSES
    for tile, image in zip(tiles(shown(page)), expected(site, 0, in_turn), strict=True):
        assert np.abs(tile - image).max() <= 1
    page.get_by_label("Class").select_option("3")
    page.get_by_role("button", name="Next seed").click()
    page.get_by_text("16 images of seed 1 in").wait_for()
    for tile, image in zip(tiles(shown(page)), expected(site, 1, np.full(COUNT, 3)), strict=True):
        assert np.abs(tile - image).max() <= 1


def test_the_slider_ends_at_the_next_seed(site: Path, address: str, browser: Any) -> None:
    """At its end the images are those of the next seed, and one image can be chosen."""
    page = open_page(browser, address, viewport=DESK)
    page.get_by_label("Images", exact=True).select_option("1")
    page.get_by_label("Towards the next seed").fill("100")
    page.get_by_text("1 image of seed 0 in").wait_for()
    page.wait_for_timeout(500)
    (image,) = expected(site, 1, np.zeros(1, np.int64))
    assert np.abs(shown(page) - image).max() <= 1


def test_nonsense_and_a_missing_model_are_one_sentence(address: str, browser: Any) -> None:
    """A seed that is not a whole number is refused, and a model that does not load is named."""
    page = open_page(browser, address, viewport=DESK)
    for seed in ("-1", "1.5", "", "99999999999"):
        page.get_by_label("Seed", exact=True).fill(seed)
        page.get_by_text("The seed is a whole number from 0 to 4294967295.").wait_for()
    page.get_by_label("Seed", exact=True).fill("7")
    page.get_by_text("16 images of seed 7 in").wait_for()
    context = browser.new_context()
    broken = context.new_page()
    broken.route("**/generator.onnx", lambda route: route.fulfill(status=404, body="no"))
    broken.goto(address)
    broken.get_by_text("The model cannot be run: ").wait_for()


def test_the_page_fits_a_phone_in_the_dark(address: str, browser: Any) -> None:
    """On a narrow screen nothing is cut off, and the colors follow the system."""
    page = open_page(browser, address, viewport=PHONE, color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != "rgb(255, 255, 255)"


def test_the_picture_can_be_saved(address: str, browser: Any) -> None:
    """The button saves a PNG named after the seed."""
    page = open_page(browser, address, viewport=DESK)
    with page.expect_download() as waiting:
        page.get_by_role("button", name="Save as PNG").click()
    assert waiting.value.suggested_filename == "seed-0.png"
    header = Path(waiting.value.path()).read_bytes()[:24]
    side = 4 * 28 + 3 * GAP
    assert (header[1:4], struct.unpack(">2I", header[16:])) == (b"PNG", (side, side))


def test_the_runtime_has_its_licenses(site: Path) -> None:
    """The folder has the library's license and notices."""
    assert "MIT License" in (site / "onnxruntime" / "LICENSE").read_text()
    assert (site / "onnxruntime" / "ThirdPartyNotices.txt").stat().st_size > 100_000

"""Time from a slider of `ganforge explore` to its picture: `python docs/scripts/measure_explore.py ADDRESS`.

A headless Chromium moves the first slider 300 times. Each time is that from the input event to the frame after the
picture was loaded. The options `--chromium` and `--count` name the browser and the number of moves.
"""

from __future__ import annotations

import argparse
import shutil

#: Moves the first slider from end to end, and returns the milliseconds of each move.
SCRIPT = """async (count) => {
    const slider = document.querySelector("#groups input"), picture = document.getElementById("picture"), times = [];
    for (let move = 0; move < count; move++) {
        const begun = performance.now();
        const loaded = new Promise((resolve) => picture.addEventListener("load", resolve, { once: true }));
        slider.value = -3 + (6 * move) / count;
        slider.dispatchEvent(new Event("input"));
        await loaded;
        await new Promise(requestAnimationFrame);
        times.push(performance.now() - begun);
        await new Promise((resolve) => setTimeout(resolve, 20));
    }
    return times;
}"""


def main() -> None:
    """Print median, 95th percentile and maximum."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - the tests import this file without it

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--chromium", default=shutil.which("chromium"))
    options = parser.parse_args()
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=options.chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        page.goto(options.address)
        page.get_by_text(" ms").wait_for()
        times = sorted(page.evaluate(SCRIPT, options.count))
        browser.close()
    median, high = (times[int(share * len(times))] for share in (0.5, 0.95))
    print(f"{len(times)} moves: median {median:.0f} ms, 95th percentile {high:.0f} ms, maximum {times[-1]:.0f} ms")


if __name__ == "__main__":
    main()

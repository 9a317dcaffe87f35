"""Screenshots of the page for docs/getting-started.md and docs/report.md.

    distillbench report results/quick -o page
    python docs/images/shoot.py page

Needs playwright and Chromium, as ``make test-browser`` does.
"""

from __future__ import annotations

import io
import os
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

HERE = Path(__file__).parent
SHOTS = {"overview-light": ("index.html", "light", "h1"), "task-dark": ("vae.html", "dark", "section h2")}
"""{name: (page, colour scheme, what stands at the top)}."""
WIDTH, HEIGHT = 1280, 900
COLOURS = 128


def main() -> None:
    page = Path(sys.argv[1]).resolve()
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        for name, (file, scheme, top) in SHOTS.items():
            tab = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
            tab.goto(f"{page.as_uri()}/{file}")
            tab.locator(top).first.evaluate("element => element.scrollIntoView()")
            tab.locator("figure.chart .main-svg").first.wait_for()
            tab.wait_for_timeout(1500)  # for every chart in view
            with Image.open(io.BytesIO(tab.screenshot())) as image:
                image.convert("RGB").quantize(COLOURS).save(HERE / f"{name}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    main()

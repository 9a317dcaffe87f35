"""How a page grows with its records: ``python tests/simulations/large_page.py 1000 10000``.

Copies the published students under other methods' names and seeds until there are as many records as asked for, builds
the page, and opens its overview, a task and a cell in headless Chromium (``CHROMIUM``, or one on PATH).
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

from distillbench.bench.report.page.site import build
from distillbench.bench.store.documents import canonical_hash
from distillbench.bench.store.records import Record, Store

QUICK = Path(__file__).parents[2] / "results" / "quick"
SEEDS = 20


def copies(patterns: list[Record]) -> Iterator[Record]:
    """Yield, without end, records of methods m0, m1, …, each with twenty seeds on every task and pair."""
    for method in count():
        for seed in range(SEEDS):
            for pattern in patterns:
                label = f"m{method}"
                config = pattern.config | {"method": label, "seed": seed}
                update = {"label": label, "seed": seed, "config": config, "config_hash": canonical_hash(config)}
                yield pattern.model_copy(update=update)


def fill(folder: Path, records: int) -> None:
    """Write so many records into a results folder."""
    published = Store(QUICK).scan().records
    controls = [r for r in published if r.kind != "student" or r.label == "scratch"]
    patterns = [r for r in published if r.label == "temperature" and r.seed == 0]
    store = Store(folder)
    for record in controls:
        store.write(record.path, record)
    for record, _ in zip(copies(patterns), range(records - len(controls)), strict=False):
        store.write(record.path, record)


def loading_seconds(page: Path) -> dict[str, float]:
    """Return the seconds until a page's load event, and until its last table and visible chart are there."""
    from playwright.sync_api import sync_playwright

    browser_path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    cell = "cell.html#vae/mlp_256_16/m0/seed-3"
    waits = {"index.html": "figure.chart .main-svg", "vae.html": "figure.chart .main-svg", cell: "#cell table"}
    seconds = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=browser_path, args=["--no-sandbox"])
        for name, wait in waits.items():
            tab = browser.new_page()
            start = time.perf_counter()
            tab.goto(f"{page.as_uri()}/{name}")
            seconds[f"{name.partition('#')[0]} loaded"] = time.perf_counter() - start
            if wait.startswith("figure"):
                tab.locator("figure.chart").first.scroll_into_view_if_needed()
            tab.locator(wait).first.wait_for(timeout=120_000)
            seconds[f"{name.partition('#')[0]} drawn"] = time.perf_counter() - start
            tab.close()
        browser.close()
    return seconds


def main() -> None:
    for records in map(int, sys.argv[1:]):
        with TemporaryDirectory() as folder:
            results, page = Path(folder, "results"), Path(folder, "page")
            fill(results, records)
            start = time.perf_counter()
            files = build(results, page)
            took = time.perf_counter() - start
            sizes = {True: 0, False: 0}
            for file in files:
                sizes[file.parent.name in ("figures", "pictures")] += file.stat().st_size
            print(f"{records} records: built in {took:.0f} s, {sizes[False] / 1e6:.1f} MB", end="")
            print(f" and {sizes[True] / 1e6:.1f} MB of figures", flush=True)
            for name, seconds in loading_seconds(page).items():
                print(f"  {name} after {seconds:.2f} s", flush=True)


if __name__ == "__main__":
    main()

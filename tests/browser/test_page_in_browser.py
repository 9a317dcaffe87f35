"""The page and the board of the published quick suite, as a reader uses them."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from distillbench.bench.leaderboard.build import leaderboard, write
from distillbench.bench.report.page.site import build

RESULTS = Path(os.environ.get("RESULTS", Path(__file__).parents[2] / "results" / "quick"))
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
LOAD_SECONDS = 2


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium. Without one the tests fail: whoever asks for them wants an answer."""
    path = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, BROWSERS)), None)
    assert path, f"no browser (allowed: {', '.join(BROWSERS)} on PATH, or CHROMIUM=its path)"
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def page_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the published quick suite."""
    out = tmp_path_factory.mktemp("page")
    build(RESULTS, out)
    return out


class Visit:
    """One tab, and what went wrong in it: console messages, errors, and requests that leave the folder."""

    def __init__(self, browser: Any, folder: Path, **options: Any) -> None:
        self.folder = folder
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}} | options)
        self.tab = self.context.new_page()
        self.wrong: list[str] = []
        self.tab.on("console", lambda message: self.wrong.append(f"console: {message.text}"))
        self.tab.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        self.tab.on("request", self._request)

    def _request(self, request: Any) -> None:
        if not request.url.startswith((self.folder.as_uri() + "/", "data:", "blob:")):
            self.wrong.append(f"request: {request.url}")

    def open(self, name: str) -> Any:
        self.tab.goto(f"{self.folder.as_uri()}/{name}")
        return self.tab


@pytest.fixture
def visit(browser: Any, page_folder: Path) -> Iterator[Visit]:
    """Whatever a test does, nothing may go wrong beside it."""
    tab = Visit(browser, page_folder)
    yield tab
    tab.context.close()
    assert tab.wrong == []


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.html"))


def test_every_page_opens_with_all_its_charts_and_figures(visit: Visit, page_folder: Path) -> None:
    for name in names(page_folder):
        tab = visit.open(name)
        charts = tab.locator("figure.chart")
        for i in range(charts.count()):
            charts.nth(i).scroll_into_view_if_needed()
            charts.nth(i).locator(".main-svg").first.wait_for()
            assert charts.nth(i).locator(".trace").count() > 0
        images = tab.locator("figure.image img")
        for i in range(images.count()):
            images.nth(i).scroll_into_view_if_needed()
            tab.wait_for_function(
                "image => image.complete && image.naturalWidth > 0", arg=images.nth(i).element_handle()
            )


def test_every_page_is_there_in_two_seconds(visit: Visit, page_folder: Path) -> None:
    for name in names(page_folder):
        tab = visit.open(name)
        tab.wait_for_load_state("load")
        took = tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
        assert took < 1000 * LOAD_SECONDS, name


def column(tab: Any, index: int) -> list[str]:
    cells = tab.locator("table.sortable").first.locator("tbody tr").locator(f":scope > *:nth-child({index + 1})")
    return [text.strip() for text in cells.all_inner_texts()]


def test_a_click_on_a_heading_sorts_by_number_within_each_section(visit: Visit) -> None:
    tab = visit.open("classification.html")
    headings = [h.strip() for h in tab.locator("table.sortable").first.locator("thead th").all_inner_texts()]
    heading = tab.locator("table.sortable").first.locator("thead th").nth(headings.index("accuracy ↑ (%)"))
    before = sections(tab)
    assert list(dict.fromkeys(before)) == ["teacher", "control", "method", "baseline"]
    for press, order in ((heading.click, "ascending"), (lambda: enter(heading), "descending")):
        press()
        heading.and_(tab.locator(f"[aria-sort={order}]")).wait_for()
        values = [float(text.split()[0]) for text in column(tab, headings.index("accuracy ↑ (%)"))]
        assert sections(tab) == before
        for section in ("control", "method"):
            own = [value for value, of in zip(values, before, strict=True) if of == section]
            assert len(own) > 1
            assert own == sorted(own, reverse=order == "descending")


def sections(tab: Any) -> list[str]:
    rows = tab.locator("table.sortable").first.locator("tbody tr")
    return [rows.nth(i).get_attribute("class").split()[0] for i in range(rows.count())]


def enter(heading: Any) -> None:
    heading.locator("[tabindex='0']").press("Enter")


def test_search_leaves_the_rows_that_have_the_word(visit: Visit) -> None:
    tab = visit.open("classification.html")
    tab.locator("input[type=search]").first.fill("temperature")
    assert [text.strip() for text in column(tab, 0)] == ["temperature"]


def test_a_filter_leaves_the_records_of_one_row(visit: Visit) -> None:
    tab = visit.open("super_resolution.html")
    records = tab.locator("table.cells tbody tr")
    tab.locator("table.cells thead [tabindex='0']").nth(2).press("Enter")  # sorted, a filter must still find its rows
    tab.get_by_role("combobox", name="row").select_option("logistic")
    assert {text.split("\t")[1].strip() for text in records.all_inner_texts()} == {"logistic"}
    tab.get_by_role("combobox", name="row").select_option("all")
    assert len({text.split("\t")[1].strip() for text in records.all_inner_texts()}) > 1


def test_pointing_at_a_dot_tells_what_it_is(visit: Visit) -> None:
    tab = visit.open("classification.html")
    chart = tab.locator("figure.chart").first
    chart.scroll_into_view_if_needed()
    dot = chart.locator(".trace .point").first
    dot.wait_for()
    box = dot.bounding_box()
    tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    chart.locator(".hoverlayer .hovertext").wait_for()
    assert re.search(r"seed \d", chart.locator(".hoverlayer .hovertext").first.text_content())


def test_by_clicks_alone_to_a_cell_and_its_record(visit: Visit) -> None:
    tab = visit.open("index.html")
    tab.get_by_role("link", name="vae", exact=True).first.click()
    tab.locator("table.cells input, .dt-container:has(table.cells) input[type=search]").last.fill("temperature")
    tab.locator("table.cells tbody a").first.click()
    tab.get_by_text(re.compile(r"\d ± \d+\.\d\d nats \(lower is better\)")).first.wait_for()
    with tab.expect_download() as download:
        tab.get_by_role("link", name=re.compile(r"^vae--.*\.json$")).click()
    assert '"task": "vae"' in Path(download.value.path()).read_text()
    assert "distillbench run again.toml" in tab.locator("#cell").inner_text()


def test_a_cell_that_is_not_there_says_so(visit: Visit) -> None:
    tab = visit.open("cell.html#vae/__proto__/<img src=x onerror=alert(1)>")
    tab.get_by_text("This page has no such cell.").wait_for()
    assert tab.locator("main img").count() == 0


def test_the_policy_holds(browser: Any, page_folder: Path) -> None:
    """What a record could smuggle in does not run, and asks nobody."""
    visit = Visit(browser, page_folder)
    tab = visit.open("index.html")
    tab.evaluate("""() => {
        const script = document.createElement("script");
        script.textContent = "window.ran = 1";
        const image = document.createElement("img");
        image.src = "https://example.invalid/x.png";
        const place = document.createElement("div");
        place.innerHTML = "<b onclick='window.ran = 1'>x</b>";
        document.body.append(script, image, place);
        place.firstChild.click();
    }""")
    tab.wait_for_timeout(200)
    assert tab.evaluate("window.ran") is None
    assert sum("Content Security Policy" in line for line in visit.wrong) >= 3
    visit.context.close()


@pytest.mark.parametrize("name", ["index.html", "classification.html", "cell.html#vae/mlp_256_16/scratch/seed-0"])
def test_a_phone_has_no_need_to_scroll_sideways(browser: Any, page_folder: Path, name: str) -> None:
    visit = Visit(browser, page_folder, viewport={"width": 390, "height": 844})
    tab = visit.open(name)
    tab.wait_for_timeout(500)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    visit.context.close()


def test_in_the_dark_letters_are_light(browser: Any, page_folder: Path) -> None:
    visit = Visit(browser, page_folder, color_scheme="dark")
    tab = visit.open("classification.html")
    shades = tab.evaluate("""() => {
        const sum = (colour) => colour.match(/[\\d.]+/g).slice(0, 3).map(Number).reduce((a, b) => a + b);
        const behind = (e) => /, 0\\)$/.test(getComputedStyle(e).backgroundColor) ? behind(e.parentElement) : e;
        return [...document.querySelectorAll("td, th, p, li")].map((e) =>
            [sum(getComputedStyle(e).color), sum(getComputedStyle(behind(e)).backgroundColor)]);
    }""")
    assert len(shades) > 50
    assert all(letters > paper + 200 for letters, paper in shades)
    visit.context.close()


@pytest.fixture(scope="session")
def board_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The board of the published records."""
    out = tmp_path_factory.mktemp("board") / "board"
    write(leaderboard([RESULTS]), out)
    return out


def test_a_board_is_sorted_and_sifted_by_size_and_keeps_its_ranks(browser: Any, board_folder: Path) -> None:
    visit = Visit(browser, board_folder)
    tab = visit.open("index.html")
    board = tab.locator("section[id^=board-] table.ranking").first
    ranks = board.locator("tbody tr:visible td:first-child")
    before = ranks.all_inner_texts()
    board.locator("thead [tabindex='0']").first.press("Enter")
    board.locator("thead [aria-sort]").first.wait_for()
    assert sorted(ranks.all_inner_texts()) == sorted(before)
    tab.get_by_label("Students").select_option("under 10k parameters")
    note = tab.locator("#shown").inner_text()
    few, all_ = map(int, re.findall(r"\d+", note)[:2])
    assert 0 < few < all_
    assert "ranks and tiers are those of all" in note
    assert visit.wrong == []
    visit.context.close()


def test_a_board_fits_a_phone_and_is_light_on_dark(browser: Any, board_folder: Path) -> None:
    visit = Visit(browser, board_folder, viewport={"width": 390, "height": 844}, color_scheme="dark")
    tab = visit.open("index.html")
    tab.wait_for_timeout(500)
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    assert visit.wrong == []
    visit.context.close()

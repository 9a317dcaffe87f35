"""The page of a results folder: what is written, and that whatever comes from a record is text."""

from __future__ import annotations

import base64
import csv
import gzip
import io
import json
import re
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from distillbench.bench.analysis.results import summaries
from distillbench.bench.analysis.summary import summarise
from distillbench.bench.report.chart import HeatMap, HeatMapCell, frame
from distillbench.bench.report.charts import curve, gap_recovered, of_task
from distillbench.bench.report.page.printed import draw, files
from distillbench.bench.report.page.site import build, site
from distillbench.bench.report.suite_of_record import suite_file
from distillbench.bench.run.figures.drawing import png
from distillbench.bench.store.figures import FigureFile, FigureSet, usable, write
from distillbench.bench.store.records import Failure, Record, Store
from distillbench.bench.suite.resolve import load
from distillbench.common.errors import UserError
from distillbench.tasks.figures.kinds import ImageGrid
from support.html import Collector
from support.processes import Run
from support.records import record, records
from support.results import folder


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return site(folder(tmp_path_factory.mktemp("results"), records()))


def links(page: bytes) -> set[str]:
    """Files that a page refers to."""
    targets = (attributes.get(key) for _, attributes in Collector(page).tags for key in ("href", "src"))
    return {target.partition("#")[0] for target in targets if target and not target.startswith(("#", "data:,"))}


def test_every_link_and_source_is_a_file_of_the_page(pages: dict[str, bytes]) -> None:
    for name, content in pages.items():
        if name.endswith(".html"):
            assert links(content) <= pages.keys(), name


def test_the_same_records_give_the_same_bytes(tmp_path: Path, pages: dict[str, bytes]) -> None:
    again = site(folder(tmp_path / "results", records()))
    assert {name for name in pages if pages[name] != again.get(name)} <= {"index.html", "cell.html"} | {
        name for name in pages if name.startswith("data/")
    }  # records are of another second


def test_the_overview_shows_what_each_method_recovers_and_which_cells_failed(pages: dict[str, bytes]) -> None:
    text = Collector(pages["index.html"]).text
    assert "Gap recovered" in text
    assert "57%" in text
    assert re.search(r"classification, cnn_mlp, broken: 1 failed", text)


def test_a_cell_page_has_the_whole_record(pages: dict[str, bytes]) -> None:
    (name,) = (name for name in pages if name.startswith("data/"))
    packed = json.loads(re.search(r',("[^"]*")\);', pages[name].decode()).group(1))  # type: ignore[union-attr]
    cells = json.loads(gzip.decompress(base64.b64decode(packed)))
    record = Record.model_validate(cells["classification/cnn_mlp/good/seed-0"]["record"])
    assert record.label == "good"


HOSTILE = [
    *("<script>alert(1)<|script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "a$b$", "</caption>"),
    *("=HYPERLINK(1)", "a\u202eb"),
]


def test_a_hostile_name_is_text(tmp_path: Path) -> None:
    named = [r.model_copy(update={"pair": name.replace("/", "|")}) for name in HOSTILE for r in records()[:4]]
    (broken,) = (r for r in records() if r.failure)
    named.append(broken.model_copy(update={"failure": Failure(reason="x" * 1_000_000)}))
    pages = site(folder(tmp_path, named))
    for name, content in pages.items():
        if name.endswith(".html"):
            page = Collector(content)
            scripts = [attributes for tag, attributes in page.tags if tag == "script"]
            assert all(s.get("src", "").startswith("assets/") or s.get("type") == "application/json" for s in scripts)
            assert not any(key.startswith("on") for _, attributes in page.tags for key in attributes)
    text = Collector(pages["classification.html"]).text
    assert all(name.replace("/", "|") in text for name in HOSTILE[:-1])
    assert "49" not in text
    assert "\\u202e" in text
    assert "\u202e" not in text
    assert len(pages["classification.html"]) < 1_000_000
    dangling = [link for name in pages if name.endswith(".html") for link in links(pages[name]) if link not in pages]
    assert dangling == []
    tables = [content.decode() for name, content in pages.items() if name.endswith(".csv")]
    assert not any(cell.startswith("=") for table in tables for line in csv.reader(table.splitlines()) for cell in line)


def test_a_folder_without_methods_has_a_page_without_a_map(tmp_path: Path) -> None:
    pages = site(folder(tmp_path, [r for r in records() if r.label in ("scratch", "teacher")]))
    assert "Gap recovered" not in Collector(pages["index.html"]).text


def test_a_folder_of_something_else_is_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "thesis.tex").write_text("mine")
    with pytest.raises(UserError, match="is not a page of distillbench"):
        build(folder(tmp_path / "results", records()), tmp_path / "page")
    assert [path.name for path in (tmp_path / "page").iterdir()] == ["thesis.tex"]


def test_a_page_is_written_over_itself(cli: Run, tmp_path: Path) -> None:
    results = folder(tmp_path / "results", [r for r in records() if r.label in ("scratch", "teacher")])
    build(results, tmp_path / "page")
    (tmp_path / "page" / "index.html").write_text("old")
    done = cli("report", results, "-o", tmp_path / "page")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Overview" in (tmp_path / "page" / "index.html").read_text()


@pytest.mark.parametrize("seed", [0, 3])
def test_the_suite_on_a_cells_page_makes_that_cell_again(tmp_path: Path, seed: int) -> None:
    """Of a suite whose settings are not the defaults: the hash is of all that decides the cell."""
    table = {
        "seeds": [0, 3],
        "methods": ["temperature"],
        "tasks": {
            "classification": {"steps": 7, "hyperparameters": {"temperature": {"temperature": 3.0, "alpha": 0.2}}}
        },
    }
    cell = next(c for c in load(table).cells if c.kind == "student" and c.seed == seed)
    pattern = next(r for r in records() if r.kind == "student")
    record = pattern.model_copy(update={"task": cell.pair.task, "pair": cell.pair.pair, "label": cell.label})
    record = record.model_copy(update={"seed": seed, "config": cell.config, "config_hash": cell.hash})
    (tmp_path / "again.toml").write_text(suite_file(record))
    again = [c for c in load(tmp_path / "again.toml").cells if c.kind == "student"]
    assert [c.hash for c in again] == [cell.hash]


def figure_set(results: Path) -> FigureSet:
    """A figure of the folder's first seed of one pair."""
    students = [r for r in Store(results).scan().records if r.kind == "student" and r.seed == 0]
    task, pair = students[0].task, students[0].pair
    content = png(ImageGrid({"good": torch.zeros(2, 1, 8, 8)}), "zeros")
    (results / "figures").mkdir()
    (results / "figures" / "zeros.png").write_bytes(content)
    figure = FigureFile(name="zeros", file="zeros.png", sha256=sha256(content).hexdigest(), alt="Nothing but zeros")
    hashes = {r.label: r.config_hash for r in students if r.pair == pair}
    figures = FigureSet(task=task, pair=pair, seed=0, students=hashes, figures=(figure,))
    write(results, figures)
    return figures


def test_a_figure_of_these_records_is_shown_with_its_alt_text(tmp_path: Path) -> None:
    results = folder(tmp_path, records())
    figures = figure_set(results)
    pages = site(results)
    images = [a for tag, a in Collector(pages[f"{figures.task}.html"]).tags if tag == "img"]
    assert {"figures/zeros.png": "Nothing but zeros"}.items() <= {i["src"]: i["alt"] for i in images}.items()
    assert pages["figures/zeros.png"] == (results / "figures" / "zeros.png").read_bytes()


def changed(results: Path, figures: FigureSet) -> None:
    (results / "figures" / "zeros.png").write_bytes(b"something else")


def gone(results: Path, figures: FigureSet) -> None:
    (results / "figures" / "zeros.png").unlink()


def linked(results: Path, figures: FigureSet) -> None:
    content = (results / "figures" / "zeros.png").rename(results / "other.png")
    (results / "figures" / "zeros.png").symlink_to(content)


def of_other_records(results: Path, figures: FigureSet) -> None:
    write(results, figures.model_copy(update={"students": {"good": "0" * 64}}))


def of_a_file_elsewhere(results: Path, figures: FigureSet) -> None:
    path = results / figures.path
    path.write_text(path.read_text().replace('"zeros.png"', '"../records/zeros.png"'))


@pytest.mark.parametrize("harm", [changed, gone, linked, of_other_records, of_a_file_elsewhere])
def test_a_figure_that_is_not_as_it_was_made_of_these_records_is_left_out(
    tmp_path: Path, harm: Callable[[Path, FigureSet], None]
) -> None:
    results = folder(tmp_path, records())
    figures = figure_set(results)
    hashes = {record.config_hash for record in Store(results).scan().records}
    assert usable(results, hashes) == [figures]
    harm(results, figures)
    assert usable(results, hashes) == []


def test_a_gap_that_rounds_to_zero_has_no_sign() -> None:
    values = [82.0, 80.0, 81.0]
    students = [record("teacher", "teacher", 0, 90.0)]
    students += [record("student", "scratch", seed, value) for seed, value in enumerate(values)]
    students += [record("student", "hardly", seed, value - 0.02 + seed / 100) for seed, value in enumerate(values)]
    cell = gap_recovered(summarise(students)).cells["hardly", "classification"]
    assert cell.value is not None
    assert -0.005 < cell.value < 0
    assert cell.text.rstrip("*") == "0%"
    assert replace(cell, ends=(-0.001, 0.034)).interval == "[0, 3]"


def test_the_charts_of_a_task_have_its_numbers(tmp_path: Path) -> None:
    results = folder(tmp_path, records())
    (summary,) = (s for s in summaries(results) if s.task == "classification")
    charts = {chart.name: chart for pair_charts in of_task(summary).values() for chart in pair_charts}
    differences = charts["classification-cnn_mlp-differences"]
    good = next(row for row in summary.rows if row.name == "good")
    points = [p for p in differences.series[0].points if p.label.startswith("good")]
    assert [p.x for p in points] == list(good.differences_by_seed.values())
    assert good.difference is not None
    mean = next(p for p in differences.series[1].points if p.label.startswith("good"))
    assert mean.x == pytest.approx(sum(good.differences_by_seed.values()) / len(good.differences_by_seed))
    front = next(
        series for series in charts["classification-cnn_mlp-parameters"].series if series.name == "Pareto front"
    )
    assert [p.x for p in front.points] == sorted(p.x for p in front.points)
    table = frame(differences)
    assert len(table) == sum(len(series.points) for series in differences.series)


def test_the_band_of_a_curve_of_percentages_ends_where_they_do(tiny_results: Path) -> None:
    """Of three seeds, one of which learnt nothing, an interval reaches from below 0 to above 100."""
    (summary,) = summaries(tiny_results)
    rows = []
    for row in summary.rows:
        curves = {
            seed: points.model_copy(update={"validation": tuple({0: 10.0}.get(seed, 90.0) for _ in points.validation)})
            for seed, points in row.curves.items()
        }
        rows.append(replace(row, curves=curves))
    chart = curve(replace(summary, rows=tuple(rows)), "cnn_mlp", "validation")
    assert chart is not None
    ends = {point.y_ends for series in chart.series for point in series.points}
    assert ends == {(0, 100)}


def test_the_printed_map_says_a_gap_and_its_interval_in_two_lines() -> None:
    chart = HeatMap("map", "Map", ("a",), ("b",), {("a", "b"): HeatMapCell(0.81, "81%*", True, (0.78, 0.84))}, "a map")
    assert [text.get_text() for text in draw(chart).axes[0].texts] == ["81%*\n[78, 84]"]


def test_each_form_of_a_chart_is_the_same_alone_and_beside_the_other() -> None:
    chart = gap_recovered([summarise(records())[0]])
    both = files(chart, ["svg", "png"])
    assert files(chart, ["png", "svg"]) == both
    assert [files(chart, [form]) for form in both] == [{form: content} for form, content in both.items()]


@pytest.mark.parametrize("title", ["Map", "A title that is much wider than a map of one cell, to both of its sides"])
def test_all_of_a_chart_is_printed_with_a_margin_around(title: str) -> None:
    printed = files(
        HeatMap("map", title, ("a",), ("b",), {("a", "b"): HeatMapCell(0.8, "80%", True, (0.7, 0.9))}, "a map")
    )
    with Image.open(io.BytesIO(printed["png"])) as image:
        pixels = np.asarray(image.convert("L"))
    rows, columns = np.nonzero((pixels < 250).any(1))[0], np.nonzero((pixels < 250).any(0))[0]
    for first, last, size in ((rows[0], rows[-1], len(pixels)), (columns[0], columns[-1], pixels.shape[1])):
        assert 15 <= first <= 25
        assert 15 <= size - 1 - last <= 25
    inches = re.search(rb'width="([\d.]+)pt" height="([\d.]+)pt"', printed["svg"])
    assert inches is not None
    assert [float(side) / 72 for side in inches.groups()] == pytest.approx(
        [s / 200 for s in pixels.shape[::-1]], abs=0.01
    )


def test_plot_writes_one_chart_and_names_what_it_has(cli: Run, tmp_path: Path) -> None:
    results = folder(tmp_path / "results", records())
    done = cli("plot", "gap-recovered", results, "-o", tmp_path / "gap.png")
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "gap.png").read_bytes().startswith(b"\x89PNG")
    assert "average-rank" in cli("plot", "list", results).stdout
    done = cli("plot", "gap-recoverd", results)
    assert done.returncode == 2
    assert "did you mean 'gap-recovered'" in done.stderr
    done = cli("plot", "gap-recovered", results, "-o", tmp_path / "gap.pdf")
    assert done.returncode == 2
    assert "allowed: .svg, .png, .csv" in done.stderr

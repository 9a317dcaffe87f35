"""Rebuild what is published from the records: the tables beside them, the leaderboard, and the generated blocks of
README.md, docs/results.md, docs/methods.md and docs/reproduction.md.

    python results/publish.py [--check]

``--check`` writes nothing, names what is not current, and exits with 1 where anything is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from io import StringIO
from pathlib import Path
from statistics import fmean

from rich.console import Console

from distillbench.bench.analysis.notes import machine_name
from distillbench.bench.analysis.results import speed_tables, summaries
from distillbench.bench.analysis.rows import Summary
from distillbench.bench.analysis.speeds import SpeedTable
from distillbench.bench.leaderboard import build
from distillbench.bench.report import speeds, writers
from distillbench.bench.report.chart import HeatMap, HeatMapCell
from distillbench.bench.report.charts import NOT_RUN, column_name, gap_recovered
from distillbench.bench.report.formatting import DASH
from distillbench.bench.report.summaries import tables
from distillbench.bench.report.terminal import terminal
from distillbench.bench.store.figures import FOLDER as FIGURES
from distillbench.bench.store.records import Record, Store
from distillbench.bench.store.timings import Timing, scan
from distillbench.common.atomic import write_atomically
from distillbench.common.text import listed

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
README = ROOT / "README.md"
DETAILS = ROOT / "docs" / "results.md"
METHODS = ROOT / "docs" / "methods.md"
REPRODUCTION = ROOT / "docs" / "reproduction.md"
TASKS = {"mnist": ("classification", "gan", "vae"), "quick": ("denoising", "style_transfer", "super_resolution")}
"""{suite: the tasks of it that README and docs/results.md show}, each published in the folder of its name."""
REPRODUCING = "restoration"
"""The published suite of standard data sets, which docs/reproduction.md shows; it has a single method to rank."""
SUITES = (*TASKS, REPRODUCING)
"""All suites that are published."""
FIGURE = ("mnist", "gan--dcgan_48_8--samples.png", "Digits that the teacher and its students generate, a method a row")
"""The README's figure: suite, file, and what it shows."""
GALLERY = {
    "mnist": {"gan--dcgan_48_8--samples.png": "GAN samples", "vae--conv_48_8--samples.png": "VAE samples"},
    "quick": {"denoising--dncnn--difference.png": "Denoised photographs where the methods differ most"},
    "restoration": {
        "denoising--bsd68--difference.png": "BSD68, denoised, where the methods differ most",
        "super_resolution--set5_few--difference.png": "Set5 ×3 from five originals, where the methods differ most",
    },
}
"""{suite: {file: what it shows}}, of docs/results.md and docs/reproduction.md."""
WIDTH = 80


@dataclass(frozen=True)
class Reproduction:
    """A published figure, and the row of the suite ``restoration`` that stands beside it."""

    network: str
    published: str
    task: str
    pair: str
    row: str
    recipe: str
    """Whether it is the published recipe, and what is not."""


REPRODUCTIONS = (
    Reproduction(
        "DnCNN 17×64, BSD68, σ = 25",
        "29.23",
        "denoising",
        "bsd68",
        "teacher",
        "no: DnCNN 12×48 without normalisation, 25,000 steps of 8 patches in place of 80,000 of 128",
    ),
    Reproduction(
        "FSRCNN(56, 12, 4), Set5 ×3",
        "33.06",
        "super_resolution",
        "set5",
        "scratch",
        "the network is theirs; BSDS500's 200 images in place of 91, 10,000 steps",
    ),
    Reproduction(
        "FSRCNN(56, 12, 4), Set5 ×3",
        "33.06",
        "super_resolution",
        "set5",
        "scratch_long",
        "as above, 20,000 steps",
    ),
    Reproduction(
        "EDSR-baseline, Set5 ×3",
        "34.37",
        "super_resolution",
        "set5",
        "teacher",
        "no: EDSR 48×8 in place of 64×16, BSDS500's 200 images in place of DIV2K's 800, 20,000 steps",
    ),
)


def current() -> dict[Path, str]:
    """Every published text as the records have it."""
    texts: dict[Path, str] = {}
    blocks: dict[Path, dict[str, str]] = {README: _front(), DETAILS: {"gaps": gap_table(_gaps(), _exact)}, METHODS: {}}
    for suite in SUITES:
        texts |= _tables(suite)
    for suite in TASKS:
        blocks[DETAILS] |= {f"{name} {suite}": text for name, text in _blocks(suite).items()}
        # written by `make tune-SUITE`
        blocks[METHODS][f"trials {suite}"] = (RESULTS / suite / "trials.md").read_text(encoding="utf-8").rstrip()
    blocks[REPRODUCTION] = _reproduction()
    texts |= {RESULTS / name: text for name, text in _leaderboard().items()}
    return texts | {path: _filled(path, contents) for path, contents in blocks.items()}


def _filled(path: Path, blocks: Mapping[str, str]) -> str:
    """A document with its generated blocks replaced."""
    text = path.read_text(encoding="utf-8")
    for name, content in blocks.items():
        text = replace_block(text, name, content)
    return text


@cache
def _summaries(suite: str) -> list[Summary]:
    return summaries(RESULTS / suite)


@cache
def _speed_tables(suite: str) -> list[SpeedTable]:
    return speed_tables(RESULTS / suite)


def _tables(suite: str) -> dict[Path, str]:
    """The files of a suite's folder beside its records."""
    folder, origin = RESULTS / suite, _origin(suite)
    results = tables(_summaries(suite))
    texts = {
        folder / "tables.md": f"{origin}\n\n{writers.markdown(results)}",
        folder / "tables.tex": f"% {origin}\n\n{writers.latex(results)}",
        folder / "tables.csv": writers.csv(results),
    }
    if timed := speeds.tables(_speed_tables(suite)):
        texts[folder / "latency.md"] = f"{_timed(suite)}\n\n{writers.markdown(timed)}"
    return texts


def _leaderboard() -> dict[str, str]:
    """The board of the published records, and its plain dumps, which need no program to be read."""
    files = build.content(build.leaderboard([RESULTS / suite for suite in TASKS]))
    names = ("README.md", "leaderboard.csv", "leaderboard.json", "leaderboard.tex")
    return {name: files[name].decode() for name in names}


def _front() -> dict[str, str]:
    """{a block of the README: its text}."""
    suite, file, text = FIGURE
    gaps = _gaps()
    return {
        "figure": f"![{text}](results/{suite}/{FIGURES}/{file})",
        "gaps": gap_table(gaps, _brief),
        "findings": findings(gaps, _unbeaten()),
    }


@cache
def _gaps() -> HeatMap:
    """Methods × pairs: the gap recovered, of all tasks that are shown."""
    return gap_recovered([summary for suite in TASKS for summary in _task_summaries(suite)])


def _unbeaten() -> dict[str, tuple[str, tuple[str, ...]]]:
    """{column: its best method, and the controls that this is not significantly better than}."""
    return {
        column_name(summary, row.pair): (row.name, row.unbeaten_controls)
        for suite in TASKS
        for summary in _task_summaries(suite)
        for row in summary.rows
        if row.unbeaten_controls
    }


def _task_summaries(suite: str) -> list[Summary]:
    return [summary for summary in _summaries(suite) if summary.task in TASKS[suite]]


def gap_table(gaps: HeatMap, write: Callable[[HeatMapCell], str]) -> str:
    """The gaps as a Markdown table, the controls below a rule."""
    lines = [["gap recovered", *gaps.columns], [":---", *["---:"] * len(gaps.columns)]]
    for row in (*gaps.methods, *([""] if gaps.controls else []), *gaps.controls):
        cells = [write(gaps.cells[row, column]) if row else "" for column in gaps.columns]
        lines.append([row or "*controls:*", *cells])
    return _markdown(lines)


def _markdown(lines: Sequence[Sequence[str]]) -> str:
    """Lines of cells, the second of them the rule, as a Markdown table."""
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _brief(cell: HeatMapCell) -> str:
    """'81%*'; a loss of more than the whole gap is '< −100%'; without a number the reason, a dash where none is run."""
    return f"{_percent(cell)}{_star(cell)}"


def _exact(cell: HeatMapCell) -> str:
    """The number however large, with its star and its interval."""
    return _percent(cell) if cell.value is None else f"{cell.text} {cell.interval}".rstrip().replace("*", r"\*")


def _percent(cell: HeatMapCell) -> str:
    if cell.value is None:
        return DASH if cell.text == NOT_RUN else cell.text
    return "< −100%" if cell.value < -1 else f"{100 * cell.value:z.0f}%".replace("-", "−")


def _star(cell: HeatMapCell) -> str:
    return r"\*" if cell.significant else ""


def findings(gaps: HeatMap, unbeaten: Mapping[str, tuple[str, Sequence[str]]]) -> str:
    """What works, what does not and what surprises: a line each.

    Args:
        gaps: What each row recovers.
        unbeaten: Of a column, its best method and the controls that this is not significantly better than.
    """
    gains = {column: _significant(gaps, column, 1) for column in gaps.columns}
    losses = {column: _significant(gaps, column, -1) for column in gaps.columns}
    without = [column.replace(",", "") for column, names in gains.items() if not names]
    return "\n".join(
        (
            f"- **What works**: {_listed(gaps, gains)}.",
            f"- **What does not**: no gain of a method is significant on {', '.join(without) or 'no task'}; "
            f"significantly worse than scratch: {_listed(gaps, losses)}.",
            f"- **What surprises**: {_surprises(gaps, gains, unbeaten)}.",
        )
    )


def _significant(gaps: HeatMap, column: str, sign: int) -> list[str]:
    """The methods that are significantly better (sign 1) or worse (sign −1) than scratch, the furthest first."""
    cells = {row: gaps.cells[row, column] for row in gaps.methods}
    values = {row: sign * cell.value for row, cell in cells.items() if cell.significant and cell.value is not None}
    return sorted((row for row, value in values.items() if value > 0), key=lambda row: -values[row])


def _listed(gaps: HeatMap, names: Mapping[str, Sequence[str]]) -> str:
    """'logistic (50%) and temperature (44%) on classification; …'."""
    parts = [
        f"{listed([f'{row} ({_percent(gaps.cells[row, column])})' for row in rows])} on {column}"
        for column, rows in names.items()
        if rows
    ]
    return "; ".join(parts) or "none"


def _surprises(
    gaps: HeatMap, gains: Mapping[str, Sequence[str]], unbeaten: Mapping[str, tuple[str, Sequence[str]]]
) -> str:
    """Where a method works, and a control is as good as the best one."""
    if not any(gains.values()):
        return "nothing"
    sentences = []
    for column, (best, controls) in unbeaten.items():
        if best in gains[column]:
            named = listed([f"{row} ({_percent(gaps.cells[row, column])})" for row in controls])
            sentences.append(f"{best} ({_percent(gaps.cells[best, column])}) than {named} on {column}")
    if not sentences:
        return "where a method works, the best one is significantly better than every control"
    return f"not significantly better than a control: {'; '.join(sentences)}"


def _blocks(suite: str) -> dict[str, str]:
    """{what docs/results.md shows of a suite: its text}."""
    results = _task_summaries(suite)
    log = (RESULTS / suite / "run.txt").read_text(encoding="utf-8")
    first, *_, last = log.replace(f"results/{suite}", f"runs/{suite}").splitlines()  # as without --out, and
    first = re.sub(r", \d+ of another configuration", "", first)  # without what was published before
    only = f" --task {','.join(TASKS[suite])}" if len(results) < len(_summaries(suite)) else ""
    table = f"$ distillbench table runs/{suite}{only}"
    timed = [timing_table for timing_table in _speed_tables(suite) if timing_table.task in TASKS[suite]]
    console = [f"$ distillbench run {suite}", first, last, "", table, *_on_a_terminal(results)]
    return {
        "origin": _origin(suite),
        "console": "\n".join(f"    {line}".rstrip() for line in console),
        "figures": _figures(suite),
        "latency": f"{_timed(suite)}\n\n{writers.markdown_table(speeds.overview(timed))}",
    }


def _figures(suite: str) -> str:
    """The figures of a suite in a document."""
    return "\n".join(f"![{text}](../results/{suite}/{FIGURES}/{file})" for file, text in GALLERY[suite].items())


def _reproduction() -> dict[str, str]:
    """{a block of docs/reproduction.md: its text}."""
    results = {summary.task: summary for summary in _summaries(REPRODUCING)}
    titles = ["what", "published (dB)", "ours (dB)", "of seeds", "same recipe?"]
    lines = [titles, ["---", "---:", "---:", "---:", "---"]]
    for entry in REPRODUCTIONS:
        summary = results[entry.task]
        (row,) = (row for row in summary.rows if (row.pair, row.name) == (entry.pair, entry.row))
        values = row.values_by_seed.values()
        spread = f"{len(values)} ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else "1"
        lines.append([entry.network, entry.published, f"{fmean(values):.2f}", spread, entry.recipe])
    return {
        "trained": _markdown(lines),
        "gaps restoration": gap_table(gap_recovered(list(results.values())), _exact),
        "figures restoration": _figures(REPRODUCING),
        "origin restoration": _origin(REPRODUCING),
    }


def _on_a_terminal(results: Sequence[Summary]) -> list[str]:
    """The tables as a terminal of 80 columns shows them."""
    text = StringIO()
    Console(file=text, width=WIDTH, highlight=False, force_terminal=False).print(terminal(tables(results), WIDTH))
    return text.getvalue().rstrip().splitlines()


def _origin(suite: str) -> str:
    """'Made at revision 1a2b3c4 by … on 2 cores of …, with torch …': where the figures come from, in a sentence."""
    revision, machine, versions = _circumstances(Store(RESULTS / suite).scan().records, "torch")
    return f"Made at revision {revision} by `distillbench run {suite}` on {machine}, {versions}."


def _timed(suite: str) -> str:
    """Where the times come from, in a sentence."""
    revision, machine, versions = _circumstances(scan(RESULTS / suite).documents, "torch", "onnxruntime")
    return f"Timed at revision {revision} by `distillbench time results/{suite}` on one of {machine}, {versions}."


def _circumstances(entries: Sequence[Record] | Sequence[Timing], *libraries: str) -> tuple[str, str, str]:
    """Revision, machine and versions, each with 'and' where not all agree."""

    def of_all(text: Callable[[Record | Timing], str]) -> str:
        return " and ".join(dict.fromkeys(text(entry) for entry in entries))

    def versions(entry: Record | Timing) -> str:
        numbers = entry.environment["libraries"]
        return ", ".join([f"Python {entry.environment['python']}", *(f"{name} {numbers[name]}" for name in libraries)])

    return (
        of_all(lambda entry: entry.revision[:12] + "-dirty" * entry.revision.endswith("-dirty")),
        of_all(lambda entry: machine_name(entry.environment)),
        of_all(versions),
    )


def replace_block(text: str, name: str, content: str) -> str:
    """The text with what stands between ``<!-- NAME -->`` and ``<!-- /NAME -->`` replaced."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"needs one block <!-- {name} --> … <!-- /{name} -->")
    return pattern.sub(lambda match: f"{match[1]}{content}\n{match[2]}", text)


def problems() -> list[str]:
    """What in the folders of records cannot be used, one line each: nothing is published as long as there is any."""
    lines: list[str] = []
    for suite in SUITES:
        lines += Store(RESULTS / suite).scan().problems.values()
        lines += (problem for summary in _summaries(suite) for problem in summary.problems)
    return list(dict.fromkeys(lines))


def main() -> None:
    """Write what is not current, or with ``--check`` name it."""
    if unusable := problems():
        print(*unusable, sep="\n", file=sys.stderr)
        sys.exit(1)
    stale = {
        path: text for path, text in current().items() if not path.exists() or path.read_text(encoding="utf-8") != text
    }
    for path, text in stale.items():
        print(f"{path.relative_to(ROOT)}: {'not current' if '--check' in sys.argv else 'written'}")
        if "--check" not in sys.argv:
            write_atomically(path, text.encode())
    if stale and "--check" in sys.argv:
        sys.exit(1)


if __name__ == "__main__":
    main()

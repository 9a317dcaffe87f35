"""Rebuild what is published from the records: the tables beside them, the leaderboard, and the blocks of the README
and of docs/methods.md.

    python results/publish.py [--check]

``--check`` writes nothing, names what is not current, and exits with 1 where anything is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from io import StringIO
from pathlib import Path

from rich.console import Console

from distillbench.bench.analysis.notes import machine_name
from distillbench.bench.analysis.results import speed_tables, summaries
from distillbench.bench.analysis.speeds import SpeedTable
from distillbench.bench.analysis.summary import Summary
from distillbench.bench.leaderboard import build
from distillbench.bench.report import tables
from distillbench.bench.report.charts import gap_recovered
from distillbench.bench.report.speeds import markdown, overview
from distillbench.bench.report.terminal import terminal
from distillbench.bench.store.records import Record, Store
from distillbench.bench.store.timings import Timing, scan
from distillbench.common.atomic import write_atomically

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "results"
README = ROOT / "README.md"
METHODS = ROOT / "docs" / "methods.md"
SHOWN = {"mnist": ("classification", "gan", "vae"), "quick": ("denoising", "style_transfer", "super_resolution")}
"""{suite: the tasks of which the README has tables}. All suites that are published, each in the folder of its name."""
WIDTH = 80


def current() -> dict[Path, str]:
    """Every published text as the records have it."""
    readme, methods = README.read_text(encoding="utf-8"), METHODS.read_text(encoding="utf-8")
    texts: dict[Path, str] = {}
    for suite in SHOWN:
        texts |= _tables(suite)
        for name, text in _blocks(suite).items():
            readme = replace_block(readme, f"{name} {suite}", text)
        # what `make tune-SUITE` found
        trials = (RESULTS / suite / "trials.md").read_text(encoding="utf-8").rstrip()
        methods = replace_block(methods, f"trials {suite}", trials)
    readme = replace_block(readme, "overview", _overview())
    texts |= {RESULTS / name: text for name, text in _leaderboard().items()}
    return texts | {README: readme, METHODS: methods}


@cache
def _summaries(suite: str) -> list[Summary]:
    return summaries(RESULTS / suite)


@cache
def _speed_tables(suite: str) -> list[SpeedTable]:
    return speed_tables(RESULTS / suite)


def _tables(suite: str) -> dict[Path, str]:
    """What lies in a suite's folder beside its records."""
    folder, origin = RESULTS / suite, _origin(suite)
    found = _summaries(suite)
    return {
        folder / "latency.md": f"{_timed(suite)}\n\n{markdown(_speed_tables(suite))}",
        folder / "tables.md": f"{origin}\n\n{tables.markdown(found)}",
        folder / "tables.tex": f"% {origin}\n\n{tables.latex(found)}",
        folder / "tables.csv": tables.as_csv(found),
    }


def _leaderboard() -> dict[str, str]:
    """The board of the published records, and its plain dumps, which need no program to be read."""
    files = build.content(build.leaderboard([RESULTS / suite for suite in SHOWN]))
    names = ("README.md", "leaderboard.csv", "leaderboard.json", "leaderboard.tex")
    return {name: files[name].decode() for name in names}


def _overview() -> str:
    """Methods by pairs of networks: the part of the gap that is recovered, of all tasks that the README shows."""
    found = gap_recovered([summary for suite in SHOWN for summary in _shown(suite)])
    lines = [["", *found.columns], [":---", *["---:"] * len(found.columns)]]
    for row in found.rows:
        cells = (found.cells[row, column] for column in found.columns)
        lines.append([row, *(f"{cell.text} {cell.interval}".rstrip().replace("*", r"\*") for cell in cells)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _shown(suite: str) -> list[Summary]:
    return [summary for summary in _summaries(suite) if summary.task in SHOWN[suite]]


def _blocks(suite: str) -> dict[str, str]:
    """{what the README shows of a suite: its text}."""
    shown = _shown(suite)
    said = (RESULTS / suite / "run.txt").read_text(encoding="utf-8")
    first, *_, last = said.replace(f"results/{suite}", f"runs/{suite}").splitlines()  # as without --out, and
    first = re.sub(r", \d+ of another configuration", "", first)  # without what was published before
    only = f" --task {','.join(SHOWN[suite])}" if len(shown) < len(_summaries(suite)) else ""
    table = f"$ distillbench table runs/{suite}{only}"
    console = [f"$ distillbench run {suite}", first, last, "", table, *_on_a_terminal(shown)]
    return {
        "origin": _origin(suite),
        "console": "\n".join(f"    {line}".rstrip() for line in console),
        "latency": f"{_timed(suite)}\n\n{overview([t for t in _speed_tables(suite) if t.task in SHOWN[suite]])}",
    }


def _on_a_terminal(shown: Sequence[Summary]) -> list[str]:
    """The tables as a terminal of 80 columns shows them."""
    text = StringIO()
    Console(file=text, width=WIDTH, highlight=False, force_terminal=False).print(terminal(shown, WIDTH))
    return text.getvalue().rstrip().splitlines()


def _origin(suite: str) -> str:
    """'Made at revision 1a2b3c4 by … on 2 cores of …, with torch …': where the figures come from, in a sentence."""
    revision, machine, versions = _circumstances(Store(RESULTS / suite).scan().records, "torch")
    return f"Made at revision {revision} by `distillbench run {suite}` on {machine}, {versions}."


def _timed(suite: str) -> str:
    """Where the times come from, in a sentence."""
    revision, machine, versions = _circumstances(scan(RESULTS / suite).found, "torch", "onnxruntime")
    return f"Timed at revision {revision} by `distillbench time results/{suite}` on one of {machine}, {versions}."


def _circumstances(found: Sequence[Record] | Sequence[Timing], *libraries: str) -> tuple[str, str, str]:
    """Revision, machine and versions, each with 'and' where not all agree."""

    def of_all(tell: Callable[[Record | Timing], str]) -> str:
        return " and ".join(dict.fromkeys(tell(one) for one in found))

    def versions(one: Record | Timing) -> str:
        its = one.environment["libraries"]
        return ", ".join([f"Python {one.environment['python']}", *(f"{name} {its[name]}" for name in libraries)])

    return (
        of_all(lambda one: one.revision[:12] + "-dirty" * one.revision.endswith("-dirty")),
        of_all(lambda one: machine_name(one.environment)),
        of_all(versions),
    )


def replace_block(text: str, name: str, content: str) -> str:
    """The text with what stands between ``<!-- NAME -->`` and ``<!-- /NAME -->`` replaced."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"needs one block <!-- {name} --> … <!-- /{name} -->")
    return pattern.sub(lambda match: f"{match[1]}{content}\n{match[2]}", text)


def problems() -> list[str]:
    """What in the folders of records cannot be used, one line each: nothing is published without it unsaid."""
    found: list[str] = []
    for suite in SHOWN:
        found += Store(RESULTS / suite).scan().problems.values()
        found += (problem for summary in _summaries(suite) for problem in summary.problems)
    return list(dict.fromkeys(found))


def main() -> None:
    if bad := problems():
        print(*bad, sep="\n", file=sys.stderr)
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

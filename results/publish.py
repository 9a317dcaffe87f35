"""Rebuild what is published from the records: the tables beside them, the leaderboard, and the blocks of the README
and of docs/methods.md.

    python results/publish.py [--check]

``--check`` writes nothing, names what is not current, and exits with 1 where anything is.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from rich.console import Console

from bench.board import build
from bench.records import Record, Store
from bench.report import tables
from bench.report.results import speeds as speeds_of
from bench.report.results import summaries as summaries_of
from bench.report.speeds import markdown as markdown_of
from bench.report.speeds import overview
from bench.report.summary import Summary
from bench.report.terminal import terminal
from bench.timings import scan
from tasks.data.atomic import write_atomically

ROOT = Path(__file__).resolve().parents[1]
QUICK = ROOT / "results" / "quick"
README = ROOT / "README.md"
METHODS = ROOT / "docs" / "methods.md"
TRIALS = QUICK / "trials.md"
"""What `make tune` found."""
WIDTH = 80


def current() -> dict[Path, str]:
    """Every published text as the records have it."""
    records, summaries = Store(QUICK).scan().records, summaries_of(QUICK)
    origin = _origin(records)
    readme = README.read_text(encoding="utf-8")
    for name, text in _blocks(summaries, origin).items():
        readme = replace_block(readme, name, text)
    methods = METHODS.read_text(encoding="utf-8")
    if TRIALS.exists():
        methods = replace_block(methods, "trials", TRIALS.read_text(encoding="utf-8").rstrip())
    speeds = speeds_of(QUICK)
    if speeds:
        readme = replace_block(readme, "latency", f"{timed(QUICK)}\n\n{overview(speeds)}")
    return {
        METHODS: methods,
        QUICK / "latency.md": f"{timed(QUICK)}\n\n{markdown_of(speeds)}",
        QUICK / "tables.md": f"{origin}\n\n{tables.markdown(summaries)}",
        QUICK / "tables.tex": f"% {origin}\n\n{tables.latex(summaries)}",
        QUICK / "tables.csv": tables.as_csv(summaries),
        **{ROOT / "results" / name: text for name, text in _leaderboard().items()},
        README: readme,
    }


def _leaderboard() -> dict[str, str]:
    """The board of the published records, and its plain dumps, which need no program to be read."""
    files = build.content(build.leaderboard([QUICK]))
    names = ("README.md", "leaderboard.csv", "leaderboard.json", "leaderboard.tex")
    return {name: files[name].decode() for name in names}


def _blocks(summaries: Sequence[Summary], origin: str) -> dict[str, str]:
    first, *_, last = (QUICK / "run.txt").read_text(encoding="utf-8").splitlines()
    run = ["$ distillbench run quick", first, last]
    console = [*run, "", "$ distillbench table runs/quick", *_on_a_terminal(summaries)]
    return {"origin": origin, "console": "\n".join(f"    {line}".rstrip() for line in console)}


def _on_a_terminal(summaries: Sequence[Summary]) -> list[str]:
    """The tables as a terminal of 80 columns shows them."""
    text = StringIO()
    Console(file=text, width=WIDTH, highlight=False, force_terminal=False).print(terminal(summaries, WIDTH))
    return text.getvalue().rstrip().splitlines()


def _origin(records: Sequence[Record]) -> str:
    """'Made at revision 1a2b3c4 on 2 cores of …, with torch …': where the figures come from, in a sentence."""

    def of_all(values: Sequence[str]) -> str:
        return " and ".join(dict.fromkeys(values))

    revision = of_all([r.revision[:12] + "-dirty" * r.revision.endswith("-dirty") for r in records])
    machine = of_all([f"{r.environment['cores']} cores of {r.environment['cpu']}" for r in records])
    versions = of_all(
        [f"Python {r.environment['python']}, torch {r.environment['libraries']['torch']}" for r in records]
    )
    return f"Made at revision {revision} by `make records` on {machine}, {versions}."


def timed(results: Path) -> str:
    """Where the times come from, in a sentence."""
    found = scan(results).found
    revisions = dict.fromkeys(t.revision[:12] + "-dirty" * t.revision.endswith("-dirty") for t in found)
    machines = dict.fromkeys(f"{t.environment['cores']} cores of {t.environment['cpu']}" for t in found)
    libraries = ("torch", "onnxruntime")
    versions = dict.fromkeys(", ".join(f"{x} {t.environment['libraries'][x]}" for x in libraries) for t in found)
    return (
        f"Timed at revision {' and '.join(revisions)} by `distillbench time results/quick` on one of "
        f"{' and '.join(machines)}, {' and '.join(versions)}."
    )


def replace_block(text: str, name: str, content: str) -> str:
    """The text with what stands between ``<!-- NAME -->`` and ``<!-- /NAME -->`` replaced."""
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"needs one block <!-- {name} --> … <!-- /{name} -->")
    return pattern.sub(lambda match: f"{match[1]}{content}\n{match[2]}", text)


def stale() -> list[Path]:
    """The published files that are not what the records say."""
    return [path for path, text in current().items() if not path.exists() or path.read_text(encoding="utf-8") != text]


def problems() -> list[str]:
    """What in the folder of records cannot be used, one line each: nothing is published without it unsaid."""
    found = dict.fromkeys(Store(QUICK).scan().problems.values())
    return list(found | dict.fromkeys(problem for summary in summaries_of(QUICK) for problem in summary.problems))


def main() -> None:
    if bad := problems():
        print(*bad, sep="\n", file=sys.stderr)
        sys.exit(1)
    paths = stale()
    texts = current()
    for path in paths:
        print(f"{path.relative_to(ROOT)}: {'not current' if '--check' in sys.argv else 'written'}")
        if "--check" not in sys.argv:
            write_atomically(path, texts[path].encode())
    if paths and "--check" in sys.argv:
        sys.exit(1)


if __name__ == "__main__":
    main()
